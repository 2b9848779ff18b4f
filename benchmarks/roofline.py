"""How fast this machine multiplies matrices at best, and what a model costs in multiplications.

    python -m benchmarks.roofline

One single-threaded process a core, all at work at the same time, as the embed workers are: a core
alone runs on a higher clock, and cores share their caches and the memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

#: Rows, inner size and columns: the model's own products at the size of a call, and larger ones.
SIZES = (
    (1024, 384, 384),
    (1024, 384, 1536),
    (1024, 1536, 384),
    (1024, 1024, 1024),
    (2048, 2048, 2048),
    (4096, 1024, 4096),
)
KINDS = ("bfloat16", "float32")
WINDOWS = 5


def model_flop(
    lengths: Sequence[int], *, layers: int = 6, hidden: int = 384, intermediate: int = 1536
) -> int:
    """Floating-point operations of the matrix products for rows of these many tokens, special ones
    counted: four projections, two of the feed-forward part, and attention over the row."""
    each = layers * (8 * hidden * hidden + 4 * hidden * intermediate)
    pair = layers * 4 * hidden
    return sum(length * (each + pair * length) for length in lengths)


def measure(cores: int, seconds: float = 0.2) -> dict[str, Any]:
    """FLOP/s of all cores together, by kind: the sum of each core's best window, and at which
    size. Takes about ``seconds`` a size, kind and window."""
    command = [sys.executable, "-m", "benchmarks.roofline", "--core", str(seconds)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(cores)
    ]
    try:
        for each in running:
            assert each.stdout is not None
            if each.stdout.readline() != "ready\n":
                raise RuntimeError(f"a core's process ended with {each.wait()}")
        for each in running:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        told = [json.loads(each.communicate()[0]) for each in running]
    finally:
        for each in running:
            each.kill()
            each.wait()
    return {kind: best(kind, told) for kind in KINDS}


def best(kind: str, told: Sequence[dict[str, list[list[float]]]]) -> dict[str, Any]:
    """``told``: of each core, by kind, the FLOP/s of each window at each of SIZES."""
    per_size = [
        sum(max(core[kind][number]) for core in told) for number in range(len(told[0][kind]))
    ]
    at = per_size.index(max(per_size))
    return {"flops": per_size[at], "size": list(SIZES[at]), "by_size": per_size}


def one_core(seconds: float) -> None:
    import torch

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    print("ready", flush=True)
    sys.stdin.readline()
    found: dict[str, list[list[float]]] = {kind: [] for kind in KINDS}
    for kind in KINDS:
        for rows, inner, columns in SIZES:
            left = torch.randn(rows, inner).to(getattr(torch, kind))
            right = torch.randn(inner, columns).to(getattr(torch, kind))
            out = torch.empty(rows, columns, dtype=left.dtype)
            torch.mm(left, right, out=out)
            work = 2.0 * rows * inner * columns

            def multiply(a: Any = left, b: Any = right, c: Any = out) -> None:
                torch.mm(a, b, out=c)

            windows = [_window(multiply, work, seconds) for _ in range(WINDOWS)]
            found[kind].append(windows)
    print(json.dumps(found), flush=True)


def _window(act: Any, work: float, seconds: float) -> float:
    """FLOP/s over ``seconds`` at least."""
    began = time.perf_counter()
    done, taken = 0, 0.0
    while taken < seconds:
        act()
        done += 1
        taken = time.perf_counter() - began
    return work * done / taken


def show(found: dict[str, Any]) -> None:
    for kind, told in found.items():
        size = " x ".join(map(str, told["size"]))
        print(f"{kind:10} {told['flops'] / 1e9:8.0f} GFLOP/s, all cores at once, at {size}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--core"]:
        one_core(float(sys.argv[2]))
    else:
        from thoth_core.cores import available_cores

        show(measure(available_cores()))
