"""A simulated world around the real dispatch: workers, a store, clients, a network and a clock.

One seed is one whole history. Frames between two ends keep their order, as ZeroMQ keeps it, but
any end may be slow, stopped, or die at any step; what a dead or stopped end had sent may arrive
late. The store applies the ledger's rule: a write with a lower number than the last changes
nothing.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from thoth_core.supervisor.board import EPOCH_SHIFT, ToClient, ToStore, ToWorker
from thoth_core.supervisor.dispatch import Dispatch, Limits
from thoth_core.wire import Message

IDENTITY = {"name": "fake/8", "dimension": 8}
POISON = "!poison"


@dataclass
class SimWorker:
    slot: str
    lane: str
    incarnation: str = ""
    queue: list[Message] = field(default_factory=list)
    kept: dict[str, tuple[dict[str, Any], str]] = field(default_factory=dict)
    free_at: float = 0.0
    running: Message | None = None


@dataclass
class SimStore:
    """``rows`` are what is on disk: (number, live) by id; they survive the process."""

    incarnation: str = ""
    epoch: int = 0
    rows: dict[str, tuple[int, bool]] = field(default_factory=dict)
    outcomes: dict[str, dict[str, Any]] = field(default_factory=dict)


class World:
    def __init__(self, seed: int, *, faults: float = 1.0, limits: Limits | None = None) -> None:
        self.random = random.Random(seed)
        self.faults = faults
        self.now = 0.0
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.serial = count()
        self.links: dict[Any, float] = {}
        self.dispatch = Dispatch(limits)
        self.workers = {
            "i": SimWorker("i", "interactive"),
            "b1": SimWorker("b1", "bulk"),
            "b2": SimWorker("b2", "bulk"),
        }
        self.store = SimStore()
        self.sent: dict[str, tuple[bytes, Message]] = {}
        self.answers: dict[str, list[Message]] = {}
        self.deaths: Counter[str] = Counter()
        #: Deaths of a worker while it ran a unit with this text.
        self.killed_by: Counter[str] = Counter()
        self.outside_kills = 0
        self.steps = 0
        for worker in self.workers.values():
            self.later(self.random.uniform(0, 2), lambda w=worker: self.start_worker(w))
        self.later(self.random.uniform(0, 2), self.start_store)

    # -- clock and network --------------------------------------------------------------------

    def later(self, delay: float, act: Callable[[], None]) -> None:
        heapq.heappush(self.events, (self.now + delay, next(self.serial), act))

    def link(self, key: Any, act: Callable[[], None]) -> None:
        """Deliver over a link: in order, after a delay that is mostly short."""
        delay = self.random.expovariate(1000)
        if self.random.random() < 0.02 * self.faults:
            delay += self.random.expovariate(0.5)
        at = max(self.links.get(key, 0.0), self.now + delay)
        self.links[key] = at
        heapq.heappush(self.events, (at, next(self.serial), act))

    def run(self, until: float) -> None:
        while self.events and self.events[0][0] <= until:
            self.now, _, act = heapq.heappop(self.events)
            self.steps += 1
            act()
            self.carry_out()
            self.check()
        self.now = until

    def carry_out(self) -> None:
        while actions := self.dispatch.actions():
            for action in actions:
                if isinstance(action, ToClient):
                    message = action.message
                    if message.kind in ("result", "error"):
                        self.answers.setdefault(message.id, []).append(message)
                elif isinstance(action, ToWorker):
                    worker, incarnation = self.workers[action.slot], action.incarnation
                    message = action.message
                    self.link(
                        ("to", incarnation),
                        lambda w=worker, i=incarnation, m=message: self.at_worker(w, i, m),
                    )
                elif isinstance(action, ToStore):
                    incarnation, message = action.incarnation, action.message
                    self.link(
                        ("to", incarnation),
                        lambda i=incarnation, m=message: self.at_store(i, m, None),
                    )

    # -- embed workers ------------------------------------------------------------------------

    def start_worker(self, worker: SimWorker) -> None:
        worker.incarnation = f"w{next(self.serial)}"
        worker.queue, worker.kept, worker.running = [], {}, None
        info = {"model": IDENTITY, "credit": {"units": 2, "items": 8, "tokens": 200}}
        incarnation = worker.incarnation
        self.link(
            ("from", incarnation),
            lambda: self.dispatch.worker_ready(worker.slot, incarnation, worker.lane, info),
        )

    def kill_worker(self, worker: SimWorker, *, blame: bool) -> None:
        if not worker.incarnation:
            return
        incarnation, worker.incarnation = worker.incarnation, ""
        self.deaths["worker"] += 1
        if blame and worker.running is not None:
            for text in worker.running.body["texts"]:
                self.killed_by[text] += 1

        # The sentinel is read after what the process had sent.
        def gone() -> None:
            self.dispatch.worker_gone(worker.slot, incarnation, blame=blame)
            self.later(self.random.uniform(0.1, 3), lambda: self.start_worker(worker))

        self.link(("from", incarnation), gone)

    def at_worker(self, worker: SimWorker, incarnation: str, message: Message) -> None:
        if worker.incarnation != incarnation:
            return
        if message.kind == "unit":
            worker.queue.append(message)
            self.work(worker)
        elif message.kind == "release":
            for id in message.body["units"]:
                worker.kept.pop(id, None)
                for queued in [m for m in worker.queue if m.id == id and m is not worker.running]:
                    worker.queue.remove(queued)
                    self.from_worker(worker, Message("missing", id, queued.attempt))
        elif message.kind == "resend":
            for id, attempt in message.body["units"]:
                if id in worker.kept:
                    body, kind = worker.kept[id]
                    self.hand_over(worker, id, attempt, kind, body, message.body["store"])
                else:
                    self.from_worker(worker, Message("missing", id, attempt))

    def work(self, worker: SimWorker) -> None:
        if worker.running is not None or not worker.queue:
            return
        unit = worker.running = worker.queue[0]
        incarnation = worker.incarnation
        self.from_worker(worker, Message("started", unit.id, unit.attempt))
        self.later(self.random.uniform(0.01, 0.3), lambda: self.worked(worker, incarnation, unit))

    def worked(self, worker: SimWorker, incarnation: str, unit: Message) -> None:
        if worker.incarnation != incarnation:
            return
        if any(POISON in text for text in unit.body["texts"]):
            self.kill_worker(worker, blame=True)
            return
        worker.queue.remove(unit)
        worker.running = None
        rows = list(range(len(unit.body["texts"])))
        figures = {"indices": rows, "tokens": 1, "windowed": 0, "errors": []}
        store = unit.body.get("store")
        if store is None:
            self.from_worker(worker, Message("done", unit.id, unit.attempt, body=figures))
        else:
            worker.kept[unit.id] = (store["body"], store["kind"])
            self.hand_over(worker, unit.id, unit.attempt, store["kind"], store["body"], store)
            self.from_worker(worker, Message("handed", unit.id, unit.attempt, body=figures))
        self.work(worker)

    def hand_over(
        self,
        worker: SimWorker,
        id: str,
        attempt: int,
        kind: str,
        body: dict[str, Any],
        store: dict[str, Any],
    ) -> None:
        message = Message(kind, id, attempt, store["incarnation"], body=body)
        self.link(
            (worker.incarnation, store["incarnation"]),
            lambda: self.at_store(store["incarnation"], message, id),
        )

    def from_worker(self, worker: SimWorker, message: Message) -> None:
        incarnation, slot = worker.incarnation, worker.slot
        self.link(
            ("from", incarnation),
            lambda: self.dispatch.worker_message(self.now, slot, incarnation, message),
        )

    # -- the store ----------------------------------------------------------------------------

    def start_store(self) -> None:
        self.store.incarnation = f"s{next(self.serial)}"
        self.store.epoch = 1
        incarnation = self.store.incarnation
        self.link(
            ("from", incarnation),
            lambda: self.dispatch.store_ready(incarnation, f"/{incarnation}", 1),
        )

    def kill_store(self, *, blame: bool) -> None:
        if not self.store.incarnation:
            return
        incarnation, self.store.incarnation = self.store.incarnation, ""
        self.deaths["store"] += 1

        def gone() -> None:
            self.dispatch.store_gone(incarnation, blame=blame)
            self.later(self.random.uniform(0.1, 3), self.start_store)

        self.link(("from", incarnation), gone)

    def at_store(self, incarnation: str, message: Message, unit: str | None) -> None:
        if self.store.incarnation != incarnation:
            return
        if self.random.random() < 0.005 * self.faults:
            self.kill_store(blame=False)  # before the commit
            return
        body = self.apply(message)
        if self.random.random() < 0.005 * self.faults:
            self.kill_store(blame=False)  # after the commit, before the answer
            return
        answer = Message("result", message.id, message.attempt, incarnation, body=body)
        self.link(("from", incarnation), lambda: self.dispatch.store_message(self.now, answer))

    def apply(self, message: Message) -> dict[str, Any]:
        body, rows = message.body, self.store.rows
        request = body.get("request")
        if message.kind == "remember":
            self.store.outcomes[body["request"]] = body["outcome"]
            return {}
        if request in self.store.outcomes:
            outcome = self.store.outcomes[request]
            return {"outcome": outcome} if message.kind == "have" else outcome
        if message.kind == "have":
            number = body["number"]
            superseded = [
                i for i, id in enumerate(body["ids"]) if rows.get(id, (0, False))[0] > number
            ]
            missing = [i for i in range(len(body["ids"])) if i not in superseded]
            return {"unchanged": [], "superseded": superseded, "reused": [], "missing": missing}
        if message.kind == "upsert":
            superseded = []
            for i, id in enumerate(body["ids"]):
                if rows.get(id, (0, False))[0] > body["number"]:
                    superseded.append(i)
                else:
                    rows[id] = (body["number"], True)
            return {"written": len(body["ids"]), "superseded": superseded, "unchanged": 0}
        if message.kind == "delete":
            for id in body["ids"]:
                if rows.get(id, (0, False))[0] <= body["number"]:
                    rows[id] = (body["number"], False)
            outcome = {"deleted": len(body["ids"])}
            self.store.outcomes[request] = outcome
            return outcome
        return {"hits": [[]], "count": len(rows)}

    # -- clients and faults -------------------------------------------------------------------

    def ask(self, kind: str, body: dict[str, Any]) -> str:
        id = f"{next(self.serial):032x}"
        client = f"client{self.random.randrange(5)}".encode()
        message = Message(kind, id, body=body)
        self.sent[id] = (client, message)
        self.dispatch.request(self.now, client, message, 100)
        return id

    def ask_again(self) -> None:
        """A client that lost its connection repeats an open call from another address."""
        open_calls = [id for id in self.sent if id in self.dispatch.board.requests]
        if open_calls:
            id = self.random.choice(open_calls)
            _, message = self.sent[id]
            self.sent[id] = (f"again{next(self.serial)}".encode(), message)
            self.dispatch.request(self.now, self.sent[id][0], message, 100)

    def cancel_one(self) -> None:
        open_calls = [id for id in self.sent if id in self.dispatch.board.requests]
        if open_calls:
            id = self.random.choice(open_calls)
            self.dispatch.cancel(self.sent[id][0], id)

    def random_ask(self, *, poison: float = 0.0) -> None:
        choice = self.random.random()
        ids = [f"id{n}" for n in self.random.sample(range(40), self.random.randint(1, 30))]
        texts = [f"text {id} " + "x" * self.random.randrange(60) for id in ids]
        if poison and self.random.random() < poison:
            texts[self.random.randrange(len(texts))] = f"{POISON} {next(self.serial)}"
        if choice < 0.45:
            self.ask("add", {"collection": "c", "ids": ids, "texts": texts})
        elif choice < 0.6:
            self.ask("delete", {"collection": "c", "ids": ids})
        elif choice < 0.8:
            self.ask("embed", {"texts": texts, "purpose": "document"})
        else:
            self.ask("query", {"collection": "c", "texts": texts[:1], "k": 4})

    def random_fault(self) -> None:
        choice = self.random.random()
        worker = self.random.choice(list(self.workers.values()))
        if choice < 0.4:
            self.outside_kills += 1
            self.kill_worker(worker, blame=False)
        elif choice < 0.6:
            self.kill_store(blame=False)
        elif choice < 0.75:
            self.ask_again()
        elif choice < 0.85:
            self.cancel_one()
        elif choice < 0.95:
            self.dispatch.tick(self.now)
        else:
            self.dispatch.stood_still(self.random.uniform(2, 100))

    # -- what must always hold ----------------------------------------------------------------

    def check(self) -> None:
        board = self.dispatch.board
        for id, answers in self.answers.items():
            assert len(answers) == 1, f"{len(answers)} answers for {id}"
            assert id not in board.requests, "answered, and still open"
        for worker in board.pool.workers.values():
            assert len(worker.units) <= worker.credit + 1, "credit exceeded"
        assert board.bytes == sum(r.size for r in board.requests.values())

    def check_end(self) -> None:
        """After a quiet time: everything is answered, and the ledger holds what was promised."""
        board = self.dispatch.board
        unanswered = [id for id in self.sent if id not in self.answers]
        assert not unanswered, f"never answered: {unanswered}"
        assert not board.requests
        assert not board.units
        assert not board.handed
        assert board.alone is None
        for worker in board.pool.workers.values():
            assert not worker.units, "credit that never came back"
            assert not worker.kept
        self.check_ledger()

    def check_ledger(self) -> None:
        """Each id is in the state of its highest acknowledged write, or of a later one."""
        newest: dict[str, tuple[int, bool]] = {}
        for number, (id, (_, message)) in enumerate(self.sent.items(), 1):
            answer = self.answers[id][0]
            if message.kind not in ("add", "delete") or answer.kind != "result":
                continue
            bad = {index for index, _ in answer.body.get("errors", [])}
            full = (1 << EPOCH_SHIFT) + number
            for index, each in enumerate(message.body["ids"]):
                if index not in bad:
                    newest[each] = (full, message.kind == "add")
        for id, (number, live) in newest.items():
            have = self.store.rows.get(id)
            assert have is not None, f"{id} was acknowledged and is not there"
            assert have[0] >= number, f"{id} has an older state than was acknowledged"
            if have[0] == number:
                assert have[1] == live
