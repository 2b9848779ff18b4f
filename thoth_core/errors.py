"""The typed errors of Thoth, and their form on the wire.

An error is one class everywhere: raised in a worker it crosses the wire as
``{code, message, retryable, details}`` and is raised again in the client as the same class.
Nothing is ever built from a class name that arrives: only the table below is consulted.

Each class also knows the exit code that the command line ends with, so that the meaning of a
failure is decided in one place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_PARTLY = 3
EXIT_UNREACHABLE = 4
EXIT_ACCOUNT = 5
EXIT_INTERRUPTED = 130


class ThothError(Exception):
    """Base of all errors that Thoth raises on purpose.

    ``message`` says what happened, ``cause`` why, ``fix`` the command or the change that mends it
    (both may be empty). ``details`` is a plain mapping of msgpack-able values for programs.
    """

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = EXIT_FAILED

    def __init__(self, message: str, *, cause: str = "", fix: str = "", **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.cause = cause
        self.fix = fix
        self.details: dict[str, Any] = details

    def __str__(self) -> str:
        parts = [self.message]
        if self.cause:
            parts.append(f"cause: {self.cause}")
        if self.fix:
            parts.append(f"fix: {self.fix}")
        return "\n".join(parts)

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions pickle by calling the class with ``args``, which would drop the keywords.
        return (from_dict, (self.to_dict(),))

    def to_dict(self) -> dict[str, Any]:
        """The form that crosses the wire."""
        details = dict(self.details)
        if self.cause:
            details["cause"] = self.cause
        if self.fix:
            details["fix"] = self.fix
        return {
            "code": self.code,
            "message": self.message,
            "retryable": self.retryable,
            "details": details,
        }


class InvalidInput(ThothError):
    """The caller's input is wrong. ``indices`` names the items, in the order of the call."""

    code = "invalid_input"
    exit_code = EXIT_USAGE

    def __init__(self, message: str, **kw: Any) -> None:
        kw["indices"] = list(kw.get("indices", ()))
        super().__init__(message, **kw)
        #: Rows that could be embedded all the same: float32 (n, dimension), NaN at ``indices``.
        self.partial: Any = None

    @property
    def indices(self) -> list[int]:
        return list(self.details["indices"])


class PoisonInput(InvalidInput):
    """A text that ends the process which embeds it, twice and alone; it is not tried again."""

    code = "poison_input"
    exit_code = EXIT_FAILED


class WorkerRaised(InvalidInput):
    """The engine raised an error for these items; the worker itself lives."""

    code = "worker_raised"
    exit_code = EXIT_FAILED


class SettingsError(ThothError):
    """A setting has a value that cannot be used."""

    code = "settings"
    exit_code = EXIT_USAGE


class MissingDependency(ThothError):
    """A package that this needs is not installed; ``fix`` says which extra brings it."""

    code = "missing_dependency"
    exit_code = EXIT_USAGE


class ModelNotFound(ThothError):
    """No such model, or not to be had offline; ``cause`` says where was looked."""

    code = "model_not_found"
    exit_code = EXIT_USAGE


class ModelNotRunning(ThothError):
    """The service runs another model than the one asked for."""

    code = "model_not_running"
    exit_code = EXIT_USAGE


class ModelMismatch(ThothError):
    """The collection was made with another model, or another dimension."""

    code = "model_mismatch"
    exit_code = EXIT_USAGE


class CollectionNotFound(ThothError):
    """There is no collection of that name."""

    code = "collection_not_found"


class ChunkNotFound(ThothError):
    """No chunk of this collection has an id that begins so."""

    code = "chunk_not_found"


class CollectionExists(ThothError):
    """There is a collection of that name already."""

    code = "collection_exists"


class Conflict(ThothError):
    """What the call builds on was changed or removed by another one meanwhile. Nothing was done."""

    code = "conflict"


class AuthenticationFailed(ThothError):
    """No key, or a key that the provider refuses."""

    code = "authentication"
    exit_code = EXIT_ACCOUNT


class QuotaExceeded(ThothError):
    """The account has no quota left. Permanent until somebody pays; the work so far is kept."""

    code = "quota"
    exit_code = EXIT_ACCOUNT


