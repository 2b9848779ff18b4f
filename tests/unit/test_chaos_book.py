"""The book of the chaos program, and its check: a loss that is put in is found."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.chaos.book import Book, Chunk, Hit, Seen, check


def chunk(word: str, seed: int = 0) -> Chunk:
    vector = np.random.default_rng([seed, *word.encode()]).normal(size=8)
    return Chunk(word, {"word": word}, (vector / np.linalg.norm(vector)).astype(np.float32))


def written(book: Book, **states: Chunk | None) -> None:
    book.acknowledged(book.begin(states))


def texts(book: Book, id: str) -> set[str | None]:
    return {each.text if each is not None else None for each in book.possible(id)}


def test_an_id_is_what_the_last_acknowledged_write_made_it():
    book = Book()
    written(book, a=chunk("one"))
    written(book, a=chunk("two"))
    assert texts(book, "a") == {"two"}
    written(book, a=None)
    assert texts(book, "a") == {None}
    assert book.certain("a")


def test_of_writes_that_overlapped_either_may_have_won():
    book = Book()
    one, two = book.begin({"a": chunk("one")}), book.begin({"a": chunk("two")})
    book.acknowledged(two)
    book.acknowledged(one)
    assert texts(book, "a") == {"one", "two"}
    written(book, a=chunk("three"))
    assert texts(book, "a") == {"three"}


def test_a_write_that_ended_in_an_error_may_have_been_carried_out_until_another_is_acknowledged():
    book = Book()
    written(book, a=chunk("one"))
    book.unknown(book.begin({"a": chunk("two")}))
    assert texts(book, "a") == {"one", "two"}
    book.unknown(book.begin({"a": None}))
    assert texts(book, "a") == {"one", "two", None}
    assert not book.certain("a")
    written(book, a=chunk("three"))
    assert texts(book, "a") == {"three"}


def test_an_id_of_which_nothing_was_acknowledged_may_not_be_there():
    book = Book()
    book.unknown(book.begin({"a": chunk("one")}))
    assert texts(book, "a") == {"one", None}


def test_a_write_that_was_overtaken_is_no_outcome_and_must_have_been_overtaken_by_something():
    book = Book()
    one = book.begin({"a": chunk("one"), "b": chunk("one")})
    written(book, a=chunk("two"))
    book.acknowledged(one, superseded=["a"])
    assert texts(book, "a") == {"two"}
    assert book.overtaken_by_nothing() == []
    book.acknowledged(book.begin({"b": chunk("three")}), superseded=["b"])
    assert book.overtaken_by_nothing() == ["b"]


# -- the check ----------------------------------------------------------------------------------


def story(seed: int) -> tuple[Book, dict[str, Chunk]]:
    """Writes, some of them overlapping or failed; and a store that carried each of the others out
    in the order of their answers."""
    chance, book = random.Random(seed), Book()
    there: dict[str, Chunk] = {}
    for turn in range(120):
        ids = chance.sample([f"id{n}" for n in range(30)], 3)
        states = {
            id: chunk(f"{id} in turn {turn}", seed) if chance.random() < 0.8 else None for id in ids
        }
        call = book.begin(states)
        if chance.random() < 0.1:
            book.unknown(call)
            if chance.random() < 0.5:
                continue
        else:
            book.acknowledged(call)
        for id, state in states.items():
            if state is None:
                there.pop(id, None)
            else:
                there[id] = state
    return book, there


def seen(there: dict[str, Chunk]) -> Seen:
    """What a store with these rows answers, by an exact search."""
    ids = list(there)
    vectors = np.array([each.vector for each in there.values()])

    def hits(vector: np.ndarray) -> list[Hit]:
        scores = vectors @ vector
        return [Hit(ids[row], float(scores[row])) for row in np.argsort(-scores)[:3]]

    return Seen(list(there.items()), {id: hits(each.vector) for id, each in there.items()})


SEEDS = st.integers(0, 10_000)
#: Each story is of 120 writes.
few = settings(max_examples=30)


@few
@given(SEEDS)
def test_a_store_that_did_what_it_acknowledged_passes(seed):
    book, there = story(seed)
    verdict = check(book, seen(there))
    assert verdict.problems() == []
    assert verdict.found == verdict.asked == len(there) > 10


@few
@given(SEEDS, st.randoms())
def test_a_lost_chunk_is_found(seed, chance):
    book, there = story(seed)
    lost = chance.choice([id for id in there if book.certain(id)])
    del there[lost]
    assert check(book, seen(there)).lost == [lost]


@few
@given(SEEDS, st.randoms())
def test_a_state_that_was_overwritten_is_found(seed, chance):
    book, there = story(seed)
    id = chance.choice([id for id in there if book.certain(id)])
    call = book.begin({id: chunk("newer")})
    book.acknowledged(call)
    assert check(book, seen(there)).wrong == [id]


@pytest.mark.parametrize("what", ["text", "metadata", "vector"])
def test_a_chunk_that_is_half_of_one_write_and_half_of_another_is_found(what):
    book = Book()
    one, two = chunk("one"), chunk("two")
    first, second = book.begin({"a": one}), book.begin({"a": two})
    book.acknowledged(first)
    book.acknowledged(second)
    parts = {name: getattr(two if name == what else one, name) for name in vars(one)}
    assert check(book, seen({"a": Chunk(**parts)})).wrong == ["a"]
    assert check(book, seen({"a": two})).problems() == []


@few
@given(SEEDS, st.randoms())
def test_a_deleted_chunk_that_came_back_is_found(seed, chance):
    book, there = story(seed)
    id = chance.choice(sorted(there))
    call = book.begin({id: None})
    book.acknowledged(call)
    assert check(book, seen(there)).came_back == [id]


def test_a_chunk_that_nobody_wrote_is_found():
    book, there = story(1)
    there["stranger"] = chunk("stranger")
    assert check(book, seen(there)).never_written == ["stranger"]


def test_a_chunk_that_is_there_twice_is_found():
    book, there = story(1)
    id = next(iter(there))
    told = seen(there)
    told.rows = [*told.rows, (id, there[id])]
    assert check(book, told).twice == [id]
    told = seen(there)
    told.searched = {**told.searched, id: [told.searched[id][0]] * 2}
    assert check(book, told).twice == [id]


def test_a_chunk_that_no_search_comes_to_is_found_unless_another_is_as_near():
    book, there = story(1)
    id, other = list(there)[:2]
    told = seen(there)
    for hits in ([], [Hit(other, 0.9)]):
        told.searched = {**told.searched, id: hits}
        verdict = check(book, told)
        assert verdict.not_found == [id]
        assert f"found: {len(there) - 1} of {len(there)}" in verdict.problems()
    told.searched = {**told.searched, id: [Hit(other, 1.0)]}
    verdict = check(book, told)
    assert (verdict.not_found, verdict.explained) == ([], 1)


def test_a_deleted_chunk_that_a_search_finds_is_found():
    book, there = story(1)
    told = seen(there)
    told.looked_for = [("gone", [Hit("gone", 0.7)])]
    assert check(book, told).gone_but_found == ["gone"]
