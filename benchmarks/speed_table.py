"""What the speed has to be, beside what was measured. Pure.

``found`` is what :mod:`benchmarks.speed` writes with ``--json``.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.roofline import model_flop
from benchmarks.speed_ingest import LANGCHAIN
from benchmarks.speed_peers import ALONE, DEFAULTS, ONNX, OURS, SAFE

Found = Mapping[str, Any]
NOT_MEASURED = "not measured"


Value = Callable[[Found], float | None]


@dataclass(frozen=True)
class Must:
    """``more``: whether more is better. ``value`` raises KeyError, or gives None, where ``found``
    has no such figure."""

    what: str
    unit: str
    floor: float
    goal: float
    more: bool
    value: Value


@dataclass(frozen=True)
class Row:
    must: Must
    value: float | None
    verdict: str

    def text(self) -> str:
        told = "" if self.value is None else figure(self.value)
        must = self.must
        return (
            f"{must.what:62} {told:>8} {figure(must.floor):>9} {figure(must.goal):>9}"
            f" {must.unit:5} {self.verdict}"
        )


HEAD = f"{'':62} {'measured':>8} {'floor':>9} {'goal':>9}"


def rows(found: Found) -> list[Row]:
    """One for each figure that is asked for, in the order of MUST."""
    made = []
    for must in MUST:
        try:
            value = must.value(found)
        except (KeyError, IndexError):
            value = None
        made.append(Row(must, value, judge(value, must)))
    return made


def judge(value: float | None, must: Must) -> str:
    """ "goal" when it is reached, "floor" when only that is, else "below the floor"."""
    if value is None:
        return NOT_MEASURED
    sign = 1 if must.more else -1
    if sign * value >= sign * must.goal:
        return "goal"
    return "floor" if sign * value >= sign * must.floor else "below the floor"


def speedup(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """The median over the rounds of how many times as long theirs took. A machine that is slow for
    a while is so for both of a round."""
    return statistics.median(a / b for a, b in zip(theirs, ours, strict=True))


def isolation_cost(service: Sequence[float], alone: Sequence[float]) -> float:
    """How much longer it takes with a service, in percent."""
    return 100 * (speedup(service, alone) - 1)


def best_cost(seconds: Mapping[str, Sequence[float]]) -> float:
    """The same from the best round of each: for a machine that changes its speed within a round."""
    return 100 * (min(seconds[OURS]) / min(seconds[ALONE]) - 1)


def roofline_share(lengths: Sequence[int], seconds: float, peak: float) -> float:
    """The part of ``peak`` (FLOP/s) that the model's own products reached, for rows of so many
    tokens in so many seconds."""
    return model_flop(lengths) / seconds / peak


def figure(value: float) -> str:
    """Three digits that say something; more where only the distance from one does."""
    if 0.99 < abs(value) < 1:
        return f"{value:.6f}".rstrip("0")
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


# -- where each figure is ----------------------------------------------------------------------


def _at(*path: str, of: Callable[[Any], float] = float, times: float = 1.0) -> Value:
    """The figure that ``path`` leads to, or what ``of`` makes of the figures there. A part that
    had nothing to measure has None there."""

    def value(found: Found) -> float | None:
        told: Any = found
        for name in path:
            if told is None:
                return None
            told = told[name]
        return None if told is None else times * of(told)

    return value


def _times(part: Sequence[str], peer: str, ours: str) -> Value:
    return _at(*part, "seconds", of=lambda seconds: speedup(seconds[peer], seconds[ours]))


def _memory(*names: str) -> Value:
    """MB of all processes whose names begin so."""
    return _at("latency", "memory", of=lambda memory: sum(_sizes(memory, names)))


def _sizes(memory: Mapping[str, Any], names: tuple[str, ...]) -> list[float]:
    return [each["pss_mb"] for name, each in memory.items() if name.startswith(names)]


def _added(latency: Mapping[str, Any]) -> float:
    """The best round of the service less that of the engine: the least difference of a round would
    be that of the round in which the engine had bad luck."""
    return float(latency["single"]["best"]["p50_ms"] - latency["engine"]["best"]["p50_ms"])


_MIXED = ("bulk", "mixed")
_QUERY = ("latency", "query", "best")
_BUSY = ("latency", "busy", "query", "best")
_RECOVERY = ("latency", "recovery")

# fmt: off
MUST = (
    Must("bulk, mixed texts, against sentence-transformers' defaults", "x", 3.7, 4.5, True, _times(_MIXED, DEFAULTS, OURS)),
    Must("bulk, mixed texts, against the safe recipe", "x", 5.8, 7.5, True, _times(_MIXED, SAFE, OURS)),
    Must("bulk, mixed texts, against ONNX Runtime, as many processes", "x", 1.4, 1.7, True, _times(_MIXED, ONNX, OURS)),
    Must("ingest end to end against LangChain + Chroma, safe", "x", 5.5, 7.0, True, _times(("ingest",), LANGCHAIN, OURS)),
    Must("share of the bf16 roofline, bulk, mixed texts", "", 0.58, 0.70, True, _at("stream", "share", "bfloat16")),
    Must("cost of isolation, bulk", "%", 6, 3, False, _at("stream", "seconds", of=lambda s: isolation_cost(s[OURS], s[ALONE]))),
    Must("one short text: added to the engine's own, p50", "ms", 0.8, 0.4, False, _at("latency", of=_added)),
    Must("query at 20,000 chunks, idle, p50", "ms", 6, 4, False, _at(*_QUERY, "p50_ms")),
    Must("query at 20,000 chunks, idle, p99", "ms", 12, 8, False, _at(*_QUERY, "p99_ms")),
    Must("query while bulk ingest saturates the machine, p99", "ms", 40, 20, False, _at(*_BUSY, "p99_ms")),
    Must("SIGKILL of an embed worker to READY, p50", "s", 0.8, 0.5, False, _at(*_RECOVERY, "kills", of=statistics.median)),
    Must("thoth-supervisor start, cache warm", "s", 3, 1.5, False, _at(*_RECOVERY, "starts", "returned_s", of=min)),
    Must("thoth-supervisor start, the first time ever", "s", 25, 15, False, _at(*_RECOVERY, "first_start", "returned_s")),
    Must("thoth query, the whole process", "ms", 200, 120, False, _at(*_RECOVERY, "commands", "query", of=min, times=1000)),
    Must("memory (PSS) of the supervisor", "MB", 60, 40, False, _memory("supervisor")),
    Must("memory (PSS) of an embed worker, the largest", "MB", 450, 300, False, _at("latency", "memory", of=lambda m: max(_sizes(m, ("embed",))))),
    Must("memory (PSS) of the store and its index, 20,000 chunks", "MB", 450, 350, False, _memory("store", "index")),
    Must("chunks/s at 200,000 chunks against the first 20,000", "", 0.4, 0.8, True, _at("grown", "last_to_first")),
    Must("least cosine to fp32, bf16", "", 0.9999, 0.9999, True, _at("accuracy", "precisions", "bf16", "least_cosine")),
    Must("least cosine to fp32, fp32", "", 0.999999, 0.999999, True, _at("accuracy", "precisions", "fp32", "least_cosine")),
    Must("top 10 of 200 queries that agree, bf16", "", 0.99, 0.99, True, _at("accuracy", "precisions", "bf16", "overlap")),
)
