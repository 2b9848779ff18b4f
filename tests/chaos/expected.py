"""Which errors a call may end in while everything dies. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tests.chaos.journal import Failure, Story
from thoth_core.client.book import MAX_LOSSES

#: What a call of this kind is to end in.
EXPECTED = {"poison text": {"poison_input"}, "native hold of the GIL": {"poison_input"}}


def unexpected(story: Story, killed: Sequence[float]) -> list[str]:
    """The other errors, in words. ``killed`` are the times at which supervisors were: a call that
    lost so many of them is given up, because it might be what ends them."""
    strange = [
        each
        for each in story.failures
        if each.code not in EXPECTED.get(each.name, ()) and not _lost_too_many(each, killed)
    ]
    said = {(each.name, each.code): each.message for each in reversed(strange)}
    counts = Counter((each.name, each.code) for each in strange)
    return [
        f"{count} times {name} ended in {code}: {said[name, code]}"
        for (name, code), count in sorted(counts.items())
    ]


def _lost_too_many(failure: Failure, killed: Sequence[float]) -> bool:
    lost = f"was lost {MAX_LOSSES} times" in failure.message
    seen = sum(failure.began <= each <= failure.ended for each in killed)
    return failure.code == "unavailable" and lost and seen >= MAX_LOSSES
