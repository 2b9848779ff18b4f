"""Which file has taken the place of which. Pure.

A file that is to be stored has moved if a document with the same content, read and cut alike, has
lost its file. Of several such documents it is the one whose path ends most like its own, and of
equal ones the first by name. Each is given away once, so a copy beside a file that moved is new.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from thoth_core.documents.discover import is_below

#: Candidates of one content and name that are compared: more are alike in any case.
_COMPARED = 100


def topmost(paths: Iterable[str]) -> list[str]:
    """``paths`` without those that lie below another one of them, sorted."""
    found: list[str] = []
    # Sorted so that what lies below a folder follows it at once.
    for path in sorted(set(paths), key=lambda path: path.split("/")):
        if not found or not is_below(path, found[-1]):
            found.append(path)
    return found


def lost(
    stored: Mapping[str, str | None], found: set[str], unseen: Iterable[str]
) -> dict[str, str | None]:
    """Those of the ``stored`` documents that were not ``found``, but for what lies in an ``unseen``
    place, of which nothing is known."""
    hidden = topmost(unseen)
    return {
        source: state
        for source, state in stored.items()
        if source not in found and not any(is_below(source, place) for place in hidden)
    }


class Moves:
    """``lost`` are documents whose files are gone, with the state of their content (None: it is not
    known, so they are no candidates)."""

    def __init__(self, lost: Mapping[str, str | None]) -> None:
        self._by_state: dict[str, dict[str, list[str]]] = {}
        for source, state in sorted(lost.items()):
            if state is not None:
                names = self._by_state.setdefault(state, {})
                names.setdefault(_name(source), []).append(source)

    def take(self, source: str, state: str) -> str | None:
        """The document that ``source`` was, which it is from now on for nobody else; or None."""
        names = self._by_state.get(state)
        if not names:
            return None
        name = _name(source)
        if name not in names:
            name = min(names)
        same = names[name]
        # max keeps the first of equal ones.
        best = max(same[:_COMPARED], key=lambda old: _common_end(old, source))
        same.remove(best)
        if not same:
            del names[name]
        return best


def _name(source: str) -> str:
    return source.rpartition("/")[2]


def _common_end(one: str, other: str) -> int:
    """How many of their last parts are the same."""
    count = 0
    for a, b in zip(reversed(one.split("/")), reversed(other.split("/")), strict=False):
        if a != b:
            break
        count += 1
    return count
