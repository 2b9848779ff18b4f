"""The quarantine on the disk, ``quarantine.json`` in the data directory.

Written whole beside its place, synced, and renamed, so that a death at any moment leaves the old
list or the new one. Nothing here stops the service: a list that cannot be read or written costs a
warning, and what could not be written is tried again.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

from thoth_core.supervisor.quarantine import Entry, Quarantine
from thoth_core.whole_file import whole_file

SCHEMA_VERSION = 1
NAME = "quarantine.json"
#: A list of a thousand is far smaller; what is not is none of ours.
MOST_BYTES = 8 * 1024 * 1024
#: Seconds until a list that could not be written is tried again.
RETRY = 30.0


class QuarantineFile:
    """``quarantine`` is the list as it was read, and what :meth:`keep` writes. ``log`` gets the
    warnings."""

    def __init__(self, data_dir: Path, log: logging.Logger) -> None:
        self.path = data_dir / NAME
        self._log = log
        self._retry_at: float | None = None
        self.quarantine = Quarantine(self._read())

    def keep(self) -> bool:
        """Write the list down; whether it is on the disk."""
        entries = [entry.to_dict() for entry in self.quarantine.entries()]
        try:
            _write(self.path, entries)
        except OSError as problem:
            self._log.warning("the quarantine cannot be written to %s: %s", self.path, problem)
            self._retry_at = time.monotonic() + RETRY
            return False
        self._retry_at = None
        return True

    def tick(self, now: float) -> None:
        """Try again what could not be written, if it is time. ``now`` is monotonic."""
        if self._retry_at is not None and now >= self._retry_at:
            self.keep()

    def listed(self) -> dict[str, Any]:
        """``{entries}``, as the command line shows them."""
        return {"entries": [entry.to_dict() for entry in self.quarantine.entries()]}

    def take_out(self, names: Any) -> dict[str, Any]:
        """``{removed, saved}``: the entries with these keys, or all for None, are taken out, and
        whether the list is on the disk. :class:`InvalidInput` if a name is none or several."""
        gone = self.quarantine.take_out(names)
        saved = self.keep() if gone else True
        return {"removed": [entry.to_dict() for entry in gone], "saved": saved}

    def _read(self) -> list[Entry]:
        try:
            with self.path.open("rb") as file:
                raw = file.read(MOST_BYTES + 1)
            if len(raw) > MOST_BYTES:
                raise ValueError(f"more than {MOST_BYTES:,} bytes")
            whole = json.loads(raw)
            listed = whole["entries"]
            if whole["schema_version"] != SCHEMA_VERSION or not isinstance(listed, list):
                raise ValueError("it has another form")
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
            self._log.warning("the quarantine in %s cannot be read: %r", self.path, problem)
            return []
        entries, bad = [], 0
        for each in listed:
            try:
                entries.append(Entry.from_dict(each))
            except ValueError:
                bad += 1
        if bad:
            self._log.warning("%d entries of %s cannot be read", bad, self.path)
        return entries


def _write(path: Path, entries: list[dict[str, object]]) -> None:
    # One name, so that those which kills leave behind do not pile up.
    with whole_file(path, path.with_name(f".{path.name}.new")) as file:
        whole = {"schema_version": SCHEMA_VERSION, "entries": entries}
        file.write(json.dumps(whole).encode())
