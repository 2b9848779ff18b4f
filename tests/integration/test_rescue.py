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
from pathlib import Path

import numpy as np
import pytest

from tests.support import stock_chroma
from tests.support.damage import DAMAGES
from tests.support.service import BIN, RealService
from tests.support.stock_chroma import Made
from tests.support.stock_pair import BOTH, NOTES, OTHER, Vectors, read, same, state
from thoth_core import AsyncThoth, RescueReport, Thoth
from thoth_core.chroma_dir import flushed
from thoth_core.chroma_dir.files import Damaged
from thoth_core.client import stock_child
from thoth_core.errors import (
    CollectionExists,
    CollectionNotFound,
    Conflict,
    InvalidInput,
    ModelMismatch,
)


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
        assert same(row.vector, stock[row.id])


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
    thoth: Thoth, pair_copy: Path, stock: dict[str, dict[str, Vectors]], damage: str
) -> None:
    if damage != "none":
        DAMAGES[damage](pair_copy)
    before = state(pair_copy)
    report = thoth.rescue(pair_copy)
    assert state(pair_copy) == before
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


def test_what_stock_chroma_dies_of_is_what_comes_out(pair_copy: Path) -> None:
    DAMAGES["header.bin with an impossible element count"](pair_copy)
    assert stock_chroma.probe(pair_copy, NOTES).ended == "SIGSEGV"


def test_a_row_without_a_vector_is_counted_and_left_out(
    running: RealService, thoth: Thoth, pair_copy: Path, stock: dict[str, dict[str, Vectors]]
) -> None:
    DAMAGES["data_level0.bin halved"](pair_copy)
    done = running.run("thoth", "rescue", str(pair_copy), "--collection", "notes", "--json")
    assert done.returncode == 3, done.stderr
    [told] = json.loads(done.stdout)["collections"]
    # The last vector that was flushed is in the log still.
    assert told["vectors"] == {"index": 1500, "log": 301, "chroma": 0}
    assert told["without_vector"] == 1499
    check_rows(thoth, NOTES, stock["notes"], lacking=1499)
    assert [each.name for each in thoth.collections()] == ["notes"]
    # And what would bring them in is said, before and after.
    told = running.run("thoth", "rescue", str(pair_copy), "--check").stdout
    assert told.count("only with --model NAME") == 1
    again = ("rescue", str(pair_copy), "--collection", "notes", "--as", "again")
    assert "were left out; where it is known" in running.run("thoth", *again).stdout


def test_read_only_media_are_read(
    running: RealService, thoth: Thoth, pair_copy: Path, stock: dict[str, dict[str, Vectors]]
) -> None:
    thoth_command = [str(BIN / "thoth"), "rescue", str(pair_copy), "--collection", "other"]
    mount = f"mount --bind {pair_copy} {pair_copy} && mount -o remount,bind,ro {pair_copy} && "
    # Nobody outside sees this mount, and it goes with its last process.
    space = ["unshare", "-m" if os.getuid() == 0 else "-rm", "sh", "-c"]
    done = subprocess.run(
        [*space, mount + f"! touch {pair_copy}/x && " + shlex.join(thoth_command)],
        capture_output=True,
        text=True,
        env=running.environ(),
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Read-only file system" in done.stderr
    check_rows(thoth, OTHER, stock["other"])


def test_a_name_that_exists_needs_another(
    running: RealService, thoth: Thoth, pair_copy: Path, stock: dict[str, dict[str, Vectors]]
) -> None:
    thoth.add(["a text"], collection="other")
    with pytest.raises(CollectionExists) as caught:
        thoth.rescue(pair_copy)
    assert "--collection other --as" in caught.value.fix
    assert {each.name: each.count for each in thoth.collections()} == {"other": 1}
    done = running.run("thoth", "rescue", str(pair_copy), "--collection", "other", "--as", "second")
    assert done.returncode == 0, done.stderr
    assert "other as second\t1,700 rows\t1,700 vectors" in done.stdout
    check_rows(thoth, OTHER, stock["other"], to="second")
    assert thoth.count("other") == 1
    with pytest.raises(InvalidInput, match="2 collections cannot have the one name"):
        thoth.rescue(pair_copy, as_name="third")
    with pytest.raises(CollectionNotFound, match="no collection 'nobody'"):
        thoth.rescue(pair_copy, ["nobody"])


def test_check_only_reports(running: RealService, pair_copy: Path) -> None:
    before = state(pair_copy)
    done = running.run("thoth", "rescue", str(pair_copy), "--check", "--no-autostart")
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        "notes\t3,300 rows\t3,300 vectors (3,000 from the index, 300 from the log)" in done.stdout
    )
    assert done.stdout.endswith("nothing is damaged\n")
    DAMAGES["index folder missing"](pair_copy)
    before = state(pair_copy)
    done = running.run("thoth", "rescue", str(pair_copy), "--check", "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["damaged"]
    assert "is missing" in told["findings"][0]
    assert [each["without_vector"] for each in told["collections"]] == [2999, 0]
    assert state(pair_copy) == before


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
    pair: Path, stock: dict[str, dict[str, Vectors]]
) -> None:
    service = RealService.make("fake/32", THOTH_EMBED_WORKERS="1")
    try:
        # The folder of RAG_VECTOR_DB_PATH is the Chroma directory itself.
        folder = shutil.copytree(pair, service.root / "db")
        DAMAGES["header.bin with an impossible element count"](folder)
        before = state(folder)
        started = service.run("thoth-supervisor", "start", timeout=90)
        assert started.returncode == 0, started.stderr
        assert "2 collections (notes, other), 5,000 rows" in started.stderr
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
        found = read(service.root / "db" / "thoth" / "chroma", service.root / "read")
        assert found.spaces == {"notes": "cosine", "other": "l2"}
        assert found.vectors["other"].keys() == stock["other"].keys()
        assert all(same(v, stock["other"][id]) for id, v in found.vectors["other"].items())
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
    running: RealService, thoth: Thoth, pair_copy: Path
) -> None:
    # They are of its dimension, and it did not make them.
    DAMAGES["data_level0.bin halved"](pair_copy)
    [told] = thoth.rescue(pair_copy, ["notes"], "mine").collections
    assert (told.model, told.embedded, told.without_vector) == (None, 0, 1499)
    assert "another model made its vectors, not fake/32" in told.notes[0]
    # Nor later, by a question or a text.
    with pytest.raises(ModelMismatch, match="was made with the model unknown"):
        thoth.query("a word", collection="mine")
    with pytest.raises(ModelMismatch, match="was made with the model unknown"):
        thoth.add(["a text"], collection="mine")
    row = thoth.get(collection="mine", limit=1, include=["vectors"])
    assert row.vectors is not None
    assert thoth.search(row.vectors[0], k=1, collection="mine")[0].id == row.ids[0]
    with pytest.raises(ModelMismatch, match="'notes' were not made by fake/32"):
        thoth.rescue(pair_copy, ["notes"], model="fake/32")
    done = running.run("thoth", "rescue", str(pair_copy), "--model", "fake/none")
    assert done.returncode == 2
    assert "there is no model fake/none" in done.stderr
    assert {each.name: each.count for each in thoth.collections()} == {"mine": 1801}


