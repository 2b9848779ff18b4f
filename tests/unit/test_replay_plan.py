"""What the index must be told, as a pure decision."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from store_worker.replay import Create, Drop, Found, Rename, Step, changed_ids, plan_collections

names = st.sampled_from(["aaa", "bbb", "ccc", "ddd", "aaa-aside", "thoth-moving-1"])
ledgers = st.dictionaries(st.integers(1, 5), names, max_size=5).filter(
    lambda d: len(set(d.values())) == len(d)
)
indexes = st.lists(
    st.builds(Found, names, st.none() | st.integers(1, 7)), unique_by=lambda f: f.name, max_size=6
)


def carry_out(index: list[Found], steps: list[Step]) -> dict[str, int | None]:
    state = {each.name: each.owner for each in index}
    for step in steps:
        if isinstance(step, Drop):
            del state[step.name]
        elif isinstance(step, Rename):
            assert step.to not in state
            state[step.to] = state.pop(step.name)
        else:
            assert step.name not in state
            state[step.name] = step.owner
    return state


@given(ledgers, indexes)
def test_after_the_plan_the_index_has_the_ledgers_collections_and_all_of_others(ledger, index):
    state = carry_out(index, plan_collections(ledger, index))
    assert {name: owner for name, owner in state.items() if owner is not None} == {
        name: owner for owner, name in ledger.items()
    }
    foreign = [each for each in index if each.owner is None]
    assert list(state.values()).count(None) == len(foreign)
    for each in foreign:
        if each.name not in ledger.values():
            assert state[each.name] is None


@given(ledgers, indexes, st.integers(0, 20))
def test_a_plan_that_was_cut_short_is_finished_by_the_next_one(ledger, index, done):
    state = carry_out(index, plan_collections(ledger, index)[:done])
    rest = [Found(name, owner) for name, owner in state.items()]
    state = carry_out(rest, plan_collections(ledger, rest))
    assert {name: owner for name, owner in state.items() if owner is not None} == {
        name: owner for owner, name in ledger.items()
    }


def test_nothing_is_done_when_the_index_agrees():
    assert plan_collections({1: "aaa"}, [Found("aaa", 1), Found("mine", None)]) == []


def test_two_collections_that_swapped_names_are_swapped():
    steps = plan_collections({1: "bbb", 2: "aaa"}, [Found("aaa", 1), Found("bbb", 2)])
    state = carry_out([Found("aaa", 1), Found("bbb", 2)], steps)
    assert state == {"bbb": 1, "aaa": 2}
    assert not any(isinstance(step, Drop | Create) for step in steps)


def test_each_changed_id_is_told_once():
    changes = [(1, 7, "a"), (2, 7, "b"), (3, 8, "a"), (4, 7, "a")]
    assert changed_ids(changes) == {7: ["a", "b"], 8: ["a"]}
