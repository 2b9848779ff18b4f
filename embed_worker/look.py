"""``python -m embed_worker.look NAME [--read]``: where a model's files are and what their hash is.

One JSON line, for ``thoth doctor``. Nothing is loaded, and the hub is not asked.

``--read``: the weights are read, also where their hash is known from before.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any


def look(name: str, *, read: bool) -> dict[str, Any]:
    """``{name, folder, weights, place}``, or ``{error, hub}``: the error's wire form, and whether
    the hub would be asked for it."""
    from embed_worker.hub import is_offline
    from embed_worker.models import find_model, hash_weights
    from thoth_core.errors import ThothError

    try:
        found = find_model(name, fetch=None, environ=os.environ)
        weights = hash_weights(found.folder) if read else found.weights
    except ThothError as problem:
        path = name.startswith(("/", "~", ".")) or name.count("/") > 1
        return {"error": problem.to_dict(), "hub": not path and not is_offline(os.environ)}
    return {
        "name": found.name,
        "folder": str(found.folder),
        "weights": weights,
        "place": found.place,
    }


def main(arguments: Sequence[str]) -> int:
    sys.stdout.write(json.dumps(look(arguments[0], read="--read" in arguments)) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
