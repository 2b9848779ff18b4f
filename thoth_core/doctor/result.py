"""What a check has found. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

OK, WARN, FAILED, SKIPPED = "ok", "warn", "failed", "skipped"
STATUSES = (OK, WARN, FAILED, SKIPPED)

#: A command and its arguments.
Act = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """``seen`` is what the check saw, in one line; ``cause`` why that is wrong; ``fix`` the command
    that mends it. ``acts`` are commands that ``--fix`` may run by itself, in order: then ``fix``
    says the same. ``details`` is for programs. ``seconds`` is how long the check took."""

    status: str
    seen: str
    cause: str = ""
    fix: str = ""
    acts: tuple[Act, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The form of ``--json``."""
        return {
            "name": self.name,
            "status": self.status,
            "seen": self.seen,
            "cause": self.cause,
            "fix": self.fix,
            "acts": [list(act) for act in self.acts],
            "details": dict(self.details),
            "seconds": round(self.seconds, 3),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Result:
        """What :meth:`to_dict` wrote; :class:`KeyError`, :class:`TypeError` or
        :class:`ValueError` for anything else."""
        known = {each.name: data[each.name] for each in fields(cls)}
        known["acts"] = tuple(tuple(str(word) for word in act) for act in known["acts"])
        if known["status"] not in STATUSES:
            raise ValueError(f"no status: {known['status']!r}")
        return cls(**known)


def ok(seen: str, **details: Any) -> Result:
    return Result(OK, seen, details=details)


def skipped(why: str, **details: Any) -> Result:
    return Result(SKIPPED, why, details=details)


def warn(
    seen: str, cause: str, *, fix: str = "", acts: Sequence[Act] = (), **details: Any
) -> Result:
    """Something that works and should not stay so."""
    return Result(WARN, seen, cause, fix or command(acts), tuple(acts), details)


def failed(
    seen: str, cause: str, *, fix: str = "", acts: Sequence[Act] = (), **details: Any
) -> Result:
    """Something that does not work, or will not for long."""
    return Result(FAILED, seen, cause, fix or command(acts), tuple(acts), details)


def command(acts: Sequence[Act]) -> str:
    """The acts as one line for a shell."""
    return "; ".join(shlex.join(act) for act in acts)


def worst(statuses: Iterable[str]) -> str:
    """``failed`` if one is, else ``warn`` if one is, else ``ok``."""
    found = set(statuses)
    return next((each for each in (FAILED, WARN) if each in found), OK)
