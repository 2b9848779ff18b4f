"""Embedding through the service beside other ways to do it, on the same weights and texts.

    python -m benchmarks.speed                # ten minutes
    python -m benchmarks.speed --quick        # two, to see that it works

In each round every peer embeds the same texts, one after the other, so that what else the machine
does falls on all of them; ratios are medians over the rounds. Those that use one core a process
have as many processes as there are cores, each with an equal share.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed_peers import PEERS
from benchmarks.speed_texts import pieces, texts
from tests.support.service import RealService, wait_for

OURS = "Thoth"
#: Peers of which there is a process a core.
SHARED = ("ONNX Runtime", "engine alone")
#: Texts of one round, by their kind: about as long for each.
COUNTS = {"short": 1024, "mixed": 192, "long": 128}


class Peer:
    """Processes that embed, and wait for texts."""

    def __init__(self, name: str, processes: int, environ: Mapping[str, str]) -> None:
        self.name = name
        command = [sys.executable, "-m", "benchmarks.speed_peers", name]
        self._processes = [
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=dict(environ),
            )
            for _ in range(processes)
        ]
        self.ready = max(float(self._line(each)["ready"]) for each in self._processes)

    def embed(self, given: Sequence[str], npy: Path | None = None) -> float:
        """Seconds until all of them have their vectors."""
        count = len(self._processes)
        began = time.perf_counter()
        for number, each in enumerate(self._processes):
            assert each.stdin is not None
            # Equal shares of the work: every so-manyth of them, by length.
            mine = sorted(given, key=len)[number::count] if count > 1 else list(given)
            asked = {"texts": mine, "npy": None if npy is None else str(npy)}
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


def export_onnx(target: Path) -> None:
    """The model as ONNX Runtime takes it, with pooling and normalisation in the graph."""
    code = (
        "import sys, torch\n"
        "from sentence_transformers import SentenceTransformer\n"
        "from benchmarks.speed_peers import _folder\n"
        "model = SentenceTransformer(_folder(), device='cpu').eval()\n"
        "class Unit(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.model = model\n"
        "    def forward(self, input_ids, attention_mask, token_type_ids):\n"
        "        given = {'input_ids': input_ids, 'attention_mask': attention_mask,\n"
        "                 'token_type_ids': token_type_ids}\n"
        "        out = self.model(given)['sentence_embedding']\n"
        "        return torch.nn.functional.normalize(out, p=2, dim=1)\n"
        "made = model.preprocess(['a few words', 'and some more of them'])\n"
        "names = ['input_ids', 'attention_mask', 'token_type_ids']\n"
        "torch.onnx.export(Unit(), tuple(made[n] for n in names), sys.argv[1], input_names=names,\n"
        "    output_names=['vectors'], dynamo=False, opset_version=17,\n"
        "    dynamic_axes={n: {0: 'rows', 1: 'pieces'} for n in names})\n"
    )
    environ = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-W", "ignore", "-c", code, str(target)]
    subprocess.run(command, check=True, env=environ, stderr=subprocess.DEVNULL)


def bulk(rounds: int, kinds: Sequence[str], part: float) -> dict[str, Any]:
    """Seconds of each peer in each round, by the kind of texts."""
    service = RealService.make("all-MiniLM-L6-v2", THOTH_EMBED_WORKERS=str(cores()))
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        onnx = Path(folder) / "model.onnx"
        export_onnx(onnx)
        environ = service.environ(BENCH_ONNX=str(onnx))
        peers: list[Peer] = []
        try:
            service.start()
            # Each joins the list at once, so that all of them are ended whatever happens.
            peers.extend(Peer(n, cores() if n in SHARED else 1, environ) for n in PEERS)
            for kind in kinds:
                given = texts(kind, int(COUNTS[kind] * part))
                found[kind] = _rounds(peers, given, rounds, Path(folder))
        finally:
            for peer in peers:
                peer.close()
            service.close()
    return found


def _rounds(peers: Sequence[Peer], given: list[str], rounds: int, folder: Path) -> dict[str, Any]:
    taken: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for number in range(rounds + 1):
        # The first is for memory and clocks. Each begins with another one.
        turn = number % len(peers)
        for peer in (*peers[turn:], *peers[:turn]):
            seconds = peer.embed(given)
            if number:
                taken[peer.name].append(seconds)
    vectors = {}
    for peer in peers:
        if peer.name not in SHARED:
            peer.embed(given, folder / "vectors.npy")
            vectors[peer.name] = np.load(folder / "vectors.npy")
    reference = vectors["sentence-transformers"]
    counts = pieces(given)
    return {
        "texts": len(given),
        "pieces": sum(counts),
        "seconds": taken,
        "least_cosine": float((reference * vectors[OURS]).sum(axis=1).min()),
        "speedup": {
            name: statistics.median(
                theirs / ours for theirs, ours in zip(taken[name], taken[OURS], strict=True)
            )
            for name in taken
            if name != OURS
        },
    }


def single(queries: int) -> dict[str, Any]:
    """Milliseconds of one short text, and of a query over some chunks, with nothing else to do;
    and what a death, a start and a command cost."""
    service = RealService.make("all-MiniLM-L6-v2", THOTH_EMBED_WORKERS=str(cores()))
    try:
        began = time.perf_counter()
        service.start(all_ready=False)
        start = time.perf_counter() - began
        wait_for(lambda: service.status()["state"] == "ready", 60, "all workers are ready")
        given = texts("short", queries + 20, seed=3)
        with service.client() as thoth:
            thoth.add(texts("mixed", 1000, seed=4))
            for text in given[:20]:
                thoth.query(text, k=4)
            embedded = [_timed(lambda t=t: thoth.embed([t])) for t in given[20:]]
            asked = [_timed(lambda t=t: thoth.query(t, k=4)) for t in given[20:]]
        died = [_restarted(service, "embed-bulk-1") for _ in range(5)]
        command = [_timed(lambda: service.run("thoth", "query", "a text")) for _ in range(7)]
        memory = {worker["name"]: worker["memory_bytes"] for worker in service.status()["workers"]}
    finally:
        service.close()
    return {
        "embed_ms": embedded,
        "query_ms": asked,
        "start_s": start,
        "back_ms": died,
        "command_ms": command,
        "memory_bytes": memory,
    }


def _restarted(service: RealService, name: str) -> float:
    pid = service.pid(name)
    began = time.perf_counter()
    os.kill(pid, signal.SIGKILL)
    service.ready_again(name, pid)
    return 1000 * (time.perf_counter() - began)


def _timed(act: Any) -> float:
    began = time.perf_counter()
    act()
    return 1000 * (time.perf_counter() - began)


def cores() -> int:
    from thoth_core.cores import available_cores

    return available_cores()


def machine() -> str:
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    name = next((x.partition(":")[2].strip() for x in text.splitlines() if "model name" in x), "")
    return f"{cores()} cores, {name or platform.processor()}, Python {platform.python_version()}"


def show(found: dict[str, Any]) -> None:
    for kind, told in found["bulk"].items():
        print(f"\n{told['texts']} {kind} texts, {told['pieces'] / told['texts']:.0f} word pieces")
        print(f"{'':30} {'texts/s':>9} {'best':>9} {'Thoth is':>10}")
        for name, seconds in told["seconds"].items():
            rate = told["texts"] / statistics.median(seconds)
            ratio = told["speedup"].get(name)
            said = "" if ratio is None else f"{ratio:.2f} x"
            print(f"{name:30} {rate:9.1f} {told['texts'] / min(seconds):9.1f} {said:>10}")
        print(f"the least cosine to sentence-transformers: {told['least_cosine']:.6f}")
    one = found["single"]
    print()
    for name, label in (
        ("embed_ms", "one short text, client to vector"),
        ("query_ms", "a query over 1,000 chunks, idle"),
        ("back_ms", "SIGKILL of an embed worker to READY"),
        ("command_ms", "thoth query, the whole command"),
    ):
        values = sorted(one[name])
        high = values[min(len(values) - 1, int(0.99 * len(values)))]
        print(f"{label:40} p50 {statistics.median(values):8.1f} ms, p99 {high:8.1f} ms")
    print(f"{'thoth-supervisor start':40} {one['start_s']:.1f} s")
    for name, size in one["memory_bytes"].items():
        if size:
            print(f"{name:40} {size / 2**20:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kinds", default="mixed,short,long")
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--quick", action="store_true", help="all of it small")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    part = 1.0
    if options.quick:
        options.rounds, options.kinds, options.queries, part = 2, "mixed", 50, 0.3
    print(f"on {machine()}, load {os.getloadavg()[0]:.1f}", flush=True)
    found = {
        "machine": machine(),
        "single": single(options.queries),
        "bulk": bulk(options.rounds, options.kinds.split(","), part),
    }
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
