"""A folder of texts that changes, and whether a collection is what a fresh ingest of it makes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thoth_core import Thoth


class Folder:
    """Files ``0.txt``, ``1.txt``, … and what becomes of them. ``chance`` makes the texts."""

    def __init__(self, path: Path, chance: random.Random) -> None:
        self.path = path
        self._chance = chance
        self._made = 0
        path.mkdir()

    def write(self, count: int, sentences: int = 4) -> list[Path]:
        """``count`` more files, each with a text of its own."""
        return [self.new(sentences) for _ in range(count)]

    def new(self, sentences: int = 4) -> Path:
        file = self.path / f"{self._made}.txt"
        file.write_text(self.text(sentences))
        self._made += 1
        return file

    def text(self, sentences: int = 4) -> str:
        words = (f"word{self._chance.randrange(10**6)}" for _ in range(8 * sentences))
        return " ".join(words)

    def files(self) -> list[Path]:
        return sorted(path for path in self.path.rglob("*.txt") if path.is_file())

    def stir(self, count: int) -> None:
        """Write, change, rename and delete ``count`` files, by chance."""
        for _ in range(count):
            files = self.files()
            act = self._chance.choice(("write", "change", "rename", "delete", "folder"))
            file = self._chance.choice(files) if files else None
            if act == "write" or file is None:
                self.new(30)
            elif act == "change":
                file.write_text(file.read_text() + " " + self.text())
            elif act == "rename":
                self._made += 1
                file.rename(file.with_name(f"renamed-{self._made}.txt"))
            elif act == "delete":
                file.unlink()
            else:
                self._made += 1
                inside = self.path / f"folder-{self._made}"
                inside.mkdir()
                file.rename(inside / file.name)


@dataclass(frozen=True)
class Content:
    """``chunks`` and ``documents`` of a collection, without what depends on its name."""

    chunks: list[tuple[str, int, str, str]]
    documents: dict[str, str | None]

    @property
    def sources(self) -> set[str]:
        return {source for source, *_ in self.chunks}


def content(thoth: Thoth, collection: str | None = None) -> Content:
    chunks: list[tuple[str, int, str, str]] = []
    for row in thoth.get(collection=collection):
        metadata: dict[str, Any] = row.metadata or {}
        place = repr(sorted(metadata.items()))
        chunks.append((str(metadata["source"]), int(metadata["ordinal"]), str(row.text), place))
    # As the client itself asks, below the root.
    plan = thoth._calls.documents_below(["/"], collection)
    return Content(sorted(chunks), dict(thoth._do(plan, None)))


def same_as_fresh(thoth: Thoth, path: Path) -> None:
    """The collection is what an ingest of ``path`` into an empty one makes."""
    thoth.ingest(path, "fresh")
    fresh = content(thoth, "fresh")
    thoth.delete_collection("fresh")
    assert content(thoth) == fresh
