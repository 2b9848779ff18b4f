"""Reports of the workers' deaths: looked into, and kept on the disk."""

from __future__ import annotations

import logging
import platform
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from thoth_core import __version__
from thoth_core.death_reports import deaths_dir, write_report
from thoth_core.oom import oom_kills
from thoth_core.supervisor.death_report import (
    Facts,
    death_report,
    index_held,
    index_report,
    is_planned,
    report_id,
    report_of_same,
    told_already,
)
from thoth_core.supervisor.memory_kills import MemoryKills
from thoth_core.supervisor.processes import Child, describe_exit
from thoth_core.supervisor.slots import Exit, Slot
from thoth_core.supervisor.stacks import read_stacks

#: Models of whose workers it is remembered how they ended at their start.
MOST_MODELS = 100


class Deaths:
    def __init__(self, data_dir: Path, log: logging.Logger) -> None:
        self._folder = deaths_dir(data_dir)
        self._log = log
        self._kills = MemoryKills()
        self._kills.look(0.0, oom_kills())
        #: What the last worker of a slot said was wrong, so that a slot which is tried again and
        #: again does not crowd out all other reports.
        self._failures: dict[str, Any] = {}
        #: By model, how the last worker of a slot on demand ended that never was READY: such a slot
        #: is made anew each time that somebody asks.
        self._starts: dict[str, Exit] = {}

    def tick(self, now: float) -> None:
        if self._kills.due(now):
            self._kills.look(now, oom_kills())

    def for_memory(self) -> bool | None:
        """Whether a kill of just now was the kernel's, for want of memory; None where it does not
        say."""
        return self._kills.explains(oom_kills())

    def report(
        self,
        now: float,
        slot: Slot,
        child: Child,
        exit: Exit,
        *,
        held: Mapping[str, Any],
        beat: Mapping[str, Any],
    ) -> str:
        """Keep a report of this death, unless it was planned; its id, empty if there is none. A
        disk that is full, or may not be written, costs the report and nothing else."""
        if is_planned(slot, exit, stalled=child.stalled):
            return ""
        failure = slot.failure if exit.boot_failure else None
        known, self._failures[slot.name] = self._failures.get(slot.name), failure
        if failure is not None and failure == known:
            return ""
        if told := told_already(slot, exit) or self._told_of_model(slot, child, exit):
            return told
        facts = Facts(
            pid=child.pid,
            incarnation=child.incarnation,
            uptime=now - child.born,
            model=slot.model,
            versions={"thoth": __version__, "python": platform.python_version()},
            held=held,
            ready=child.said,
            beat=beat,
            output=tuple(child.tail),
            stacks=child.stacks,
            stalled=child.stalled,
        )
        id = self._keep(death_report(report_id(exit.at, child.incarnation), slot, exit, facts))
        if slot.on_demand and not child.said:
            self._starts[slot.model] = replace(exit, report=id)
            if len(self._starts) > MOST_MODELS:
                del self._starts[next(iter(self._starts))]
        return id

    def _told_of_model(self, slot: Slot, child: Child, exit: Exit) -> str:
        """The id of a report that says all of this end: no worker of this model has come further
        since."""
        if not slot.on_demand:
            return ""
        if child.said:
            self._starts.pop(slot.model, None)
            return ""
        return report_of_same(self._starts.get(slot.model), exit)

    def report_index(
        self, wall: float, store: Child, body: Mapping[str, Any], rss: int | None
    ) -> str:
        """Keep a report of the death of the store's index process, of which ``store`` said
        ``body``; its id, empty if there is none. ``rss`` is what it had, in bytes."""
        code, why = int(body.get("code", 0)), str(body.get("why", ""))
        killed = code == -signal.SIGKILL and not why
        exit = describe_exit(code, wall, why, self.for_memory() if killed else None)
        facts = Facts(
            pid=int(body.get("pid", 0)),
            incarnation=store.incarnation,
            uptime=float(body.get("uptime", 0.0)),
            model="",
            versions={"thoth": __version__, "python": platform.python_version()},
            held=index_held(str(body.get("op", "")), float(body.get("seconds", 0.0))),
            ready={"versions": store.said.get("versions")},
            beat={"rss_bytes": rss},
            output=tuple(store.tail),
            stacks=read_stacks(str(body.get("dump", ""))),
            stalled=bool(why),
        )
        return self._keep(index_report(exit, facts))

    def _keep(self, report: Mapping[str, Any]) -> str:
        try:
            write_report(self._folder, report)
        except Exception as problem:
            # The report is about a death; it must not be the cause of one more.
            self._log.error("the report of this death could not be kept: %s", problem)
            return ""
        return str(report["id"])
