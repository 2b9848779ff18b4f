"""The private folder that holds the sockets: where it is, whether they fit in it, and whether it
is really ours."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from thoth_core.errors import SettingsError, StorageError

#: What a system's socket address holds, without its final zero byte.
MAX_SOCKET_PATH = 107
#: ``/<16 hex>/store-<12 hex>.sock``, the longest name below the runtime folder.
_LONGEST_NAME = 1 + 16 + 1 + len("store-") + 12 + len(".sock")
MAX_RUNTIME_DIR = MAX_SOCKET_PATH - _LONGEST_NAME

_FIX = "set THOTH_RUNTIME_DIR to a short path of your own, such as /tmp/thoth-{}"


def default_runtime_dir(environ: Mapping[str, str]) -> Path:
    """``$XDG_RUNTIME_DIR/thoth`` where that folder is there and short enough, else
    ``/tmp/thoth-<uid>``."""
    base = environ.get("XDG_RUNTIME_DIR", "")
    # It is often set and not there: under su, in containers, in cron.
    if base.startswith("/") and Path(base).is_dir() and os.access(base, os.W_OK | os.X_OK):
        path = Path(base) / "thoth"
        if len(os.fsencode(path)) <= MAX_RUNTIME_DIR:
            return path
    # Not $TMPDIR: it differs between a login and a service, and is long on macOS.
    return Path(f"/tmp/thoth-{os.getuid()}")


def check_socket_room(runtime_dir: Path, origin: str) -> None:
    """:class:`SettingsError` if sockets in ``runtime_dir`` had too long a path."""
    length = len(os.fsencode(runtime_dir))
    if length > MAX_RUNTIME_DIR:
        raise SettingsError(
            f"THOTH_RUNTIME_DIR is {str(runtime_dir)!r} (from {origin}), which is too long",
            cause=f"it has {length} bytes, {MAX_RUNTIME_DIR} at most: the path of a socket in it "
            f"has at most {MAX_SOCKET_PATH}",
            fix=_FIX.format(os.getuid()),
            setting="THOTH_RUNTIME_DIR",
        )


def ensure_private_dir(path: Path) -> Path:
    """Make ``path`` if need be, only for this user (mode 0700), and return it.

    Raises :class:`SettingsError` if it is somebody else's, or a link of somebody else's, is open to
    others or is no folder, and :class:`StorageError` if it cannot be made. Nothing that is there is
    changed: a folder that others could write into may hold their sockets already.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The mode is set as it is made, so that a death in between leaves nothing open.
        path.mkdir(mode=0o700, exist_ok=True)
        link, status = path.lstat(), path.stat()
    except FileExistsError as problem:
        raise _unusable(path, "it is no folder") from problem
    except NotADirectoryError as problem:
        raise _unusable(path, "a part of it is no folder") from problem
    except OSError as problem:
        reason = (problem.strerror or type(problem).__name__).lower()
        raise StorageError(
            f"the folder {path} cannot be made", cause=reason, fix=_FIX.format(os.getuid())
        ) from problem
    me = os.geteuid()
    if link.st_uid != me or status.st_uid != me:
        owner = status.st_uid if status.st_uid != me else link.st_uid
        raise _unusable(path, f"it belongs to the user {owner}, not to {me}")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = stat.S_IMODE(status.st_mode)
        raise _unusable(
            path, f"others have access to it (mode {mode:04o})", f"chmod 700 {str(path)!r}, or "
        )
    return path


def _unusable(path: Path, reason: str, first: str = "") -> SettingsError:
    return SettingsError(
        f"the folder {path} cannot hold Thoth's sockets",
        cause=reason,
        fix=first + _FIX.format(os.getuid()),
        setting="THOTH_RUNTIME_DIR",
    )
