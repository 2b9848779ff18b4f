"""Where the crew and dispatch meet: what workers say, and how they end, is told to both. Pure.

The loop of the service and that of the simulation both use it, so that what is proved of the one
holds for the other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from thoth_core.errors import ThothError
from thoth_core.supervisor.in_flight import held_by
from thoth_core.supervisor.pool import Staff
from thoth_core.supervisor.quarantine import Ending
from thoth_core.supervisor.slots import State
from thoth_core.supervisor.staffing import Place, Retire, Staffing, Standing, Start, Want
from thoth_core.wire import Message

if TYPE_CHECKING:
    from thoth_core.supervisor.crew import Crew
    from thoth_core.supervisor.dispatch import Dispatch
    from thoth_core.supervisor.processes import Child


class Joint:
    def __init__(self, crew: Crew, dispatch: Dispatch, staffing: Staffing) -> None:
        self._crew = crew
        self._dispatch = dispatch
        self._staffing = staffing

    def heard(self, now: float, identity: bytes, message: Message) -> Message | None:
        """A worker said something; what it is to be told for that."""
        crew, dispatch = self._crew, self._dispatch
        child = crew.child_of(identity)
        if child is None:
            # Of an incarnation that has ended, or of nobody we know.
            dispatch.board.counters["frames_late"] += 1
            return None
        slot = crew.slots[child.slot]
        kind, body = message.kind, message.body
        if kind == "hello":
            # Told to end before it could be told anything, it hears of that now.
            return Message("stop") if slot.ending else crew.config_for(slot)
        if kind == "state":
            slot.state_said(now, str(body.get("state", "LOADING")))
        elif kind == "beat":
            crew.beats[child.slot] = body
            steps, busy = body.get("progress", 0), bool(body.get("busy"))
            if slot.role == "store":
                dispatch.store_beat(now, child.incarnation, steps, busy=busy)
            else:
                dispatch.worker_beat(now, child.slot, child.incarnation, steps)
        elif kind == "failed":
            slot.failed_to_boot(body)
        elif kind == "bye":
            child.said_all = True
        elif kind == "index_ended":
            crew.index_ended(now, child, body)
        elif kind == "ready":
            crew.is_ready(now, child, body)
            if slot.state is not State.READY:
                return None
            if slot.role == "store":
                endpoint, epoch = str(body.get("endpoint", "")), int(body.get("epoch", 0))
                dispatch.store_ready(child.incarnation, endpoint, epoch)
            else:
                if crew.replace_outdated(now, slot):
                    # They get nothing more, whatever comes with this one.
                    self.tell_availability(now)
                dispatch.worker_ready(child.slot, child.incarnation, slot.lane, body, slot.model)
        elif slot.role == "store":
            dispatch.store_message(now, message)
        else:
            dispatch.worker_message(now, child.slot, child.incarnation, message)
        return None

    def ended(self, now: float, child: Child) -> None:
        """The process has ended, and all that it said was heard."""
        dispatch = self._dispatch
        held = held_by(dispatch.board, child.slot, child.incarnation)
        role = self._crew.slots[child.slot].role
        exit = self._crew.ended_child(now, child, held)
        # A text that hangs its worker is as bad as one that crashes it: every try costs a worker
        # and THOTH_UNIT_TIMEOUT seconds. So the end that we made of a worker without progress is
        # put down to its work, like a crash.
        blame = exit.blame or child.stalled
        if role == "store":
            dispatch.store_gone(child.incarnation, blame=blame)
        else:
            ending = Ending(exit.reason, exit.signal, child.top_frame, exit.at)
            dispatch.worker_gone(child.slot, child.incarnation, blame=blame, ending=ending)

    def tell_availability(self, now: float) -> None:
        """Who can be had, and who leaves: a worker that was told to end gets nothing after that.
        Before that, slots are made for the models that are asked for."""
        crew, board = self._crew, self._dispatch.board
        refused: dict[str, ThothError] = {}
        if len(board.teams) > 1 or len(crew.slots) > len(crew.own_slots()):
            refused = self._staff(now)
        staff = crew.staffs()
        for model, lane in self._staffing.lacking:
            mine = staff.get(model, Staff())
            staff[model] = replace(mine, hopeless=mine.hopeless | {lane})
        for model, problem in refused.items():
            staff[model] = Staff(problem)
        self._dispatch.availability(store=crew.store_problem(), leaving=crew.leaving(), staff=staff)

    def _staff(self, now: float) -> dict[str, ThothError]:
        """See to the slots for other models; why some can have none now."""
        crew = self._crew
        refused: dict[str, ThothError] = {}
        if crew.stopping:
            return refused
        for step in self._staffing.look(now, self._wants(), self._places()):
            if isinstance(step, Start):
                crew.staff(step.model, step.lane)
            elif isinstance(step, Retire):
                crew.retire(now, step.slot)
            else:
                refused[step.model] = step.problem
        return refused

    def _wants(self) -> list[Want]:
        board = self._dispatch.board
        return [
            Want(
                team.name,
                interactive=team.open[True] > 0,
                # What is to run alone does so in a bulk worker.
                bulk=team.open[False] > 0 or bool(team.cases),
                more=bool(team.bulk) and team.pool.for_bulk() is None,
            )
            for team in board.teams.values()
            if team.asked and team is not board.own
        ]

    def _places(self) -> list[Place]:
        crew, board = self._crew, self._dispatch.board
        busy = {worker.slot for worker in board.workers() if worker.units or worker.kept}
        places = []
        for slot in crew.embed_slots():
            memory = crew.beats.get(slot.name, {}).get("memory_bytes")
            memory = memory if isinstance(memory, int) else None
            if not slot.on_demand:
                if slot.state is State.READY:
                    self._staffing.note(slot.model, memory)
                continue
            standing: Standing = "ready" if slot.state is State.READY else "coming"
            if slot.hopeless:
                standing = "gone"
            elif slot.stopped:
                standing = "leaving"
            idle = slot.name not in busy
            places.append(Place(slot.name, slot.model, slot.lane, standing, idle, memory))
        return places
