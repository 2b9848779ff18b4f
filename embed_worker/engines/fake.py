"""``fake/<dimension>``: deterministic vectors without a model, for tests of everything else.

A text's vector comes from its hash, so equal texts have equal vectors and others are unrelated.
A token is a word; long texts follow the same rule as with a real model.

With ``THOTH_FAULTS=1`` a text that is one of these words, or begins with it, does this:

========== =====================================================================================
``!segv``  reads address 0 in native code: SIGSEGV
``!abort`` calls ``abort()``: SIGABRT
``!exit3`` ends the process with status 3
``!exit0`` the same with 0, as a library does that thinks it is a program
``!hang``  never returns, without the GIL: beats go on
``!gil:S`` sleeps S seconds in native code with the GIL held: nothing in the process goes on
``!slow:S`` takes S seconds, without the GIL
``!spin:S`` computes for S seconds of processor time, however long that takes
``!grow:M`` takes M megabytes and keeps them
``!oom``   takes 64 MB, then SIGKILLs the process: what the kernel does to one that takes too much,
           without putting the machine in want of memory
``!raise`` raises an error
========== =====================================================================================
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import signal
import threading
import time
from collections.abc import Sequence

import numpy as np

from embed_worker.batching import Bounds, form_batches
from embed_worker.engines.base import Credit, Embedded, EngineInfo, Options, Progress, Vectors
from embed_worker.windows import LongTexts, plan, pool
from thoth_core.errors import ModelNotFound

#: Words that it reads at once.
MAX_TOKENS = 256
MAX_DIMENSION = 65_536


#: What ``!grow`` keeps.
_GROWN: list[np.ndarray] = []


class InjectedError(RuntimeError):
    """What ``!raise`` raises."""


class FakeEngine:
    """See the module."""

    def __init__(self, dimension: int, options: Options) -> None:
        self._rule = LongTexts(options.long_text, MAX_TOKENS)
        self._faults = options.faults
        self._bounds = Bounds(options.batch_size, 65_536, 65_536)
        self._info = EngineInfo(
            name=f"fake/{dimension}",
            weights="none",
            dimension=dimension,
            normalized=True,
            prompt=None,
            long_text=self._rule.describe(),
            max_tokens=MAX_TOKENS,
            precision="fp32",
            credit=Credit(units=2, items=256, tokens=65_536),
            versions={"engine": "fake"},
        )

    @property
    def info(self) -> EngineInfo:
        return self._info

    def threads(self) -> dict[str, int]:
        return {}

    def embed(self, texts: Sequence[str], purpose: str, progress: Progress) -> Embedded:
        words = [text.split() for text in texts]
        made = plan([len(each) for each in words], self._rule)
        vectors = np.zeros((len(made.pieces), self._info.dimension), dtype=np.float32)
        for batch in form_batches([piece.tokens for piece in made.pieces], self._bounds):
            for row in batch:
                piece = made.pieces[row]
                if self._faults and piece.start == 0:
                    commit_fault(words[piece.text][0] if words[piece.text] else "")
                whole = piece.tokens == len(words[piece.text])
                content = (
                    texts[piece.text]
                    if whole
                    else " ".join(words[piece.text][piece.start : piece.end])
                )
                vectors[row] = hashed_vector(content, self._info.dimension)
            progress()
        return Embedded(
            pool(made.pieces, vectors, len(texts)), made.tokens, made.windowed, dict(made.errors)
        )


def load(options: Options) -> FakeEngine:
    """The engine of ``fake/<dimension>``; :class:`ModelNotFound` if that is no dimension."""
    dimension = options.model.removeprefix("fake/")
    if not dimension.isascii() or not dimension.isdigit():
        raise _no_such_fake(options.model)
    if not 1 <= int(dimension) <= MAX_DIMENSION:
        raise _no_such_fake(options.model)
    return FakeEngine(int(dimension), options)


def hashed_vector(text: str, dimension: int) -> Vectors:
    """The unit vector of ``text``, float32 (dimension,): the same in every process and version."""
    digest = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(4 * dimension)
    # The half keeps every coordinate from zero, and so the length.
    raw = (np.frombuffer(digest, dtype="<u4").astype(np.float64) + 0.5) / 2.0**31 - 1.0
    return (raw / np.linalg.norm(raw)).astype(np.float32)


def commit_fault(word: str) -> None:
    """Do what the marker ``word`` says; nothing if it is none."""
    timed = re.fullmatch(r"!(gil|slow|spin|grow):(\d+(?:\.\d+)?)", word)
    if timed is not None and timed[1] == "grow":
        _GROWN.append(np.ones(int(float(timed[2]) * 1024 * 1024), dtype=np.uint8))
    elif timed is not None:
        seconds = float(timed[2])
        if timed[1] == "gil":
            _sleep_with_gil(seconds)
        elif timed[1] == "spin":
            end = time.thread_time() + seconds
            while time.thread_time() < end:
                pass
        else:
            time.sleep(seconds)
    elif word == "!segv":
        ctypes.string_at(0)
    elif word == "!abort":
        os.abort()
    elif word in ("!exit0", "!exit3"):
        os._exit(int(word[-1]))
    elif word == "!hang":
        while True:
            threading.Event().wait()
    elif word == "!oom":
        taken = np.ones(64 * 1024 * 1024, dtype=np.uint8)
        os.kill(os.getpid(), signal.SIGKILL)
        taken.fill(0)
    elif word == "!raise":
        raise InjectedError("a fault that was asked for")


def _sleep_with_gil(seconds: float) -> None:
    # PyDLL keeps the GIL during the call. A signal ends usleep early; hence the loop.
    library = ctypes.PyDLL(None)
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        library.usleep(ctypes.c_uint32(min(int(left * 1e6) + 1, 2**32 - 1)))


def _no_such_fake(name: str) -> ModelNotFound:
    return ModelNotFound(
        f"there is no model {name}",
        cause=f"fake/<dimension> takes a whole number from 1 to {MAX_DIMENSION:,}",
        fix="RAG_EMBEDDING_MODEL=fake/384",
    )
