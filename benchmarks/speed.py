"""Thoth beside other ways to do the same, on the same weights and texts; how near it comes to what
the machine can do; and how long single things take (:mod:`benchmarks.latency`).

    python -m benchmarks.speed                # ten minutes: make bench
    python -m benchmarks.speed --full         # all of it, make bench-full
    python -m benchmarks.speed --quick        # two, to see that it works
    python -m benchmarks.speed --part bulk    # one part of it

In each round every peer does the same texts, one after the other, so that what else the machine
does falls on all of them; ratios are medians over the rounds. Those that use one core a process
have as many processes as there are cores, each with an equal share.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import accuracy, calibration, grown, latency, roofline, speed_ingest, speed_peers
from benchmarks.peer import Peer
from benchmarks.speed_onnx import export_onnx
from benchmarks.speed_peers import ALONE, DEFAULTS, OURS, SHARED
from benchmarks.speed_plot import plot
from benchmarks.speed_table import (
    HEAD,
    best_cost,
    isolation_cost,
    roofline_share,
    rows,
    speedup,
)
from benchmarks.speed_texts import MODEL, pieces, texts
from tests.support.service import RealService
from thoth_core.cores import available_cores

#: Texts of one round, by their kind: about as long for each.
COUNTS = {"short": 1024, "mixed": 128, "long": 112}
#: Of an ingest; and of the stream in which a start and an end hardly count.
CHUNKS, STREAM = 224, 768
PARTS = ("bulk", "stream", "ingest", "latency")
#: Those that take long, with --full.
LONG_PARTS = ("accuracy", "grown")


def bulk(rounds: int, kinds: Sequence[str], part: float) -> dict[str, Any]:
    """Seconds of each peer in each round, by the kind of texts."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, Running() as running:
        folder = Path(name)
        onnx = folder / "model.onnx"
        export_onnx(onnx)
        for peer in speed_peers.PEERS:
            running.add("benchmarks.speed_peers", peer, BENCH_ONNX=str(onnx))
        for kind in kinds:
            given = texts(kind, int(COUNTS[kind] * part))
            taken = running.rounds(lambda number, given=given: given, rounds)
            found[kind] = told(given, taken) | {
                "speedup": {n: speedup(taken[n], taken[OURS]) for n in taken if n != OURS},
                "least_cosine": least_cosine(running.peers, given, folder / "vectors.npy"),
            }
    return found


def least_cosine(peers: Sequence[Peer], given: list[str], npy: Path) -> float:
    """The least that a text's vector of ours agrees with sentence-transformers' (fp32)."""
    vectors = {}
    for peer in peers:
        if peer.name in (OURS, DEFAULTS):
            peer.work(given, npy)
            vectors[peer.name] = np.load(npy)
    return float((vectors[DEFAULTS] * vectors[OURS]).sum(axis=1).min())


def stream(rounds: int, part: float) -> dict[str, Any]:
    """The service and its engine alone on so many texts that starts and ends hardly count; and the
    part of the machine's matrix products that this is."""
    given = texts("mixed", int(STREAM * part), seed=5)
    with Running() as running:
        for peer in (ALONE, OURS):
            running.add("benchmarks.speed_peers", peer)
        taken = running.rounds(lambda number: given, rounds)
    peak = roofline.measure(available_cores(), seconds=0.15 * part)
    # As the model reads them: with the two special ones.
    lengths = [each + 2 for each in pieces(given)]
    return told(given, taken) | {
        "isolation_percent": isolation_cost(taken[OURS], taken[ALONE]),
        "flop": roofline.model_flop(lengths),
        "tokens": sum(lengths),
        "peak": peak,
        "share": {
            kind: roofline_share(lengths, min(taken[OURS]), each["flops"])
            for kind, each in peak.items()
        },
    }


def ingest(rounds: int, part: float) -> dict[str, Any]:
    """Seconds of each store until a search finds the last of so many new texts. Others in each
    round: Thoth does not embed again what it has."""
    count = int(CHUNKS * part)
    with tempfile.TemporaryDirectory() as folder, Running() as running:
        for peer in speed_ingest.PEERS:
            running.add("benchmarks.speed_ingest", peer, BENCH_STORES=folder)
        # Drawn at once, because two draws have texts in common.
        drawn = texts("mixed", count * (rounds + 1), seed=100)
        taken = running.rounds(lambda number: drawn[number * count : (number + 1) * count], rounds)
    return told(drawn[:count], taken) | {
        "speedup": {n: speedup(taken[n], taken[OURS]) for n in taken if n != OURS}
    }


def told(given: Sequence[str], taken: dict[str, list[float]]) -> dict[str, Any]:
    return {"texts": len(given), "pieces": sum(pieces(given)), "seconds": taken}


