"""When a worker is replaced for its memory or its age, and when it is left alone."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from thoth_core.supervisor.recycling import (
    MB,
    Bounds,
    Pauses,
    Recycle,
    Recycling,
    Seen,
    Standing,
    Warn,
)

PAUSES = Pauses(soon=60, first=30, longest=1000)
CREW = (
    Seen("store", "store", "", "ready", memory=100 * MB),
    Seen("embed-interactive", "embed", "interactive", "ready", memory=100 * MB),
    Seen("embed-bulk-1", "embed", "bulk", "ready", memory=100 * MB),
    Seen("embed-bulk-2", "embed", "bulk", "ready", memory=100 * MB),
)


def recycling(memory: int = 700, age: float = 0.0) -> Recycling:
    return Recycling(Bounds(memory * MB, age), PAUSES)


def crew(**slots: dict[str, object]) -> list[Seen]:
    """The crew with some slots otherwise: ``embed_bulk_1={"memory": …}``."""
    return [replace(each, **slots.get(each.name.replace("-", "_"), {})) for each in CREW]  # type: ignore[arg-type]


def recycled(found: list[Recycle | Warn]) -> list[Recycle]:
    return [each for each in found if isinstance(each, Recycle)]


BIG = {"memory": 812 * MB}


def test_a_worker_over_its_memory_is_replaced_and_the_reason_says_how_much() -> None:
    [found] = recycling().look(1000.0, crew(embed_bulk_1=BIG))
    assert found == Recycle("embed-bulk-1", "recycled: memory 812 MB over 700")


def test_without_bounds_nobody_is() -> None:
    aged = [replace(each, memory=10**15) for each in CREW]
    assert Recycling(Bounds()).look(1e9, aged) == []


def test_what_was_not_measured_is_not_judged() -> None:
    assert recycling().look(1000.0, crew(store={"memory": None})) == []


def test_an_old_worker_is_replaced_the_oldest_first() -> None:
    seen = crew(
        store={"ready_since": 700.0},
        embed_interactive={"ready_since": 500.0},
        embed_bulk_1={"ready_since": 400.0},
        embed_bulk_2={"ready_since": 450.0},
    )
    rule = recycling(age=500.0)
    assert rule.look(899.0, seen) == []
    [found] = recycled(rule.look(960.0, seen))
    assert found == Recycle("embed-bulk-1", "recycled: age 560 s over 500")
    assert rule.waits == {"embed-bulk-2": "age 510 s over 500; waits for embed-bulk-1"}


def test_only_one_at_a_time_and_the_largest_first() -> None:
    seen = crew(embed_bulk_1=BIG, embed_bulk_2={"memory": 900 * MB}, store=BIG)
    rule = recycling()
    assert [r.slot for r in recycled(rule.look(1000.0, seen))] == ["embed-bulk-2"]
    seen = crew(embed_bulk_1=BIG, embed_bulk_2={"standing": "coming"}, store=BIG)
    assert rule.look(1001.0, seen) == []
    assert set(rule.waits) == {"embed-bulk-1", "store"}
    assert rule.waits["store"] == "memory 812 MB over 700; waits for embed-bulk-2"
    seen = crew(embed_bulk_1=BIG, store=BIG)
    assert len(recycled(rule.look(1002.0, seen))) == 1


def test_one_that_is_at_something_long_is_waited_for_and_not_for_ever() -> None:
    rule = Recycling(Bounds(700 * MB, 500.0), replace(PAUSES, engaged=100.0))
    busy = crew(store=BIG | {"engaged": "export, verify"})
    assert rule.look(200.0, busy) == []
    assert rule.waits["store"] == "memory 812 MB over 700; waits for the end of its export, verify"
    assert rule.look(299.9, busy) == []
    assert recycled(rule.look(300.0, busy)) == [
        Recycle("store", "recycled: memory 812 MB over 700")
    ]
    # It has that time from when it is due, again and again if it is not due meanwhile.
    rule = Recycling(Bounds(700 * MB), replace(PAUSES, engaged=100.0))
    assert rule.look(200.0, busy) == []
    assert rule.look(250.0, crew(store={"engaged": "export"})) == []
    assert rule.look(310.0, busy) == []
    assert recycled(rule.look(311.0, crew(store=BIG)))
    # Another may go meanwhile.
    both = crew(store=BIG | {"engaged": "export"}, embed_bulk_1=BIG)
    assert [r.slot for r in recycled(rule.look(400.0, both))] == ["embed-bulk-1"]


def test_the_last_that_serves_a_lane_stays_while_the_others_are_gone() -> None:
    rule = recycling()
    assert rule.look(1000.0, crew(embed_bulk_1=BIG, embed_bulk_2={"standing": "gone"})) == []
    assert "the last worker that serves" in rule.waits["embed-bulk-1"]
    gone: dict[str, object] = {"standing": "gone"}
    seen = crew(embed_interactive=BIG, embed_bulk_1=gone, embed_bulk_2=gone)
    assert rule.look(1000.0, seen) == []
    # A lane with one worker is served by the other lane, or waits the moment.
    assert recycled(rule.look(1000.0, crew(embed_interactive=BIG)))
    one = [each for each in crew(embed_bulk_1=BIG) if each.name != "embed-bulk-2"]
    assert recycled(rule.look(1000.0, one))
    # What became of embed workers does not keep a store.
    assert recycled(rule.look(1000.0, crew(store=BIG, embed_bulk_2=gone)))


class Lives:
    """One worker after another in a slot, from the rule's own point of view."""

    def __init__(self, rule: Recycling) -> None:
        self.rule = rule
        self.now = 0.0
        self.life = 0
        self.warnings: list[str] = []

    def of(self, count: int, grows_after: float) -> list[float]:
        """How long each of ``count`` lived that are over the bound so many seconds after their
        start."""
        return [self._one(grows_after) for _ in range(count)]

    def _one(self, grows_after: float) -> float:
        ready = self.now
        self.life += 1
        while True:
            self.now += 1.0
            memory = (812 if self.now - ready >= grows_after else 100) * MB
            found = self.look(memory, ready)
            self.warnings += [each.text for each in found if isinstance(each, Warn)]
            if recycled(found):
                break
            assert self.now - ready < 10_000
        lived = self.now - ready
        self.now += 5.0
        return lived

    def look(self, memory: int, ready: float) -> list[Recycle | Warn]:
        one = {"memory": memory, "life": self.life, "ready_since": ready}
        return self.rule.look(self.now, crew(embed_bulk_1=one))


