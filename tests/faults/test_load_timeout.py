"""A model that never gets loaded: its workers are given up, and the reason is said."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Make
from tests.faults.waiting_model import make_waiting_model
from tests.faults.watching import sockets_of, supervisor_log
from thoth_core.death_reports import deaths_dir, read_reports

#: The service with a limit for loading that a test can wait for.
START = """
import functools, sys
from thoth_core.supervisor import service
from thoth_core.supervisor.slots import Policy
service.Service = functools.partial(service.Service, policy=Policy(load_limit=3.0, dump_after=3.0))
from cli.supervisor import main
sys.argv = ["thoth-supervisor", "start", "--foreground"]
sys.exit(main())
"""


def test_workers_that_load_for_too_long_are_ended_and_given_up(
    make_service: Make, tmp_path: Path
) -> None:
    model = make_waiting_model(tmp_path / "model")
    service = make_service(str(model), THOTH_EMBED_WORKERS="1")
    start = service.popen("python", "-c", START)
    _, err = start.communicate(timeout=100)
    assert start.returncode == 1, err
    assert "cannot be kept running" in err
    assert "took too long to start" in err
    assert "fix: " in err
    assert "Traceback" not in err
    log = supervisor_log(service)
    # Five deaths are too many, and each was by the limit.
    assert log.count("ended: took too long to start") >= 5
    # And each says where it stood still.
    reports, unreadable = read_reports(deaths_dir(service.settings().data_dir))
    assert not unreadable
    waited = [r for r in reports if r["reason"] == "took too long to start"]
    assert len(waited) >= 5
    for report in waited:
        assert (report["signal"], report["state"]) == ("SIGKILL", "LOADING")
        frames = report["stacks"]["threads"][0]["frames"]
        assert any(frame["function"] == "load_engine" for frame in frames)
    assert service.processes() == []
    assert sockets_of(service) == []
