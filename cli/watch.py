"""``thoth-supervisor status --watch``: what the service does, again and again until Ctrl-C."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.harmless import harmless
from cli.output import Output
from cli.status_text import status_lines
from thoth_core.errors import ThothError

if TYPE_CHECKING:
    from thoth_core import Settings

#: Seconds for an answer, at least and at most. One look later another is tried.
ANSWER, ANSWER_AT_MOST = 2.0, 10.0


@dataclass(frozen=True, slots=True)
class Rates:
    """What was done between two looks: a second, but for ``retries``, which are units that were
    embedded again in that time."""

    texts: float
    calls: float
    retries: int

    def to_dict(self) -> dict[str, float]:
        return {"texts_per_s": self.texts, "calls_per_s": self.calls, "retries": self.retries}


def rates(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Rates | None:
    """The rates between two answers to ``status``, by the supervisor's own clock and counters. None
    for the first one, and for two supervisors."""
    if before is None or before.get("pid") != after.get("pid"):
        return None
    seconds = float(after.get("uptime_s", 0)) - float(before.get("uptime_s", 0))
    if seconds <= 0:
        return None

    def more(*names: str) -> int:
        old, new = before.get("counters") or {}, after.get("counters") or {}
        return sum(int(new.get(name, 0)) - int(old.get(name, 0)) for name in names)

    return Rates(
        texts=round(more("texts_embedded") / seconds, 1),
        calls=round(more("requests_answered", "requests_failed") / seconds, 1),
        retries=more("units_retried"),
    )


def rates_line(found: Rates | None) -> str:
    if found is None:
        return "rates: with the next look"
    return (
        f"rates: {found.texts:,.1f} texts/s, {found.calls:,.1f} calls/s, {found.retries:,} retries"
    )


def one_line(status: Mapping[str, Any], found: Rates | None) -> str:
    """A look for whoever has no terminal."""
    workers = [w for w in status.get("workers") or () if isinstance(w, Mapping)]
    ready = sum(w.get("state") in ("READY", "BUSY") for w in workers)
    parts = [f"{status.get('state', '?')} (pid {status.get('pid', '?')})"]
    if found is not None:
        parts.append(rates_line(found).removeprefix("rates: "))
    parts.append(f"{ready} of {len(workers)} workers ready")
    queue = status.get("queue")
    if isinstance(queue, Mapping):
        parts.append(f"{queue.get('requests', 0)} requests open")
    return ", ".join(parts)


class Screen:
    """Lines on a terminal, each drawing in the place of the one before."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._height = 0

    def draw(self, lines: list[str]) -> None:
        # A line that is folded, or one below the last, would be in nobody's count.
        columns, rows = shutil.get_terminal_size()
        shown = [_plain(line)[: columns - 1] for line in lines[: rows - 1]]
        up = f"\x1b[{self._height}A" if self._height else ""
        self._output.styled(up + "\x1b[J" + "\n".join(map(harmless, shown)))
        self._output.flush()
        self._height = len(shown)


def watch(output: Output, settings: Settings, interval: float) -> None:
    """Look every ``interval`` seconds until interrupted. A supervisor that is not there is waited
    for, and never started."""
    from thoth_core.client.control import control

    terminal = not output.json and output.out.isatty()
    screen = Screen(output)
    patience = min(max(ANSWER, interval), ANSWER_AT_MOST)
    before: Mapping[str, Any] | None = None
    missing = False
    while True:
        began = time.monotonic()
        clock = time.strftime("%H:%M:%S")
        try:
            status = control(settings, "status", timeout=patience)
        except ThothError as problem:
            before = None
            if terminal:
                screen.draw([f"{clock}  {problem.message}; waiting for one"])
            elif output.json:
                output.event({"time": time.time(), "state": None, "error": problem.to_dict()})
            elif not missing:
                output.line(f"{clock}  {problem.message}; waiting for one")
            missing = True
        else:
            found = rates(before, status)
            if terminal:
                screen.draw([f"{clock}  {rates_line(found)}", *status_lines(status)])
            elif output.json:
                told = None if found is None else found.to_dict()
                output.event({"time": time.time(), **status, "rates": told})
            else:
                output.line(f"{clock}  {one_line(status, found)}")
            before, missing = status, False
        output.flush()
        time.sleep(max(0.0, interval - (time.monotonic() - began)))


def _plain(line: str) -> str:
    """Without what would move the cursor."""
    return "".join(c if c.isprintable() else " " for c in line)
