"""``thoth ask``: what it prints where, its JSON, and how it ends."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from cli import main as thoth_cli
from cli.run import run
from tests.support.openai_faults import Fault, starting_at
from tests.support.openai_server import OpenAIServer
from tests.unit.fake_service import FakeService, Reply, private_settings, result
from thoth_core.wire import Message

TEXT = "It is so [1].\nAnd \x1b]0;x\x07 so [9]."


def store(message: Message, reply: Reply) -> None:
    hit = {
        "id": "a",
        "score": 0.75,
        "text": "Quoted \x1b[31mtext.",
        "metadata": {"source": "/x/a\nb.md", "line_start": 3, "heading": "H"},
    }
    reply(result(message, hits=[[hit]], errors=[]))


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(answer=lambda messages: TEXT) as running:
        yield running


@pytest.fixture
def thoth(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Any]:
    with private_settings() as made, FakeService(made, store) as service:
        for name in ("RAG_COLLECTION_NAME", "OPENAI_API_KEY", "RAG_QA_MODEL"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("RAG_VECTOR_DB_PATH", str(made.vector_db_path))
        monkeypatch.setenv("THOTH_RUNTIME_DIR", str(made.runtime_dir))
        monkeypatch.setenv("RAG_EMBEDDING_MODEL", "fake/4")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("API_OPENAI_KEY", server.key)
        monkeypatch.chdir(made.runtime_dir)

        def call(*arguments: str) -> tuple[int, str, str]:
            code = run(thoth_cli.thoth, "thoth", ["--no-autostart", *arguments])
            said = capsys.readouterr()
            return code, said.out, said.err

        call.service = service  # type: ignore[attr-defined]
        yield call


def test_the_answer_comes_first_then_where_it_is_from(thoth: Any) -> None:
    code, out, err = thoth("ask", "is it so?")
    assert code == 0
    # What a terminal would take for a command is shown as a mark.
    assert out == "It is so [1].\nAnd \ufffd]0;x\ufffd so.\n\n[1] /x/a b.md:3 — H\n"
    dropped, used = err.splitlines()
    assert dropped == "dropped: [9] names no passage; there were 1"
    assert "tokens" in used
    assert "$0.0001" in used
    assert "by gpt-4o-mini" in used


def test_the_documented_json(thoth: Any) -> None:
    code, out, _ = thoth("ask", "is it so?", "--json", "-q", "--show-passages")
    assert code == 0
    document = json.loads(out)
    usage = document.pop("usage")
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    cost = document.pop("cost")
    assert cost["tokens"] == usage["total_tokens"]
    citation = {
        "n": 1,
        "id": "a",
        "source": "/x/a\nb.md",
        "line": 3,
        "line_end": None,
        "start": None,
        "end": None,
        "page": None,
        "page_end": None,
        "heading": "H",
        "quote": "Quoted \x1b[31mtext.",
        "score": 0.75,
    }
    assert document == {
        "schema_version": 1,
        "question": "is it so?",
        "answer": "It is so [1].\nAnd \x1b]0;x\x07 so.",
        "found": True,
        "citations": [citation],
        "dropped_citations": [9],
        "passages": [citation],
        "left_out": [],
        "model": "gpt-4o-mini",
        "finish_reason": "stop",
        "threshold": None,
        "collection": "thoth_knowledge",
    }


def test_an_answer_without_citations_is_told_apart(thoth: Any, server: OpenAIServer) -> None:
    server.answer = lambda messages: "It is so."
    code, out, err = thoth("ask", "is it so?")
    assert (code, out) == (0, "It is so.\n")
    assert err.startswith("the answer cites no passage")


def test_what_is_not_here(
    thoth: Any, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THOTH_ASK_THRESHOLD", "0.8")
    code, out, err = thoth("ask", "is it so?")
    assert (code, out) == (0, "not in this collection\n")
    assert "0.75" in err
    assert "--always-ask" in err
    code, out, _ = thoth("ask", "is it so?", "--json")
    document = json.loads(out)
    assert (code, document["found"], document["answer"]) == (0, False, "not in this collection")
    assert (document["model"], document["usage"]["total_tokens"], document["cost"]) == (
        None,
        0,
        None,
    )
    assert server.books.chats == []
    code, out, _ = thoth("ask", "is it so?", "--always-ask")
    assert out.startswith("It is so [1].")


def test_options_reach_the_search_and_the_model(thoth: Any, server: OpenAIServer) -> None:
    where = '{"year": 2026}'
    code, _, _ = thoth(
        "ask", "q", "--k", "7", "--where", where, "--collection", "notes", "--model", "gpt-4o"
    )
    assert code == 0
    body = thoth.service.of("query")[0].body
    assert (body["k"], body["where"], body["collection"]) == (7, {"year": 2026}, "notes")
    assert server.books.chats[0].model == "gpt-4o"


def test_a_question_from_standard_input(
    thoth: Any, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.TextIOWrapper(io.BytesIO("wirklich so — ja?\n".encode()))
    monkeypatch.setattr("sys.stdin", stream)
    assert thoth("ask", "-")[0] == 0
    assert "wirklich so — ja?" in server.books.chats[0].inputs[1]


def test_passages_are_shown_when_asked_for(thoth: Any) -> None:
    _, out, _ = thoth("ask", "is it so?", "--show-passages")
    assert out.endswith("\npassage 1  0.7500  /x/a b.md:3 — H\nQuoted \ufffd[31mtext.\n")


@pytest.mark.parametrize(
    ("fault", "exit_code"), [("unauthorized", 5), ("quota", 5), ("bad_request", 2)]
)
def test_how_it_ends_when_the_server_refuses(
    thoth: Any, server: OpenAIServer, fault: Any, exit_code: int
) -> None:
    server.chat_plan = starting_at(1, Fault(fault))
    code, out, err = thoth("ask", "is it so?", "-vv")
    assert (code, out) == (exit_code, "")
    assert err.startswith("error: ")
    assert server.key not in err


def test_a_failure_in_mid_answer_begins_on_its_own_line(thoth: Any, server: OpenAIServer) -> None:
    server.chat_plan = starting_at(1, Fault("drop_mid_body"))
    code, out, err = thoth("ask", "is it so?")
    assert code == 4
    assert out.startswith("It")
    assert out.endswith("\n")
    assert err.startswith("error: the chat server at ")


def test_without_a_key_both_settings_are_named(thoth: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("API_OPENAI_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL")
    code, out, err = thoth("ask", "is it so?")
    assert (code, out) == (5, "")
    assert "API_OPENAI_KEY" in err
    assert "OPENAI_BASE_URL" in err
