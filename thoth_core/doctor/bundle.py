"""A zip to attach to a bug: what the checks saw, versions, settings, status, crashes and logs.

There is no text and no key in it (``redact``).
"""

from __future__ import annotations

import contextlib
import json
import time
import zipfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from thoth_core import __version__
from thoth_core.death_reports import deaths_dir, read_reports
from thoth_core.doctor.redact import everywhere, log_lines, message, report
from thoth_core.doctor.result import Result
from thoth_core.errors import StorageError
from thoth_core.settings import Settings
from thoth_core.whole_file import whole_file

SCHEMA_VERSION = 1
#: Checks whose details are of this machine only, and not of what is stored.
_OURS_ALONE = frozenset(
    {
        "python",
        "packages",
        "caller",
        "filesystems",
        "disk",
        "memory",
        "round-trip",
        "threads",
        "openmp",
    }
)
#: Settings of which is told only whether they are set: keys, and names that users made up.
_HIDDEN = frozenset({"API_OPENAI_KEY", "RAG_COLLECTION_NAME"})
#: Lines of each log file, and reports.
LINES, REPORTS = 300, 20
_README = """\
What `thoth doctor --bundle` saw, for a report about a fault of Thoth.
No stored text is in it and no key: of log lines only the words outside quotes are left.
Paths of this machine are in it, and names of collections are not.
"""


def write_bundle(
    path: Path,
    results: Sequence[Result],
    settings: Settings | None,
    status: Mapping[str, Any] | None,
) -> None:
    """Make the zip, whole or not at all. :class:`StorageError` if it cannot be."""
    key = settings.openai_key if settings is not None else ""
    try:
        draft = path.with_name(f".{path.name}.new")
        with (
            whole_file(path, draft) as file,
            zipfile.ZipFile(file, "w", compression=zipfile.ZIP_DEFLATED) as archive,
        ):
            for name, content in _files(results, settings, status):
                text = (
                    content
                    if isinstance(content, str)
                    else json.dumps(everywhere(content, key), indent=1)
                )
                archive.writestr(name, text)
    except OSError as problem:
        raise StorageError(
            f"the bundle {path} cannot be written", cause=problem.strerror or str(problem)
        ) from problem


def _files(
    results: Sequence[Result], settings: Settings | None, status: Mapping[str, Any] | None
) -> Iterator[tuple[str, Any]]:
    key = settings.openai_key if settings is not None else ""
    yield "README.txt", _README
    yield (
        "results.json",
        {
            "schema_version": SCHEMA_VERSION,
            "version": __version__,
            "at": round(time.time(), 3),
            "checks": [_quoted(each, key) for each in results],
        },
    )
    yield (
        "versions.json",
        {
            name: each.version
            for each in metadata.distributions()
            if (name := each.metadata["Name"]) is not None
        },
    )
    if settings is not None:
        yield "settings.json", [_setting(row) for row in settings.describe()]
        yield from _of_data(settings.data_dir, key)
    if status is not None:
        yield "status.json", _status(status, key)


def _of_data(data: Path, key: str) -> Iterator[tuple[str, Any]]:
    with contextlib.suppress(OSError):
        reports, _ = read_reports(deaths_dir(data))
        for each in reports[:REPORTS]:
            yield f"deaths/{each['id']}.json", report(each, key)
    for path in sorted((data / "logs").glob("*.log")):
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                tail = deque(file, maxlen=LINES)
        except OSError as problem:
            yield f"logs/{path.name}", f"cannot be read: {problem.strerror}\n"
        else:
            yield f"logs/{path.name}", "".join(f"{line}\n" for line in log_lines(tail, key))


def _setting(row: Mapping[str, Any]) -> dict[str, Any]:
    # Not even the part of a key that is shown on a terminal.
    hidden = row["masked"] or row["name"] in _HIDDEN
    value = ("set" if row["value"] else "not set") if hidden else row["value"]
    return {"name": row["name"], "value": value, "origin": row["origin"]}


def _quoted(result: Result, key: str) -> dict[str, Any]:
    """Without names that users made up, and without what others said."""
    told = result.to_dict()
    told["seen"], told["cause"] = message(result.seen, key), message(result.cause, key)
    if result.name not in _OURS_ALONE:
        told["details"] = {}
    return told


def _status(status: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Without what workers said of what they had in hand."""
    told = dict(status)
    told["workers"] = [_worker(each, key) for each in status.get("workers") or ()]
    store = dict(status.get("store") or {})
    # Ids may be anything that a caller made up.
    store["unindexed"] = len(store.get("unindexed") or ())
    told["store"] = store
    return told


def _worker(worker: Mapping[str, Any], key: str) -> dict[str, Any]:
    told = dict(worker)
    failure = told.pop("failure", None)
    if isinstance(failure, Mapping):
        told["failure"] = message(str(failure.get("message")), key)
    end = told.get("last_exit")
    if isinstance(end, Mapping):
        told["last_exit"] = {**end, "reason": message(str(end.get("reason") or ""), key)}
    return told