def test_one_that_grows_again_at_once_is_left_alone_for_longer_and_longer() -> None:
    lives = Lives(recycling())
    assert lives.of(9, 2.0) == [2, 32, 62, 122, 242, 482, 962, 1002, 1002]
    assert len(lives.warnings) == 8, "once for each start that did not help"
    assert "THOTH_WORKER_MEMORY_MB" in lives.warnings[0]


def test_one_that_grows_slowly_is_replaced_each_time_without_a_warning() -> None:
    lives = Lives(recycling())
    assert lives.of(6, 90.0) == [90.0] * 6
    assert lives.warnings == []


def test_after_one_that_stayed_small_for_long_the_pauses_begin_anew() -> None:
    lives = Lives(recycling())
    assert lives.of(4, 2.0)[-1] == 122
    assert lives.of(1, 90.0) == [90.0]
    assert lives.of(2, 2.0) == [32, 62]


def test_while_it_is_left_alone_the_status_says_why() -> None:
    lives = Lives(recycling())
    lives.of(1, 2.0)
    lives.life += 1
    ready, lives.now = lives.now, lives.now + 3.0
    [warning] = lives.look(812 * MB, ready)
    assert isinstance(warning, Warn)
    lives.now += 1.0
    assert lives.look(812 * MB, ready) == []
    assert lives.rule.waits["embed-bulk-1"].startswith("memory 812 MB over 700; left alone for 29")


def test_a_slot_for_another_model_is_not_judged_by_who_had_its_name() -> None:
    rule = recycling()
    other = Seen("embed-2-bulk-1", "embed", "bulk", "ready", memory=812 * MB, model="a")
    calm = crew()
    [first] = rule.look(10.0, [*calm, other])
    assert isinstance(first, Recycle)
    # The next of that model grows as soon, and is left alone.
    again = replace(other, life=1, ready_since=11.0)
    assert [type(each) for each in rule.look(12.0, [*calm, again])] == [Warn]
    assert rule.look(13.0, [*calm, again]) == []
    # Another model's has that name since.
    fresh = replace(other, model="b", ready_since=13.0)
    [found] = rule.look(14.0, [*calm, fresh])
    assert isinstance(found, Recycle)
    rule.look(15.0, calm)
    assert len(rule._histories) == len(calm), "what is there no more is remembered"


standings = st.sampled_from(["ready", "coming", "gone"])


@given(
    st.lists(
        st.tuples(standings, st.integers(0, 1000), st.integers(0, 3), st.integers(0, 500)),
        min_size=4,
        max_size=4,
    ),
    st.lists(st.integers(1, 200), min_size=1, max_size=10),
)
def test_in_every_state_at_most_one_leaves_and_each_lane_stays_served(
    states: list[tuple[Standing, int, int, int]], steps: list[int]
) -> None:
    rule = recycling(age=300.0)
    seen = [
        replace(each, standing=standing, memory=memory * MB, life=life, ready_since=float(since))
        for each, (standing, memory, life, since) in zip(CREW, states, strict=True)
    ]
    now = 500.0
    for step in steps:
        now += step
        found = recycled(rule.look(now, seen))
        assert len(found) <= 1
        for each in found:
            assert all(s.standing != "coming" for s in seen)
            [chosen] = [s for s in seen if s.name == each.slot]
            assert chosen.standing == "ready"
            left = [s for s in seen if s is not chosen and s.role == "embed"]
            if chosen.role == "embed":
                assert any(s.standing == "ready" for s in left)
            if chosen.lane == "bulk":
                assert any(s.standing == "ready" for s in left if s.lane == "bulk")
