"""The texts in quarantine: asked of the service that runs, else read from its file. Starts none."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from thoth_core.client.control import control
from thoth_core.client.locate import control_path, listening

if TYPE_CHECKING:
    from thoth_core.settings import Settings
    from thoth_core.supervisor.quarantine_file import QuarantineFile

#: Seconds for the service's answer.
ASK_SECONDS = 10.0
LOG = logging.getLogger("thoth.quarantine")


def listed(settings: Settings) -> dict[str, Any]:
    """``{entries}``, the oldest first. Raises :class:`ServiceUnavailable` for a service that is
    there and does not answer."""
    return _asked(settings, {}, lambda file: file.listed())


def take_out(settings: Settings, keys: Sequence[str] | None) -> dict[str, Any]:
    """Take out the entries with these keys, or beginnings of keys; all for None. ``{removed,
    saved}``: those entries, and whether the shorter list is on the disk. :class:`InvalidInput`, and
    nothing is changed, if a key is none or several."""
    names = None if keys is None else list(keys)
    return _asked(settings, {"remove": True, "keys": names}, lambda file: file.take_out(names))


def _asked(
    settings: Settings, body: dict[str, Any], alone: Callable[[QuarantineFile], dict[str, Any]]
) -> dict[str, Any]:
    if listening(control_path(settings)):
        return control(settings, "quarantine", body, timeout=ASK_SECONDS)
    from thoth_core.supervisor.quarantine_file import QuarantineFile

    # A service that is started at this moment may have read the list before it was shortened. Then
    # the entries are there still, and a second call takes them out.
    return alone(QuarantineFile(settings.data_dir, LOG))
