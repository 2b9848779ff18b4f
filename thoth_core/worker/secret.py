"""A key that only one process has: never in an environment, a command line, a message that is
logged, or the text of an object that holds it.

The supervisor writes it into the pipe of the worker's lifeline, which nobody else can read, one
JSON line each time that there is another one.
"""

from __future__ import annotations

import json
import threading


class Secret:
    """Empty until the first line comes. For any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._value = ""
        #: Grows with each line.
        self._version = 0

    def __repr__(self) -> str:
        return "Secret()"

    @property
    def version(self) -> int:
        return self._version

    def get(self) -> tuple[str, int]:
        """The key as it is now, "" for none, and its version."""
        with self._changed:
            return self._value, self._version

    def wait(self, seconds: float) -> bool:
        """Wait for the first line; whether it came."""
        with self._changed:
            return self._changed.wait_for(lambda: self._version > 0, seconds)

    def set(self, value: str) -> None:
        with self._changed:
            self._value = value
            self._version += 1
            self._changed.notify_all()

    def heard(self, line: bytes) -> None:
        """What came over the pipe. A line that is no key is not for us."""
        try:
            told = json.loads(line)
        except ValueError:
            return
        key = told.get("key") if isinstance(told, dict) else None
        if isinstance(key, str):
            self.set(key)


def line_of(key: str) -> bytes:
    """``key`` as :meth:`Secret.heard` takes it."""
    return json.dumps({"key": key}).encode() + b"\n"
