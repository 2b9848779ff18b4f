"""A worker that hangs, and the calls with it and behind it: the limits of the two must fit."""

from __future__ import annotations

from collections import deque

import pytest

from tests.unit.test_dispatch import MODEL
from thoth_core.errors import DeadlineExceeded, PoisonInput, from_dict
from thoth_core.supervisor.board import Stalled, ToClient, ToWorker
from thoth_core.supervisor.dispatch import Dispatch, Limits
from thoth_core.supervisor.quarantine import Ending
from thoth_core.supervisor.service import TICK
from thoth_core.wire import Message

BAD = "hangs"
INFO = {"model": MODEL, "credit": {"units": 2, "items": 4, "tokens": 1000}}
#: Seconds that a worker takes to end, and to be there again.
ENDS, STARTS = 6.0, 20.0


class Workers:
    """One worker a lane. Each embeds at once what it is given, but for ``BAD``, which it never
    ends with. ``answers`` are all that clients were told, by call."""

    def __init__(self, limits: Limits, *, ends: bool = True) -> None:
        self.dispatch = Dispatch(limits)
        self.answers: dict[str, list[Message]] = {}
        self.deaths = 0
        self._ends = ends
        self._has: dict[str, deque[Message]] = {}
        self._incarnation = 0
        self._due: list[tuple[float, str, str]] = []
        for slot in ("bulk", "interactive"):
            self._start(slot)

    def ask(self, now: float, id: str, *texts: str) -> None:
        """One of over 16 texts is bulk work."""
        message = Message("embed", id, body={"texts": list(texts)})
        self.dispatch.request(now, b"client", message, 100)

    def go_on(self, most: float) -> None:
        """Until every call is answered, or for so many seconds."""
        now = 0.0
        while not self.dispatch.idle and now < most:
            while self._act(now):
                pass
            self.dispatch.tick(now)
            now += TICK
        self._act(now)

    def _act(self, now: float) -> bool:
        for at, slot, what in [due for due in self._due if due[0] <= now]:
            self._due.remove((at, slot, what))
            if what == "starts":
                self._start(slot)
                continue
            del self._has[slot]
            self.deaths += 1
            ending = Ending("made no progress")
            self.dispatch.worker_gone(slot, what, blame=True, ending=ending)
            self._due.append((now + STARTS, slot, "starts"))
        actions = self.dispatch.actions()
        for action in actions:
            if isinstance(action, ToClient):
                self.answers.setdefault(action.message.id, []).append(action.message)
            elif isinstance(action, ToWorker) and action.message.kind == "unit":
                units = self._has[action.slot]
                units.append(action.message)
                if len(units) == 1:
                    self._run(now, action.slot, action.incarnation)
            elif isinstance(action, Stalled) and self._ends and not self._is_ending(action.slot):
                self._due.append((now + ENDS, action.slot, action.incarnation))
        return bool(actions)

    def _is_ending(self, name: str) -> bool:
        return any(slot == name for _, slot, _ in self._due)

    def _start(self, slot: str) -> None:
        self._incarnation += 1
        self._has[slot] = deque()
        name = f"{slot}{self._incarnation}"
        self.dispatch.worker_ready(slot, name, slot, INFO)

    def _run(self, now: float, slot: str, incarnation: str) -> None:
        units = self._has[slot]
        while units:
            unit = units[0]
            started = Message("started", unit.id, unit.attempt)
            self.dispatch.worker_message(now, slot, incarnation, started)
            if BAD in unit.body["texts"]:
                return
            rows = list(range(len(unit.body["texts"])))
            body = {"indices": rows, "tokens": 1, "windowed": 0, "errors": []}
            units.popleft()
            done = Message("done", unit.id, unit.attempt, body=body)
            self.dispatch.worker_message(now, slot, incarnation, done)


LIMITS = [
    pytest.param(Limits(), id="default"),
    pytest.param(Limits(unit_timeout=59.0), id="nearly-as-long"),
    pytest.param(Limits(unit_timeout=1000.0), id="much-longer"),
    pytest.param(Limits(unit_timeout=2.0), id="much-shorter"),
]


@pytest.mark.parametrize("limits", LIMITS)
def test_innocent_texts_with_and_behind_one_that_hangs_get_their_vectors(limits: Limits) -> None:
    workers = Workers(limits)
    workers.ask(0.0, "guilty", *["fine"] * 9, BAD, *["fine too"] * 10)
    for number in range(5):
        workers.ask(0.0, f"behind{number}", *["later"] * 40)
    workers.go_on(10 * limits.unit_timeout + 1000)
    assert workers.deaths == 3
    [*parts, result] = workers.answers.pop("guilty")
    assert [type(from_dict(error)) for _, error in result.body["errors"]] == [PoisonInput]
    assert sorted(i for part in parts for i in part.body["indices"]) == [
        n for n in range(20) if n != 9
    ]
    for id, told in workers.answers.items():
        assert told[-1].kind == "result", (id, told[-1])
        assert not told[-1].body["errors"]


@pytest.mark.parametrize("limits", LIMITS)
def test_a_worker_that_hangs_and_does_not_even_end_keeps_no_call_for_ever(limits: Limits) -> None:
    workers = Workers(limits, ends=False)
    workers.ask(0.0, "guilty", BAD)
    workers.go_on(limits.unit_timeout + limits.silence + 1)
    [told] = workers.answers["guilty"]
    assert isinstance(from_dict(told.body), DeadlineExceeded)
