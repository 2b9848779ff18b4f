"""What is done with the index and when: check, open, fill, follow, rebuild. Pure decisions.

The index can be thrown away, so nothing here tries to save one. What it must tell apart is damage,
which only a new index mends, from a process that somebody else ended, which harms nothing, and from
a row that ends whatever index takes it, which must not cost the others their index.

The keeper carries the steps out. While there is no index that is known to be good the ledger's
vectors are scanned, so none of this keeps a search or a write waiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from store_worker.recovery_steps import (
    KILLED,
    NATIVE,
    OPENING,
    WRITING,
    Ask,
    Fill,
    Policy,
    Replace,
    SetAside,
    Situation,
    Spawn,
    Stage,
    Step,
)
from store_worker.suspected_rows import SuspectedRows


class Recovery:
    """``generation`` counts the indexes that were begun; ``fills`` what the present one lacks."""

    def __init__(
        self,
        generation: int = 1,
        fills: Mapping[int, Fill] | None = None,
        *,
        clean: bool = False,
        policy: Policy | None = None,
    ) -> None:
        self.policy = policy or Policy()
        self.generation = generation
        self.fills: dict[int, Fill] = dict(fills or {})
        self.stage = Stage.DOWN
        #: What went wrong last.
        self.reason = ""
        #: A search by its own vectors found them.
        self.trusted = False
        self.restarts = 0
        self.suspected = SuspectedRows(self.policy.parts)
        self._rebuilding = bool(fills)
        self._compare = not clean
        self._planned = self._attached = False
        self._again = False
        self._settled = 0
        self._written = 0
        #: Rows in a step.
        self._batch = self.policy.batch
        self._retry_at = 0.0
        self._paused_until = 0.0
        #: Until when changes are gathered after some were told; whether that is waited for.
        self._gather_until, self._gathers = 0.0, False
        #: The last change that was seen, and when.
        self._last, self._changed_at = -1, 0.0
        self._gave_up = False
        self._rebuilds = 0
        #: In a row without success.
        self._deaths = 0
        self._opening = {"native": 0, "checking": 0, "killed": 0, "other": 0}
        self._writing = 0
        self._searching = 0
        self._failures = 0
        #: The last process ended while it wrote: only a write that goes well says that it is over.
        self._ended_writing = False

    # -- what is told to others ---------------------------------------------------------------

    @property
    def state(self) -> str:
        if self._gave_up:
            return "damaged"
        if self._rebuilding or self.stage is Stage.DAMAGED:
            return "rebuilding"
        if self.stage is Stage.SERVING and self.trusted and not self.suspected:
            return "healthy"
        return "verifying"

    @property
    def serves(self) -> bool:
        """Whether the index may be asked."""
        return self.state == "healthy"

    @property
    def catches_up(self) -> bool:
        """Whether it is told the changes that it lacks, and lacks nothing else but rows that are
        suspected."""
        return self.stage is Stage.SERVING and not self.fills and not self._paused_until

    def waits(self, now: float) -> bool:
        """Whether it is not to be asked anything yet, because the disk or the ledger could not be
        used."""
        return now < self._paused_until

    @property
    def wakes_at(self) -> float | None:
        """When :meth:`next` may have something new though nothing happened."""
        if self.stage is Stage.DOWN:
            return self._retry_at
        if self._gathers:
            return min(self._gather_until, self._changed_at + self.policy.pause)
        return self._paused_until or None

    # -- what to do ---------------------------------------------------------------------------

    def next(self, at: Situation) -> Step | None:
        """What to do now, while no answer is awaited."""
        self._gathers = False
        if self.stage is Stage.DOWN:
            return Spawn() if at.now >= self._retry_at else None
        if self.stage is Stage.DAMAGED:
            return SetAside(self.reason)
        if self.waits(at.now):
            return None
        self._paused_until = 0.0
        if self.stage is Stage.CHECKING:
            # One that is being filled differs from the ledger, naturally.
            compare = self._compare and not self._rebuilding
            return self.verify(at.applied, compare=compare)
        if self.stage is Stage.OPENING:
            if not self._planned:
                return Ask("plan")
            if not self._attached:
                return Ask("reconcile")
            return self._sample(at)
        return self._serve(at)

    def _serve(self, at: Situation) -> Step | None:
        policy = self.policy
        if at.renamed:
            return Ask("reconcile")
        if self._again:
            return self._sample(at)
        if self._written - self._settled >= policy.settle_changes and not self.suspected:
            return Ask("settle")
        for collection, fill in self.fills.items():
            fields = {"collection": collection, "after": fill.after, "upto": fill.upto}
            return Ask("fill", fields | {"limit": self._batch, "skip": self.suspected.skipped()})
        # Changes come last: there may be new ones all the time.
        behind = at.last - at.applied
        if self.suspected and (not behind or (behind <= policy.near and not self._ended_writing)):
            first = self.suspected.first
            return Ask("rows", {"collection": first.collection, "ids": list(first.ids)})
        if not self.trusted and not self.suspected and behind <= policy.near:
            return self._sample(at)
        if behind:
            if at.last != self._last:
                self._last, self._changed_at = at.last, at.now
            until = min(self._gather_until, self._changed_at + policy.pause)
            if behind < policy.together and at.now < until and not at.quiet:
                self._gathers = True
                return None
            # A single change is told at once, and the next ones together.
            self._gather_until = at.now + policy.gather
            return Ask(
                "apply",
                {"after": at.applied, "limit": self._batch, "skip": self.suspected.skipped()},
            )
        if at.quiet and self._written > self._settled:
            return Ask("settle")
        return None

    def verify(self, applied: int, *, compare: bool) -> Ask:
        """The question what is wrong with the index. What is written alone it need not have yet."""
        return Ask(
            "verify", {"compare": compare, "after": applied, "skip": self.suspected.skipped()}
        )

    def _sample(self, at: Situation) -> Step:
        return Ask("sample", {"after": at.applied, "skip": self.suspected.skipped()})

    # -- what came of it ----------------------------------------------------------------------

    def spawned(self) -> None:
        self.restarts += 1
        self.stage = Stage.CHECKING
        self.trusted = self._planned = self._attached = self._again = False

    def spawn_failed(self, now: float, reason: str) -> None:
        self.reason = reason
        self._down(now)

    def verified(self, findings: Sequence[str], differing: int, rows: int) -> bool:
        """The files were checked, and ``differing`` of ``rows`` are not as in the ledger; whether
        these are to be told again."""
        if findings:
            more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
            self._damaged(f"{findings[0]}{more}")
            return False
        if differing > max(self.policy.batch, self.policy.differing * rows):
            self._damaged(f"{differing:,} of {rows:,} rows are not as they were stored")
            return False
        if self.stage is Stage.CHECKING:
            self.stage = Stage.OPENING
        self._compare = False
        return differing > 0

    def planned(self, missing: Mapping[int, Fill]) -> None:
        """The index lacks these collections: all their rows are to be given to it. The keeper has
        written that down before it tells."""
        self._planned = True
        self.fills.update(missing)
        self._rebuilding = self._rebuilding or bool(missing)

    def reconciled(self) -> None:
        self._attached = True
        if self.stage is Stage.OPENING and self._rebuilding:
            # A sample says something when all is there.
            self.stage = Stage.SERVING

    def sampled(self, asked: int, found: int) -> None:
        if asked and found < self.policy.found * asked:
            self._damaged(f"a search finds {found} of {asked} sampled vectors")
            return
        self.trusted, self._again = True, False
        self._opening = dict.fromkeys(self._opening, 0)
        if not self._ended_writing:
            self._deaths = self._failures = 0
        self.stage = Stage.SERVING
        if not self.fills and not self.suspected:
            self._rebuilding = self._gave_up = False
            self._rebuilds = 0

    def wrote(self, op: str, changes: int, fill: tuple[int, Fill | None] | None = None) -> None:
        """``apply``, ``fill`` or ``rows`` is done. ``fill`` says what is left of a collection."""
        self._written += max(changes, 1)
        self._batch = min(self.policy.batch, 2 * self._batch)
        self._writing = self._deaths = self._failures = 0
        self._ended_writing = False
        if op == "rows":
            self.suspected.passed()
        if fill is not None:
            collection, left = fill
            if left is None:
                self.fills.pop(collection, None)
            else:
                self.fills[collection] = left

    def dropped(self, collections: Iterable[int]) -> None:
        """These collections are no more."""
        gone = set(collections)
        self.fills = {c: fill for c, fill in self.fills.items() if c not in gone}
        self.suspected.forget(gone)

    def searched(self) -> None:
        self._searching = self._failures = 0

    def settled(self) -> None:
        self._settled = self._written

    def no_room(self, now: float, reason: str) -> None:
        """The disk or the ledger could not be used, and nothing was done; it is tried again."""
        self.reason = reason
        # For fewer rows there may be room, and the index gets on at least.
        self._batch = max(1, self._batch // 8)
        self._paused_until = now + self.policy.storage_retry

    def full(self, now: float, op: str, reason: str) -> Step:
        """The disk was full in the middle of ``op``, which is the fault of no row and no index.
        What the index has now another process looks at."""
        self.reason = reason
        self._compare = True
        self._ended_writing = self._ended_writing or op in WRITING
        self.stage, self.trusted = Stage.DOWN, False
        self._retry_at = now + self.policy.storage_retry
        return Replace()

    def compare_again(self) -> None:
        """What differs could not be noted."""
        self._compare = True
        if self.stage is Stage.OPENING:
            self.stage = Stage.CHECKING

    # -- what goes wrong ----------------------------------------------------------------------

    def failed(self, now: float, op: str, reason: str) -> Step | None:
        """The index answered ``op`` with an error of its own."""
        self.reason = reason
        if op in OPENING:
            self._damaged(reason)
            return None
        self._failures += 1
        if op in WRITING:
            self._ended_writing = True
            if self._failures > 1:
                self._damaged(reason)
                return None
            self._compare = True
            self._down(now)
            return Replace()
        # One search or filter may be its undoing; whether others work is looked at.
        self._again = True
        return None

    def not_begun(self, now: float, reason: str) -> None:
        """The process ended before it looked at the index: that says nothing of the index."""
        self.reason, self.stage, self.trusted = reason, Stage.DOWN, False
        self._retry_at = now + self.policy.storage_retry

    def died(
        self,
        now: float,
        op: str,
        signal: str | None,
        in_hand: Mapping[int, Sequence[str]],
        *,
        memory: bool = True,
    ) -> None:
        """The process ended while it was at ``op``, having ``in_hand`` to write. ``memory``: the
        kernel may have ended it for want of memory."""
        policy = self.policy
        native = signal in NATIVE
        self._compare = True
        self._ended_writing = self._ended_writing or op in WRITING
        self.reason = f"the index process ended by {signal or 'itself'}" + (
            f" during {op}" if op else ""
        )
        if op in OPENING:
            kind = "native" if native else "killed" if signal in KILLED else "other"
            if native and op == "verify":
                kind = "checking"
            self._opening[kind] += kind != "killed" or memory
            limits = (
                ("native", policy.native_opening_deaths),
                ("checking", policy.native_checking_deaths),
                ("killed", policy.killed_opening_deaths),
                ("other", policy.other_opening_deaths),
            )
            if any(self._opening[name] >= limit for name, limit in limits):
                self._damaged(self.reason)
                return
        elif op in WRITING and native:
            self._writing += 1
            if self._writing >= policy.writing_deaths:
                self._damaged(self.reason)
                return
            self.suspected.died(op, in_hand)
        elif native:
            self._searching += 1
            if self._searching >= policy.searching_deaths:
                self._damaged(self.reason)
                return
        self._down(now)

    def set_aside(self, now: float, fills: Mapping[int, Fill]) -> None:
        """The folder is away; the next index is to be filled."""
        self.generation += 1
        self.fills = dict(fills)
        self.suspected.clear()
        self._rebuilding, self._rebuilds = True, self._rebuilds + 1
        self._opening = dict.fromkeys(self._opening, 0)
        self._writing = self._searching = self._failures = self._deaths = 0
        self._written = self._settled = 0
        self.trusted = False
        self._down(now)
        if self._rebuilds > self.policy.rebuilds:
            self._gave_up, self._rebuilds = True, 0
            self._retry_at = now + self.policy.given_up_retry

    def try_again(self, now: float) -> None:
        """Somebody asks for the index: one that was given up is begun again, and whether there is
        room is looked at now."""
        self._paused_until = 0.0
        if self._gave_up and self.stage is Stage.DOWN:
            self._retry_at = now

    def check(self) -> None:
        """The files were checked while the index served; its answers are looked at too."""
        self._again = True

    # -- within -------------------------------------------------------------------------------

    def _damaged(self, reason: str) -> None:
        self.reason, self.stage, self.trusted = reason, Stage.DAMAGED, False

    def _down(self, now: float) -> None:
        self.stage, self.trusted = Stage.DOWN, False
        self._deaths += 1
        delay = 0.0
        if self._deaths > 1:
            delay = min(
                self.policy.longest_delay, self.policy.first_delay * 2 ** (self._deaths - 2)
            )
        self._retry_at = now + delay
