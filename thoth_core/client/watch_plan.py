"""What is to be done about changes in watched folders. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from thoth_core.client.moves import topmost
from thoth_core.documents.discover import is_below
from thoth_core.documents.ignore_files import NAMES, NEVER

#: So many changes at once are a sign that more were lost, and a whole look takes no longer.
MANY = 1000
#: Seconds between two tries while the service cannot be used: the first, and the longest.
SOON, LATE = 1.0, 30.0


@dataclass(frozen=True, slots=True)
class Batch:
    """``whole``: everything is to be looked at; else ``changed`` has (folder, path) of what is."""

    whole: bool
    changed: list[tuple[str, str]]

    def __bool__(self) -> bool:
        return self.whole or bool(self.changed)


def batch(
    paths: Iterable[str],
    roots: Sequence[str],
    own: Sequence[str],
    real: Callable[[str], str] = str,
) -> Batch:
    """What the changes of ``paths`` mean for the folders ``roots``, some of which may be below
    others. What lies below ``own`` is the service's, which changes with every write. All are
    absolute, ``own`` without links; ``real`` follows those of a path."""
    # Those that do not matter count too: they may have pushed out some that do.
    told = set(paths)
    if len(told) >= MANY:
        return Batch(True, [])
    found: set[str] = set()
    for path in told:
        root = _root(path, roots)
        if root is None or any(is_below(real(path), place) for place in own):
            continue
        *folders, name = path[len(root.rstrip("/")) + 1 :].split("/")
        if any(part.startswith(".") or part in NEVER for part in folders) or name in NEVER:
            continue
        if name in NAMES:
            # All that is beside it and below may be left out now, or be taken.
            found.add(path.rpartition("/")[0] or "/")
        elif not name.startswith("."):
            found.add(path)
    # A folder that was given is not come to from above: what is said there may leave it out.
    if any(is_below(root, path) for root in roots for path in found):
        return Batch(True, [])
    pairs = ((_root(path, roots), path) for path in topmost(found))
    return Batch(False, [(root, path) for root, path in pairs if root is not None])


def pause(failures: int) -> float:
    """Seconds until the next try after so many that failed."""
    return min(LATE, SOON * (1 << min(failures - 1, 10)))


def _root(path: str, roots: Sequence[str]) -> str | None:
    """The innermost one: of what was given, it leaves out the least."""
    return max((root for root in roots if is_below(path, root)), key=len, default=None)
