"""With ``THOTH_FAULTS=1``, files that do to the reader what bad files do. For tests.

``!hang``      does not come back
``!gil``       the same, in native code that keeps the interpreter to itself
``!take:8000`` takes so many megabytes
``!segv``      reads address 0 in native code: SIGSEGV
``!exit3``     ends the process
"""

from __future__ import annotations

import ctypes
import os
import time

from thoth_core.errors import InvalidInput

_HUNG = 3600.0


def play(data: bytes) -> None:
    """Do what ``data`` says, if it is a fault; return if it is not."""
    if not data.startswith(b"!"):
        return
    word, _, value = data[:100].decode("utf-8", "replace").strip().partition(":")
    if word == "!hang":
        time.sleep(_HUNG)
    elif word == "!gil":
        ctypes.PyDLL(None).usleep(int(_HUNG * 1e6))
    elif word == "!take":
        # Written, so that it is memory and no promise.
        kept = [b"x" * (1 << 20) for _ in range(int(value))]
        raise InvalidInput(f"it has taken {len(kept)} MB")
    elif word == "!segv":
        ctypes.string_at(0)
    elif word == "!exit3":
        os._exit(3)
