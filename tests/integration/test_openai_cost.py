"""What OpenAI's models cost: said before, and as it was billed; and what one without a key sees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Make
from tests.support.openai_books import needed_tokens
from tests.support.openai_faults import Fault, never
from tests.support.openai_server import OpenAIServer
from tests.support.service import RealService, wait_for
from thoth_core import QuotaExceeded
from thoth_core.prices import AS_OF

MODEL = "openai/text-embedding-3-small"
PRICE = 0.02


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def service(make_service: Make, server: OpenAIServer) -> RealService:
    made = make_service(MODEL, API_OPENAI_KEY=server.key, OPENAI_BASE_URL=server.base_url)
    return made.start()


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(8):
        lines = (f"Note {number} says of {n} things <|endoftext|> that." for n in range(150))
        (folder / f"{number}.txt").write_text("\n".join(lines))
        (folder / f"{number}-copy.txt").write_bytes((folder / f"{number}.txt").read_bytes())
    return folder


def ingest(service: RealService, *arguments: str, code: int = 0) -> tuple[dict[str, Any], str]:
    done = service.run("thoth", "ingest", "--json", *arguments)
    assert done.returncode == code, done.stderr
    return dict(json.loads(done.stdout)), done.stderr


def test_a_dry_run_says_the_tokens_that_are_then_billed(
    service: RealService, server: OpenAIServer, docs: Path
) -> None:
    said, _ = ingest(service, "--dry-run", str(docs))
    assert server.books.requests == []
    assert said["model"] == MODEL and said["encoding"] == "cl100k_base"
    assert said["repeated"] == said["to_embed"] > 8
    done, told = ingest(service, str(docs))
    assert done["embedded"] == said["to_embed"] and done["reused"] == said["repeated"]
    assert done["tokens"] == said["tokens_to_embed"] == server.books.billed_tokens
    assert set(server.books.times_billed().values()) == {1}
    assert done["cost"] == said["cost"]
    assert done["cost"]["prices_of"] == AS_OF
    assert done["cost"]["usd"] == pytest.approx(done["tokens"] * PRICE / 1e6)
    assert f"used: {done['tokens']:,} tokens, $" in told

    again, _ = ingest(service, "--dry-run", "--collection", "second", str(docs))
    assert (again["to_embed"], again["cost"]["usd"]) == (0, 0.0)
    assert again["stored"] == again["chunks"] == said["chunks"]
    ingest(service, "--collection", "second", str(docs))
    assert server.books.billed_tokens == done["tokens"]


def test_an_ingest_that_ends_for_want_of_quota_says_what_it_used(
    make_service: Make, docs: Path
) -> None:
    made: list[RealService] = []

    def plan(number: int) -> Fault | None:
        """Quota for some texts, until they are stored."""
        if number <= 5:
            return None
        total = lambda: made[0].status()["store"]["embedded_total"]  # noqa: E731
        wait_for(lambda: total() > 0, 30, "a text is stored")
        return Fault("quota")

    # One text a request.
    with OpenAIServer(plan=plan) as server:
        settings = {"API_OPENAI_KEY": server.key, "OPENAI_BASE_URL": server.base_url}
        service = make_service(MODEL, RAG_EMBEDDING_BATCH_SIZE="1", **settings).start()
        made.append(service)
        said, told = ingest(service, str(docs), code=5)
        assert said["error"]["code"] == QuotaExceeded.code
        assert 0 < said["cost"]["tokens"] <= server.books.billed_tokens
        assert "used before that: " in told
        server.plan = never
        before = server.books.billed_tokens
        done, _ = ingest(service, str(docs))
        assert done["tokens"] == server.books.billed_tokens - before > 0
        # What the first run stored was not sent again.
        assert done["tokens"] + said["cost"]["tokens"] <= needed_tokens(server.books.times_billed())


def test_a_dry_run_needs_no_key(make_service: Make, docs: Path) -> None:
    service = without_key(make_service)
    said, _ = ingest(service, "--dry-run", str(docs))
    assert said["to_embed"] > 8 and said["cost"]["usd"] > 0
    shown = service.run("thoth", "ingest", "--dry-run", str(docs))
    assert f"(prices of {AS_OF}, which may be old)" in shown.stdout


@pytest.mark.parametrize("command", [["ingest", "docs"], ["query", "a thing"], ["embed", "a text"]])
def test_who_has_no_key_is_told_which_setting_is_missing_and_how_to_work_without(
    make_service: Make, command: list[str]
) -> None:
    service = without_key(make_service)
    (service.root / "docs").mkdir()
    (service.root / "docs" / "a.txt").write_text("The keys are on the table.")
    done = service.run("thoth", *command)
    assert done.returncode == 5
    assert "API_OPENAI_KEY" in done.stderr and ".env" in done.stderr
    assert "RAG_EMBEDDING_MODEL=all-MiniLM-L6-v2" in done.stderr
    # Whoever follows that is not in the way of what failed.
    local = {"RAG_EMBEDDING_MODEL": "fake/32"}
    assert service.run("thoth", "collections", "--json").stdout.count("openai") == 0
    worked = service.run("thoth", "ingest", "--json", "docs", env=local)
    assert worked.returncode == 0, worked.stderr
    assert json.loads(worked.stdout)["embedded"] == 1


def test_status_says_that_a_key_is_missing_until_there_is_one(make_service: Make) -> None:
    service = without_key(make_service).start()
    assert (
        "lacking: there is no key for openai/" in service.run("thoth-supervisor", "status").stdout
    )
    service.env["API_OPENAI_KEY"] = "sk-proj-0123456789abcdef"
    assert service.run("thoth-supervisor", "reload").returncode == 0
    assert service.status()["lacking"] is None


def without_key(make_service: Make) -> RealService:
    service = make_service(MODEL, API_OPENAI_KEY="your_openai_api_key_here")
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        service.env[name] = ""
    return service
