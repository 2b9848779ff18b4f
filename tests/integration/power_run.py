"""A run of the store over a recording VFS, and what a crash image of it must hold."""

from __future__ import annotations

import hashlib
import random
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from store_worker import calls_write, ledger_collections, ledger_queries
from store_worker import ledger as ledger_module
from store_worker.ledger import Ledger
from tests.integration import power_plan, store_double
from tests.integration.power_plan import Call, Chunks
from tests.integration.store_double import StoreRoom
from tests.support.crash_images import Event
from tests.support.recording_vfs import Recorder, recording
from thoth_core.errors import CollectionExists, CollectionNotFound, ThothError, from_dict
from thoth_core.vectors import to_buffer
from thoth_core.wire import Message
from thoth_core.worker.channel import Delivery

LEDGER = "ledger.sqlite3"
SERVICE = "first"
ANSWER_SECONDS = 30.0
#: Answers like any other: they promise nothing.
REFUSALS = (CollectionExists, CollectionNotFound)
#: So that the write-ahead log is copied into the ledger many times in a short run.
CHECKPOINT_PAGES = 40


@dataclass
class Run:
    """What happened. A moment is a number of events that had begun.

    ``sent`` and ``acknowledged`` give the moment for each call's position, ``outcomes`` the answer;
    ``committed`` are digests of all that the ledger held after each transaction.
    """

    calls: list[Call]
    states: list[Chunks]
    events: list[Event] = field(default_factory=list)
    sent: dict[int, int] = field(default_factory=dict)
    acknowledged: dict[int, int] = field(default_factory=dict)
    outcomes: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    committed: set[str] = field(default_factory=set)

    def missing(self, ledger: Ledger, moment: int) -> list[str]:
        """What an image of ``moment``, opened as ``ledger``, lacks or has wrong; in words."""
        problems = []
        wrong = ledger.db.execute("PRAGMA integrity_check").fetchall()
        if wrong != [("ok",)]:
            problems.append(f"malformed: {wrong}")
        acknowledged = [n for n, at in self.acknowledged.items() if at <= moment]
        sent = [n for n, at in self.sent.items() if at <= moment]
        found = chunks_in(ledger)
        # The store takes writes in the order of their sending, so that what is there is what was
        # there after the last acknowledged call, or after one that was sent later.
        least = max(acknowledged, default=-1) + 1
        allowed = self.states[least : max(sent, default=-1) + 2]
        if found not in allowed:
            problems.append(f"lost: not as after call {least} or a later one")
        for n in acknowledged:
            request, outcome = self.calls[n].body["request"], self.outcomes.get(n)
            if request and outcome is not None and ledger.outcome(request, 0.0) != outcome:
                problems.append(f"forgotten: the outcome of call {n}")
        if acknowledged and digest(ledger.db) not in self.committed:
            problems.append("mixed: a state that no transaction left behind")
        return problems


def chunks_in(ledger: Ledger) -> Chunks:
    return {
        each.name: {
            chunk.id: (chunk.text, chunk.metadata_dict(), chunk.vector)
            for chunk in ledger_queries.page(ledger, each.id, None, 0, vectors=True)
        }
        for each in ledger_collections.listed(ledger)
    }


def digest(db: sqlite3.Connection) -> str:
    """Of every row of every table."""
    whole = hashlib.sha256()
    tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    for (name,) in tables.fetchall():
        whole.update(repr((name, db.execute(f"SELECT * FROM {name}").fetchall())).encode())
    return whole.hexdigest()


def record(data_dir: Path, run_dir: Path, seed: int, length: int, *, early: bool = False) -> Run:
    """Make the calls of the plan ``seed`` on a new store, which is closed and opened again half
    way. ``early``: each call counts as acknowledged when it is carried out, before the commit."""
    calls = power_plan.plan(seed, length)
    run = Run(calls, power_plan.states(calls))
    data_dir.mkdir(parents=True)
    groups = power_plan.bursts(calls, seed)
    half = len(groups) // 2
    with recording(data_dir, LEDGER) as recorder, _observed(run, recorder, early=early):
        for incarnation, part in (("one", groups[:half]), ("two", groups[half:])):
            with StoreRoom(data_dir, run_dir, service=SERVICE, incarnation=incarnation) as store:
                for group in part:
                    _carry_out(run, recorder, store, group)
            assert store.ended is None
    run.events = recorder.events
    assert len(run.acknowledged) == len(run.sent) == len(calls)
    return run


def _carry_out(run: Run, recorder: Recorder, store: StoreRoom, group: list[int]) -> None:
    for n in group:
        call = run.calls[n]
        buffers = () if call.vectors is None else (to_buffer(call.vectors),)
        incarnation = store.channel.incarnation
        message = Message(call.kind, str(n), 1, incarnation, body=call.body, buffers=buffers)
        run.sent[n] = len(recorder.events)
        store.channel.inbox.put(Delivery(message, peer=False))
    for _ in group:
        answer = store.channel.sent.get(timeout=ANSWER_SECONDS)
        if answer.kind == "error":
            problem: ThothError = from_dict(answer.body)
            if not isinstance(problem, REFUSALS):
                raise problem
        else:
            run.outcomes[int(answer.id)] = dict(answer.body)


@contextmanager
def _observed(run: Run, recorder: Recorder, *, early: bool) -> Iterator[None]:
    """Note when answers leave the store, and what each transaction left in the ledger."""
    send, transaction = store_double.DoubleChannel.send, Ledger.transaction
    write = calls_write.write
    by_number = {call.body["number"]: n for n, call in enumerate(run.calls)}

    def noted_send(self: store_double.DoubleChannel, message: Message) -> None:
        run.acknowledged.setdefault(int(message.id), len(recorder.events))
        send(self, message)

    @contextmanager
    def noted_transaction(self: Ledger) -> Iterator[None]:
        with transaction(self):
            yield
        run.committed.add(digest(self.db))

    def early_write(store: Any, kind: str, body: Any, buffers: Any) -> dict[str, Any]:
        result = write(store, kind, body, buffers)
        run.acknowledged.setdefault(by_number[body["number"]], len(recorder.events))
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_double.DoubleChannel, "send", noted_send)
        patch.setattr(Ledger, "transaction", noted_transaction)
        patch.setattr(ledger_module, "_CHECKPOINT_PAGES", CHECKPOINT_PAGES)
        if early:
            patch.setattr(calls_write, "write", early_write)
        yield


def moments(run: Run, choose: random.Random, count: int) -> list[int]:
    """``count`` moments in rising order: right after acknowledgements, and any."""
    after = list(run.acknowledged.values())
    chosen = [choose.choice(after) for _ in range(count // 2)]
    return sorted(chosen + [choose.randint(0, len(run.events)) for _ in range(count - len(chosen))])


@contextmanager
def opened(image: Mapping[str, bytes], folder: Path) -> Iterator[Ledger]:
    """The ledger of a crash image, laid out in ``folder`` and opened as the store does."""
    lay_out(image, folder)
    ledger = Ledger.open(folder / LEDGER, SERVICE)
    try:
        yield ledger
    finally:
        # Closing it copies its log into it; nobody waits for the disk of an image.
        ledger.db.execute("PRAGMA synchronous = OFF")
        ledger.db.close()


def lay_out(image: Mapping[str, bytes], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for old in folder.glob(f"{LEDGER}*"):
        with suppress(FileNotFoundError):
            old.unlink()
    for name, content in image.items():
        (folder / name).write_bytes(content)
