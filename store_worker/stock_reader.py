"""Reads vectors out of a Chroma directory with Chroma itself, in a process that may be thrown away.

``thoth rescue`` starts it on a copy for the vectors that it could not read by itself. It is told
in one JSON line on standard input which collection to open, then in a line each which ids are
wanted, and answers each line with the ids that it has and their vectors, and what was wrong. It
may crash as it likes, and can fill neither the disk nor the memory.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from store_worker.chroma_import import import_chromadb
from thoth_core.worker import lifeline
from thoth_core.worker.birth import EXIT_BOOT
from thoth_core.worker.limits import limit_self

if TYPE_CHECKING:
    from chromadb.api.models.Collection import Collection

#: Ids of which nothing came although they were asked for one by one; after that it gives up.
_VAIN = 20


def serve(orders: dict[str, Any], lines: IO[bytes], out: IO[bytes]) -> None:
    """Answer until ``lines`` end."""
    handle = _opened(orders)
    reader = _Reader(handle)
    for line in lines:
        for ids, vectors in reader.read(json.loads(line)):
            array = np.ascontiguousarray(vectors, "<f4")
            head = {"ids": ids, "dimension": int(array.shape[1])}
            out.write(json.dumps(head).encode() + b"\n" + array.tobytes())
        out.write(json.dumps({"end": reader.error}).encode() + b"\n")
        out.flush()


class _Reader:
    def __init__(self, handle: Collection) -> None:
        self._handle = handle
        self._vain = 0
        #: What Chroma said last.
        self.error = ""

    def read(self, ids: list[str]) -> Iterator[tuple[list[str], Any]]:
        """What there is of ``ids``; where Chroma raises an error for all of them, part by part."""
        if not ids or self._vain > _VAIN:
            return
        try:
            found = self._handle.get(ids=ids, include=["embeddings"])
        except Exception as problem:
            self.error = f"{type(problem).__name__}: {problem}"
            if len(ids) == 1:
                self._vain += 1
                return
            half = len(ids) // 2
            yield from self.read(ids[:half])
            yield from self.read(ids[half:])
            return
        self._vain = 0
        vectors = found["embeddings"]
        if vectors is not None and len(found["ids"]):
            yield found["ids"], vectors


def _opened(orders: dict[str, Any]) -> Collection:
    chromadb = import_chromadb()
    from chromadb.config import Settings

    client = chromadb.PersistentClient(
        path=orders["path"],
        settings=Settings(anonymized_telemetry=False),
        **({"database": orders["database"]} if orders["database"] else {}),
    )
    collection: Collection = client.get_collection(orders["collection"], embedding_function=None)
    return collection


def main() -> int:
    # Answers go where nothing else is written.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    orders = json.loads(sys.stdin.buffer.readline())
    limit_self(memory_bytes=orders["memory_bytes"], file_bytes=orders["file_bytes"])
    lifeline.arm(orders["parent"], orders["death_fd"])
    try:
        import_chromadb()
    except ImportError as problem:
        sys.stderr.write(f"chromadb is not installed ({problem})\n")
        return EXIT_BOOT
    try:
        serve(orders, sys.stdin.buffer, out)
    except Exception as problem:
        sys.stderr.write(f"{type(problem).__name__}: {problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
