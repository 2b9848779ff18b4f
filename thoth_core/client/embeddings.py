"""``EmbeddingManager``: the older Thoth's name for an object that only embeds."""

from __future__ import annotations

from collections.abc import Iterable

from thoth_core.client.sync import Thoth


class EmbeddingManager:
    """``embed_documents``, ``embed_query`` and ``model``, with the meaning they have in
    LangChain's ``Embeddings``. One connection for each object, opened by the first call."""

    def __init__(self, model: str | None = None) -> None:
        self._thoth = Thoth(None if model is None else {"RAG_EMBEDDING_MODEL": model})

    @property
    def model(self) -> str:
        """The name of the model that the service runs."""
        return self._thoth.model

    def embed_documents(self, texts: Iterable[str]) -> list[list[float]]:
        """One unit vector for each text."""
        return self._thoth.embed_documents(texts)

    def embed_query(self, text: str) -> list[float]:
        """The unit vector of a question."""
        return self._thoth.embed_query(text)

    def close(self) -> None:
        """Close the connection."""
        self._thoth.close()
