"""What an import and a rescue share: collections that get their names when all of them are whole.

Until then they have names of their own, which depend on what comes: so another call for the same
goes on with them, and two at once meet in them. The one that ends first gives them their names, and
the other finds them gone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from concurrent.futures import CancelledError
from typing import Any

from thoth_core import interruptible
from thoth_core.client.calls import Calls
from thoth_core.client.connection import Connection
from thoth_core.client.transfer import OnChunks, Transfer
from thoth_core.errors import CollectionExists, Conflict, ThothError

#: Seconds for what cannot be finished to be deleted.
CLEANING = 30.0

#: ``{collection, to, chunks, documents}``, as ``restore_finish`` takes it.
Part = dict[str, Any]


class Restoring(Transfer):
    """``what`` it is, for its errors."""

    what: str

    def __init__(self, connection: Connection, calls: Calls, on_progress: OnChunks | None) -> None:
        super().__init__(connection, on_progress)
        self._calls = calls

    def _there(self) -> set[str]:
        """The names of all collections."""
        return {each.name for each in self._ask(self._calls.collections())}

    def _met(self, parts: Iterable[Part]) -> ThothError:
        """The error to raise when a part is not there any more, or cannot have its name. One whose
        name is taken is of no use to anybody, and is deleted."""
        self._drop_all()
        there = self._there()
        taken = [part for part in parts if part["to"] in there]
        if not taken:
            return Conflict(
                f"what this {self.what} had brought in has been deleted meanwhile",
                fix=f"run the same {self.what} again",
            )
        self._delete(taken)
        name = taken[0]["to"]
        return CollectionExists(
            f"there is a collection {name!r}, which was not there when this {self.what} began",
            cause=f"another {self.what} of the same, or another program, has made it meanwhile",
            fix="thoth collections",
            collection=name,
        )

    def _delete(self, parts: Iterable[Part]) -> None:
        for part in parts:
            with contextlib.suppress(ThothError, CancelledError):
                plan = self._calls.delete_collection(part["collection"])
                interruptible.result(self._connection.submit(plan, CLEANING))
