"""A service made of two ROUTERs in a thread: it greets, answers pings, and leaves all else to
the test. Real ZeroMQ, no process."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thoth_core import sockets, wire
from thoth_core.settings import Settings
from thoth_core.wire import Buffer, Message

Reply = Callable[[Message], None]
Handler = Callable[[Message, Reply], None]


@contextmanager
def private_settings(**more: str) -> Iterator[Settings]:
    """Settings whose folders are short, new and taken away at the end."""
    root = Path(tempfile.mkdtemp(prefix="th-", dir="/tmp"))
    try:
        names = {
            "RAG_VECTOR_DB_PATH": str(root / "db"),
            "THOTH_RUNTIME_DIR": str(root / "run"),
            "RAG_EMBEDDING_MODEL": "fake/4",
        }
        settings = Settings.load(cli=names | more, cwd=root, environ={"HOME": str(root)})
        settings.service_dir.mkdir(parents=True, mode=0o700)
        yield settings
    finally:
        shutil.rmtree(root, ignore_errors=True)


class FakeService:
    """``handle(message, reply)`` gets every request but hello and ping. ``received`` lists all
    requests with the identity that sent them; ``wait_for`` waits until some number of a kind has
    come."""

    def __init__(
        self,
        settings: Settings,
        handle: Handler | None = None,
        *,
        hello: Callable[[Message], Message | None] | None = None,
        pong: bool = True,
    ) -> None:
        self.received: list[tuple[bytes, Message]] = []
        self.hellos: list[tuple[bytes, Message]] = []
        self._settings = settings
        self._handle = handle or (lambda message, reply: None)
        self._hello = hello or self._greet
        self._pong = pong
        self._news = threading.Condition()
        self._ending = threading.Event()
        self._bound = threading.Event()
        self._outgoing: list[tuple[bytes, Message]] = []
        self._thread = threading.Thread(target=self._run, name="fake-service")
        self._thread.start()
        assert self._bound.wait(10)

    def __enter__(self) -> FakeService:
        return self

    def __exit__(self, *problem: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._ending.set()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def of(self, kind: str) -> list[Message]:
        with self._news:
            return [m for _, m in self.received if m.kind == kind]

    def identities(self) -> list[bytes]:
        with self._news:
            return [who for who, _ in self.received]

    def wait_for(self, kind: str, count: int = 1, timeout: float = 10.0) -> list[Message]:
        def there() -> bool:
            return sum(1 for _, m in self.received if m.kind == kind) >= count

        with self._news:
            assert self._news.wait_for(there, timeout), f"no {kind} came"
        return self.of(kind)

    def later(self, who: bytes, message: Message) -> None:
        """Send ``message`` from any thread."""
        with self._news:
            self._outgoing.append((who, message))

    def _greet(self, message: Message) -> Message:
        body = {"pid": 1, "version": "", "service": "s", "model": "fake/4", "settings": {}}
        return Message("result", message.id, body=body | {"differing": []})

    def _run(self) -> None:
        ctx = sockets.context()
        front = sockets.router(ctx, self._settings.service_dir / "front")
        control = sockets.router(ctx, self._settings.service_dir / "control")
        poller = sockets.poller()
        poller.register(front, sockets.POLLIN)
        poller.register(control, sockets.POLLIN)
        self._bound.set()
        try:
            while not self._ending.is_set():
                poller.poll(10)
                with self._news:
                    outgoing, self._outgoing = self._outgoing, []
                for who, message in outgoing:
                    sockets.send(front, wire.encode(message), to=who)
                for socket in (front, control):
                    while (frames := sockets.receive(socket)) is not None:
                        self._take(socket, bytes(frames[0]), wire.decode(frames[1:]))
        finally:
            # The answers of the last turn must be out before the sockets go.
            front.close(200)
            control.close(200)
            ctx.term()

    def _take(self, socket: Any, who: bytes, message: Message) -> None:
        def reply(answer: Message) -> None:
            sockets.send(socket, wire.encode(answer), to=who)

        if message.kind == "hello":
            with self._news:
                self.hellos.append((who, message))
            answer = self._hello(message)
            if answer is not None:
                reply(answer)
            return
        if message.kind == "ping" and self._pong:
            reply(Message("pong", message.id))
            return
        with self._news:
            self.received.append((who, message))
            self._news.notify_all()
        self._handle(message, reply)


def vectors_of(texts: list[str]) -> Buffer:
    """One row a text: its number (``"t7"`` → 7) and three ones."""
    import numpy as np

    from thoth_core.vectors import to_buffer

    rows = [[float(t[1:]) if t[1:].isdigit() else 0.0, 1.0, 1.0, 1.0] for t in texts]
    return to_buffer(np.array(rows, np.float32).reshape(len(rows), 4))


def embed_handler(message: Message, reply: Reply) -> None:
    """Answers ``embed`` in two parts, the second half first."""
    if message.kind != "embed":
        return
    texts = message.body["texts"]
    half = len(texts) // 2
    for indices in (list(range(half, len(texts))), list(range(half))):
        if indices:
            buffer = vectors_of([texts[i] for i in indices])
            part = {"indices": indices, "windowed": 0, "tokens": len(indices)}
            reply(Message("part", message.id, body=part, buffers=(buffer,)))
    whole = {"model": "fake/4", "dimension": 4, "windowed": 0, "tokens": 1, "errors": []}
    reply(Message("result", message.id, body=whole))


def result(message: Message, **body: Any) -> Message:
    return Message("result", message.id, body=body)
