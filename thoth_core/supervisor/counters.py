"""What the supervisor counts since it started, by name. Pure.

A name says what was counted and what became of it. The table is the one place where a counter is
declared: ``status`` shows all of it, and docs/operations.md explains it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

#: Name to meaning.
COUNTERS: Mapping[str, str] = {
    "requests_received": "Requests of clients that arrived, those that were asked again included.",
    "requests_answered": "Requests that ended in a result.",
    "requests_failed": "Requests that were accepted and ended in an error.",
    "requests_refused": "Requests that were not accepted; each was told why.",
    "requests_overloaded": "Those of the refused for which the queue had no room.",
    "texts_embedded": "Texts whose vectors the caller of `embed` has, or the store; no queries.",
    "texts_poisoned": "Texts given up because they ended their worker twice while they ran alone.",
    "texts_barred": "Texts that were refused at once because they are in quarantine.",
    "units_sent": "Units given to an embed worker, each time that one was.",
    "units_retried": "Units that are embedded again because their worker or their vectors went.",
    "units_resent": "Units whose vectors an embed worker sent to the store again.",
    "frames_late": "Messages for an attempt or from a process that is over; they change nothing.",
    "frames_bad": "Frames that are no message of the protocol.",
    "embed_workers_ended": "Ends of embed workers that had been ready, whatever the cause.",
    "store_workers_ended": "Ends of store workers that had been ready, whatever the cause.",
    "defects": "Messages on which the supervisor itself failed; its log has the traceback.",
}


class Counters(Counter[str]):
    """Zero for what was not counted yet; :class:`KeyError` for a name that is not in the table."""

    def __missing__(self, name: str) -> int:
        if name not in COUNTERS:
            raise KeyError(f"there is no counter {name!r}")
        return 0

    def figures(self) -> dict[str, int]:
        """Every counter, in the order of the table."""
        return {name: self[name] for name in COUNTERS}
