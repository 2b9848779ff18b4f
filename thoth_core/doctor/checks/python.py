"""Python, SQLite and the system that they run on."""

from __future__ import annotations

import platform
import sqlite3
import sys
from typing import Any

from thoth_core.doctor.context import Context
from thoth_core.doctor.result import Result, failed, ok, warn

#: What pyproject.toml says.
LEAST_PYTHON = (3, 11)
#: What Chroma 1.5 refuses to work below.
LEAST_SQLITE = (3, 35, 0)


def check(context: Context) -> Result:
    del context
    bits = 64 if sys.maxsize > 2**32 else 32
    seen = (
        f"{platform.python_implementation()} {platform.python_version()} ({bits} bit, "
        f"{sys.executable}), SQLite {sqlite3.sqlite_version}, "
        f"{platform.system()} {platform.release()} {platform.machine()}"
    )
    details: dict[str, Any] = {
        "python": platform.python_version(),
        "executable": sys.executable,
        "sqlite": sqlite3.sqlite_version,
        "system": platform.platform(),
        "libc": " ".join(platform.libc_ver()),
    }
    if sys.version_info < LEAST_PYTHON or bits != 64:
        return failed(
            seen,
            "Thoth needs a Python of 64 bits, 3.11 or newer",
            fix="python3.11 -m venv .venv; .venv/bin/pip install 'thoth-core[service,offline]'",
            **details,
        )
    if sqlite3.sqlite_version_info < LEAST_SQLITE:
        return failed(
            seen,
            f"Chroma needs SQLite {'.'.join(map(str, LEAST_SQLITE))} or newer, and Python was "
            "built with an older one",
            fix="use a Python that was built with a newer SQLite (that of conda-forge or of uv)",
            **details,
        )
    if sys.platform not in ("linux", "darwin"):
        return failed(seen, "this system is not supported: Linux is, macOS may do", **details)
    if sys.platform == "darwin":
        return warn(seen, "Thoth is expected to work on macOS and is not tested there", **details)
    return ok(seen, **details)
