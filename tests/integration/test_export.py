"""Export and import with a real service: the same bits come back, or nothing does."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.exports import told
from tests.support.service import RealService, wait_for
from thoth_core import Thoth
from thoth_core.client.archive_format import IMPORT_PREFIX
from thoth_core.errors import (
    Cancelled,
    CollectionExists,
    CollectionNotFound,
    InvalidInput,
    StorageError,
)

RNG = np.random.default_rng(11)


def everything(thoth: Thoth, collection: str) -> tuple[Any, ...]:
    found = thoth.get(collection=collection, include=["vectors"])
    assert found.vectors is not None
    return found.ids, found.texts, found.metadatas, found.vectors.tobytes()


def filled(thoth: Thoth, tmp_path: Path) -> None:
    """A collection of everything that a collection may hold, and two others."""
    docs = tmp_path / "docs"
    docs.mkdir()
    for i in range(5):
        (docs / f"{i}.md").write_text(f"# Title {i}\n\nText number {i}. " + "word " * 900)
    thoth.ingest([docs], "mixed")
    odd: list[Any] = [{"n": 2**62, "f": 0.1, "b": True, "none": None, "l": [1.5, 2.0]}, None]
    own = RNG.normal(size=(700, 32)).astype(np.float32) * np.float32(1e-3)
    ids = [f"own \N{SNOWMAN} {i}" for i in range(len(own))]
    thoth.upsert(ids, own, None, odd * 350, "mixed")
    thoth.add(["a \u2028 line", "tab\tand \x00 null", "\N{GRINNING FACE}"], collection="mixed")
    thoth.upsert(["bare"], own[:1], collection="own")
    thoth.create_collection("empty")


def test_what_was_exported_comes_back_bit_by_bit(
    running: RealService, thoth: Thoth, tmp_path: Path
) -> None:
    filled(thoth, tmp_path)
    names = ["empty", "mixed", "own"]
    before = {name: everything(thoth, name) for name in names[1:]}
    questions = [f"Text number {i}" for i in range(5)]
    hits = thoth.query_many(questions, k=10, collection="mixed")
    listed, sizes = thoth.collections(), thoth.stats()["collections"]
    file = tmp_path / "all.zip"
    told_progress: list[tuple[int, int]] = []
    report = thoth.export(file, on_progress=lambda *at: told_progress.append(at))
    assert [each["name"] for each in report.collections] == names
    assert report.bytes == file.stat().st_size
    assert told_progress[-1] == (report.chunks, report.chunks)
    assert list(tmp_path.glob(".*")) == []
    for name in names:
        thoth.delete_collection(name)

    done = thoth.import_(file)
    assert (done.chunks, done.resumed) == (report.chunks, 0)
    assert thoth.collections() == listed
    assert thoth.stats()["collections"] == sizes
    assert {name: everything(thoth, name) for name in names[1:]} == before
    assert thoth.query_many(questions, k=10, collection="mixed") == hits
    # Nothing is embedded again: the files are known, and computed vectors are.
    again = thoth.ingest([tmp_path / "docs"], "mixed")
    assert (again.unchanged, again.embedded) == (5, 0)
    other = thoth.ingest([tmp_path / "docs"], "copy")
    assert other.new == 5
    assert other.embedded == 0
    assert other.reused == other.chunks > 5
    thoth.delete_collection("copy")

    # And once more it is the same file, apart from the hour.
    second = tmp_path / "second.zip"
    thoth.export(second)
    one, two = told(file), told(second)
    assert (
        json.loads(one.pop("manifest.json"))["collections"]
        == (json.loads(two.pop("manifest.json"))["collections"])
    )
    assert one == two


def test_an_export_is_plain_json_lines_for_everybody(thoth: Thoth, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one text")
    thoth.ingest([tmp_path / "a.txt"], "notes")
    thoth.upsert(["own"], [[0.1] * 32], ["two"], [{"n": 1}], "notes")
    file = tmp_path / "notes.zip"
    thoth.export(file)
    files = told(file)
    assert list(files) == ["000.jsonl", "000.documents.jsonl", "manifest.json"]
    manifest = json.loads(files["manifest.json"])
    assert (manifest["format"], manifest["format_version"]) == ("thoth-export", 1)
    [collection] = manifest["collections"]
    assert collection["model"]["name"] == "fake/32"
    assert (collection["dimension"], collection["space"]) == (32, "cosine")
    assert (collection["chunks"], collection["documents"]) == (2, 1)
    for kind, name in (("chunks", "000.jsonl"), ("documents", "000.documents.jsonl")):
        entry = collection["files"][kind]
        assert entry["name"] == name
        assert entry["bytes"] == len(files[name])
        assert entry["sha256"] == hashlib.sha256(files[name]).hexdigest()
    rows = [json.loads(line) for line in files["000.jsonl"].splitlines()]
    assert [list(row) for row in rows] == [["id", "text", "metadata", "computed", "vector"]] * 2
    assert [row["text"] for row in rows] == ["one text", "two"]
    assert [row["computed"] for row in rows] == [True, False]
    # The fewest digits that are just this float32.
    assert rows[1]["vector"] == [0.1] * 32
    [document] = [json.loads(line) for line in files["000.documents.jsonl"].splitlines()]
    assert (document["source"], document["chunks"]) == (str(tmp_path / "a.txt"), 1)
    if shutil.which("unzip"):
        piped = subprocess.run(["unzip", "-p", str(file), "000.jsonl"], capture_output=True)
        assert piped.stdout == files["000.jsonl"]


def test_an_export_under_writes_is_of_one_moment(thoth: Thoth, tmp_path: Path) -> None:
    """A writer always writes the same number to two rows, far apart, in one call."""
    n = 3000
    ids = [f"i{i:05}" for i in range(n)]
    vectors = RNG.normal(size=(n, 32)).astype(np.float32)
    thoth.upsert(ids, vectors, None, [{"n": 0}] * n, "pair")
    ends, stop, written = [ids[0], ids[-1]], threading.Event(), [0]

    def write() -> None:
        while not stop.is_set():
            number = written[0] + 1
            thoth.upsert(ends, vectors[[0, -1]], None, [{"n": number}] * 2, "pair")
            written[0] = number

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = set()
        for i in range(4):
            file, low = tmp_path / f"{i}.zip", written[0]
            thoth.export(file, ["pair"])
            rows = [json.loads(line) for line in told(file)["000.jsonl"].splitlines()]
            assert [row["id"] for row in rows] == ids
            first, last = rows[0]["metadata"]["n"], rows[-1]["metadata"]["n"]
            assert low <= first == last
            seen.add(first)
    finally:
        stop.set()
        writer.join()
    assert len(seen) > 1, "the writer has written between two exports"


def test_a_name_that_is_taken_is_refused_and_another_can_be_had(
    thoth: Thoth, tmp_path: Path
) -> None:
    thoth.add(["one"], collection="notes")
    thoth.add(["two"], collection="other")
    file = tmp_path / "x.zip"
    thoth.export(file)
    thoth.delete_collection("other")
    before = everything(thoth, "notes")
    with pytest.raises(CollectionExists) as caught:
        thoth.import_(file)
    assert "--as" in caught.value.fix
    # All of them or none.
    assert [each.name for each in thoth.collections()] == ["notes"]
    with pytest.raises(InvalidInput):
        thoth.import_(file, as_name="copy")
    with pytest.raises(CollectionNotFound, match="nope"):
        thoth.import_(file, ["nope"])
    thoth.import_(file, ["notes"], "copy")
    thoth.import_(file, ["other"])
    assert [each.name for each in thoth.collections()] == ["copy", "notes", "other"]
    assert everything(thoth, "copy") == everything(thoth, "notes") == before
    with pytest.raises(CollectionNotFound):
        thoth.export(tmp_path / "y.zip", ["notes", "nope"])
    assert not (tmp_path / "y.zip").exists()
    with pytest.raises(InvalidInput):
        thoth.export(tmp_path / "y.zip", [])


def test_an_import_that_was_ended_is_not_seen_and_goes_on(
    running: RealService, thoth: Thoth, tmp_path: Path
) -> None:
    n = 4000
    vectors = RNG.normal(size=(n, 32)).astype(np.float32)
    thoth.upsert([f"i{i}" for i in range(n)], vectors, collection="large")
    before = everything(thoth, "large")
    file = tmp_path / "large.zip"
    thoth.export(file)
    thoth.delete_collection("large")

    def end(done: int, total: int) -> None:
        if done >= 1500:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        thoth.import_(file, on_progress=end)
    # After this call's answer all that was sent before it is known; and that is finished. A write
    # that was taken back may be with the store already, and is no open request any more.
    thoth.collections()
    open_work = ("requests", "calls_waiting", "calls_in_flight")
    wait_for(
        lambda: not any(running.status()["queue"][name] for name in open_work),
        30,
        "nothing is open",
    )
    [part] = thoth.collections()
    assert part.name.startswith(IMPORT_PREFIX)
    assert 1500 <= part.count < n
    # It is no part of an export.
    assert thoth.export(tmp_path / "none.zip").collections == []
    report = thoth.import_(file)
    assert report.resumed == part.count
    assert everything(thoth, "large") == before
    assert [each.name for each in thoth.collections()] == ["large"]


def test_what_the_disk_refuses_leaves_what_was_there(thoth: Thoth, tmp_path: Path) -> None:
    thoth.add(["one"], collection="notes")
    with pytest.raises(StorageError, match="could not be written"):
        thoth.export(tmp_path / "no" / "folder" / "x.zip")
    with pytest.raises(InvalidInput, match="no file"):
        thoth.export(tmp_path)
    with pytest.raises(StorageError, match="could not be read"):
        thoth.import_(tmp_path / "none.zip")
    link, real = tmp_path / "link.zip", tmp_path / "real.zip"
    real.write_text("older")
    link.symlink_to(real)

    def broken(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        thoth.export(link, on_progress=broken)
    assert real.read_text() == "older"
    thoth.export(link)
    assert link.is_symlink()
    assert zipfile.is_zipfile(real)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link.zip", "real.zip"]


def test_the_commands(running: RealService, thoth: Thoth, tmp_path: Path) -> None:
    thoth.add(["one", "two"], collection="notes")
    file = tmp_path / "x.zip"
    done = running.run("thoth", "export", str(file), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["collections"] == [{"name": "notes", "chunks": 2, "documents": 0}]
    assert report["bytes"] == file.stat().st_size
    taken = running.run("thoth", "import", str(file))
    assert taken.returncode == 1
    assert "--as NAME" in taken.stderr
    done = running.run("thoth", "import", str(file), "--collection", "notes", "--as", "copy")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "copy\t2 chunks\t0 documents\nimported: 2 chunks\n"
    assert everything(thoth, "copy") == everything(thoth, "notes")
    file.write_bytes(file.read_bytes()[:-1])
    damaged = running.run("thoth", "import", str(file), "--json")
    assert damaged.returncode == 1
    assert json.loads(damaged.stdout)["error"]["code"] == "export_damaged"
    for command in ("export", "import"):
        stream = running.run("thoth", command, "-")
        assert stream.returncode == 2
        assert "a file is needed" in stream.stderr
