"""The ways to get texts into a store where a search finds them, end to end: ``python -m
benchmarks.speed_ingest NAME`` is one of them, as :mod:`benchmarks.peer` says.

Each line of texts goes into a new collection, in one call, and the time ends when a search for the
last text found it and the index has all of them. The stores lie on disk, in the folder that
``BENCH_STORES`` names.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.peer import Work, answer, model_folder, one_thread

OURS, LANGCHAIN, CHROMA = "Thoth", "LangChain + Chroma, safe", "Chroma's collection.add"


def langchain_safe() -> Work:
    """LangChain's embeddings and its Chroma, persisted: one thread, batches of 8."""
    one_thread()
    os.environ["ANONYMIZED_TELEMETRY"] = "False"
    from langchain_chroma import Chroma
    from langchain_huggingface import HuggingFaceEmbeddings

    model = HuggingFaceEmbeddings(
        model_name=model_folder(),
        model_kwargs={"device": "cpu"},
        encode_kwargs={"batch_size": 8, "normalize_embeddings": True},
    )
    numbers = itertools.count()

    def ingest(texts: Sequence[str]) -> None:
        store = Chroma(
            f"round-{next(numbers)}", model, persist_directory=os.environ["BENCH_STORES"] + "/lc"
        )
        store.add_texts(list(texts), ids=_ids(texts))
        [found] = store.similarity_search(texts[-1], k=1)
        assert found.page_content == texts[-1]

    return ingest


def chroma_add() -> Work:
    """Chroma alone, with its own function for sentence-transformers: all cores, batches of 32."""
    os.environ["ANONYMIZED_TELEMETRY"] = "False"
    import chromadb
    from chromadb.utils.embedding_functions import SentenceTransformerEmbeddingFunction

    function = SentenceTransformerEmbeddingFunction(
        model_name=model_folder(), device="cpu", normalize_embeddings=True
    )
    client = chromadb.PersistentClient(os.environ["BENCH_STORES"] + "/chroma")
    numbers = itertools.count()

    def ingest(texts: Sequence[str]) -> None:
        name = f"round-{next(numbers)}"
        collection = client.create_collection(name, embedding_function=function)  # type: ignore[arg-type]
        collection.add(ids=_ids(texts), documents=list(texts))
        found = collection.query(query_texts=[texts[-1]], n_results=1)
        assert found["documents"] == [[texts[-1]]]

    return ingest


def thoth() -> Work:
    """A client of the service that the environment names: ledger and index. The texts come as
    texts, as they do to the others: nothing is read from files or cut."""
    from thoth_core import Thoth

    client = Thoth(autostart=False)
    numbers = itertools.count()
    folder = Path(os.environ["RAG_VECTOR_DB_PATH"]) / "thoth" / "chroma"
    while not (folder / "chroma.sqlite3").exists():
        time.sleep(0.01)
    index = sqlite3.connect(f"file:{folder / 'chroma.sqlite3'}?mode=ro", uri=True)
    total = [index.execute("SELECT count(*) FROM embeddings").fetchone()[0]]

    def ingest(texts: Sequence[str]) -> None:
        name = f"round-{next(numbers)}"
        stored = client.add(texts, ids=_ids(texts), collection=name)
        assert not stored.failed and stored.reused == 0, "embedded anew, like everybody's"
        [found] = client.query(texts[-1], k=1, collection=name)
        assert found.text == texts[-1]
        # A search looks at what the index lacks beside what it finds. The others' index has all.
        total[0] += len(texts)
        while index.execute("SELECT count(*) FROM embeddings").fetchone()[0] < total[0]:
            time.sleep(0.002)

    return ingest


def _ids(texts: Sequence[str]) -> list[str]:
    return [f"text-{number}" for number in range(len(texts))]


PEERS: dict[str, Callable[[], Work]] = {
    LANGCHAIN: langchain_safe,
    CHROMA: chroma_add,
    OURS: thoth,
}


if __name__ == "__main__":
    answer(PEERS)
