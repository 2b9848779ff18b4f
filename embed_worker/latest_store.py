"""Which store vectors may be sent to: the one that dispatch named last. Pure.

A unit names the store that was there when it was given out, and when its vectors are made that one
may have died. Its successor is known by then if dispatch has asked for older vectors again. Who
went back to the dead one's socket would drop what waits for the living: a worker has one line to a
store.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thoth_core.wire import Message


class LatestStore:
    def __init__(self) -> None:
        self._endpoint: object = None

    def heard(self, message: Message) -> None:
        """Of each ``unit`` and ``resend``, in the order in which they came."""
        store = message.body.get("store")
        if isinstance(store, Mapping):
            self._endpoint = store.get("endpoint")

    def is_at(self, store: Mapping[str, Any]) -> bool:
        """Whether ``store``, as a unit names it, is the latest. What is not sent for that reason is
        asked for again, because dispatch knows that the store is gone."""
        return store.get("endpoint") == self._endpoint
