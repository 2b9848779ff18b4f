"""What of an export is found wrong before anything of it is sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from thoth_core.client import import_check
from thoth_core.client.archive_format import CollectionEntry, Manifest, file_names
from thoth_core.client.archive_read import Archive
from thoth_core.client.archive_write import ArchiveWriter
from thoth_core.errors import Cancelled, ExportDamaged


def chunk(id: Any) -> dict[str, Any]:
    return {"id": id, "computed": False, "vector": [1.0, 2.0]}


def document(source: Any) -> dict[str, Any]:
    return {"source": source, "content_hash": "h", "chunks": 0}


def check(
    path: Path,
    chunks: Sequence[dict[str, Any]],
    documents: Sequence[dict[str, Any]] = (),
    between: Callable[[], object] = lambda: None,
    more: bytes = b"",
) -> None:
    """Write these as an export, and check it."""
    names, files = file_names(0), []
    with ArchiveWriter(path) as archive:
        for name, rows in zip(names, (chunks, documents), strict=True):
            with archive.entry(name) as entry:
                entry.write(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
                files.append(entry.written())
                entry.write(more)
        counts = len(chunks), len(documents)
        archive.finish(Manifest("0", "now", [CollectionEntry("n", None, 2, "l2", *counts, *files)]))
    with Archive(path) as archive:
        import_check.check(archive, archive.manifest.collections[0], between)


@pytest.mark.parametrize("apart", [1, 2, 499, 500, 1999])
def test_an_id_that_is_there_twice_is_named_with_both_lines(tmp_path: Path, apart: int) -> None:
    chunks = [chunk(f"id {i}") for i in range(2000)]
    check(tmp_path / "x.zip", chunks)
    chunks[apart] = chunks[0]
    with pytest.raises(ExportDamaged) as caught:
        check(tmp_path / "x.zip", chunks)
    wanted = f"line {apart + 1} of 000.jsonl has the id 'id 0', as line 1 has"
    assert caught.value.message == wanted
    assert caught.value.details["line"] == apart + 1
    assert caught.value.fix


def test_a_source_that_is_there_twice_is_named_with_both_lines(tmp_path: Path) -> None:
    documents = [document(f"/s{i}") for i in range(9)]
    check(tmp_path / "x.zip", [], documents)
    documents[7] = documents[3]
    with pytest.raises(
        ExportDamaged, match=r"line 8 of 000\.documents\.jsonl has the source '/s3'"
    ):
        check(tmp_path / "x.zip", [], documents)


def test_ids_with_the_same_hash_are_not_taken_for_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_check, "_hash", lambda name: len(name))
    check(tmp_path / "x.zip", [chunk(f"{i}") for i in range(1000)])
    with pytest.raises(ExportDamaged, match=r"line 4 .* as line 2 has"):
        check(tmp_path / "x.zip", [chunk(id) for id in "abcb"])


def test_of_a_file_that_is_not_as_it_was_written_that_is_told(tmp_path: Path) -> None:
    with pytest.raises(ExportDamaged, match=r"line 2 of 000\.jsonl has the id 7"):
        check(tmp_path / "x.zip", [chunk("a"), chunk(7), chunk(8)])
    with pytest.raises(ExportDamaged, match="not as the manifest says"):
        check(tmp_path / "x.zip", [chunk("a"), chunk(7)], more=b"\n")


def test_it_can_be_ended_meanwhile(tmp_path: Path) -> None:
    def end() -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled) as caught:
        check(tmp_path / "x.zip", [chunk("a")], between=end)
    # The frames of the error are still there, and the file is closed all the same.
    assert caught.tb is not None
    linked = {fd.resolve() for fd in Path("/proc/self/fd").iterdir()}
    assert (tmp_path / "x.zip").resolve() not in linked
