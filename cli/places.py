"""Where a chunk stands, and its id, as they are shown and can be given back. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cli.harmless import name, one_line

#: An id that Thoth made, and how much of it is shown: one in a trillion begins alike.
_MADE = re.compile(r"[0-9a-f]{32}")
_SHORT = 12


def place(source: str, metadata: Mapping[str, Any], here: str) -> str:
    """``docs/a.md:12-18 — Title > Part``, or ``a.pdf, page 3``; relative to the folder ``here`` if
    the source is below it. Empty if nothing is known."""
    shown = name(relative(source, here))
    pages = _span(metadata.get("page"), metadata.get("page_end"))
    lines = _span(metadata.get("line_start"), metadata.get("line_end"))
    if pages:
        shown += f", page{'s' if '-' in pages else ''} {pages}"
    elif lines and shown:
        shown += f":{lines}"
    heading = metadata.get("heading")
    if isinstance(heading, str) and heading.strip():
        shown += f" — {one_line(heading)}" if shown else one_line(heading)
    return shown.removeprefix(", ")


def relative(source: str, here: str) -> str:
    """``source`` as it is called from the folder ``here``, if it is below that."""
    folder = here.rstrip("/") + "/"
    return source.removeprefix(folder) if here and source != folder else source


def _span(first: object, last: object) -> str:
    if not isinstance(first, int) or isinstance(first, bool):
        return ""
    further = isinstance(last, int) and not isinstance(last, bool) and last > first
    return f"{first}-{last}" if further else str(first)


def short_id(id: str) -> str:
    """So much of an id that ``thoth show`` finds it, quoted for a shell."""
    return id[:_SHORT] if _MADE.fullmatch(id) else shlex.quote(name(id))


def moment(stored: datetime | None) -> str:
    """``2026-03-01 18:30`` in local time."""
    return "-" if stored is None else stored.astimezone().strftime("%Y-%m-%d %H:%M")
