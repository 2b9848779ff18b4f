"""What is kept of converted models and what is removed, with folders that hold a description and
nothing else."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embed_worker.engines.converted_model import DESCRIPTION, Description, read_description
from embed_worker.model_cache import (
    REFUSED,
    UNUSED,
    ModelCache,
    NotConverted,
    for_want_of_memory,
)
from embed_worker.models import FoundModel, hash_weights
from tests.support.service import wait_for
from thoth_core.errors import ModelNotFound
from thoth_core.locks import FileLock

LOG = logging.getLogger("test.embed")
SAID = Description(1, (), 0, False, None, {}, {}, (1.0,), {})


def written(folder: Path, age: float = 0.0) -> Path:
    """A converted model that was loaded ``age`` seconds ago."""
    folder.mkdir(parents=True)
    (folder / DESCRIPTION).write_text(SAID.to_json())
    at = time.time() - age
    os.utime(folder / DESCRIPTION, (at, at))
    return folder


@pytest.fixture
def found(tmp_path: Path) -> FoundModel:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    return FoundModel("model", folder, hash_weights(folder), "folder")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what was converted, which takes no time here."""
    names: list[str] = []

    def convert(self: ModelCache, folder: Path, found: FoundModel) -> Any:
        names.append(folder.name)
        (folder / DESCRIPTION).unlink(missing_ok=True)
        folder.exists() and folder.rmdir()
        written(folder)
        there = self._there(folder)
        assert there is not None
        return there

    monkeypatch.setattr(ModelCache, "_convert", convert)
    return names


@pytest.fixture
def cache(tmp_path: Path) -> ModelCache:
    return ModelCache(tmp_path / "models", LOG)


def other(cache: ModelCache, found: FoundModel, age: float) -> Path:
    """A conversion of the same weights by other versions."""
    return written(cache.root / f"{found.weights[:16]}-0123456789abcdef", age)


