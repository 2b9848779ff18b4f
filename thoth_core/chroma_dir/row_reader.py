"""Reads a table of a damaged database by its row numbers, and goes on behind what cannot be read.

SQLite tells an error only for a page that is no page. One that stands where another belongs it
tells as it is: rows come again, later ones come early, a number may be anything. So each number is
given out once, and where to go on behind an error is told only by rows that the way down from the
root finds in the same place.
"""

from __future__ import annotations

import bisect
import sqlite3
from array import array
from collections import deque
from collections.abc import Iterator
from typing import Any

_LAST = 2**62
#: How a place from which can be read is looked for: so many times in steps of this many rows at
#: most, then in longer and longer ones.
_PROBES, _SHORT = 2000, 4
#: Holes between two numbers that are looked at when an error comes: more than a page has rows.
_HOLES = 500
#: How often what follows a page in the wrong place is read again.
_AGAIN = 1000

Row = tuple[Any, ...]


class Reader:
    """Reads ``columns`` of ``table``. ``gaps`` counts the places that cannot be read, ``span`` the
    row numbers in them; ``open_end``: nothing could be read behind the last one."""

    def __init__(self, db: sqlite3.Connection, table: str, columns: str) -> None:
        self._db = db
        rows = f"FROM {table} NOT INDEXED WHERE rowid"
        self._query = f"SELECT rowid, {columns} {rows} >= ? ORDER BY rowid"
        self._before = f"SELECT rowid {rows} < ? ORDER BY rowid DESC LIMIT 1"
        self._given = _Numbers()
        self._again = 0
        #: A number and the next one that was read, where they do not follow each other.
        self._holes: deque[tuple[int, int]] = deque(maxlen=_HOLES)
        self._last = 0
        self.gaps = 0
        self.span = 0
        self.open_end = False

    def rows(self) -> Iterator[Row]:
        """Each row once, nearly always in order."""
        at: int | None = -_LAST
        while at is not None:
            try:
                yield from self._from(at)
                return
            except sqlite3.DatabaseError:
                at = max(at, self._go_on(at))
            # Python had fetched the row before the garbled one already, and dropped it.
            first = self._next(at)
            if first and self._given.add(first[0]):
                yield first[1:]
            if first and self._in_place(at, first[0]):
                at = first[0] + 1
                continue
            self.gaps += 1
            behind = self._behind(max(at, 0))
            if behind is None:
                self.open_end = True
            else:
                self.span += behind - max(at, 0)
            at = behind

    def _from(self, at: int) -> Iterator[Row]:
        self._holes.clear()
        self._last = last = at - 1
        for number, *values in self._db.execute(self._query, (at,)):
            if type(number) is not int:
                continue
            if number != last + 1:
                self._holes.append((last, number))
            self._last = last = number
            if self._given.add(number):
                yield tuple(values)

    def _go_on(self, at: int) -> int:
        """Where to go on behind an error, having read from ``at``: behind the last row, or the last
        one before a page that is in the wrong place."""
        if self._again < _AGAIN:
            for last, number in self._holes:
                if last >= at and self._number_before(number) != last:
                    self._again += 1
                    return last + 1
                if last < at and not self._in_place(at, number):
                    return at
        return min(self._last, _LAST) + 1

    def _behind(self, bad: int) -> int | None:
        """The next row number after ``bad`` that can be read from, or None."""
        low, high = bad, bad + 1
        step, probes = 1, 0
        while not self._good(high):
            low = high
            # In short steps first: what can be read between two places is small.
            probes += 1
            step = step * 2 if step < _SHORT or probes > _PROBES else step
            high += step
            if high > _LAST:
                return None
        while high - low > 1:
            middle = (low + high) // 2
            if self._good(middle):
                high = middle
            else:
                low = middle
        return high

    def _good(self, number: int) -> bool:
        found = self._next(number)
        return found is not None and (not found or self._in_place(number, found[0]))

    def _in_place(self, wanted: int, number: int) -> bool:
        """Whether ``number``, which was found on looking for ``wanted``, is the next one there."""
        if number <= wanted:
            return number == wanted
        before = self._number_before(number)
        return before is not None and before < wanted

    def _number_before(self, number: int) -> int | None:
        """The row before ``number``; a very small number if it is the first, None if that cannot be
        read."""
        try:
            found = self._db.execute(self._before, (number,)).fetchone()
        except sqlite3.DatabaseError:
            return None
        return -(2**63) if found is None else int(found[0])

    def _next(self, number: int) -> Row | None:
        """The row ``number`` or the next one, with its number; empty if there is none, None if it
        cannot be read."""
        try:
            found = self._db.execute(self._query + " LIMIT 1", (number,)).fetchone()
        except sqlite3.DatabaseError:
            return None
        return () if found is None or type(found[0]) is not int else tuple(found)


class _Numbers:
    """Numbers that were given out: nearly all in order, and in long runs."""

    def __init__(self) -> None:
        self._starts = array("q")
        self._ends = array("q")
        self._late: set[int] = set()

    def add(self, number: int) -> bool:
        """Whether it is new."""
        ends = self._ends
        if ends and number == ends[-1] + 1:
            ends[-1] = number
            return True
        if not ends or number > ends[-1]:
            self._starts.append(number)
            ends.append(number)
            return True
        run = bisect.bisect_right(self._starts, number) - 1
        if (run >= 0 and number <= ends[run]) or number in self._late:
            return False
        self._late.add(number)
        return True
