"""A store in this process behind a channel that is only queues, for the tests of the store."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from store_worker.service import serve
from thoth_core.errors import ThothError, from_dict
from thoth_core.ids import text_hash
from thoth_core.vectors import from_buffer, to_buffer
from thoth_core.wire import Message
from thoth_core.worker.channel import Delivery

ANSWER_SECONDS = 30.0


def model(name: str = "fake/4", dimension: int = 4) -> dict[str, Any]:
    return {
        "name": name,
        "weights": "none",
        "dimension": dimension,
        "normalized": True,
        "prompt": "",
        "long_text": "window",
    }


class DoubleChannel:
    """What the store sees of its channel, without processes and sockets."""

    def __init__(self, incarnation: str = "one") -> None:
        self.incarnation = incarnation
        self.slot = "store"
        self.log = logging.getLogger("test.store")
        self.stopping = ""
        self.busy = False
        self.vitals: dict[str, Any] = {}
        self.bound = ""
        self.inbox: SimpleQueue[Delivery | None] = SimpleQueue()
        #: Answers; and what is told of index processes that have ended.
        self.sent: SimpleQueue[Message] = SimpleQueue()
        self.deaths: SimpleQueue[Message] = SimpleQueue()
        self.ready_body: SimpleQueue[Mapping[str, Any] | BaseException] = SimpleQueue()

    def state(self, state: str) -> None:
        assert state == "OPENING"

    def ready(self, body: Mapping[str, Any]) -> None:
        self.ready_body.put(body)

    def bind(self, path: str) -> None:
        self.bound = path
        Path(path).touch()

    def progress(self) -> None:
        pass

    @contextlib.contextmanager
    def unseen(self, seconds: float) -> Iterator[None]:
        yield

    def receive(self, timeout: float | None) -> Delivery | None:
        if self.stopping and self.inbox.empty():
            return None
        try:
            return self.inbox.get(block=timeout != 0, timeout=timeout or None)
        except Empty:
            return None

    def nudge(self) -> None:
        self.inbox.put(None)

    def send(self, message: Message) -> None:
        (self.deaths if message.kind == "index_ended" else self.sent).put(message)


@dataclass
class Answer:
    body: Mapping[str, Any]
    vectors: npt.NDArray[np.float32] | None = None


@dataclass
class StoreRoom:
    """A running store. ``call`` waits for the answer and raises its error."""

    data_dir: Path
    runtime_dir: Path
    service: str = "first"
    incarnation: str = "one"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __enter__(self) -> StoreRoom:
        self.runtime_dir.mkdir(exist_ok=True)
        self.channel = DoubleChannel(self.incarnation)
        self.ended: BaseException | None = None
        self.number = 0
        self._calls = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        ready = self.channel.ready_body.get(timeout=ANSWER_SECONDS)
        if isinstance(ready, BaseException):
            self._thread.join()
            raise ready
        self.ready = ready
        self.epoch = ready["epoch"]
        return self

    def __exit__(self, *_: object) -> None:
        # Not to wait for an index that no test asked for: what it lacks is told at the next start.
        self.stop("stop")

    def stop(self, how: str = "drain") -> None:
        self.channel.stopping = how
        self.channel.inbox.put(None)
        self._thread.join(ANSWER_SECONDS)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        config = {
            "data_dir": str(self.data_dir),
            "runtime_dir": str(self.runtime_dir),
            "service": self.service,
            "settings": dict(self.settings),
        }
        try:
            serve(self.channel, config)  # type: ignore[arg-type]
        except BaseException as problem:
            self.ended = problem
            self.channel.ready_body.put(problem)

    def index(self) -> Mapping[str, Any]:
        """What the beats say of the index."""
        return dict(self.channel.vitals)

    def healthy(self, seconds: float = 60.0) -> None:
        """Wait until the index is healthy and has everything."""
        end = time.monotonic() + seconds
        while True:
            self.channel.nudge()
            vitals = self.index()
            if vitals.get("index_state") == "healthy" and not vitals["index"]["pending"]:
                return
            assert time.monotonic() < end, f"not healthy within {seconds:.0f} s: {vitals}"
            assert self._thread.is_alive(), self.ended
            time.sleep(0.05)

    # -- calls --------------------------------------------------------------------------------

    def next_number(self) -> int:
        self.number += 1
        return int((self.epoch << 40) + self.number)

    def post(
        self,
        kind: str,
        body: Mapping[str, Any],
        vectors: npt.NDArray[Any] | None = None,
        incarnation: str | None = None,
    ) -> str:
        self._calls += 1
        id = f"call-{self._calls}"
        buffers = () if vectors is None else (to_buffer(np.asarray(vectors)),)
        message = Message(
            kind,
            id,
            1,
            self.channel.incarnation if incarnation is None else incarnation,
            body=body,
            buffers=buffers,
        )
        self.channel.inbox.put(Delivery(message, peer=False))
        return id

    def answer(self, id: str) -> Answer:
        message = self.channel.sent.get(timeout=ANSWER_SECONDS)
        assert message.id == id, (message.id, id)
        assert message.attempt == 1
        assert message.incarnation == self.channel.incarnation
        if message.kind == "error":
            raise from_dict(message.body)
        assert message.kind == "result"
        vectors = from_buffer(message.buffers[0]) if message.buffers else None
        return Answer(message.body, vectors)

    def call(
        self, kind: str, body: Mapping[str, Any], vectors: npt.NDArray[Any] | None = None
    ) -> Answer:
        return self.answer(self.post(kind, body, vectors))

    def error(
        self, kind: str, body: Mapping[str, Any], vectors: npt.NDArray[Any] | None = None
    ) -> ThothError:
        try:
            self.call(kind, body, vectors)
        except ThothError as problem:
            return problem
        raise AssertionError(f"{kind} was answered without an error")

    def upsert(
        self,
        ids: Sequence[str],
        vectors: npt.NDArray[Any],
        collection: str = "notes",
        number: int | None = None,
        model: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Mapping[str, Any]:
        """An upsert; with ``model``, as an embed worker sends it."""
        body: dict[str, Any] = {
            "collection": collection,
            "ids": list(ids),
            "number": self.next_number() if number is None else number,
            "model": model,
            **more,
        }
        if model is not None:
            body["hashes"] = [text_hash(text) for text in more["texts"]]
        return self.call("upsert", body, vectors).body

    def have(
        self,
        ids: Sequence[str],
        texts: Sequence[str],
        collection: str = "notes",
        number: int | None = None,
        **more: Any,
    ) -> Mapping[str, Any]:
        body: dict[str, Any] = {
            "collection": collection,
            "ids": list(ids),
            "hashes": [text_hash(text) for text in texts],
            "number": self.next_number() if number is None else number,
            "model": model(),
            "request": f"have-{self._calls}",
            **more,
        }
        return self.call("have", body).body

    def search(
        self, vectors: npt.NDArray[Any], k: int = 4, collection: str = "notes", **more: Any
    ) -> list[list[Mapping[str, Any]]]:
        body = {"collection": collection, "k": k, **more}
        hits: list[list[Mapping[str, Any]]] = self.call("search", body, vectors).body["hits"]
        return hits

    def get(self, collection: str = "notes", **more: Any) -> Answer:
        return self.call("get", {"collection": collection, **more})

    def delete(self, collection: str = "notes", **more: Any) -> int:
        body = {"collection": collection, "number": self.next_number(), **more}
        return int(self.call("delete", body).body["deleted"])
