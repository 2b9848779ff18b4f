"""Each command and each Python program in README.md and docs/ is run as it stands there, against
one service with the real model, in a folder that has what the pages speak of. How a page says what
its block builds on, or that it cannot be run, is in tests/support/doc_blocks.py."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

from cli.run import run
from tests.support.doc_blocks import Block, blocks
from tests.support.openai_server import OpenAIServer
from tests.support.service import BIN, RealService
from tests.support.usage import PROGRAMS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: What takes minutes, changes the machine, or belongs to a clone of this repository.
ELSEWHERE = re.compile(
    r"(make|python3 -m venv|\.venv/bin/pip|python -m (benchmarks|tests|pytest))\b"
)
#: Pages whose commands are all called by a shell.
BY_SHELL = ("README", "install", "first-ten-minutes")
pytestmark = pytest.mark.timeout(300)

#: Runs a command that has no end: interrupts it when it has printed something.
UNTIL_IT_SPEAKS = """\
import signal, subprocess, sys
with subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as told:
    first = told.stdout.readline()
    told.send_signal(signal.SIGINT)
    rest = told.stdout.read()
sys.stdout.buffer.write(first + rest)
sys.exit(0 if first and told.returncode in (0, 130) else f"ended by itself: {told.returncode}")
"""
ENDLESS = re.compile(
    r"^(thoth-supervisor (?:status .*--watch|logs .*-f\b|start .*--foreground)|thoth watch\b)", re.M
)


@dataclass
class Desk:
    """``folder`` is where the commands are called."""

    service: RealService
    folder: Path
    env: dict[str, str]

    def run(self, commands: str) -> subprocess.CompletedProcess[str]:
        """Those of ours without a process for each, where nothing of a shell is in them."""
        lines = [shlex.split(line, comments=True) for line in commands.splitlines()]
        lines = [words for words in lines if words]
        if ENDLESS.search(commands) or not all(_is_plain(words) for words in lines):
            return self.shell(commands)
        with in_process(self.env, self.folder) as told:
            for words in lines:
                code = run(PROGRAMS[words[0]], words[0], words[1:])
                if code:
                    break
        return subprocess.CompletedProcess(commands, code, told.out(), told.err())

    def shell(self, commands: str) -> subprocess.CompletedProcess[str]:
        commands = ENDLESS.sub(rf"{sys.executable} {self.folder}/until_it_speaks.py \1", commands)
        return subprocess.run(
            ["bash", "-e", "-u", "-o", "pipefail", "-v", "-c", commands],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=80,
            env=self.env,
            cwd=self.folder,
        )

    def python(self, program: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            capture_output=True,
            text=True,
            timeout=80,
            env=self.env,
            cwd=self.folder,
        )


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """A folder with ``docs/``, the page of a book to ask about, and ``old/vector_db``, a Chroma
    directory with a collection ``notes``; a service that has read ``docs/``; a chat server."""
    with OpenAIServer() as chat:
        service = RealService.make("", OPENAI_BASE_URL=chat.base_url, API_OPENAI_KEY=chat.key)
        # The model is the one that nobody has to set.
        del service.env["RAG_EMBEDDING_MODEL"]
        env = service.environ()
        env["PATH"] = os.pathsep.join((str(BIN), env["PATH"]))
        made = Desk(service, service.root, env)
        shutil.copytree(ROOT / "docs", made.folder / "docs", ignore=_not_pages)
        shutil.copy(ROOT / "README.md", made.folder)
        (made.folder / "until_it_speaks.py").write_text(UNTIL_IT_SPEAKS)
        try:
            done = made.shell(
                "thoth-supervisor start\n"
                "thoth ingest --collection notes docs/rescue.md docs/export.md\n"
                "thoth-supervisor stop\n"
                "mkdir old\n"
                "cp -r db/thoth/chroma old/vector_db\n"
                "thoth-supervisor start\n"
                "thoth collections delete notes --yes\n"
                "thoth ingest docs/\n"
            )
            assert done.returncode == 0, done.stderr
            yield made
        finally:
            service.close()


def _not_pages(folder: str, names: list[str]) -> list[str]:
    """Enough to be found, and embedded within seconds."""
    few = {"architecture.md", "protocol.md", "rescue.md", "export.md", "ask.md"}
    return [name for name in names if name not in few]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _is_plain(words: list[str]) -> bool:
    return words[0] in PROGRAMS and not any(set(word) <= set("|&;<>()$") for word in words)


@dataclass
class Told:
    """What a command in this process writes."""

    stdout: io.TextIOWrapper
    stderr: io.TextIOWrapper

    def out(self) -> str:
        return _text(self.stdout)

    def err(self) -> str:
        return _text(self.stderr)


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


@contextlib.contextmanager
def in_process(env: dict[str, str], folder: Path) -> Iterator[Told]:
    """Environment, folder and streams as a process of its own would have them."""
    told = Told(io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8"))
    log = logging.getLogger("thoth")
    was = log.level, log.propagate, list(log.handlers)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with (
        Path(os.devnull).open() as nothing,
        mock.patch.dict(os.environ, env, clear=True),
        mock.patch.object(sys, "stdin", nothing),
        mock.patch.object(sys, "stdout", told.stdout),
        mock.patch.object(sys, "stderr", told.stderr),
        contextlib.chdir(folder),
    ):
        try:
            yield told
        finally:
            log.level, log.propagate, log.handlers = was
            for number, handler in handlers.items():
                signal.signal(number, handler)


def run_block(desk: Desk, page: Path, block: Block) -> None:
    """As it stands there; the pages that people begin with by a shell, as they would."""
    where = f"{name(page)}:{block.line}"
    run_it = desk.shell if page.stem in BY_SHELL else desk.run
    if block.before:
        done = desk.run(block.before)
        if done.returncode:
            pytest.fail(f"{where}, before it: {done.stdout}{done.stderr}", pytrace=False)
    if block.reason:
        print(f"{where}: not run: {block.reason}")
        return
    if block.language == "python":
        done = desk.python(block.shell)
    elif all(ELSEWHERE.match(line) for line in block.commands.splitlines() if line.strip()):
        print(f"{where}: not run: it belongs to a clone, or takes minutes")
        return
    else:
        done = run_it(block.shell)
    if done.returncode != block.exit_code:
        said = f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
        pytest.fail(f"{where}: exit code {done.returncode}: {said}", pytrace=False)
    for words in block.shows:
        if words not in done.stdout:
            pytest.fail(f"{where}: {words!r} is not in: {done.stdout}", pytrace=False)


@pytest.mark.parametrize("page", [p for p in PAGES if "```" in p.read_text("utf-8")], ids=name)
def test_what_the_page_says_is_run(desk: Desk, page: Path) -> None:
    for block in blocks(page.read_text("utf-8")):
        run_block(desk, page, block)


def test_a_command_that_fails_is_seen(desk: Desk) -> None:
    with pytest.raises(pytest.fail.Exception, match="no-such-file"):
        run_block(desk, ROOT / "README.md", Block(1, "sh", "thoth ingest no-such-file\ntrue\n"))
    with pytest.raises(pytest.fail.Exception, match="exit code 0"):
        run_block(desk, ROOT / "README.md", Block(1, "sh", "thoth stats\n", exit_code=1))
    with pytest.raises(pytest.fail.Exception, match="'nothing like it' is not in"):
        run_block(
            desk, ROOT / "README.md", Block(1, "sh", "thoth stats", shows=("nothing like it",))
        )
    run_block(
        desk, ROOT / "README.md", Block(1, "sh", "thoth ingest DIR", replaced={"DIR": "docs"})
    )
