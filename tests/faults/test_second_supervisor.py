"""A second service on a data directory that has one."""

from __future__ import annotations

import json

import pytest

from tests.faults.watching import pids, status
from tests.support.service import RealService

ANOTHER_WAY = "by another way"


@pytest.fixture(params=["the same path", ANOTHER_WAY, "another runtime folder"])
def env(request: pytest.FixtureRequest, shared: RealService) -> dict[str, str]:
    """Settings that lead to the data directory of the running service."""
    if request.param == ANOTHER_WAY:
        link = shared.root / "link"
        if not link.is_symlink():
            link.symlink_to(shared.root / "db", target_is_directory=True)
        return {"RAG_VECTOR_DB_PATH": str(link)}
    if request.param == "another runtime folder":
        return {"THOTH_RUNTIME_DIR": str(shared.root / "run2")}
    return {}


@pytest.mark.parametrize("options", [[], ["--foreground"]], ids=["daemon", "foreground"])
def test_a_second_supervisor_is_told_the_pid_of_the_first_which_is_unharmed(
    shared: RealService, env: dict[str, str], options: list[str]
) -> None:
    before = pids(shared)
    done = shared.run("thoth-supervisor", "start", *options, env=env)
    assert done.returncode == 1
    assert str(before["supervisor"]) in done.stderr
    assert done.stderr.startswith("error: ") or "\nerror: " in done.stderr
    assert "fix: " in done.stderr
    assert "Traceback" not in done.stderr
    assert pids(shared) == before
    assert status(shared)["state"] == "ready"
    with shared.client() as thoth:
        assert thoth.embed(["still here"]).shape == (1, 32)


def test_the_second_one_says_it_in_json_too(shared: RealService) -> None:
    first = pids(shared)["supervisor"]
    done = shared.run("thoth-supervisor", "start", "--json")
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "already_running"
    assert str(first) in error["message"]


def test_a_client_with_another_runtime_folder_is_told_where_the_service_is_not(
    shared: RealService,
) -> None:
    before = pids(shared)
    done = shared.run("thoth", "embed", "x", env={"THOTH_RUNTIME_DIR": str(shared.root / "run3")})
    assert done.returncode == 4
    assert f"process {before['supervisor']}" in done.stderr
    assert f"another THOTH_RUNTIME_DIR than {shared.root / 'run3'}" in done.stderr
    assert pids(shared) == before
