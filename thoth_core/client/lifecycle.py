"""What must happen to every connection of this process when it forks or ends."""

from __future__ import annotations

import atexit
import os
import weakref
from typing import Any, Protocol


class Connected(Protocol):
    def forget_after_fork(self) -> Any: ...

    def close(self) -> None: ...


_connections: weakref.WeakSet[Any] = weakref.WeakSet()
# What a forked child inherited. Kept alive and untouched: letting go of it would close sockets
# and end threads that are the parent's.
_inherited: list[Any] = []


def register(connection: Connected) -> None:
    """From now on ``connection`` is renewed in forked children and closed at exit."""
    _connections.add(connection)


def _after_fork_in_child() -> None:
    _inherited.extend([connection.forget_after_fork() for connection in list(_connections)])


def _at_exit() -> None:
    for connection in list(_connections):
        connection.close()


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
