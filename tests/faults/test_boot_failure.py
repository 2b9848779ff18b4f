"""A service that cannot be set up ends at once, says why, and leaves nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Make
from tests.faults.watching import sockets_of

OFFLINE = {"HF_HUB_OFFLINE": "1", "THOTH_EMBED_WORKERS": "1"}


@pytest.mark.parametrize("options", [[], ["--foreground"]], ids=["daemon", "foreground"])
def test_an_unknown_model_names_every_place_that_was_looked_at(
    make_service: Make, tmp_path: Path, options: list[str]
) -> None:
    service = make_service("nobody/no-such-model", **OFFLINE, HF_HOME=str(tmp_path))
    done = service.run("thoth-supervisor", "start", *options)
    assert done.returncode == 2
    assert "error: the embedding model nobody/no-such-model is not to be had" in done.stderr
    for place in (
        "nobody/no-such-model: there is none",
        f"cache {tmp_path}/hub/models--nobody--no-such-model",
        "hub nobody/no-such-model",
    ):
        assert place in done.stderr
    assert "fix: " in done.stderr
    assert "Traceback" not in done.stderr
    assert service.processes() == []
    assert sockets_of(service) == []


def test_a_model_folder_that_lacks_its_weights_is_said_to_lack_them(
    make_service: Make, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    service = make_service(str(model), **OFFLINE)
    done = service.run("thoth-supervisor", "start", "--json")
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "model_not_found"
    assert f"folder {model}: no weights are in it" in error["cause"]
    assert service.processes() == []


def test_a_command_that_would_start_the_service_says_the_same(make_service: Make) -> None:
    service = make_service("fake/0", **OFFLINE)
    done = service.run("thoth", "embed", "x")
    assert done.returncode == 2
    assert "error: there is no model fake/0" in done.stderr
    assert "Traceback" not in done.stderr
    assert service.processes() == []
