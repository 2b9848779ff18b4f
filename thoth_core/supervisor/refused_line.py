"""Requests that were refused for want of room, in the order in which they came. Pure.

They come again by themselves, after a pause. Room that has become free meanwhile is theirs: those
whose calls were just answered would otherwise take it at once, again and again.
"""

from __future__ import annotations

from collections import OrderedDict

#: Seconds after which one that has not come again is not waited for: longer than a client pauses.
PATIENCE = 12.0
#: So many are remembered; beyond that whoever comes first has the room.
MOST = 4096


class RefusedLine:
    def __init__(self) -> None:
        #: By request: its size in bytes, and when it was refused last.
        self._line: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._line)

    def refused(self, now: float, id: str, size: int) -> None:
        """It keeps the place that it has, if it has one."""
        if id not in self._line and len(self._line) >= MOST:
            self._forget(now)
        if id in self._line or len(self._line) < MOST:
            self._line[id] = (size, now)

    def admitted(self, id: str) -> None:
        self._line.pop(id, None)

    def leaves(self, now: float, id: str, count: int, room: int) -> bool:
        """Whether those before this one, or before a new one, are no more than ``count`` and have
        no more than ``room`` bytes."""
        gone, fits = [], True
        for other, (theirs, at) in self._line.items():
            if other == id:
                break
            if now - at > PATIENCE:
                gone.append(other)
                continue
            count, room = count - 1, room - theirs
            if count < 0 or room < 0:
                # What stands behind it need not be looked at: each call has to pass here.
                fits = False
                break
        for other in gone:
            del self._line[other]
        return fits

    def _forget(self, now: float) -> None:
        for other in [o for o, (_, at) in self._line.items() if now - at > PATIENCE]:
            del self._line[other]
