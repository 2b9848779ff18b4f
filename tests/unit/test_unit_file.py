"""The unit for systemd: what stands in it, and that systemd takes it where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest

from cli.unit import PLACES, found_by_itself, quoted, start_command, to_be_told, unit_text
from thoth_core.errors import SettingsError
from thoth_core.settings import Settings
from thoth_core.supervisor.environment import child_environment
from thoth_core.supervisor.slots import Policy


def parsed(text: str) -> dict[str, list[str]]:
    """The names of the ``[Service]`` section with their values; a name may be given often."""

    class Many(dict[str, str]):
        def __setitem__(self, name: str, value: object) -> None:
            if isinstance(value, list) and name in self:
                value = [*self[name], *value]
            super().__setitem__(name, value)  # type: ignore[assignment]

    parser = RawConfigParser(strict=False, dict_type=Many, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return {name: value.split("\n") for name, value in parser["Service"].items()}


def made(tmp_path: Path, **given: str) -> str:
    environ = {"HOME": str(tmp_path), "RAG_VECTOR_DB_PATH": str(tmp_path / "a b%c"), **given}
    settings = Settings.load(cwd=tmp_path, environ=environ)
    return unit_text(settings, to_be_told(settings, found_by_itself()), start_command())


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


def test_a_stop_is_given_longer_than_its_drains_take(tmp_path: Path) -> None:
    unit, policy = parsed(made(tmp_path)), Policy()
    drained = policy.drain_limit + policy.term_after + policy.kill_after
    assert int(unit["TimeoutStopSec"][0]) >= 2 * drained + 10
    assert unit["KillMode"] == ["mixed"]


def test_an_error_in_the_settings_is_not_tried_again(tmp_path: Path) -> None:
    unit = parsed(made(tmp_path))
    assert unit["Restart"] == ["on-failure"]
    assert str(SettingsError.exit_code) in unit["RestartPreventExitStatus"][0].split()
    assert "1" not in unit["RestartPreventExitStatus"][0].split()
    assert (unit["Type"], unit["NotifyAccess"]) == (["notify"], ["main"])
    assert int(unit["WatchdogSec"][0]) > 0


def test_it_has_the_settings_that_differ_and_no_key(tmp_path: Path) -> None:
    text = made(tmp_path, THOTH_EMBED_WORKERS="7", API_OPENAI_KEY="sk-0123456789abcdefghij")
    environment = parsed(text)["Environment"]
    assert "THOTH_EMBED_WORKERS=7" in environment
    assert f'"RAG_VECTOR_DB_PATH={tmp_path}/a b%%c"' in environment
    assert not [line for line in environment if "RAG_EMBEDDING_MODEL" in line]
    assert "0123456789" not in text


def test_what_the_files_of_the_user_say_is_left_to_them(tmp_path: Path) -> None:
    config = tmp_path / ".config" / "thoth"
    config.mkdir(parents=True)
    (config / "thoth.toml").write_text("thoth_queue_mb = 99\n")
    assert "THOTH_QUEUE_MB" not in made(tmp_path)
    (tmp_path / "thoth.toml").unlink(missing_ok=True)


def test_workers_find_the_models_and_libraries_that_they_find_here() -> None:
    given = {"HF_HOME": "/data/my models", "HF_HUB_OFFLINE": "1", "LD_LIBRARY_PATH": ""}
    secret = {"HF_TOKEN": "hf_0123456789", "HTTPS_PROXY": "http://me:word@proxy"}
    environ = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]} | given | secret
    command = [sys.executable, "-m", "cli.supervisor", "unit"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, env=environ).stdout
    environment = parsed(text)["Environment"]
    assert '"HF_HOME=/data/my models"' in environment
    assert "HF_HUB_OFFLINE=1" in environment
    assert "LD_LIBRARY_PATH" not in text
    assert "0123456789" not in text and "word" not in text
    # The workers do get them.
    passed = child_environment(dict.fromkeys(PLACES, "x"))
    assert set(PLACES) <= set(passed)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("/usr/bin/thoth", "/usr/bin/thoth"),
        ("/a b/thoth", '"/a b/thoth"'),
        ("50%", "50%%"),
        ('say "x"', '"say \\"x\\""'),
        ("a\\b", '"a\\\\b"'),
        ("$HOME", '"$$HOME"'),
    ],
)
def test_a_word_of_a_command_is_quoted(word: str, expected: str) -> None:
    assert quoted(word, command=True) == expected


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    path = tmp_path / "thoth.service"
    path.write_text(made(tmp_path))
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(path)],
        capture_output=True,
        text=True,
        # It does not run, and wants to know where it would have its files.
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
    )
    # What it does not know it passes over, with a word.
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
