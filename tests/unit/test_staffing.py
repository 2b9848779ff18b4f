"""Which slots there are for models besides the service's own, and when."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from thoth_core.errors import ModelNotRunning, Overloaded
from thoth_core.supervisor.recycling import MB
from thoth_core.supervisor.slots import Lane
from thoth_core.supervisor.staffing import (
    PAUSE,
    Place,
    Refuse,
    Retire,
    Staffing,
    Standing,
    Start,
    Want,
)

ONE = 100 * MB


def staffing(workers: int = 4, most: int = 2, idle: float = 60.0) -> Staffing:
    """Room for so many workers of 100 MB."""
    made = Staffing(workers * ONE, most, idle)
    made.note("own", ONE)
    return made


def query(model: str = "m") -> Want:
    return Want(model, interactive=True, bulk=False)


def ingest(model: str = "m", *, more: bool = False) -> Want:
    return Want(model, interactive=False, bulk=True, more=more)


def place(
    slot: str = "b1",
    model: str = "m",
    lane: Lane = "bulk",
    standing: Standing = "ready",
    *,
    idle: bool = False,
) -> Place:
    return Place(slot, model, lane, standing, idle, ONE if standing == "ready" else None)


def test_the_first_worker_is_of_the_lane_that_is_asked_for() -> None:
    assert staffing().look(0, [query()], []) == [Start("m", "interactive")]
    assert staffing().look(0, [ingest()], []) == [Start("m", "bulk")]
    # One to begin with, where both are.
    both = Want("m", interactive=True, bulk=True)
    assert staffing().look(0, [both], []) == [Start("m", "interactive")]
    there = [place("i", lane="interactive", standing="coming")]
    assert staffing().look(0, [both], there) == [Start("m", "bulk")]


def test_nothing_is_started_that_is_there_or_on_its_way() -> None:
    for standing in ("coming", "ready", "gone"):
        assert staffing().look(0, [ingest()], [place(standing=standing)]) == []


def test_bulk_workers_are_added_one_at_a_time_up_to_their_number() -> None:
    made, more = staffing(), ingest(more=True)
    assert made.look(0, [more], [place()]) == [Start("m", "bulk")]
    assert made.look(1, [more], [place(), place("b2", standing="coming")]) == []
    assert made.look(2, [more], [place(), place("b2")]) == []
    assert made.look(3, [ingest()], [place()]) == []


def test_an_idle_worker_leaves_after_a_while() -> None:
    made = staffing()
    busy, idle = place(), place(idle=True)
    assert made.look(0, [], [busy]) == []
    assert made.look(59, [], [idle]) == []
    assert made.look(61, [], [idle]) == [Retire("b1")]
    # Used again in between, also by another lane's request, it stays.
    assert made.look(70, [query()], [idle, place("i", lane="interactive")]) == []
    assert made.look(71, [], [replace(idle, standing="leaving")]) == []


def test_a_model_that_cannot_be_set_up_is_forgotten_after_a_pause() -> None:
    made, gone = staffing(), place(standing="gone")
    assert made.look(0, [query()], [gone]) == []
    assert made.look(PAUSE - 1, [query()], [gone]) == []
    assert made.look(PAUSE, [query()], [gone]) == [Retire("b1")]


def test_where_memory_is_short_the_idle_one_that_was_used_longest_ago_leaves() -> None:
    made = staffing(2)
    a, b = place("a", "a", idle=True), place("b", "b", idle=True)
    made.look(0, [ingest("a")], [a, b])
    made.look(5, [ingest("b")], [a, b])
    assert made.look(6, [query()], [a, b]) == [Retire("a")]
    # It starts when that one has gone, and nobody else leaves for it.
    assert made.look(7, [query()], [replace(a, standing="leaving"), b]) == []
    assert made.look(8, [query()], [b]) == [Start("m", "interactive")]


def test_a_model_with_several_workers_gives_one_to_a_model_that_has_none() -> None:
    made = staffing(3)
    busy = [place("b1", "a"), place("b2", "a"), place("c", "c")]
    wants = [ingest("a", more=True), ingest("c"), query()]
    assert made.look(0, wants, busy) == [Retire("b2")]
    left = [busy[0], busy[2]]
    # Not to one that has some already.
    assert made.look(1, wants, left) == [Start("m", "interactive")]


def test_of_several_workers_one_that_does_nothing_leaves() -> None:
    made = staffing(3)
    there = [place("i", "a", "interactive"), place("b", "a", idle=True), place("c", "c")]
    assert made.look(0, [query("a"), ingest("c"), query()], there) == [Retire("b")]


def test_it_is_refused_when_all_are_at_work() -> None:
    made = staffing(2)
    busy = [place("a", "a"), place("b", "b")]
    [refused] = made.look(0, [ingest("a"), ingest("b"), query()], busy)
    assert isinstance(refused, Refuse)
    assert refused.model == "m"
    assert isinstance(refused.problem, Overloaded)
    assert refused.problem.retryable


def test_a_lane_without_memory_is_served_by_the_other() -> None:
    made = staffing(1)
    there = [place("i", lane="interactive")]
    assert made.look(0, [Want("m", interactive=True, bulk=True)], there) == []
    assert made.lacking == {("m", "bulk")}


def test_a_model_that_is_too_large_is_refused_for_good() -> None:
    made = staffing(1)
    made.note("m", 2 * ONE)
    idle = place("a", "a", idle=True)
    [refused] = made.look(0, [query()], [idle])
    assert isinstance(refused, Refuse)
    assert isinstance(refused.problem, ModelNotRunning)
    assert "THOTH_MODELS_MEMORY_MB" in refused.problem.fix


def test_what_a_worker_needs_is_the_least_that_it_was_seen_to_hold() -> None:
    made = Staffing(4 * ONE, 2, 60.0)
    # Nothing is known yet.
    assert made.need("m") <= 4 * ONE
    made.note("own", 3 * ONE)
    assert made.need("m") == 3 * ONE
    # One that is not known is tried, however large another is.
    made.note("own2", 9 * ONE)
    assert made.need("m") == 4 * ONE
    for memory in (2 * ONE, ONE, 9 * ONE, None):
        made.note("m", memory)
    assert made.need("m") == ONE


class Crew:
    """Slots that follow what is decided; a history of them."""

    def __init__(self, workers: int) -> None:
        self.staffing = staffing(workers, idle=5.0)
        self.places: list[Place] = []
        self.serial = 0
        self.refused: set[str] = set()

    def look(self, now: float, wants: list[Want]) -> None:
        self.refused = set()
        for step in self.staffing.look(now, wants, self.places):
            if isinstance(step, Start):
                self.serial += 1
                assert any(w.model == step.model and w.wants(step.lane) for w in wants)
                new = place(f"s{self.serial}", step.model, step.lane, "coming")
                self.places.append(new)
            elif isinstance(step, Retire):
                self.change(step.slot, standing="leaving")
            else:
                self.refused.add(step.model)
        held = sum(p.standing != "gone" for p in self.places)
        assert held * ONE <= self.staffing.bound

    def change(self, slot: str, standing: Standing) -> None:
        [at] = [i for i, p in enumerate(self.places) if p.slot == slot]
        memory = ONE if standing == "ready" else None
        self.places[at] = replace(self.places[at], standing=standing, memory=memory)

    def settle(self, asked: set[str]) -> None:
        """Those that are on their way arrive, in either direction."""
        self.places = [
            replace(p, standing="ready", memory=ONE, idle=p.model not in asked)
            for p in self.places
            if p.standing != "leaving"
        ]


MODELS = st.sampled_from(["a", "b", "c", "d"])
WANTS = st.dictionaries(MODELS, st.tuples(st.booleans(), st.booleans(), st.booleans()))


@given(st.integers(1, 5), st.lists(WANTS, max_size=25))
def test_the_bound_holds_and_nobody_who_asks_is_forgotten(
    workers: int, history: list[dict[str, tuple[bool, bool, bool]]]
) -> None:
    crew = Crew(workers)
    for at, asked in enumerate(history):
        wants = [
            Want(model, interactive=i or not b, bulk=b, more=b and m)
            for model, (i, b, m) in asked.items()
        ]
        for turn in range(6):
            crew.look(at + turn / 10, wants)
            crew.settle(set(asked))
        crew.look(at + 0.9, wants)
        for want in wants:
            mine = [p for p in crew.places if p.model == want.model]
            assert mine or want.model in crew.refused
            if want.model in crew.refused:
                # Every other place is another model's only one, and at work.
                models = [p.model for p in crew.places]
                assert len(models) == len(set(models))
                assert set(models) <= set(asked)
    for later in (10.0, 20.0, 30.0):
        crew.look(len(history) + later, [])
        crew.settle(set())
    assert crew.places == []
