"""The reports of workers' deaths on the disk: one small file each, the newest of them.

Written by a supervisor, which has the data directory to itself, and read by anybody, also when no
supervisor runs.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thoth_core.whole_file import whole_file

#: Reports that are kept.
KEPT = 100
#: A report is far smaller; what is not is none of ours.
MOST_BYTES = 4 * 1024 * 1024


def deaths_dir(data_dir: Path) -> Path:
    return data_dir / "deaths"


def write_report(folder: Path, report: Mapping[str, Any], *, kept: int = KEPT) -> None:
    """Keep ``report`` under its ``id``, and no more than ``kept`` in all. :class:`OSError` if it
    cannot be; then no part of it is there."""
    folder.mkdir(mode=0o700, exist_ok=True)
    name = report["id"]
    # Nobody waits for the disk because of a report.
    with whole_file(folder / f"{name}.json", folder / f".{name}.new", durable=False) as file:
        file.write(json.dumps(report).encode())
    _prune(folder, kept)


def read_reports(folder: Path) -> tuple[list[dict[str, Any]], list[Path]]:
    """All reports, the newest first, and the files that are none. :class:`OSError` if the folder is
    there and cannot be read."""
    found, unreadable = [], []
    for path in reversed(_files(folder)):
        try:
            with path.open(encoding="utf-8") as file:
                report = json.loads(file.read(MOST_BYTES))
            if not isinstance(report, dict) or not isinstance(report.get("id"), str):
                raise ValueError("no report")
        except FileNotFoundError:
            # The supervisor made room at this moment.
            continue
        except (OSError, ValueError):
            unreadable.append(path)
        else:
            found.append(report)
    return sorted(found, key=_at, reverse=True), unreadable


def _at(report: Mapping[str, Any]) -> float:
    at = report.get("at")
    return float(at) if isinstance(at, int | float) else 0.0


def _files(folder: Path) -> list[Path]:
    try:
        # Their names begin with the time.
        return sorted(path for path in folder.iterdir() if path.suffix == ".json")
    except FileNotFoundError:
        return []


def _prune(folder: Path, kept: int) -> None:
    """What is too old goes, and so do the drafts of a supervisor that died at it."""
    old = _files(folder)[:-kept] if kept else _files(folder)
    for path in [*old, *folder.glob(".*.new")]:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
