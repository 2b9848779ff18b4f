"""Identifiers: of chunks (derived, so that a repeated call makes the same ones), of texts, and of
requests (random)."""

from __future__ import annotations

import hashlib
import os

_CHUNK_DOMAIN = b"thoth chunk 1"


def chunk_id(collection: str, source: str, ordinal: int, text: str) -> str:
    """32 hex digits that depend on nothing but these four."""
    digest = hashlib.sha256(_CHUNK_DOMAIN)
    for part in (collection, source, str(ordinal), text):
        raw = part.encode("utf-8", "surrogatepass")
        # The length goes first: without it ("ab", "c") and ("a", "bc") would be one id.
        digest.update(len(raw).to_bytes(8, "big"))
        digest.update(raw)
    return digest.hexdigest()[:32]


def text_hash(text: str) -> str:
    """sha256 of the UTF-8 text, 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def new_request_id() -> str:
    """32 hex digits from the system's random source: no state, so a forked child repeats none."""
    return os.urandom(16).hex()
