"""A model's graph compiled for this processor, kept for the next process.

Compiling takes a worker longer than all else of its start; OpenVINO can write what came of it into
a folder and read it from there in a third of the time. Native code reads that folder and does not
doubt it. So it comes into its place whole, and it is dropped when a process died over it.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from embed_worker.cache_places import remove_folder
from thoth_core.locks import FileLock, holder

#: Of a process that reads the folder. It has the file locked; a file of one that died is not.
_READING = ".reading"

#: Compiles with some more options.
Compile = Callable[[Mapping[str, str]], Any]


def compiled(place: Path, compile_with: Compile, log: logging.Logger) -> Any:
    """What ``compile_with`` gives, with the folder ``place`` to read it from or to write it to.
    The folder is of one model, one version of OpenVINO, one processor and one set of options.
    Whatever is wrong with it, the model is compiled."""
    try:
        if place.is_dir() and _died_over(place):
            log.warning("a process died over %s, which is made anew", place)
            remove_folder(place)
        if not place.is_dir():
            return _made(place, compile_with)
        mark, lock = _marked(place)
    except OSError as problem:
        # Nothing is wrong with what is there, but without a mark nobody would know who died of it.
        log.info("compiled without %s: %s", place, problem)
        return compile_with({})
    try:
        made = compile_with({"CACHE_DIR": str(place)})
    except Exception as problem:
        log.warning("compiled without %s, which is removed: %s", place, problem)
        with contextlib.suppress(OSError):
            remove_folder(place)
        return compile_with({})
    else:
        with contextlib.suppress(OSError):
            mark.unlink(missing_ok=True)
        return made
    finally:
        lock.release()


def _made(place: Path, compile_with: Compile) -> Any:
    lock = FileLock(place.with_suffix(".lock"))
    if not lock.acquire():
        # Another worker makes it; that takes as long for both of us.
        return compile_with({})
    try:
        draft = place.with_suffix(".draft")
        remove_folder(draft)
        try:
            made = compile_with({"CACHE_DIR": str(draft)})
        except Exception:
            # Of what it cannot write OpenVINO may say so or not.
            remove_folder(draft)
            return compile_with({})
        if not place.exists() and any(draft.glob("*.blob")):
            draft.rename(place)
        else:
            remove_folder(draft)
        return made
    finally:
        lock.release()


def _marked(place: Path) -> tuple[Path, FileLock]:
    """A mark in ``place`` that this process reads it, locked before anybody can see it."""
    mark = place / f"{os.getpid()}{_READING}"
    hidden = place / f".{mark.name}"
    lock = FileLock(hidden)
    if not lock.acquire():
        raise OSError(f"{hidden} is another's")
    try:
        hidden.rename(mark)
    except OSError:
        lock.release()
        raise
    return mark, lock


def _died_over(place: Path) -> bool:
    """Whether somebody began to read it and neither ended that nor goes on."""
    return any(holder(mark) is None and mark.exists() for mark in place.glob(f"*{_READING}"))
