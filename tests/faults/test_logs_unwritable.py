"""Logs that cannot be written: a full disk is borne, a folder that cannot be made is named."""

from __future__ import annotations

import os
import signal

import pytest

from tests.conftest import Make

SLOTS = ("store", "embed-interactive", "embed-bulk-1")


def test_a_full_disk_under_the_logs_stops_nothing(make_service: Make) -> None:
    service = make_service()
    logs = service.settings().data_dir / "logs"
    logs.mkdir(parents=True)
    for name in ("supervisor", *SLOTS):
        (logs / f"{name}.log").symlink_to("/dev/full")
    service.start()
    with service.client() as thoth:
        assert thoth.embed(["one"]).shape == (1, 32)
        old = service.pid("embed-bulk-1")
        os.kill(old, signal.SIGKILL)
        service.ready_again("embed-bulk-1", old)
        assert thoth.embed(["two"] * 40).shape == (40, 32)


@pytest.mark.parametrize("how", [(), ("--foreground",)])
def test_a_log_folder_that_cannot_be_made_is_named(
    make_service: Make, how: tuple[str, ...]
) -> None:
    service = make_service()
    logs = service.settings().data_dir / "logs"
    logs.parent.mkdir(parents=True)
    logs.write_text("a file in its place")
    done = service.run("thoth-supervisor", "start", *how)
    assert done.returncode == 1
    assert str(logs) in done.stderr
    assert "fix: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not service.processes()
