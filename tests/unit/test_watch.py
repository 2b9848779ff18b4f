"""Rates from two answers to ``status``, and what is drawn."""

from __future__ import annotations

import io
from typing import Any

import pytest

from cli.output import Output
from cli.watch import Rates, Screen, one_line, rates
from thoth_core.supervisor.counters import COUNTERS


def status(uptime: float, pid: int = 7, **counted: int) -> dict[str, Any]:
    assert counted.keys() <= COUNTERS.keys()
    counters = dict.fromkeys(COUNTERS, 0) | counted
    worker = {"name": "store", "state": "READY"}
    return {
        "state": "ready",
        "pid": pid,
        "uptime_s": uptime,
        "counters": counters,
        "workers": [worker],
        "queue": {"requests": 3},
    }


def test_rates_are_a_second_of_the_supervisors_time() -> None:
    before = status(10.0, texts_embedded=100, requests_answered=4, units_retried=1)
    after = status(
        12.5, texts_embedded=350, requests_answered=8, requests_failed=1, units_retried=3
    )
    assert rates(before, after) == Rates(texts=100.0, calls=2.0, retries=2)


@pytest.mark.parametrize("before", [None, status(20.0), status(1.0, pid=8)])
def test_there_are_none_over_the_change_of_a_supervisor(before: dict[str, Any] | None) -> None:
    assert rates(before, status(10.0)) is None


def test_a_line_says_state_rates_and_what_is_open() -> None:
    line = one_line(status(10.0), Rates(1.5, 2.0, 3))
    assert line == (
        "ready (pid 7), 1.5 texts/s, 2.0 calls/s, 3 retries, 1 of 1 workers ready, 3 requests open"
    )


def test_a_drawing_takes_the_place_of_the_one_before_and_no_more_than_the_screen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    monkeypatch.setenv("LINES", "4")
    out = io.StringIO()
    screen = Screen(Output(out=out))
    screen.draw(["one", "two"])
    assert out.getvalue() == "\x1b[Jone\ntwo\n"
    screen.draw(["a line that is long", "b\x1b[2Jb", "c", "d", "e"])
    assert out.getvalue().removeprefix("\x1b[Jone\ntwo\n") == "\x1b[2A\x1b[Ja line th\nb [2Jb\nc\n"
    screen.draw(["z"])
    assert out.getvalue().endswith("\x1b[3A\x1b[Jz\n")
