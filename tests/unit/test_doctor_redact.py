"""What of logs may be shown to others."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from thoth_core.doctor import redact
from thoth_core.doctor.bundle import write_bundle
from thoth_core.settings import Settings

KEY = "my-own-key-of-a-server"
LINES = [
    "2026-11-30 00:30:00,123 INFO thoth.embed: all-MiniLM-L6-v2 is ready after 1.2 s",
    "2026-11-30 00:30:00,123 INFO thoth.embed: model all-MiniLM-L6-v2 from package: /venv/model",
    "2026-11-30 00:30:00,999 ERROR chromadb.segment: no SECRET",
    "2026-11-30 00:30:01,123 ERROR thoth.embed: cannot tokenise 'the SECRET of the king'",
    "2026-11-30 00:30:01,124 ERROR thoth.embed: bad input: SECRET words without quotes",
    '2026-11-30 00:30:02,123 WARNING thoth.store: row {"text": "SECRET"} is left out',
    "2026-11-30 00:30:02,124 WARNING thoth.store: 'an open SECRET",
    "Traceback (most recent call last):",
    '  File "/venv/lib/model.py", line 12, in embed',
    "    raise ValueError(SECRET)",
    "ValueError: SECRET",
    "a line of a library with a SECRET in it",
    f"2026-11-30 00:30:03,123 ERROR thoth.embed: the server refuses {KEY}, or sk-abc123SECRET",
]


def test_no_text_and_no_key_is_left_of_a_log() -> None:
    shown = "\n".join(redact.log_lines(LINES, KEY))
    assert "SECRET" not in shown and KEY not in shown
    assert "all-MiniLM-L6-v2 is ready after 1.2 s" in shown
    assert 'File "/venv/lib/model.py", line 12, in embed' in shown
    assert "ValueError: …" in shown
    assert "thoth.store: row …" in shown
    assert "thoth.embed: bad input: …" in shown
    assert "chromadb.segment: …" in shown
    assert "model all-MiniLM-L6-v2 from package: /venv/model" in shown
    assert "… 1 lines left out" in shown


def test_the_same_of_json() -> None:
    entry = {
        "time": "2026-11-30T00:30:00.123Z",
        "level": "ERROR",
        "logger": "thoth.embed",
        "pid": 1,
        "worker": "embed-bulk-1",
        "message": "cannot take 'SECRET'\nTraceback (most recent call last):\nKeyError: SECRET",
    }
    shown = redact.log_lines([json.dumps(entry), json.dumps({**entry, "logger": "output"})])
    assert "SECRET" not in "\n".join(shown)
    assert shown[0] == "2026-11-30T00:30:00.123Z ERROR thoth.embed: cannot take …"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("it's the worker's third end", "it's the worker's third end"),
        ("model 'a' and \"b\" differ", "model … and … differ"),
        ("rows [1, 2] differ", "rows … differ"),
        ("one 'that is not closed", "one …"),
        ("x" * 1000, "x" * redact.MOST),
    ],
)
def test_a_message_without_what_it_quotes(text: str, shown: str) -> None:
    assert redact.message(text) == shown


def test_a_death_report_without_what_its_process_wrote() -> None:
    death = {
        "id": "1",
        "output": ["SECRET", LINES[0]],
        "reason": "SIGSEGV",
        "failure": {
            "code": "model_not_found",
            "message": "no 'SECRET'",
            "details": {"x": "SECRET"},
        },
        "stacks": {"threads": []},
    }
    shown = redact.report(death)
    assert "SECRET" not in json.dumps(shown)
    assert shown["id"] == "1" and len(shown["output"]) == 2
    assert shown["failure"] == {"code": "model_not_found", "message": "no …"}


def test_a_key_is_nowhere() -> None:
    value = {"a": [f"x {KEY} y", {"b": "sk-abcdefgh"}], "n": 1, "none": None}
    assert redact.everywhere(value, KEY) == {"a": ["x … y", {"b": "sk-…"}], "n": 1, "none": None}


def test_a_bundle_does_not_name_the_collection_that_is_set(tmp_path: Path) -> None:
    names = {"RAG_COLLECTION_NAME": "cormorant", "RAG_EMBEDDING_MODEL": "fake/8"}
    settings = Settings.load(names, tmp_path, {"HOME": str(tmp_path)})
    write_bundle(tmp_path / "b.zip", [], settings, None)
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        content = {name: archive.read(name).decode() for name in archive.namelist()}
    rows = {row["name"]: row["value"] for row in json.loads(content["settings.json"])}
    assert (rows["RAG_COLLECTION_NAME"], rows["RAG_EMBEDDING_MODEL"]) == ("set", "fake/8")
    assert "cormorant" not in "".join(content.values())
