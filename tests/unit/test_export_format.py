"""What a manifest and the lines of an export may say, and that nothing else gets through."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thoth_core.client import import_rows
from thoth_core.client.archive_format import (
    CollectionEntry,
    FileEntry,
    Manifest,
    file_names,
    from_json,
    to_json,
)
from thoth_core.errors import ExportDamaged, VersionMismatch

MODEL = {"name": "fake/2", "dimension": 2, "normalized": True}


def entry(**more: Any) -> CollectionEntry:
    chunks, documents = file_names(0)
    fields: dict[str, Any] = {
        "name": "notes",
        "model": MODEL,
        "dimension": 2,
        "space": "l2",
        "chunks": 3,
        "documents": 1,
        "chunks_file": FileEntry(chunks, "a" * 64, 10),
        "documents_file": FileEntry(documents, "b" * 64, 20),
        **more,
    }
    return CollectionEntry(**fields)


def told(change: Callable[[dict[str, Any]], Any] = lambda manifest: None) -> bytes:
    manifest = json.loads(to_json(Manifest("0.1.0", "2026-01-01T00:00:00+00:00", [entry()])))
    change(manifest)
    return json.dumps(manifest).encode()


def test_a_manifest_comes_back_as_it_was_written() -> None:
    manifest = Manifest(
        "0.1.0",
        "2026-01-01T00:00:00+00:00",
        [
            entry(),
            entry(
                name="none",
                model=None,
                dimension=None,
                chunks=0,
                chunks_file=FileEntry("001.jsonl", "c" * 64, 0),
                documents_file=FileEntry("001.documents.jsonl", "d" * 64, 0),
            ),
        ],
    )
    assert from_json(to_json(manifest)) == manifest


def test_fields_that_are_not_known_are_passed_over() -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["later"] = {"x": 1}
        manifest["collections"][0]["later"] = 2

    assert from_json(told(change)).collections == [entry()]


def test_a_later_form_is_refused_by_its_number() -> None:
    with pytest.raises(VersionMismatch, match="format version 2"):
        from_json(told(lambda m: m.update(format_version=2)))


def collection(**more: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda m: m["collections"][0].update(**more)


def chunks_file(**more: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda m: m["collections"][0]["files"]["chunks"].update(**more)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.update(format="other"), "thoth-export"),
        (lambda m: m.update(collections={}), "lists no collections"),
        (lambda m: m.update(collections=[7]), "collection 0 is 7"),
        (lambda m: m.update(collections=m["collections"] * 2), "twice"),
        (collection(name=""), "name"),
        (collection(model="m"), "model"),
        (collection(dimension=3), "another dimension than its model"),
        (collection(dimension=None, model=None), "no dimension"),
        (collection(dimension=True), "dimension"),
        (collection(dimension=2**62, model=None, chunks=0), "dimension"),
        (collection(dimension=0, model=None, chunks=0), "dimension"),
        (collection(dimension=None, model={"name": "m"}, chunks=0), "model without its dimension"),
        (
            collection(dimension=1, model={"name": "m", "dimension": True}, chunks=0),
            "model without its dimension",
        ),
        (collection(space="hamming"), "space"),
        (collection(chunks=-1), "-1 chunks"),
        (collection(documents=1.5), "documents"),
        (collection(files=None), "files"),
        (collection(files={"chunks": {}, "documents": {}}), "file"),
        (chunks_file(name="../../etc/passwd"), "file"),
        (chunks_file(name="/000.jsonl"), "file"),
        (chunks_file(name="000.jsonl\n"), "file"),
        (chunks_file(name="000.documents.jsonl"), "twice"),
        (chunks_file(sha256="A" * 64), "sha256"),
        (chunks_file(bytes="10"), "bytes"),
    ],
)
def test_a_manifest_that_says_what_it_may_not_is_refused(
    change: Callable[[dict[str, Any]], Any], says: str
) -> None:
    with pytest.raises(ExportDamaged, match=says):
        from_json(told(change))


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_what_is_no_manifest_is_refused(raw: bytes) -> None:
    with pytest.raises(ExportDamaged):
        from_json(raw)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_a_vector_that_was_written_is_read_as_the_same_bits(numbers: list[float]) -> None:
    vector = np.array(numbers, np.float32)
    line = orjson.dumps(vector, option=orjson.OPT_SERIALIZE_NUMPY)
    read = np.array(orjson.loads(line)).astype(np.float32)
    assert read.tobytes() == vector.tobytes()


def line(**more: Any) -> bytes:
    row = {"id": "a", "text": "t", "metadata": {"n": 1}, "computed": True, "vector": [1.0, 0.5]}
    return json.dumps(row | more).encode()


def read(*lines: bytes, of: CollectionEntry | None = None) -> list[import_rows.Batch]:
    batches = list(import_rows.batches(of or entry(), list(enumerate(lines, 1))))
    for batch in batches:
        assert import_rows.array(of or entry(), batch).shape == (len(batch.ids), 2)
    return batches


def test_rows_are_sent_in_runs_of_one_kind_and_in_their_order() -> None:
    kinds = [True, True, False, True]
    found = read(*(line(id=str(i), computed=kind) for i, kind in enumerate(kinds)))
    assert [(b.first, b.computed, b.ids) for b in found] == [
        (1, True, ["0", "1"]),
        (3, False, ["2"]),
        (4, True, ["3"]),
    ]


def test_a_run_is_cut_by_rows_and_by_bytes() -> None:
    many = read(*(line(id=str(i)) for i in range(import_rows.BATCH_ROWS + 1)))
    assert [len(batch.ids) for batch in many] == [import_rows.BATCH_ROWS, 1]
    long = "x" * (import_rows.BATCH_BYTES // 2)
    assert [b.ids for b in read(*(line(id=i, text=long) for i in "abc"))] == [["a", "b"], ["c"]]


def test_what_is_left_out_of_a_line_is_none() -> None:
    [batch] = read(b'{"id": "a", "computed": false, "vector": [1, 2], "metadata": {}}')
    assert (batch.texts, batch.metadatas) == ([None], [None])


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"7", "no JSON object"),
        (line(id=""), "id"),
        (line(id=3), "id"),
        (line(text=3), "text"),
        (line(metadata=[1]), "metadata"),
        (line(metadata={"a": {}}), "metadata"),
        (line(computed=1), "computed"),
        (line(vector=None), "vector"),
        (line(vector=[1.0]), "vector"),
        (line(vector=[[1.0, 2.0]]), "vector"),
        (line(vector=["1", "2"]), "vector"),
        (line(vector=[0, 0]), "is zero"),
        (line(vector=[1e300, 1]), "infinity"),
        (line(vector=[1.0, None]), "vector"),
    ],
)
def test_a_line_that_cannot_be_a_row_is_named(bad: bytes, says: str) -> None:
    with pytest.raises(ExportDamaged, match=says) as caught:
        read(line(id="fine"), bad)
    assert "line 2 of 000.jsonl" in caught.value.message
    assert caught.value.details["line"] == 2
    # One cause and one fix are told, its own.
    words = str(caught.value)
    assert (words.count("cause: "), words.count("fix: ")) == (1, 1)


def test_a_vector_cannot_be_computed_by_no_model() -> None:
    own = entry(model=None)
    read(line(computed=False), of=own)
    with pytest.raises(ExportDamaged, match="computed"):
        read(line(), of=own)


@pytest.mark.parametrize(
    "bad",
    [
        b"{}",
        b'{"source": "", "content_hash": "h", "chunks": 1}',
        b'{"source": "s", "content_hash": null, "chunks": 1}',
        b'{"source": "s", "content_hash": "h", "chunks": -1}',
        b'{"source": "s", "content_hash": "h", "chunks": true}',
    ],
)
def test_a_line_that_cannot_be_a_document_is_named(bad: bytes) -> None:
    with pytest.raises(ExportDamaged, match=r"line 5 of 000\.documents\.jsonl"):
        import_rows.document(entry(), 5, bad)
