"""``thoth chunks``: what would be made of a file, without a service."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from cli import main as thoth_cli
from cli.run import run
from tests.unit.test_format_docx import document
from tests.unit.test_format_pdf import pdf


@pytest.fixture
def chunks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("RAG_CHUNK_SIZE", "RAG_CHUNK_OVERLAP", "RAG_CHUNK_ENCODING", "WORKSPACE_DIR"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(thoth_cli.thoth, "thoth", ["chunks", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_each_chunk_has_its_place_and_its_tokens(chunks: Any) -> None:
    first = "First words, nine of them in all, and more."
    Path("guide.md").write_text(f"# Top\n\n{first}\n\n## Part\n\n" + "More of it. " * 12)
    code, out, err = chunks("guide.md", "--size", "20", "--overlap", "0")
    assert code == 0
    lines = out.split("\n")
    assert lines[0] == "--- 0  guide.md:1-3 — Top  (15 tokens)"
    assert lines[1:4] == ["# Top", "", "First words, nine of them in all, and more."]
    assert "--- 1  guide.md:5-7 — Top > Part  (" in out
    assert err.startswith("4 chunks, ") and err.endswith("guide.md (markdown)\n")


def test_formats_whose_parsers_may_crash_are_read_apart(chunks: Any) -> None:
    Path("a.pdf").write_bytes(pdf())
    Path("b.docx").write_bytes(document())
    code, out, _ = chunks("a.pdf", "--json")
    told = json.loads(out)
    assert (code, told["schema_version"], told["format"], told["title"]) == (
        0,
        1,
        "pdf",
        "The title",
    )
    (only,) = told["chunks"]
    assert only["metadata"]["page"] == 1 and only["metadata"]["page_end"] == 3
    assert only["metadata"]["heading"] == "The first part" and only["tokens"] > 20
    code, out, _ = chunks("b.docx", "--size", "30", "--overlap", "5")
    assert code == 0 and "The known sentence." in out and "b.docx — First > Sub" in out


def test_a_scan_and_an_encrypted_file_are_told(chunks: Any) -> None:
    Path("scan.pdf").write_bytes(pdf(((),)))
    code, out, err = chunks("scan.pdf")
    assert (code, out) == (0, "") and "note: there is no text in it, as in a scan" in err
    Path("old.docx").write_bytes(b"\xd0\xcf\x11\xe0 old")
    code, _, err = chunks("old.docx")
    assert code == 2 and "cause: it is an old Word document\nfix: save it as .docx" in err


def test_standard_input_is_what_its_name_or_its_beginning_says(
    chunks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped(monkeypatch, b'{"a": {"b": 1}}')
    code, out, _ = chunks("-", "--name", "x.json", "--json")
    told = json.loads(out)
    assert (code, told["format"], told["chunks"][0]["text"]) == (0, "json", "a.b: 1")
    piped(monkeypatch, b"<!doctype html><p>one")
    assert json.loads(chunks("-", "--json")[1])["format"] == "html"
    piped(monkeypatch, b"")
    code, out, err = chunks("-")
    assert (code, out) == (0, "") and "there is no text in it" in err


def test_wrong_arguments_end_with_2(chunks: Any) -> None:
    Path("a.txt").write_text("text")
    assert chunks("a.txt", "--size", "3")[0] == 2
    assert chunks("a.txt", "--size", "20", "--overlap", "20")[0] == 2
    assert chunks("a.txt", "--name", "b")[0] == 2
    code, _, err = chunks("nothing.txt")
    assert code == 2 and "there is no such file" in err
