"""What a caller hands over becomes the client's own before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.fake_service import private_settings
from thoth_core import Settings, Thoth
from thoth_core.client.arguments import listed
from thoth_core.client.base import checked_deadline
from thoth_core.client.calls import Calls
from thoth_core.errors import InvalidInput, SettingsError

CALLS = Calls("notes", max_chars=100, k=4)


@pytest.fixture
def settings() -> Iterator[Settings]:
    with private_settings() as made:
        yield made


def test_a_list_that_changes_during_the_call_changes_nothing() -> None:
    texts, ids = ["one", "two"], ["i", "j"]
    plans = [
        CALLS.embed(texts),
        CALLS.add(texts, None, ids, None),
        CALLS.query(texts, 1, None, None, None, None),
        CALLS.upsert(ids, [[1.0], [2.0]], texts, None, None),
    ]
    gets = [CALLS.get(ids, None, None, None, 0, None, None), CALLS.delete(ids, None, None, None)]
    texts.clear()
    ids[:] = ["other"]
    assert [next(plan.requests).body["texts"] for plan in plans] == [["one", "two"]] * 4
    assert [next(plan.requests).body["ids"] for plan in gets] == [["i", "j"]] * 2


def test_an_error_in_the_callers_generator_is_the_callers() -> None:
    def texts() -> Iterator[str]:
        yield "one"
        raise TypeError("of the caller")

    with pytest.raises(TypeError, match="of the caller"):
        listed("texts", texts())


@pytest.mark.parametrize(("given", "wanted"), [(None, None), (3, 3.0), (1e8, 1e8), (1e9, None)])
def test_a_deadline_beyond_any_clock_is_none(given: Any, wanted: float | None) -> None:
    assert checked_deadline(given) == wanted


@pytest.mark.parametrize(
    ("ask", "asked"),
    [
        (lambda calls: calls.embed(["a"]), True),
        (lambda calls: calls.embed([]), True),
        (lambda calls: calls.dimension(), True),
        (lambda calls: calls.add(["a"], None, None, None), True),
        (lambda calls: calls.query(["a"], 1, None, None, None, None), True),
        (lambda calls: calls.search([1.0], 1, None, None, None, None), False),
        (lambda calls: calls.count(None), False),
    ],
    ids=["embed", "no texts", "dimension", "add", "query", "search", "count"],
)
def test_what_needs_the_model_names_the_one_that_was_asked_for(
    ask: Callable[[Calls], Any], asked: bool
) -> None:
    request = next(ask(Calls("notes", 100, 4, "fake/8")).requests)
    assert request.body.get("model") == ("fake/8" if asked else None)
    assert "model" not in next(ask(CALLS).requests).body


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, ""),
        ({"RAG_EMBEDDING_MODEL": "fake/8"}, "fake/8"),
        # One in a folder by its whole path: the service works elsewhere.
        ({"RAG_EMBEDDING_MODEL": "."}, "{cwd}"),
    ],
    ids=["default", "named", "a folder"],
)
def test_a_model_is_asked_for_by_whoever_set_a_name(
    settings: Settings, tmp_path: Path, given: dict[str, str], asked: str
) -> None:
    runtime = {"THOTH_RUNTIME_DIR": str(settings.runtime_dir)}
    environ = {"HOME": str(tmp_path), "RAG_VECTOR_DB_PATH": str(tmp_path / "db")} | runtime
    loaded = Settings.load(cli=given, cwd=tmp_path, environ=environ)
    thoth = Thoth(loaded, autostart=False)
    assert next(thoth._calls.embed(["a"]).requests).body.get("model", "") == asked.format(
        cwd=tmp_path
    )


def test_settings_that_are_none_are_refused() -> None:
    with pytest.raises(SettingsError, match="settings are 'all-MiniLM'"):
        Thoth("all-MiniLM")  # type: ignore[arg-type]


@pytest.mark.parametrize("values", ["text", b"bytes", None, 5])
def test_what_is_no_list_is_refused(values: Any) -> None:
    with pytest.raises(InvalidInput, match="a list of texts is wanted"):
        listed("texts", values)
