"""Where an embed worker keeps what can be made again: below the user's cache folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path


def cache_root(environ: Mapping[str, str]) -> Path:
    """The folder of converted models."""
    base = environ.get("XDG_CACHE_HOME", "")
    if base.startswith("/"):
        return Path(base) / "thoth" / "models"
    import platformdirs

    return platformdirs.user_cache_path("thoth", appauthor=False) / "models"


def hashes_file(environ: Mapping[str, str]) -> Path:
    """The file of hashes of weights."""
    return hashes_beside(cache_root(environ))


def hashes_beside(root: Path) -> Path:
    """The same for a folder of converted models."""
    return root.parent / "weights.json"


def remove_folder(path: Path) -> None:
    """With all that is in it, if it is there. :class:`OSError`."""
    if path.exists():
        shutil.rmtree(path)
