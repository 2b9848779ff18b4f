"""A dry run that has no file or text to read."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import main as thoth_cli
from cli.run import run
from tests.unit.fake_service import FakeService, Reply, private_settings, result
from tests.unit.test_client_ingest import Store
from thoth_core import Settings, Thoth
from thoth_core.wire import Message


class Looking(Store):
    """It has no vectors, and says that its model is fake/9."""

    def __call__(self, message: Message, reply: Reply) -> None:
        if message.kind == "look_up":
            reply(result(message, model="fake/9", embedded=[]))
        else:
            super().__call__(message, reply)


@pytest.fixture
def settings() -> Iterator[Settings]:
    with private_settings() as made:
        yield made


def test_a_folder_without_files(settings: Settings, tmp_path: Path) -> None:
    with FakeService(settings, Looking()), Thoth(settings, autostart=False) as thoth:
        said = thoth.ingest([tmp_path], dry_run=True)
    assert (said.new, said.failed, said.chunks, said.stored, said.tokens) == (0, [], 0, 0, 0)
    assert (said.model, said.encoding) == ("fake/9", settings.chunk_encoding)


def test_only_a_file_that_is_gone(settings: Settings, tmp_path: Path) -> None:
    source = str(tmp_path / "a.txt")
    store = Looking()
    store.documents[source] = {"content_hash": hashlib.sha256(b"a").hexdigest(), "chunks": 1}
    with FakeService(settings, store), Thoth(settings, autostart=False) as thoth:
        said = thoth.ingest([source], dry_run=True, prune=True)
    assert (said.removals, said.model, said.to_embed) == ([source], "fake/9", 0)
    assert store.documents


def test_no_file_and_no_service(settings: Settings, tmp_path: Path) -> None:
    with Thoth(settings, autostart=False) as thoth:
        said = thoth.ingest([tmp_path / "none.txt"], dry_run=True)
    assert [source for source, _ in said.failed] == [str(tmp_path / "none.txt")]
    assert said.model == "fake/4"


def test_standard_input_that_is_no_text_has_the_document_of_a_dry_run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAG_VECTOR_DB_PATH", str(settings.vector_db_path))
    monkeypatch.setenv("THOTH_RUNTIME_DIR", str(settings.runtime_dir))
    monkeypatch.setenv("RAG_EMBEDDING_MODEL", "fake/4")
    monkeypatch.chdir(settings.runtime_dir)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\0b" * 100)))
    words = ["--no-autostart", "ingest", "--dry-run", "--json", "--collection", "piped", "-"]
    assert run(thoth_cli.thoth, "thoth", words) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["dry_run"], told["collection"], told["model"]) == (True, "piped", "fake/4")
    assert [each["source"] for each in told["files"]["failed"]] == ["-"]
