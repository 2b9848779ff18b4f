"""Which faults, in which order, by a seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

#: Each kind, and how many of a thousand faults are of it, about, beside one of each.
KINDS = {
    "embed worker SIGKILL": 130,
    "embed worker SIGSEGV": 90,
    "embed worker SIGABRT": 60,
    "embed worker stopped": 45,
    "store SIGKILL": 90,
    "store SIGSEGV": 60,
    "store SIGABRT": 40,
    "store stopped": 35,
    "index process SIGKILL": 60,
    "index process SIGSEGV": 40,
    "index process SIGABRT": 25,
    "index process stopped": 20,
    "supervisor SIGKILL": 40,
    "supervisor stopped": 20,
    "client SIGKILL": 55,
    "client stopped": 25,
    "poison text": 40,
    "native hold of the GIL": 25,
    "memory over the limit": 30,
    "garbage on front": 18,
    "garbage on control": 18,
    "garbage on back": 18,
    "garbage on store": 16,
}
#: The supervisor is killed in this first part of a run only: the rest shows that it is the same
#: process, and what its memory does, over most of the faults.
EARLY = 0.35
_EARLY_KINDS = ("supervisor SIGKILL",)


def plan(
    seed: int, count: int, only: Sequence[str] = (), without: Collection[str] = ()
) -> list[str]:
    """``count`` kinds in the order in which they are to come: of each at least one if there is
    room, otherwise each at most once. With ``only``, of these kinds, any number of each; none is
    of those of ``without``."""
    chance = random.Random(f"{seed}-plan")
    if only:
        return chance.choices([kind for kind in only if kind not in without], k=count)
    weights = {kind: weight for kind, weight in KINDS.items() if kind not in without}
    if count < len(weights):
        kinds = list(weights)
        first = [*_EARLY_KINDS] if count else []
        rest = [kind for kind in kinds if kind not in first]
        chosen = first[:count] + chance.sample(rest, count - len(first[:count]))
    else:
        more = chance.choices([*weights], [*weights.values()], k=count - len(weights))
        chosen = [*weights, *more]
    early = [each for each in chosen if each in _EARLY_KINDS]
    late = [each for each in chosen if each not in _EARLY_KINDS]
    chance.shuffle(late)
    for each in early:
        late.insert(chance.randint(0, int(EARLY * len(late))), each)
    return late
