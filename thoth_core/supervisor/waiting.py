"""What waits for its turn: a line that anything can leave at once, wherever it stands. Pure.

What needs the store stands in a line of its own beside the rest, so that thousands of calls which
wait for a store cost nothing to those that do not need it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Waiting(Generic[T]):
    """``needs_store`` says in which of the two lines an item stands; of the two that are in
    front, the one with the lower ``order`` goes first."""

    def __init__(self, order: Callable[[T], int], needs_store: Callable[[T], bool]) -> None:
        self._order = order
        self._needs_store = needs_store
        self._free: OrderedDict[T, None] = OrderedDict()
        self._bound: OrderedDict[T, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._free) + len(self._bound)

    def __contains__(self, item: T) -> bool:
        return item in self._line(item)

    def has(self, *, store: bool) -> bool:
        """Whether :meth:`take` would find something."""
        return bool(self._free) or (store and bool(self._bound))

    def add(self, item: T, *, front: bool = False) -> None:
        line = self._line(item)
        line[item] = None
        if front:
            line.move_to_end(item, last=False)

    def discard(self, item: T) -> None:
        self._line(item).pop(item, None)

    def take(self, *, store: bool) -> T | None:
        """The next item, out of its line; without ``store``, the next that does not need one."""
        lines = [line for line in (self._free, self._bound if store else None) if line]
        if not lines:
            return None
        first = min(lines, key=lambda line: self._order(next(iter(line))))
        return first.popitem(last=False)[0]

    def _line(self, item: T) -> OrderedDict[T, None]:
        return self._bound if self._needs_store(item) else self._free
