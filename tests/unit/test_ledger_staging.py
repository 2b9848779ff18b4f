"""What a run stores is unseen until its commit, and of two runs the later begun one stays."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store_worker import ledger_chunks, ledger_collections, ledger_queries, ledger_staging
from store_worker.ledger import Ledger
from store_worker.ledger_chunks import Had, Row, Wanted, Written
from store_worker.ledger_staging import STAGE_SECONDS, Committed

MODEL = {"name": "fake/1", "dimension": 1}
VECTOR = b"\0\0\x80?"
NOW = 1000.0


class Book:
    """A ledger whose writes number themselves; texts and hashes of chunks are the same here."""

    def __init__(self, path: Path) -> None:
        self.ledger = Ledger.open(path, "first")
        self.number = 0
        self.now = NOW

    def next(self) -> int:
        self.number += 1
        return self.number

    def begin(self) -> int:
        with self.ledger.transaction():
            number = self.next()
            ledger_staging.begin(self.ledger, number, self.now)
        return number

    def wanted(self, version: str, ids: Sequence[str], source: str = "f") -> list[Wanted]:
        return [Wanted(id, None, f"about {version}", source, f"text {id}") for id in ids]

    def rows(self, version: str, ids: Sequence[str], source: str = "f") -> list[Row]:
        return [
            Row(id, f"text {id}", f"about {version}", source, f"text {id}", VECTOR, True)
            for id in ids
        ]

    def have(self, stage: int, version: str, ids: Sequence[str], source: str = "f") -> Had:
        with self.ledger.transaction():
            number = self.next()
            collection = ledger_collections.for_write(self.ledger, "notes", number, MODEL)
            assert collection is not None
            wanted = self.wanted(version, ids, source)
            return ledger_staging.have(self.ledger, collection, number, stage, wanted, self.now)

    def put(
        self, stage: int, rows: Sequence[Row], number: int | None = None, name: str = "notes"
    ) -> Written:
        with self.ledger.transaction():
            number = self.next() if number is None else number
            collection = ledger_collections.for_write(self.ledger, name, number, MODEL)
            assert collection is not None
            return ledger_staging.stage_rows(self.ledger, collection, number, stage, rows, self.now)

    def add(self, stage: int, version: str, ids: Sequence[str], source: str = "f") -> None:
        """As dispatch does it: ask, then stage what is missing."""
        had = self.have(stage, version, ids, source)
        missing = [ids[i] for i in had.missing]
        if missing:
            self.put(stage, self.rows(version, missing, source), self.number)

    def commit(
        self, stage: int, ids: Sequence[str], digest: str | None = "h", source: str = "f"
    ) -> Committed:
        with self.ledger.transaction():
            number = self.next()
            collection = ledger_collections.for_write(self.ledger, "notes", number, None)
            assert collection is not None
            return ledger_staging.commit(
                self.ledger, collection, number, stage, source, digest, ids
            )

    def live(self, name: str = "notes") -> dict[str, str | None]:
        """Metadata by id."""
        collection = ledger_collections.find(self.ledger, name)
        if collection is None:
            return {}
        found = ledger_queries.page(self.ledger, collection.id, None, 0, vectors=False)
        return {chunk.id: chunk.metadata for chunk in found}

    def recorded(self) -> dict[str, int]:
        collection = ledger_collections.require(self.ledger, "notes")
        found = ledger_queries.documents(self.ledger, collection.id, None)
        return {source: each["chunks"] for source, each in found.items()}

    def left(self) -> int:
        return int(self.ledger.db.execute("SELECT count(*) FROM staged").fetchone()[0])

    def version(self, version: str, ids: Sequence[str]) -> dict[str, str]:
        return dict.fromkeys(ids, f"about {version}")


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    made = Book(tmp_path / "ledger.sqlite3")
    yield made
    made.ledger.close()


def test_what_is_staged_is_seen_by_nobody_before_the_commit_and_is_all_there_after_it(book):
    old = book.begin()
    book.add(old, "one", "ab")
    assert book.live() == {}
    assert book.ledger.db.execute("SELECT count(*) FROM changes").fetchone() == (0,)
    assert book.commit(old, "ab") == Committed()
    assert book.live() == book.version("one", "ab")

    new = book.begin()
    book.add(new, "two", "bcd")
    assert book.live() == book.version("one", "ab")
    assert book.commit(new, "bcd") == Committed(removed=1)
    assert book.live() == book.version("two", "bcd")
    assert book.recorded() == {"f": 3}
    assert book.left() == 0
    told = book.ledger.db.execute("SELECT id, op FROM changes ORDER BY seq").fetchall()
    assert sorted(told[2:]) == [("a", "delete"), *((id, "upsert") for id in "bcd")]


def test_a_chunk_that_is_live_already_is_not_staged_and_one_that_is_known_is_not_embedded(book):
    first = book.begin()
    book.add(first, "one", "ab")
    book.commit(first, "ab")
    second = book.begin()
    assert book.have(second, "one", "abc") == Had(unchanged=[0, 1], missing=[2])
    book.put(second, book.rows("one", "c"))
    assert book.have(second, "one", "abc").unchanged == [0, 1, 2]
    # Other metadata: another chunk, with the same vector.
    assert book.have(second, "two", "ab") == Had(reused=[0, 1])
    # Of a stage that is not committed, and under another source.
    third = book.begin()
    assert book.have(third, "three", "c", source="g") == Had(reused=[0])
    vectors = book.ledger.db.execute("SELECT id, vector FROM staged WHERE stage = ?", (third,))
    assert vectors.fetchall() == [("c", VECTOR)]


def test_a_chunk_that_another_run_changed_meanwhile_is_committed_as_this_run_wanted_it(book):
    first = book.begin()
    book.add(first, "one", "ab")
    book.commit(first, "ab")
    earlier, later = book.begin(), book.begin()
    assert book.have(later, "one", "ab").unchanged == [0, 1]
    book.add(earlier, "two", "ab")
    assert book.commit(earlier, "ab") == Committed()
    assert book.live() == book.version("two", "ab")
    assert book.commit(later, "ab") == Committed()
    assert book.live() == book.version("one", "ab")


def test_a_run_that_began_earlier_is_superseded_by_one_that_committed_before_it(book):
    earlier, later = book.begin(), book.begin()
    book.add(earlier, "one", "ab")
    book.add(later, "two", "bc")
    assert book.commit(later, "bc") == Committed()
    assert book.commit(earlier, "ab") == Committed(superseded=True)
    assert book.live() == book.version("two", "bc")
    assert book.left() == 0
    # It need not embed what it does not know of that yet.
    assert book.have(earlier, "one", "xyz").superseded == [0, 1, 2]


def test_a_replacement_without_a_stage_began_when_it_was_accepted(book):
    run = book.begin()
    book.add(run, "one", "ab")
    with book.ledger.transaction():
        collection = ledger_collections.require(book.ledger, "notes")
        ledger_chunks.upsert(book.ledger, collection, book.next(), book.rows("plain", "p"))
        ledger_chunks.replace_document(book.ledger, collection, book.next(), "f", "plain", ["p"])
    assert book.commit(run, "ab") == Committed(superseded=True)
    assert book.live() == book.version("plain", "p")


def test_a_commit_that_lacks_a_chunk_changes_nothing_and_says_which(book):
    first = book.begin()
    book.add(first, "one", "ab")
    book.commit(first, "ab")
    second = book.begin()
    book.add(second, "two", "b")
    assert book.commit(second, "bc") == Committed(missing=["c"])
    assert book.live() == book.version("one", "ab")
    assert book.recorded() == {"f": 2}
    book.add(second, "two", "c")
    assert book.commit(second, "bc") == Committed(removed=1)


def test_a_chunk_that_was_as_wanted_and_was_deleted_meanwhile_is_missing_if_nothing_is_like_it(
    book,
):
    first = book.begin()
    book.add(first, "one", "ab")
    book.commit(first, "ab")
    second = book.begin()
    book.add(second, "one", "abc")
    with book.ledger.transaction():
        collection = ledger_collections.require(book.ledger, "notes")
        ledger_chunks.delete(book.ledger, collection, book.next(), ["a"])
    assert book.commit(second, "abc") == Committed(missing=["a"])
    assert book.live() == book.version("one", "b")
    assert book.recorded() == {}


def test_a_later_write_to_an_id_stands_and_the_document_is_not_known_as_whole(book):
    run = book.begin()
    book.add(run, "one", "ab")
    with book.ledger.transaction():
        collection = ledger_collections.require(book.ledger, "notes")
        ledger_chunks.delete(book.ledger, collection, 99, ["a"])
    assert book.commit(run, "ab") == Committed()
    assert book.live() == book.version("one", "b")
    assert book.recorded() == {}


def test_a_frame_that_comes_after_the_commit_or_after_a_newer_one_changes_nothing(book):
    run = book.begin()
    assert book.have(run, "one", "ab").missing == [0, 1]
    added = book.number
    book.put(run, book.rows("one", "ab"), added)
    book.put(run, book.rows("newer", "a"))
    assert book.put(run, book.rows("one", "a"), added) == Written(written=1)
    book.commit(run, "ab")
    assert book.live() == {"a": "about newer", "b": "about one"}
    assert book.put(run, book.rows("late", "b"), added) == Written(superseded=[0])
    assert book.left() == 0


def test_a_commit_that_is_repeated_after_its_outcome_was_forgotten_is_answered_as_before(book):
    run = book.begin()
    book.add(run, "one", "ab")
    assert book.commit(run, "ab") == Committed()
    assert book.commit(run, "ab") == Committed()
    assert book.live() == book.version("one", "ab")


def test_one_run_may_replace_a_document_twice(book):
    run = book.begin()
    book.add(run, "one", "ab")
    book.commit(run, "ab")
    book.add(run, "two", "bc")
    assert book.commit(run, "bc", "h2") == Committed(removed=1)
    assert book.live() == book.version("two", "bc")


def test_a_document_without_chunks_takes_the_old_ones_away(book):
    first = book.begin()
    book.add(first, "one", "ab")
    book.commit(first, "ab")
    assert book.commit(book.begin(), "") == Committed(removed=2)
    assert book.live() == {}
    assert book.recorded() == {"f": 0}


def test_one_source_in_two_collections_is_two_documents(book):
    run = book.begin()
    book.add(run, "one", "ab")
    book.put(run, book.rows("other", "ab"), name="papers")
    book.commit(run, "ab")
    assert book.live() == book.version("one", "ab")
    assert book.live("papers") == {}
    assert book.left() == 2


def test_a_stage_is_given_up_after_an_hour_in_which_nothing_was_written_to_it(book):
    idle, busy = book.begin(), book.begin()
    book.add(idle, "one", "ab")
    book.add(busy, "two", "cd", source="g")
    book.now += STAGE_SECONDS - 1
    book.add(busy, "two", "e", source="g")
    book.now += 2
    book.begin()
    assert not ledger_staging.is_open(book.ledger, idle)
    assert ledger_staging.is_open(book.ledger, busy)
    assert book.commit(busy, "cde", source="g") == Committed()
    assert book.commit(idle, "ab") == Committed(missing=["a", "b"])
    # It goes on, as one that began when it did.
    book.add(idle, "one", "ab")
    assert book.commit(idle, "ab") == Committed()


def test_a_clock_that_was_set_back_keeps_no_stage_for_ever(book):
    book.now += 10 * STAGE_SECONDS
    run = book.begin()
    book.add(run, "one", "ab")
    book.now = NOW
    with book.ledger.transaction():
        ledger_staging.prune(book.ledger, book.now)
    assert book.left() == 0


def test_dropping_a_collection_drops_what_was_staged_before_and_renaming_keeps_it(book):
    run = book.begin()
    book.add(run, "one", "ab")
    with book.ledger.transaction():
        ledger_collections.rename(book.ledger, "notes", "papers", book.next())
        ledger_collections.rename(book.ledger, "papers", "notes", book.next())
    assert book.left() == 2
    book.put(run, book.rows("one", "c"), 99)
    with book.ledger.transaction():
        assert ledger_collections.drop(book.ledger, "notes", 50)
    assert book.left() == 1
    with book.ledger.transaction():
        assert ledger_collections.drop(book.ledger, "notes", 100)
    assert book.left() == 0
    assert ledger_collections.find(book.ledger, "notes") is None


#: Two runs over one source: what each stores, and the order in which their steps come. Each step is
#: the number of a run: its first is the begin, its last the commit, those between stage a chunk.
IDS = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True)


@st.composite
def interleavings(draw: st.DrawFn) -> tuple[list[list[str]], list[int], list[bool]]:
    chunks = [draw(IDS), draw(IDS)]
    steps = [0] * (len(chunks[0]) + 2) + [1] * (len(chunks[1]) + 2)
    # Metadata may be the same in both versions, and in the one that is there before.
    alike = [draw(st.booleans()), draw(st.booleans())]
    return chunks, draw(st.permutations(steps)), alike


@settings(max_examples=120)
@given(interleavings(), IDS, st.integers(0, 12))
def test_two_runs_over_one_source_never_mix_in_whatever_order_they_go(plan, before, end):
    chunks, steps, alike = plan
    versions = ["same" if alike[run] else f"run {run}" for run in (0, 1)]
    with tempfile.TemporaryDirectory() as folder:
        book = Book(Path(folder) / "ledger.sqlite3")
        first = book.begin()
        book.add(first, "same", before)
        book.commit(first, before)
        allowed = book.version("same", before)
        stages: dict[int, int] = {}
        staged = [0, 0]
        newest = 0
        # It may end at any step.
        for run in steps[:end]:
            if run not in stages:
                stages[run] = book.begin()
            elif staged[run] < len(chunks[run]):
                book.add(stages[run], versions[run], chunks[run][staged[run]])
                staged[run] += 1
            else:
                done = book.commit(stages[run], chunks[run])
                assert not done.missing
                assert done.superseded == (newest > stages[run])
                if not done.superseded:
                    newest = stages[run]
                    allowed = book.version(versions[run], chunks[run])
            assert book.live() == allowed
        book.ledger.close()
