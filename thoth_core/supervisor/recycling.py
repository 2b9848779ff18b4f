"""When a worker is replaced although nothing went wrong: it has grown, or it is old. Pure.

One worker at a time over the whole crew, and never the last one that serves a lane while others of
it are away. A worker that has grown again soon after it was replaced needs more than its bound:
the pauses between its replacements grow, and a warning says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from thoth_core.supervisor.slots import Lane, Role

MB = 1024 * 1024
#: ``coming``: it is being started, ended, or tried again soon; ``gone``: it was given up.
Standing = Literal["ready", "coming", "gone"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """``memory`` of one worker in bytes, ``age`` in seconds since it was READY; 0 is no bound."""

    memory: int = 0
    age: float = 0.0


@dataclass(frozen=True, slots=True)
class Pauses:
    """In seconds: a worker that is over its bound within ``soon`` of its start, though it is new,
    is left alone for ``first``, then twice as long each time, ``longest`` at most. One that is at
    something which would have to begin anew is waited for, for ``engaged`` at most."""

    soon: float = 60.0
    first: float = 30.0
    longest: float = 3600.0
    engaged: float = 3600.0

    def after(self, times: int) -> float:
        """The pause after so many starts in a row that did not help."""
        return min(self.longest, self.first * 2 ** min(times - 1, 30)) if times else 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One slot as it stands. ``life`` tells its incarnations apart; ``ready_since`` counts while it
    is ready; ``memory`` is in bytes, None while nothing was measured; ``engaged`` names what it is
    at that a drain does not wait for and that would have to begin anew, or is empty."""

    name: str
    role: Role
    lane: Lane
    standing: Standing
    life: int = 0
    ready_since: float = 0.0
    memory: int | None = None
    model: str = ""
    engaged: str = ""


@dataclass(frozen=True, slots=True)
class Recycle:
    """Restart this slot, after its work."""

    slot: str
    reason: str


@dataclass(frozen=True, slots=True)
class Warn:
    """Said once for each start that did not help."""

    text: str


@dataclass(slots=True)
class _History:
    life: int = -1
    over: bool = False
    #: Whether the present worker took the place of one that had grown.
    follows: bool = False
    #: Starts in a row after which it had grown again soon.
    times: int = 0
    not_before: float = 0.0
    #: Since when it has been over a bound; None while it is not.
    due_since: float | None = None


class Recycling:
    def __init__(self, bounds: Bounds, pauses: Pauses | None = None) -> None:
        self.bounds = bounds
        self.pauses = pauses or Pauses()
        #: By slot, why one that is over a bound is not replaced yet; for ``status``.
        self.waits: Mapping[str, str] = {}
        #: By slot and model: a slot for another model has a name that others had before.
        self._histories: dict[tuple[str, str], _History] = {}

    def look(self, now: float, crew: Sequence[Seen]) -> list[Recycle | Warn]:
        """What is to be done now; one :class:`Recycle` at most."""
        found: list[Recycle | Warn] = []
        waits: dict[str, str] = {}
        wanted: list[tuple[int, float, Seen, str]] = []
        there = {_key(each) for each in crew}
        self._histories = {key: each for key, each in self._histories.items() if key in there}
        for each in crew:
            if each.standing != "ready":
                continue
            history = self._follow(now, each, found)
            size, reason = self._over(now, each)
            if not reason:
                history.due_since = None
                continue
            if history.due_since is None:
                history.due_since = now
            if size and now < history.not_before:
                left = history.not_before - now
                waits[each.name] = f"{reason}; left alone for {left:.0f} s, a new one grows as soon"
            elif why := _held_by(each, crew):
                waits[each.name] = f"{reason}; {why}"
            elif each.engaged and now < history.due_since + self.pauses.engaged:
                waits[each.name] = f"{reason}; waits for the end of its {each.engaged}"
            else:
                wanted.append((-size, each.ready_since, each, reason))
        if wanted:
            # The one that is furthest over its memory, then the oldest.
            _, _, chosen, reason = min(wanted, key=lambda each: each[:2])
            history = self._histories[_key(chosen)]
            history.follows = history.over
            found.append(Recycle(chosen.name, f"recycled: {reason}"))
            for _, _, each, why in wanted:
                if each is not chosen:
                    waits[each.name] = f"{why}; waits for {chosen.name}"
        self.waits = waits
        return found

    def _follow(self, now: float, seen: Seen, found: list[Recycle | Warn]) -> _History:
        """Note how a worker that is ready has grown."""
        history = self._histories.setdefault(_key(seen), _History())
        age = now - seen.ready_since
        if history.life != seen.life:
            history.life, history.over, history.due_since = seen.life, False, None
        if self._has_grown(seen) and not history.over:
            history.over = True
            if history.follows and age < self.pauses.soon:
                history.times += 1
                pause = self.pauses.after(history.times)
                history.not_before = now + pause
                found.append(Warn(self._did_not_help(seen, age, pause)))
            else:
                history.times = 0
        elif not history.over and age >= self.pauses.soon:
            history.times = 0
        return history

    def _has_grown(self, seen: Seen) -> bool:
        return bool(self.bounds.memory) and (seen.memory or 0) > self.bounds.memory

    def _over(self, now: float, seen: Seen) -> tuple[int, str]:
        """By how many bytes the worker is over its memory (0 for another reason), and the reason
        for which it is to be replaced, or ""."""
        memory, age = seen.memory or 0, now - seen.ready_since
        if self._has_grown(seen):
            over = memory - self.bounds.memory
            return over, f"memory {memory // MB} MB over {self.bounds.memory // MB}"
        if self.bounds.age and age >= self.bounds.age:
            return 0, f"age {age:.0f} s over {self.bounds.age:.0f}"
        return 0, ""

    def _did_not_help(self, seen: Seen, age: float, pause: float) -> str:
        memory, bound = (seen.memory or 0) // MB, self.bounds.memory // MB
        return (
            f"{seen.name} has {memory} MB {age:.0f} s after it was replaced for having more than "
            f"{bound}: it is left alone for {pause:.0f} s. If it needs as much, raise "
            "THOTH_WORKER_MEMORY_MB"
        )


def _key(seen: Seen) -> tuple[str, str]:
    return seen.name, seen.model


def _held_by(seen: Seen, crew: Sequence[Seen]) -> str:
    """Why this worker must not leave now, or ""."""
    coming = [each.name for each in crew if each.standing == "coming"]
    if coming:
        return f"waits for {', '.join(coming)}"
    if seen.role == "store":
        return ""
    others = [each for each in crew if each.role == "embed" and each.name != seen.name]
    others = [each for each in others if each.model == seen.model]
    lane = [each for each in others if each.lane == seen.lane]
    # A lane with one worker is served by the other lane meanwhile, or waits the moment.
    serves = lane or others
    if serves and not any(each.standing == "ready" for each in serves):
        return f"the last worker that serves, {', '.join(each.name for each in serves)} being gone"
    return ""
