"""The embed worker's loop: units in, vectors out, to dispatch or straight to the store.

The main thread computes. Between two model calls it looks at what came in the meantime: releases
and resends are obeyed at once, further units wait. Nothing here is saved anywhere. If the process
dies, dispatch still has the unit.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from embed_worker.careful import embed_carefully
from embed_worker.engines import load_engine
from embed_worker.engines.base import Embedded, Engine, Options
from embed_worker.kept import KeptVectors
from embed_worker.latest_store import LatestStore
from embed_worker.query_vectors import QueryVectors
from thoth_core.errors import Cancelled, ProtocolError, ServiceUnavailable, ThothError
from thoth_core.provider import is_openai
from thoth_core.vectors import to_buffer
from thoth_core.wire import Buffer, Message, error_message
from thoth_core.worker.stack_dumps import StepTimer

if TYPE_CHECKING:
    from thoth_core.worker.channel import Channel

#: Beside an ingest that took all of the machine queries took 21.8 ms (p50; 37 p90) at 5, 17.7 (29)
#: at 10 and 16.7 (28) at 19, and no fewer texts were stored. At 19 other programs, which have 0,
#: would leave nothing to bulk on a machine that does not look at sessions first.
BULK_NICENESS = 10
#: Seconds for the key of a provider, which comes before the configuration.
KEY_SECONDS = 30.0
#: Seconds that one step may take, if the configuration names none.
UNIT_TIMEOUT = 120.0
PURPOSES = ("document", "query")
#: What of a store call is one entry a text.
ROW_PARALLEL = ("ids", "metadatas", "hashes")


def serve(channel: Channel, config: Mapping[str, Any]) -> None:
    """Load the engine that ``config`` (``{model, settings, lane?, threads?}``) names and work
    until the supervisor wants the end. Raises a :class:`ThothError` if there is no such engine."""
    options = Options.from_config(config)
    if config.get("lane") == "bulk" and not is_openai(options.model):
        # So that a query's worker gets the core first. It works because all workers are in the
        # supervisor's session: the kernel shares the machine out between sessions before it
        # looks at niceness.
        os.nice(BULK_NICENESS)
    channel.state("LOADING")
    began = time.monotonic()
    engine = _engine(channel, options)
    info = engine.info
    channel.log.info("%s is ready after %.1f s", info.name, time.monotonic() - began)
    channel.ready(
        {
            "model": info.identity(),
            "dimension": info.dimension,
            "max_tokens": info.max_tokens,
            "precision": info.precision,
            "credit": {
                "units": info.credit.units,
                "items": info.credit.items,
                "tokens": info.credit.tokens,
                "spare": info.credit.spare,
            },
            "versions": dict(info.versions),
            "threads": engine.threads(),
        }
    )
    if is_openai(options.model):
        from embed_worker.several_units import SeveralUnits

        # The timer is for one unit at a time, and native code.
        SeveralUnits(channel, QueryVectors(engine, lock=threading.Lock())).run()
        return
    settings = config.get("settings") or {}
    timer = StepTimer(float(settings.get("unit_timeout", UNIT_TIMEOUT)), channel.stacks_fd)
    EmbedService(channel, QueryVectors(engine), timer=timer).run()


def _engine(channel: Channel, options: Options) -> Engine:
    if not is_openai(options.model):

        def doing(what: str) -> None:
            channel.vitals["doing"] = what

        return load_engine(options, channel.log, doing)
    from embed_worker.engines import openai

    if not channel.secret.wait(KEY_SECONDS):
        raise ServiceUnavailable("the supervisor said nothing of the key")

    def waits(until: float | None) -> None:
        if until is None:
            channel.vitals.pop("waiting_until", None)
        else:
            channel.vitals["waiting_until"] = time.time() + until - time.monotonic()

    return openai.load(options, channel.secret, channel.log, waits)


class Ended(BaseException):
    """Ends the unit that runs. Not an ``Exception``: no library on the way may swallow it."""


class EmbedService:
    """The loop over one channel and one engine."""

    def __init__(
        self,
        channel: Channel,
        engine: Engine,
        kept: KeptVectors | None = None,
        timer: StepTimer | None = None,
    ) -> None:
        self._channel = channel
        self._engine = engine
        self._kept = kept if kept is not None else KeptVectors()
        self._timer = timer
        self._latest_store = LatestStore()
        self._waiting: deque[Message] = deque()
        self._running: Message | None = None
        self._cancelled = False

    @property
    def _at_work(self) -> bool:
        """Whether something is going on that will say when it is done."""
        return False

    def run(self) -> None:
        """Until ``stop``, or ``drain`` and nothing left to do: the vectors that it keeps would have
        to be made again, so what becomes of them is waited for too."""
        while True:
            self._read(None if not self._waiting else 0)
            if self._channel.stopping == "stop":
                return
            if self._waiting:
                self._run_unit(self._waiting.popleft())
            elif self._channel.stopping and not self._kept:
                return

    # -- what comes in ------------------------------------------------------------------------

    def _read(self, timeout: float | None) -> None:
        """Wait for a message as long as ``timeout`` says, then take all that are there."""
        draining = bool(self._kept) or self._at_work
        delivery = self._channel.receive(timeout, draining=draining)
        while delivery is not None:
            self._take(delivery.message)
            delivery = self._channel.receive(0)

    def _take(self, message: Message) -> None:
        if message.incarnation not in ("", self._channel.incarnation):
            self._channel.log.warning("dropped a %s for %s", message.kind, message.incarnation)
            return
        self._latest_store.heard(message)
        if message.kind == "unit":
            self._waiting.append(message)
        elif message.kind == "release":
            for unit in _list(message.body.get("units")):
                self._release(str(unit))
        elif message.kind == "resend":
            self._resend(message)
        else:
            self._channel.log.warning("dropped a message of the kind %s", message.kind)

    def _release(self, unit: str) -> None:
        self._kept.release(unit)
        self._give_up(unit)
        for waiting in [m for m in self._waiting if m.id == unit]:
            self._waiting.remove(waiting)
            self._refuse(waiting, given_up())

    def _give_up(self, unit: str) -> None:
        """If this one runs, end it at the next step."""
        if self._running is not None and self._running.id == unit:
            self._cancelled = True

    def _resend(self, message: Message) -> None:
        store = message.body.get("store")
        for pair in _list(message.body.get("units")):
            if not isinstance(store, Mapping) or not _is_unit_and_attempt(pair):
                self._channel.log.warning("dropped a resend that names no store or unit")
                continue
            unit, attempt = pair
            again = self._kept.again(unit, attempt, str(store.get("incarnation", "")))
            try:
                if again is not None:
                    self._channel.send_to_store(str(store.get("endpoint", "")), again)
                    continue
            except ThothError as problem:
                # Too large, and never sent before. Its next attempt says so to who asked.
                self._channel.log.warning("unit %s cannot be sent: %s", unit, problem)
            self._channel.send(Message("missing", unit, attempt))

    # -- a unit -------------------------------------------------------------------------------

    def _run_unit(self, unit: Message) -> None:
        self._running, self._cancelled = unit, False
        self._channel.busy = True
        self._channel.send(Message("started", unit.id, unit.attempt))
        self._begin_step()
        try:
            texts, purpose = check_unit(unit)
            done = embed_carefully(self._engine, texts, purpose, self._progress, self._channel.log)
            self._answer(unit, texts, done)
        except Ended:
            if self._cancelled:
                self._refuse(unit, given_up())
        except ThothError as problem:
            self._refuse(unit, problem)
        finally:
            if self._timer is not None:
                self._timer.end()
            self._running = None
            self._channel.busy = False

    def _progress(self) -> None:
        """A step of the work is done. The one place where a unit that runs can be ended."""
        self._channel.progress()
        self._begin_step()
        self._read(0)
        if self._cancelled or self._channel.stopping == "stop":
            raise Ended

    def _begin_step(self) -> None:
        if self._timer is not None:
            self._timer.step()

    def _answer(self, unit: Message, texts: Sequence[Any], done: Embedded) -> None:
        indices = [i for i in range(len(texts)) if i not in done.errors]
        report: dict[str, Any] = {
            "indices": indices,
            "tokens": sum(done.tokens),
            "windowed": sum(done.windowed),
            "errors": [[i, done.errors[i].to_dict()] for i in sorted(done.errors)],
        }
        vectors = to_buffer(done.vectors[indices])
        store = unit.body.get("store")
        if store is None:
            message = Message("done", unit.id, unit.attempt, body=report, buffers=(vectors,))
            self._channel.send(message)
            return
        size = 0
        if indices:
            message = for_store(unit, store, texts, indices, vectors)
            size = _size(message)
            if self._latest_store.is_at(store):
                # Raises if the message is too large for the wire; then nothing was handed over.
                self._channel.send_to_store(str(store.get("endpoint", "")), message)
            for dropped in self._kept.put(message, size):
                self._channel.log.warning("the vectors of unit %s are kept no longer", dropped)
        self._channel.send(Message("handed", unit.id, unit.attempt, body=report | {"bytes": size}))

    def _refuse(self, unit: Message, problem: ThothError) -> None:
        self._channel.send(error_message(problem, unit.id, unit.attempt))


def for_store(
    unit: Message,
    store: Mapping[str, Any],
    texts: Sequence[str],
    indices: Sequence[int],
    vectors: Buffer,
) -> Message:
    """What the store is told of ``unit``: ``store``'s body for the rows at ``indices``.

    An upsert carries the rows' texts and its row-parallel lists reduced to them; a search carries
    ``indices``, which say what texts of the unit its vectors are for.
    """
    body = dict(store["body"])
    if store["kind"] == "search":
        body["indices"] = list(indices)
    else:
        body["texts"] = [texts[i] for i in indices]
        for name in ROW_PARALLEL:
            if isinstance(body.get(name), list):
                body[name] = [body[name][i] for i in indices]
    return replace(
        unit,
        kind=store["kind"],
        incarnation=str(store.get("incarnation", "")),
        deadline=None,
        body=body,
        buffers=(vectors,),
    )


def check_unit(unit: Message) -> tuple[list[Any], str]:
    texts, purpose = unit.body.get("texts"), unit.body.get("purpose") or "document"
    if not isinstance(texts, list):
        raise ProtocolError("a unit without a list of texts")
    if purpose not in PURPOSES:
        raise ProtocolError(f"a unit for {purpose!r}, which is no purpose")
    store = unit.body.get("store")
    if store is None:
        return texts, purpose
    if not isinstance(store, Mapping) or not isinstance(store.get("body"), Mapping):
        raise ProtocolError("a unit for a store that is not described")
    if store.get("kind") not in ("upsert", "search"):
        raise ProtocolError(f"a unit for {store.get('kind')!r}, which no store does")
    for name in ROW_PARALLEL:
        rows = store["body"].get(name)
        if isinstance(rows, list) and len(rows) != len(texts):
            raise ProtocolError(f"a unit of {len(texts)} texts with {len(rows)} {name}")
    return texts, purpose


def _size(message: Message) -> int:
    """Roughly the bytes that keeping ``message`` takes."""
    texts = sum(len(t) for t in _list(message.body.get("texts")))
    return texts + sum(b.nbytes for b in message.buffers)


def _is_unit_and_attempt(pair: Any) -> bool:
    return (
        isinstance(pair, list)
        and len(pair) == 2
        and isinstance(pair[0], str)
        and isinstance(pair[1], int)
    )


def given_up() -> Cancelled:
    return Cancelled("the unit was given up before it was done")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
