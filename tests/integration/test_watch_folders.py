"""``thoth watch``: whatever becomes of files, the collection is soon what a fresh ingest makes."""

from __future__ import annotations

import json
import queue
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import RealService, wait_for
from tests.support.synced import Folder, content
from thoth_core import ServiceUnavailable, Thoth

#: Seconds for what takes one or two on a quiet machine.
LONG = 90.0


class Watch:
    """A ``thoth watch`` and what it says."""

    def __init__(self, service: RealService, *arguments: str) -> None:
        self.process: subprocess.Popen[str] = service.popen("thoth", "watch", *arguments)
        self.events: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self._news: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._threads = [
            threading.Thread(target=self._read_events),
            threading.Thread(target=self._read_errors),
        ]
        for thread in self._threads:
            thread.start()

    def _read_events(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._news.put(json.loads(line))
        self._news.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)

    def until(self, check: Callable[[], bool]) -> None:
        """Read on, run by run, until ``check`` holds."""
        end = time.monotonic() + LONG
        while not check():
            event = self._news.get(timeout=max(0.1, end - time.monotonic()))
            assert event is not None, self.errors
            self.events.append(event)
            # Only a run that is over can have changed what is stored.
            while event["event"] != "synced":
                event = self._news.get(timeout=max(0.1, end - time.monotonic()))
                assert event is not None, self.errors
                self.events.append(event)

    def runs(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == "synced"]

    def end(self) -> None:
        self.process.kill()
        self.process.wait(30)
        for thread in self._threads:
            thread.join(30)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "docs", random.Random(3))


@pytest.fixture
def watch(running: RealService, thoth: Thoth, folder: Folder) -> Iterator[Watch]:
    folder.write(40)
    made = Watch(running, "--events", str(folder.path))
    made.until(lambda: len(made.runs()) == 1)
    yield made
    made.end()


def _is_up(service: RealService) -> bool:
    try:
        return bool(service.status()["state"] == "ready")
    except ServiceUnavailable:
        return False


def alike(thoth: Thoth, *paths: Path) -> bool:
    """Whether the collection is what a fresh ingest of the folders makes."""
    thoth.ingest(paths, "fresh")
    fresh = content(thoth, "fresh")
    thoth.delete_collection("fresh")
    return content(thoth) == fresh


def test_a_hundred_files_that_change_in_five_seconds_are_in_step_soon(
    thoth: Thoth, folder: Folder, watch: Watch
) -> None:
    begun = time.monotonic()
    for step in range(20):
        folder.stir(5)
        # As people and programs do it: not all in one moment.
        time.sleep(max(0.0, begun + (step + 1) * 0.2 - time.monotonic()))
    changed = time.monotonic()
    watch.until(lambda: alike(thoth, folder.path))
    print(
        f"in step {time.monotonic() - changed:.1f} s after 100 changes in {changed - begun:.1f} s"
    )
    outcomes = {e["outcome"] for e in watch.events if e["event"] == "file"}
    assert outcomes <= {"new", "changed", "moved", "removed"}
    assert not [run for run in watch.runs() if run["files"]["failed"]]
    watch.process.send_signal(signal.SIGINT)
    assert watch.process.wait(LONG) == 130


def test_a_renamed_file_and_a_renamed_folder_embed_nothing(
    running: RealService, thoth: Thoth, folder: Folder, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    folder.write(10)
    watch = Watch(running, "--events", str(folder.path), str(other))
    try:
        watch.until(lambda: len(watch.runs()) == 1)
        embedded = watch.runs()[0]["embedded"]
        (folder.path / "0.txt").rename(other / "zero.txt")
        watch.until(lambda: alike(thoth, folder.path, other))
        moved = [e for e in watch.events if e["event"] == "file" and e["outcome"] == "moved"]
        assert [(e["from"], e["source"]) for e in moved] == [
            (str(folder.path / "0.txt"), str(other / "zero.txt"))
        ]
        (folder.path / "inner").mkdir()
        for n in range(1, 6):
            (folder.path / f"{n}.txt").rename(folder.path / "inner" / f"{n}.txt")
        (folder.path / "inner").rename(other / "inner")
        watch.until(lambda: alike(thoth, folder.path, other))
        assert sum(run["embedded"] for run in watch.runs()) == embedded
    finally:
        watch.end()


def test_it_goes_on_when_the_service_and_the_folder_are_made_again(
    running: RealService, thoth: Thoth, folder: Folder, watch: Watch
) -> None:
    folder.stir(5)
    running.stop()
    folder.stir(10)
    # It starts the service again by itself, since it has something to store.
    wait_for(lambda: _is_up(running), LONG, "the service is there again")
    folder.new()
    watch.until(lambda: alike(thoth, folder.path))
    # A folder that is gone may be a disk that was taken out: what is stored stays.
    before = content(thoth)
    number = folder.path.stat().st_ino
    shutil.rmtree(folder.path)
    # Most file systems give it the number that it had.
    folder.path.mkdir()
    print("the same number:", folder.path.stat().st_ino == number)
    file = folder.new()
    watch.until(lambda: content(thoth).sources == {str(file)})
    assert before.sources - {str(file)}
    (folder.path / ".thothignore").write_text(file.name)
    watch.until(lambda: content(thoth).sources == set())


def test_a_folder_that_is_gone_leaves_what_is_stored(
    running: RealService, thoth: Thoth, folder: Folder, watch: Watch, tmp_path: Path
) -> None:
    before = content(thoth)
    folder.path.rename(tmp_path / "away")
    end = time.monotonic() + LONG
    while not any("is gone" in line for line in watch.errors):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert content(thoth) == before
    (tmp_path / "away").rename(folder.path)
    file = folder.new()
    watch.until(lambda: str(file) in content(thoth).sources)
    assert content(thoth).sources == before.sources | {str(file)}


def test_a_folder_that_was_given_is_taken_though_another_one_leaves_it_out(
    running: RealService, thoth: Thoth, folder: Folder
) -> None:
    (folder.path / ".gitignore").write_text("build/\n")
    outer = folder.new()
    build = Folder(folder.path / "build", random.Random(4))
    inner = build.new()
    watch = Watch(running, "--events", str(folder.path), str(build.path))
    try:
        watch.until(lambda: len(watch.runs()) == 1)
        assert content(thoth).sources == {str(outer), str(inner)}
        new = build.new()
        watch.until(lambda: content(thoth).sources == {str(outer), str(inner), str(new)})
        # In a folder that is there it is pruned, and is no disk that was taken out.
        shutil.rmtree(build.path)
        watch.until(lambda: content(thoth).sources == {str(outer)})
        build.path.mkdir()
        new = build.new()
        watch.until(lambda: content(thoth).sources == {str(outer), str(new)})
        assert not any("is gone" in line for line in watch.errors)
    finally:
        watch.end()


def test_what_is_no_folder_is_refused(running: RealService, tmp_path: Path) -> None:
    done = running.run("thoth", "watch", str(tmp_path / "nowhere"))
    assert done.returncode == 2 and "is no folder" in done.stderr
