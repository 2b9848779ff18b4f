"""``thoth quarantine`` beside a service and without one."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from cli import main as thoth_cli
from cli.run import run
from tests.unit.fake_service import FakeService, Reply, private_settings, result
from thoth_core import Settings
from thoth_core.errors import InvalidInput
from thoth_core.supervisor.quarantine import Ending, Runtime
from thoth_core.supervisor.quarantine_file import QuarantineFile
from thoth_core.wire import Message, error_message

CRASH = Ending("segmentation fault", "SIGSEGV", "tokenizer.py:7 in encode", 1_790_000_000.0)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    with private_settings() as made:
        monkeypatch.setenv("RAG_VECTOR_DB_PATH", str(made.vector_db_path))
        monkeypatch.setenv("THOTH_RUNTIME_DIR", str(made.runtime_dir))
        monkeypatch.chdir(made.runtime_dir)
        yield made


@pytest.fixture
def thoth(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(thoth_cli.thoth, "thoth", ["quarantine", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def kept(settings: Settings, *texts: str) -> QuarantineFile:
    """The list of a service that has ended."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    file = QuarantineFile(settings.data_dir, logging.getLogger("test"))
    for text in texts:
        file.quarantine.add(text, Runtime("fake/4"), 2, CRASH)
    assert file.keep()
    return file


def test_without_a_service_the_file_is_read_and_shortened(settings: Settings, thoth: Any) -> None:
    assert thoth() == (0, "", "no text is in quarantine\n")
    file = kept(settings, "one", "a second")
    first, second = file.listed()["entries"]
    code, out, err = thoth("list")
    assert (code, err) == (0, "")
    line = out.splitlines()[1].split("\t")
    assert line[0] == second["key"]
    assert line[1:4] == ["2026-09-21 14:13 UTC", "fake/4", "SIGSEGV x 2"]
    assert line[4:] == ["8 characters", "sent again 0 times", "tokenizer.py:7 in encode"]
    code, out, _ = thoth("list", "--json")
    assert json.loads(out) == {"schema_version": 1, "entries": [first, second]}
    code, out, _ = thoth("retry", first["key"][:5], "--json")
    assert json.loads(out) == {"schema_version": 1, "removed": [first], "saved": True}
    code, out, _ = thoth("clear", "--all", "--yes")
    assert (code, out.split(":")[0]) == (0, second["key"])
    assert json.loads(file.path.read_text())["entries"] == []


@pytest.mark.parametrize(
    "arguments",
    [["clear"], ["clear", "abcd", "--all"], ["retry"], ["retry", "abcd"], ["clear", "ab"]],
)
def test_what_names_no_text_changes_nothing(
    settings: Settings, thoth: Any, arguments: list[str]
) -> None:
    file = kept(settings, "one")
    before = file.path.read_bytes()
    code, out, err = thoth(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert file.path.read_bytes() == before


def test_a_file_that_is_damaged_is_said_to_be(
    settings: Settings, thoth: Any, caplog: pytest.LogCaptureFixture
) -> None:
    file = kept(settings, "one")
    file.path.write_bytes(b"\0" * 100)
    assert thoth("list")[0] == 0
    assert "cannot be read" in caplog.text


def test_a_service_that_runs_is_asked(settings: Settings, thoth: Any) -> None:
    file = kept(settings, "one")
    [entry] = file.listed()["entries"]
    asked: list[dict[str, Any]] = []

    def handle(message: Message, reply: Reply) -> None:
        asked.append(dict(message.body))
        if message.body.get("keys") == ["none"]:
            reply(error_message(InvalidInput("no such key"), message.id))
        elif message.body.get("remove"):
            reply(result(message, removed=[entry], saved=False))
        else:
            reply(result(message, entries=[]))

    with FakeService(settings, handle):
        assert thoth() == (0, "", "no text is in quarantine\n")
        code, out, err = thoth("clear", "--all", "--yes")
        assert (code, out.split(":")[0]) == (3, entry["key"])
        assert "could not be written" in err
        assert thoth("retry", "none")[0] == 2
    assert asked == [{}, {"remove": True, "keys": None}, {"remove": True, "keys": ["none"]}]
    # The file is the service's.
    assert len(json.loads(file.path.read_text())["entries"]) == 1
