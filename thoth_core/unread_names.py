"""Names that people set although nothing reads them, and what they meant instead. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from thoth_core.setting_specs import BY_NAME

#: Names that begin so belong to this program.
_PREFIXES = ("RAG_", "THOTH_")
#: Read from the environment by the processes themselves; not settings.
_INTERNAL = frozenset({"THOTH_WORKER"})
_THREADS = "Thoth sets the threads of each worker itself; THOTH_EMBED_WORKERS says how many work"
_SQLITE = "an option of SQLite's build, not of a running program"
#: Name, or beginning of a name with a star, to what is true instead.
_KNOWN = {
    "TORCH_NUM_THREADS": f"torch does not read it. {_THREADS}",
    "PYTORCH_NUM_THREADS": f"torch does not read it. {_THREADS}",
    "ONNX_NUM_THREADS": f"ONNX Runtime does not read it. {_THREADS}",
    "CHROMA_MAX_BATCH_SIZE": "Chroma does not read it; Thoth asks Chroma for its bound",
    "CHROMA_BATCH_SIZE": "Chroma does not read it; Thoth asks Chroma for its bound",
    "SQLITE_ENABLE_*": _SQLITE,
    "SQLITE_THREADSAFE": _SQLITE,
    "SQLITE_MAX_*": _SQLITE,
}
#: How far two names may be apart for one to be a slip of the other.
_MAX_SLIPS = 3


def unknown_names(names: Iterable[str]) -> list[tuple[str, str]]:
    """The names out of ``names`` (an environment, say) that nothing reads, as (name, why), sorted.

    ``why`` says what does the thing, or which setting was meant."""
    found = []
    for name in sorted(set(names)):
        why = _why(name)
        if why:
            found.append((name, why))
    return found


def nearest(name: str) -> str | None:
    """The setting that ``name`` is a slip of, if one is near."""
    distances = {known: _distance(name.upper(), known) for known in BY_NAME}
    best = min(distances, key=lambda known: distances[known])
    return best if distances[best] <= _MAX_SLIPS else None


def _why(name: str) -> str:
    for known, why in _KNOWN.items():
        if name == known or (known.endswith("*") and name.startswith(known[:-1])):
            return why
    if name in BY_NAME or name in _INTERNAL:
        return ""
    if name.upper().startswith(_PREFIXES):
        meant = nearest(name)
        return f"no such setting; did you mean {meant}?" if meant else "no such setting"
    if name.upper() in BY_NAME and name.upper() != name:
        return f"names are in upper case: {name.upper()}"
    return ""


def _distance(one: str, other: str) -> int:
    """Levenshtein's: single characters to insert, delete or replace."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]
