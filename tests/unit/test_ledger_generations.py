"""Whatever is written, lost or rolled back meanwhile: a generation that takes a collection's place
has exactly its chunks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from store_worker import (
    calls_reembed,
    ledger_chunks,
    ledger_collections,
    ledger_generations,
    ledger_queries,
    passes,
)
from store_worker.ledger import Ledger
from store_worker.ledger_chunks import Row
from store_worker.passes import Passes
from thoth_core.errors import Conflict
from thoth_core.ids import text_hash

OLD, NEW = {"name": "fake/1", "dimension": 1}, {"name": "fake/2", "dimension": 2}
VECTORS = {1: b"\0\0\x80?", 2: b"\0\0\x80?\0\0\x80?"}


class RolledBack(Exception):
    pass


class Book:
    """A ledger whose writes number themselves, and the store's part of the calls."""

    def __init__(self, path: Path) -> None:
        self.ledger = Ledger.open(path, "first")
        self.number = 0
        self.forget()

    def forget(self) -> None:
        """As a store that is started again."""
        self.store: Any = SimpleNamespace(ledger=self.ledger, passes=Passes())

    def write(self, kind: str, *, lost: bool = False, **body: Any) -> dict[str, Any]:
        """One call; ``lost``: with the writes of others in its group, none of which is kept."""
        self.number += 1
        try:
            with self.ledger.transaction():
                if lost:
                    self._write("notes", {"a": "lost", "i": "lost"}, 1)
                whole = {"collection": "notes", "number": self.number, **body}
                result = calls_reembed.GENERATIONS[kind](self.store, whole, ())
                if lost:
                    raise RolledBack
        except RolledBack:
            return {}
        return result

    def page(self, after: int | None) -> dict[str, Any]:
        body: dict[str, Any] = {"collection": "notes"}
        whole = body if after is None else body | {"after": after}
        return calls_reembed.reembed_page(self.store, whole, ())[0]

    def upsert(
        self, name: str, chunks: dict[str, str], dimension: int, *, lost: bool = False
    ) -> None:
        try:
            with self.ledger.transaction():
                self._write(name, chunks, dimension)
                if lost:
                    raise RolledBack
        except RolledBack:
            pass

    def _write(self, name: str, chunks: dict[str, str], dimension: int) -> None:
        self.number += 1
        rows = [
            Row(id, text, None, None, text_hash(text), VECTORS[dimension], dimension == 2)
            for id, text in chunks.items()
        ]
        model = NEW if dimension == 2 else None
        collection = ledger_collections.for_write(self.ledger, name, self.number, model, dimension)
        assert collection is not None
        ledger_chunks.upsert(self.ledger, collection, self.number, rows)

    def delete(self, ids: list[str], name: str = "notes") -> None:
        self.number += 1
        with self.ledger.transaction():
            collection = ledger_collections.require(self.ledger, name)
            ledger_chunks.delete(self.ledger, collection, self.number, ids)

    def cut_log(self) -> None:
        """As the keeper does it when the index is on disk."""
        self.store.passes.follow()
        self.ledger.note_index({}, self.ledger.last_change())

    def add(self, generation: str, told: dict[str, Any]) -> None:
        if told["ids"]:
            chunks = dict(zip(told["ids"], told["texts"], strict=True))
            self.upsert(generation, chunks, 2)

    def catch_up(self, generation: str) -> None:
        after, end = 0, False
        while not end:
            told = self.page(after)
            self.add(generation, told)
            after, end = told["after"], told["end"]
        while (told := self.page(None))["ids"]:
            self.add(generation, told)
        # What waits to be compared once more is compared by slices.
        for _ in range(10):
            assert self.page(None)["whole"]

    def texts(self, name: str = "notes") -> dict[str, str | None]:
        collection = ledger_collections.find(self.ledger, name)
        if collection is None:
            return {}
        found = ledger_queries.page(self.ledger, collection.id, None, 0, vectors=True)
        assert {len(chunk.vector) for chunk in found} <= {4 * (collection.dimension or 0)}
        return {chunk.id: chunk.text for chunk in found}


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    made = Book(tmp_path / "ledger.sqlite3")
    yield made
    made.ledger.close()


ids = st.sampled_from("abcdefgh")
steps = st.one_of(
    st.tuples(st.just("upsert"), st.dictionaries(ids, st.sampled_from("xyz"), min_size=1)),
    st.tuples(st.just("lost upsert"), st.dictionaries(ids, st.sampled_from("xyz"), min_size=1)),
    st.tuples(st.just("delete"), st.lists(ids, min_size=1, unique=True)),
    st.tuples(st.just("page"), st.integers(0, 12)),
    st.tuples(st.just("rest"), st.none()),
    st.tuples(st.just("embed"), st.none()),
    st.tuples(st.just("catch up"), st.none()),
    st.tuples(st.just("stray"), st.lists(ids, min_size=1, unique=True)),
    st.tuples(st.just("forget"), st.none()),
    st.tuples(st.just("cut"), st.none()),
    st.tuples(st.just("lost finish"), st.none()),
    st.tuples(st.just("finish"), st.none()),
)


