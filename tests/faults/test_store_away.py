"""A store that cannot be had for long: each call is told so, and all goes on when it is there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.watching import pids, status, wait_until_ready, worker
from tests.support.service import RealService, wait_for
from thoth_core.errors import ThothError


def _in_line(inode: int) -> bool:
    """Whether somebody waits for a lock of the file; also where the system tells of none."""
    lines = Path("/proc/locks").read_text().splitlines()
    told = [line for line in lines if f":{inode} " in line]
    return not told or any(" -> " in line for line in told)


@contextlib.contextmanager
def first_in_line(path: Path) -> Iterator[threading.Event]:
    """The lock at ``path`` from the moment at which its holder ends; the event is set then."""
    taken = threading.Event()
    fd = os.open(path, os.O_RDWR)

    def take() -> None:
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        taken.set()

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    wait_for(lambda: _in_line(os.fstat(fd).st_ino), 30, "it stands in line")
    try:
        yield taken
    finally:
        thread.join(10)
        os.close(fd)


def test_calls_are_told_who_has_the_data_and_it_goes_on_when_that_ends(
    service: RealService,
) -> None:
    before = pids(service)
    lock = service.settings().data_dir / "lock-store"
    with service.client() as thoth, ThreadPoolExecutor(2) as pool:
        thoth.add(["kept"], ids=["kept"], collection="notes")
        with first_in_line(lock) as taken:
            os.kill(before["store"], signal.SIGKILL)
            assert taken.wait(10)
            open_call = pool.submit(thoth.add, ["one"], ids=["one"], collection="notes")
            # The next store waits for whoever has the lock, then says that it cannot be set up.
            wait_for(lambda: worker(service, "store")["state"] == "FAILED", 60, "it is given up")
            with pytest.raises(ThothError) as caught:
                open_call.result(30)
            assert caught.value.code == "already_running"
            assert str(os.getpid()) in caught.value.cause
            for call in (
                lambda: thoth.count("notes"),
                lambda: thoth.query("kept", collection="notes"),
                lambda: thoth.add(["two"], ids=["two"], collection="notes"),
                lambda: thoth.delete(ids=["kept"], collection="notes"),
            ):
                with pytest.raises(ThothError) as caught:
                    call()
                assert caught.value.code == "already_running"
                assert caught.value.fix
            # What needs no store goes on.
            assert thoth.embed(["no store needed"] * 40, deadline=60).shape == (40, 32)
            said = status(service)
            assert said["state"] == "failed"
            assert said["queue"]["requests"] == 0
        # Nobody tells it; it is tried again by itself.
        wait_until_ready(service)
        assert [row.id for row in thoth.get(collection="notes")] == ["kept"]
        assert thoth.add(["two"], ids=["two"], collection="notes").embedded == 1
        assert thoth.query("kept", k=1, collection="notes")[0].id == "kept"
    after = pids(service)
    assert after == before | {"store": after["store"]}
