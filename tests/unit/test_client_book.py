"""The table of open requests: decisions over time, without a clock."""

from __future__ import annotations

import math

import pytest

from thoth_core.client.book import (
    LONGEST_PAUSE,
    MAX_LOSSES,
    OVERLOAD_PATIENCE,
    PONG_SILENCE,
    REQUEST_SILENCE,
    STOPPING_PATIENCE,
    Book,
    Entry,
    State,
)
from thoth_core.client.requests import Request
from thoth_core.errors import (
    DeadlineExceeded,
    InvalidInput,
    Overloaded,
    ServiceStopping,
    ServiceUnavailable,
)


def opened(chance: float = 0.5, deadline: float | None = None) -> tuple[Book[str], Entry[str]]:
    book: Book[str] = Book(lambda: chance)
    entry = Entry(Request("count"), "owner", 0, deadline)
    book.add(entry)
    return book, entry


def test_a_pause_after_overloaded_is_what_was_asked_for_with_jitter_and_grows() -> None:
    for chance in (0.0, 0.999):
        book, entry = opened(chance)
        pauses = []
        now = 0.0
        for _ in range(5):
            book.sent(entry, now)
            assert book.refuse(entry, Overloaded("full", retry_after=0.2), now, successor=False)
            assert entry.state is State.PAUSED
            pauses.append(entry.until - now)
            now = entry.until
            assert book.due(now, now) == []
            assert entry.state is State.QUEUED
        assert pauses == sorted(pauses)
        assert pauses[0] == pytest.approx(0.2 * (0.5 + chance))
        assert max(pauses) <= LONGEST_PAUSE


def test_a_service_that_stays_overloaded_is_given_up_after_a_minute() -> None:
    book, entry = opened()
    now = 0.0
    for _ in range(1000):
        book.sent(entry, now)
        if not book.refuse(entry, Overloaded("full", retry_after=1.0), now, successor=False):
            break
        now = entry.until
        book.due(now, now)
    assert OVERLOAD_PATIENCE - LONGEST_PAUSE <= now <= OVERLOAD_PATIENCE


def test_patience_begins_anew_once_the_request_was_accepted() -> None:
    book, entry = opened()
    book.refuse(entry, Overloaded("full"), 0.0, successor=False)
    book.heard(entry, 50.0)
    assert book.refuse(entry, Overloaded("full"), 70.0, successor=False)


def test_no_pause_reaches_beyond_the_deadline() -> None:
    book, entry = opened(deadline=1.0)
    assert not book.refuse(entry, Overloaded("full", retry_after=5.0), 0.0, successor=False)


def test_only_what_was_sent_is_sent_again_and_counts_the_loss() -> None:
    book, entry = opened()
    other = Entry(Request("count"), "owner", 1, None)
    book.add(other)
    book.sent(entry, 0.0)
    for _ in range(MAX_LOSSES - 1):
        assert book.lost() == []
        assert entry.state is State.QUEUED
        book.sent(entry, 0.0)
    given_up = book.lost()
    assert [e for e, _ in given_up] == [entry]
    assert isinstance(given_up[0][1], ServiceUnavailable)
    assert other.losses == 0


def test_a_request_refused_by_a_stopping_service_waits_for_its_successor() -> None:
    book, entry = opened()
    assert not book.refuse(entry, ServiceStopping("stops"), 0.0, successor=False)
    book.sent(entry, 0.0)
    assert book.refuse(entry, ServiceStopping("stops"), 0.0, successor=True)
    assert book.due(STOPPING_PATIENCE - 1, 0.0) == []
    assert book.lost() == []
    assert entry.state is State.QUEUED
    assert entry.losses == 0
    book.refuse(entry, ServiceStopping("stops"), 0.0, successor=True)
    [(_, error)] = book.due(STOPPING_PATIENCE, 0.0)
    assert isinstance(error, ServiceStopping)


def test_other_errors_are_final() -> None:
    book, entry = opened()
    assert not book.refuse(entry, InvalidInput("bad"), 0.0, successor=True)


def test_a_deadline_ends_a_request_in_every_state() -> None:
    for state in State:
        book, entry = opened(deadline=5.0)
        entry.state = state
        assert book.due(4.9, 0.0) == []
        assert book.next_time() <= 5.0
        assert [type(e) for _, e in book.due(5.0, 0.0)] == [DeadlineExceeded]


def test_silence_ends_a_request_only_when_no_pong_comes_either() -> None:
    book, entry = opened()
    book.sent(entry, 0.0)
    late = REQUEST_SILENCE + 1
    assert book.due(late, late - 1) == []
    assert [e for e, _ in book.due(late, late - PONG_SILENCE)] == [entry]
    book.shift(50.0)
    assert book.due(late, 0.0) == []


def test_an_idle_book_never_has_to_be_asked() -> None:
    book: Book[str] = Book(lambda: 0.0)
    assert book.next_time() == math.inf
    assert not book.waiting_for_answers()
