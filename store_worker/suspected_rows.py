"""Rows of which one may end whatever index process takes it, until it is known which. Pure.

They are left out of every other question and written with nothing else, in groups that become
smaller with each death, so that what is well gets into the index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Group:
    """Rows that a process died of writing, and so are written with nothing else. ``deaths`` count
    from when it was these and no others."""

    collection: int
    ids: tuple[str, ...]
    deaths: int = 1


class SuspectedRows:
    """``parts``: into so many a group is cut that a process died of."""

    def __init__(self, parts: int) -> None:
        self._parts = parts
        self._groups: list[Group] = []
        #: Rows that were found to end every process, for the keeper to write down.
        self.hopeless: list[Group] = []

    def __bool__(self) -> bool:
        return bool(self._groups)

    @property
    def first(self) -> Group:
        """What is to be written next; there is one."""
        return self._groups[0]

    def skipped(self) -> list[list[object]]:
        """What is to be left out of other questions, as the index process is told it."""
        return [[group.collection, list(group.ids)] for group in self._groups]

    def passed(self) -> None:
        """The first is written."""
        if self._groups:
            del self._groups[0]

    def forget(self, collections: set[int]) -> None:
        """These collections are no more."""
        self._groups = [group for group in self._groups if group.collection not in collections]

    def clear(self) -> None:
        self._groups = []

    def died(self, op: str, in_hand: Mapping[int, Sequence[str]]) -> None:
        """A process died of writing; of the rows in hand one may be why."""
        if op != "rows" or not self._groups:
            self._groups += [Group(c, tuple(ids)) for c, ids in in_hand.items() if ids]
            return
        group = self._groups.pop(0)
        group.deaths += 1
        if len(group.ids) > 1:
            # To the end, so that what is well is written between two deaths.
            size = -(-len(group.ids) // self._parts)
            self._groups += [
                Group(group.collection, group.ids[start : start + size], 0)
                for start in range(0, len(group.ids), size)
            ]
        elif group.deaths > 1:
            self.hopeless.append(group)
        else:
            self._groups.append(group)