def test_a_rescue_that_was_ended_goes_on(
    running: RealService, thoth: Thoth, pair_copy: Path, stock: dict[str, dict[str, Vectors]]
) -> None:
    class Enough(Exception):
        pass

    def stop(done: int, total: int) -> None:
        assert total == 5000
        if done >= 1000:
            raise Enough

    with pytest.raises(Enough):
        thoth.rescue(pair_copy, on_progress=stop)
    [half] = thoth.collections()
    assert half.name.startswith("thoth-import-")
    # What was on its way may have come as well.
    assert 1000 <= half.count <= 3300
    report = thoth.rescue(pair_copy)
    assert report.stored == 5000
    assert {each.name for each in thoth.collections()} == set(BOTH)
    check_rows(thoth, NOTES, stock["notes"])


def test_it_can_be_awaited(
    running: RealService, thoth: Thoth, pair_copy: Path, stock: dict[str, dict[str, Vectors]]
) -> None:
    async def work() -> RescueReport:
        async with AsyncThoth(running.settings(), autostart=False) as client:
            return await client.rescue(pair_copy, ["other"])

    assert asyncio.run(work()).stored == len(stock["other"])
    check_rows(thoth, OTHER, stock["other"])


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the form of the index's files were one that nobody here knows."""

    def opened(*_: object) -> None:
        raise Damaged("header.bin", "is of version 9")

    monkeypatch.setattr(flushed, "opened", opened)


def test_what_cannot_be_read_here_is_read_by_chroma_on_a_copy(
    thoth: Thoth, pair_copy: Path, stock: dict[str, dict[str, Vectors]], blind: None
) -> None:
    before = state(pair_copy)
    report = thoth.rescue(pair_copy)
    assert state(pair_copy) == before
    assert [(each.from_index, each.from_log, each.from_chroma) for each in report.collections] == [
        (0, 301, 2999),
        (0, 801, 899),
    ]
    for name, made in BOTH.items():
        check_rows(thoth, made, stock[name])


@pytest.mark.parametrize(
    "damage",
    [
        "header.bin truncated",
        "index_metadata.pickle truncated",
    ],
)
def test_chroma_may_fail_or_die_of_it(
    thoth: Thoth, pair_copy: Path, blind: None, damage: str
) -> None:
    DAMAGES[damage](pair_copy)
    [told] = thoth.rescue(pair_copy, ["notes"]).collections
    assert (told.from_log, told.from_chroma, told.without_vector) == (301, 0, 2999)
    assert any("Chroma itself, on a copy, found no more: " in note for note in told.notes)


def test_chroma_gets_no_more_than_its_time(
    thoth: Thoth, pair_copy: Path, blind: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock_child, "SECONDS", 0.0)
    monkeypatch.setattr(stock_child, "SECONDS_A_THOUSAND", 0.0)
    [told] = thoth.rescue(pair_copy, ["notes"]).collections
    assert (told.from_chroma, told.without_vector) == (0, 2999)
    assert any("it was not done after 0 s" in note for note in told.notes)


def test_a_list_of_links_as_large_as_a_disk_is_not_copied(
    thoth: Thoth, pair_copy: Path, blind: None
) -> None:
    for each in pair_copy.glob("*/link_lists.bin"):
        os.truncate(each, 732 << 30)
    [told] = thoth.rescue(pair_copy, ["notes"]).collections
    assert told.without_vector == 2999
    assert any("link_lists.bin is too large to be copied" in note for note in told.notes)


def test_a_directory_that_changed_since_then_is_read_anew(thoth: Thoth, pair_copy: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        thoth.rescue(pair_copy, ["notes"], on_progress=stop)
    db = sqlite3.connect(pair_copy / "chroma.sqlite3")
    db.execute("DELETE FROM embeddings WHERE embedding_id = 'c-0'")
    db.commit()
    db.close()
    # What came in of the earlier state is thrown away, and nothing of it is left.
    with pytest.raises(Conflict, match="was changed"):
        thoth.rescue(pair_copy, ["notes"])
    assert thoth.collections() == []
    assert thoth.rescue(pair_copy, ["notes"]).stored == 3299
