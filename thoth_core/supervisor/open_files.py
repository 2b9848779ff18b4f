"""How many files the supervisor may have open. Each client costs it one, and so do the workers.

libzmq ends the process when it has none left for a connection that comes in, and with it goes the
whole service. The limit that a shell gives is mostly 1,024, and the process may raise it.
"""

from __future__ import annotations

import contextlib
import logging
import resource

#: As many as anybody here can need; a table of a billion would only cost memory.
ENOUGH = 65_536
#: Of fewer the log says so.
FEW = 4096


def allow_many(log: logging.Logger) -> None:
    """Raise this process's limit as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # Some systems have a bound of their own that is not told here.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FEW:
        log.warning("no more than %d files may be open, and each client takes one", soft)
