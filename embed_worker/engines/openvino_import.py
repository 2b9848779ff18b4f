"""Importing OpenVINO without what it brings along: its package reports each import to a server of
Google's, and loads its converters, which take half of the time."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

_TELEMETRY = "openvino_telemetry"
_CONVERTERS = "openvino.tools.ovc"


def import_openvino(*, converters: bool = False) -> Any:
    """The package ``openvino``; with ``converters`` it has ``convert_model``. :class:`ImportError`
    where it is not installed."""
    absent = [_TELEMETRY] if converters else [_TELEMETRY, _CONVERTERS]
    with _absent(absent):
        import openvino

        if converters and not hasattr(openvino, "convert_model"):
            # It was imported without them before.
            from openvino.tools.ovc import convert_model

            openvino.convert_model = convert_model
    return openvino


@contextlib.contextmanager
def _absent(names: list[str]) -> Iterator[None]:
    """Whoever tries to import one of these is told that there is none, which OpenVINO provides
    for."""
    mine = [name for name in names if name not in sys.modules]
    for name in mine:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in mine:
            if name != _TELEMETRY:
                sys.modules.pop(name, None)
