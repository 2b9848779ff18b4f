"""A Chroma directory made by stock Chroma, healthy or damaged, is brought in by a real service."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.support import stock_chroma
from tests.support.damage import DAMAGES
from tests.support.service import BIN, RealService
from tests.support.stock_chroma import Made
from thoth_core import AsyncThoth, RescueReport, Thoth
from thoth_core.errors import CollectionExists, CollectionNotFound, InvalidInput, ModelMismatch

NOTES = Made("notes", rows=2300, pending=300)
OTHER = Made("other", rows=1400, space="l2", updated=50, deleted=100, seed=2)
BOTH = {each.name: each for each in (NOTES, OTHER)}

Vectors = npt.NDArray[np.float32]

#: What a stock client gives for every row.
READ = """
import json, sys
import chromadb, numpy as np
from chromadb.config import Settings
client = chromadb.PersistentClient(sys.argv[1], settings=Settings(anonymized_telemetry=False))
spaces = {}
for each in client.list_collections():
    spaces[each.name] = each.configuration_json["hnsw"]["space"]
    got = client.get_collection(each.name, embedding_function=None).get(include=["embeddings"])
    np.savez(sys.argv[2] + "/" + each.name, ids=got["ids"], vectors=got["embeddings"])
open(sys.argv[2] + "/spaces.json", "w").write(json.dumps(spaces))
client.close()
"""


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made by stock Chroma, and not to be changed."""
    path = tmp_path_factory.mktemp("stores") / "healthy"
    stock_chroma.build(path, NOTES, OTHER)
    return path


@pytest.fixture(scope="module")
def stock(healthy: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Vectors]]:
    """The vectors of each collection as a healthy stock Chroma gives them."""
    folder = tmp_path_factory.mktemp("stock")
    copy = shutil.copytree(healthy, folder / "copy")
    subprocess.run([sys.executable, "-P", "-c", READ, str(copy), str(folder)], check=True)
    found = {}
    for name in BOTH:
        with np.load(folder / f"{name}.npz") as file:
            vectors = file["vectors"].astype(np.float32)
            found[name] = dict(zip(file["ids"].tolist(), vectors, strict=True))
    return found


@pytest.fixture(scope="module")
def running() -> Iterator[RealService]:
    service = RealService.make("fake/32", THOTH_EMBED_WORKERS="1")
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