@pytest.fixture
def holder() -> Iterator[Any]:
    """Start another process that has loaded the model in a folder."""
    processes: list[subprocess.Popen[str]] = []

    def hold(folder: Path) -> subprocess.Popen[str]:
        code = (
            "import sys\nfrom pathlib import Path\nfrom embed_worker.model_cache import _hold\n"
            f"_hold(Path({str(folder)!r}))\nprint('held', flush=True)\nsys.stdin.read()\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in processes:
        process.kill()
        process.communicate()


def test_another_conversion_that_nobody_used_for_long_is_removed(
    cache: ModelCache, found: FoundModel, made: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    old = other(cache, found, UNUSED + 60)
    mine = cache.get(found)[0]
    assert not old.exists()
    assert not old.with_suffix(".draft").exists()
    assert f"removed {old}, which nobody used for 30 days" in caplog.text
    # Its own is not, however old it is; and each load says that it is used.
    os.utime(mine / DESCRIPTION, (0, 0))
    assert cache.get(found)[0] == mine
    assert made == [mine.name]
    assert time.time() - (mine / DESCRIPTION).stat().st_mtime < UNUSED


def test_one_that_was_used_and_one_of_other_weights_are_kept(
    cache: ModelCache, found: FoundModel, made: list[str]
) -> None:
    used = other(cache, found, UNUSED - 3600)
    foreign = written(cache.root / "0000000000000000-0123456789abcdef", UNUSED * 10)
    cache.get(found)
    assert used.exists()
    assert foreign.exists()


def test_a_refusal_that_nobody_asked_for_is_removed_too(
    cache: ModelCache, found: FoundModel, made: list[str]
) -> None:
    old = other(cache, found, UNUSED * 2)
    (old / DESCRIPTION).rename(old / REFUSED)
    cache.get(found)
    assert not old.exists()


def test_one_that_a_process_has_is_kept_until_that_ends(
    cache: ModelCache, found: FoundModel, made: list[str], holder: Any
) -> None:
    old = other(cache, found, 0)
    process = holder(old)
    os.utime(old / DESCRIPTION, (0, 0))
    cache.get(found)
    assert old.exists()
    process.kill()
    process.wait()
    cache.get(found)
    assert not old.exists()


def test_what_a_killed_process_left_is_removed_and_what_one_is_at_is_not(
    cache: ModelCache, found: FoundModel, made: list[str]
) -> None:
    left = written(cache.root / f"{found.weights[:16]}-0123456789abcdef.draft")
    lock = FileLock(left.with_suffix(".lock"))
    assert lock.acquire()
    cache.get(found)
    assert left.exists()
    lock.release()
    cache.get(found)
    assert not left.exists()
    # Of its own name too.
    mine = cache.get(found)[0]
    left = written(mine.with_suffix(".draft"))
    cache.get(found)
    assert not left.exists()
    assert mine.exists()


def test_what_cannot_be_used_is_dropped(
    cache: ModelCache, found: FoundModel, made: list[str]
) -> None:
    folder, _ = cache.get(found)
    cache.drop(folder)
    assert not folder.exists()
    cache.get(found)
    assert made == [folder.name] * 2


def test_what_another_process_has_made_meanwhile_is_not(
    cache: ModelCache, found: FoundModel, made: list[str]
) -> None:
    folder, _ = cache.get(found)
    folder.rename(cache.root / "moved")
    written(folder)
    cache.drop(folder)
    assert read_description(folder) == SAID
    cache.get(found)
    cache.drop(folder)
    assert not folder.exists()


def test_it_is_dropped_by_whoever_has_the_lock(
    cache: ModelCache, found: FoundModel, made: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder, _ = cache.get(found)
    lock = FileLock(folder.with_suffix(".lock"))
    assert lock.acquire()
    dropping = threading.Thread(target=cache.drop, args=(folder,))
    dropping.start()
    wait_for(lambda: "waiting for it" in caplog.text, 10, "it waits for the lock")
    # Another service makes it anew while this one waits.
    folder.rename(cache.root / "moved")
    written(folder)
    lock.release()
    dropping.join(30)
    assert not dropping.is_alive()
    assert folder.exists()


def test_weights_that_are_others_than_was_said_are_not_converted(
    cache: ModelCache, found: FoundModel
) -> None:
    (found.folder / "model.safetensors").write_bytes(b"others!")
    with pytest.raises(ModelNotFound) as caught:
        cache.get(found)
    assert caught.value.fix == f"rm {cache.root.parent / 'weights.json'}"


def test_a_refusal_is_told_again(cache: ModelCache, found: FoundModel, made: list[str]) -> None:
    folder, _ = cache.get(found)
    (folder / DESCRIPTION).unlink()
    (folder / REFUSED).write_text("why\n")
    with pytest.raises(NotConverted, match="why"):
        cache.get(found)


@pytest.mark.parametrize(
    ("problem", "memory"),
    [
        (MemoryError(), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (RuntimeError("Exception from src/core.cpp:\nstd::bad_alloc"), True),
        (RuntimeError("Can not allocate 90265768 bytes"), True),
        (OSError(errno.ENOENT, "no such file"), False),
        (RuntimeError("the file is damaged"), False),
    ],
)
def test_what_is_said_for_want_of_memory(problem: Exception, memory: bool) -> None:
    assert for_want_of_memory(problem) is memory


def test_what_has_no_room_is_not_begun(
    cache: ModelCache, found: FoundModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object, **__: object) -> None:
        raise AssertionError("a conversion was begun")

    monkeypatch.setattr("embed_worker.model_cache.subprocess.run", run)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10**9, 10**9 - 2**20, 2**20))
    with pytest.raises(NotConverted, match="has 1 MB free"):
        cache.get(found)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10**9, 0, 10**9))
    with pytest.raises(AssertionError, match="begun"):
        cache.get(found)


def test_a_conversion_is_told_while_it_lasts(
    tmp_path: Path, found: FoundModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def ends_badly(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert told == ["converting model for this machine, once; this takes some seconds"]
        return subprocess.CompletedProcess(command, 1, "")

    monkeypatch.setattr(subprocess, "run", ends_badly)
    with pytest.raises(NotConverted, match="ended with 1"):
        ModelCache(tmp_path / "models", LOG, told.append).get(found)
    assert told[1:] == [""]
