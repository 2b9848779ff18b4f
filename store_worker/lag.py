"""How far the index may lag behind the ledger before writes wait for it. Pure decisions."""

from __future__ import annotations


class Lag:
    """While the index is told what was written in the meantime, a ceiling sinks by one for each two
    changes that it takes; were it not so, an index that is as fast as the writers would lag for
    ever."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._ceiling: int | None = None

    def forget(self) -> None:
        """It does not catch up: it serves, is checked or filled, or there is none."""
        self._ceiling = None

    def took(self, changes: int, behind: int) -> None:
        """It was told ``changes`` while it catches up, and is ``behind`` by so many now."""
        if self._ceiling is None:
            self._ceiling = behind + changes // 2
        else:
            self._ceiling -= changes // 2

    def lets_write(self, behind: int, *, serves: bool, catches_up: bool) -> bool:
        """Whether more may be written. An index that is checked or filled keeps nobody waiting."""
        if behind < self._most:
            return True
        if serves:
            return False
        return not catches_up or self._ceiling is None or behind < self._ceiling
