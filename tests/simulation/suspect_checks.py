"""What must hold of texts under suspicion: since a worker ended of itself while it ran them, they
run alone and nowhere else, and none is given up that did not cause two deaths."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.simulation.processes import SIGALRM, SIGSEGV
from tests.simulation.world import Violation
from thoth_core.supervisor.board import Board
from thoth_core.supervisor.requests import Unit
from thoth_core.supervisor.suspects import GOOD_TEXT, MOST_KILLS, POISON_DEATHS, UNIT_DEATHS

if TYPE_CHECKING:
    from tests.simulation.work_checks import Holder


class SuspectChecks:
    def __init__(self) -> None:
        #: Since when each has been under suspicion: deaths of workers that had it alone.
        self._suspects: dict[str, int] = {}
        #: Deaths of workers that had the text alone, and of those that had it with others.
        self._alone: Counter[str] = Counter()
        self._together: Counter[str] = Counter()
        #: Deaths by somebody else's hand of workers that ran the text.
        self._killed: Counter[str] = Counter()
        #: With the weights of the model that could not bear it.
        self._given_up: set[tuple[str, str]] = set()
        #: The incarnation in which the good text passed last.
        self._vouched = ""

    def began(self) -> None:
        """A new supervisor knows of no suspicion, and reads what was given up."""
        self._suspects.clear()
        self._vouched = ""

    def stopping(self) -> None:
        """Suspicions of texts that nobody waits for are forgotten then."""
        self._suspects.clear()

    # -- who may run --------------------------------------------------------------------------

    def sent(self, board: Board, holders: dict[str, Holder], to: str, unit: Unit) -> None:
        """``unit`` is sent to the worker of this incarnation."""
        texts = unit.request.body["texts"]
        mine = [texts[item] for item in unit.items]
        holder = holders[to]
        weights = str((unit.team.model or {}).get("weights", ""))
        for text in mine:
            if (text, weights) in self._given_up and not unit.request.own:
                raise Violation(f"{text!r} was given up, and is sent in {unit.id}")
        if holder.alone and holder.alone in holder.has:
            raise Violation(f"{unit.id} joins {holder.alone}, which runs alone in {holder.slot}")
        suspected = [text for text in mine if text in self._suspects]
        if suspected and len(mine) > 1:
            raise Violation(f"{unit.id} has a suspected text, and is sent whole")
        if not suspected and mine != [GOOD_TEXT]:
            return
        if holder.has:
            raise Violation(f"{unit.id} is to run alone, and {holder.slot} has {list(holder.has)}")
        others = [h.alone for h in holders.values() if h.alone and h.alone in h.has]
        if others:
            raise Violation(f"{unit.id} runs alone at the same time as {others}")
        if suspected and self._suspects[mine[0]] > 0 and self._vouched != to:
            raise Violation(f"{mine[0]!r} is tried again where no good text has passed")
        holder.alone = unit.id

    def answered(self, holder: Holder, to: str, id: str, texts: list[str]) -> None:
        """The worker answered a unit, if only with an error: it lives."""
        if holder.alone != id:
            return
        holder.alone = ""
        if texts == [GOOD_TEXT]:
            self._vouched = to
        else:
            self._suspects.pop(texts[0], None)

    # -- deaths -------------------------------------------------------------------------------

    def ended(self, child: Any, holder: Holder, *, paused: bool) -> None:
        """A worker ended. Whether of itself is known here; dispatch has to find it out."""
        first = next(iter(holder.has.items()), None)
        if first is None:
            return
        crashed = child.status == SIGSEGV and not child.ended_by_us
        timed_out = child.status == SIGALRM and not paused
        if not (crashed or child.stalled or timed_out):
            self._killed.update(first[1].texts)
            return
        id, sent = first
        alone = holder.alone == id
        for text in sent.texts:
            if text == GOOD_TEXT:
                continue
            self._together[text] += 1
            if len(sent.texts) == 1:
                self._alone[text] += 1
            if alone:
                self._suspects[text] = self._suspects.get(text, 0) + 1
            else:
                self._suspects.setdefault(text, 0)

    def quarantined(self, text: str | None, weights: str) -> None:
        """Dispatch gave this text up."""
        if text is None:
            raise Violation("a text is given up that no worker had when it ended")
        if self._alone[text] < POISON_DEATHS:
            raise Violation(f"{text!r} is given up, and caused no two deaths")
        self._given_up.add((text, weights))
        self._suspects.pop(text, None)

    def killed_too_often(self, texts: list[str]) -> bool:
        return any(self._killed[text] >= MOST_KILLS for text in texts)

    def caused(self, text: str) -> bool:
        """Whether this text caused what a text is given up for."""
        return self._alone[text] >= POISON_DEATHS or self._together[text] >= UNIT_DEATHS