class ProviderUnavailable(ThothError):
    """A provider that computes a model does not answer, or not as it should, for minutes."""

    code = "provider"
    exit_code = EXIT_UNREACHABLE


class Overloaded(ThothError):
    """The queue is full. ``retry_after`` is in seconds."""

    code = "overloaded"
    retryable = True

    @property
    def retry_after(self) -> float:
        return float(self.details.get("retry_after", 0.5))


class DeadlineExceeded(ThothError):
    """The call made no progress in its time, or its own deadline passed."""

    code = "deadline"


class Cancelled(ThothError):
    """The caller took the call back, or the service is ending."""

    code = "cancelled"


class ServiceUnavailable(ThothError):
    """No supervisor answers."""

    code = "unavailable"
    retryable = True
    exit_code = EXIT_UNREACHABLE


class ServiceStopping(ThothError):
    """The service is being stopped and takes nothing new."""

    code = "stopping"
    retryable = True
    exit_code = EXIT_UNREACHABLE


class AlreadyRunning(ThothError):
    """Another process owns the data directory; ``details['pid']`` is its pid if known."""

    code = "already_running"


class VersionMismatch(ThothError):
    """The two ends speak different major versions of the protocol."""

    code = "version_mismatch"


class SnapshotLost(ThothError):
    """The state of the store that was being read page by page is not kept any more."""

    code = "snapshot_lost"


class ExportDamaged(ThothError):
    """A file that was to be imported is not as its manifest says; ``details`` has ``file``,
    ``expected`` and ``found`` where that is known. Nothing of it was stored."""

    code = "export_damaged"


class ProtocolError(ThothError):
    """Frames that are no message of this protocol."""

    code = "protocol"


class RequestTooLarge(ThothError):
    """One message over the limits of the wire; checked before it is sent."""

    code = "too_large"
    exit_code = EXIT_USAGE


class WorkerFailed(ThothError):
    """A worker that the work needs cannot be kept running; ``cause`` says why it ended."""

    code = "worker_failed"


class StorageError(ThothError):
    """The data directory cannot be written or read: full, read-only, no permission."""

    code = "storage"


class LedgerDamaged(StorageError):
    """SQLite calls the ledger malformed. Nothing is written until somebody decides."""

    code = "ledger_damaged"


class InternalError(ThothError):
    """A defect of Thoth. The log has the traceback."""

    code = "internal"


def _table(classes: Iterable[type[ThothError]]) -> dict[str, type[ThothError]]:
    table: dict[str, type[ThothError]] = {}
    for cls in classes:
        if cls.code in table:
            raise AssertionError(f"two errors with the code {cls.code}")
        table[cls.code] = cls
    return table


#: The only classes that an error on the wire can become.
BY_CODE: Mapping[str, type[ThothError]] = _table(
    [
        ThothError,
        InvalidInput,
        PoisonInput,
        WorkerRaised,
        SettingsError,
        MissingDependency,
        ModelNotFound,
        ModelNotRunning,
        ModelMismatch,
        CollectionNotFound,
        CollectionExists,
        Conflict,
        AuthenticationFailed,
        QuotaExceeded,
        ProviderUnavailable,
        Overloaded,
        DeadlineExceeded,
        Cancelled,
        ServiceUnavailable,
        ServiceStopping,
        AlreadyRunning,
        VersionMismatch,
        SnapshotLost,
        ExportDamaged,
        ProtocolError,
        RequestTooLarge,
        WorkerFailed,
        StorageError,
        LedgerDamaged,
        InternalError,
    ]
)


def from_dict(data: Mapping[str, Any]) -> ThothError:
    """Build the error that ``to_dict`` described; an unknown code becomes ``InternalError``."""
    details = data.get("details")
    details = dict(details) if isinstance(details, Mapping) else {}
    cause = str(details.pop("cause", ""))
    fix = str(details.pop("fix", ""))
    cls = BY_CODE.get(str(data.get("code")), InternalError)
    named = {str(k): v for k, v in details.items() if str(k) not in ("message", "self")}
    if "indices" in named and not isinstance(named["indices"], list | tuple):
        named.pop("indices")
    return cls(str(data.get("message", "")), cause=cause, fix=fix, **named)
