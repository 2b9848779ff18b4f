"""A page for each command, from click: what it does, usage, options, examples and exit codes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click

from cli.examples import COMMON, Examples, examples_of
from cli.main import thoth
from cli.options import common
from cli.supervisor import supervisor
from docs.generate.marks import placed
from docs.generate.unlike import UNLIKE

PROGRAMS: dict[str, click.Group] = {"thoth": thoth, "thoth-supervisor": supervisor}


@common
def _none() -> None: ...


#: The options that all commands take; the page of all commands has them.
_COMMON = {name for option in getattr(_none, "__click_params__") for name in option.opts}  # noqa: B009


def command_pages(folder: Path) -> dict[str, str]:
    """File name to text, of a page for each command of the two programs and of the page that
    lists them, of which only the list is made."""
    index = folder / "commands" / "index.md"
    made: dict[str, str] = {}
    tables: list[str] = []
    for program, group in PROGRAMS.items():
        context = click.Context(group, info_name=program)
        rows = []
        for name, command in _commands(group, context):
            file = f"{program}-{name}.md"
            made[file] = _page(command, click.Context(command, info_name=name, parent=context))
            what = command.get_short_help_str(limit=200)
            rows.append(f"| [`{program} {name}`]({file}) | {_cell(what)} |")
        tables.append(f"## {program}\n\n| command | does |\n|---|---|\n" + "\n".join(rows))
    tree = "\n".join(file.removesuffix(".md") for file in made)
    toc = f"```{{toctree}}\n:hidden:\n\n{tree}\n```"
    made["index.md"] = placed(index.read_text("utf-8"), "\n\n".join([*tables, toc]))
    return made


def every_command() -> Iterator[tuple[str, click.Command]]:
    """Each command and group with its path, as ``("thoth collections list", …)``."""
    for program, group in PROGRAMS.items():
        yield from _walk(program, group, click.Context(group, info_name=program))


def _walk(
    path: str, command: click.Command, context: click.Context
) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, each in _commands(command, context):
            inner = click.Context(each, info_name=name, parent=context)
            yield from _walk(f"{path} {name}", each, inner)


def _commands(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if not command.hidden:
            yield name, command


def _page(command: click.Command, context: click.Context) -> str:
    sections = "\n\n".join(_section(command, context, level=2))
    return (
        f"# {context.command_path}\n\n{sections}\n\n"
        "The options and the exit codes that all commands have: [the commands](index.md).\n"
    )


def _section(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    yield _prose(command.help or "")
    usage = " ".join(command.get_usage(context).split())
    yield f"```text\n{usage}\n```"
    options = [_row(option, context) for option in command.get_params(context)]
    rows = [row for row in options if row]
    if rows:
        yield "| option | is |\n|---|---|\n" + "\n".join(rows)
    told = examples_of(command)
    if told is not None:
        yield f"{'#' * level} Examples{_of(context, level)}"
        yield from _examples(told)
    if not isinstance(command, click.Group):
        yield from _exits(told, f"{'#' * level} Exit codes{_of(context, level)}")
        return
    for name, each in _commands(command, context):
        inner = click.Context(each, info_name=name, parent=context)
        yield f"{'#' * level} {inner.command_path}"
        yield from _section(each, inner, level + 1)


def _of(context: click.Context, level: int) -> str:
    """Headings of one page differ, so that each has an address."""
    return "" if level == 2 else f" of {context.command_path}"


def _prose(text: str) -> str:
    """Paragraphs of a docstring, in lines of their own; one after \\b as it is."""
    parts = [part for part in inspect.cleandoc(text).split("\n\n") if part.strip()]
    return "\n\n".join(
        "```text\n" + part.strip("\b\n") + "\n```"
        if part.lstrip("\n").startswith("\b")
        else _escaped(" ".join(part.split()))
        for part in parts
    )


def _row(param: click.Parameter, context: click.Context) -> str:
    record = param.get_help_record(context) if isinstance(param, click.Option) else None
    if record is None or _COMMON & set(param.opts) or "--help" in param.opts:
        return ""
    names, what = record
    names = names.replace("|", "\\|")
    return f"| `{names}` | {_cell(what)} |"


def _examples(told: Examples) -> Iterator[str]:
    """A block for each, so that each can be run, or not, in its own way."""
    for line, what in told.lines:
        comment = UNLIKE.get(line)
        parts = [f"{what[0].upper()}{what[1:]}:", f"```sh\n{line}\n```"]
        if comment:
            parts[1] = f"{comment}\n{parts[1]}"
        yield "\n\n".join(parts)


def _exits(told: Examples | None, heading: str) -> Iterator[str]:
    if told is None or not told.exits:
        return
    codes = {**COMMON, **told.exits}
    rows = "\n".join(f"| {code} | {_cell(what)} |" for code, what in sorted(codes.items()))
    yield heading
    yield f"| code | meaning |\n|---|---|\n{rows}"


def _cell(text: str) -> str:
    return _escaped(text).replace("|", "\\|").replace("\n", " ")


def _escaped(text: str) -> str:
    return re.sub(r"([<*_])", r"\\\1", text)
