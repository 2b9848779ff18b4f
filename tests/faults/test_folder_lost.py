"""The data directory, or the folder of the sockets, deleted or moved away under a service."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Make
from tests.faults.rawsockets import socket_paths
from tests.faults.watching import embedding, not_ended, pids, supervisor_log, wait_until_ready
from tests.support.service import RealService
from thoth_core.errors import ThothError


@pytest.fixture
def process(make_service: Make) -> Iterator[tuple[RealService, subprocess.Popen[str]]]:
    service = make_service(THOTH_EMBED_WORKERS="1", THOTH_FAULTS="1")
    process = service.popen("thoth-supervisor", "start", "--foreground")
    wait_until_ready(service)
    yield service, process
    process.kill()
    process.communicate()


def delete(folder: Path) -> None:
    """The service takes files away too, while it ends."""
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("lost", ["deleted", "moved", "replaced", "sockets"])
def test_a_service_whose_folder_is_lost_ends_and_says_so(
    process: tuple[RealService, subprocess.Popen[str]], lost: str
) -> None:
    service, supervisor = process
    settings = service.settings()
    data, sockets = settings.data_dir, settings.service_dir
    with service.client() as thoth:
        thoth.add(["a text"], ids=["a"])
    before = pids(service)
    if lost == "deleted":
        delete(data)
    elif lost == "moved":
        data.rename(data.with_name("moved"))
    elif lost == "replaced":
        data.rename(data.with_name("moved"))
        data.mkdir()
        (data / "lock").touch()
    else:
        delete(sockets)
    _, err = supervisor.communicate(timeout=60)
    assert supervisor.returncode == 1, err
    folder = sockets if lost == "sockets" else data
    assert f"error: the service has lost its folder {folder}" in err
    assert "cause: " in err and "fix: " in err and "Traceback" not in err
    assert not_ended(before, 30) == {}
    if lost in ("moved", "sockets"):
        # All that was stored is there for the next one.
        if lost == "moved":
            data.with_name("moved").rename(data)
        service.start()
        with service.client() as thoth:
            assert [row.id for row in thoth.get()] == ["a"]


def test_a_call_under_way_is_told_why(
    process: tuple[RealService, subprocess.Popen[str]],
) -> None:
    service, supervisor = process
    add = "from thoth_core import Thoth; Thoth(autostart=False).add(['!hang'], ids=['a'])"
    with service.popen("python", "-c", add) as caller:
        embedding(service)
        delete(service.settings().data_dir)
        _, err = caller.communicate(timeout=60)
    assert "StorageError: the service has lost its folder" in err
    assert supervisor.wait(60) == 1


def test_a_stop_that_was_asked_for_is_no_failure(
    process: tuple[RealService, subprocess.Popen[str]],
) -> None:
    service, supervisor = process
    with service.client() as thoth, pytest.raises(ThothError):
        supervisor.send_signal(signal.SIGTERM)
        supervisor.wait(60)
        thoth.embed(["x"])
    assert supervisor.returncode == 0


def test_a_store_whose_socket_is_deleted_makes_another(
    process: tuple[RealService, subprocess.Popen[str]],
) -> None:
    """What cleans up /tmp may take it. Workers that start after that would never reach it."""
    service, _ = process
    before = pids(service)
    socket_paths(service)["store"].unlink()
    for name in ("embed-interactive", "embed-bulk-1"):
        os.kill(before[name], signal.SIGKILL)
    with service.client() as thoth:
        # Far less than what a call waits for vectors that are on their way.
        assert thoth.add(["a text"], ids=["a"], deadline=45).embedded == 1
        assert [hit.id for hit in thoth.query("a text", k=1, deadline=45)] == ["a"]
    wait_until_ready(service)
    assert pids(service)["store"] != before["store"]
    assert "the socket of the store is gone" in supervisor_log(service)
    service.stop()
