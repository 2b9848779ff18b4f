"""A Chroma directory of two collections, by stock Chroma, and what that gives of it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.support import stock_chroma
from tests.support.stock_chroma import Made

#: 5,000 rows. The first is the larger one, which is damaged: 3,000 rows in its index and 300 in the
#: log. Of the other's 1,700, 900 are in the index as they are.
NOTES = Made("notes", rows=3300, pending=300)
OTHER = Made("other", rows=1800, space="l2", updated=50, deleted=100, seed=2)
BOTH = {each.name: each for each in (NOTES, OTHER)}

Vectors = npt.NDArray[np.float32]

_READ = """
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


@dataclass(frozen=True)
class Read:
    """Of each collection its space, and the vector of each id."""

    spaces: dict[str, str]
    vectors: dict[str, dict[str, Vectors]]


def build(path: Path) -> None:
    stock_chroma.build(path, NOTES, OTHER)


def read(directory: Path, scratch: Path) -> Read:
    """What stock Chroma gives; it may change ``directory``. ``scratch`` is made."""
    scratch.mkdir()
    subprocess.run([sys.executable, "-P", "-c", _READ, str(directory), str(scratch)], check=True)
    found = {}
    for path in scratch.glob("*.npz"):
        with np.load(path) as file:
            vectors = file["vectors"].astype(np.float32)
            found[path.stem] = dict(zip(file["ids"].tolist(), vectors, strict=True))
    return Read(json.loads((scratch / "spaces.json").read_text()), found)


def same(mine: Vectors | None, theirs: Vectors) -> bool:
    """Equal but for the rounding of Chroma's normalising."""
    return mine is not None and np.allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def state(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Size, time and content of everything in ``folder``."""
    return {
        str(each.relative_to(folder)): (
            each.stat().st_size,
            each.stat().st_mtime_ns,
            each.read_bytes() if each.is_file() else b"",
        )
        for each in folder.rglob("*")
    }
