"""From the supervisor's log: how long each worker's place was without a ready worker, and how many
workers were replaced as planned. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

_LINE = re.compile(
    r"^(?P<day>\d{4}-\d\d-\d\d) (?P<time>\d\d:\d\d:\d\d),(?P<ms>\d{3}) \w+ \S+: "
    r"(?:worker (?P<slot>\S+) \(pid \d+\) (?P<what>ended(?P<planned>: recycled)?|is ready)"
    r"|(?P<birth>supervisor \d+ for ))"
)


@dataclass(frozen=True)
class Restart:
    """``seconds`` from the death that the supervisor saw until the next worker was ready."""

    slot: str
    seconds: float

    @property
    def role(self) -> str:
        return "store" if self.slot == "store" else "embed"


def restarts(log: Iterable[str]) -> list[Restart]:
    """One for each death that was followed by a ready worker of the same supervisor. A death
    before the next one was ready counts from its own time."""
    deaths: dict[str, list[float]] = defaultdict(list)
    found: list[Restart] = []
    for line in log:
        match = _LINE.match(line)
        if match is None:
            continue
        if match["birth"]:
            deaths.clear()
            continue
        at = datetime.fromisoformat(f"{match['day']} {match['time']}.{match['ms']}").timestamp()
        if match["planned"]:
            continue
        if match["what"].startswith("ended"):
            deaths[match["slot"]].append(at)
        else:
            found += [Restart(match["slot"], at - since) for since in deaths.pop(match["slot"], [])]
    return found


def planned(log: Iterable[str]) -> int:
    """Ends of workers that were replaced because they had grown."""
    return sum(1 for line in log if (match := _LINE.match(line)) and match["planned"])


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that ``share`` of them do not exceed; 0 for none."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
