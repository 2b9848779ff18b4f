"""Whether data and sockets are on a file system that other machines share."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from thoth_core.doctor.context import Context
from thoth_core.doctor.mounts import MOUNTS, NETWORK, mount_of
from thoth_core.doctor.result import Result, ok, warn


def check(context: Context, mounts: Path = MOUNTS) -> Result:
    settings = context.settings
    try:
        table = mounts.read_text(errors="replace")
    except OSError:
        return ok("the system does not tell which file systems there are")
    places = {"data": settings.data_dir, "sockets": settings.runtime_dir}
    found = {what: mount_of(os.path.realpath(path), table) for what, path in places.items()}
    seen = ", ".join(
        f"{what} on {mount.kind} ({mount.point})" for what, mount in found.items() if mount
    )
    details: dict[str, Any] = {what: mount.kind for what, mount in found.items() if mount}
    remote = [what for what, kind in details.items() if kind in NETWORK]
    if not remote:
        return ok(seen or "not known", **details)
    home = shlex.quote(f"/tmp/thoth-{os.getuid()}")
    fixes = {
        "data": 'export RAG_VECTOR_DB_PATH="$HOME/.local/share/thoth/vector_db"',
        "sockets": f"export THOTH_RUNTIME_DIR={home}",
    }
    return warn(
        seen,
        "SQLite's write-ahead log, file locks and sockets are not reliable on a network file "
        "system; Thoth guarantees nothing there",
        fix="; ".join(["thoth-supervisor stop --if-running", *(fixes[what] for what in remote)]),
        **details,
    )
