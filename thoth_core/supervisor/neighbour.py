"""Says what a Chroma directory is that another program made in the folder of the data directory.

It is left alone. Whoever starts the service is told what is in it, and the command that brings it
in; as soon as all of it has been brought in, nothing more is said.
"""

from __future__ import annotations

import contextlib
import shlex
import sqlite3
from pathlib import Path

from thoth_core.chroma_dir.glance import glance

_LEDGER = "ledger.sqlite3"


def neighbour(folder: Path, data_dir: Path) -> str:
    """What to say of ``folder``, or nothing."""
    found = glance(folder)
    if found is None or (found.names and set(found.names) <= _ours(data_dir)):
        return ""
    message = f"{folder} holds a Chroma directory of another program: {found}; it is left untouched"
    if found.names or found.trouble:
        message += f"; to bring it in: thoth rescue {shlex.quote(str(folder))}"
    return message


def _ours(data_dir: Path) -> set[str]:
    """The names of the collections that the ledger has; none if that cannot be told."""
    path = data_dir / _LEDGER
    if not path.is_file():
        return set()
    # As it lies there, and without the files that SQLite puts beside it: no store has it open now.
    where = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    try:
        with contextlib.closing(sqlite3.connect(where, uri=True)) as db:
            return {str(name) for (name,) in db.execute("SELECT name FROM collections")}
    except sqlite3.Error:
        return set()
