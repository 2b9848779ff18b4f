"""A document changes from one moment to the next, whatever ends in the middle of it."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.watching import BULK, TWO_BULK, pids, status, stopped, wait_until_ready
from tests.support.service import RealService, wait_for
from thoth_core import IngestProgress, IngestReport, Thoth

#: More than one call of an ingest holds. More than a step of the index: test_store_documents.py.
CHUNKS = 700
PAGE = 400
#: So often a document is looked at, at least.
LOOKS = 30
SETTINGS = {"RAG_CHUNK_SIZE": "64", "RAG_CHUNK_OVERLAP": "0"}

State = dict[str, str | None]


def text_of(version: str, chunks: int = CHUNKS, seconds: float = 0.0) -> str:
    """A text whose chunks, so many, each name the version; each takes ``seconds`` to embed."""
    slow = f"!slow:{seconds} " if seconds else ""
    words = f"of {version} " * 8
    return "\n\n".join(f"{slow}{version} part {i:04} {words}" for i in range(chunks))


def versions(texts: list[str | None]) -> set[str]:
    return {word for text in texts for word in (text or "").split() if word.startswith("version-")}


def live(thoth: Thoth, source: str) -> State:
    rows = thoth.get(where={"source": source})
    return dict(zip(rows.ids, rows.texts, strict=True))


class Watch(threading.Thread):
    """Looks at a document again and again, by search, by get and by count; ``seen`` says how often
    it had which versions and how many chunks."""

    def __init__(self, service: RealService, source: str) -> None:
        super().__init__(name="watch")
        self.seen: Counter[tuple[str, tuple[str, ...], int]] = Counter()
        self.problem: BaseException | None = None
        self._service = service
        self._source = source
        self._enough = threading.Event()

    def run(self) -> None:
        try:
            with self._service.client() as thoth:
                [vector] = thoth.embed(["a query"])
                where = {"source": self._source}
                while not self._enough.is_set():
                    hits = thoth.search(vector, k=3 * CHUNKS, where=where)
                    self._note("search", [hit.text for hit in hits])
                    # One page: a longer get is several calls, and a commit may come in between.
                    self._note("get", thoth.get(where=where, limit=PAGE).texts)
                    self.seen["count", (), thoth.count()] += 1
        except BaseException as problem:
            self.problem = problem

    def end(self) -> None:
        self._enough.set()
        self.join(60)
        assert self.problem is None, self.problem

    def _note(self, how: str, texts: list[str | None]) -> None:
        self.seen[how, tuple(sorted(versions(texts))), len(texts)] += 1


@contextmanager
def watched(service: RealService, source: str) -> Iterator[Watch]:
    watch = Watch(service, source)
    watch.start()
    try:
        wait_for(lambda: watch.seen or watch.problem, 60, "it has looked at what is there")
        yield watch
    finally:
        watch.end()


def check(watch: Watch, states: dict[tuple[str, ...], int]) -> None:
    """It only saw whole states: as many chunks as each has, by versions."""
    assert sum(watch.seen.values()) > LOOKS
    for (how, found, chunks), times in watch.seen.items():
        allowed = set(states.values()) if how == "count" else {states.get(found)}
        if how == "get" and found in states:
            allowed = {PAGE}
        assert chunks in allowed, f"{how} saw {chunks} chunks of {found}, {times} times"
    for found in states:
        assert any(seen[1] == found for seen in watch.seen), f"{found} was never seen"


@pytest.fixture(scope="module")
def shared() -> Iterator[RealService]:
    """One for the file: whatever a test ends in it comes again."""
    made = RealService.make(THOTH_FAULTS="1", **TWO_BULK, **SETTINGS)
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture
def service(shared: RealService) -> RealService:
    """Ready, and with nothing stored."""
    wait_until_ready(shared)
    with shared.client() as thoth:
        for each in thoth.collections():
            thoth.delete_collection(each.name)
    return shared


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "document.txt"


def first(service: RealService, file: Path) -> State:
    """Store the first version; its chunks."""
    file.write_text(text_of("version-1"))
    with service.client() as thoth:
        report = thoth.ingest([file])
        assert (report.new, report.failed) == (1, [])
        state = live(thoth, str(file))
    assert versions(list(state.values())) == {"version-1"}
    assert len(state) == report.chunks >= CHUNKS
    return state


def test_a_search_during_a_replacement_sees_the_old_chunks_or_the_new_ones(
    service: RealService, file: Path
) -> None:
    old = first(service, file)
    file.write_text(text_of("version-2", CHUNKS + 50, 0.001))
    with watched(service, str(file)) as watch, service.client() as thoth:
        report = thoth.ingest([file])
        new = live(thoth, str(file))
        # A busy machine looks seldom.
        enough = max(sum(watch.seen.values()) + 6, LOOKS)
        wait_for(lambda: sum(watch.seen.values()) > enough, 60, "it looks at the new one too")
    assert (report.changed, report.failed, report.chunks) == (1, [], len(new))
    check(watch, {("version-1",): len(old), ("version-2",): len(new)})


def test_a_client_killed_in_the_middle_leaves_the_old_and_the_next_embeds_nothing_twice(
    service: RealService, file: Path
) -> None:
    old = first(service, file)
    before = embedded(service)
    file.write_text(text_of("version-2", seconds=0.01))
    ingest = service.popen("thoth", "ingest", "--no-autostart", str(file))
    part = wait_for(lambda: embedded(service) - before, 30, "a part is stored")
    assert part < CHUNKS
    os.kill(ingest.pid, signal.SIGKILL)
    ingest.communicate(timeout=30)
    # What was accepted of it is finished, and seen by nobody.
    wait_for(lambda: not status(service)["queue"]["requests"], 60, "nothing is open")
    with service.client() as thoth:
        assert live(thoth, str(file)) == old
        assert thoth.count() == len(old)
        again = thoth.ingest([file])
        assert (again.changed, again.failed) == (1, [])
        assert again.reused >= part
        assert again.reused + again.embedded == again.chunks
        assert versions(list(live(thoth, str(file)).values())) == {"version-2"}


def test_a_store_killed_in_the_middle_leaves_the_old_until_all_of_the_new_is_there(
    service: RealService, file: Path
) -> None:
    old = first(service, file)
    file.write_text(text_of("version-2", seconds=0.03))
    before = embedded(service)
    with watched(service, str(file)) as watch:
        ingest = service.popen("thoth", "ingest", "--no-autostart", "--json", str(file))
        for kill in range(2):
            wanted = before + (kill + 1) * CHUNKS // 5
            wait_for(lambda n=wanted: embedded(service) >= n, 60, "more is stored")
            assert ingest.poll() is None
            store = pids(service)["store"]
            os.kill(store, signal.SIGKILL)
            service.ready_again("store", store)
        out, err = ingest.communicate(timeout=60)
        assert ingest.returncode == 0, err
        report = json.loads(out)
        seen = sum(watch.seen.values())
        wait_for(lambda: sum(watch.seen.values()) > seen + 6, 30, "it looks at the new one too")
    assert (report["files"]["changed"], report["files"]["failed"]) == (1, [])
    with service.client() as thoth:
        new = live(thoth, str(file))
    assert len(new) == report["chunks"]
    check(watch, {("version-1",): len(old), ("version-2",): len(new)})


def embedded(service: RealService) -> int:
    return int(status(service)["store"]["embedded_total"])


class Run(threading.Thread):
    """An ingest of a file that stands still before it has stored anything, and before it commits,
    until it is let go on."""

    def __init__(self, service: RealService, file: Path, version: str) -> None:
        super().__init__(name=version)
        self.version = version
        self._file = file
        self.report: IngestReport | None = None
        self.begun, self.staged = threading.Event(), threading.Event()
        self.may_store, self.may_commit = threading.Event(), threading.Event()
        self._service = service

    def begin(self) -> None:
        """Read this version of the file."""
        self._file.write_text(text_of(self.version, 40))
        self.start()
        assert self.begun.wait(60)

    def run(self) -> None:
        with self._service.client() as thoth:
            self.report = thoth.ingest([self._file], on_progress=self._tell)

    def _tell(self, at: IngestProgress) -> None:
        if at.chunks and not at.chunks_done:
            self.begun.set()
            assert self.may_store.wait(60)
        elif at.chunks and at.chunks_done == at.chunks:
            self.staged.set()
            assert self.may_commit.wait(60)


@pytest.mark.parametrize("later_first", [True, False], ids=["later first", "earlier first"])
def test_of_two_runs_over_one_source_the_one_that_began_later_stays(
    service: RealService, file: Path, later_first: bool
) -> None:
    earlier, later = Run(service, file, "version-1"), Run(service, file, "version-2")
    for run in (earlier, later):
        run.begin()
    for run in (later, earlier):
        run.may_store.set()
        assert run.staged.wait(60)
    with service.client() as thoth:
        for run in (later, earlier) if later_first else (earlier, later):
            run.may_commit.set()
            run.join(60)
            expected = "version-2" if later_first else run.version
            assert versions(list(live(thoth, str(file)).values())) == {expected}
            assert len(live(thoth, str(file))) == thoth.count() == 40
    reports = [run.report for run in (earlier, later)]
    assert all(report is not None and report.failed == [] for report in reports)
    # Whoever was overtaken has nothing to do: the newer text is there.
    assert [r.unchanged for r in reports if r is not None] == [int(later_first), 0]


def test_many_runs_over_one_source_at_once_never_mix(service: RealService) -> None:
    problems: list[BaseException] = []
    counts = {f"version-{n}": 30 + n for n in range(6)}

    def ingest(version: str) -> None:
        try:
            with service.client() as thoth:
                for _ in range(4):
                    text = text_of(version, counts[version], 0.001)
                    report = thoth.ingest_text(text, "letter")
                    assert report.failed == []
        except BaseException as problem:
            problems.append(problem)

    with service.client() as thoth:
        thoth.ingest_text(text_of("version-0", counts["version-0"]), "letter")
        threads = [threading.Thread(target=ingest, args=(version,)) for version in counts]
        for thread in threads:
            thread.start()
        looks = 0
        while any(thread.is_alive() for thread in threads):
            texts = list(live(thoth, "letter").values())
            [version] = versions(texts)
            assert len(texts) == counts[version]
            looks += 1
        for thread in threads:
            thread.join(60)
        assert problems == []
        assert looks > 10
        [version] = versions(list(live(thoth, "letter").values()))
        assert thoth.count() == counts[version]


def test_a_run_whose_stage_is_gone_reports_the_file_and_leaves_the_old(
    service: RealService, file: Path
) -> None:
    old = first(service, file)
    file.write_text(text_of("version-2", seconds=0.001))
    with stopped(pids(service)[name] for name in BULK):
        ingest = service.popen("thoth", "ingest", "--no-autostart", "--json", str(file))
        wait_for(lambda: status(service)["queue"]["items"] > 0, 30, "chunks wait")
        with service.client() as thoth:
            assert thoth.delete_collection(thoth.settings.collection_name)
    out, err = ingest.communicate(timeout=60)
    assert ingest.returncode == 1, (out, err)
    [failed] = json.loads(out)["files"]["failed"]
    assert failed["source"] == str(file)
    assert "not there any more" in failed["reason"] or "stood still" in failed["reason"]
    again = service.run("thoth", "ingest", "--json", str(file))
    assert again.returncode == 0, again.stderr
    with service.client() as thoth:
        assert len(live(thoth, str(file))) == json.loads(again.stdout)["chunks"]
    assert old
