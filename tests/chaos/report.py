"""What happened in a run of the chaos program, in lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tests.chaos.faults import Faults
from tests.chaos.journal import Story
from tests.chaos.restarts import percentile, planned, restarts
from tests.chaos.table import line
from tests.chaos.watcher import Watcher

#: What the supervisors count of which is of interest here.
_COUNTED = (
    "units_retried",
    "units_resent",
    "frames_late",
    "frames_bad",
    "requests_overloaded",
    "texts_poisoned",
    "defects",
)


def table(
    faults: Faults, story: Story, watcher: Watcher, log: Sequence[str], seconds: float
) -> list[str]:
    """``log`` are the lines of the supervisors."""
    lines = ["", line("seconds", f"{seconds:.0f}"), line("faults", faults.done.total())]
    lines += [line(f"  {kind}", n) for kind, n in sorted(faults.done.items())]
    lines += [
        line("requests", f"{story.requests:,}"),
        line("  answers", f"{story.answers:,}"),
        line("  open when their client was killed", story.cut_off),
        line("  without an answer", len(story.unanswered)),
        line("  with more than one", len(story.twice) + story.dropped),
        line("  that cannot be right", len(story.wrong)),
    ]
    lines += [
        line(f"  {name}", f"{n:,}, the longest {story.longest.get(name, 0):.1f} s")
        for name, n in sorted(story.asked.items())
    ]
    by_code = Counter(each.code for each in story.failures)
    lines += [line("errors", by_code.total())]
    lines += [line(f"  {code}", n) for code, n in sorted(by_code.items())]
    counted = watcher.counters()
    lines += [line(name.replace("_", " "), f"{counted[name]:,}") for name in _COUNTED]
    deaths = counted["embed_workers_ended"] + counted["store_workers_ended"]
    lines += [line("deaths of workers and stores", deaths)]
    lines += [line("  replaced for their memory", planned(log))]
    for role, name in (("embed", "embed worker"), ("store", "store")):
        times = [each.seconds for each in restarts(log) if each.role == role]
        lines.append(line(f"{name}: from death to READY", _times(times)))
    lines += [
        line("supervisor: from death to an answer", _times(faults.back)),
        line("  until all its processes were gone", _times(faults.orphaned)),
        line("supervisors, one after the other", len(watcher.pids)),
    ]
    return lines


def _times(values: Sequence[float]) -> str:
    if not values:
        return "none"
    p50, p95 = percentile(values, 0.5), percentile(values, 0.95)
    return f"p50 {p50:.2f} s, p95 {p95:.2f} s, longest {max(values):.2f} s, of {len(values)}"
