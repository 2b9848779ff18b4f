"""Which slots there are for models besides the service's own: started when they are asked for,
within a bound of memory, and ended when they are idle. Pure.

A model's first worker is one of the lane that is asked for. It has more bulk workers, one at a
time, while bulk work waits though all that it has are busy. Where memory is short, idle workers
of other models leave, then one of a model that has several; a model without a worker comes before
one that wants another. What cannot be had now is refused at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from thoth_core.errors import ModelNotRunning, Overloaded, ThothError
from thoth_core.provider import is_openai
from thoth_core.supervisor.recycling import MB
from thoth_core.supervisor.slots import Lane

#: ``gone``: it was given up; ``leaving``: it was told to end for good.
Standing = Literal["coming", "ready", "leaving", "gone"]
#: What a worker is taken to need while none was measured, in bytes.
USUAL = 256 * MB
#: Seconds for which a model that could not be set up is refused before it is tried anew.
PAUSE = 10.0
#: Seconds after which those who were refused for want of memory may ask again.
RETRY_AFTER = 1.0
#: Models whose need is remembered.
MOST_KNOWN = 200


@dataclass(frozen=True, slots=True)
class Want:
    """What is asked of a model. ``more``: bulk work waits, and all its bulk workers are busy."""

    model: str
    interactive: bool
    bulk: bool
    more: bool = False

    def wants(self, lane: str) -> bool:
        return self.interactive if lane == "interactive" else self.bulk


@dataclass(frozen=True, slots=True)
class Place:
    """One slot for another model. ``memory`` is what its worker holds, in bytes; None if that was
    not measured. It is ``idle`` if it has no units and keeps no vectors."""

    slot: str
    model: str
    lane: Lane
    standing: Standing
    idle: bool = True
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """Make a slot for this model, and start it."""

    model: str
    lane: Lane


@dataclass(frozen=True, slots=True)
class Retire:
    """End this slot for good, after its work."""

    slot: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """No worker can be had for this model now; its requests are answered so."""

    model: str
    problem: ThothError


Step = Start | Retire | Refuse


class Staffing:
    """``bound`` in bytes, of all these workers together; ``most`` bulk workers a model; ``idle`` in
    seconds."""

    def __init__(self, bound: int, most: int, idle: float) -> None:
        self.bound = bound
        self.most = most
        self.idle = idle
        #: Model and lane of what is asked for and has no slot for want of memory; the other lane's
        #: workers do its work.
        self.lacking: frozenset[tuple[str, str]] = frozenset()
        #: When each slot was last of use, and since when it is given up.
        self._used: dict[str, float] = {}
        #: The least that a worker of a model was seen to hold: what it needs before it grows.
        self._needs: dict[str, int] = {}

    def note(self, model: str, memory: int | None) -> None:
        """A worker of this model, also of the service's own, is ready and holds so many bytes."""
        if memory is not None:
            known = self._needs.pop(model, memory)
            self._needs[model] = min(known, memory)
            while len(self._needs) > MOST_KNOWN:
                del self._needs[next(iter(self._needs))]

    def need(self, model: str) -> int:
        """Bytes that a worker of this model is expected to hold. One that is not known is taken to
        need as much as the largest that is; if that were too much it is tried all the same."""
        if model in self._needs:
            return self._needs[model]
        return min(max(self._needs.values(), default=USUAL), self.bound)

    def look(self, now: float, wants: Sequence[Want], places: Sequence[Place]) -> list[Step]:
        """What is to be done now."""
        asked = {want.model: want for want in wants}
        self._follow(now, asked, places)
        steps: list[Step] = [
            Retire(each.slot) for each in places if self._is_over(now, asked.get(each.model), each)
        ]
        lacking: set[tuple[str, str]] = set()
        there = [p for p in places if p.standing != "gone"]
        held = sum(self._held(each) for each in there)
        going = sum(self._held(p) for p in there if p.standing == "leaving" or _in(p, steps))
        with_one = {p.model for p in places}
        waiting = False
        for want in sorted(wants, key=lambda want: want.model in with_one):
            mine = [p for p in places if p.model == want.model]
            if mine and all(p.standing == "gone" for p in mine):
                # Its requests are answered with what is wrong.
                continue
            # One that was given up has its lane served by the other.
            staying = [p for p in mine if p.standing != "leaving"]
            for lane in self._lanes(want, staying):
                need = self.need(want.model)
                if held + need <= self.bound:
                    held += need
                    steps.append(Start(want.model, lane))
                elif mine or waiting:
                    lacking.add((want.model, lane))
                elif held - going + need <= self.bound:
                    # They leave, and it starts then.
                    waiting = True
                elif (victim := self._victim(need, asked, there, steps)) is None:
                    steps.append(Refuse(want.model, self._no_room(need, held)))
                else:
                    steps.append(Retire(victim.slot))
                    going += self._held(victim)
                    waiting = True
                if not mine:
                    # One is enough to begin with.
                    break
        self.lacking = frozenset(lacking)
        return steps

    # -- within -------------------------------------------------------------------------------

    def _lanes(self, want: Want, staying: Sequence[Place]) -> Iterable[Lane]:
        """The lanes in which a slot is wanted."""
        if is_openai(want.model):
            # One serves both: a provider's limits are kept by who sends all that there is.
            if not staying:
                yield "bulk"
            return
        interactive = any(p.lane == "interactive" for p in staying)
        bulk = [p for p in staying if p.lane == "bulk"]
        if want.interactive and not interactive:
            yield "interactive"
        grown = len(bulk) >= self.most or any(p.standing != "ready" for p in bulk)
        if want.bulk and (not bulk or (want.more and not grown)):
            yield "bulk"

    def _follow(self, now: float, asked: dict[str, Want], places: Sequence[Place]) -> None:
        names = {place.slot for place in places}
        for slot in [slot for slot in self._used if slot not in names]:
            del self._used[slot]
        for place in places:
            if place.standing == "ready":
                self.note(place.model, place.memory)
            self._used.setdefault(place.slot, now)
            want = asked.get(place.model)
            of_use = not place.idle or (want is not None and want.wants(place.lane))
            if of_use and place.standing != "gone":
                self._used[place.slot] = now

    def _is_over(self, now: float, want: Want | None, place: Place) -> bool:
        if place.standing == "leaving":
            return False
        since = now - self._used[place.slot]
        if place.standing == "gone":
            return since >= PAUSE
        return want is None and place.idle and since >= self.idle

    def _held(self, place: Place) -> int:
        # One that is coming will hold more than it does.
        known = place.standing == "ready" and place.memory is not None
        return max(place.memory or 0, 0 if known else self.need(place.model))

    def _victim(
        self,
        need: int,
        asked: dict[str, Want],
        there: Sequence[Place],
        steps: Sequence[Step],
    ) -> Place | None:
        """Whose place is given to a model that has none, if that is enough."""
        if need > self.bound:
            return None
        stay = [p for p in there if p.standing != "leaving" and not _in(p, steps)]
        idle = [p for p in stay if p.idle and p.model not in asked]
        if idle:
            return min(idle, key=lambda p: self._used[p.slot])
        counts = Counter(p.model for p in stay)
        several = [p for p in stay if counts[p.model] > 1]
        # One that does nothing, if there is one: its lane is not asked for, or not much.
        return max(several, key=lambda p: (p.idle, counts[p.model], p.lane, p.slot), default=None)

    def _no_room(self, need: int, held: int) -> ThothError:
        if need > self.bound:
            return ModelNotRunning(
                "there is no memory for a worker of another model",
                cause=f"it would take about {need // MB} MB; THOTH_MODELS_MEMORY_MB allows "
                f"{self.bound // MB}",
                fix="raise THOTH_MODELS_MEMORY_MB, then: thoth-supervisor stop; "
                "thoth-supervisor start",
            )
        return Overloaded(
            "the memory for other models is taken by some that are at work",
            cause=f"they hold {held // MB} MB, another would take about {need // MB}; "
            f"THOTH_MODELS_MEMORY_MB allows {self.bound // MB}",
            fix="wait for them, or raise THOTH_MODELS_MEMORY_MB",
            retry_after=RETRY_AFTER,
        )


def _in(place: Place, steps: Sequence[Step]) -> bool:
    return any(isinstance(step, Retire) and step.slot == place.slot for step in steps)
