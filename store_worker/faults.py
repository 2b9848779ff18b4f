"""Deaths on request, for tests; only with the setting ``faults``."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

#: In a text or an id: the process ends by SIGSEGV before the commit (or the search).
BEFORE = "!store-segv"
#: The same between the commit (or the search) and the answer.
AFTER = "!store-segv-after"
#: In a text: the index process ends by SIGABRT when it is to take it.
INDEX_ABORT = "!index-abort"


class Faults:
    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled

    def before(self, body: Mapping[str, Any]) -> None:
        if self._enabled and any(BEFORE in s and AFTER not in s for s in _strings(body)):
            signal.raise_signal(signal.SIGSEGV)

    def after(self, body: Mapping[str, Any]) -> None:
        if self._enabled and any(AFTER in s for s in _strings(body)):
            signal.raise_signal(signal.SIGSEGV)


def _strings(body: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for name in ("texts", "ids"):
        value = body.get(name)
        if isinstance(value, list):
            found += [each for each in value if isinstance(each, str)]
    return found
