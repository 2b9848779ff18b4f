"""What ``recovery`` is told and what it decides: policy, stages, rows that are left, steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

#: Signals that a process ends itself by, through its native code.
NATIVE = frozenset({"SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE", "SIGSYS", "SIGTRAP"})
#: Those that somebody else sends.
KILLED = frozenset({"SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"})

#: What is asked before the index serves, and what writes to it.
OPENING = frozenset({"verify", "plan", "reconcile", "sample"})
WRITING = frozenset({"apply", "fill", "rows"})


@dataclass(frozen=True, slots=True)
class Policy:
    """``*_deaths`` are in a row without success; times are in seconds."""

    #: The index was checked before it is opened, so once may have been chance.
    native_opening_deaths: int = 2
    other_opening_deaths: int = 2
    #: The check opens nothing of Chroma's, so who ends then was most likely killed.
    native_checking_deaths: int = 5
    #: Somebody who kills harms nothing. An index that takes all memory does, each time.
    killed_opening_deaths: int = 5
    writing_deaths: int = 4
    searching_deaths: int = 3
    #: Rebuilds in a row that came to nothing.
    rebuilds: int = 3
    first_delay: float = 0.1
    longest_delay: float = 30.0
    #: After that no room was left, or the folder could not be used; and after giving up.
    storage_retry: float = 2.0
    given_up_retry: float = 600.0
    #: Share of the sampled vectors that must be found.
    found: float = 0.99
    #: Share of the rows that may differ and still be told again one by one.
    differing: float = 0.2
    #: Changes after which the index is put on disk for good.
    settle_changes: int = 5000
    #: Changes that the index may lack when it is looked at; more are told first.
    near: int = 4000
    #: Into so many parts goes a group of rows that a process died of: a death costs a second, and
    #: a part that is well almost nothing.
    parts: int = 10
    #: Rows told at once. More keep the index longer in one call, and searches are scans meanwhile;
    #: fewer have Chroma read its log more often (docs/measurements.md).
    batch: int = 1000
    #: While changes keep coming the index is told so many together, or all that came in so many
    #: seconds, and at once when none came for a while: a row costs 3.5 ms of processor time when 16
    #: are told at once, 1.4 with 64 and 0.9 with 1,000, and embedding wants the processor too.
    together: int = 256
    gather: float = 1.0
    pause: float = 0.2


class Stage(StrEnum):
    DOWN = "down"
    CHECKING = "checking"
    OPENING = "opening"
    SERVING = "serving"
    #: To be set aside.
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Fill:
    """Rows of a collection that the index has yet to be given, outside the change log: those after
    ``after`` and up to ``upto``."""

    after: int
    upto: int


# -- steps --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spawn:
    pass


@dataclass(frozen=True, slots=True)
class Replace:
    """End the process; another is started."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """End the process and begin a new index in an empty folder."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ask:
    op: str
    fields: Mapping[str, Any] = field(default_factory=dict)


Step = Spawn | Replace | SetAside | Ask


@dataclass(frozen=True, slots=True)
class Situation:
    """``applied`` and ``last`` are sequence numbers: how far the index is, and the log.
    ``renamed``: the ledger's collections are no longer those that the index was given."""

    now: float
    applied: int
    last: int
    renamed: bool = False
    quiet: bool = False


def skipped(fields: Mapping[str, Any]) -> dict[int, set[str]]:
    """Collection to the ids that a question says to leave out; several of its groups may be of one
    collection."""
    found: dict[int, set[str]] = {}
    for collection, ids in fields.get("skip") or ():
        found.setdefault(collection, set()).update(ids)
    return found
