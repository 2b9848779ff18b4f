"""The reports of workers' deaths: a table of them, or one in full."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from cli.output import Output
from thoth_core.death_reports import deaths_dir, read_reports
from thoth_core.errors import InvalidInput, StorageError

_HEAD = ("ID", "WHEN", "WORKER", "ENDED BY", "AT WORK ON", "IN")


def show_crashes(output: Output, data_dir: Path, id: str | None, most: int) -> None:
    """Write the newest ``most`` reports as a table, or the one whose id is, or ends with, ``id``.

    :class:`InvalidInput` if there is no such report, :class:`StorageError` if the folder cannot be
    read.
    """
    folder = deaths_dir(data_dir)
    try:
        reports, unreadable = read_reports(folder)
    except OSError as problem:
        raise StorageError(
            f"{folder} cannot be read", cause=problem.strerror or str(problem)
        ) from problem
    for path in unreadable:
        output.warn(f"warning: {path} is no death report, or cannot be read")
    if id is not None:
        report = _chosen(reports, id)
        if output.json:
            output.document({"crash": report})
        else:
            for line in report_lines(report):
                output.line(line)
    elif output.json:
        output.document({"kept": len(reports), "crashes": reports[:most]})
    else:
        for line in table_lines(reports[:most]):
            output.line(line)
        if not reports:
            output.note("no worker of this data directory has crashed")


def table_lines(reports: list[dict[str, Any]]) -> list[str]:
    """One line a report under a head; nothing for none."""
    if not reports:
        return []
    rows = [_HEAD, *(_row(report) for report in reports)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    return [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """All of a report for a person."""
    lines = [f"{report.get('worker')} (pid {report.get('pid')}) ended: {_cause(report)}"]
    rss = report.get("rss_bytes")
    restarts = report.get("restarts")
    again = f", {restarts} restarts" if restarts is not None else ""
    lines += [
        f"  when: {_when(report)}, {report.get('uptime_s')} s after its start{again}",
        f"  state: {report.get('state')}",
        f"  memory: {rss / 1e6:.0f} MB" if isinstance(rss, int) else "  memory: not known",
        f"  at work on: {_work(report)}",
    ]
    held = _mapping(report.get("in_flight"))
    for unit in held.get("units") or ():
        lines.append(f"    unit {_pairs(unit, 'unit', 'hashes')}")
        lines += [f"      text sha256 {hash}" for hash in _mapping(unit).get("hashes") or ()]
    lines += [f"    call {_pairs(call, 'call')}" for call in held.get("calls") or ()]
    failure = _mapping(report.get("failure"))
    if failure:
        lines.append(f"  it said: {failure.get('message')}")
    stacks = _mapping(report.get("stacks"))
    if stacks:
        lines.append(f"  stacks: {stacks.get('header') or 'asked for by the supervisor'}")
        for thread in stacks.get("threads") or ():
            lines.append(f"    thread {_mapping(thread).get('id')}, the innermost first:")
            lines += [f"      {_frame(frame)}" for frame in _mapping(thread).get("frames") or ()]
    for name in ("output", "runtimes"):
        if report.get(name):
            lines.append(f"  {name}:")
            lines += [f"    {line}" for line in report[name]]
    versions = _mapping(report.get("versions"))
    lines.append("  versions: " + ", ".join(f"{k} {v}" for k, v in versions.items()))
    if report.get("model"):
        lines.append(f"  model: {report['model']}")
    return lines


def _chosen(reports: list[dict[str, Any]], id: str) -> dict[str, Any]:
    exact = [r for r in reports if r["id"] == id]
    found = exact or [r for r in reports if id and r["id"].endswith(id)]
    if len(found) == 1:
        return found[0]
    raise InvalidInput(
        f"{'several crashes have' if found else 'there is no crash with'} the id {id!r}",
        cause="the newest 100 are kept" if not found else ", ".join(r["id"] for r in found),
        fix="thoth-supervisor crashes",
    )


def _row(report: Mapping[str, Any]) -> tuple[str, ...]:
    frame = report.get("top_frame")
    return (
        str(report.get("id")),
        _when(report),
        str(report.get("worker")),
        _cause(report),
        _work(report),
        _short(frame) if isinstance(frame, str) else "-",
    )


def _when(report: Mapping[str, Any]) -> str:
    at = report.get("at")
    if not isinstance(at, int | float):
        return "?"
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M:%S}"


def _cause(report: Mapping[str, Any]) -> str:
    signal, reason = report.get("signal"), str(report.get("reason"))
    if signal is None or str(signal) in reason:
        return reason
    return f"{signal} ({reason})"


def _work(report: Mapping[str, Any]) -> str:
    held = _mapping(report.get("in_flight"))
    units, calls = held.get("units") or [], held.get("calls") or []
    if units:
        first = _mapping(units[0])
        alone = ", alone" if first.get("alone") else ""
        more = f", {len(units) - 1} more waiting" if len(units) > 1 else ""
        return f"{first.get('kind')}: {_count(first.get('texts'), 'text')}{alone}{more}"
    if calls:
        kinds = sorted({str(_mapping(call).get("kind")) for call in calls})
        return f"{', '.join(kinds)}: {_count(len(calls), 'call')}"
    return f"nothing ({report.get('state')})"


def _count(count: Any, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _short(frame: str) -> str:
    """``fake.py:140 in embed``: a path is too long for a table."""
    path, colon, rest = frame.rpartition(":")
    return f"{path.rpartition('/')[2]}{colon}{rest}"


def _frame(frame: Any) -> str:
    frame = _mapping(frame)
    return f"{frame.get('file')}:{frame.get('line') or '?'} in {frame.get('function')}"


def _pairs(entry: Any, first: str, *without: str) -> str:
    entry = _mapping(entry)
    rest = [f"{k} {v}" for k, v in entry.items() if k not in (first, *without)]
    return f"{entry.get(first)}: " + ", ".join(rest)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
