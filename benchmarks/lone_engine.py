"""The service's engine in a process of its own, without a service: what one text takes there.

It is started in the environment of a worker and embeds a text a line (a JSON string), and answers
each with ``{"embed": seconds, "tokenizer": seconds}``; the second is how long the tokenizer took
for the text once more, alone.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time

from benchmarks.speed_texts import MODEL
from thoth_core.supervisor.environment import child_environment


class LoneEngine:
    """That process, as its parent has it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.lone_engine"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**child_environment(os.environ), "HF_HUB_OFFLINE": "1"},
        )
        self.embed("a first text")

    def embed(self, text: str) -> dict[str, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(text) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the engine's process ended with {self._process.wait()}")
        return dict(json.loads(line))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def main() -> None:
    from embed_worker.engines import load_engine
    from embed_worker.engines.base import Options
    from embed_worker.engines.id_rows import plain_tokenizer
    from embed_worker.models import find_model

    # What libraries print is not for whoever reads the lines.
    lines, sys.stdout = sys.stdout, sys.stderr
    engine = load_engine(Options(MODEL), logging.getLogger("bench"))
    tokenizer = plain_tokenizer(str(find_model(MODEL).folder / "tokenizer.json"))
    for line in sys.stdin:
        text = json.loads(line)
        began = time.perf_counter()
        engine.embed([text], "document", _go_on)
        embedded = time.perf_counter()
        tokenizer.encode_batch_fast([text], add_special_tokens=False)
        taken = {"embed": embedded - began, "tokenizer": time.perf_counter() - embedded}
        print(json.dumps(taken), file=lines, flush=True)


def _go_on() -> None:
    pass


if __name__ == "__main__":
    main()