@settings(max_examples=60, deadline=None)
@given(
    first=st.dictionaries(ids, st.sampled_from("xyz"), min_size=1),
    plan=st.lists(steps, max_size=30),
    most=st.integers(1, 4),
)
# More rows are doubtful at the end than are compared at once.
@example(
    first={"c": "x"},
    plan=[
        ("catch up", None),
        ("upsert", {"b": "x"}),
        ("lost upsert", {"a": "x", "b": "x"}),
        ("delete", ["a", "b", "c"]),
        ("lost finish", None),
    ],
    most=1,
)
def test_what_takes_the_place_of_a_collection_has_exactly_its_chunks(
    first: dict[str, str], plan: list[tuple[str, Any]], most: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls_reembed, "PAGE_ROWS", most)
        patch.setattr(passes, "COMPARED_ROWS", most + 1)
        patch.setattr(passes, "COMPARED_AGAIN", 1)
        book = Book(Path(folder) / "ledger.sqlite3")
        book.upsert("notes", first, 1)
        generation = book.write("begin_reembed", model=NEW)["generation"]
        live, told, finished = dict(first), [], False
        for step, what in plan:
            if finished:
                break
            if step == "upsert":
                live |= what
                book.upsert("notes", what, 1)
            elif step == "lost upsert":
                book.upsert("notes", what, 1, lost=True)
                book.upsert(generation, what, 2, lost=True)
            elif step == "delete":
                live = {id: text for id, text in live.items() if id not in what}
                book.delete(what)
            elif step == "page":
                told.append(book.page(what))
            elif step == "rest":
                told.append(book.page(None))
            elif step == "embed" and told:
                # Of any page, however late.
                book.add(generation, told.pop(0))
            elif step == "catch up":
                book.catch_up(generation)
            elif step == "stray":
                book.delete(what, generation)
                book.upsert(generation, dict.fromkeys(what, "x"), 2)
            elif step == "forget":
                book.forget()
            elif step == "cut":
                book.cut_log()
            elif step == "lost finish":
                book.write("finish_reembed", lost=True)
            elif step == "finish":
                finished = book.write("finish_reembed")["finished"]
            assert book.texts() == live
        if not finished:
            # However far it came, it can be finished from there.
            book.catch_up(generation)
            assert book.write("finish_reembed")["finished"]
        assert book.texts() == live
        while ledger_generations.sweep(book.ledger, 3):
            assert book.texts() == live
        count = book.ledger.db.execute("SELECT count(*) FROM chunks").fetchone()
        assert count == (len(live),)
        assert [c.name for c in ledger_collections.everything(book.ledger)] == ["notes"]
        book.ledger.close()


def test_a_finish_that_comes_to_nothing_with_its_group_leaves_the_pass_as_it_was(book):
    book.upsert("notes", {"a": "x", "b": "y"}, 1)
    generation = book.write("begin_reembed", model=NEW)["generation"]
    book.catch_up(generation)
    assert book.write("finish_reembed", lost=True) == {}
    assert book.texts(generation) == {"a": "x", "b": "y"}
    # Its sequence numbers came back, and are those of this write now.
    book.upsert("notes", {"a": "changed"}, 1)
    assert book.write("finish_reembed")["missing"] == ["a"]
    book.catch_up(generation)
    assert book.write("finish_reembed")["finished"]
    assert book.texts() == {"a": "changed", "b": "y"}
    with pytest.raises(Conflict):
        book.page(0)


def test_what_happens_to_the_generation_itself_is_seen_too(book):
    book.upsert("notes", {"a": "x", "b": "y"}, 1)
    generation = book.write("begin_reembed", model=NEW)["generation"]
    book.catch_up(generation)
    book.upsert(generation, {"b": "not this"}, 2)
    book.delete(["a"], generation)
    assert sorted(book.write("finish_reembed")["missing"]) == ["a", "b"]


def test_what_was_compared_is_known_after_the_log_was_cut(book):
    book.upsert("notes", {"a": "x"}, 1)
    generation = book.write("begin_reembed", model=NEW)["generation"]
    book.catch_up(generation)
    book.upsert("notes", {"a": "changed"}, 1)
    book.cut_log()
    assert book.write("finish_reembed")["missing"] == ["a"]


def test_rows_are_compared_in_order_by_an_index_and_not_by_reading_other_collections(book):
    plan = book.ledger.db.execute(
        f"EXPLAIN QUERY PLAN {ledger_generations._PAIRS} AND mine.row > ?3"
        " ORDER BY mine.row LIMIT ?4",
        (1, 2, 0, 10),
    ).fetchall()
    words = [row[3] for row in plan]
    assert words == [
        "SEARCH mine USING INDEX chunks_order (collection=? AND rowid>?)",
        "SEARCH theirs USING INDEX sqlite_autoindex_chunks_1 (collection=? AND id=?) LEFT-JOIN",
    ]
