from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embed_worker.engines import load_engine
from embed_worker.engines.base import Embedded, Engine, Options, Progress
from embed_worker.query_vectors import QueryVectors

ENGINE = load_engine(Options("fake/8", faults=True), logging.getLogger("test.embed"))


class Counted:
    """The engine, and which texts it was given."""

    def __init__(self) -> None:
        self.given: list[str] = []
        self.info = ENGINE.info
        self.threads = ENGINE.threads

    def embed(self, texts: Sequence[str], purpose: str, progress: Progress) -> Embedded:
        self.given.extend(texts)
        return ENGINE.embed(texts, purpose, progress)


def nothing() -> None:
    return None


def ask(engine: Engine, *texts: Any, purpose: str = "query") -> Embedded:
    return engine.embed(list(texts), purpose, nothing)


words = st.sampled_from([f"word {n}" for n in range(12)])


@given(st.lists(st.lists(words, max_size=3), max_size=30), st.integers(0, 3000))
def test_the_answers_are_the_engines_whatever_is_remembered(
    calls: list[list[str]], bound: int
) -> None:
    remembering = QueryVectors(Counted(), bound)
    for texts in calls:
        mine, its = ask(remembering, *texts), ask(ENGINE, *texts)
        assert np.array_equal(mine.vectors, its.vectors)
        assert mine.vectors.shape == (len(texts), 8)
        assert (mine.tokens, mine.windowed, mine.errors) == (its.tokens, its.windowed, {})
        assert 0 <= remembering.bytes <= bound


def test_what_was_asked_before_is_not_embedded_again() -> None:
    engine = Counted()
    remembering = QueryVectors(engine)
    for _ in range(3):
        ask(remembering, "one")
    ask(remembering, "two")
    ask(remembering, "one", "two")
    assert engine.given == ["one", "two"]


def test_a_document_is_embedded_each_time_and_is_no_query() -> None:
    engine = Counted()
    remembering = QueryVectors(engine)
    for _ in range(2):
        ask(remembering, "one", purpose="document")
    ask(remembering, "one")
    assert engine.given == ["one"] * 3


def test_what_was_asked_longest_ago_goes_first() -> None:
    engine = Counted()
    size = QueryVectors(engine)
    ask(size, "a")
    remembering = QueryVectors(engine, 3 * size.bytes)
    for text in "abcad":
        ask(remembering, text)
    engine.given.clear()
    for text in "acdb":
        ask(remembering, text)
    assert engine.given == ["b"]


def test_a_query_that_fails_is_tried_again() -> None:
    engine = Counted()
    remembering = QueryVectors(engine)
    for _ in range(2):
        with pytest.raises(Exception, match="asked for"):
            ask(remembering, "!raise")
    assert engine.given == ["!raise"] * 2
    assert remembering.bytes == 0


def test_a_vector_that_is_none_is_not_remembered() -> None:
    class Failing(Counted):
        def embed(self, texts: Sequence[str], purpose: str, progress: Progress) -> Embedded:
            made = super().embed(texts, purpose, progress)
            made.vectors[:] = np.nan
            return made

    remembering = QueryVectors(Failing())
    ask(remembering, "one")
    assert remembering.bytes == 0


def test_who_changes_a_vector_changes_no_later_answer() -> None:
    remembering = QueryVectors(Counted())
    for _ in range(3):
        made = ask(remembering, "one")
        assert np.array_equal(made.vectors, ask(ENGINE, "one").vectors)
        made.vectors[:] = 0
