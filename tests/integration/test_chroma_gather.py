"""What is read of a Chroma directory, after each damage, is what a healthy stock Chroma gives."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.support import stock_chroma
from tests.support.damage import DAMAGES, RAN, garble, index_of
from tests.support.stock_chroma import Made
from tests.support.stock_pair import BOTH, NOTES, read, same, state
from thoth_core.chroma_dir.gather import Found
from thoth_core.chroma_dir.source import Source
from thoth_core.vectors import Vectors

#: Writes and deletes in an order that puts the log and the index at odds.
CHANGES = """
import sys
import chromadb
from chromadb.config import Settings
client = chromadb.PersistentClient(sys.argv[1], settings=Settings(anonymized_telemetry=False))
notes = client.get_collection("notes", embedding_function=None)
vector = [float(i) for i in range(1, 33)]
notes.delete(ids=["c-5", "c-6", "c-7"])
notes.add(ids=["c-6"], embeddings=[vector], documents=["again"], metadatas=[{"new": 1}])
notes.add(ids=["c-8"], embeddings=[vector], documents=["is there already"])
notes.update(ids=["c-9"], embeddings=[vector], metadatas=[{"half": None, "more": "m"}])
notes.update(ids=["c-10"], metadatas=[{"row": 0}])
notes.update(ids=["nobody"], embeddings=[vector], documents=["no row"])
notes.upsert(ids=["c-11", "late"], embeddings=[vector, vector], documents=["up", "late"])
client.close()
"""


@dataclass
class Got:
    """What was gathered of a directory, by collection."""

    rows: dict[str, dict[str, Found]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    salvaged: bool = False

    def origins(self, name: str) -> dict[str, int]:
        return dict(Counter(each.origin for each in self.rows[name].values()))


def gathered(directory: Path) -> Got:
    got = Got()
    with Source(directory) as source:
        for each in source.collections:
            found = source.gather(each)
            rows = list(found.rows())
            got.rows[each.name] = {row.id: row for row in rows}
            assert len(got.rows[each.name]) == len(rows)
            assert found.space == BOTH[each.name].space if each.name in BOTH else True
            got.notes[each.name] = found.closing_notes()
            # Read again it says the same.
            assert sum(1 for _ in found.rows()) == len(rows)
            assert found.closing_notes() == got.notes[each.name]
            found.close()
        got.salvaged = source.salvaged
    return got


def check_vectors(rows: dict[str, Found], stock: dict[str, Vectors]) -> None:
    """All of those that were found are as stock Chroma gives them; from the index to the bit."""
    for id, row in rows.items():
        if row.origin == "index":
            assert np.array_equal(row.vector, stock[id])  # type: ignore[arg-type]
        elif row.vector is not None:
            assert same(row.vector, stock[id])


def check_texts(rows: dict[str, Found], made: Made, but: Sequence[str] = ()) -> None:
    for id, row in rows.items():
        number = int(id.removeprefix("c-"))
        assert row.text == made.text(number)
        assert row.metadata == made.metadata(number) or id in but


#: Where the vectors come from that are not as in a healthy directory, or nowhere.
_ALL = {"index": 3000, "log": 300}
ORIGINS = {
    "data_level0.bin halved": {"index": 1500, "log": 301, "": 1499},
    "index folder missing": {"log": 301, "": 2999},
}
DATABASE = {each for each in DAMAGES if each.startswith("chroma.sqlite3")}


@pytest.mark.parametrize("damage", ["none", *sorted(DAMAGES.keys() - DATABASE)])
def test_of_a_damaged_index_all_is_read_that_is_there(
    pair_copy: Path, stock: dict[str, dict[str, Vectors]], damage: str, tmp_path: Path
) -> None:
    if damage != "none":
        DAMAGES[damage](pair_copy)
    before = state(pair_copy)
    got = gathered(pair_copy)
    assert state(pair_copy) == before
    assert not (tmp_path / RAN).exists()
    assert not got.salvaged
    assert {name: rows.keys() for name, rows in got.rows.items()} == {
        name: rows.keys() for name, rows in stock.items()
    }
    assert got.origins("notes") == ORIGINS.get(damage, _ALL)
    assert got.origins("other") == {"index": 900, "log": 800}
    if damage == "length.bin halved":
        rows, theirs = got.rows["notes"], stock["notes"]
        without = [row for row in rows.values() if not same(row.vector, theirs[row.id])]
        assert len(without) == 1500
        for row in without:
            assert row.vector is not None
            whole = theirs[row.id]
            assert same(row.vector, whole / np.linalg.norm(whole))
        assert got.notes["notes"] == ["the lengths of 1,500 vectors are lost: they have length 1"]
    else:
        check_vectors(got.rows["notes"], stock["notes"])
    if damage == "none":
        assert got.notes == {"notes": [], "other": []}
    check_vectors(got.rows["other"], stock["other"])
    for name, made in BOTH.items():
        check_texts(got.rows[name], made)


def test_of_a_collection_that_was_never_flushed_all_is_in_the_log(tmp_path: Path) -> None:
    small = Made("small", rows=20, pending=20)
    stock_chroma.build(tmp_path / "chroma", small, Made("empty", rows=0))
    got = gathered(tmp_path / "chroma")
    assert got.origins("small") == {"log": 20}
    assert got.rows["empty"] == {}
    # Its index has a folder, with some of its files in it: that is no damage.
    assert got.notes == {"small": [], "empty": []}
    check_texts(got.rows["small"], small)


def test_without_the_database_ids_and_vectors_are_left(
    pair_copy: Path, stock: dict[str, dict[str, Vectors]]
) -> None:
    folder = index_of(pair_copy).name
    DAMAGES["chroma.sqlite3 missing"](pair_copy)
    got = gathered(pair_copy)
    # Nothing else has the name, or what was in the log.
    assert got.origins(folder) == {"index": 3000}
    assert len(got.rows) == 2
    check_vectors(got.rows[folder], stock["notes"])
    assert all(row.text is None and not row.metadata for row in got.rows[folder].values())


def test_of_a_truncated_database_the_index_tells_the_rest(
    pair_copy: Path, stock: dict[str, dict[str, Vectors]]
) -> None:
    DAMAGES["chroma.sqlite3 truncated"](pair_copy)
    got = gathered(pair_copy)
    assert got.salvaged
    assert len(got.rows["notes"]) >= 3000
    check_vectors(got.rows["notes"], stock["notes"])
    texts = [row for row in got.rows["notes"].values() if row.text is not None]
    assert len(texts) > 500
    for row in texts:
        assert row.text == NOTES.text(int(row.id.removeprefix("c-")))


@pytest.mark.parametrize(
    "table", ["embedding_metadata", "embeddings", "embeddings_queue", "max_seq_id", "segments"]
)
def test_a_garbled_page_costs_what_is_on_it_and_no_vector(
    pair_copy: Path, stock: dict[str, dict[str, Vectors]], table: str
) -> None:
    garble(pair_copy / "chroma.sqlite3", table)
    got = gathered(pair_copy)
    assert got.salvaged
    if table == "segments":
        # Nothing says any more which index is whose.
        assert sum(origins.get("index", 0) for origins in map(got.origins, got.rows)) >= 3000
        return
    rows = got.rows["notes"]
    assert rows.keys() >= stock["notes"].keys() - {f"c-{i}" for i in range(3000, 3300)}
    check_vectors(rows, stock["notes"])
    lost = [row for row in rows.values() if row.text is None]
    assert len(lost) < 400
    for row in rows.values():
        number = int(row.id.removeprefix("c-"))
        assert row.text in (None, NOTES.text(number))
        assert row.metadata.items() <= NOTES.metadata(number).items()


def test_what_came_after_the_index_is_taken_as_chroma_takes_it(
    pair_copy: Path, tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-P", "-c", CHANGES, str(pair_copy)], check=True)
    got = gathered(pair_copy)
    stock = read(shutil.copytree(pair_copy, tmp_path / "asked"), tmp_path / "read").vectors
    rows = got.rows["notes"]
    assert rows.keys() == stock["notes"].keys()
    check_vectors(rows, stock["notes"])
    assert (rows["c-6"].text, rows["c-6"].metadata) == ("again", {"new": 1})
    assert rows["c-8"].text == NOTES.text(8)
    assert rows["c-9"].metadata == {"row": 9, "even": False, "group": "g2", "more": "m"}
    assert rows["c-10"].metadata == NOTES.metadata(10) | {"row": 0}
    assert rows["c-10"].origin == "index"
    assert rows["late"].origin == rows["c-9"].origin == "log"
