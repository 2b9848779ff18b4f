"""How near to a provider's rate limits Thoth comes by itself, and how often it is refused for it.

    python -m benchmarks.openai_throughput

The provider is the test server in a process of its own, with a limit of 3,000 requests a minute,
and then of 1,000,000 tokens a minute, kept within each second (the real API keeps its limits
within less than a minute too). Calls of 100 texts of about 100 tokens, from as many threads as
keep it busy, for 60 s each. No setting says anything of limits.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.openai_limits import Limits
from tests.support.openai_server import KEY, OpenAIServer
from tests.support.service import RealService

CALL, CALLERS, LATENCY = 100, 24, 0.15
#: Limits of one run: requests a minute, tokens a minute, and texts a request (None: no setting).
RUNS: dict[str, dict[str, int | None]] = {
    "3,000 requests/min": {"requests": 3000, "tokens": None},
    "1,000,000 tokens/min": {"requests": None, "tokens": 1_000_000},
}


def texts(many: int) -> list[str]:
    """Each about 100 tokens: most of these words are one."""
    chance = random.Random(5)
    words = "harbour ship wind rope sail night watch storm light stone water bread glass paper"
    return [" ".join(chance.choices(words.split(), k=98)) for _ in range(many)]


# -- the provider ---------------------------------------------------------------------------------


def serve(options: argparse.Namespace) -> None:
    """The process of the provider: says its address, and its figures when its input is closed."""
    table = np.random.default_rng(3).standard_normal((512, 256)).astype(np.float32)

    def embed(given: Sequence[str]) -> Any:
        return table[[hash(text) % len(table) for text in given]]

    limits = Limits(options.requests, options.tokens, options.burst)
    with OpenAIServer(embed=embed, limits=limits, latency=LATENCY) as server:
        print(server.base_url, flush=True)
        for line in sys.stdin:
            begin, end = json.loads(line)
            within = [each for each in server.books.embeddings if begin <= each.arrived < end]
            good = [each for each in within if each.billed]
            found = {
                "requests": len(good),
                "tokens": sum(each.tokens for each in good),
                "texts": sum(len(each.inputs) for each in good),
                "refused": sum(each.status == 429 for each in within),
                "early": len(server.books.early(within, grace=0.25)),
                "connections": len({each.connection for each in within}),
            }
            print(json.dumps(found), flush=True)


class Provider:
    """That process, as its parent has it."""

    def __init__(self, requests: int | None, tokens: int | None, burst: float) -> None:
        command = [sys.executable, "-m", "benchmarks.openai_throughput", "--serve"]
        command += [] if requests is None else ["--requests", str(requests)]
        command += [] if tokens is None else ["--tokens", str(tokens)]
        self._process = subprocess.Popen(
            [*command, "--burst", str(burst)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.base_url = self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def figures(self, begin: float, end: float) -> dict[str, int]:
        """Of requests that came between two times of time.monotonic, which all processes share."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([begin, end]) + "\n")
        self._process.stdin.flush()
        return dict(json.loads(self._line()))

    def close(self) -> None:
        self._process.communicate(timeout=30)


# -- who asks -------------------------------------------------------------------------------------


def measure(name: str, seconds: float, burst: float, settings: dict[str, str]) -> dict[str, Any]:
    limits = RUNS[name]
    provider = Provider(limits["requests"], limits["tokens"], burst)
    service = RealService.make(
        "openai/text-embedding-3-small",
        OPENAI_BASE_URL=provider.base_url,
        API_OPENAI_KEY=KEY,
        **settings,
    )
    given, over, failures = texts(2000), threading.Event(), list[str]()

    def ask(caller: int) -> None:
        chance = random.Random(caller)
        with service.client() as thoth:
            while not over.is_set():
                try:
                    thoth.embed(chance.sample(given, CALL))
                except Exception as problem:
                    failures.append(str(problem))
                    return

    try:
        service.start()
        callers = [threading.Thread(target=ask, args=(n,), daemon=True) for n in range(CALLERS)]
        for each in callers:
            each.start()
        begin = time.monotonic()
        while time.monotonic() - begin < seconds:
            time.sleep(1)
        end = time.monotonic()
        over.set()
        found: dict[str, Any] = dict(provider.figures(begin, end))
        for each in callers:
            each.join(60)
    finally:
        service.close()
        provider.close()
    limit, got = (
        (limits["requests"], found["requests"])
        if limits["requests"] is not None
        else (limits["tokens"], found["tokens"])
    )
    assert limit is not None
    return {
        "limit": name,
        "seconds": end - begin,
        **found,
        "share": got / (limit * (end - begin) / 60),
        "failed_calls": failures,
    }


def show(found: dict[str, Any]) -> None:
    print(
        f"{found['limit']}: {found['share']:.3f} of it in {found['seconds']:.0f} s "
        f"({found['requests']:,} requests, {found['tokens']:,} tokens, {found['texts']:,} texts on "
        f"{found['connections']} connections); {found['refused']} answers 429, {found['early']} "
        f"requests earlier than told, {len(found['failed_calls'])} calls failed",
        flush=True,
    )
    for each in found["failed_calls"][:3]:
        print(f"   {each}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument(
        "--burst", type=float, default=1.0, help="seconds' worth that may come at once"
    )
    parser.add_argument("--only", choices=sorted(RUNS))
    parser.add_argument("--batch", type=int, help="RAG_EMBEDDING_BATCH_SIZE")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--requests", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--tokens", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options)
        return
    settings = {} if options.batch is None else {"RAG_EMBEDDING_BATCH_SIZE": str(options.batch)}
    found = []
    print(f"load {os.getloadavg()[0]:.1f} before it", flush=True)
    for name in [options.only] if options.only else RUNS:
        found.append(measure(name, options.seconds, options.burst, settings))
        show(found[-1])
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
