"""What the index must be told so that it agrees with the ledger. Pure decisions.

The same steps are taken after every commit and after a crash: nothing that the index has is
assumed, and each step may be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_NAME_CHARS = 512


@dataclass(frozen=True, slots=True)
class Found:
    """A collection in the index. ``owner`` is the ledger's id of it, None if another program made
    it or another ledger."""

    name: str
    owner: int | None


@dataclass(frozen=True, slots=True)
class Drop:
    name: str


@dataclass(frozen=True, slots=True)
class Rename:
    name: str
    to: str


@dataclass(frozen=True, slots=True)
class Create:
    name: str
    owner: int


Step = Drop | Rename | Create


def plan_collections(ledger: Mapping[int, str], index: Sequence[Found]) -> list[Step]:
    """The steps, in order, after which the index has exactly the collections of ``ledger`` (id to
    name), besides those of others. One of another program is never dropped; it is renamed if its
    name is needed. Ending between two steps does no harm: the rest is planned again."""
    steps: list[Step] = []
    taken = {each.name for each in index}
    wanted = set(ledger.values())
    kept: dict[int, str] = {}
    # The one that has the right name first, so that of two leftovers the right one stays.
    by_fit = sorted(index, key=lambda f: f.owner is None or ledger.get(f.owner) != f.name)
    for each in by_fit:
        if each.owner is None:
            continue
        if each.owner in ledger and each.owner not in kept:
            kept[each.owner] = each.name
        else:
            steps.append(Drop(each.name))
            taken.discard(each.name)
    for each in index:
        if each.owner is None and each.name in wanted:
            aside = _free(f"{each.name[: _NAME_CHARS - 20]}-aside", taken | wanted)
            steps.append(Rename(each.name, aside))
            taken.discard(each.name)
            taken.add(aside)
    moving = {owner: name for owner, name in kept.items() if name != ledger[owner]}
    for owner, name in moving.items():
        if name in wanted:
            # Another one is to have this name; who goes first must not matter.
            halfway = _free(f"thoth-moving-{owner}", taken | wanted)
            steps.append(Rename(name, halfway))
            taken.discard(name)
            taken.add(halfway)
            moving[owner] = halfway
    steps += [Rename(name, ledger[owner]) for owner, name in moving.items()]
    steps += [Create(name, owner) for owner, name in ledger.items() if owner not in kept]
    return steps


def _free(name: str, taken: set[str]) -> str:
    candidate, n = name, 1
    while candidate in taken:
        n += 1
        candidate = f"{name}-{n}"
    return candidate


def changed_ids(changes: Iterable[tuple[int, int, str]]) -> dict[int, list[str]]:
    """The ids to bring up to date in each collection, each once, out of (seq, collection, id).

    Whether an id is written or deleted is not read from the log but from the ledger as it is now:
    later changes are in it already, and the last state is the one that counts.
    """
    ids: dict[int, dict[str, None]] = {}
    for _, collection, id in changes:
        ids.setdefault(collection, {})[id] = None
    return {collection: list(each) for collection, each in ids.items()}
