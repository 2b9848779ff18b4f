"""The pages by symptom: each has the text that people meet as its title, and says what mends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.doc_blocks import blocks

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "symptoms"
PAGES = sorted(set(FOLDER.glob("*.md")) - {FOLDER / "index.md"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_its_text_as_title_and_a_command_that_mends_it(page: Path) -> None:
    text = page.read_text("utf-8")
    title = text.splitlines()[0]
    assert title.startswith('# "'), title
    assert blocks(text), "no command"


def test_the_readme_leads_to_those_that_people_come_with() -> None:
    readme = (FOLDER.parents[1] / "README.md").read_text("utf-8")
    for name in ("exit-code-139", "error-loading-hnsw-index", "link-lists-fill-the-disk"):
        assert f"(docs/symptoms/{name}.md)" in readme
