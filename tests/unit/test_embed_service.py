"""The embed worker's loop against a channel in memory and engines that misbehave on request."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from embed_worker.engines.base import Embedded, Options, Progress
from embed_worker.engines.fake import FakeEngine, hashed_vector
from embed_worker.engines.fake import load as load_fake
from embed_worker.kept import KeptVectors
from embed_worker.service import BULK_NICENESS, EmbedService, serve
from thoth_core.errors import ModelNotFound, QuotaExceeded
from thoth_core.vectors import from_buffer
from thoth_core.wire import Message, decode, encode
from thoth_core.worker.channel import Channel, Delivery

STORE = {"endpoint": "/run/store-1", "incarnation": "store-1"}


class MemoryChannel:
    """What the supervisor would see. Ends the loop when there is nothing more to come."""

    def __init__(self, *messages: Message) -> None:
        self.inbox: deque[Message] = deque(messages)
        self.incarnation = "w1"
        self.stopping = ""
        self.busy = False
        self.stacks_fd = 2
        self.log = logging.getLogger("test.embed")
        self.sent: list[Message] = []
        self.stored: list[tuple[str, Message]] = []
        self.states: list[str] = []
        self.steps = 0
        self.at_step: dict[int, Callable[[], None]] = {}
        self.when_idle: deque[Message] = deque()

    def receive(self, timeout: float | None, *, draining: bool = False) -> Delivery | None:
        if not self.inbox and timeout is None:
            if self.when_idle:
                self.inbox.append(self.when_idle.popleft())
            elif draining and self.stopping:
                # The supervisor loses its patience.
                self.stopping = "stop"
            else:
                self.stopping = self.stopping or "drain"
        # Through the wire, so that nothing passes here that could not pass there.
        return Delivery(decode(encode(self.inbox.popleft()))) if self.inbox else None

    def send(self, message: Message) -> None:
        self.sent.append(decode(encode(message)))

    def send_to_store(self, path: str, message: Message) -> None:
        self.stored.append((path, decode(encode(message))))

    def progress(self) -> None:
        self.steps += 1
        self.at_step.get(self.steps, lambda: None)()

    def state(self, state: str) -> None:
        self.states.append(state)

    def ready(self, body: dict[str, Any]) -> None:
        self.states.append("READY")
        self.sent.append(Message("ready", body=body))

    def kinds(self, unit: str = "") -> list[str]:
        return [m.kind for m in self.sent if m.id == unit or not unit]

    def answer(self, unit: str) -> Message:
        (answer,) = [m for m in self.sent if m.id == unit and m.kind != "started"]
        return answer


def _unit(id: str, texts: Sequence[Any], attempt: int = 1, **body: Any) -> Message:
    return Message(
        "unit", id, attempt, "w1", body={"texts": list(texts), "purpose": "document"} | body
    )


def _upsert(id: str, texts: Sequence[Any]) -> Message:
    n = len(texts)
    body = {
        "collection": "c",
        "ids": [f"id{i}" for i in range(n)],
        "metadatas": [{"n": i} for i in range(n)],
        "hashes": [f"h{i}" for i in range(n)],
        "number": 77,
        "model": {"name": "fake/8"},
    }
    return _unit(id, texts, store=STORE | {"kind": "upsert", "body": body})


def _run(channel: MemoryChannel, engine: Any = None, **kw: Any) -> MemoryChannel:
    engine = engine or load_fake(Options("fake/8", faults=True, batch_size=2))
    EmbedService(cast(Channel, channel), engine, **kw).run()
    return channel


def _indices(error: dict[str, Any]) -> list[int]:
    indices = error["details"]["indices"]
    assert isinstance(indices, list)
    return indices


def test_a_unit_is_started_and_answered_with_its_vectors() -> None:
    channel = _run(MemoryChannel(_unit("u1", ["one text", "two"], attempt=3)))
    assert channel.kinds("u1") == ["started", "done"]
    done = channel.answer("u1")
    assert done.attempt == 3
    assert done.body == {"indices": [0, 1], "tokens": 3, "windowed": 0, "errors": []}
    want = [hashed_vector("one text", 8), hashed_vector("two", 8)]
    np.testing.assert_array_equal(from_buffer(done.buffers[0]), want)
    assert channel.busy is False


def test_windowed_texts_are_counted() -> None:
    done = _run(MemoryChannel(_unit("u1", ["w " * 300, "short"]))).answer("u1")
    assert done.body["windowed"] == 1
    assert done.body["tokens"] == 301


def test_a_bad_text_is_named_by_index_and_its_neighbours_are_done(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done = _run(MemoryChannel(_unit("u1", ["a", 5, "!raise", "b", None]))).answer("u1")
    assert done.body["indices"] == [0, 3]
    errors = dict(done.body["errors"])
    assert {i: e["code"] for i, e in errors.items()} == {
        1: "invalid_input",
        2: "worker_raised",
        4: "invalid_input",
    }
    assert all(_indices(error) == [i] for i, error in errors.items())
    assert errors[2]["details"]["exception"] == "InjectedError"
    np.testing.assert_array_equal(
        from_buffer(done.buffers[0]), [hashed_vector("a", 8), hashed_vector("b", 8)]
    )
    assert "InjectedError" in caplog.text


def test_a_unit_of_one_bad_text_is_answered_with_its_error() -> None:
    done = _run(MemoryChannel(_unit("u1", ["!raise"]))).answer("u1")
    assert done.body["indices"] == []
    assert done.body["errors"][0][1]["code"] == "worker_raised"
    assert done.buffers[0].shape == (0, 8)


def test_a_unit_of_nothing_usable_is_answered_too() -> None:
    done = _run(MemoryChannel(_unit("u1", [None]), _unit("u2", [])))
    assert done.answer("u1").body["errors"][0][0] == 0
    assert done.answer("u2").body["indices"] == []


def test_an_upsert_goes_straight_to_the_store_with_the_rows_that_were_embedded() -> None:
    channel = _run(MemoryChannel(_upsert("u1", ["a", "!raise", "c"])))
    ((path, message),) = channel.stored
    assert path == STORE["endpoint"]
    assert (message.kind, message.id, message.attempt) == ("upsert", "u1", 1)
    assert message.incarnation == STORE["incarnation"]
    assert message.body == {
        "collection": "c",
        "ids": ["id0", "id2"],
        "metadatas": [{"n": 0}, {"n": 2}],
        "hashes": ["h0", "h2"],
        "texts": ["a", "c"],
        "number": 77,
        "model": {"name": "fake/8"},
    }
    assert message.buffers[0].shape == (2, 8)
    handed = channel.answer("u1")
    assert handed.kind == "handed"
    assert handed.buffers == ()
    assert handed.body["indices"] == [0, 2]
    assert handed.body["bytes"] >= 2 * 8 * 4
    assert [i for i, _ in handed.body["errors"]] == [1]


def test_nothing_is_sent_to_the_store_when_no_row_was_embedded() -> None:
    channel = _run(MemoryChannel(_upsert("u1", ["!raise"])))
    assert channel.stored == []
    assert channel.answer("u1").body["indices"] == []
    assert channel.answer("u1").body["bytes"] == 0


def test_a_query_sends_a_search_that_says_which_texts_its_vectors_are_for() -> None:
    body = {"collection": "c", "k": 4, "where": None}
    unit = _unit("q1", ["where?", 3, "when?"], purpose="query")
    unit = replace(unit, body=dict(unit.body) | {"store": STORE | {"kind": "search", "body": body}})
    channel = _run(MemoryChannel(unit))
    ((_, message),) = channel.stored
    assert message.kind == "search"
    assert message.body == body | {"indices": [0, 2]}
    assert message.buffers[0].shape == (2, 8)


def test_kept_vectors_are_sent_again_to_the_next_store_under_the_new_attempt() -> None:
    channel = MemoryChannel(_upsert("u1", ["a"]))
    new = {"endpoint": "/run/store-2", "incarnation": "store-2"}
    channel.when_idle.append(Message("resend", body={"units": [["u1", 2]], "store": new}))
    _run(channel)
    (_, first), (path, again) = channel.stored
    assert path == "/run/store-2"
    assert (again.attempt, again.incarnation) == (2, "store-2")
    assert again.body == first.body
    np.testing.assert_array_equal(from_buffer(again.buffers[0]), from_buffer(first.buffers[0]))
    assert "missing" not in channel.kinds()


def test_a_resend_of_what_is_not_kept_is_answered_missing() -> None:
    channel = MemoryChannel(_upsert("u1", ["a"]))
    channel.when_idle.append(Message("release", body={"units": ["u1"]}))
    resend = Message("resend", body={"units": [["u1", 2], ["never", 1]], "store": STORE})
    channel.when_idle.append(resend)
    _run(channel)
    assert len(channel.stored) == 1
    missing = [(m.id, m.attempt) for m in channel.sent if m.kind == "missing"]
    assert missing == [("u1", 2), ("never", 1)]


def test_vectors_dropped_over_the_bound_are_missing_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    channel = MemoryChannel(_upsert("u1", ["a"]), _upsert("u2", ["b"]))
    resend = Message("resend", body={"units": [["u1", 2], ["u2", 2]], "store": STORE})
    channel.when_idle.append(resend)
    _run(channel, kept=KeptVectors(40))
    assert [m.id for m in channel.sent if m.kind == "missing"] == ["u1"]
    assert [m.id for _, m in channel.stored] == ["u1", "u2", "u2"]
    assert "u1" in caplog.text


def test_a_resend_that_names_nothing_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    bad = [
        Message("resend", body={"units": [["u1", 1]]}),
        Message("resend", body={"units": ["u1", ["u1"], ["u1", "x"]], "store": STORE}),
        Message("resend", body={"units": 3, "store": STORE}),
        Message("release", body={}),
        Message("nonsense"),
    ]
    channel = _run(MemoryChannel(*bad, _unit("u1", ["a"])))
    assert channel.kinds("u1") == ["started", "done"]
    assert "nonsense" in caplog.text


def test_a_waiting_unit_that_is_released_never_runs_and_gives_its_credit_back() -> None:
    channel = MemoryChannel(
        _unit("u1", ["a"]), _unit("u2", ["b"]), Message("release", body={"units": ["u2"]})
    )
    _run(channel)
    assert channel.kinds("u1") == ["started", "done"]
    assert channel.kinds("u2") == ["error"]
    assert channel.answer("u2").body["code"] == "cancelled"


def test_a_running_unit_that_is_released_ends_at_the_next_step() -> None:
    channel = MemoryChannel(_unit("u1", list("abcdefghij")), _unit("u2", ["z"]))
    release = Message("release", body={"units": ["u1"]})
    channel.at_step[2] = lambda: channel.inbox.append(release)
    _run(channel)
    assert channel.kinds("u1") == ["started", "error"]
    assert channel.answer("u1").body["code"] == "cancelled"
    assert channel.kinds("u2") == ["started", "done"]
    assert channel.steps == 3


def test_a_resend_is_obeyed_while_a_unit_runs() -> None:
    channel = MemoryChannel(_upsert("u1", ["a"]), _unit("u2", list("abcdef")))
    resend = Message("resend", body={"units": [["u1", 2]], "store": STORE})
    seen: list[int] = []
    channel.at_step[2] = lambda: channel.inbox.append(resend)
    channel.at_step[3] = lambda: seen.append(len(channel.stored))
    _run(channel)
    assert seen == [2]


def test_after_a_resend_nothing_more_goes_to_the_store_before_it() -> None:
    """It is dead, and a line to its socket would cost what waits for its successor."""
    channel = MemoryChannel(_upsert("u1", ["a"]), _upsert("u2", list("abcdef")), _upsert("u3", "z"))
    new = {"endpoint": "/run/store-2", "incarnation": "store-2"}
    resend = Message("resend", body={"units": [["u1", 2]], "store": new})
    channel.at_step[2] = lambda: channel.inbox.append(resend)
    channel.when_idle.append(
        Message("resend", body={"units": [["u2", 2], ["u3", 2]], "store": new})
    )
    _run(channel)
    assert [(path, m.id, m.attempt) for path, m in channel.stored] == [
        ("/run/store-1", "u1", 1),
        ("/run/store-2", "u1", 2),
        ("/run/store-2", "u2", 2),
        ("/run/store-2", "u3", 2),
    ]
    assert channel.kinds("u2") == channel.kinds("u3") == ["started", "handed"]


def test_drain_finishes_what_was_received() -> None:
    channel = MemoryChannel(_unit("u1", ["a"]), _unit("u2", ["b"]))
    channel.stopping = "drain"
    _run(channel)
    assert channel.kinds("u1") == channel.kinds("u2") == ["started", "done"]


def test_stop_ends_in_the_middle_of_a_unit_without_an_answer() -> None:
    channel = MemoryChannel(_unit("u1", list("abcdef")), _unit("u2", ["b"]))

    def stop() -> None:
        channel.stopping = "stop"

    channel.at_step[1] = stop
    _run(channel)
    assert channel.kinds() == ["started"]
    assert channel.steps == 1


def test_a_message_for_an_earlier_incarnation_is_dropped() -> None:
    late = replace(_unit("u1", ["a"]), incarnation="w0")
    assert _run(MemoryChannel(late)).sent == []


@pytest.mark.parametrize(
    "body",
    [
        {"texts": "a text"},
        {"purpose": "poetry"},
        {"store": 7},
        {"store": STORE},
        {"store": STORE | {"kind": "delete", "body": {}}},
        {"store": STORE | {"kind": "upsert", "body": {"ids": ["only one"]}}},
    ],
)
def test_a_unit_that_makes_no_sense_is_refused_as_a_whole(body: dict[str, Any]) -> None:
    unit = _unit("u1", ["a", "b"])
    unit = replace(unit, body=dict(unit.body) | body)
    channel = _run(MemoryChannel(unit, _unit("u2", ["c"])))
    assert channel.answer("u1").body["code"] == "protocol"
    assert channel.answer("u2").kind == "done"
    assert channel.stored == []


class _Engine:
    """A fake engine whose next calls go through ``calls`` first."""

    def __init__(self, *calls: Callable[[Embedded], Embedded]) -> None:
        self._inner: FakeEngine = load_fake(Options("fake/8"))
        self._calls = deque(calls)
        self.info = self._inner.info

    def threads(self) -> dict[str, int]:
        return {"torch": 1}

    def embed(self, texts: Sequence[str], purpose: str, progress: Progress) -> Embedded:
        made = self._inner.embed(texts, purpose, progress)
        return self._calls.popleft()(made) if self._calls else made


def test_a_vector_that_is_not_finite_or_zero_never_leaves_the_worker() -> None:
    def spoil(made: Embedded) -> Embedded:
        made.vectors[1] = np.nan
        made.vectors[2] = 0
        made.vectors[3, 0] = np.inf
        return made

    done = _run(MemoryChannel(_unit("u1", list("abcde"))), _Engine(spoil)).answer("u1")
    assert done.body["indices"] == [0, 4]
    assert [i for i, _ in done.body["errors"]] == [1, 2, 3]
    assert {e["code"] for _, e in done.body["errors"]} == {"worker_raised"}
    assert np.isfinite(from_buffer(done.buffers[0])).all()


def test_an_error_of_the_engine_about_everything_refuses_the_unit() -> None:
    def refuse(made: Embedded) -> Embedded:
        raise QuotaExceeded("nothing left")

    channel = _run(MemoryChannel(_unit("u1", ["a", "b"]), _unit("u2", ["c"])), _Engine(refuse))
    assert channel.answer("u1").body["code"] == "quota"
    assert channel.answer("u2").kind == "done"


def test_a_message_of_an_exception_that_utf8_cannot_hold_is_passed_on() -> None:
    def fail(made: Embedded) -> Embedded:
        raise ValueError("bad \ud800 text" + "x" * 5000)

    done = _run(MemoryChannel(_unit("u1", ["a"])), _Engine(fail)).answer("u1")
    cause = done.body["errors"][0][1]["details"]["cause"]
    assert cause.startswith("bad ? text")
    assert len(cause) <= 500


def test_a_failure_of_the_batch_alone_costs_nobody_anything() -> None:
    def fail(made: Embedded) -> Embedded:
        raise MemoryError

    done = _run(MemoryChannel(_unit("u1", ["a", "b"])), _Engine(fail)).answer("u1")
    assert done.body["indices"] == [0, 1]
    assert done.body["errors"] == []


def test_serve_reports_what_the_protocol_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    nice: list[int] = []
    monkeypatch.setattr(os, "nice", nice.append)
    channel = MemoryChannel(_unit("u1", ["a"]))
    config = {
        "model": "fake/8",
        "lane": "bulk",
        "threads": 1,
        "settings": {"long_text": "window", "embedding_batch_size": 100},
    }
    serve(cast(Channel, channel), config)
    assert channel.states == ["LOADING", "READY"]
    ready = channel.sent[0].body
    assert set(ready) == {
        "model",
        "dimension",
        "max_tokens",
        "precision",
        "credit",
        "versions",
        "threads",
    }
    assert ready["model"]["name"] == "fake/8"
    assert ready["dimension"] == 8
    assert set(ready["credit"]) == {"units", "items", "tokens", "spare"}
    assert channel.answer("u1").kind == "done"
    assert nice == [BULK_NICENESS]


def test_the_interactive_lane_keeps_its_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    nice: list[int] = []
    monkeypatch.setattr(os, "nice", nice.append)
    serve(cast(Channel, MemoryChannel()), {"model": "fake/8", "lane": "interactive"})
    assert nice == []


def test_a_model_that_cannot_be_had_is_a_boot_failure() -> None:
    channel = MemoryChannel()
    with pytest.raises(ModelNotFound):
        serve(cast(Channel, channel), {"model": "fake/none", "lane": "interactive"})
    assert channel.states == ["LOADING"]


def test_a_drain_waits_for_what_becomes_of_the_vectors_that_are_kept() -> None:
    kept = KeptVectors()
    channel = MemoryChannel(_upsert("u1", ["one"]))
    channel.stopping = "drain"
    channel.when_idle.append(Message("release", "", 0, "w1", body={"units": ["u1"]}))
    _run(channel, kept=kept)
    assert channel.kinds("u1") == ["started", "handed"]
    assert not kept
    assert channel.stopping == "drain", "it ended by itself"


def test_a_stop_does_not_wait_for_them() -> None:
    kept = KeptVectors()
    channel = MemoryChannel(_upsert("u1", ["one"]))
    channel.stopping = "drain"
    _run(channel, kept=kept)
    assert channel.stopping == "stop"
    assert kept
