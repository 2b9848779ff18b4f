"""The ledger's bookkeeping: epochs, outcomes, groups, reuse, errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from store_worker import ledger_chunks, ledger_collections, ledger_queries
from store_worker.ledger import OUTCOME_SECONDS, Ledger
from store_worker.ledger_chunks import Row, Wanted
from store_worker.ledger_schema import MIGRATIONS, migrate
from store_worker.ledger_sources import Narrow, sources_after
from thoth_core.errors import (
    CollectionNotFound,
    InvalidInput,
    LedgerDamaged,
    ModelMismatch,
    StorageError,
)

MODEL = {"name": "fake/1", "dimension": 1}
OTHER = {"name": "fake/other", "dimension": 1}
VECTOR = b"\0\0\x80?"


def row(id: str, hash: str | None = None, *, computed: bool = True) -> Row:
    return Row(id, "t", None, None, hash, VECTOR, computed)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path / "ledger.sqlite3", "first")
    yield opened
    opened.close()


def test_the_epoch_grows_with_each_supervisor_start_and_only_then(tmp_path):
    path = tmp_path / "ledger.sqlite3"
    epochs = []
    for start in ("a", "a", "b", "b", "a"):
        ledger = Ledger.open(path, start)
        epochs.append(ledger.epoch)
        # As after SIGKILL: nothing is written at the end.
        ledger.db.close()
    assert epochs == [1, 1, 2, 2, 3]


def test_commits_wait_for_the_disk_and_foreign_keys_hold(ledger):
    pragma = {
        name: ledger.db.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys")
    }
    assert pragma == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_an_outcome_is_remembered_for_ten_minutes_and_then_pruned(ledger):
    with ledger.transaction():
        ledger.remember("r1", {"deleted": 3, "ids": ["a"]}, now=1000.0)
    assert ledger.outcome("r1", 1000.0 + OUTCOME_SECONDS - 1) == {"deleted": 3, "ids": ["a"]}
    assert ledger.outcome("r1", 1000.0 + OUTCOME_SECONDS + 1) is None
    with ledger.transaction():
        ledger.remember("r2", {}, now=1000.0 + OUTCOME_SECONDS + 40)
    assert [r for (r,) in ledger.db.execute("SELECT request FROM outcomes")] == ["r2"]


def test_one_failed_call_of_a_group_leaves_the_others_of_the_group_standing(ledger):
    with ledger.transaction():
        with ledger.savepoint():
            ledger_collections.for_write(ledger, "good", 1, MODEL)
        with pytest.raises(InvalidInput), ledger.savepoint():
            ledger_collections.for_write(ledger, "bad", 2, MODEL)
            raise InvalidInput("refused after it had written")
        with ledger.savepoint():
            ledger_collections.for_write(ledger, "fine", 3, MODEL)
    assert [each.name for each in ledger_collections.listed(ledger)] == ["fine", "good"]


def test_a_full_disk_rolls_the_whole_group_back_and_the_ledger_goes_on(ledger):
    with ledger.transaction():
        collection = ledger_collections.for_write(ledger, "notes", 1, MODEL)
    pages = ledger.db.execute("PRAGMA page_count").fetchone()[0]
    ledger.db.execute(f"PRAGMA max_page_count = {pages + 2}")
    many = [Row(f"id{i}", "x" * 4000, None, None, None, VECTOR, True) for i in range(200)]
    with pytest.raises(StorageError, match="disk is full"), ledger.transaction():
        ledger_chunks.upsert(ledger, collection, 2, many[:1])
        with ledger.savepoint():
            ledger_chunks.upsert(ledger, collection, 3, many)
    assert ledger_queries.count(ledger, collection.id) == 0
    ledger.db.execute("PRAGMA max_page_count = 100000")
    with ledger.transaction():
        ledger_chunks.upsert(ledger, collection, 3, many)
    assert ledger_queries.count(ledger, collection.id) == 200


def test_a_read_only_ledger_is_a_storage_error_that_says_so(ledger):
    ledger.db.execute("PRAGMA query_only = ON")
    with pytest.raises(StorageError, match="read-only"), ledger.transaction():
        ledger_collections.for_write(ledger, "notes", 1, MODEL)
    ledger.db.execute("PRAGMA query_only = OFF")


def test_a_ledger_held_by_another_program_is_a_storage_error(ledger):
    other = sqlite3.connect(ledger.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    ledger.db.execute("PRAGMA busy_timeout = 50")
    with pytest.raises(StorageError, match="another program holds it"), ledger.transaction():
        pass
    other.close()


def test_a_malformed_ledger_is_named_with_the_way_out(tmp_path):
    path = tmp_path / "ledger.sqlite3"
    Ledger.open(path, "first").close()
    whole = bytearray(path.read_bytes())
    whole[100:4000] = b"\xff" * 3900
    path.write_bytes(whole)
    with pytest.raises(LedgerDamaged) as caught:
        Ledger.open(path, "second")
    assert str(path.parent) in caught.value.fix
    assert path.read_bytes() == bytes(whole)


def test_a_file_that_is_no_database_is_a_damaged_ledger(tmp_path):
    path = tmp_path / "ledger.sqlite3"
    path.write_bytes(b"these are somebody's notes, not a database" * 100)
    with pytest.raises(LedgerDamaged):
        Ledger.open(path, "first")


def test_another_programs_database_is_left_alone(tmp_path):
    path = tmp_path / "ledger.sqlite3"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE recipes (name)")
    db.commit()
    db.close()
    with pytest.raises(StorageError, match="another program"):
        Ledger.open(path, "first")
    db = sqlite3.connect(path)
    assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]
    db.close()


def test_a_ledger_of_a_newer_thoth_is_refused(tmp_path):
    path = tmp_path / "ledger.sqlite3"
    ledger = Ledger.open(path, "first")
    ledger.db.execute("PRAGMA user_version = 99")
    ledger.close()
    with pytest.raises(StorageError, match="schema version 99") as caught:
        Ledger.open(path, "first")
    assert "upgrade" in caught.value.fix


def test_a_migration_that_fails_leaves_the_older_version_whole(ledger):
    broken = (*MIGRATIONS, "CREATE TABLE extra (x);\nCREATE TABLE extra (x);")
    with pytest.raises(sqlite3.OperationalError):
        migrate(ledger.db, broken)
    names = {n for (n,) in ledger.db.execute("SELECT name FROM sqlite_master")}
    assert "extra" not in names
    migrate(ledger.db, (*MIGRATIONS, "CREATE TABLE extra (x);"))
    assert ledger.db.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS) + 1


def test_documents_of_before_their_time_was_noted_have_none(tmp_path):
    path = tmp_path / "ledger.sqlite3"
    db = sqlite3.connect(path, isolation_level=None)
    migrate(db, MIGRATIONS[:3])
    db.execute("INSERT INTO collections (id, name, number) VALUES (1, 'notes', 1)")
    db.execute(
        "INSERT INTO documents (collection, source, content_hash, chunks, number)"
        " VALUES (1, '/a.md', 'h', 0, 1)"
    )
    db.close()
    ledger = Ledger.open(path, "first")
    every, since = Narrow(None, None), Narrow(None, 0.0)
    [found], after = sources_after(ledger, 1, every, "", 10, 10)
    assert (found.source, found.stored, after) == ("/a.md", None, None)
    assert sources_after(ledger, 1, since, "", 10, 10) == ([], None)
    ledger.close()


def test_the_changes_that_the_index_has_on_disk_are_forgotten_and_the_count_goes_on(ledger):
    with ledger.transaction():
        collection = ledger_collections.for_write(ledger, "notes", 1, MODEL)
        ledger_chunks.upsert(ledger, collection, 1, [row("a"), row("b")])
    pending = ledger.pending(0, 10)
    assert [id for _, _, id in pending] == ["a", "b"]
    assert [id for _, _, id in ledger.pending(pending[0][0], 10)] == ["b"]
    assert ledger.logged_whole(collection.id, 0)
    ledger.note_index({"generation": 2}, pending[0][0])
    assert (ledger.watermark, ledger.index_notes()) == (pending[0][0], {"generation": 2})
    assert ledger.pending(0, 10) == pending[1:]
    assert not ledger.logged_whole(collection.id, 0)
    ledger.note_index({"generation": 2}, pending[1][0])
    assert ledger.pending(0, 10) == []
    assert ledger.last_change() == pending[1][0]


def want(id: str, hash: str, metadata: str | None = None) -> Wanted:
    return Wanted(id, "t", metadata, None, hash)


def test_have_sorts_into_unchanged_reused_superseded_and_missing(ledger):
    with ledger.transaction():
        collection = ledger_collections.for_write(ledger, "notes", 1, MODEL)
        ledger_chunks.upsert(
            ledger,
            collection,
            2,
            [row("same", "h1"), row("tagged", "h2"), row("edited", "h3")],
        )
        ledger_chunks.upsert(ledger, collection, 9, [row("newer", "h4")])
    with ledger.transaction():
        had = ledger_chunks.have(
            ledger,
            collection,
            5,
            [
                want("same", "h1"),
                want("tagged", "h2", '{"a": 1}'),
                want("edited", "h-new"),
                want("newer", "h5"),
                want("copy", "h1"),
                want("unknown", "h6"),
            ],
        )
    assert (had.unchanged, had.reused) == ([0], [1, 4])
    assert (had.superseded, had.missing) == ([3], [2, 5])
    chunks = ledger_queries.chunks_of(ledger, collection.id, ["tagged", "copy"], vectors=True)
    assert chunks["tagged"].metadata_dict() == {"a": 1}
    assert chunks["copy"].vector == VECTOR


def test_a_vector_is_reused_across_collections_of_the_same_model_only(ledger):
    with ledger.transaction():
        notes = ledger_collections.for_write(ledger, "notes", 1, MODEL)
        ledger_chunks.upsert(ledger, notes, 1, [row("a", "h1")])
        papers = ledger_collections.for_write(ledger, "papers", 2, MODEL)
        assert ledger_chunks.have(ledger, papers, 2, [want("x", "h1")]).reused == [0]
        other = ledger_collections.for_write(ledger, "other", 3, OTHER)
        assert ledger_chunks.have(ledger, other, 3, [want("x", "h1")]).missing == [0]


def test_a_callers_own_vector_is_never_reused_nor_taken_for_the_models(ledger):
    with ledger.transaction():
        notes = ledger_collections.for_write(ledger, "notes", 1, None, 1)
        ledger_chunks.upsert(ledger, notes, 1, [row("own", "h1", computed=False)])
        notes = ledger_collections.for_write(ledger, "notes", 2, MODEL)
        had = ledger_chunks.have(ledger, notes, 2, [want("own", "h1"), want("x", "h1")])
    assert had.missing == [0, 1]


def test_a_deleted_row_is_not_reused(ledger):
    with ledger.transaction():
        notes = ledger_collections.for_write(ledger, "notes", 1, MODEL)
        ledger_chunks.upsert(ledger, notes, 1, [row("a", "h1")])
        ledger_chunks.delete(ledger, notes, 2, ["a"])
        assert ledger_chunks.have(ledger, notes, 3, [want("b", "h1")]).missing == [0]


def test_the_first_model_of_its_dimension_claims_a_collection_of_own_vectors(ledger):
    with ledger.transaction():
        ledger_collections.for_write(ledger, "notes", 1, None, 1)
        ledger_collections.for_write(ledger, "notes", 2, MODEL)
    assert ledger_collections.require(ledger, "notes").identity() == MODEL
    with pytest.raises(ModelMismatch) as caught, ledger.transaction():
        ledger_collections.for_write(ledger, "notes", 3, OTHER)
    assert "fake/1" in caught.value.message
    assert "fake/other" in caught.value.message
    with pytest.raises(ModelMismatch), ledger.transaction():
        ledger_collections.for_write(ledger, "notes", 3, {"name": "m", "dimension": 2})


def test_a_collection_that_is_not_there_is_answered_with_those_that_are(ledger):
    with ledger.transaction():
        ledger_collections.for_write(ledger, "notes", 1, MODEL)
    with pytest.raises(CollectionNotFound) as caught:
        ledger_collections.require(ledger, "note")
    assert caught.value.details["collections"] == ["notes"]


def test_ids_beyond_one_statement_and_with_odd_characters_are_found(ledger):
    ids = [f"id{i}" for i in range(700)] + ["nul\0inside", "quote'", "ünïcode", "[1]"]
    with ledger.transaction():
        notes = ledger_collections.for_write(ledger, "notes", 1, MODEL)
        ledger_chunks.upsert(ledger, notes, 1, [row(id) for id in ids])
    found = ledger_queries.chunks_of(ledger, notes.id, [*ids, "absent"], vectors=False)
    assert set(found) == set(ids)
    assert ledger_queries.ordered(ledger, notes.id, ids[::-1]) == ids
