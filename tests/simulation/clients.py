"""Simulated clients: they ask, wait, repeat what was lost, take calls back, and die.

A connection has an address of its own, and what was for a lost one reaches nobody. Like the real
client these repeat a call under its id: on another connection, after ``overloaded``, and at the
next supervisor.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.simulation.embedding import ENDLESS, POISON, REFUSED
from tests.simulation.world import OTHERS, OWN
from thoth_core.wire import Buffer, Message

if TYPE_CHECKING:
    from tests.simulation.world import World

#: How many ids and texts there are; few, so that calls meet.
IDS, TEXTS = 40, 60


class Call:
    """One call of a client's, until its answer came."""

    __slots__ = ("answered", "cancelled", "lost", "message", "parked", "parts", "times")

    def __init__(self, message: Message) -> None:
        self.message = message
        #: Of an ``embed``: which rows came, on this connection.
        self.parts: dict[int, str] = {}
        self.answered = self.cancelled = self.parked = False
        #: How often it was sent.
        self.times = 0
        #: How many connections were lost under it.
        self.lost = 0


class Client:
    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self.world = clients.world
        self.address = b""
        self.full_until = 0.0
        self.calls: dict[str, Call] = {}
        self.connect()

    @property
    def told(self) -> str:
        return self.address.decode()

    def connect(self) -> None:
        """A new connection: open calls are sent again."""
        self.clients.book.pop(self.address, None)
        self.address = self.world.name("client").encode()
        self.clients.book[self.address] = self
        for call in list(self.calls.values()):
            if call.cancelled:
                # A call that was taken back is repeated by nobody.
                self._close(call)
                continue
            call.parked = False
            call.lost += 1
            self._send(call)

    def die(self) -> None:
        self.clients.book.pop(self.address, None)
        self.clients.people.remove(self)
        for call in self.calls.values():
            self.world.checks.nobody_waits(call.message.id)
        self.calls.clear()

    def ask(self, message: Message) -> Call:
        call = self.calls[message.id] = Call(message)
        self.world.checks.asked(message)
        self._send(call)
        return call

    def cancel(self, call: Call) -> None:
        call.cancelled = True
        self.world.checks.taken_back(call.message.id)
        self._post(Message("cancel", call.message.id))

    def _send(self, call: Call) -> None:
        call.parts.clear()
        call.times += 1
        self._post(replace(call.message, attempt=call.lost))

    def _post(self, message: Message) -> None:
        supervisor = self.world.supervisor
        if supervisor.alive:
            self.world.network.send(
                self.address,
                supervisor.told,
                supervisor.arrive,
                "front",
                (self.address, message),
            )

    # -- what comes ---------------------------------------------------------------------------

    def take(self, address: bytes, message: Message) -> None:
        call = self.calls.get(message.id)
        if address != self.address:
            return
        if call is None:
            self.world.checks.unasked(message)
        elif message.kind == "part":
            rows = zip(message.body["indices"], message.buffers[0].data, strict=True)
            for index, text in rows:
                self.world.checks.row(call, index, str(text))
                call.parts[index] = str(text)
        elif message.kind == "error" and message.body["code"] == "overloaded":
            self.world.later(self.world.random.uniform(0.2, 0.9), self._again, call, call.times)
        elif message.kind == "error" and message.body["code"] == "stopping":
            call.parked = True
        elif message.kind in ("result", "error"):
            self.world.checks.heard(call, message)
            self._close(call)

    def _again(self, call: Call, times: int) -> None:
        if not call.answered and call.times == times:
            if call.cancelled:
                self._close(call)
            else:
                self._send(call)

    def _close(self, call: Call) -> None:
        call.answered = True
        self.calls.pop(call.message.id, None)


