"""Which documents a call is about, as its caller says it and as it goes over the wire."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Any

from thoth_core.client.arguments import listed
from thoth_core.since import Since, moment
from thoth_core.source_globs import globs_of

#: One pattern for sources, or several, of which one must match.
Sources = str | Iterable[str] | None


def narrowed(source: Sources, since: Since | None) -> dict[str, Any]:
    """The part of a request: globs over whole sources, and seconds since 1970. Raises
    :class:`InvalidInput`."""
    body: dict[str, Any] = {}
    if source is not None:
        given = [source] if isinstance(source, str) else listed("sources", source)
        if given:
            body["source"] = globs_of([_at_home(each) for each in given], _here())
    if since is not None:
        body["since"] = moment(since, time.time())
    return body


def _at_home(pattern: str) -> str:
    # In quotes the shell leaves it as it is.
    home = isinstance(pattern, str) and pattern.startswith("~/")
    return os.path.expanduser("~") + pattern[1:] if home else pattern  # noqa: PTH111


def _here() -> str:
    try:
        here = os.getcwd()  # noqa: PTH109
        here.encode()
    except (OSError, UnicodeEncodeError):
        # It is gone, or no source can be below it.
        return ""
    return here
