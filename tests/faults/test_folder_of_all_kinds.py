"""One folder with files of all formats, good and bad: the good ones are found, with their right
places; each bad one is reported with its reason; nothing hangs and memory has a bound.

``THOTH_LARGE=1`` writes the large text with 40 MB instead of 4.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import many_kinds
from tests.support.many_kinds import Kinds
from tests.support.service import RealService
from thoth_core import Row, Thoth

LARGE = 40_000_000 if os.environ.get("THOTH_LARGE") else 4_000_000
#: Of the client; its reader has a bound of its own.
MOST_MB = 700 if LARGE > 10_000_000 else 350


class Run:
    """The ingest of the folder, as the command tells of it."""

    def __init__(self, service: RealService, kinds: Kinds) -> None:
        gone = kinds.root / "vanishing" / "gone.txt"
        begun = time.monotonic()
        command = service.popen("thoth", "ingest", str(kinds.root), "--events", "-q")
        self.peak_mb = 0.0
        watch = threading.Thread(target=self._watch, args=(command,))
        watch.start()
        self.events: list[dict[str, Any]] = []
        assert command.stdout is not None and command.stderr is not None
        for line in command.stdout:
            gone.unlink(missing_ok=True)
            self.events.append(json.loads(line))
        self.said = command.stderr.read()
        self.code = command.wait(30)
        watch.join()
        command.stdout.close()
        command.stderr.close()
        self.seconds = time.monotonic() - begun
        self.report = self.events[-1]

    def _watch(self, command: subprocess.Popen[str]) -> None:
        while command.poll() is None:
            try:
                status = Path(f"/proc/{command.pid}/status").read_text()
            except OSError:
                return
            for line in status.splitlines():
                if line.startswith("VmHWM"):
                    self.peak_mb = int(line.split()[1]) / 1024
            time.sleep(0.1)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Kinds:
    return many_kinds.make(tmp_path_factory.mktemp("kinds"), LARGE)


@pytest.fixture(scope="module")
def service() -> Iterator[RealService]:
    service = RealService.make(
        os.environ.get("THOTH_PROOF_MODEL", "fake/32"),
        THOTH_FAULTS="1",
        THOTH_READ_TIMEOUT="20",
        THOTH_READ_MEMORY_MB="768",
    )
    try:
        yield service.start()
    finally:
        service.close()


@pytest.fixture(scope="module")
def run(service: RealService, kinds: Kinds) -> Run:
    return Run(service, kinds)


@pytest.fixture(scope="module")
def thoth(service: RealService) -> Iterator[Thoth]:
    with service.client() as client:
        yield client


@pytest.mark.timeout(600)
def test_the_run_ends_and_says_that_a_part_failed(run: Run, kinds: Kinds) -> None:
    print(f"{run.seconds:.1f} s, {run.peak_mb:.0f} MB, {run.report}")
    assert run.code == 3, run.said
    assert "Traceback" not in run.said
    files = run.report["files"]
    assert files["new"] == len(kinds.good) + len(kinds.empty)
    assert len(files["failed"]) == len(kinds.bad)
    assert run.peak_mb < MOST_MB


def test_each_bad_file_is_reported_with_its_reason(run: Run, kinds: Kinds) -> None:
    told = {each["source"]: each["reason"] for each in run.report["files"]["failed"]}
    assert set(told) == {str(path) for path in kinds.bad}
    for path, reason in kinds.bad.items():
        assert told[str(path)], path
        assert reason in told[str(path)], path
    by_event = {e["source"]: e["reason"] for e in run.events if e.get("outcome") == "failed"}
    assert by_event == told


def test_each_good_file_is_found_with_its_place(run: Run, kinds: Kinds, thoth: Thoth) -> None:
    wrong = []
    for path, phrase, place in kinds.good:
        row = _row_with(thoth, path, phrase)
        if row is None:
            wrong.append((path.name, "not found"))
            continue
        wrong += [
            (path.name, f"{name} {value}: {row}")
            for name, value in place.items()
            if not _is_there(name, value, phrase, row)
        ]
        assert row.text is not None
        # As somebody finds it who knows what it says.
        [hit] = thoth.query(row.text, k=1, where={"source": str(path)})
        assert hit.text == row.text
    assert wrong == []


def _is_there(name: str, value: Any, phrase: str, row: Row) -> bool:
    assert row.text is not None and row.metadata is not None
    if name == "heading":
        # Above the chunk's first line, or in the chunk before the phrase.
        above = row.text[: row.text.index(phrase)].splitlines()
        path = str(row.metadata.get("heading", "")).split(" > ")
        return value in path or value in [line.strip("# ") for line in above]
    first = row.metadata["line_start" if name == "line" else name]
    return bool(first <= value <= row.metadata[f"{name}_end"])


def _row_with(thoth: Thoth, path: Path, phrase: str) -> Row | None:
    rows = list(thoth.get(where={"source": str(path)}, where_document={"$contains": phrase}))
    return rows[0] if rows else None


def test_what_is_no_file_to_read_is_passed_over_and_counted(run: Run, kinds: Kinds) -> None:
    skipped = run.report["files"]["skipped"]
    print(skipped)
    # .hidden.txt; the pipe; picture.png; the loop; the link to itself.
    assert sum(skipped.values()) == 5, skipped
    assert skipped["hidden"] == 1 and skipped["special"] == 1


def test_a_second_run_reads_only_what_failed(run: Run, service: RealService, kinds: Kinds) -> None:
    done = service.run("thoth", "ingest", str(kinds.root), "--json", "-q", timeout=300)
    assert done.returncode == 3, done.stderr
    report = json.loads(done.stdout)
    assert report["files"]["unchanged"] == len(kinds.good) + len(kinds.empty)
    assert (report["embedded"], report["files"]["new"]) == (0, 0)
    # What was deleted is not there to fail again.
    assert len(report["files"]["failed"]) == len(kinds.bad) - 1
