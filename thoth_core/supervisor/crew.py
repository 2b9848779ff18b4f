"""The worker processes: slots joined to children. It carries out what the slots decide."""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from thoth_core import log_format
from thoth_core.devices import devices_for, place, threads
from thoth_core.errors import ThothError, WorkerFailed, from_dict
from thoth_core.provider import is_openai, lacks_key
from thoth_core.settings import Settings
from thoth_core.supervisor.deaths import Deaths
from thoth_core.supervisor.environment import child_environment
from thoth_core.supervisor.logs import worker_log
from thoth_core.supervisor.pool import Staff
from thoth_core.supervisor.processes import NO_PROGRESS, Child
from thoth_core.supervisor.recycling import MB, Bounds, Recycle, Recycling, Seen, Standing
from thoth_core.supervisor.slots import (
    Action,
    Exit,
    Lane,
    Policy,
    Role,
    Signal,
    Slot,
    Spawn,
    State,
    Tell,
)
from thoth_core.wire import Message

STORE = "store"
#: Seconds after a pause of the whole service in which no worker is judged by a timer of its own.
AFTER_PAUSE = 2.0


class Crew:
    """``tell`` sends a message to a child; ``watch`` and ``unwatch`` add and remove a child's
    descriptors from the loop."""

    def __init__(
        self,
        settings: Settings,
        service: str,
        back_path: Path,
        *,
        tell: Callable[[Child, Message], None],
        watch: Callable[[Child], None],
        unwatch: Callable[[Child], None],
        policy: Policy | None = None,
    ) -> None:
        self.settings = settings
        self.service = service
        self.slots: dict[str, Slot] = {}
        self.children: dict[str, Child] = {}
        self.ready_info: dict[str, Mapping[str, Any]] = {}
        self.beats: dict[str, Mapping[str, Any]] = {}
        self.recycling = Recycling(Bounds(settings.worker_memory_mb * MB, settings.worker_max_age))
        self._back_path = back_path
        self._tell = tell
        self._watch = watch
        self._unwatch = unwatch
        self._log = logging.getLogger("thoth.supervisor")
        self._deaths = Deaths(settings.data_dir, self._log)
        self._paused_until = 0.0
        self._policy = policy
        self._key = settings.openai_key
        #: It ends; no slot is added.
        self.stopping = False
        #: The models besides the service's own that have slots, by the number in their names.
        self._numbers: dict[int, str] = {}
        self._add(STORE, "store", "")
        own = settings.embedding_model
        if is_openai(own):
            # One for both lanes: it waits and does not compute, and a provider's limits are kept by
            # who sends all that there is.
            self._add("embed-bulk-1", "embed", "bulk", own)
            return
        # First, because one worker is enough to answer with.
        self._add("embed-interactive", "embed", "interactive", own)
        for number in range(1, settings.embed_workers + 1):
            self._add(f"embed-bulk-{number}", "embed", "bulk", own)

    def _add(
        self, name: str, role: Role, lane: Lane, model: str = "", *, on_demand: bool = False
    ) -> None:
        self.slots[name] = Slot(
            name, role, lane, self._chance, self._policy, model=model, on_demand=on_demand
        )

    @staticmethod
    def _chance() -> float:
        return random.random()

    # -- models besides the service's own -----------------------------------------------------

    def staff(self, model: str, lane: Lane) -> None:
        """Make a slot for this model; the next :meth:`tick` starts it."""
        if self.stopping:
            return
        used = {number for number, name in self._numbers.items() if name == model}
        number = next(iter(used), None) or next(n for n in count(2) if n not in self._numbers)
        self._numbers[number] = model
        prefix = f"embed-{number}-{lane}"
        # Of an interactive one there is a second only while the first is being ended.
        name = prefix if lane == "interactive" and prefix not in self.slots else ""
        name = name or next(n for i in count(1) if (n := f"{prefix}-{i}") not in self.slots)
        self._add(name, "embed", lane, model, on_demand=True)
        self._log.info("a worker for the model %s: %s", model, name)

    def retire(self, now: float, name: str) -> None:
        """End a slot of :meth:`staff` for good, after its work."""
        self._carry_out(now, self.slots[name].stop(now, drain=True))
        self._drop_stopped()

    def _drop_stopped(self) -> None:
        if self.stopping:
            # Those who end it look at what has stopped.
            return
        for slot in list(self.slots.values()):
            if slot.on_demand and slot.state is State.STOPPED:
                del self.slots[slot.name]
                self.ready_info.pop(slot.name, None)
        there = {slot.model for slot in self.slots.values() if slot.on_demand}
        self._numbers = {n: model for n, model in self._numbers.items() if model in there}

    # -- what is there ------------------------------------------------------------------------

    def child_of(self, identity: bytes) -> Child | None:
        """The living child with this ZeroMQ identity; None for one that is gone."""
        parts = identity.decode("ascii", "replace").split(".")
        child = self.children.get(parts[1]) if len(parts) == 3 else None
        return child if child is not None and child.identity == identity else None

    def embed_slots(self) -> list[Slot]:
        return [slot for slot in self.slots.values() if slot.role == "embed"]

    def own_slots(self) -> list[Slot]:
        """Those that the service has always."""
        return [slot for slot in self.slots.values() if not slot.on_demand]

    def staffs(self) -> dict[str, Staff]:
        """Who can be had of each model that has slots."""
        by_model: dict[str, list[Slot]] = {}
        for slot in self.embed_slots():
            by_model.setdefault(slot.model, []).append(slot)
        return {model: self._staff_of(slots) for model, slots in by_model.items()}

    def _staff_of(self, slots: list[Slot]) -> Staff:
        lanes = {s.lane for s in slots} - {s.lane for s in slots if not s.hopeless}
        given_up = frozenset(s.name for s in slots if s.hopeless)
        # Those that were ended for good say nothing of what is wrong.
        wrong = [s for s in slots if not (s.on_demand and s.stopped)]
        hopeless = bool(wrong) and all(s.hopeless for s in wrong)
        problem = self._problem(wrong[0]) if hopeless else None
        return Staff(problem, frozenset(lanes), given_up, frozenset(s.name for s in slots))

    def leaving(self) -> frozenset[str]:
        """The slots whose worker was told to end, or has ended and is not heard out."""
        ending = (State.DRAINING, State.STOPPING)
        told = frozenset(name for name, slot in self.slots.items() if slot.state in ending)
        return told | {name for name, child in self.children.items() if child.ended}

    def embed_problem(self) -> ThothError | None:
        """Why no embed worker of the service's own model can be had; None while one is there or on
        its way."""
        slots = [slot for slot in self.own_slots() if slot.role == "embed"]
        return self._staff_of(slots).problem

    def store_problem(self) -> ThothError | None:
        slot = self.slots[STORE]
        return self._problem(slot) if slot.hopeless else None

    def _problem(self, slot: Slot) -> ThothError:
        if slot.failure is not None:
            return from_dict(slot.failure)
        exit = slot.last_exit
        return WorkerFailed(
            f"the worker {slot.name} cannot be kept running",
            cause=f"it ended {slot.deaths} times without doing any work, the last time by: "
            f"{exit.reason if exit else 'unknown'}",
            fix=f"thoth-supervisor crashes, then thoth-supervisor restart {slot.name}",
            slot=slot.name,
            output=list(exit.tail) if exit else [],
        )

    @property
    def working(self) -> bool:
        """The store and at least one embed worker are READY."""
        return self.slots[STORE].state is State.READY and any(
            s.state is State.READY for s in self.own_slots() if s.role == "embed"
        )

    @property
    def ended(self) -> bool:
        return not self.children and all(s.state is State.STOPPED for s in self.slots.values())

    def wakes_at(self) -> float | None:
        times = [t for slot in self.slots.values() if (t := slot.wakes_at) is not None]
        return min(times, default=None)

    # -- events -------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        self._deaths.tick(now)
        for slot in list(self.slots.values()):
            self._carry_out(now, slot.tick(now))

    def stop(self, now: float, *, drain: bool, only: str | None = None) -> None:
        self.stopping = True
        for slot in list(self.slots.values()):
            if only is None or slot.role == only:
                self._carry_out(now, slot.stop(now, drain=drain))

    def restart(self, now: float, name: str | None) -> list[str]:
        """Restart one slot or all; the names of those that were."""
        names = [name] if name is not None else list(self.slots)
        for each in names:
            self._carry_out(now, self.slots[each].restart(now))
        return names

    def is_ready(self, now: float, child: Child, info: Mapping[str, Any]) -> None:
        """The worker said that it is READY, and ``info`` about itself."""
        self.slots[child.slot].ready(now)
        self.ready_info[child.slot] = child.said = info
        self._log.info("worker %s (pid %d) is ready", child.slot, child.pid)

    def replace_outdated(self, now: float, slot: Slot) -> bool:
        """Replace the workers of this one's model that say something else of it: its files have
        changed since they loaded them. Whether there were any."""
        mine = self.ready_info[slot.name].get("model")
        old = [
            each
            for each in self.slots.values()
            if each.role == "embed"
            and each.model == slot.model
            and each.state is State.READY
            and self.ready_info[each.name].get("model") != mine
        ]
        for each in old:
            self._log.warning("worker %s has loaded other files of %s", each.name, each.model)
            why, patience = "recycled: the files of its model changed", self.settings.unit_timeout
            self._carry_out(now, each.recycle(now, why, patience))
        return bool(old)

    def recycle(self, now: float) -> None:
        """Replace a worker that has grown over its bound, or is over its age, if it is time."""
        for found in self.recycling.look(now, [self._seen(slot) for slot in self.slots.values()]):
            if isinstance(found, Recycle):
                self._log.info("worker %s is to be %s", found.slot, found.reason)
                patience = self.settings.unit_timeout
                self._carry_out(now, self.slots[found.slot].recycle(now, found.reason, patience))
            else:
                self._log.warning("%s", found.text)

    def _seen(self, slot: Slot) -> Seen:
        since = slot.ready_since
        standing: Standing = "gone" if slot.hopeless else "coming" if since is None else "ready"
        beat = self.beats.get(slot.name, {})
        memory = beat.get("memory_bytes")
        return Seen(
            slot.name,
            slot.role,
            slot.lane,
            standing,
            slot.restarts,
            since or 0.0,
            memory if isinstance(memory, int) else None,
            slot.model,
            str(beat.get("engaged", "")),
        )

    def end_stalled(self, now: float, name: str, incarnation: str) -> None:
        """Kill a worker that has work and makes no progress."""
        child = self.children.get(name)
        if child is not None and child.incarnation == incarnation:
            self._log.warning("worker %s (pid %d) makes no progress", name, child.pid)
            child.stalled = True
            self._carry_out(now, self.slots[name].stalled(now))

    def stood_still(self, gap: float) -> None:
        self._paused_until = time.monotonic() + AFTER_PAUSE
        for slot in self.slots.values():
            slot.stood_still(gap)

    def config_for(self, slot: Slot) -> Message:
        child = self.children.get(slot.name)
        if child is not None and is_openai(slot.model):
            child.give_key(self._key)
        settings = self.settings.to_wire()
        if slot.role == "store":
            body: dict[str, Any] = {
                "data_dir": str(self.settings.data_dir),
                "runtime_dir": str(self.settings.service_dir),
                "service": self.service,
                "settings": settings,
            }
        else:
            devices = self._devices(slot)
            body = {
                "model": slot.model,
                "lane": slot.lane,
                "device": place(devices, slot.lane, slot.name),
                "threads": threads(devices, self.settings.embed_workers),
                "settings": settings,
            }
        return Message("config", body=body)

    def ended_child(self, now: float, child: Child, held: Mapping[str, Any]) -> Exit:
        """The child's sentinel said that it is gone; ``held`` is what it had in hand."""
        slot = self.slots[child.slot]
        self._unwatch(child)
        del self.children[child.slot]
        beat = self.beats.pop(child.slot, {})
        exit = child.reap(
            now,
            time.time(),
            for_memory=self._deaths.for_memory,
            paused=now < self._paused_until,
        )
        report = self._deaths.report(now, slot, child, exit, held=held, beat=beat)
        exit = replace(exit, report=report)
        self._log.log(
            logging.INFO if child.ended_by_us and not child.stalled else logging.WARNING,
            "worker %s (pid %d) ended: %s%s%s",
            child.slot,
            child.pid,
            exit.reason,
            f" ({exit.signal})" if exit.signal else "",
            f"; thoth-supervisor crashes {exit.report}" if exit.report else "",
        )
        if exit.report and exit.tail:
            self._log.warning("its last words:\n    %s", "\n    ".join(exit.tail))
        self._carry_out(now, slot.died(now, exit))
        if slot.state is State.FAILED:
            self._log.error("%s", self._problem(slot))
        self._drop_stopped()
        return exit

    def lacking(self) -> str:
        """What keeps a model of a provider from working that has slots; "" if nothing does."""
        server = self.settings.openai_base_url
        told = (lacks_key(slot.model, self._key, server) for slot in self.slots.values())
        return next(filter(None, told), "")

    def renew_key(self, now: float, key: str) -> list[str]:
        """Give this key to all who need one, from now on; the names of those who have it. Who had
        been given up for want of it is tried again."""
        self._key = key
        told = []
        for slot in self.slots.values():
            if not is_openai(slot.model):
                continue
            child = self.children.get(slot.name)
            if child is None or not child.give_key(key):
                self._carry_out(now, slot.restart(now))
            told.append(slot.name)
        self._log.info("there is another key for %s", ", ".join(told) or "nobody yet")
        return told

    def index_ended(self, now: float, child: Child, body: Mapping[str, Any]) -> None:
        """The store said how its index process ended."""
        rss = self.beats.get(child.slot, {}).get("index", {}).get("rss_bytes")
        id = self._deaths.report_index(time.time(), child, body, rss)
        if id:
            self._log.warning("the index process has ended; thoth-supervisor crashes %s", id)

    # -- within -------------------------------------------------------------------------------

    def _devices(self, slot: Slot) -> tuple[str, ...]:
        """The GPUs for the workers of this one's model, as they are now."""
        return devices_for(slot.model, self.settings.engine, self.settings.device)

    def _carry_out(self, now: float, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Spawn):
                self._spawn(now, self.slots[action.slot])
                continue
            child = self.children.get(action.slot)
            if child is None:
                continue
            slot = self.slots[action.slot]
            if isinstance(action, Tell):
                child.ended_by_us = slot.ending or "stopped"
                self._tell(child, Message(action.kind))
            elif isinstance(action, Signal):
                child.ended_by_us = slot.ending or (
                    NO_PROGRESS if child.stalled else "took too long to start"
                )
                self._log.warning("sending %s to %s (pid %d)", action.name, child.slot, child.pid)
                child.signal(action.name)

    def _spawn(self, now: float, slot: Slot) -> None:
        incarnation = os.urandom(6).hex()
        devices = self._devices(slot) if slot.role == "embed" else ()
        environ = child_environment(
            os.environ,
            threads=threads(devices, self.settings.embed_workers),
            also=self.settings.env_pass,
        )
        # It logs before it is told its settings.
        environ[log_format.VARIABLE] = self.settings.log_format
        try:
            child = Child(
                slot.role,
                slot.name,
                incarnation,
                self._back_path,
                environ,
                worker_log(self.settings.data_dir, slot.name, self.settings.log_format),
            )
        except OSError as problem:
            self._log.error("cannot start %s: %s", slot.name, problem)
            self._carry_out(now, slot.spawn_failed(now, f"cannot be started: {problem}"))
            return
        child.born = now
        self.children[slot.name] = child
        slot.spawned(now)
        self._watch(child)
        self._log.info("started %s (pid %d)", slot.name, child.pid)
