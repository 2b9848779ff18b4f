"""What the test server does wrong, and when. Pure: a plan answers for the n-th request.

plan = at({3: Fault("rate_limit", retry_after=2.0)})
plan = share(7, {"server_error": 0.1, "drop_mid_body": 0.1})
plan = starting_at(5, Fault("quota"))
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal[
    # Answers with a status other than 200.
    "rate_limit",
    "quota",
    "unauthorized",
    "forbidden",
    "bad_request",
    "server_error",
    "overloaded",
    # A right answer, late, or with its vectors in another order. No error.
    "slow",
    "shuffled",
    # Nothing was computed or billed.
    "drop_early",
    # Billed, and of no use to who asked.
    "drop_mid_body",
    "broken_json",
    "too_few",
    "nan",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: Kinds whose answer was billed but did not arrive as it should.
LOSING = frozenset({"drop_mid_body", "broken_json", "too_few", "nan"})


@dataclass(frozen=True, slots=True)
class Fault:
    """``retry_after``: seconds, of 429 and 503; None says nothing of when to come again.
    ``as_date``: say it as an HTTP date, which has whole seconds and is rounded up.
    ``seconds``: how late a slow answer is."""

    kind: Kind
    retry_after: float | None = None
    as_date: bool = False
    seconds: float = 1.0


#: The fault of the n-th request of a kind, counted from 1, or None.
Plan = Callable[[int], Fault | None]


def never(number: int) -> Fault | None:
    """No faults."""
    return None


def at(faults: Mapping[int, Fault]) -> Plan:
    """These requests get these."""
    return faults.get


def starting_at(first: int, fault: Fault) -> Plan:
    """Every request from the ``first`` on, until another plan is given."""
    return lambda number: fault if number >= first else None


def share(seed: int, faults: Mapping[Kind | Fault, float]) -> Plan:
    """Each with its probability (their sum is 1 at most), the same for the same seed and number."""
    kinds = [fault if isinstance(fault, Fault) else Fault(fault) for fault in faults]
    shares = list(faults.values())
    assert sum(shares) <= 1.0 + 1e-9, shares

    def plan(number: int) -> Fault | None:
        drawn = random.Random(f"{seed}/{number}").random()
        for kind, part in zip(kinds, shares, strict=True):
            drawn -= part
            if drawn < 0:
                return kind
        return None

    return plan
