from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from embed_worker.kept import KeptVectors
from thoth_core.wire import Message


def _message(unit: str) -> Message:
    return Message("upsert", unit, 1, "old-store", body={"collection": "c"})


def test_a_kept_unit_is_sent_again_for_the_new_store_and_attempt() -> None:
    kept = KeptVectors()
    kept.put(_message("u1"), 10)
    again = kept.again("u1", 4, "new-store")
    assert again == Message("upsert", "u1", 4, "new-store", body={"collection": "c"})


def test_a_released_unit_is_gone_and_its_bytes_are_free() -> None:
    kept = KeptVectors()
    kept.put(_message("u1"), 10)
    kept.release("u1")
    kept.release("u1")
    assert kept.again("u1", 2, "s") is None
    assert kept.bytes == 0


def test_over_the_bound_the_oldest_go_and_are_named() -> None:
    kept = KeptVectors(100)
    assert kept.put(_message("a"), 40) == []
    assert kept.put(_message("b"), 40) == []
    assert kept.put(_message("c"), 90) == ["a", "b"]
    assert kept.again("a", 2, "s") is None
    assert kept.again("c", 2, "s") is not None


def test_the_newest_is_kept_however_large() -> None:
    kept = KeptVectors(100)
    kept.put(_message("big"), 1000)
    assert kept.again("big", 2, "s") is not None


units = st.tuples(st.sampled_from("abcdef"), st.integers(0, 60), st.booleans())


@given(st.lists(units, max_size=40))
def test_the_bytes_are_those_of_what_is_kept(steps: list[tuple[str, int, bool]]) -> None:
    kept = KeptVectors(100)
    model: dict[str, int] = {}
    for unit, size, put in steps:
        model.pop(unit, None)
        if put:
            dropped = kept.put(_message(unit), size)
            model[unit] = size
            for each in dropped:
                del model[each]
        else:
            kept.release(unit)
        assert kept.bytes == sum(model.values())
        assert len(kept) == len(model)
        assert kept.bytes <= 100 or len(kept) == 1
