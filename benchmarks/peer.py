"""A way of doing something, in a process of its own, so that what it loads and sets is its own.

The process says ``{"ready": seconds}`` when it could answer, and then, for each line that asks,
``{"seconds": ...}``: what it took. :class:`Peer` is the end that asks, :func:`answer` the other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

#: Texts in; what becomes of them is the peer's: vectors, or nothing.
Work = Callable[[Sequence[str]], Any]


class Peer:
    """``processes`` of the peer ``name`` of a module; each gets an equal share of the texts."""

    def __init__(self, module: str, name: str, processes: int, environ: Mapping[str, str]) -> None:
        self.name = name
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", module, name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=dict(environ),
            )
            for _ in range(processes)
        ]
        self.ready = max(float(self._line(each)["ready"]) for each in self._processes)

    def work(self, given: Sequence[str], npy: Path | None = None) -> float:
        """Seconds until all is done. With ``npy`` the vectors are written to that file; for peers
        of one process."""
        count = len(self._processes)
        began = time.perf_counter()
        for number, each in enumerate(self._processes):
            assert each.stdin is not None
            asked = {
                "texts": share(given, number, count),
                "npy": None if npy is None else str(npy),
            }
            each.stdin.write(json.dumps(asked) + "\n")
            each.stdin.flush()
        told = [float(self._line(each)["seconds"]) for each in self._processes]
        return told[0] if count == 1 else time.perf_counter() - began

    def close(self) -> None:
        for each in self._processes:
            assert each.stdin is not None
            each.stdin.close()
            each.wait(30)

    def _line(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with {process.wait()}")
        return dict(json.loads(line))


def share(given: Sequence[str], number: int, count: int) -> list[str]:
    """What process ``number`` of ``count`` gets: every so-manyth text by length, so that all have
    as much to do; all of them, in their order, for a peer of one process."""
    return list(given) if count == 1 else sorted(given, key=len)[number::count]


def answer(made: Mapping[str, Callable[[], Work]]) -> None:
    """The process of the peer that the command line names, until nobody asks any more."""
    began = time.perf_counter()
    os.environ["HF_HUB_OFFLINE"] = "1"
    # What libraries print is not for whoever reads the lines.
    lines, sys.stdout = sys.stdout, sys.stderr
    warnings.simplefilter("ignore")
    work = made[sys.argv[1]]()
    work(["a first text"])
    print(json.dumps({"ready": time.perf_counter() - began}), file=lines, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        start = time.perf_counter()
        vectors = work(asked["texts"])
        seconds = time.perf_counter() - start
        if asked.get("npy"):
            import numpy as np

            np.save(asked["npy"], vectors)
        print(json.dumps({"seconds": seconds}), file=lines, flush=True)


def model_folder() -> str:
    """Where the weights are that every peer computes with."""
    from benchmarks.speed_texts import MODEL
    from embed_worker.models import find_model

    return str(find_model(MODEL).folder)


def one_thread() -> None:
    """The usual advice to those whose process used to crash; before torch is imported."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import torch

    torch.set_num_threads(1)
