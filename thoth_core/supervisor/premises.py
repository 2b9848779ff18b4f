"""Whether the service is still where it began: its data directory and its sockets.

A service whose folder was deleted or moved away could be found by nobody, or would go on writing
to files that are nobody's any more, and call that stored.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from thoth_core.errors import StorageError

#: Seconds between two touches of the files: what cleans up /tmp deletes what is days old.
TOUCH_EVERY = 3600.0


class Premises:
    """``paths`` are files that the service made and keeps open."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._known = {path: _identity(path) for path in paths}
        self._next_touch = 0.0

    def keep(self, now: float, also: Iterable[Path] = ()) -> None:
        """Have the files, and those of ``also``, look as new as they are in use. ``now`` is a
        monotonic time."""
        if now < self._next_touch:
            return
        self._next_touch = now + TOUCH_EVERY
        for path in (*self._known, *also):
            with contextlib.suppress(OSError):
                os.utime(path)

    def lost(self) -> StorageError | None:
        """What is gone, or is another file by now; None while all of it is there."""
        for path, known in self._known.items():
            try:
                found = _identity(path)
            except FileNotFoundError:
                found = None
            except OSError:
                # Not to be had at this moment: no reason to end.
                continue
            if found != known:
                state = "is gone" if found is None else "has been put in the place of another one"
                return StorageError(
                    f"the service has lost its folder {path.parent}",
                    cause=f"{path} {state}: it was deleted or moved while the service ran",
                    fix="thoth-supervisor start",
                    path=str(path),
                )
        return None


def is_gone(path: Path) -> bool:
    """Whether there is nothing at ``path``; False where that cannot be told."""
    try:
        _identity(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def _identity(path: Path) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116
    return status.st_dev, status.st_ino
