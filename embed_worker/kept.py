"""Vectors that were handed to the store and are kept until dispatch releases them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from thoth_core.wire import Message

#: Bytes of messages kept at most. Dispatch has 64 units handed over at once, a tenth of this.
KEPT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Kept:
    message: Message
    size: int


class KeptVectors:
    """Messages for the store by unit id, bounded by bytes.

    Over the bound the oldest are dropped: dispatch learns of that when it asks for one (the worker
    answers ``missing``) and has the texts embedded again. The newest is kept however large it is.
    """

    def __init__(self, bound: int = KEPT_BYTES) -> None:
        self._bound = bound
        self._kept: dict[str, _Kept] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, message: Message, size: int) -> list[str]:
        """Keep ``message``, ``size`` bytes large; the ids of the units dropped for it."""
        self.release(message.id)
        self._kept[message.id] = _Kept(message, size)
        self.bytes += size
        dropped: list[str] = []
        while self.bytes > self._bound and len(self._kept) > 1:
            oldest = next(iter(self._kept))
            self.release(oldest)
            dropped.append(oldest)
        return dropped

    def again(self, unit: str, attempt: int, incarnation: str) -> Message | None:
        """The unit's message for the store ``incarnation``; None when it is not kept."""
        kept = self._kept.get(unit)
        if kept is None:
            return None
        return replace(kept.message, attempt=attempt, incarnation=incarnation)

    def release(self, unit: str) -> None:
        kept = self._kept.pop(unit, None)
        if kept is not None:
            self.bytes -= kept.size