class Running:
    """A service, and peers beside it; all of them are ended at the end."""

    def __init__(self) -> None:
        self.service = RealService.make(MODEL, THOTH_EMBED_WORKERS=str(available_cores()))
        self.peers: list[Peer] = []

    def __enter__(self) -> Running:
        try:
            self.service.start()
        except BaseException:
            self.service.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        try:
            for peer in self.peers:
                peer.close()
        finally:
            self.service.close()

    def add(self, module: str, name: str, **environ: str) -> None:
        count = available_cores() if name in SHARED else 1
        self.peers.append(Peer(module, name, count, self.service.environ(**environ)))

    def rounds(self, given: Callable[[int], Sequence[str]], rounds: int) -> dict[str, list[float]]:
        """Seconds of each peer in each round. ``given``: the texts of a round, by its number. Each
        round begins with another peer; before them is one with a fourth of the texts, for memory
        and clocks."""
        taken: dict[str, list[float]] = {peer.name: [] for peer in self.peers}
        for number in range(rounds + 1):
            now = list(given(number))
            turn = number % len(self.peers)
            for peer in (*self.peers[turn:], *self.peers[:turn]):
                if number:
                    taken[peer.name].append(peer.work(now))
                else:
                    peer.work(now[: len(now) // 4])
        return taken


def machine() -> str:
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    name = next((x.partition(":")[2].strip() for x in text.splitlines() if "model name" in x), "")
    kinds = [each for each in ("avx512_bf16", "amx_bf16") if each in text]
    return (
        f"{available_cores()} cores, {name or platform.processor()}"
        f" ({', '.join(kinds) or 'no bf16'}), Python {platform.python_version()}"
    )


def versions() -> dict[str, str]:
    found = {}
    for name in (
        "openvino",
        "torch",
        "sentence-transformers",
        "onnxruntime",
        "chromadb",
        "langchain-huggingface",
        "langchain-chroma",
    ):
        # Some are in the extra "bench", and not all parts need them.
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def show(found: dict[str, Any]) -> None:
    for kind, each in found.get("bulk", {}).items():
        average = each["pieces"] / each["texts"]
        _rates(f"embed {each['texts']} {kind} texts of {average:.0f} word pieces", each)
        print(f"the least cosine to sentence-transformers: {each['least_cosine']:.6f}")
    if "ingest" in found:
        _rates(f"ingest {found['ingest']['texts']} chunks end to end", found["ingest"])
    if "stream" in found:
        each = found["stream"]
        _rates(f"embed {each['texts']} mixed texts in one call", each)
        best = each["tokens"] / min(each["seconds"][OURS])
        print(
            f"isolation costs {each['isolation_percent']:.1f} %, the best rounds compared"
            f" {best_cost(each['seconds']):.1f} %; {best:.0f} tokens/s at best,"
            f" {each['flop'] / each['tokens'] / 1e6:.1f} MFLOP a token"
        )
        roofline.show(each["peak"])
        for kind, share in each["share"].items():
            print(f"share of the {kind} roofline: {share:.2f}")
    for name, part in (("latency", latency), ("accuracy", accuracy), ("grown", grown)):
        if name in found:
            part.show(found[name])
    print()
    for when, each in found["calibration"].items():
        print(f"calibration {when}:")
        calibration.show(each)
    print(f"\n{HEAD}")
    for row in rows(found):
        print(row.text())


def _rates(what: str, each: dict[str, Any]) -> None:
    print(f"\n{what}")
    print(f"{'':30} {'texts/s':>9} {'best':>9} {'Thoth is':>10}")
    for name, seconds in each["seconds"].items():
        rate = each["texts"] / statistics.median(seconds)
        ratio = f"{speedup(seconds, each['seconds'][OURS]):.2f} x" if name != OURS else ""
        print(f"{name:30} {rate:9.1f} {each['texts'] / min(seconds):9.1f} {ratio:>10}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, help="default: 5, 9 with --full, 2 with --quick")
    parser.add_argument("--kinds", help="of mixed, short and long, with commas")
    parser.add_argument("--part", choices=(*PARTS, *LONG_PARTS), action="append")
    parser.add_argument("--size", type=float, help="of each round of bulk, stream and ingest: 1.0")
    much = parser.add_mutually_exclusive_group()
    much.add_argument("--full", action="store_true", help="all parts and kinds, more rounds")
    much.add_argument("--quick", action="store_true", help="all of it small")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--plot", type=Path, help="write a picture of the rates, a PNG")
    options = parser.parse_args()
    parts = options.part or (PARTS + LONG_PARTS if options.full else PARTS)
    kinds = (options.kinds or ("mixed,short,long" if options.full else "mixed")).split(",")
    rounds = options.rounds or (9 if options.full else 2 if options.quick else 5)
    size = options.size or (0.25 if options.quick else 1.0)
    if options.plot and not {"bulk", "ingest"} <= set(parts):
        parser.error("--plot shows the parts bulk and ingest, which are not measured")
    began = time.perf_counter()
    print(f"on {machine()}, load {os.getloadavg()[0]:.1f}", flush=True)
    found: dict[str, Any] = {
        "machine": machine(),
        "versions": versions(),
        "date": time.strftime("%Y-%m-%d"),
        "rounds": rounds,
        "load_before": os.getloadavg()[0],
        "calibration": {"before": calibration.measure(size)},
    }
    if "bulk" in parts:
        found["bulk"] = bulk(rounds, kinds, size)
    if "stream" in parts:
        found["stream"] = stream(rounds, size)
    if "ingest" in parts:
        found["ingest"] = ingest(rounds, size)
    if "latency" in parts:
        found["latency"] = latency.measure(options.quick)
    if "accuracy" in parts:
        found["accuracy"] = accuracy.measure(options.quick)
    if "grown" in parts:
        found["grown"] = grown.measure(options.quick)
    found["calibration"]["after"] = calibration.measure(size)
    found["seconds"] = time.perf_counter() - began
    show(found)
    print(f"\n{found['seconds']:.0f} s in all")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    if options.plot:
        plot(found, options.plot)


if __name__ == "__main__":
    main()
