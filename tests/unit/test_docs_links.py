"""The links of the pages that the site does not have: README.md and CHANGELOG.md. Those of docs/
are checked when the site is made (make docs)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
MARKDOWN = MarkdownIt("commonmark").enable("table")


def links(page: Path) -> Iterator[str]:
    for token in MARKDOWN.parse(page.read_text("utf-8")):
        for child in token.children or ():
            href = child.attrs.get("href") or child.attrs.get("src")
            if href and "://" not in str(href):
                yield str(href)


def anchors(page: Path) -> set[str]:
    """As GitHub names them."""
    tokens = MARKDOWN.parse(page.read_text("utf-8"))
    heads = [after.content for one, after in pairwise(tokens) if one.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md"])
def test_each_link_leads_to_a_page_and_to_a_heading_of_it(name: str) -> None:
    lost = []
    for link in links(ROOT / name):
        path, _, anchor = link.partition("#")
        page = ROOT / (path or name)
        if not page.exists() or (anchor and anchor not in anchors(page)):
            lost.append(link)
    assert lost == []


def test_a_link_to_nowhere_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# The `first` page!\n\n[a](b.md#c) and [here](#the-first-page)\n")
    assert list(links(page)) == ["b.md#c", "#the-first-page"]
    assert anchors(page) == {"the-first-page"}
