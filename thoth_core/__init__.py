"""Thoth: embeddings and a vector store that cannot take your process down.

>>> from thoth_core import Thoth
>>> with Thoth() as thoth:
...     thoth.add(texts=["The keys are on the table."])
...     thoth.query("where are the keys?")

The names below are imported when they are first used, so that importing this package costs
nothing and the supervisor, which imports it too, loads no numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thoth_core.asking.results import Answer, Citation
    from thoth_core.client.aio import AsyncThoth
    from thoth_core.client.embeddings import EmbeddingManager
    from thoth_core.client.ingest_results import (
        DryRunReport,
        FileOutcome,
        IngestProgress,
        IngestReport,
    )
    from thoth_core.client.rescue_report import RescuedCollection, RescueReport
    from thoth_core.client.results import (
        AddReport,
        Collection,
        ExportReport,
        Hit,
        ImportReport,
        ReembedReport,
        Row,
        Rows,
        Shown,
        Source,
        UpsertReport,
    )
    from thoth_core.client.sync import Thoth
    from thoth_core.errors import (
        AlreadyRunning,
        AuthenticationFailed,
        Cancelled,
        ChunkNotFound,
        CollectionExists,
        CollectionNotFound,
        Conflict,
        DeadlineExceeded,
        ExportDamaged,
        InternalError,
        InvalidInput,
        LedgerDamaged,
        MissingDependency,
        ModelMismatch,
        ModelNotFound,
        ModelNotRunning,
        Overloaded,
        PoisonInput,
        ProtocolError,
        QuotaExceeded,
        RequestTooLarge,
        ServiceStopping,
        ServiceUnavailable,
        SettingsError,
        SnapshotLost,
        StorageError,
        ThothError,
        VersionMismatch,
        WorkerFailed,
        WorkerRaised,
    )
    from thoth_core.settings import Settings

__version__ = "0.1.0"

_ERRORS = (
    "AlreadyRunning",
    "AuthenticationFailed",
    "Cancelled",
    "ChunkNotFound",
    "CollectionExists",
    "CollectionNotFound",
    "Conflict",
    "DeadlineExceeded",
    "ExportDamaged",
    "InternalError",
    "InvalidInput",
    "LedgerDamaged",
    "MissingDependency",
    "ModelMismatch",
    "ModelNotFound",
    "ModelNotRunning",
    "Overloaded",
    "PoisonInput",
    "ProtocolError",
    "QuotaExceeded",
    "RequestTooLarge",
    "ServiceStopping",
    "ServiceUnavailable",
    "SettingsError",
    "SnapshotLost",
    "StorageError",
    "ThothError",
    "VersionMismatch",
    "WorkerFailed",
    "WorkerRaised",
)
_RESULTS = (
    "AddReport",
    "Collection",
    "ExportReport",
    "Hit",
    "ImportReport",
    "ReembedReport",
    "Row",
    "Rows",
    "Shown",
    "Source",
    "UpsertReport",
)
_OF_INGEST = ("DryRunReport", "FileOutcome", "IngestProgress", "IngestReport")
_HOME = {
    "Thoth": "thoth_core.client.sync",
    "AsyncThoth": "thoth_core.client.aio",
    "EmbeddingManager": "thoth_core.client.embeddings",
    "Settings": "thoth_core.settings",
    "Answer": "thoth_core.asking.results",
    "Citation": "thoth_core.asking.results",
    **dict.fromkeys(_RESULTS, "thoth_core.client.results"),
    **dict.fromkeys(_OF_INGEST, "thoth_core.client.ingest_results"),
    "RescueReport": "thoth_core.client.rescue_report",
    "RescuedCollection": "thoth_core.client.rescue_report",
    **dict.fromkeys(_ERRORS, "thoth_core.errors"),
}

__all__ = [
    "AddReport",
    "AlreadyRunning",
    "Answer",
    "AsyncThoth",
    "AuthenticationFailed",
    "Cancelled",
    "ChunkNotFound",
    "Citation",
    "Collection",
    "CollectionExists",
    "CollectionNotFound",
    "Conflict",
    "DeadlineExceeded",
    "DryRunReport",
    "EmbeddingManager",
    "ExportDamaged",
    "ExportReport",
    "FileOutcome",
    "Hit",
    "ImportReport",
    "IngestProgress",
    "IngestReport",
    "InternalError",
    "InvalidInput",
    "LedgerDamaged",
    "MissingDependency",
    "ModelMismatch",
    "ModelNotFound",
    "ModelNotRunning",
    "Overloaded",
    "PoisonInput",
    "ProtocolError",
    "QuotaExceeded",
    "ReembedReport",
    "RequestTooLarge",
    "RescueReport",
    "RescuedCollection",
    "Row",
    "Rows",
    "ServiceStopping",
    "ServiceUnavailable",
    "Settings",
    "SettingsError",
    "Shown",
    "SnapshotLost",
    "Source",
    "StorageError",
    "Thoth",
    "ThothError",
    "UpsertReport",
    "VersionMismatch",
    "WorkerFailed",
    "WorkerRaised",
    "__version__",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