@pytest.fixture
def copy(healthy: Path, tmp_path: Path) -> Iterator[Path]:
    yield shutil.copytree(healthy, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy", ignore_errors=True)


def state(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything in ``folder``: size, time and content of each file."""
    return {
        str(each.relative_to(folder)): (
            each.stat().st_size,
            each.stat().st_mtime_ns,
            each.read_bytes() if each.is_file() else b"",
        )
        for each in folder.rglob("*")
    }


def check_rows(
    thoth: Thoth, made: Made, stock: dict[str, Vectors], *, lacking: int = 0, to: str = ""
) -> None:
    """Every row is there as stock Chroma has it, but for ``lacking``."""
    rows = thoth.get(collection=to or made.name, include=["vectors"])
    assert len(rows) == len(stock) - lacking
    for row in rows:
        number = int(row.id.removeprefix("c-"))
        assert row.text == made.text(number)
        assert row.metadata == made.metadata(number)
        assert row.vector is not None
        assert np.allclose(row.vector, stock[row.id], rtol=1e-5, atol=1e-6)


# What stock Chroma does with these: nothing; SIGSEGV on opening; SIGSEGV in a search; it finds
# nothing; an error or SIGSEGV at the next write.
@pytest.mark.parametrize(
    "damage",
    [
        "none",
        "header.bin with an impossible element count",
        "data_level0.bin with neighbours out of range",
        "index_metadata.pickle missing",
        "link_lists.bin emptied",
    ],
)
def test_everything_comes_out(
    thoth: Thoth, copy: Path, stock: dict[str, dict[str, Vectors]], damage: str
) -> None:
    if damage != "none":
        DAMAGES[damage](copy)
    before = state(copy)
    report = thoth.rescue(copy)
    assert state(copy) == before
    assert bool(report.findings) == (damage != "none")
    assert report.whole
    assert {each.name: (each.to, each.space, each.rows) for each in report.collections} == {
        made.name: (made.name, made.space, len(stock[made.name])) for made in BOTH.values()
    }
    for name, made in BOTH.items():
        check_rows(thoth, made, stock[name])
        for id in list(stock[name])[::97]:
            [hit] = thoth.search(stock[name][id], k=1, collection=name)
            assert hit.id == id
            # The space is kept: the distance of the same vector is none.
            assert hit.score == pytest.approx(1.0 if made.space == "cosine" else 0.0, abs=1e-5)


def test_what_stock_chroma_dies_of_is_what_comes_out(copy: Path) -> None:
    DAMAGES["header.bin with an impossible element count"](copy)
    assert stock_chroma.probe(copy, NOTES).ended == "SIGSEGV"


def test_a_row_without_a_vector_is_counted_and_left_out(
    running: RealService, thoth: Thoth, copy: Path, stock: dict[str, dict[str, Vectors]]
) -> None:
    DAMAGES["data_level0.bin halved"](copy)
    done = running.run("thoth", "rescue", str(copy), "--collection", "notes", "--json")
    assert done.returncode == 3, done.stderr
    [told] = json.loads(done.stdout)["collections"]
    # The last vector that was flushed is in the log still.
    assert told["vectors"] == {"index": 1000, "log": 301, "chroma": 0}
    assert told["without_vector"] == 999
    check_rows(thoth, NOTES, stock["notes"], lacking=999)
    assert [each.name for each in thoth.collections()] == ["notes"]


def test_read_only_media_are_read(
    running: RealService, thoth: Thoth, copy: Path, stock: dict[str, dict[str, Vectors]]
) -> None:
    thoth_command = [str(BIN / "thoth"), "rescue", str(copy), "--collection", "other"]
    mount = f"mount --bind {copy} {copy} && mount -o remount,bind,ro {copy} && "
    # Nobody outside sees this mount, and it goes with its last process.
    space = ["unshare", "-m" if os.getuid() == 0 else "-rm", "sh", "-c"]
    done = subprocess.run(
        [*space, mount + f"! touch {copy}/x && " + shlex.join(thoth_command)],
        capture_output=True,
        text=True,
        env=running.environ(),
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Read-only file system" in done.stderr
    check_rows(thoth, OTHER, stock["other"])


def test_a_name_that_exists_needs_another(
    running: RealService, thoth: Thoth, copy: Path, stock: dict[str, dict[str, Vectors]]
) -> None:
    thoth.add(["a text"], collection="other")
    with pytest.raises(CollectionExists) as caught:
        thoth.rescue(copy)
    assert "--collection other --as" in caught.value.fix
    assert {each.name: each.count for each in thoth.collections()} == {"other": 1}
    done = running.run("thoth", "rescue", str(copy), "--collection", "other", "--as", "second")
    assert done.returncode == 0, done.stderr
    assert "other as second\t1,300 rows\t1,300 vectors" in done.stdout
    check_rows(thoth, OTHER, stock["other"], to="second")
    assert thoth.count("other") == 1
    with pytest.raises(InvalidInput, match="2 collections cannot have the one name"):
        thoth.rescue(copy, as_name="third")
    with pytest.raises(CollectionNotFound, match="no collection 'nobody'"):
        thoth.rescue(copy, ["nobody"])


def test_check_only_reports(running: RealService, copy: Path) -> None:
    before = state(copy)
    done = running.run("thoth", "rescue", str(copy), "--check", "--no-autostart")
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        "notes\t2,300 rows\t2,300 vectors (2,000 from the index, 300 from the log)" in done.stdout
    )
    assert done.stdout.endswith("nothing is damaged\n")
    DAMAGES["index folder missing"](copy)
    before = state(copy)
    done = running.run("thoth", "rescue", str(copy), "--check", "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["damaged"]
    assert "is missing" in told["findings"][0]
    assert [each["without_vector"] for each in told["collections"]] == [1999, 0]
    assert state(copy) == before


@pytest.mark.parametrize("content", ["nothing", "a file", "no folder"])
def test_where_no_chroma_directory_is_the_error_says_so(
    running: RealService, tmp_path: Path, content: str
) -> None:
    folder = tmp_path / "folder"
    if content != "no folder":
        folder.mkdir()
    if content == "a file":
        (folder / "notes.txt").write_text("x")
    done = running.run("thoth", "rescue", str(folder))
    assert done.returncode == 2
    assert "fix: name the folder that has chroma.sqlite3 in it" in done.stderr


def test_start_says_what_is_in_the_folder_and_names_the_command_that_brings_it_in(
    healthy: Path, stock: dict[str, dict[str, Vectors]]
) -> None:
    service = RealService.make("fake/32", THOTH_EMBED_WORKERS="1")
    try:
        # The folder of RAG_VECTOR_DB_PATH is the Chroma directory itself.
        folder = shutil.copytree(healthy, service.root / "db")
        DAMAGES["header.bin with an impossible element count"](folder)
        before = state(folder)
        started = service.run("thoth-supervisor", "start", timeout=90)
        assert started.returncode == 0, started.stderr
        assert "2 collections (notes, other), 3,600 rows" in started.stderr
        named = re.search(r"to bring it in: (thoth rescue .*)", started.stderr)
        assert named is not None
        done = service.run(*shlex.split(named[1]))
        assert done.returncode == 0, done.stderr
        with service.client() as client:
            for name, made in BOTH.items():
                check_rows(client, made, stock[name])
        service.stop()
        assert {k: v for k, v in state(folder).items() if not k.startswith("thoth")} == before
        # The index that Thoth made has the same rows, in the same space.
        found = service.root / "read"
        found.mkdir()
        chroma = service.root / "db" / "thoth" / "chroma"
        subprocess.run([sys.executable, "-P", "-c", READ, str(chroma), str(found)], check=True)
        assert json.loads((found / "spaces.json").read_text()) == {"notes": "cosine", "other": "l2"}
        with np.load(found / "other.npz") as file:
            vectors = dict(zip(file["ids"].tolist(), file["vectors"], strict=True))
        assert vectors.keys() == stock["other"].keys()
        assert all(np.allclose(vectors[id], stock["other"][id]) for id in vectors)
        # There is nothing more to bring in, and so nothing to say.
        again = service.run("thoth-supervisor", "start", timeout=90)
        assert "thoth rescue" not in again.stderr
    finally:
        service.close()


#: Somebody's directory with texts and the vectors that a model made of them.
MAKE = """
import sys
import chromadb, numpy as np
from chromadb.config import Settings
client = chromadb.PersistentClient(sys.argv[1], settings=Settings(anonymized_telemetry=False))
handle = client.get_or_create_collection("langchain", embedding_function=None)
with np.load(sys.argv[2]) as file:
    texts, vectors = file["texts"].tolist(), file["vectors"]
for start in range(0, len(texts), 250):
    part = slice(start, start + 250)
    handle.upsert(
        ids=[str(i) for i in range(len(texts))][part],
        embeddings=vectors[part],
        documents=texts[part],
        metadatas=[{"source": f"{i}.pdf"} for i in range(len(texts))][part],
    )
client.close()
"""
TEXTS = [f"the ferry number {i} leaves" for i in range(1250)]


@pytest.fixture
def modelled(thoth: Thoth, tmp_path: Path) -> Path:
    """Made by stock Chroma with the vectors of the model that runs; 1,000 are in the index."""
    np.savez(tmp_path / "given.npz", texts=TEXTS, vectors=thoth.embed(TEXTS))
    command = [sys.executable, "-P", "-c", MAKE, tmp_path / "made", tmp_path / "given.npz"]
    subprocess.run(command, check=True)
    return tmp_path / "made"


def test_rows_whose_vectors_are_lost_are_embedded_if_the_model_made_the_others(
    thoth: Thoth, modelled: Path
) -> None:
    DAMAGES["data_level0.bin halved"](modelled)
    # Of one row that cannot be embedded there is nothing to bring in.
    db = sqlite3.connect(modelled / "chroma.sqlite3")
    db.execute(
        "UPDATE embedding_metadata SET string_value = ' '"
        " WHERE string_value = 'the ferry number 700 leaves'"
    )
    db.commit()
    db.close()
    report = thoth.rescue(modelled)
    [told] = report.collections
    assert (told.model, told.space) == ("fake/32", "l2")
    assert (told.from_index, told.from_log, told.embedded) == (500, 251, 498)
    assert told.reasons == [("700", "its text is blank: ' '")]
    assert not report.whole
    rows = thoth.get(collection="langchain", include=["vectors"])
    assert sorted(map(int, rows.ids)) == [i for i in range(len(TEXTS)) if i != 700]
    assert rows.vectors is not None
    assert np.allclose(rows.vectors, thoth.embed([str(text) for text in rows.texts]), atol=1e-6)
    assert rows[7].metadata == {"source": f"{rows[7].id}.pdf"}
    assert thoth.query("the ferry number 600 leaves", k=1, collection="langchain")[0].id == "600"
    # What the model made is used again for an equal text.
    again = thoth.add(TEXTS[:50], collection="again")
    assert (again.reused, again.embedded) == (50, 0)
    assert thoth.collections()[1].model == "fake/32"


def test_without_any_vector_the_model_is_taken_at_ones_word(thoth: Thoth, modelled: Path) -> None:
    DAMAGES["index folder missing"](modelled)
    db = sqlite3.connect(modelled / "chroma.sqlite3")
    db.execute("DELETE FROM embeddings_queue")
    db.commit()
    db.close()
    [told] = thoth.rescue(modelled, as_name="unknown").collections
    assert (told.model, told.stored, told.without_vector) == (None, 0, len(TEXTS))
    assert thoth.count("unknown") == 0
    [told] = thoth.rescue(modelled, model="fake/32").collections
    assert (told.model, told.embedded, told.without_vector) == ("fake/32", len(TEXTS), 0)
    assert thoth.query(TEXTS[9], k=1, collection="langchain")[0].id == "9"


def test_vectors_of_another_model_are_not_mixed_with_those_of_this(
    running: RealService, thoth: Thoth, copy: Path
) -> None:
    # They are of its dimension, and it did not make them.
    DAMAGES["data_level0.bin halved"](copy)
    [told] = thoth.rescue(copy, ["notes"], "mine").collections
    assert (told.model, told.embedded, told.without_vector) == (None, 0, 999)
    with pytest.raises(ModelMismatch, match="'notes' were not made by fake/32"):
        thoth.rescue(copy, ["notes"], model="fake/32")
    done = running.run("thoth", "rescue", str(copy), "--model", "all-MiniLM-L6-v2")
    assert done.returncode == 2
    assert "the service runs fake/32" in done.stderr
    assert {each.name: each.count for each in thoth.collections()} == {"mine": 1301}


def test_a_rescue_that_was_ended_goes_on(
    running: RealService, thoth: Thoth, copy: Path, stock: dict[str, dict[str, Vectors]]
) -> None:
    class Enough(Exception):
        pass

    def stop(done: int, total: int) -> None:
        assert total == 3600
        if done > 1500:
            raise Enough

    with pytest.raises(Enough):
        thoth.rescue(copy, on_progress=stop)
    [half] = thoth.collections()
    assert half.name.startswith("thoth-import-")
    assert 1000 < half.count < 2300
    report = thoth.rescue(copy)
    assert report.stored == 3600
    assert {each.name for each in thoth.collections()} == set(BOTH)
    check_rows(thoth, NOTES, stock["notes"])


def test_it_can_be_awaited(
    running: RealService, thoth: Thoth, copy: Path, stock: dict[str, dict[str, Vectors]]
) -> None:
    async def work() -> RescueReport:
        async with AsyncThoth(running.settings(), autostart=False) as client:
            return await client.rescue(copy, ["other"])

    assert asyncio.run(work()).stored == len(stock["other"])
    check_rows(thoth, OTHER, stock["other"])
