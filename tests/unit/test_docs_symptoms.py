"""The pages by symptom: each ends in one command, which there is, and is named where one looks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cli.main import COMMANDS

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = [
    "exit-code-139",
    "error-loading-hnsw-index",
    "link-lists-fill-the-disk",
    "poison-input",
]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_ends_in_one_command(name: str) -> None:
    lines = (DOCS / f"{name}.md").read_text().rstrip().splitlines()
    assert lines[-2] == ""
    command = re.fullmatch(r"    thoth (\w+) (?:DIR|retry KEY)", lines[-1])
    assert command is not None
    assert command[1] in COMMANDS


@pytest.mark.parametrize("name", PAGES)
def test_the_readme_leads_to_it(name: str) -> None:
    assert f"(docs/{name}.md)" in (DOCS.parent / "README.md").read_text()


@pytest.mark.parametrize("name", [*PAGES, "rescue", "ledger-damaged"])
def test_its_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([\w.-]+\.md)\)", (DOCS / f"{name}.md").read_text()):
        assert (DOCS / target).is_file(), target
