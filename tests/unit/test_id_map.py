"""The map of ids is read as Chroma's writers write it, and nothing in it can run or fill memory."""

from __future__ import annotations

import os
import pickle
import struct
import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest

from thoth_core.chroma_dir import id_map
from thoth_core.chroma_dir.files import Damaged

IDS = [f"id-{i}" for i in range(2000)] + ["é", "", "a\nb", "\U0001f600"]


def _map(ids: list[str]) -> dict[str, Any]:
    labels = {id: label for label, id in enumerate(ids, 1)}
    return {
        "dimensionality": None,
        "total_elements_added": len(ids),
        "max_seq_id": None,
        "id_to_label": labels,
        "label_to_id": {label: id for id, label in labels.items()},
        "id_to_seq_id": {},
    }


def rust(ids: list[str]) -> bytes:
    """As serde_pickle writes it: protocol 3, no memo."""

    def text(value: str) -> bytes:
        raw = value.encode()
        return b"X" + struct.pack("<I", len(raw)) + raw

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    told = _map(ids)
    out = b"\x80\x03}(" + text("dimensionality") + b"N" + text("total_elements_added")
    out += number(len(ids)) + text("max_seq_id") + b"N" + text("id_to_label") + b"}("
    out += b"".join(text(id) + number(label) for id, label in told["id_to_label"].items())
    out += b"u" + text("label_to_id") + b"}("
    out += b"".join(number(label) + text(id) for label, id in told["label_to_id"].items())
    return out + b"u" + text("id_to_seq_id") + b"}u."


@pytest.fixture
def old_class(monkeypatch: pytest.MonkeyPatch) -> type:
    """The class of Chroma's older, Python writer, where it was."""
    name = "chromadb.segment.impl.vector.local_persistent_hnsw"
    module = types.ModuleType(name)
    made = type("PersistentData", (), {"__module__": name})
    module.PersistentData = made  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, module)
    return made


def test_what_chroma_writes_is_read() -> None:
    assert pickle.loads(rust(IDS)) == _map(IDS)
    found = id_map.load(rust(IDS), len(IDS))
    assert found.labels == _map(IDS)["id_to_label"]
    assert found.ids == _map(IDS)["label_to_id"]
    assert (found.total, found.dimension, found.max_seq_id) == (len(IDS), None, None)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_what_older_chromas_wrote_is_read(old_class: type, protocol: int) -> None:
    old = old_class()
    old.__dict__.update(_map(IDS), dimensionality=8, max_seq_id=17)
    old.__dict__["id_to_seq_id"] = dict.fromkeys(IDS, 2**40)
    found = id_map.load(pickle.dumps(old, protocol), len(IDS))
    assert found.labels == _map(IDS)["id_to_label"]
    assert (found.total, found.dimension, found.max_seq_id) == (len(IDS), 8, 17)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_in_it_runs(tmp_path: Path, protocol: int) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return (os.system, (f"touch '{tmp_path}/ran'",))

    with pytest.raises(Damaged):
        id_map.load(pickle.dumps(Hostile(), protocol), 10)
    with pytest.raises(Damaged):
        id_map.load(pickle.dumps({**_map(IDS), "id_to_seq_id": Hostile()}, protocol), len(IDS))
    assert id_map.salvage(pickle.dumps(Hostile(), protocol)) == {}
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "hostile",
    [
        b"\x80\x04N" + b"r\xff\xff\xff\xff" + b".",  # a memo of four thousand million places
        b"\x80\x05\x96" + b"\xff" * 7 + b"\x7f.",  # a byte array larger than any memory
        b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7f.",  # a string of that size
        b"\x80\x04" + b"(" * 1_000_000 + b".",  # marks in marks
        b"\x80\x04" + b"}" * 10_000_000 + b".",  # millions of containers
        b"\x80\x04" + b"N" * 10_000_000 + b".",
        b"I" + b"9" * 1_000_000 + b"\n.",  # a number that takes for ever to read
        b"\x80\x04}\x94h\x00h\x00s.",  # a map that is its own key
        # A tuple in a tuple as a key, whose hash takes 2^60 steps; and one that ends the stack.
        b"\x80\x04}N" + b"q\x00h\x00\x86" * 60 + b"Ns.",
        b"\x80\x04}(N" + b"q\x00h\x00\x86" * 60 + b"Nu.",
        b"\x80\x04}N" + b"\x85" * 300_000 + b"Ns.",
        b"\x80\x04}(N" + b"\x85" * 300_000 + b"Nu.",
        # The same as the name of a class, to be made a string of.
        b"\x80\x04N" + b"q\x00h\x00\x86" * 60 + b"\x8c\x01a\x93.",
        b"\x80\x04\x8c\x01aN" + b"q\x00h\x00\x86" * 60 + b"\x93.",
        b"\x80\x04N" + b"\x85" * 300_000 + b"\x8c\x01a\x93.",
        b"cbuiltins\nlist\n.",
        b"",
        b".",
        b"\x80\x04}.",
    ],
    ids=lambda each: repr(each[:8]),
)
def test_what_would_fill_memory_or_time_is_refused(hostile: bytes) -> None:
    # Of its own: what it does beside others, they decide.
    start = time.thread_time()
    with pytest.raises(Damaged):
        id_map.load(hostile, 10)
    assert time.thread_time() - start < 5
    # Reading what can be read of it comes to an end as well.
    assert id_map.salvage(hostile) == {}


def test_a_map_that_contradicts_itself_is_refused() -> None:
    told = _map(IDS)
    told["label_to_id"][1] = "id-1"
    with pytest.raises(Damaged, match="differently"):
        id_map.load(pickle.dumps(told, 2), len(IDS))


@pytest.mark.parametrize("share", [0.1, 0.4, 0.6, 0.9])
def test_half_a_map_gives_the_ids_that_are_in_it(share: float) -> None:
    whole = rust(IDS)
    found = id_map.salvage(whole[: int(len(whole) * share)])
    assert len(found) >= min(1, 2 * share) * 0.95 * len(IDS)
    assert found.items() <= _map(IDS)["id_to_label"].items()


def test_ids_that_two_places_tell_differently_are_not_salvaged() -> None:
    told = _map(IDS)
    told["label_to_id"][1] = "id-1"
    found = id_map.salvage(pickle.dumps(told, 2)[:-1])
    assert "id-0" not in found and "id-1" not in found
    assert found["id-2"] == 3
