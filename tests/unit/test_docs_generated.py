"""What is made from the code is committed as it would be made now, and each command has examples
that parse."""

from __future__ import annotations

import click
import pytest

from cli.examples import examples_of
from docs.generate.__main__ import FOLDER, stale
from docs.generate.commands import every_command
from docs.generate.unlike import UNLIKE
from tests.support.doc_blocks import command_lines
from tests.support.usage import PROGRAMS, check_usage

COMMANDS = dict(every_command())


def test_no_generated_page_is_stale() -> None:
    names = [str(page.relative_to(FOLDER.parent)) for page in stale()]
    assert names == [], "python -m docs.generate writes them"


def test_every_command_has_examples() -> None:
    assert [path for path, command in COMMANDS.items() if examples_of(command) is None] == []


@pytest.mark.parametrize("path", COMMANDS)
def test_its_examples_parse_and_are_of_this_command(path: str) -> None:
    told = examples_of(COMMANDS[path])
    for line, what in told.lines if told else ():
        ours = [words for words in command_lines(line) if words[0] in PROGRAMS]
        assert any(" ".join(words).startswith(path) for words in ours), line
        assert what and not what.endswith("."), what
        for words in ours:
            try:
                check_usage(words, whole=True)
            except click.UsageError as problem:
                pytest.fail(f"{line}: {problem.format_message()}")


@pytest.mark.parametrize("path", COMMANDS)
def test_its_help_shows_them(path: str) -> None:
    command = COMMANDS[path]
    told = examples_of(command)
    shown = command.get_help(click.Context(command, info_name=path))
    for line, _ in told.lines if told else ():
        assert f"  {line}\n" in shown


def test_what_is_said_of_running_an_example_is_said_of_one_that_there_is() -> None:
    lines = {
        line
        for command in COMMANDS.values()
        if (told := examples_of(command))
        for line, _ in told.lines
    }
    assert UNLIKE.keys() - lines == set()
