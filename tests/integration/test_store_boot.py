"""Why a store cannot start, said by a typed error with its cause and the way out."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from store_worker.locks import own
from tests.integration.store_double import StoreRoom
from thoth_core.errors import AlreadyRunning, LedgerDamaged, StorageError
from thoth_core.locks import FileLock

HOLDER = """
import sys, time
from pathlib import Path
from thoth_core.locks import FileLock
assert FileLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read(1)
"""
ROOT = Path(__file__).parents[2]


def holding(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.communicate(input="x", timeout=10)


def test_a_second_owner_is_told_the_pid_of_the_first(tmp_path):
    process = holding(tmp_path / "lock-store")
    try:
        with pytest.raises(AlreadyRunning) as caught:
            own(tmp_path, patience=0.3)
        assert caught.value.details["pid"] == process.pid
        assert str(process.pid) in caught.value.cause
    finally:
        end(process)
    # The thread that waited in vain does not keep the lock that it gets now.
    own(tmp_path, patience=5).release()


def test_a_dying_owner_is_waited_for(tmp_path):
    process = holding(tmp_path / "lock-store")
    assert process.stdin is not None
    process.stdin.write("x")
    process.stdin.flush()
    lock = own(tmp_path, patience=10)
    assert (tmp_path / "lock-store").read_text().strip() == str(os.getpid())
    lock.release()
    end_code = process.wait(10)
    process.stdin.close()
    assert process.stdout is not None
    process.stdout.close()
    assert end_code == 0


def test_two_stores_cannot_have_one_directory(tmp_path, monkeypatch):
    process = holding_in(tmp_path / "data")
    try:
        monkeypatch.setattr(
            "store_worker.service.own", lambda data_dir: own(data_dir, patience=0.2)
        )
        with pytest.raises(AlreadyRunning), StoreRoom(tmp_path / "data", tmp_path / "run"):
            pass
    finally:
        end(process)


def holding_in(data_dir: Path) -> subprocess.Popen[str]:
    data_dir.mkdir()
    return holding(data_dir / "lock-store")


def test_a_file_in_the_place_of_the_data_directory(tmp_path):
    (tmp_path / "data").write_text("somebody's notes")
    with (
        pytest.raises(StorageError, match="a file where the folder should be") as caught,
        StoreRoom(tmp_path / "data", tmp_path / "run"),
    ):
        pass
    assert "RAG_VECTOR_DB_PATH" in caught.value.fix
    assert (tmp_path / "data").read_text() == "somebody's notes"


def test_a_file_in_the_place_of_a_parent_or_of_the_index(tmp_path):
    (tmp_path / "parent").write_text("")
    with pytest.raises(StorageError), StoreRoom(tmp_path / "parent" / "data", tmp_path / "run"):
        pass
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "chroma").write_text("")
    with (
        pytest.raises(StorageError, match="folder of the index"),
        StoreRoom(tmp_path / "data", tmp_path / "run"),
    ):
        pass


def test_a_folder_in_the_place_of_the_ledger(tmp_path):
    (tmp_path / "data" / "ledger.sqlite3").mkdir(parents=True)
    with (
        pytest.raises(StorageError, match="cannot be opened"),
        StoreRoom(tmp_path / "data", tmp_path / "run"),
    ):
        pass


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (errno.EROFS, "Read-only file system"),
        (errno.EACCES, "Permission denied"),
        (errno.ENOSPC, "No space left"),
    ],
)
def test_a_directory_that_cannot_be_written_says_which_it_is(tmp_path, monkeypatch, code, says):
    def refuse(self: FileLock) -> bool:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with (
        pytest.raises(StorageError, match=says),
        StoreRoom(tmp_path / "data", tmp_path / "run"),
    ):
        pass


def test_a_damaged_ledger_stops_the_start_and_is_left_as_it_is(tmp_path):
    with StoreRoom(tmp_path / "data", tmp_path / "run") as store:
        store.call("create_collection", {"collection": "notes", "number": 1, "model": None})
    ledger = tmp_path / "data" / "ledger.sqlite3"
    damaged = b"\xff" * 5000 + ledger.read_bytes()[5000:]
    ledger.write_bytes(damaged)
    with pytest.raises(LedgerDamaged), StoreRoom(tmp_path / "data", tmp_path / "run"):
        pass
    assert ledger.read_bytes() == damaged
    # The lock is free again.
    own(tmp_path / "data", patience=5).release()


def test_the_store_worker_loads_no_engine():
    code = (
        "import sys, store_worker.service, store_worker.index, chromadb\n"
        "engines = {'torch', 'sentence_transformers', 'openvino', 'openai', 'onnxruntime'}\n"
        "print(sorted(engines & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
