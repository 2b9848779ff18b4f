"""Each command in the documentation is one that there is, with options that it has. What they do
is tried by tests/integration/test_docs_run.py."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from tests.support.doc_blocks import BadPage, blocks, command_lines, inline_commands
from tests.support.usage import PROGRAMS, check_usage

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def check(words: list[str], *, whole: bool) -> None:
    """One command line: ours against its usage, others as far as they are in this repository."""
    if words[0] in PROGRAMS:
        check_usage(words, whole=whole)
    elif words[0] == "make":
        assert all(word in TARGETS for word in words[1:] if "=" not in word), words
    elif words[:2] == ["python", "-m"] and words[2].split(".")[0] in ("tests", "benchmarks"):
        assert find_spec(words[2]), words


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_commands_of_its_blocks_are_there(page: Path) -> None:
    for block in blocks(page.read_text("utf-8")):
        if block.language != "python":
            for words in command_lines(block.commands):
                try:
                    check(words, whole=True)
                except click.UsageError as problem:
                    pytest.fail(f"{name(page)}:{block.line}: {words}: {problem.format_message()}")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_commands_of_its_text_are_there(page: Path) -> None:
    for line, text in inline_commands(page.read_text("utf-8")):
        for words in command_lines(text):
            try:
                check(words, whole=False)
            except click.UsageError as problem:
                pytest.fail(f"{name(page)}:{line}: {text}: {problem.format_message()}")


@pytest.mark.parametrize(
    "line",
    ["thoth no-such", "thoth query a --no-such", "thoth-supervisor start now", "thoth import"],
)
def test_a_command_that_there_is_not_is_found(line: str) -> None:
    [words] = command_lines(line)
    with pytest.raises(click.UsageError):
        check_usage(words, whole=True)


def test_a_block_says_how_it_is_run() -> None:
    page = (
        "<!-- before: mkdir a -->\n<!-- run: DIR=a/b, exit 3 -->\n```sh\nthoth ingest DIR\n```\n"
        "\n<!-- not run: needs root -->\n```console\n$ sudo reboot\nbye\n```\n"
    )
    first, second = blocks(page)
    assert (first.before, first.shell, first.exit_code) == ("mkdir a", "thoth ingest a/b\n", 3)
    assert (second.commands, second.reason) == ("sudo reboot\n", "needs root")


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ("    thoth stats\n", "fenced"),
        ("```\nthoth stats\n```\n", "no kind"),
        ("```text\nthoth stats\n```\n", "a command in"),
        ("<!-- not run: because -->\n\nand then\n", "no block follows"),
        ("<!-- run: fast -->\n```sh\ntrue\n```\n", "not understood"),
        ("<!-- not ran: because -->\n```sh\ntrue\n```\n", "not understood"),
        ("```console\nthoth stats\n```\n", "begins with"),
    ],
)
def test_a_page_that_hides_a_command_is_refused(page: str, why: str) -> None:
    with pytest.raises(BadPage, match=why):
        blocks(page)


def test_the_words_of_a_command_are_found_between_those_of_the_shell() -> None:
    shell = (
        "A=1 thoth stats | tail -1  # and more; thoth\n"
        "cat > f <<'END'\nthoth no-such\nEND\n"
        "while true; do thoth-supervisor start --foreground; sleep 1; done\n"
        "thoth query 'a; b' \\\n  -k 3 > out\n"
    )
    assert list(command_lines(shell)) == [
        ["thoth", "stats"],
        ["tail", "-1"],
        ["cat"],
        ["while", "true"],
        ["thoth-supervisor", "start", "--foreground"],
        ["sleep", "1"],
        ["thoth", "query", "a; b", "-k", "3"],
    ]
