from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embed_worker.calibration import Calibration, Shape, Timed, choose, unmeasured
from embed_worker.engines import calibrated as measuring
from embed_worker.engines.calibrated import calibrated

LOG = logging.getLogger("test.embed")
limits = st.one_of(st.none(), st.integers(1, 600))


def took(timed: Timed, cost: Callable[[int, int], float]) -> dict[Shape, list[float]]:
    return {shape: [cost(*shape)] * 3 for shape in timed.shapes}


@given(limits)
def test_no_shape_has_rows_over_what_the_model_reads(limit: int | None) -> None:
    timed = Timed.within(limit)
    assert timed.sizes
    for rows, length in timed.shapes:
        assert rows >= 1
        assert 1 <= length <= (limit or 128)
    for align, (_, length) in timed.aligned.items():
        assert length % align == 0


@given(limits, st.data())
def test_whatever_was_measured_can_be_worked_by(limit: int | None, data: st.DataObject) -> None:
    timed = Timed.within(limit)
    times = data.draw(st.integers(1, 3))
    each = st.lists(st.floats(0, 100), min_size=times, max_size=times)
    made = choose(timed, {shape: data.draw(each) for shape in timed.shapes})
    assert made.sound()
    assert unmeasured(timed, data.draw(st.floats(0, 100))).sound()
    assert made.tokens in [rows * length for rows, length in timed.sizes]


def test_where_tiles_of_32_are_much_faster_rows_are_padded_to_them() -> None:
    def cost(rows: int, length: int) -> float:
        return rows * length * (1.0 if length % 32 == 0 else 1.4) * 1e-4

    timed = Timed.within(None)
    assert choose(timed, took(timed, cost)).align == 32


def test_where_padding_costs_more_than_it_gains_there_is_less() -> None:
    # Of 32 ids, 8 more are a quarter.
    timed = Timed.within(32)
    made = choose(timed, took(timed, lambda rows, length: rows * length * 1e-4))
    assert made.align == 8


def test_a_small_difference_decides_nothing() -> None:
    timed = Timed.within(None)

    def cost(rows: int, length: int) -> float:
        return rows * length * 1e-4 * (0.95 if rows * length == 2048 or length == 128 else 1)

    made = choose(timed, took(timed, cost))
    assert (made.align, made.tokens) == (16, 1024)


def test_one_time_that_was_disturbed_decides_nothing() -> None:
    timed = Timed.within(None)
    seconds = took(timed, lambda rows, length: rows * length * 1e-4)
    # All that is usual was slow but once, and then all of it was alike.
    for shape in (timed.aligned[16], (8, 128)):
        seconds[shape] = [seconds[shape][0], *(2 * each for each in seconds[shape][1:])]
    made = choose(timed, seconds)
    assert (made.align, made.tokens) == (16, 1024)


def test_a_model_that_takes_long_is_not_measured(tmp_path: Path) -> None:
    calls: list[Shape] = []

    def run(shape: Shape) -> None:
        calls.append(shape)
        end = time.process_time() + 1.2 * measuring.SLOW
        while time.process_time() < end:
            pass

    made = calibrated(tmp_path, "fp32", 1, None, run, LOG)
    assert calls == [(1, 128)] * 2
    assert made.align == 16
    assert 128 <= made.tokens < 1024
    assert calibrated(tmp_path, "fp32", 1, None, pytest.fail, LOG) == made


def test_larger_calls_are_made_where_they_gain_and_padding_up_to_an_eighth() -> None:
    timed = Timed.within(None)
    made = choose(timed, took(timed, lambda rows, length: (rows * length + 400) * 1e-4))
    assert made.tokens == 2048
    assert made.padding == 256
    assert made.speed == pytest.approx(2048 / 0.2448)


def test_it_is_measured_once_and_kept_for_each_precision_and_number_of_threads(
    tmp_path: Path,
) -> None:
    calls: list[Shape] = []
    first = calibrated(tmp_path, "fp32", 1, None, calls.append, LOG)
    made = len(calls)
    assert made == 2 + (measuring.TIMES + 1) * len(Timed.within(None).shapes)
    assert calibrated(tmp_path, "fp32", 1, None, calls.append, LOG) == first
    assert len(calls) == made
    calibrated(tmp_path, "bf16", 1, None, calls.append, LOG)
    calibrated(tmp_path, "fp32", 2, None, calls.append, LOG)
    assert len(calls) == 3 * made


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"format": 0, "align": 16, "tokens": 1024, "padding": 3, "speed": 5.0}',
        b'{"format": 2, "align": 0, "tokens": 1024, "padding": 3, "speed": 5.0}',
        b'{"format": 2, "align": 16, "tokens": null, "padding": 3, "speed": 5.0}',
    ],
)
def test_what_is_kept_and_cannot_be_used_is_measured_again(tmp_path: Path, content: bytes) -> None:
    calls: list[Shape] = []
    calibrated(tmp_path, "fp32", 1, None, calls.append, LOG)
    [kept] = tmp_path.glob("*.json")
    kept.write_bytes(content)
    made = calibrated(tmp_path, "fp32", 1, None, calls.append, LOG)
    assert made.sound()
    assert calibrated(tmp_path, "fp32", 1, None, pytest.fail, LOG) == made


def test_in_a_folder_that_is_not_there_it_is_measured_each_time(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    assert isinstance(calibrated(gone, "fp32", 1, None, lambda _: None, LOG), Calibration)
    assert not gone.exists()


def test_those_that_start_together_wait_for_the_first(tmp_path: Path) -> None:
    measured: list[int] = []
    begun = threading.Event()

    def run(shape: Shape, who: int) -> None:
        measured.append(who)
        begun.set()
        time.sleep(0.001)

    def start(who: int) -> threading.Thread:
        act = threading.Thread(
            target=lambda: made.append(
                calibrated(tmp_path, "fp32", 1, None, lambda shape: run(shape, who), LOG)
            )
        )
        act.start()
        return act

    made: list[Calibration] = []
    first = start(1)
    assert begun.wait(10)
    others = [start(2), start(3)]
    for each in (first, *others):
        each.join(30)
    assert set(measured) == {1}
    assert made[0] == made[1] == made[2]
