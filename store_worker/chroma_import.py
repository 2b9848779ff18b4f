"""Importing Chroma without what an index process never uses of it, which takes a third of the time
that it needs until it can be asked: 0.7 s of a core and not 1.05.
"""

from __future__ import annotations

import abc
import contextlib
import gc
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

#: What sends traces to a server, with gRPC and all that; Chroma makes one only if it is told where.
_TRACES = "opentelemetry.exporter.otlp.proto.grpc.trace_exporter"
#: The command of an HTTP client. It provides for its absence.
_COMMAND = "httpx._main"
#: Compares the signatures of Chroma's methods with those that they override, at each start.
_OVERRIDES = "overrides"


def import_chromadb() -> Any:
    """The package ``chromadb``. :class:`ImportError` where it is not installed."""
    if "chromadb" not in sys.modules:
        with _without_collector(), _instead(_stand_ins()):
            import chromadb
    import chromadb

    return chromadb


def _stand_ins() -> dict[str, ModuleType | None]:
    class OTLPSpanExporter:
        def __init__(self, *_: Any, **__: Any) -> None:
            raise RuntimeError("the index process sends no traces")

    class EnforceOverrides(metaclass=abc.ABCMeta):  # noqa: B024 - as the real one, for its class
        pass

    def unchecked(method: Any) -> Any:
        return method

    traces, overrides = ModuleType(_TRACES), ModuleType(_OVERRIDES)
    vars(traces).update(OTLPSpanExporter=OTLPSpanExporter)
    vars(overrides).update(
        EnforceOverrides=EnforceOverrides, override=unchecked, overrides=unchecked
    )
    return {_TRACES: traces, _OVERRIDES: overrides, _COMMAND: None}


@contextlib.contextmanager
def _instead(stand_ins: dict[str, ModuleType | None]) -> Iterator[None]:
    """Whoever imports one of these names gets what is given; None: is told that there is none."""
    mine = {name: module for name, module in stand_ins.items() if name not in sys.modules}
    for name, module in mine.items():
        sys.modules[name] = module  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in mine:
            sys.modules.pop(name, None)


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """What an import makes is there to stay: looking through it for garbage finds none."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
