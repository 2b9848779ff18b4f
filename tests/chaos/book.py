"""What was written, what was acknowledged, and what must therefore be there. Pure.

Calls of several clients overlap, and of a call that ended in an error nobody knows whether it was
carried out. So the book keeps for each id every write with its begin and its end, and says what the
id may be now: the outcome of any write that no acknowledged one began after.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]

#: Vectors that differ by less are the same; a score that is less by that is as near.
_SAME, _AS_NEAR = 1e-6, 1e-5


@dataclass(frozen=True, eq=False)
class Chunk:
    """What an id stands for; ``None`` in its place is an id that is not there. A ``vector`` that is
    None is one that nobody knows."""

    text: str | None
    metadata: Mapping[str, object]
    vector: Vector | None

    def same(self, other: Chunk | None) -> bool:
        return (
            other is not None
            and self.text == other.text
            and dict(self.metadata) == dict(other.metadata)
            and _alike(self.vector, other.vector)
        )


def _alike(one: Vector | None, other: Vector | None) -> bool:
    if one is None or other is None:
        return True
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=0, atol=_SAME))


@dataclass(eq=False)
class Call:
    """One call that writes. ``began`` and ``ended`` are places in the order of events."""

    states: dict[str, Chunk | None]
    began: int
    ended: int | None = None
    acknowledged: bool = False
    #: Of ``states``, what it was told that a newer write had overtaken.
    superseded: set[str] = field(default_factory=set)

    def before(self, tick: int) -> bool:
        return self.ended is not None and self.ended < tick


class Book:
    """May be written to from several threads: each step is one that the interpreter does whole."""

    def __init__(self) -> None:
        self._ticks = itertools.count()
        self._calls: dict[str, list[Call]] = {}

    def begin(self, states: Mapping[str, Chunk | None]) -> Call:
        """Before a call is made that is to bring these ids to these states."""
        call = Call(dict(states), next(self._ticks))
        for id in states:
            self._calls.setdefault(id, []).append(call)
        return call

    def acknowledged(self, call: Call, superseded: Iterable[str] = ()) -> None:
        """After it was answered."""
        call.superseded = set(superseded)
        call.ended, call.acknowledged = next(self._ticks), True

    def unknown(self, call: Call) -> None:
        """After it ended in an error: it was carried out or it was not."""
        call.ended = next(self._ticks)

    def ids(self) -> list[str]:
        """All that were ever written."""
        return list(self._calls)

    def acknowledgements(self) -> int:
        """Calls that were answered."""
        return len({id(c) for calls in self._calls.values() for c in calls if c.acknowledged})

    def possible(self, id: str) -> list[Chunk | None]:
        """What ``id`` may be now."""
        calls = self._calls.get(id, [])
        counted = [each for each in calls if id not in each.superseded]
        newest = max((each.began for each in counted if each.acknowledged), default=-1)
        found = [each.states[id] for each in counted if not each.before(newest)]
        return found if newest >= 0 else [*found, None]

    def certain(self, id: str) -> bool:
        """Whether it can be one thing only."""
        return len(self.possible(id)) == 1

    def overtaken_by_nothing(self) -> list[str]:
        """Ids of which a write was called superseded though no other was open at its time or began
        later."""
        return [
            id
            for id, calls in self._calls.items()
            for each in calls
            if id in each.superseded and all(o is each or o.before(each.began) for o in calls)
        ]

    def last_vectors(self, id: str) -> list[Vector]:
        """Those that it had, newest first."""
        chunks = [each.states[id] for each in reversed(self._calls.get(id, []))]
        vectors = [each.vector for each in chunks if each is not None]
        return [vector for vector in vectors if vector is not None]


@dataclass(frozen=True)
class Hit:
    id: str
    score: float


@dataclass
class Seen:
    """``rows`` is all that a store has, in the order of its answer. ``searched`` are the hits, best
    first, for the vector of each of its ids, and ``looked_for`` those for vectors of ids that may
    be gone."""

    rows: Sequence[tuple[str, Chunk]]
    searched: Mapping[str, Sequence[Hit]]
    looked_for: Sequence[tuple[str, Sequence[Hit]]] = ()


@dataclass
class Verdict:
    """Ids, by what is wrong with them; and of the searches, how they went."""

    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    came_back: list[str] = field(default_factory=list)
    never_written: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    not_found: list[str] = field(default_factory=list)
    gone_but_found: list[str] = field(default_factory=list)
    superseded_by_nothing: list[str] = field(default_factory=list)
    asked: int = 0
    found: int = 0
    #: Not found, but something that is as near.
    explained: int = 0
    uncertain: int = 0

    def problems(self) -> list[str]:
        """In words; none if all is as it must be."""
        said = []
        for name, ids in vars(self).items():
            if isinstance(ids, list) and ids:
                said.append(f"{name.replace('_', ' ')}: {len(ids)} ({', '.join(ids[:5])})")
        if self.asked and self.found < 0.999 * self.asked:
            said.append(f"found: {self.found} of {self.asked}")
        return said


def check(book: Book, seen: Seen) -> Verdict:
    """Whether the store is as the book says it must be."""
    verdict = Verdict(superseded_by_nothing=book.overtaken_by_nothing())
    rows = dict(seen.rows)
    verdict.twice += [id for id, n in Counter(id for id, _ in seen.rows).items() if n > 1]
    written = set(book.ids())
    verdict.never_written += [id for id in rows if id not in written]
    for id in written:
        possible, there = book.possible(id), rows.get(id)
        verdict.uncertain += len(possible) > 1
        if there is None:
            if None not in possible:
                verdict.lost.append(id)
        elif not any(there.same(each) for each in possible):
            only_gone = all(each is None for each in possible)
            (verdict.came_back if only_gone else verdict.wrong).append(id)
    _check_searches(verdict, rows, seen)
    return verdict


def _check_searches(verdict: Verdict, rows: Mapping[str, Chunk], seen: Seen) -> None:
    for id in rows:
        hits = seen.searched.get(id, ())
        verdict.asked += 1
        if hits and hits[0].id == id:
            verdict.found += 1
        elif hits and hits[0].score >= 1 - _AS_NEAR:
            verdict.explained += 1
        else:
            verdict.not_found.append(id)
    for _, hits in [*seen.searched.items(), *seen.looked_for]:
        names = [hit.id for hit in hits]
        verdict.twice += [id for id, n in Counter(names).items() if n > 1]
        verdict.gone_but_found += [id for id in names if id not in rows]
