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


@dataclass(frozen=True)
class Must:
    """``more``: whether more is better. ``value`` raises KeyError, or gives None, where ``found``
    has no such figure."""

    what: str
    unit: str
    floor: float
    goal: float
    more: bool
    value: Callable[[Found], float | None]


@dataclass(frozen=True)
class Row:
    must: Must
    value: float | None
    verdict: str

    def text(self) -> str:
        told = "" if self.value is None else figure(self.value)
        must = self.must
        return (
            f"{must.what:62} {told:>8} {figure(must.floor):>7} {figure(must.goal):>7}"
            f" {must.unit:5} {self.verdict}"
        )


HEAD = f"{'':62} {'measured':>8} {'floor':>7} {'goal':>7}"


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


def roofline_share(lengths: Sequence[int], seconds: float, peak: float) -> float:
    """The part of ``peak`` (FLOP/s) that the model's own products reached, for rows of so many
    tokens in so many seconds."""
    return model_flop(lengths) / seconds / peak


def figure(value: float) -> str:
    """Three digits that say something."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


# -- where each figure is ----------------------------------------------------------------------


def _bulk(peer: str) -> Callable[[Found], float | None]:
    def value(found: Found) -> float | None:
        seconds = found["bulk"]["mixed"]["seconds"]
        return speedup(seconds[peer], seconds[OURS])

    return value


def _ingest(found: Found) -> float | None:
    seconds = found["ingest"]["seconds"]
    return speedup(seconds[LANGCHAIN], seconds[OURS])


def _share(found: Found) -> float | None:
    return float(found["stream"]["share"]["bfloat16"])


def _isolation(found: Found) -> float | None:
    seconds = found["stream"]["seconds"]
    return isolation_cost(seconds[OURS], seconds[ALONE])


def _spread(*path: str) -> Callable[[Found], float | None]:
    """A figure of the latency part that may be missing there: None."""

    def value(found: Found) -> float | None:
        told: Any = found["latency"]
        for name in path:
            if told is None:
                return None
            told = told[name]
        return None if told is None else float(told)

    return value


def _least(*path: str, times: float = 1.0) -> Callable[[Found], float | None]:
    """The best of the figures of the latency part that ``path`` leads to."""

    def value(found: Found) -> float | None:
        told: Any = found["latency"]
        for name in path:
            told = told[name]
        return times * min(told)

    return value


def _p50(*path: str) -> Callable[[Found], float | None]:
    def value(found: Found) -> float | None:
        told: Any = found["latency"]
        for name in path:
            told = told[name]
        return float(statistics.median(told))

    return value


def _memory(*names: str) -> Callable[[Found], float | None]:
    """Of all processes whose names begin so, the sum or, of embed workers, the largest."""

    def value(found: Found) -> float | None:
        memory = found["latency"]["memory"]
        sizes = [each["pss_mb"] for name, each in memory.items() if name.startswith(names)]
        return max(sizes) if names == ("embed",) else sum(sizes)

    return value


MUST = (
    Must(
        "bulk, mixed texts, against sentence-transformers defaults",
        "x",
        3.7,
        4.5,
        True,
        _bulk(DEFAULTS),
    ),
    Must("bulk, mixed texts, against the safe recipe", "x", 5.8, 7.5, True, _bulk(SAFE)),
    Must(
        "bulk, mixed texts, against ONNX Runtime, as many processes",
        "x",
        1.4,
        1.7,
        True,
        _bulk(ONNX),
    ),
    Must("ingest end to end against LangChain + Chroma, safe", "x", 5.5, 7.0, True, _ingest),
    Must("share of the bf16 roofline, bulk, mixed texts", "", 0.58, 0.70, True, _share),
    Must("cost of isolation, bulk", "%", 6, 3, False, _isolation),
    Must(
        "one short text: added to the engine's own, p50", "ms", 0.8, 0.4, False, _least("added_ms")
    ),
    Must(
        "query at 20,000 chunks, idle, p50", "ms", 6, 4, False, _spread("query", "best", "p50_ms")
    ),
    Must(
        "query at 20,000 chunks, idle, p99", "ms", 12, 8, False, _spread("query", "best", "p99_ms")
    ),
    Must(
        "query while bulk ingest saturates the machine, p99",
        "ms",
        40,
        20,
        False,
        _spread("busy", "query", "best", "p99_ms"),
    ),
    Must(
        "SIGKILL of an embed worker to READY, p50", "s", 0.8, 0.5, False, _p50("recovery", "kills")
    ),
    Must(
        "thoth-supervisor start, cache warm",
        "s",
        3,
        1.5,
        False,
        _least("recovery", "starts", "returned_s"),
    ),
    Must(
        "thoth-supervisor start, the first time ever",
        "s",
        25,
        15,
        False,
        _spread("recovery", "first_start", "returned_s"),
    ),
    Must(
        "thoth query, the whole process",
        "ms",
        200,
        120,
        False,
        _least("recovery", "commands", "query", times=1000),
    ),
    Must("memory of the supervisor (PSS)", "MB", 60, 40, False, _memory("supervisor")),
    Must("memory of an embed worker (PSS), the largest", "MB", 450, 300, False, _memory("embed")),
    Must(
        "memory of the store and its index at 20,000 chunks (PSS)",
        "MB",
        450,
        350,
        False,
        _memory("store", "index"),
    ),
)
