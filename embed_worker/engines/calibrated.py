"""Measuring how a converted model is best asked on this processor: once, and kept beside it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from embed_worker.calibration import Calibration, Shape, Timed, choose, unmeasured
from embed_worker.engines.processor import processor
from thoth_core.locks import FileLock
from thoth_core.whole_file import draft_beside, whole_file

#: One more when what is measured, or what follows from it, changes.
FORMAT = 2
#: Each shape is timed so often, in turns, or less often if that takes more seconds; what else the
#: machine does only ever adds. One more turn goes before, for memory and kernels.
TIMES, LONGEST = 3, 2.0
#: A model of which one row takes so many seconds is not measured: it would take minutes.
SLOW = 0.1
#: Seconds to wait for another process that measures before measuring all the same.
PATIENCE = 20.0
LOOK_AGAIN = 0.02

Run = Callable[[Shape], object]


def calibrated(
    folder: Path,
    precision: str,
    threads: int,
    limit: int | None,
    run: Run,
    log: logging.Logger,
) -> Calibration:
    """The calibration for the model in ``folder`` in this precision and on so many threads: the
    one kept there for this processor, or else made now by ``run``, which makes one call of a
    shape. Those that start at the same time wait for the first: together they would measure one
    another."""
    path = folder / f"calibration-{precision}-{threads}-{processor()}.json"
    lock = FileLock(path.with_suffix(".lock"))
    try:
        with suppress(OSError):  # A folder that cannot be written to: measured at each load.
            _wait(path, lock)
        kept = _kept(path)
        if kept is not None:
            return kept
        timed = Timed.within(limit)
        made = _measure(timed, run, threads)
        log.info("measured on this processor, once: %s", made)
        with suppress(OSError), whole_file(path, draft_beside(path), durable=False) as file:
            file.write(json.dumps({"format": FORMAT, **asdict(made)}).encode())
        return made
    finally:
        lock.release()


def _wait(path: Path, lock: FileLock) -> None:
    """Until there is one, or it is on us to make it."""
    until = time.monotonic() + PATIENCE
    while _kept(path) is None and not lock.acquire() and time.monotonic() < until:
        time.sleep(LOOK_AGAIN)


def _measure(timed: Timed, run: Run, threads: int) -> Calibration:
    """In some seconds, whatever the model: each call is timed in the processor's time, which is not
    what other processes take meanwhile."""

    def took(shape: Shape) -> float:
        began = time.process_time()
        run(shape)
        return (time.process_time() - began) / threads

    first = timed.sizes[0]
    took(first)
    if (alone := took(first)) > SLOW:
        return unmeasured(timed, alone)
    for shape in timed.shapes:
        took(shape)
    seconds: dict[Shape, list[float]] = {shape: [] for shape in timed.shapes}
    began = time.monotonic()
    for _ in range(TIMES):
        for shape in timed.shapes:
            seconds[shape].append(took(shape))
        if time.monotonic() - began > LONGEST:
            break
    return choose(timed, seconds)


def _kept(path: Path) -> Calibration | None:
    try:
        data = json.loads(path.read_bytes())
        if data.pop("format") != FORMAT:
            return None
        made = Calibration(**data)
        return made if made.sound() else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
