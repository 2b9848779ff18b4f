"""Export and import with a real service: the same bits come back, or nothing does."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.service import RealService
from thoth_core import Thoth
from thoth_core.client.archive_format import IMPORT_PREFIX
from thoth_core.errors import (
    Cancelled,
    CollectionExists,
    CollectionNotFound,
    ExportDamaged,
    InvalidInput,
    StorageError,
)

RNG = np.random.default_rng(11)


@pytest.fixture(scope="module")
def running() -> Iterator[RealService]:
    service = RealService.make("fake/32", THOTH_FAULTS="1", THOTH_EMBED_WORKERS="1")
    try:
        yield service.start()
    finally:
        service.close()


@pytest.fixture
def thoth(running: RealService) -> Iterator[Thoth]:
    """A client of a store without collections."""
    with running.client() as client:
        for each in client.collections():
            client.delete_collection(each.name)
        yield client


def everything(thoth: Thoth, collection: str) -> tuple[Any, ...]:
    found = thoth.get(collection=collection, include=["vectors"])
    assert found.vectors is not None
    return found.ids, found.texts, found.metadatas, found.vectors.tobytes()


def told(path: Path) -> dict[str, bytes]:
    """The files of an export, as another program reads them."""
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    files = told(path)
    change(files)
    with zipfile.ZipFile(path, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


def resealed(files: dict[str, bytes], name: str, content: bytes) -> None:
    """Replace a file and have the manifest say so."""
    manifest = json.loads(files["manifest.json"])
    for collection in manifest["collections"]:
        for each in collection["files"].values():
            if each["name"] == name:
                each["bytes"] = len(content)
                each["sha256"] = hashlib.sha256(content).hexdigest()
    files[name] = content
    files["manifest.json"] = json.dumps(manifest).encode()


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


def flip(at: int) -> Callable[[bytes], bytes]:
    return lambda raw: raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(flip(2000), id="one bit"),
        pytest.param(lambda raw: raw[: len(raw) // 2], id="half of it"),
        pytest.param(lambda raw: raw[:-10], id="its end"),
        pytest.param(lambda raw: b"", id="empty"),
        pytest.param(lambda raw: b"not a zip\n" * 1000, id="another file"),
    ],
)
def test_a_damaged_file_is_refused_and_nothing_stored(
    thoth: Thoth, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    thoth.add([f"text {i}" for i in range(50)], collection="notes")
    file = tmp_path / "x.zip"
    thoth.export(file)
    thoth.delete_collection("notes")
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ExportDamaged, match=r"x\.zip"):
        thoth.import_(file)
    assert thoth.collections() == []


def test_a_file_that_its_manifest_does_not_fit_is_refused_with_both_values(
    thoth: Thoth, tmp_path: Path
) -> None:
    thoth.add(["one", "two"], collection="notes")
    good = tmp_path / "good.zip"
    thoth.export(good)
    thoth.delete_collection("notes")
    files = told(good)
    lines = files["000.jsonl"]

    def refused(change: Callable[[dict[str, bytes]], None]) -> ExportDamaged:
        file = rewritten(Path(shutil.copy(good, tmp_path / "bad.zip")), change)
        with pytest.raises(ExportDamaged) as caught:
            thoth.import_(file)
        assert thoth.collections() == []
        return caught.value

    other = refused(lambda f: f.update({"000.jsonl": lines.replace(b"one", b"six")}))
    assert other.details["file"] == "000.jsonl"
    assert other.details["expected"] == hashlib.sha256(lines).hexdigest()
    assert other.details["found"] in other.cause
    longer = refused(lambda f: f.update({"000.jsonl": lines + lines}))
    assert (longer.details["expected"], longer.details["found"]) == (len(lines), 2 * len(lines))
    fewer = refused(lambda f: resealed(f, "000.jsonl", lines.splitlines(True)[0]))
    assert (fewer.details["expected"], fewer.details["found"]) == (2, 1)
    assert refused(lambda f: f.pop("000.documents.jsonl") and None).details["file"] == (
        "000.documents.jsonl"
    )
    assert refused(lambda f: f.pop("manifest.json") and None).details["file"] == "manifest.json"
    # Sealed anew, and still wrong: what had come in by then is taken out again.
    rows = [json.loads(line) for line in lines.splitlines()]
    rows[1]["vector"] = rows[1]["vector"][:-1]
    sealed = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    assert refused(lambda f: resealed(f, "000.jsonl", sealed)).details["line"] == 2


def test_a_file_made_to_harm_does_none(thoth: Thoth, tmp_path: Path) -> None:
    thoth.add(["one"], collection="notes")
    good = tmp_path / "good.zip"
    thoth.export(good)
    thoth.delete_collection("notes")
    files = told(good)
    below = tmp_path / "in" / "a" / "folder"
    below.mkdir(parents=True)
    hostile = below / "hostile.zip"
    # A path that leads out, beside what the manifest names: it is not even looked at.
    with zipfile.ZipFile(hostile, "w") as file:
        file.writestr("../../outside.txt", "x")
        file.writestr("/tmp/thoth-outside.txt", "x")
        for name, content in files.items():
            file.writestr(name, content)
    thoth.import_(hostile)
    assert not (tmp_path / "in" / "outside.txt").exists()
    assert not Path("/tmp/thoth-outside.txt").exists()
    thoth.delete_collection("notes")
    # 64 MiB of nothing, which the manifest calls small: read no further than it says. The directory
    # of the ZIP is made to lie as well.
    manifest = json.loads(files["manifest.json"])
    said = manifest["collections"][0]["files"]["chunks"]["bytes"]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        with file.open("000.jsonl", "w", force_zip64=True) as bomb:
            for _ in range(64):
                bomb.write(bytes(1024 * 1024))
        for name in ("000.documents.jsonl", "manifest.json"):
            file.writestr(name, files[name])
        file.getinfo("000.jsonl").file_size = said
    assert len(packed.getbuffer()) < 200_000
    hostile.write_bytes(packed.getbuffer())
    with pytest.raises(ExportDamaged, match=r"000\.jsonl"):
        thoth.import_(hostile)
    assert thoth.collections() == []
    assert [each.name for each in below.iterdir()] == ["hostile.zip"]


def test_an_import_that_was_ended_is_not_seen_and_goes_on(thoth: Thoth, tmp_path: Path) -> None:
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
    [part] = thoth.collections()
    assert part.name.startswith(IMPORT_PREFIX)
    assert 1500 <= part.count < n
    # It is no part of an export.
    assert thoth.export(tmp_path / "none.zip").collections == []
    report = thoth.import_(file)
    # What had been accepted came in all the same.
    assert part.count <= report.resumed < n
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
