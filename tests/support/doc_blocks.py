"""The blocks of the documentation and what is to be done with each. Pure: text in, values out.

Each block of code is fenced and says what it is. ``sh``, ``console`` (of which the lines after
``$`` are commands, and the rest is what they print) and ``python`` are run. Comments right above a
block, which no reader sees, say how:

    <!-- before: COMMANDS -->         shell that makes what the block builds on
    <!-- run: DIR=old, exit 1 -->     words to put in place of others, and how its command ends
    <!-- between: COMMANDS -->        shell that is run after each of its lines
    <!-- shows: WORDS -->             what its output has to hold; given once or more
    <!-- not run: REASON -->          it is only held against the usage of the commands
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.token import Token

RUN = frozenset({"sh", "console", "python"})
#: What is never run: what programs print and files hold.
SHOWN = frozenset({"text", "json", "ini", "toml", "{toctree}"})

_COMMENT = re.compile(r"<!--\s*(before|between|run|shows|not run):\s*(.+?)\s*-->", re.DOTALL)
_EXIT = re.compile(r"exit (\d+)")
_OURS = ("thoth", "thoth-supervisor")
_ASSIGNED = re.compile(r"[A-Z_]+=")
#: What begins another command in a line of shell.
_BETWEEN = re.compile(r"[;|&()]+|do|done|\$")


class BadPage(ValueError):
    """A page that does not keep to the form of the blocks."""


@dataclass(frozen=True)
class Block:
    """A fenced block. ``commands`` are its lines of shell, or the program of a Python block."""

    line: int
    language: str
    commands: str
    before: str = ""
    between: str = ""
    reason: str = ""
    replaced: dict[str, str] = field(default_factory=dict)
    exit_code: int = 0
    shows: tuple[str, ...] = ()

    @property
    def shell(self) -> str:
        """The commands as they are run."""
        text = self.commands
        for word, other in self.replaced.items():
            text = re.sub(rf"(?<![\w-]){re.escape(word)}(?![\w-])", lambda _, o=other: o, text)
        if self.between:
            text = "".join(f"{line}\n{self.between}\n" for line in text.splitlines())
        return text


def blocks(page: str) -> list[Block]:
    """All that are run, or held against the usage, in order. Raises :class:`BadPage`."""
    found: list[Block] = []
    comments: list[tuple[str, str]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(page):
        if token.type == "html_block":
            matches = [(match[1], match[2]) for match in _COMMENT.finditer(token.content)]
            if "<!-- " in token.content and not matches and _looks_like_ours(token.content):
                raise BadPage(f"not understood: {token.content.strip()}")
            comments += matches
            continue
        if token.type == "code_block":
            raise BadPage(f"line {_line(token)}: a block is fenced, and says what it is")
        if token.type != "fence":
            if comments:
                raise BadPage(f"line {_line(token)}: a comment that no block follows: {comments}")
            continue
        if token.info not in RUN | SHOWN:
            raise BadPage(f"line {_line(token)}: {token.info or 'nothing'} is no kind of block")
        if token.info in RUN:
            found.append(_block(token, comments))
        elif comments:
            raise BadPage(f"line {_line(token)}: {token.info} is not run anyway")
        elif _starts_with_ours(token.content):
            raise BadPage(f"line {_line(token)}: a command in a block of {token.info}")
        comments = []
    return found


def inline_commands(page: str) -> Iterator[tuple[int, str]]:
    """Each command line of ours in the running text, with the line of its paragraph."""
    for token in MarkdownIt("commonmark").enable("table").parse(page):
        for child in token.children or ():
            if child.type == "code_inline" and _starts_with_ours(child.content):
                yield _line(token), child.content


def command_lines(shell: str) -> Iterator[list[str]]:
    """The words of each simple command in lines of shell: without assignments, redirections and
    comments. What is in a here document is none."""
    lines = iter(shell.replace("\\\n", " ").splitlines())
    for line in lines:
        here = re.search(r"<<-?\s*'?(\w+)'?", line)
        if here:
            for inner in lines:
                if inner.strip() == here[1]:
                    break
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        yield from _simple(list(lexer))


def _simple(words: list[str]) -> Iterator[list[str]]:
    command: list[str] = []
    skip = False
    for word in [*words, ";"]:
        if skip:
            skip = False
        elif _BETWEEN.fullmatch(word):
            if command:
                yield command
            command = []
        elif word in (">", ">>", "<", "<<", "2>"):
            skip = True
        elif command or not _ASSIGNED.match(word):
            command.append(word)


def _block(token: Token, comments: list[tuple[str, str]]) -> Block:
    told: dict[str, str] = {}
    for kind, text in comments:
        told[kind] = f"{told[kind]}\n{text}" if kind in told else text
    replaced, exit_code = {}, 0
    for part in told.get("run", "").split(","):
        ended = _EXIT.fullmatch(part.strip())
        word, is_one, other = part.strip().partition("=")
        if ended:
            exit_code = int(ended[1])
        elif is_one:
            replaced[word] = other
        elif part.strip():
            raise BadPage(f"line {_line(token)}: not understood: {part}")
    commands = token.content
    if token.info == "console":
        commands = "".join(
            f"{line[2:]}\n" for line in commands.splitlines() if line.startswith("$ ")
        )
        if not commands:
            raise BadPage(f"line {_line(token)}: no line begins with $")
    return Block(
        line=_line(token),
        language="python" if token.info == "python" else "sh",
        commands=commands,
        before=told.get("before", ""),
        between=told.get("between", ""),
        reason=told.get("not run", ""),
        replaced=replaced,
        exit_code=exit_code,
        shows=tuple(told["shows"].split("\n")) if "shows" in told else (),
    )


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 0


def _starts_with_ours(text: str) -> bool:
    return any(
        line.split()[:1] and line.split()[0] in _OURS and len(line.split()) > 1
        for line in text.splitlines()
    )


def _looks_like_ours(comment: str) -> bool:
    return bool(re.search(r"<!--\s*(before|between|runs?|shows|not)\b", comment))
