"""Where two lanes share a worker neither keeps the other waiting for ever, whatever arrives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_dispatch import MODEL, done, embed, ready
from thoth_core.supervisor.assign import INTERACTIVE_IN_A_ROW
from thoth_core.supervisor.board import ToWorker
from thoth_core.supervisor.dispatch import Dispatch
from thoth_core.supervisor.pool import Staff

INFO = {"model": MODEL, "credit": {"units": 2, "items": 4, "tokens": 1000}}
MANY = 40


class Lanes:
    """A dispatch, the units that its workers have, and who overtook whom."""

    def __init__(self, *, bulk_workers: int, interactive: bool) -> None:
        self.dispatch = Dispatch()
        self.held: dict[str, list[ToWorker]] = {}
        self.serial = 0
        #: Units of one lane that were given out in a row while the other waited.
        self.interactive_row = self.bulk_row = 0
        for number in range(bulk_workers):
            self.come(f"b{number}", "bulk")
        if interactive:
            self.come("i", "interactive")

    @property
    def board_waits(self) -> tuple[bool, bool]:
        board = self.dispatch.board
        return bool(board.own.bulk), bool(board.own.interactive)

    def come(self, slot: str, lane: str) -> None:
        self.serial += 1
        self.held[slot] = []
        waits = self.board_waits
        self.dispatch.worker_ready(slot, f"{slot}-{self.serial}", lane, INFO)
        self.see(waits)

    def go(self, slot: str) -> None:
        waits = self.board_waits
        worker = self.dispatch.board.own.pool.workers[slot]
        del self.held[slot]
        self.dispatch.worker_gone(slot, worker.incarnation, blame=False)
        self.see(waits)

    def give_up(self, hopeless: frozenset[str]) -> None:
        waits = self.board_waits
        self.dispatch.availability(store=None, staff={"": Staff(hopeless=hopeless)})
        self.see(waits)

    def ask(self, texts: int) -> None:
        self.serial += 1
        waits = self.board_waits
        embed(self.dispatch, texts, f"r{self.serial}")
        self.see(waits)

    def finish(self, slot: str) -> None:
        """The worker is done with its first unit."""
        if self.held.get(slot):
            waits = self.board_waits
            done(self.dispatch, self.held[slot].pop(0))
            self.see(waits)

    def see(self, waited: tuple[bool, bool]) -> None:
        """Book what was given out. ``waited``: whether bulk, and interactive, units waited."""
        pool = self.dispatch.board.own.pool
        for action in self.dispatch.actions():
            if not isinstance(action, ToWorker) or action.message.kind != "unit":
                continue
            self.held[action.slot].append(action)
            unit = self.dispatch.board.units[action.message.id]
            if not pool.serves_bulk(pool.workers[action.slot]):
                continue
            if unit.request.interactive:
                self.bulk_row = 0
                self.interactive_row += int(waited[0])
                assert self.interactive_row <= INTERACTIVE_IN_A_ROW, "bulk units wait too long"
            else:
                self.interactive_row = 0
                own = [w for w in pool.workers.values() if w.lane == "interactive"]
                self.bulk_row += int(all(waited) and self.board_waits[1] and not own)
                assert self.bulk_row <= 1, "interactive units wait too long"
        for slot, units in self.held.items():
            shared = pool.serves_bulk(pool.workers[slot])
            assert units or not (shared and any(self.board_waits)), f"{slot} does nothing"


events = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from([1, 1, 1, 3, MANY])),
    st.tuples(st.just("finish"), st.sampled_from(["b0", "b0", "b1", "i"])),
    st.tuples(st.just("interactive"), st.booleans()),
    st.tuples(st.just("hopeless"), st.booleans()),
)


@given(st.integers(1, 2), st.booleans(), st.lists(events, min_size=20, max_size=200))
def test_in_any_order_of_events_both_lanes_move(
    bulk_workers: int, interactive: bool, given_events: list[tuple[str, object]]
) -> None:
    lanes = Lanes(bulk_workers=bulk_workers, interactive=interactive)
    for name, value in given_events:
        there = "i" in lanes.held
        if name == "ask":
            lanes.ask(int(value))  # type: ignore[call-overload]
        elif name == "finish":
            lanes.finish(str(value))
        elif name == "interactive" and value != there:
            if there:
                lanes.go("i")
            else:
                lanes.come("i", "interactive")
        elif name == "hopeless" and there:
            for slot in [slot for slot in lanes.held if slot != "i"]:
                lanes.go(slot)
            lanes.give_up(frozenset({"bulk"}))


@given(st.booleans())
def test_bulk_work_goes_on_while_interactive_calls_never_end(bulk_lane: bool) -> None:
    """One worker for both lanes, because the other one is away or was given up."""
    lanes = Lanes(bulk_workers=int(bulk_lane), interactive=not bulk_lane)
    if not bulk_lane:
        lanes.give_up(frozenset({"bulk"}))
    [slot] = lanes.held
    for _ in range(30):
        lanes.ask(1)
    lanes.ask(MANY)
    finished = 0
    while any(request.pending for request in lanes.dispatch.board.requests.values()):
        lanes.finish(slot)
        lanes.ask(1)
        finished += 1
        assert finished < (INTERACTIVE_IN_A_ROW + 2) * MANY, "bulk units wait for ever"
    assert finished > MANY / 4, "and it was not served first"


def test_an_interactive_unit_waits_for_two_bulk_units_at_most_without_its_own_worker() -> None:
    dispatch = ready(interactive=False)
    embed(dispatch, 400, "bulk")
    units = [a for a in dispatch.actions() if isinstance(a, ToWorker)]
    for n in range(5):
        embed(dispatch, 1, f"q{n}")
        units += [a for a in dispatch.actions() if isinstance(a, ToWorker)]
    order = []
    for _ in range(12):
        unit = units.pop(0)
        order.append(dispatch.board.units[unit.message.id].request.interactive)
        done(dispatch, unit)
        units += [a for a in dispatch.actions() if isinstance(a, ToWorker)]
    assert order[:8] == [False, False, True, True, True, True, True, False]
