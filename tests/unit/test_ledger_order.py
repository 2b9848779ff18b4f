"""Write numbers decide, whatever the order of arrival."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store_worker import ledger_chunks, ledger_collections, ledger_queries, ledger_staging
from store_worker.ledger import EPOCH_SHIFT, Ledger
from store_worker.ledger_chunks import Row
from store_worker.ledger_queries import one_moment
from thoth_core.errors import CollectionNotFound

MODEL = {"name": "fake/1", "dimension": 1}
VECTOR = b"\0\0\x80?"


def row(id: str, text: str = "t", source: str | None = None) -> Row:
    return Row(id, text, None, source, None, VECTOR, True)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path / "ledger.sqlite3", "first")
    yield opened
    opened.close()


def upsert(ledger: Ledger, number: int, *rows: Row, name: str = "notes") -> list[int]:
    with ledger.transaction():
        collection = ledger_collections.for_write(ledger, name, number, MODEL)
        if collection is None:
            return list(range(len(rows)))
        return ledger_chunks.upsert(ledger, collection, number, rows).superseded


def delete(ledger: Ledger, number: int, *ids: str) -> int:
    with ledger.transaction():
        collection = ledger_collections.require(ledger, "notes")
        return ledger_chunks.delete(ledger, collection, number, ids)


def replace(ledger: Ledger, number: int, source: str, digest: str | None, *ids: str) -> int:
    with ledger.transaction():
        collection = ledger_collections.require(ledger, "notes")
        return ledger_chunks.replace_document(ledger, collection, number, source, digest, ids)


def texts(ledger: Ledger, name: str = "notes") -> dict[str, str | None]:
    collection = ledger_collections.find(ledger, name)
    if collection is None:
        return {}
    found = ledger_queries.page(ledger, collection.id, None, 0, vectors=False)
    return {chunk.id: chunk.text for chunk in found}


operation = st.tuples(st.sampled_from(["upsert", "delete"]), st.sets(st.sampled_from("abc")))


@settings(max_examples=60, deadline=None)
@given(st.lists(operation, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_any_order_of_arrival_and_any_repetition_end_in_the_state_of_the_highest_number(
    operations, random
):
    numbered = [(n + 2, kind, sorted(ids)) for n, (kind, ids) in enumerate(operations)]
    expected: dict[str, str | None] = {}
    for number, kind, ids in numbered:
        for id in ids:
            if kind == "upsert":
                expected[id] = f"{id}{number}"
            else:
                expected.pop(id, None)
    arrivals = numbered + random.sample(numbered, random.randint(0, len(numbered)))
    random.shuffle(arrivals)
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(Path(folder) / "ledger.sqlite3", "first")
        upsert(ledger, 1)
        for number, kind, ids in arrivals:
            if kind == "upsert":
                upsert(ledger, number, *(row(id, f"{id}{number}") for id in ids))
            else:
                delete(ledger, number, *ids)
        assert texts(ledger) == expected
        ledger.close()


def test_an_upsert_that_arrives_after_a_later_delete_is_superseded(ledger):
    upsert(ledger, 1, row("x"))
    assert delete(ledger, 5, "a", "x") == 1
    assert upsert(ledger, 4, row("a"), row("b")) == [0]
    assert set(texts(ledger)) == {"b"}


def test_a_delete_that_arrives_after_a_later_upsert_deletes_nothing(ledger):
    upsert(ledger, 5, row("a"))
    assert delete(ledger, 4, "a") == 0
    assert upsert(ledger, 3, row("a", "older")) == [0]
    assert texts(ledger) == {"a": "t"}


def test_the_same_number_again_is_answered_as_the_first_time_and_changes_nothing(ledger):
    with ledger.transaction():
        collection = ledger_collections.for_write(ledger, "notes", 1, MODEL)
        first = ledger_chunks.upsert(ledger, collection, 1, [row("a")])
    pending = ledger.pending(0, 10)
    with ledger.transaction():
        again = ledger_chunks.upsert(ledger, collection, 1, [row("a")])
    assert (first.written, again.written, again.superseded) == (1, 1, [])
    assert ledger.pending(0, 10) == pending


def test_an_unchanged_row_takes_the_higher_number_so_that_a_late_write_cannot_undo_it(ledger):
    upsert(ledger, 1, row("a"))
    with ledger.transaction():
        collection = ledger_collections.require(ledger, "notes")
        assert ledger_chunks.upsert(ledger, collection, 3, [row("a")]).unchanged == 1
    assert upsert(ledger, 2, row("a", "late")) == [0]
    assert texts(ledger) == {"a": "t"}


def test_a_write_accepted_before_a_drop_does_not_bring_the_collection_back(ledger):
    upsert(ledger, 1, row("a"))
    with ledger.transaction():
        assert ledger_collections.drop(ledger, "notes", 5)
    assert upsert(ledger, 4, row("a")) == [0]
    assert ledger_collections.find(ledger, "notes") is None
    assert upsert(ledger, 6, row("b")) == []
    assert texts(ledger) == {"b": "t"}


def test_a_drop_that_arrives_late_spares_what_was_written_after_it(ledger):
    upsert(ledger, 1, row("old"))
    upsert(ledger, 7, row("new"))
    with ledger.transaction():
        assert ledger_collections.drop(ledger, "notes", 5)
    assert texts(ledger) == {"new": "t"}
    assert [id for _, _, id in ledger.pending(0, 10)][-1] == "old"


def test_a_write_accepted_before_a_rename_goes_to_the_renamed_collection(ledger):
    upsert(ledger, 1, row("a"))
    with ledger.transaction():
        ledger_collections.rename(ledger, "notes", "papers", 5)
    assert upsert(ledger, 4, row("b")) == []
    assert set(texts(ledger, "papers")) == {"a", "b"}
    upsert(ledger, 6, row("c"))
    assert set(texts(ledger)) == {"c"}


def test_replacing_a_document_deletes_only_older_chunks_that_are_not_its_own(ledger):
    upsert(ledger, 1, row("a", source="f"), row("b", source="f"), row("z", source="g"))
    upsert(ledger, 3, row("c", source="f"))
    upsert(ledger, 9, row("later", source="f"))
    assert replace(ledger, 5, "f", "h2", "c") == 2
    assert set(texts(ledger)) == {"z", "c", "later"}


def test_a_chunk_of_an_older_version_that_comes_after_the_replacement_is_superseded(ledger):
    upsert(ledger, 3, row("new", source="f"))
    replace(ledger, 5, "f", "h2", "new")
    assert upsert(ledger, 2, row("old", source="f"), row("other")) == [0]
    assert set(texts(ledger)) == {"new", "other"}


def test_a_replacement_that_arrives_after_a_later_one_changes_nothing(ledger):
    upsert(ledger, 1, row("a", source="f"))
    replace(ledger, 5, "f", "h2", "a")
    assert replace(ledger, 4, "f", "h1") == 0
    collection = ledger_collections.require(ledger, "notes")
    assert ledger_queries.documents(ledger, collection.id, ["f"]) == {
        "f": {"content_hash": "h2", "chunks": 1}
    }


def test_a_document_that_lost_or_changed_a_chunk_is_no_longer_known_by_its_hash(ledger):
    upsert(ledger, 1, row("a", source="f"), row("b", source="g"), row("c", source="h"))
    for number, (source, id) in enumerate([("f", "a"), ("g", "b"), ("h", "c")], start=2):
        replace(ledger, number, source, "hash", id)
    delete(ledger, 8, "a")
    upsert(ledger, 9, row("b", "other words", source="g"))
    collection = ledger_collections.require(ledger, "notes")
    assert set(ledger_queries.documents(ledger, collection.id, None)) == {"h"}
    assert ledger_queries.document_count(ledger, collection.id) == 1


def test_tombstones_of_epochs_that_nothing_can_come_from_are_pruned(tmp_path):
    path = tmp_path / "ledger.sqlite3"
    for start in ("first", "second", "third"):
        ledger = Ledger.open(path, start)
        upsert(ledger, (ledger.epoch << EPOCH_SHIFT) + 1, row("live"))
        delete(ledger, (ledger.epoch << EPOCH_SHIFT) + 2, f"dead-{start}")
        kept = {id for (id,) in ledger.db.execute("SELECT id FROM tombstones")}
        ledger.close()
    assert kept == {"dead-second", "dead-third"}


def test_a_run_that_outlives_two_supervisors_does_not_undo_a_later_one(tmp_path):
    """Though the document of the later run is no longer whole."""
    path = tmp_path / "ledger.sqlite3"
    ledger = Ledger.open(path, "first")

    def number(count: int) -> int:
        return (ledger.epoch << EPOCH_SHIFT) + count

    older, newer = number(1), number(2)
    with ledger.transaction():
        collection = ledger_collections.for_write(ledger, "notes", number(3), MODEL)
        for stage, id in ((older, "old"), (newer, "new")):
            ledger_staging.begin(ledger, stage, 1.0)
            staged = [row(id, source="s")]
            ledger_staging.stage_rows(ledger, collection, stage, stage, staged, 1.0)
        ledger_staging.commit(ledger, collection, number(5), newer, "s", "hash", ["new"])
        ledger_chunks.upsert(ledger, collection, number(6), [row("new", "touched", "s")])
    for service in ("second", "third"):
        ledger.close()
        ledger = Ledger.open(path, service)
    with ledger.transaction():
        ledger_staging.commit(ledger, collection, older, older, "s", "hash", ["old"])
    assert texts(ledger) == {"new": "touched"}
    ledger.close()


def test_who_reads_is_not_waited_for_when_the_log_is_folded_in(tmp_path):
    ledger = Ledger.open(tmp_path / "ledger.sqlite3", "service")
    upsert(ledger, 1, row("a"))
    reader = Ledger.reader(ledger.path)
    with one_moment(reader):
        assert texts(reader) == {"a": "t"}
        ledger.tidy()
        assert ledger.untidy
    ledger.tidy()
    assert not ledger.untidy
    reader.close()
    ledger.close()


def test_only_a_chunk_that_is_there_is_left_out_of_the_index(ledger):
    upsert(ledger, 1, row("a"))
    last = ledger.last_change()
    collection = ledger_collections.require(ledger, "notes").id
    with ledger.transaction():
        ledger_queries.leave_out(ledger, collection, "gone", "it ends the process")
        ledger_queries.leave_out(ledger, collection + 1, "a", "it ends the process")
        assert ledger.last_change() == last
        ledger_queries.leave_out(ledger, collection, "a", "it ends the process")
    assert ledger_queries.unindexed(ledger, collection) == {"a"}
    # The index is told: it may have an older version.
    assert [id for _, _, id in ledger.pending(last, 10)] == ["a"]


def test_a_rename_that_arrives_late_leaves_a_later_collection_of_that_name_alone(ledger):
    upsert(ledger, 1, row("old"))
    with ledger.transaction():
        ledger_collections.drop(ledger, "notes", 6)
    upsert(ledger, 7, row("new"))
    with ledger.transaction(), pytest.raises(CollectionNotFound):
        ledger_collections.rename(ledger, "notes", "papers", 5)
    assert texts(ledger) == {"new": "t"}


def test_a_drop_that_arrives_late_spares_a_collection_that_was_renamed_to_the_name(ledger):
    upsert(ledger, 1, row("a"), name="papers")
    with ledger.transaction():
        ledger_collections.rename(ledger, "papers", "notes", 10)
        ledger_collections.drop(ledger, "notes", 5)
    assert texts(ledger) == {"a": "t"}
    with ledger.transaction():
        ledger_collections.drop(ledger, "notes", 11)
    assert texts(ledger) == {}


def test_a_late_write_to_a_former_name_does_not_outlive_a_drop_that_spared_later_rows(ledger):
    upsert(ledger, 1, row("a"))
    with ledger.transaction():
        ledger_collections.rename(ledger, "notes", "papers", 10)
    upsert(ledger, 13, row("later"), name="papers")
    with ledger.transaction():
        ledger_collections.drop(ledger, "papers", 12)
    assert upsert(ledger, 9, row("ghost")) == [0]
    assert texts(ledger, "papers") == {"later": "t"}


def test_a_document_is_not_recorded_as_whole_when_a_chunk_of_it_is_gone_or_newer(ledger):
    upsert(ledger, 1, row("a", source="f"), row("b", source="f"), row("c", source="g"))
    delete(ledger, 2, "a")
    replace(ledger, 3, "f", "h1", "a", "b")
    upsert(ledger, 9, row("c", "other words", source="g"))
    replace(ledger, 4, "g", "h2", "c")
    collection = ledger_collections.require(ledger, "notes")
    assert ledger_queries.documents(ledger, collection.id, None) == {}
    replace(ledger, 10, "f", "h3", "b")
    assert set(ledger_queries.documents(ledger, collection.id, None)) == {"f"}


def test_a_page_of_a_collection_is_read_in_order_and_sorts_nothing(ledger):
    upsert(ledger, 1, row("b"), row("a"))
    upsert(ledger, 2, row("x"), name="other")
    upsert(ledger, 3, row("c"))
    asked: list[str] = []
    ledger.db.set_trace_callback(asked.append)
    collection = ledger_collections.require(ledger, "notes")
    found = ledger_queries.page(ledger, collection.id, 2, 1, vectors=True)
    ledger.db.set_trace_callback(None)
    assert [chunk.id for chunk in found] == ["a", "c"]
    plan = [row[3] for row in ledger.db.execute("EXPLAIN QUERY PLAN " + asked[-1])]
    assert not any("TEMP B-TREE" in step for step in plan), plan


def test_the_last_change_is_that_of_the_log_also_after_what_was_rolled_back(ledger):
    reader = Ledger.reader(ledger.path)

    def logged() -> int:
        return ledger.db.execute("SELECT max(seq) FROM changes").fetchone()[0] or 0

    for number in range(1, 6):
        upsert(ledger, 2 * number, row(f"{number}"))
        assert ledger.last_change() == reader.last_change() == logged() == number
        with pytest.raises(ZeroDivisionError), ledger.transaction():
            collection = ledger_collections.for_write(ledger, "notes", 2 * number + 1, MODEL)
            assert collection is not None
            ledger_chunks.upsert(ledger, collection, 2 * number + 1, [row("x"), row("y")])
            assert ledger.last_change() == logged() == number + 2
            raise ZeroDivisionError
        assert ledger.last_change() == reader.last_change() == logged() == number
    # Without the last fold of the log, which is not a reader's to do.
    reader.db.close()


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 64, 65, 256, 257, 700])
def test_as_many_are_found_as_are_asked_for(ledger, count):
    ids = [f"{number:03}" for number in range(count)]
    upsert(ledger, 1, row("other"), *map(row, ids))
    collection = ledger_collections.require(ledger, "notes").id
    found = ledger_queries.chunks_of(ledger, collection, ["gone", *ids], vectors=False)
    assert sorted(found) == ids
    rows = [chunk.row for chunk in found.values()]
    assert sorted(ledger_queries.vectors_at(ledger, rows)) == ids
