"""SIGKILL to the supervisor before the service is ready, while a client waits for it.

What ends it stands in for the interpreter, so that it comes at a known moment.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conftest import Make
from tests.support.service import RealService
from thoth_core.client.autostart import MAX_TRIES, start_service
from thoth_core.errors import ServiceUnavailable

KILLED = """#!/bin/sh
echo >> {count}
[ $(wc -l < {count}) -le {times} ] && kill -s {signal} $$
exec {python} "$@"
"""


@pytest.fixture
def doomed(make_service: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Make a service of which the first ``times`` supervisors are killed."""

    def make(times: int, signal: str = "KILL") -> tuple[RealService, Path]:
        service, count = make_service(), tmp_path / "starts"
        script = tmp_path / "python"
        words = {"count": count, "times": times, "signal": signal, "python": sys.executable}
        script.write_text(KILLED.format(**words))
        script.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(script))
        for name, value in service.env.items():
            monkeypatch.setenv(name, value)
        return service, count

    return make


def starts(count: Path) -> int:
    return len(count.read_text().splitlines())


def test_a_call_whose_service_is_killed_while_it_starts_is_answered_by_the_next(doomed) -> None:
    service, count = doomed(2)
    with service.client(autostart=True) as thoth:
        assert thoth.embed(["a text"]).shape == (1, 32)
    assert starts(count) == 3


def test_a_service_that_is_killed_at_every_start_is_given_up_with_the_signal(doomed) -> None:
    service, count = doomed(100)
    with service.client(autostart=True) as thoth, pytest.raises(ServiceUnavailable) as caught:
        thoth.embed(["a text"])
    assert "SIGKILL" in caught.value.cause
    assert starts(count) == MAX_TRIES


@pytest.mark.parametrize(("signal", "told"), [("KILL", "SIGKILL"), ("TERM", "SIGTERM")])
def test_an_operator_is_told_at_once(doomed, signal: str, told: str) -> None:
    service, count = doomed(100, signal)
    with pytest.raises(ServiceUnavailable) as caught:
        start_service(service.settings(), idle_exit=None, exclusive=True)
    assert told in caught.value.cause
    assert starts(count) == 1


def test_a_supervisor_that_crashes_by_itself_is_not_started_again(doomed) -> None:
    service, count = doomed(100, "SEGV")
    with pytest.raises(ServiceUnavailable):
        start_service(service.settings(), idle_exit=None)
    assert starts(count) == 1
