"""Each way in which a Chroma directory was seen to be damaged, or could be: one function a row.

All take the directory that has ``chroma.sqlite3`` in it, and damage its largest index there.
"""

from __future__ import annotations

import os
import pickle
import random
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_HEADER = struct.Struct("<i6QiI3QdQ")
#: Places of numbers in it.
_CAPACITY, _COUNT, _ELEMENT_BYTES, _NEIGHBOURS0 = 2, 3, 4, 10
_NOWHERE = 0x7FFFFFF0

#: Made by the hostile pickle, beside the directory, if anything runs it.
RAN = "hostile-pickle-ran"


def index_of(chroma: Path) -> Path:
    """The folder of the largest index."""
    return max(chroma.glob("*/data_level0.bin"), key=lambda each: each.stat().st_size).parent


def _truncated(name: str, share: float) -> Callable[[Path], None]:
    def damage(chroma: Path) -> None:
        path = index_of(chroma) / name
        os.truncate(path, int(path.stat().st_size * share))

    return damage


def _size_field(chroma: Path) -> None:
    _patch(index_of(chroma) / "link_lists.bin", 0, struct.pack("<I", 2**31))


def _element_count(chroma: Path) -> None:
    path = index_of(chroma) / "header.bin"
    numbers = list(_HEADER.unpack(path.read_bytes()))
    numbers[_COUNT] = 1000 * numbers[_CAPACITY]
    path.write_bytes(_HEADER.pack(*numbers))


def _neighbours(chroma: Path) -> None:
    index = index_of(chroma)
    numbers = _HEADER.unpack((index / "header.bin").read_bytes())
    links = struct.pack("<I", _NOWHERE) * numbers[_NEIGHBOURS0]
    with (index / "data_level0.bin").open("r+b") as file:
        for element in range(numbers[_COUNT]):
            file.seek(element * numbers[_ELEMENT_BYTES] + 4)
            file.write(links)


def _no_pickle(chroma: Path) -> None:
    (index_of(chroma) / "index_metadata.pickle").unlink()


def _hostile_pickle(chroma: Path) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return (os.system, (f"touch '{chroma.parent / RAN}'",))

    (index_of(chroma) / "index_metadata.pickle").write_bytes(pickle.dumps(Hostile(), 2))


def _no_index(chroma: Path) -> None:
    shutil.rmtree(index_of(chroma))


def _no_database(chroma: Path) -> None:
    (chroma / "chroma.sqlite3").unlink()


def _truncated_database(chroma: Path) -> None:
    path = chroma / "chroma.sqlite3"
    os.truncate(path, path.stat().st_size // 2)


def _garbled_page(chroma: Path) -> None:
    """A page with rows of the table of metadata and texts."""
    garble(chroma / "chroma.sqlite3", "embedding_metadata")


def garble(path: Path, table: str) -> None:
    """Fill a page in the middle of a table with junk."""
    data = path.read_bytes()
    size = struct.unpack_from(">H", data, 16)[0]
    page = _root(path, table)
    # An interior page has its children's numbers in its cells; the middle one leads to a leaf.
    while data[(page - 1) * size] == 0x05:
        start = (page - 1) * size
        cells = struct.unpack_from(">H", data, start + 3)[0]
        cell = struct.unpack_from(">H", data, start + 12 + 2 * (cells // 2))[0]
        page = struct.unpack_from(">I", data, start + cell)[0]
    _patch(path, (page - 1) * size, random.Random(1).randbytes(size))


def _root(path: Path, table: str) -> int:
    import sqlite3

    db = sqlite3.connect(path)
    try:
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        return int(db.execute(query, (table,)).fetchone()[0])
    finally:
        db.close()


def _patch(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


DAMAGES: Mapping[str, Callable[[Path], None]] = {
    "link_lists.bin truncated": _truncated("link_lists.bin", 0.5),
    "link_lists.bin emptied": _truncated("link_lists.bin", 0),
    "link_lists.bin with a size field of 2^31": _size_field,
    "header.bin truncated": _truncated("header.bin", 0.5),
    "header.bin emptied": _truncated("header.bin", 0),
    "header.bin with an impossible element count": _element_count,
    "length.bin halved": _truncated("length.bin", 0.5),
    "data_level0.bin halved": _truncated("data_level0.bin", 0.5),
    "data_level0.bin with neighbours out of range": _neighbours,
    "index_metadata.pickle truncated": _truncated("index_metadata.pickle", 0.5),
    "index_metadata.pickle missing": _no_pickle,
    "index_metadata.pickle hostile": _hostile_pickle,
    "index folder missing": _no_index,
    "chroma.sqlite3 missing": _no_database,
    "chroma.sqlite3 truncated": _truncated_database,
    "chroma.sqlite3 with a garbled page": _garbled_page,
}

#: Of each file the damage that a run tries which does not try them all.
OF_EACH_FILE = (
    "link_lists.bin with a size field of 2^31",
    "header.bin with an impossible element count",
    "length.bin halved",
    "data_level0.bin with neighbours out of range",
    "index_metadata.pickle hostile",
    "index folder missing",
    "chroma.sqlite3 truncated",
)

#: What stock Chroma does not notice before it writes.
SILENT = {name for name in DAMAGES if name.startswith("link_lists")} | {"header.bin truncated"}
