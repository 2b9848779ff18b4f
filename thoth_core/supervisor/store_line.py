"""The calls that wait for the store or are with it. Pure.

What somebody waits for goes first, but never keeps the others waiting for ever. The store has a
credit in bytes and calls, so that a slow store fills neither its own memory nor a socket. When it
dies, what it had is sent to its successor, in the old order: every call can be repeated, because
writes carry their number and the ledger remembers outcomes.
"""

from __future__ import annotations

from collections import OrderedDict

from thoth_core.supervisor.requests import Call

MAX_BYTES = 32 * 1024 * 1024
MAX_CALLS = 64
#: Of the calls that somebody waits for, so many go first; then one of the others.
URGENT_IN_A_ROW = 16


class StoreLine:
    def __init__(self) -> None:
        self.incarnation = ""
        self.endpoint = ""
        self.epoch = 0
        #: Told to end: it finishes what it has and gets nothing new.
        self.leaving = False
        #: When it last moved on with what it has; None while it has nothing.
        self.moved: float | None = None
        #: The progress counter of its last beat.
        self._steps = 0
        self._urgent: OrderedDict[Call, None] = OrderedDict()
        self._rest: OrderedDict[Call, None] = OrderedDict()
        #: Urgent calls sent in a row while others waited.
        self._passed = 0
        self._sent: dict[str, Call] = {}
        self._bytes = 0

    @property
    def up(self) -> bool:
        return bool(self.incarnation)

    @property
    def takes(self) -> bool:
        return self.up and not self.leaving

    @property
    def waiting(self) -> int:
        return len(self._urgent) + len(self._rest)

    @property
    def sent(self) -> list[Call]:
        """The calls that the store has, in the order in which it was asked."""
        return list(self._sent.values())

    @property
    def in_flight(self) -> int:
        return len(self._sent)

    def opened(self, incarnation: str, endpoint: str, epoch: int) -> None:
        self.incarnation, self.endpoint, self.epoch = incarnation, endpoint, epoch
        self.moved, self._steps = None, 0

    def beat(self, now: float, incarnation: str, steps: int, *, busy: bool) -> None:
        """What the store's beat says. One that has nothing is not late with anything: vectors for
        it may still be on their way. But a call of ours that it does not know of is lost."""
        if incarnation == self.incarnation and (steps != self._steps or not (busy or self._sent)):
            self._steps, self.moved = steps, now

    def hangs(self, now: float, limit: float, *, handed: bool) -> bool:
        """Whether it has calls (or, ``handed``, vectors) and did not move on for ``limit`` seconds.
        Said once; what follows is its end."""
        if not self.up or not (self._sent or handed):
            self.moved = None
        elif self.moved is None:
            self.moved = now
        elif now - self.moved >= limit:
            self.moved = now
            return True
        return False

    def lost(self, *, blame: bool) -> list[Call]:
        """The store is gone. The calls that it had are queued again and come back; ``blame`` when
        they may have been the cause."""
        self.incarnation = self.endpoint = ""
        had = list(self._sent.values())
        self._sent.clear()
        self._bytes = 0
        for call in reversed(had):
            call.sent = False
            call.deaths += int(blame)
            if not call.dropped:
                line = self._line(call)
                line[call] = None
                line.move_to_end(call, last=False)
        return had

    def push(self, call: Call) -> None:
        self._line(call)[call] = None

    def next(self) -> Call | None:
        """The next call to send now, counted as sent; None when there is none or no credit."""
        overtaken = self._rest and self._passed >= URGENT_IN_A_ROW
        line = self._rest if overtaken or not self._urgent else self._urgent
        if not self.takes or not line:
            return None
        call = next(iter(line))
        # One call is always let through, however large.
        if self._sent and (len(self._sent) >= MAX_CALLS or self._bytes + call.size > MAX_BYTES):
            return None
        del line[call]
        self._passed = self._passed + 1 if self._rest and line is self._urgent else 0
        call.attempt += 1
        call.sent = True
        self._sent[call.id] = call
        self._bytes += call.size
        return call

    def answered(self, id: str, attempt: int, incarnation: str) -> Call | None:
        """The call that this answers, now out of the line; None for a late answer."""
        call = self._sent.get(id)
        if call is None or call.attempt != attempt or incarnation != self.incarnation:
            return None
        del self._sent[id]
        self._bytes -= call.size
        return call

    def drop(self, call: Call) -> None:
        """Forget a call that waits. One that was sent stays until the store answers, because it
        uses its credit until then."""
        call.dropped = True
        if not call.sent:
            self._line(call).pop(call, None)

    def _line(self, call: Call) -> OrderedDict[Call, None]:
        return self._urgent if call.urgent else self._rest
