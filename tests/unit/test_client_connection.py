"""The client against a service of real sockets: answers, losses, deadlines, cancels, forks."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator

import numpy as np
import pytest

from tests.support.service import wait_for
from tests.unit.fake_service import (
    FakeService,
    Reply,
    embed_handler,
    private_settings,
    result,
    vectors_of,
)
from thoth_core import (
    AsyncThoth,
    Cancelled,
    DeadlineExceeded,
    InvalidInput,
    Overloaded,
    ServiceStopping,
    ServiceUnavailable,
    Settings,
    Thoth,
    VersionMismatch,
    WorkerFailed,
)
from thoth_core.client import autostart, book, patience
from thoth_core.client.jobs import Job
from thoth_core.errors import ThothError
from thoth_core.wire import Message, error_message


@pytest.fixture
def settings() -> Iterator[Settings]:
    with private_settings() as made:
        yield made


def silent(message: Message, reply: Reply) -> None:
    """Takes every request and says nothing, but confirms what is cancelled."""
    if message.kind == "cancel":
        reply(error_message(Cancelled("cancelled"), message.id))


def test_vectors_come_in_the_order_of_the_texts_whatever_the_order_of_the_parts(
    settings: Settings,
) -> None:
    with FakeService(settings, embed_handler), Thoth(settings, autostart=False) as thoth:
        vectors = thoth.embed([f"t{i}" for i in range(7)])
        assert vectors.dtype == np.float32
        assert vectors[:, 0].tolist() == list(range(7))
        assert thoth.model == "fake/4"
        assert thoth.embed_query("t3")[0] == 3.0
        assert thoth.embed_documents(["t5"]) == [[5.0, 1.0, 1.0, 1.0]]


def test_no_texts_give_an_empty_array_of_the_models_dimension(settings: Settings) -> None:
    with FakeService(settings, embed_handler), Thoth(settings, autostart=False) as thoth:
        assert thoth.embed([]).shape == (0, 4)
        assert thoth.dimension == 4


def test_a_call_over_the_limit_is_split_with_four_under_way_and_order_kept(
    settings: Settings,
) -> None:
    open_now: list[int] = []
    waiting: list[tuple[Message, Reply]] = []

    def hold(message: Message, reply: Reply) -> None:
        # Answers only when four wait, or when the last has come: last first.
        waiting.append((message, reply))
        open_now.append(len(waiting))
        if len(waiting) == 4 or len(message.body["texts"]) < 2048:
            while waiting:
                embed_handler(*waiting.pop())

    texts = [f"t{i}" for i in range(2048 * 6 + 5)]
    with FakeService(settings, hold) as service, Thoth(settings, autostart=False) as thoth:
        vectors = thoth.embed(texts)
        assert np.array_equal(vectors[:, 0], np.arange(len(texts), dtype=np.float32))
        sizes = sorted(len(m.body["texts"]) for m in service.of("embed"))
    assert sizes == [5, *[2048] * 6]
    assert max(open_now) == 4


def test_an_overloaded_service_is_asked_again_with_the_same_id(settings: Settings) -> None:
    refusals = 3

    def handle(message: Message, reply: Reply) -> None:
        nonlocal refusals
        if refusals:
            refusals -= 1
            reply(error_message(Overloaded("full", retry_after=0.02), message.id))
        else:
            embed_handler(message, reply)

    with FakeService(settings, handle) as service, Thoth(settings, autostart=False) as thoth:
        assert thoth.embed(["t1"])[0, 0] == 1.0
        asked = service.of("embed")
    assert len(asked) == 4
    assert len({m.id for m in asked}) == 1


def test_a_service_that_stays_overloaded_is_given_up_at_the_deadline(settings: Settings) -> None:
    def handle(message: Message, reply: Reply) -> None:
        reply(error_message(Overloaded("full", retry_after=0.05), message.id))

    with FakeService(settings, handle), Thoth(settings, autostart=False) as thoth:
        began = time.monotonic()
        with pytest.raises((Overloaded, DeadlineExceeded)):
            thoth.embed(["t1"], deadline=0.5)
        assert time.monotonic() - began < book.OVERLOAD_PATIENCE / 2


def test_a_service_that_dies_under_a_call_is_followed_by_its_successor_with_the_same_id(
    settings: Settings,
) -> None:
    first = FakeService(settings, silent)
    with Thoth(settings, autostart=False) as thoth:
        answers: list[float] = []
        caller = threading.Thread(target=lambda: answers.append(thoth.embed(["t9"])[0, 0]))
        caller.start()
        asked = first.wait_for("embed")[0]
        first.stop()
        with FakeService(settings, embed_handler) as second:
            again = second.wait_for("embed")[0]
            caller.join(10)
            assert answers == [9.0]
            assert again.id == asked.id
            # So that the first one, should it be read later, is known to be late.
            assert (asked.attempt, again.attempt) == (0, 1)
            assert second.identities()[0] != first.identities()[0]


def test_a_client_that_was_given_up_asks_again_over_another_connection(
    settings: Settings,
) -> None:
    def first_lost(message: Message, reply: Reply) -> None:
        if message.kind == "embed" and message.attempt == 0:
            reply(Message("lost", "of-a-ping"))
        else:
            embed_handler(message, reply)

    with FakeService(settings, first_lost) as service, Thoth(settings, autostart=False) as thoth:
        assert thoth.embed(["t9"])[0, 0] == 9.0
        first, second = service.of("embed")
        assert (second.id, second.attempt) == (first.id, 1)
        assert len(set(service.identities())) == 2


def test_without_a_service_and_without_autostart_the_error_comes_at_once_with_the_command(
    settings: Settings,
) -> None:
    with Thoth(settings, autostart=False) as thoth:
        began = time.monotonic()
        with pytest.raises(ServiceUnavailable) as caught:
            thoth.embed(["t1"])
        assert time.monotonic() - began < 8
    assert caught.value.fix == "thoth-supervisor start"


def test_a_service_that_dies_and_has_no_successor_ends_the_call(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = FakeService(settings, silent)
    with Thoth(settings, autostart=False) as thoth:
        caught: list[BaseException] = []

        def call() -> None:
            try:
                thoth.embed(["t1"])
            except ThothError as error:
                caught.append(error)

        caller = threading.Thread(target=call)
        caller.start()
        service.wait_for("embed")
        with monkeypatch.context() as impatient:
            # Not for the first greeting, nor for that of the next service: those are to come.
            impatient.setattr(patience, "GREETING_SILENCE", 0.5)
            service.stop()
            caller.join(30)
        assert isinstance(caught[0], ServiceUnavailable)
        # And the client is not stuck in that: it finds the next service.
        with FakeService(settings, embed_handler):
            assert thoth.embed(["t2"])[0, 0] == 2.0


def test_a_request_that_ends_the_service_each_time_is_given_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book, "MAX_LOSSES", 2)
    services = [FakeService(settings, silent)]

    def follow() -> None:
        services[0].wait_for("embed")
        services[0].stop()
        services.append(FakeService(settings, silent))
        services[1].wait_for("embed")
        services[1].stop()

    follower = threading.Thread(target=follow)
    follower.start()
    with (
        Thoth(settings, autostart=False) as thoth,
        pytest.raises(ServiceUnavailable, match="2 times"),
    ):
        thoth.embed(["t1"])
    follower.join(10)


def test_a_service_that_falls_silent_is_given_up_and_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    greeted: list[Message] = []

    def once(message: Message) -> Message | None:
        greeted.append(message)
        if len(greeted) > 1:
            return None
        # Only now: the first greeting is to come, and the second hello to be seen.
        monkeypatch.setattr(patience, "SILENCE", 0.4)
        monkeypatch.setattr(patience, "PING_EVERY", 0.1)
        monkeypatch.setattr(patience, "GREETING_SILENCE", 2.0)
        return Message("result", message.id, body={})

    with (
        FakeService(settings, silent, hello=once, pong=False) as service,
        Thoth(settings, autostart=False) as thoth,
        pytest.raises(ServiceUnavailable, match="does not answer"),
    ):
        thoth.embed(["t1"])
    assert len({who for who, _ in service.hellos}) == 2


def test_pongs_keep_a_long_call_alive(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    # More than STOOD_STILL: a shorter pause of this process counts as silence of the service.
    monkeypatch.setattr(patience, "SILENCE", 3.0)
    monkeypatch.setattr(patience, "PING_EVERY", 0.3)
    held: list[tuple[Message, Reply]] = []
    with (
        FakeService(settings, lambda m, r: held.append((m, r))) as service,
        Thoth(settings, autostart=False) as thoth,
    ):
        future = thoth._connection.submit(thoth._calls.embed(["t4"]))
        who = (service.wait_for("embed"), service.identities()[0])[1]
        assert not _done_within(future, 4.0)
        body = {"indices": [0], "windowed": 0, "tokens": 1}
        id = service.of("embed")[0].id
        service.later(who, Message("part", id, body=body, buffers=(vectors_of(["t4"]),)))
        service.later(who, Message("result", id, body={"dimension": 4}))
        assert [m.kind for m in future.result(10)] == ["result"]
        assert len(service.hellos) == 1


def _done_within(future: object, seconds: float) -> bool:
    import concurrent.futures

    done, _ = concurrent.futures.wait([future], seconds)  # type: ignore[list-item]
    return bool(done)


def test_a_deadline_ends_the_call_and_tells_the_service(settings: Settings) -> None:
    with FakeService(settings, silent) as service, Thoth(settings, autostart=False) as thoth:
        # Connects and greets, for which a deadline counts too.
        assert thoth.model
        with pytest.raises(DeadlineExceeded):
            thoth.embed(["t1"], deadline=2.0)
        asked = service.of("embed")[0]
        assert asked.deadline is not None and 0 < asked.deadline <= 2.0
        assert service.wait_for("cancel")[0].id == asked.id


@pytest.mark.parametrize("deadline", [0, -1, True, "1", float("nan")])
def test_a_deadline_that_is_no_time_is_refused(settings: Settings, deadline: float) -> None:
    with Thoth(settings, autostart=False) as thoth, pytest.raises(InvalidInput, match="deadline"):
        thoth.embed(["t1"], deadline=deadline)


def test_cancelling_an_async_call_frees_its_work(settings: Settings) -> None:
    async def scenario(service: FakeService) -> None:
        async with AsyncThoth(settings, autostart=False) as thoth:
            call = asyncio.create_task(thoth.embed(["t1"]))
            await asyncio.to_thread(service.wait_for, "embed")
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            cancelled = await asyncio.to_thread(service.wait_for, "cancel")
            assert cancelled[0].id == service.of("embed")[0].id

    with FakeService(settings, silent) as service:
        asyncio.run(scenario(service))


def test_async_calls_run_beside_each_other(settings: Settings) -> None:
    async def scenario() -> list[float]:
        async with AsyncThoth(settings, autostart=False) as thoth:
            found = await asyncio.gather(*(thoth.embed_query(f"t{i}") for i in range(20)))
            assert await thoth.model() == "fake/4"
            assert await thoth.dimension() == 4
            return [row[0] for row in found]

    with FakeService(settings, embed_handler):
        assert asyncio.run(scenario()) == [float(i) for i in range(20)]


def test_ctrl_c_in_a_call_cancels_it_in_the_service(settings: Settings) -> None:
    interrupted: list[str] = []

    def interrupt(message: Message, reply: Reply) -> None:
        # Once: a client that lost its connection asks again, and a second one would end the run.
        if message.kind == "embed" and not interrupted:
            interrupted.append(message.id)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        silent(message, reply)

    with FakeService(settings, interrupt) as service, Thoth(settings, autostart=False) as thoth:
        with pytest.raises(KeyboardInterrupt):
            thoth.embed(["t1"])
        assert service.wait_for("cancel")[0].id == service.of("embed")[0].id


def test_ctrl_c_while_a_call_starts_cancels_it_in_the_service(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeService(settings, silent) as service, Thoth(settings, autostart=False) as thoth:
        start = thoth._connection.start

        def interrupted(job: Job) -> None:
            start(job)
            service.wait_for("embed")
            raise KeyboardInterrupt

        monkeypatch.setattr(thoth._connection, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            thoth.embed(["t1"])
        assert service.wait_for("cancel")[0].id == service.of("embed")[0].id


@pytest.mark.parametrize("late", [False, True])
def test_ctrl_c_in_the_start_of_the_thread_is_no_other_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    started: list[threading.Thread] = []

    class Interrupted(threading.Thread):
        """The first is interrupted in its start; ``late``, it begins all the same."""

        def start(self) -> None:
            if self.name != "thoth-client":
                super().start()
                return
            started.append(self)
            if len(started) > 1:
                super().start()
                return
            if late:
                threading.Timer(0.3, super().start).start()
            raise KeyboardInterrupt

    def ended(thread: threading.Thread) -> bool:
        return thread.ident is not None and not thread.is_alive()

    with FakeService(settings, embed_handler):
        monkeypatch.setattr("thoth_core.client.connection.threading.Thread", Interrupted)
        with pytest.raises(KeyboardInterrupt), Thoth(settings, autostart=False) as first:
            first.embed(["t1"])
        if late:
            # Closed before it began, it ends at once.
            wait_for(lambda: ended(started[0]), 30, "it has ended")
        started.clear()
        with Thoth(settings, autostart=False) as thoth:
            with pytest.raises(KeyboardInterrupt):
                thoth.embed(["t1"])
            # The same client goes on, with one thread.
            assert thoth.embed(["t2"])[0, 0] == 2.0
            if late:
                wait_for(lambda: ended(started[0]), 30, "the first one has ended")
            assert started[1].is_alive()
            assert thoth.embed(["t3"])[0, 0] == 3.0
        assert not started[1].is_alive()


def test_calls_of_a_closed_client_leave_nothing_behind(settings: Settings) -> None:
    thoth = Thoth(settings, autostart=False)
    thoth.close()
    for _ in range(10):
        with pytest.raises(Cancelled):
            thoth.collections()
    assert not thoth._connection._commands


def test_closing_cancels_what_is_under_way(settings: Settings) -> None:
    with FakeService(settings, silent) as service:
        thoth = Thoth(settings, autostart=False)
        future = thoth._connection.submit(thoth._calls.embed(["t1"]))
        service.wait_for("embed")
        thoth.close()
        with pytest.raises(Cancelled):
            future.result(10)
        assert service.wait_for("cancel")
        thoth.close()
        with pytest.raises(Cancelled):
            thoth.embed(["t1"])


def test_an_error_of_the_service_comes_back_as_its_class(settings: Settings) -> None:
    def handle(message: Message, reply: Reply) -> None:
        reply(error_message(WorkerFailed("gone", cause="why"), message.id))

    with FakeService(settings, handle), Thoth(settings, autostart=False) as thoth:
        with pytest.raises(WorkerFailed) as caught:
            thoth.count()
        assert caught.value.cause == "why"


def test_another_protocol_version_is_told_apart(settings: Settings) -> None:
    def refuse(message: Message) -> Message:
        return error_message(VersionMismatch("theirs is 2"), message.id)

    with (
        FakeService(settings, hello=refuse),
        Thoth(settings, autostart=False) as thoth,
        pytest.raises(VersionMismatch),
    ):
        thoth.count()


def test_settings_in_which_the_service_differs_are_reported(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    def greet(message: Message) -> Message:
        assert message.body["settings"]["embedding_model"] == "fake/4"
        return result(message, pid=7, model={"name": "other"}, differing=["long_text"])

    with (
        FakeService(settings, embed_handler, hello=greet),
        Thoth(settings, autostart=False) as thoth,
    ):
        # Who asks for a model has it.
        assert thoth.model == "fake/4"
        assert thoth.differing == ("long_text",)
    assert "long_text" in caplog.text


def test_when_no_service_runs_one_is_started_once_for_many_calls(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[FakeService] = []

    def start(given: Settings, **more: object) -> int:
        started.append(FakeService(given, embed_handler))
        return 1

    monkeypatch.setattr(autostart, "start_service", start)
    told: list[str] = []
    with Thoth(settings, on_event=told.append) as thoth:
        answers: list[float] = []
        callers = [
            threading.Thread(target=lambda: answers.append(thoth.embed(["t1"])[0, 0]))
            for _ in range(8)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(10)
    started[0].stop()
    assert answers == [1.0] * 8
    assert len(started) == 1
    assert told == ["starting the service…"]


def test_why_the_service_could_not_be_started_is_raised(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(given: Settings, **more: object) -> int:
        raise WorkerFailed("no model")

    monkeypatch.setattr(autostart, "start_service", start)
    with Thoth(settings) as thoth, pytest.raises(WorkerFailed, match="no model"):
        thoth.count()


def test_a_deadline_holds_while_the_service_is_being_started(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def start(given: Settings, **more: object) -> int:
        release.wait(10)
        raise ServiceUnavailable("too late")

    monkeypatch.setattr(autostart, "start_service", start)
    with Thoth(settings) as thoth:
        with pytest.raises(DeadlineExceeded):
            thoth.count(deadline=0.2)
        release.set()


def test_a_stopping_service_is_waited_out_and_its_successor_asked(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(message: Message, reply: Reply) -> None:
        reply(error_message(ServiceStopping("stopping"), message.id))

    services = [FakeService(settings, refuse)]

    def start(given: Settings, **more: object) -> int:
        services.append(FakeService(given, embed_handler))
        return 1

    monkeypatch.setattr(autostart, "start_service", start)
    with Thoth(settings) as thoth:
        future = thoth._connection.submit(thoth._calls.embed(["t3"]))
        services[0].wait_for("embed")
        assert not _done_within(future, 0.2)
        services[0].stop()
        future.result(10)
        assert services[1].of("embed")[0].id == services[0].of("embed")[0].id
    services[1].stop()


def test_a_forked_child_has_a_connection_of_its_own_and_the_parents_goes_on(
    settings: Settings,
) -> None:
    with FakeService(settings, embed_handler) as service:
        with Thoth(settings, autostart=False) as thoth:
            assert thoth.embed(["t1"])[0, 0] == 1.0
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if pid == 0:
                try:
                    good = thoth.embed(["t2"])[0, 0] == 2.0
                    thoth.close()
                    os._exit(0 if good else 1)
                finally:
                    os._exit(2)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            assert thoth.embed(["t3"])[0, 0] == 3.0
        identities = service.identities()
    assert identities[0] == identities[2] != identities[1]
    ids = [m.id for m in service.of("embed")]
    assert len(set(ids)) == 3


def test_a_client_is_safe_between_threads(settings: Settings) -> None:
    with FakeService(settings, embed_handler), Thoth(settings, autostart=False) as thoth:
        wrong: list[int] = []

        def work(base: int) -> None:
            mine = range(base, base + 20)
            wrong.extend(i for i in mine if thoth.embed([f"t{i}"])[0, 0] != float(i))

        threads = [threading.Thread(target=work, args=(n * 100,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert wrong == []


def test_an_answer_to_nothing_is_dropped_and_counted(settings: Settings) -> None:
    def twice(message: Message, reply: Reply) -> None:
        reply(result(message, count=3))
        reply(result(message, count=4))

    with FakeService(settings, twice), Thoth(settings, autostart=False) as thoth:
        assert [thoth.count(), thoth.count()] == [3, 3]
        assert thoth._connection.dropped >= 1
