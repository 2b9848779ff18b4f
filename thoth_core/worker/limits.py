"""Bounds that a process sets itself, before it runs code that may want all of the machine."""

from __future__ import annotations

import contextlib
import resource


def limit_self(*, memory_bytes: int, file_bytes: int) -> None:
    """No more address space than this, no larger file, and no dump of its memory. What the system
    does not let it set stays as it is."""
    for what, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (most, hard))
