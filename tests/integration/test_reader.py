"""Files whose parsers hang, crash or take all memory cost themselves and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.service import wait_for
from thoth_core import Settings
from thoth_core.client.reading import Reading
from thoth_core.documents.base import Document, FileBytes, read_file
from thoth_core.errors import InvalidInput, ThothError

#: Far more than is needed, so that a slow machine fails nothing, but where the end is waited for.
LONG, SHORT = "60", "2"


def reading(timeout: str = LONG, memory: str = "512") -> Reading:
    cli = {"THOTH_READ_TIMEOUT": timeout, "THOTH_READ_MEMORY_MB": memory, "THOTH_FAULTS": "1"}
    return Reading(Settings.load(cli=cli))


@pytest.fixture
def reader() -> Iterator[Reading]:
    with reading() as one:
        yield one


def apart(folder: Path, text: str | bytes, name: str = "a.txt") -> FileBytes:
    """A file that is read apart, whatever its format."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    file = read_file(path)
    return replace(file, format=replace(file.format, apart=True))


def failure(reader: Reading, file: FileBytes) -> ThothError:
    with pytest.raises(InvalidInput) as caught:
        reader.document(file)
    assert caught.value.details["source"] == file.source
    return caught.value


def pid_of(reader: Reading) -> int:
    assert reader._child is not None
    return reader._child._child.pid


def test_a_document_is_the_same_from_there_as_from_here(reader: Reading, tmp_path: Path) -> None:
    file = apart(tmp_path, "# One\r\n\r\ntext 漢\n", "a.md")
    here = replace(file, format=replace(file.format, apart=False))
    found = reader.document(file)
    assert found == reader.document(here)
    assert isinstance(found, Document) and found.title == "One"
    process = pid_of(reader)
    assert reader.document(apart(tmp_path, "another")).text == "another"
    assert pid_of(reader) == process, "one process reads many files"


def test_a_large_file_goes_there_and_back(reader: Reading, tmp_path: Path) -> None:
    text = "0123456789 line\n" * 2_500_000
    assert reader.document(apart(tmp_path, text)).text == text


def test_what_the_parser_refuses_is_told_as_it_says_it(reader: Reading, tmp_path: Path) -> None:
    assert "zero byte" in failure(reader, apart(tmp_path, b"a\0b" * 50)).details["reason"]
    process = pid_of(reader)
    reader.document(apart(tmp_path, "good"))
    assert pid_of(reader) == process, "a refusal is no reason for a new process"


@pytest.mark.parametrize(("fault", "said"), [("!segv", "SIGSEGV"), ("!exit3", "exit code 3")])
def test_a_crash_costs_one_file(reader: Reading, tmp_path: Path, fault: str, said: str) -> None:
    reader.document(apart(tmp_path, "before"))
    assert said in failure(reader, apart(tmp_path, fault)).details["reason"]
    assert reader.document(apart(tmp_path, "after")).text == "after"


@pytest.mark.parametrize("fault", ["!hang", "!gil"])
def test_a_parser_that_does_not_return_is_ended(tmp_path: Path, fault: str) -> None:
    with reading(SHORT) as reader:
        error = failure(reader, apart(tmp_path, fault))
        assert error.details["reason"] == "its parser failed: it was not done after 2 s"
        assert error.fix == "give it longer if it is worth it: THOTH_READ_TIMEOUT=20"
        assert reader._child is None
    with reading() as reader:
        assert reader.document(apart(tmp_path, "after")).text == "after"


def test_a_parser_that_takes_8_gb_fails_by_its_bound(reader: Reading, tmp_path: Path) -> None:
    reader.document(apart(tmp_path, "before"))
    error = failure(reader, apart(tmp_path, "!take:8000"))
    assert error.details["reason"] == "its parser takes more than 512 MB"
    assert "THOTH_READ_MEMORY_MB=2048" in error.fix
    assert reader.document(apart(tmp_path, "after")).text == "after"


def test_a_process_that_died_of_earlier_files_costs_none(reader: Reading, tmp_path: Path) -> None:
    reader.document(apart(tmp_path, "before"))
    os.kill(pid_of(reader), signal.SIGKILL)
    assert reader.document(apart(tmp_path, "after")).text == "after"


def test_a_tick_can_end_it(tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def tick() -> None:
        raise Enough

    with reading() as reader:
        reader._tick = tick
        with pytest.raises(Enough):
            reader.document(apart(tmp_path, "!hang"))
        assert reader._child is None


def test_it_ends_with_whoever_started_it(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("!hang")
    program = (
        "import sys; from dataclasses import replace; from pathlib import Path\n"
        "from thoth_core import Settings; from thoth_core.client.reading import Reading\n"
        "from thoth_core.documents.base import read_file\n"
        "file = read_file(Path(sys.argv[1]))\n"
        "r = Reading(Settings.load(cli={'THOTH_FAULTS': '1'}))\n"
        "r._tick = lambda: print(r._child._child.pid, flush=True)\n"
        "r.document(replace(file, format=replace(file.format, apart=True)))\n"
    ).replace("\\\n", "\n")
    caller = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "a.txt")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert caller.stdout is not None
        child = int(caller.stdout.readline())
        assert _lives(child)
        caller.kill()
        caller.wait()
        wait_for(lambda: not _lives(child), 10, "the reader has ended")
    finally:
        caller.kill()
        caller.wait()
        if caller.stdout is not None:
            caller.stdout.close()


def test_files_that_crash_do_not_wait_for_their_limit(reader: Reading, tmp_path: Path) -> None:
    begun = time.monotonic()
    failure(reader, apart(tmp_path, "!segv"))
    assert time.monotonic() - begun < float(LONG) / 2


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
