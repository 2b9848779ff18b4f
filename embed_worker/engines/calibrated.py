"""Measuring how a converted model is best asked on this processor: once, and kept beside it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from embed_worker.calibration import Calibration, Shape, Timed, choose
from embed_worker.engines.processor import processor
from thoth_core.locks import FileLock
from thoth_core.whole_file import draft_beside, whole_file

#: One more when what is measured, or what follows from it, changes.
FORMAT = 1
#: Each shape is timed so often, in turns; the least counts, because what else the machine does only
#: ever adds. One more goes before, for memory and kernels.
TIMES = 3
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
        made = choose(timed, _measure(timed, run, threads))
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


def _measure(timed: Timed, run: Run, threads: int) -> dict[Shape, float]:
    """Seconds of a call of each shape: a second or two in all."""
    took: dict[Shape, float] = {}
    for turn in range(TIMES + 1):
        for shape in timed.shapes:
            # Of the processor's time: not what other processes take meanwhile.
            began = time.process_time()
            run(shape)
            if turn:
                took[shape] = min(took.get(shape, 1e9), (time.process_time() - began) / threads)
    return took


def _kept(path: Path) -> Calibration | None:
    try:
        data = json.loads(path.read_bytes())
        if data.pop("format") != FORMAT:
            return None
        made = Calibration(**data)
        return made if made.sound() else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
