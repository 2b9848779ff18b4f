"""Hashes of weights are kept, and believed only while nothing about the file has changed."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from embed_worker import weight_hashes
from embed_worker.cache_places import hashes_file
from embed_worker.models import find_model
from embed_worker.weight_hashes import MOST, SETTLED, WeightHashes


def later() -> int:
    return time.time_ns() + SETTLED


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read to be hashed."""
    files: list[Path] = []
    whole = weight_hashes._hash

    def hash_file(file: Path) -> str:
        files.append(file)
        return whole(file)

    monkeypatch.setattr(weight_hashes, "_hash", hash_file)
    return files


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"weights")
    return file


def test_a_file_is_read_once(tmp_path: Path, weights: Path, read: list[Path]) -> None:
    for _ in range(3):
        hashes = WeightHashes(tmp_path / "cache" / "weights.json", later)
        assert hashes.of(weights) == sha(b"weights")
    assert read == [weights]
    # Also where it is found by a link.
    link = tmp_path / "link"
    link.symlink_to(weights)
    assert WeightHashes(tmp_path / "cache" / "weights.json").of(link) == sha(b"weights")
    assert read == [weights]


def test_one_that_was_just_written_is_not_believed(
    tmp_path: Path, weights: Path, read: list[Path]
) -> None:
    hashes = WeightHashes(tmp_path / "weights.json", lambda: weights.stat().st_ctime_ns + 1)
    assert hashes.of(weights) == hashes.of(weights) == sha(b"weights")
    assert read == [weights, weights]
    assert not (tmp_path / "weights.json").exists()


def test_a_change_in_place_is_noticed_also_when_the_time_is_put_back(
    tmp_path: Path, weights: Path
) -> None:
    hashes = WeightHashes(tmp_path / "weights.json", later)
    assert hashes.of(weights) == sha(b"weights")
    before = weights.stat()
    # The times are from a clock that goes in ticks.
    while weights.stat().st_ctime_ns == before.st_ctime_ns:
        with weights.open("r+b") as file:
            file.write(b"WEIGHTS")
        os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = weights.stat()
    assert (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size)
    assert hashes.of(weights) == sha(b"WEIGHTS")


@pytest.mark.parametrize(
    "content", [b"", b"[1]", b'{"a": []}', b'{"a": 5}', b"\xff", b'{"PATH": [1, "no hash"]}']
)
def test_a_file_of_hashes_that_is_none_costs_a_reading(
    tmp_path: Path, weights: Path, content: bytes, read: list[Path]
) -> None:
    kept = tmp_path / "weights.json"
    kept.write_bytes(content.replace(b"PATH", str(weights).encode()))
    for _ in range(2):
        assert WeightHashes(kept, later).of(weights) == sha(b"weights")
    assert read == [weights]


def test_where_nothing_can_be_kept_it_is_read(tmp_path: Path, weights: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    hashes = WeightHashes(tmp_path / "cache" / "weights.json", later)
    assert hashes.of(weights) == hashes.of(weights) == sha(b"weights")
    with pytest.raises(FileNotFoundError):
        hashes.of(tmp_path / "none")


def test_as_many_are_kept_as_are_needed_and_the_oldest_goes_first(
    tmp_path: Path, read: list[Path]
) -> None:
    hashes = WeightHashes(tmp_path / "weights.json", later)
    files = [tmp_path / f"{number}.bin" for number in range(MOST + 1)]
    for file in files:
        file.write_bytes(b"x")
        hashes.of(file)
    assert len(json.loads((tmp_path / "weights.json").read_text())) == MOST
    read.clear()
    hashes.of(files[-1])
    hashes.of(files[1])
    hashes.of(files[0])
    assert read == [files[0]]


def test_the_search_for_a_model_believes_what_is_kept(tmp_path: Path, read: list[Path]) -> None:
    environ = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    WeightHashes(hashes_file(environ), later).of(folder / "model.safetensors")
    assert find_model(str(folder), environ=environ).weights == sha(b"weights")
    assert len(read) == 1
