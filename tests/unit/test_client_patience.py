"""How long a client waits for a sign of its service."""

from __future__ import annotations

import pytest

from thoth_core.client.patience import (
    GREETING_AT_MOST,
    GREETING_SILENCE,
    MAX_GREETINGS_LOST,
    PARTING,
    PING_EVERY,
    SILENCE,
    Patience,
)


def test_a_service_that_only_answers_pings_is_given_up_in_the_end() -> None:
    patience = Patience(autostart=True)
    patience.opened(100.0)
    assert patience.greeting_limit == 100.0 + GREETING_SILENCE
    patience.heard(105.0)
    assert patience.greeting_limit == 105.0 + GREETING_SILENCE
    patience.heard(100.0 + GREETING_AT_MOST)
    assert patience.greeting_limit == 100.0 + GREETING_AT_MOST


def test_one_that_said_it_is_stopping_has_its_time_for_that() -> None:
    patience = Patience(autostart=True)
    patience.opened(100.0)
    patience.parting = True
    assert patience.greeting_limit == 100.0 + PARTING
    patience.opened(130.0)
    assert not patience.parting


@pytest.mark.parametrize(("autostart", "since"), [(True, 108.0), (False, 100.0)])
def test_a_successor_is_waited_for_from_when_the_connection_was_lost(
    autostart: bool, since: float
) -> None:
    patience = Patience(autostart=autostart)
    patience.opened(0.0)
    patience.greeted(1.0)
    patience.lost(100.0)
    patience.lost(104.0)
    # Each try is a connection of its own, unless we start a successor ourselves.
    patience.opened(108.0)
    assert patience.greeting_limit == since + GREETING_SILENCE
    patience.heard(109.0)
    assert patience.greeting_limit == 109.0 + GREETING_SILENCE


def test_so_many_connections_without_a_greeting_are_enough() -> None:
    patience = Patience(autostart=True)
    for _ in range(2):
        assert [patience.not_greeted() for _ in range(MAX_GREETINGS_LOST)] == [
            *[True] * (MAX_GREETINGS_LOST - 1),
            False,
        ]
        patience.give_up()
    patience.not_greeted()
    patience.greeted(1.0)
    assert patience.not_greeted()


def test_the_time_in_which_this_process_did_not_run_is_no_silence() -> None:
    patience = Patience(autostart=True)
    patience.opened(0.0)
    patience.greeted(1.0)
    patience.asked(10.0)
    assert (patience.silent_at, patience.next_ping) == (10.0 + SILENCE, 10.0 + PING_EVERY)
    patience.stood_still(1000.0)
    assert patience.silent_at == 1010.0 + SILENCE
    assert patience.pong == 1001.0