class Clients:
    def __init__(self, world: World) -> None:
        self.world = world
        #: Who is reached at which address.
        self.book: dict[bytes, Client] = {}
        self.people: list[Client] = []
        for _ in range(4):
            self.people.append(Client(self))

    def at(self, address: bytes) -> Client | None:
        return self.book.get(address)

    @property
    def waiting(self) -> int:
        return sum(len(client.calls) for client in self.people)

    def someone(self) -> Client:
        if len(self.people) < 3:
            self.people.append(Client(self))
        return self.world.random.choice(self.people)

    def supervisor_gone(self) -> None:
        """Every connection is lost; the next supervisor comes after a while."""
        self.world.later(self.world.random.uniform(0.1, 2.0), self.world.start_supervisor)

    def supervisor_there(self) -> None:
        for client in list(self.people):
            client.connect()

    # -- what is asked ------------------------------------------------------------------------

    def ask(self) -> None:
        r, shape = self.world.random, self.world.shape
        if r.random() < 0.03:
            # Many at once who only read.
            for _ in range(8):
                self._ask(r.choice(("get", "count", "search")))
        ids = [f"id{n}" for n in r.sample(range(IDS), min(IDS, 1 + int(r.expovariate(0.12))))]
        texts = [self._text() for _ in ids]
        if shape.poison and r.random() < shape.poison * self.world.faults:
            self.world.fault("poison text")
            bad = r.choice((POISON, POISON, ENDLESS))
            texts[r.randrange(len(texts))] = f"{bad} {r.randrange(8)}"
        elif r.random() < 0.05:
            texts[r.randrange(len(texts))] = f"{REFUSED} {r.randrange(8)}"
        choice = r.random()
        # Where nothing goes wrong none is so short that a start can be too slow for it.
        deadline = r.uniform(0.5, 6) if r.random() < 0.1 and self.world.faults else None
        if choice < 0.4:
            self._ask_of_any("add", deadline, ids=ids, texts=texts)
        elif choice < 0.5:
            self._ask("delete", deadline, ids=ids[:5])
        elif choice < 0.7:
            self._ask_of_any("embed", deadline, texts=texts, purpose="document")
        elif choice < 0.82:
            self._ask_of_any("query", deadline, texts=texts[: r.choice((1, 1, 3))], k=4)
        elif choice < 0.88:
            own = [f"own {self.world.name('')}" for _ in ids]
            self._ask("upsert", deadline, ids=ids, texts=own)
        else:
            self._ask(r.choice(("get", "count", "search", "snapshot_page")), deadline)

    def _text(self) -> str:
        n = self.world.random.randrange(TEXTS)
        return f"text {n} " + "x" * (n * 3)

    def _ask(self, kind: str, deadline: float | None = None, **body: Any) -> Call:
        # An id stands once in a call, or its order within the call would matter.
        if kind != "embed":
            body = {"collection": "c", **body}
        buffers: tuple[Buffer, ...] = ()
        if kind in ("upsert", "search"):
            buffers = (Buffer((len(body.get("ids", "x")), 8), b""),)
        message = Message(kind, self.world.name("r"), deadline=deadline, body=body, buffers=buffers)
        return self.someone().ask(message)

    def _ask_of_any(self, kind: str, deadline: float | None, **body: Any) -> None:
        """Now and then a call names a model, or is about a collection of another one. What is
        written there has ids of its own: one id has one history."""
        r = self.world.random
        if r.random() < self.world.shape.others:
            if kind != "embed" and r.random() < 0.5:
                body["collection"] = "d"
                if "ids" in body:
                    body["ids"] = [f"{id} of d" for id in body["ids"]]
            if "collection" not in body or r.random() < 0.5:
                body["model"] = r.choice(OTHERS if r.random() < 0.7 else (OWN, *OTHERS))
        self._ask(kind, deadline, **body)

    def probe(self) -> list[Call]:
        """One call of each kind, none of them difficult."""
        text = "a last text"
        return [
            self._ask("add", ids=["last"], texts=[text]),
            self._ask("add", ids=[f"last {n}" for n in range(30)], texts=[text + "!"] * 30),
            self._ask("embed", texts=[text], purpose="document"),
            self._ask("embed", texts=[f"{text} {n}" for n in range(30)], purpose="document"),
            self._ask("query", texts=[text], k=4),
            self._ask("delete", ids=["last"]),
            self._ask("count"),
            self._ask("embed", texts=[text], purpose="document", model=OTHERS[0]),
            self._ask("query", texts=[text], k=4, collection="d", model=OTHERS[0]),
        ]
