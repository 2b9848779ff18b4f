"""``thoth ingest --dry-run``: it says what the ingest then does, and changes nothing."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import RealService
from thoth_core import AsyncThoth, ModelMismatch, Settings, Thoth
from thoth_core.encoding import load_encoding
from thoth_core.prices import SETTING


def notes(folder: Path, count: int, about: str = "keys") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        lines = (f"note {number} about {about}, sentence {n}." for n in range(200))
        (folder / f"{about}-{number}.txt").write_text("\n".join(lines))
    return folder


def rows(service: RealService) -> dict[str, list[Any]]:
    """Every row of the ledger, by table."""
    db = sqlite3.connect(f"file:{service.settings().data_dir}/ledger.sqlite3?mode=ro", uri=True)
    try:
        tables = [n for (n,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: db.execute(f"SELECT * FROM {table}").fetchall() for table in tables}
    finally:
        db.close()


def dry(service: RealService, *arguments: str, **env: str) -> dict[str, Any]:
    done = service.run("thoth", "ingest", "--dry-run", "--json", *arguments, env=env)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def wet(service: RealService, *arguments: str) -> dict[str, Any]:
    done = service.run("thoth", "ingest", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def same(said: dict[str, Any], done: dict[str, Any]) -> None:
    """What a dry run said is what the ingest after it did."""
    for name in ("new", "changed", "unchanged"):
        assert said["files"][name] == done["files"][name], name
    assert len(said["files"]["failed"]) == len(done["files"]["failed"])
    assert said["chunks"] == done["chunks"]
    assert said["to_embed"] == done["embedded"]


def test_a_dry_run_says_what_the_ingest_then_does_and_writes_nothing(
    thoth: Thoth, running: RealService, tmp_path: Path
) -> None:
    folder = notes(tmp_path / "docs", 5)
    (folder / "bad.txt").write_bytes(b"\0\1\2")
    before = rows(running)
    first = thoth.ingest([folder], dry_run=True)
    assert rows(running) == before
    assert thoth.collections() == []
    assert (first.new, first.changed, first.unchanged) == (5, 0, 0)
    assert first.stored == 0 and first.chunks == first.to_embed > 5
    assert first.model == "fake/32" and first.encoding == "cl100k_base"
    report = thoth.ingest([folder])
    said = first.to_dict()
    same(said, report.to_dict())
    assert said["files"]["failed"] == report.to_dict()["files"]["failed"]

    again = thoth.ingest([folder], dry_run=True)
    assert (again.new, again.changed, again.unchanged) == (0, 0, 5)
    assert (again.chunks, again.to_embed, again.tokens_to_embed) == (0, 0, 0)
    assert again.stored == again.unchanged_chunks == first.chunks


def test_a_changed_file_and_a_copy_cost_what_is_new_in_them(thoth: Thoth, tmp_path: Path) -> None:
    folder = notes(tmp_path / "docs", 3)
    chunks = thoth.ingest([folder]).chunks
    # Copied as it is, it is a new file of which every text has its vector already.
    (folder / "copy.txt").write_bytes((folder / "keys-0.txt").read_bytes())
    with (folder / "keys-1.txt").open("a") as file:
        file.write("\nand a last word")
    said = thoth.ingest([folder], dry_run=True)
    assert (said.new, said.changed, said.unchanged) == (1, 1, 2)
    assert said.stored >= chunks // 3 and said.to_embed >= 1
    assert said.stored + said.to_embed == said.chunks + said.unchanged_chunks
    assert 0 < said.tokens_to_embed < said.tokens
    report = thoth.ingest([folder])
    same(said.to_dict(), report.to_dict())


def test_what_is_there_many_times_is_embedded_once(
    thoth: Thoth, running: RealService, tmp_path: Path
) -> None:
    folder = notes(tmp_path / "docs", 2)
    for n in range(400):
        # Beside its copies, and in many calls that are under way at once.
        (folder / f"copy-{n}.txt").write_bytes((folder / "keys-0.txt").read_bytes())
    said = thoth.ingest([folder], dry_run=True)
    assert said.new == 402 and said.repeated > 1000 > said.to_embed
    report = thoth.ingest([folder])
    same(said.to_dict(), report.to_dict())
    assert report.reused == said.repeated


def test_what_another_collection_has_is_stored_already(thoth: Thoth, tmp_path: Path) -> None:
    folder = notes(tmp_path / "docs", 2)
    thoth.ingest([folder], "one")
    said = thoth.ingest([folder], "two", dry_run=True)
    assert (said.new, said.to_embed) == (2, 0) and said.stored == said.chunks > 0
    assert [c.name for c in thoth.collections()] == ["one"]


def test_tokens_are_counted_and_priced_by_the_setting(
    running: RealService, thoth: Thoth, tmp_path: Path
) -> None:
    text = "The keys are on the table. <|endoftext|>"
    (tmp_path / "a.txt").write_text(text)
    count = load_encoding("cl100k_base").count(text)
    said = dry(running, str(tmp_path), THOTH_PRICES="fake/32=2.5")
    assert said["schema_version"] == 1 and said["dry_run"] is True
    assert said["tokens"] == said["tokens_to_embed"] == count
    assert said["cost"] == {"tokens": count, "usd": count * 2.5 / 1e6, "prices_of": SETTING}
    unpriced = dry(running, str(tmp_path))
    assert unpriced["cost"] == {"tokens": count, "usd": None, "prices_of": None}
    done = running.run("thoth", "ingest", "--dry-run", str(tmp_path))
    assert "nothing to pay: a local model" in done.stdout and "dry run" in done.stderr


def test_a_text_on_standard_input(running: RealService, thoth: Thoth) -> None:
    done = running.run("thoth", "ingest", "--dry-run", "--json", "-", input="some words")
    assert json.loads(done.stdout)["files"]["new"] == 1
    assert thoth.collections() == []


def test_a_collection_of_another_model_is_refused_as_by_the_ingest(
    make_service: Callable[..., RealService], tmp_path: Path
) -> None:
    service = make_service("fake/8").start()
    folder = notes(tmp_path / "docs", 1)
    wet(service, str(folder))
    environ = service.environ(RAG_EMBEDDING_MODEL="fake/16")
    asking = Settings.load(cwd=service.root, environ=environ)
    with Thoth(asking, autostart=False) as other:
        with pytest.raises(ModelMismatch):
            other.ingest([folder], dry_run=True)
        # In a new one there is no vector of that model, and no worker of it is started to see.
        said = other.ingest([folder], "new", dry_run=True)
        assert (said.model, said.stored, said.to_embed) == ("fake/16", 0, said.chunks)
        assert not [w for w in service.status()["workers"] if w["model"] == "fake/16"]
        other.ingest([folder], "new")
        again = other.ingest([folder], "third", dry_run=True)
        assert (again.to_embed, again.stored) == (0, said.chunks)
    # The vectors are of fake/16 whether its workers run or not.
    service.stop()
    service.start()
    with Thoth(asking, autostart=False) as other:
        again = other.ingest([folder], "third", dry_run=True)
        assert (again.to_embed, again.stored) == (0, said.chunks)


def test_with_asyncio(thoth: Thoth, running: RealService, tmp_path: Path) -> None:
    folder = notes(tmp_path / "docs", 2)
    seen: list[int] = []

    async def run() -> int:
        async with AsyncThoth(running.settings(), autostart=False) as client:
            report = await client.ingest(
                [folder], on_progress=lambda at: seen.append(at.files), dry_run=True
            )
            return report.to_embed

    assert asyncio.run(run()) == thoth.ingest([folder]).embedded
    assert seen
