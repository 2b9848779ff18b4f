"""Files into a collection, against a store made of dicts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.fake_service import FakeService, Reply, private_settings, result
from thoth_core import (
    AsyncThoth,
    Conflict,
    DeadlineExceeded,
    FileOutcome,
    IngestProgress,
    PoisonInput,
    QuotaExceeded,
    Settings,
    Thoth,
)
from thoth_core.client import packs
from thoth_core.wire import Message, error_message


class Store:
    """Chunks and documents as a service keeps them; ``poison`` refuses texts that hold it.
    ``answers`` are bodies that replacements get instead of the usual."""

    def __init__(self) -> None:
        self.chunks: dict[str, tuple[str, dict[str, Any]]] = {}
        self.documents: dict[str, dict[str, Any]] = {}
        self.staged: dict[str, tuple[str, dict[str, Any]]] = {}
        self.answers: list[dict[str, Any] | Conflict] = []
        self.embedded = 0
        self.fatal = False
        self.open = self.most_open = 0

    def __call__(self, message: Message, reply: Reply) -> None:
        body = message.body
        if message.kind == "documents" and "below" in body:
            inside = [
                [source, known["content_hash"]]
                for source, known in sorted(self.documents.items())
                if any(source == p or source.startswith(p + "/") for p in body["below"])
            ]
            reply(result(message, below=inside, next=None))
        elif message.kind == "documents":
            known = {s: self.documents[s] for s in body["sources"] if s in self.documents}
            reply(result(message, documents=known))
        elif message.kind == "begin_ingest":
            reply(result(message, stage=7))
        elif message.kind == "add" and self.fatal:
            reply(error_message(QuotaExceeded("no money"), message.id))
        elif message.kind == "add":
            assert body["stage"] == 7
            reply(Message("progress", message.id, body={"done": 1, "total": len(body["texts"])}))
            errors = []
            for i, (id, text, metadata) in enumerate(
                zip(body["ids"], body["texts"], body["metadatas"], strict=True)
            ):
                if "poison" in text:
                    errors.append([i, PoisonInput("it kills", indices=[i]).to_dict()])
                else:
                    self.staged[id] = (text, metadata)
                    self.embedded += 1
            done = len(body["ids"]) - len(errors)
            reply(result(message, embedded=done, tokens=done, superseded=[], errors=errors))
        elif message.kind == "replace_document":
            assert body["stage"] == 7
            special = self.answers.pop() if self.answers else None
            if isinstance(special, Conflict):
                reply(error_message(special, message.id))
                return
            if special is not None:
                reply(result(message, **special))
                return
            source, ids = body["source"], set(body["ids"])
            gone = self.documents.pop(body.get("instead_of"), None)
            self.chunks = {
                i: c
                for i, c in self.chunks.items()
                if gone is None or c[1]["source"] != body["instead_of"]
            }
            self.chunks |= {id: self.staged.pop(id) for id in ids if id in self.staged}
            old = {i for i, (_, m) in self.chunks.items() if m["source"] == source} - ids
            for id in old:
                del self.chunks[id]
            self.documents.pop(source, None)
            if body["content_hash"] is not None:
                self.documents[source] = {"content_hash": body["content_hash"], "chunks": len(ids)}
            moved = gone is not None
            reply(result(message, removed=len(old), superseded=False, moved=moved))


@pytest.fixture
def settings() -> Iterator[Settings]:
    with private_settings(RAG_CHUNK_SIZE="20", RAG_CHUNK_OVERLAP="4") as made:
        yield made


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    for n in range(5):
        lines = [f"Note {n} has a sentence number {i} in it." for i in range(10)]
        (folder / f"n{n}.txt").write_text("\n\n".join(lines))
    (folder / "m.md").write_text("# Top\n\nIntro.\n\n## Keys\n\nThe keys are on the table.\n")
    return folder


def test_files_are_stored_once_and_only_changes_are_sent_again(
    settings: Settings, notes: Path
) -> None:
    store = Store()
    with FakeService(settings, store) as service, Thoth(settings, autostart=False) as thoth:
        first = thoth.ingest([notes])
        assert (first.new, first.changed, first.unchanged, first.failed) == (6, 0, 0, [])
        assert first.chunks == len(store.chunks) == first.embedded > 10
        kept = dict(store.chunks)
        calls = len(service.of("add"))

        again = thoth.ingest(notes)
        assert (again.new, again.changed, again.unchanged, again.chunks) == (0, 0, 6, 0)
        assert len(service.of("add")) == calls
        assert store.chunks == kept

        (notes / "n3.txt").write_text("Something else.")
        (notes / "new.txt").write_text("A new one.")
        third = thoth.ingest([str(notes)])
        assert (third.new, third.changed, third.unchanged) == (1, 1, 5)
    texts = [t for t, m in store.chunks.values() if m["source"].endswith("n3.txt")]
    assert texts == ["Something else."]


def test_a_text_that_is_under_way_is_not_sent_a_second_time_beside_it(
    settings: Settings, tmp_path: Path
) -> None:
    # More than may wait, all for one in the pack that they do not fill.
    count = 5 * packs.PACK_TEXTS
    for n in range(count):
        (tmp_path / f"{n}.txt").write_text("The same words.")
    store = Store()
    with FakeService(settings, store) as service, Thoth(settings, autostart=False) as thoth:
        report = thoth.ingest([tmp_path])
        sent = [add.body["texts"] for add in service.of("add")]
    assert (report.new, report.chunks) == (count, count) and len(store.chunks) == count
    assert len(sent[0]) == 1 and sum(map(len, sent)) == count


def test_what_waited_for_a_text_that_is_refused_is_tried_for_itself(
    settings: Settings, tmp_path: Path
) -> None:
    for n in range(3):
        (tmp_path / f"{n}.txt").write_text("The same poison.")
    with FakeService(settings, Store()), Thoth(settings, autostart=False) as thoth:
        report = thoth.ingest([tmp_path])
    assert len(report.failed) == 3 and report.new == 0


def test_small_files_share_a_call(settings: Settings, tmp_path: Path) -> None:
    for n in range(60):
        (tmp_path / f"{n}.txt").write_text(f"Short note {n}.")
    with FakeService(settings, Store()) as service, Thoth(settings, autostart=False) as thoth:
        assert thoth.ingest([tmp_path]).new == 60
        assert len(service.of("add")) == 1


def test_files_are_stored_in_their_order_while_others_are_still_to_be_read(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "PACK_TEXTS", 20)
    words = "\n\n".join(f"A sentence of its own, number {i}." for i in range(12))
    for n in range(60):
        (tmp_path / f"{n:02}.txt").write_text(words.replace("own", f"own {n}"))
    seen: list[IngestProgress] = []
    told: list[FileOutcome] = []
    with FakeService(settings, Store()) as service, Thoth(settings, autostart=False) as thoth:
        assert thoth.ingest([tmp_path], on_progress=seen.append, on_file=told.append).new == 60
        kinds = [message.kind for _, message in service.received]
        stored = [message.body["source"] for message in service.of("replace_document")]
    last_add = len(kinds) - 1 - kinds[::-1].index("add")
    assert kinds.count("add") > 5
    assert kinds.index("replace_document") < last_add
    assert stored == sorted(stored) == [each.source for each in told]
    assert {each.outcome for each in told} == {"new"}
    # What is done is said while it goes on, of files and of their bytes.
    halfway = [at for at in seen if 0 < at.files_done < 60]
    assert halfway and all(at.bytes_done > 0 for at in halfway)
    assert halfway[0].bytes_done < halfway[0].bytes == seen[-1].bytes_done


def test_a_chunk_knows_its_place(settings: Settings, notes: Path) -> None:
    store = Store()
    with FakeService(settings, store), Thoth(settings, autostart=False) as thoth:
        thoth.ingest([notes / "m.md"])
    whole = (notes / "m.md").read_text()
    [(text, metadata)] = [c for c in store.chunks.values() if "keys" in c[0]]
    assert metadata["source"] == str(notes / "m.md")
    assert whole[metadata["start"] : metadata["end"]] == text
    assert metadata["line_start"] <= 7 <= metadata["line_end"]
    assert metadata["heading"].startswith("Top")


def test_other_chunk_settings_make_every_file_a_changed_one(
    settings: Settings, notes: Path
) -> None:
    store = Store()
    with FakeService(settings, store):
        with Thoth(settings, autostart=False) as thoth:
            thoth.ingest([notes])
        import dataclasses

        larger = dataclasses.replace(settings, chunk_size=200)
        with Thoth(larger, autostart=False) as thoth:
            assert thoth.ingest([notes]).changed == 6
    assert len(store.chunks) == sum(d["chunks"] for d in store.documents.values())


def test_a_file_with_a_bad_chunk_is_reported_and_the_others_are_done(
    settings: Settings, notes: Path
) -> None:
    (notes / "bad.txt").write_text("Here is poison.")
    (notes / "binary.txt").write_bytes(b"\0\1\2\xff" * 50)
    store = Store()
    with FakeService(settings, store), Thoth(settings, autostart=False) as thoth:
        report = thoth.ingest([notes, notes / "missing.txt"])
        assert report.new == 6
        failed = {Path(source).name: error for source, error in report.failed}
        assert set(failed) == {"bad.txt", "missing.txt"}
        # In a folder a picture is passed over; who names it means it.
        assert report.skipped == {"binary": 1}
        assert [Path(s).name for s, _ in thoth.ingest(notes / "binary.txt").failed] == [
            "binary.txt"
        ]
        assert isinstance(failed["bad.txt"], PoisonInput)
        assert "no such file" in str(report.to_dict()["files"]["failed"])
        assert str(notes / "bad.txt") not in store.documents
        (notes / "bad.txt").write_text("Here is none.")
        assert thoth.ingest([notes / "bad.txt"]).new == 1


def test_a_bad_chunk_is_left_out_of_its_file_which_is_tried_again_by_the_next_ingest(
    settings: Settings, tmp_path: Path
) -> None:
    good = "\n\n".join(f"Paragraph {i} of a text that goes on and on." for i in range(8))
    file = tmp_path / "file.txt"
    store = Store()
    with FakeService(settings, store), Thoth(settings, autostart=False) as thoth:
        file.write_text(good)
        assert thoth.ingest([file]).new == 1
        before = {text for text, _ in store.chunks.values()}
        file.write_text(good + "\n\nHere is poison, in a sentence of its own that is long enough.")
        report = thoth.ingest([file])
        [(source, error)] = report.failed
        assert (source, type(error)) == (str(file), PoisonInput)
        assert (report.new, report.changed, report.chunks) == (0, 0, 0)
        after = {text for text, _ in store.chunks.values()}
        assert len(after & before) >= len(before) - 1
        assert not any("poison" in text for text in after)
        assert store.documents == {}
        file.write_text(good)
        assert thoth.ingest([file]).new == 1
    assert {text for text, _ in store.chunks.values()} == before


def test_a_file_of_bad_chunks_alone_leaves_what_was_there(
    settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "file.txt"
    file.write_text("Good.")
    store = Store()
    with FakeService(settings, store) as service, Thoth(settings, autostart=False) as thoth:
        thoth.ingest([file])
        file.write_text("Now it is poison.")
        assert [source for source, _ in thoth.ingest([file]).failed] == [str(file)]
        assert len(service.of("replace_document")) == 1
    assert [text for text, _ in store.chunks.values()] == ["Good."]


def test_a_run_begins_once_and_only_when_there_is_something_to_store(
    settings: Settings, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "PACK_TEXTS", 7)
    with FakeService(settings, Store()) as service, Thoth(settings, autostart=False) as thoth:
        thoth.ingest([notes])
        assert len(service.of("add")) > 1
        assert len(service.of("begin_ingest")) == 1
        thoth.ingest([notes])
        assert len(service.of("begin_ingest")) == 1


def test_a_file_that_a_later_run_stored_counts_as_unchanged(
    settings: Settings, notes: Path
) -> None:
    store = Store()
    store.answers.append({"removed": 0, "superseded": True})
    with FakeService(settings, store), Thoth(settings, autostart=False) as thoth:
        report = thoth.ingest([notes])
    assert (report.new, report.unchanged, report.failed) == (5, 1, [])
    assert report.chunks == len(store.chunks)


def test_a_file_whose_chunks_are_gone_is_reported_and_the_others_are_done(
    settings: Settings, notes: Path
) -> None:
    store = Store()
    store.answers.append(Conflict("2 of 9 chunks are gone", fix="run the same ingest again"))
    with FakeService(settings, store), Thoth(settings, autostart=False) as thoth:
        report = thoth.ingest([notes])
    assert report.new == 5
    [(source, error)] = report.failed
    assert (Path(source).parent, type(error)) == (notes, Conflict)
    assert error.fix == "run the same ingest again"


def test_an_empty_file_is_recorded_and_takes_its_old_chunks_away(
    settings: Settings, notes: Path
) -> None:
    store = Store()
    with FakeService(settings, store), Thoth(settings, autostart=False) as thoth:
        thoth.ingest([notes / "m.md"])
        assert store.chunks
        (notes / "m.md").write_text("")
        assert thoth.ingest([notes / "m.md"]).changed == 1
    assert store.chunks == {}


def test_what_concerns_no_file_ends_the_ingest_and_says_what_was_done(
    settings: Settings, notes: Path
) -> None:
    store = Store()
    store.fatal = True
    with (
        FakeService(settings, store),
        Thoth(settings, autostart=False) as thoth,
        pytest.raises(QuotaExceeded) as caught,
    ):
        thoth.ingest([notes])
    assert caught.value.details["report"]["files"]["new"] == 0


def test_several_calls_are_under_way_and_a_file_may_span_them(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "PACK_TEXTS", 7)
    text = "\n\n".join(f"Paragraph {i} of a long text that goes on." for i in range(200))
    (tmp_path / "long.txt").write_text(text)
    (tmp_path / "short.txt").write_text("Short.")
    store = Store()
    waiting: list[tuple[Message, Reply]] = []
    most = 0
    lock = threading.Lock()

    def hold(message: Message, reply: Reply) -> None:
        nonlocal most
        if message.kind != "add":
            store(message, reply)
            return
        with lock:
            waiting.append((message, reply))
            most = max(most, len(waiting))
            if len(waiting) == 4 or len(message.body["ids"]) < 7:
                while waiting:
                    store(*waiting.pop())

    seen: list[IngestProgress] = []
    with FakeService(settings, hold), Thoth(settings, autostart=False) as thoth:
        report = thoth.ingest([tmp_path], on_progress=seen.append)
    assert most == 4
    assert report.new == 2 and report.chunks == len(store.chunks) > 30
    assert [p.chunks_done for p in seen] == sorted(p.chunks_done for p in seen)
    assert (seen[-1].files_done, seen[-1].files) == (2, 2)
    assert seen[-1].chunks_done == seen[-1].chunks == report.chunks


def test_a_text_at_hand_is_known_by_its_source(settings: Settings) -> None:
    store = Store()
    with FakeService(settings, store), Thoth(settings, autostart=False) as thoth:
        assert thoth.ingest_text("Some words.", "mail/1").new == 1
        assert thoth.ingest_text("Some words.", "mail/1").unchanged == 1
        assert thoth.ingest_text("Other words.", "mail/1").changed == 1
    assert [m["source"] for _, m in store.chunks.values()] == ["mail/1"]


def test_a_deadline_ends_an_ingest(settings: Settings, notes: Path) -> None:
    with FakeService(settings) as service, Thoth(settings, autostart=False) as thoth:
        # Connects and greets, for which a deadline counts too.
        assert thoth.model
        with pytest.raises(DeadlineExceeded):
            thoth.ingest([notes], deadline=2.0)
        assert service.wait_for("cancel")


def test_nothing_to_read_needs_no_service(settings: Settings, tmp_path: Path) -> None:
    with Thoth(settings, autostart=False) as thoth:
        assert thoth.ingest([tmp_path]).to_dict()["files"]["new"] == 0


def test_cancelling_an_async_ingest_ends_its_thread(settings: Settings, notes: Path) -> None:
    async def scenario(service: FakeService) -> None:
        async with AsyncThoth(settings, autostart=False) as thoth:
            work = asyncio.create_task(thoth.ingest([notes]))
            await asyncio.to_thread(service.wait_for, "documents")
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
            await asyncio.to_thread(service.wait_for, "cancel")

    with FakeService(settings) as service:
        asyncio.run(scenario(service))


def test_an_async_ingest_tells_its_progress_in_the_loop(settings: Settings, notes: Path) -> None:
    async def scenario() -> None:
        threads = set()
        async with AsyncThoth(settings, autostart=False) as thoth:
            report = await thoth.ingest(
                [notes], on_progress=lambda at: threads.add(threading.current_thread())
            )
            await asyncio.sleep(0)
        assert report.new == 6
        assert threads == {threading.current_thread()}

    with FakeService(settings, Store()):
        asyncio.run(scenario())


def test_an_ingest_can_be_ended_while_a_long_file_is_cut(
    settings: Settings, tmp_path: Path
) -> None:
    class Enough(Exception):
        pass

    long = tmp_path / "long.txt"
    long.write_text("A sentence of some words. " * 20_000)
    told: list[IngestProgress] = []

    def tell(at: IngestProgress) -> None:
        told.append(at)
        if len(told) == 10:
            raise Enough

    with FakeService(settings, Store()) as service, Thoth(settings, autostart=False) as thoth:
        with pytest.raises(Enough):
            thoth.ingest([long], on_progress=tell)
        assert service.of("documents")
        assert not service.of("add"), "it was told while nothing of the file was sent yet"
