"""What ``Thoth`` and ``AsyncThoth`` share: settings, the connection, and looking at the service."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from thoth_core import __version__
from thoth_core.client.calls import Calls
from thoth_core.client.connection import Connection
from thoth_core.client.control import control
from thoth_core.client.greeting import asked_model, model_of
from thoth_core.client.requests import Plan, Request, single
from thoth_core.errors import InvalidInput, SettingsError
from thoth_core.plain_values import shown
from thoth_core.settings import Settings
from thoth_core.wire import Message

if TYPE_CHECKING:
    from thoth_core.client.dry_run import DryRun
    from thoth_core.client.ingest import Ingest
    from thoth_core.client.ingest_results import FileOutcome, IngestProgress
    from thoth_core.client.used import Used
    from thoth_core.prices import Cost

log = logging.getLogger("thoth.client")

OnFiles = Callable[["IngestProgress"], None]
OnFile = Callable[["FileOutcome"], None]

#: A deadline of so many seconds (30 years) or more is none.
_NEVER = 1e9


class Client:
    """Construct with ``settings`` (or a mapping of setting names to values that go before all
    other sources, or None for what files and environment say). With ``autostart`` the service is
    started when none runs; ``on_event`` is told in words when that happens. Making a client opens
    no connection: the first call does."""

    def __init__(
        self,
        settings: Settings | Mapping[str, str] | None = None,
        *,
        autostart: bool = True,
        on_event: Callable[[str], None] | None = None,
    ) -> None:
        if isinstance(settings, Settings):
            self._settings = settings
        elif settings is None or isinstance(settings, Mapping):
            self._settings = Settings.load(cli=dict(settings or {}))
        else:
            raise SettingsError(
                f"settings are {shown(settings)}",
                cause="they are a Settings, or a mapping of names to values",
                fix='Thoth({"RAG_EMBEDDING_MODEL": "all-MiniLM-L6-v2"})',
            )
        own = self._settings
        self._calls = Calls(
            own.collection_name, own.max_text_chars, own.retrieval_k, asked_model(own)
        )
        self._note: Callable[[str], Any] = on_event or log.info
        starter = _starter(own, self._note) if autostart else None
        self._connection = Connection(own, starter, version=__version__)

    @property
    def settings(self) -> Settings:
        """What this client asks for. Settings of the service are its own."""
        return self._settings

    @property
    def differing(self) -> tuple[str, ...]:
        """Names of the settings in which the running service differs from this client's. Its own
        are in force. Empty before the first call."""
        greeting = self._connection.greeting
        return () if greeting is None else greeting.differing

    def _calls_for(self, model: str | None) -> Calls:
        """The calls of this client, for the model that the call names."""
        if model is None:
            return self._calls
        from thoth_core.client.reembed import named

        own = self._settings
        return Calls(own.collection_name, own.max_text_chars, own.retrieval_k, named(model))

    def _ingest(
        self,
        collection: str | None,
        on_progress: OnFiles | None,
        on_file: OnFile | None = None,
        **how: bool,
    ) -> Ingest:
        # Imported here: reading and cutting files is no concern of a query.
        from thoth_core.client.ingest import Ingest

        return Ingest(
            self._connection, self._calls, self._settings, collection, on_progress, on_file, **how
        )

    def _dry_run(
        self,
        collection: str | None,
        on_progress: OnFiles | None,
        on_file: OnFile | None = None,
        **how: bool,
    ) -> DryRun:
        from thoth_core.client.dry_run import DryRun

        return DryRun(
            self._connection, self._calls, self._settings, collection, on_progress, on_file, **how
        )

    def _cost(self, used: Used) -> Cost:
        model = model_of(self._settings, self._connection.greeting)
        return used.cost(model, self._settings.prices)

    def _status(self) -> dict[str, Any]:
        return control(self._settings, "status")

    def __del__(self) -> None:
        # The constructor may have failed, or the interpreter may be ending.
        with contextlib.suppress(Exception):
            self._connection.abandon()


def _starter(settings: Settings, tell: Callable[[str], None]) -> Callable[[], None]:
    # No method of the client: the connection's thread would keep a client alive that was let go.
    def start() -> None:
        from thoth_core.client.autostart import start_service

        tell("starting the service…")
        start_service(settings, idle_exit=settings.idle_exit, log=tell)

    return start


def ping() -> Plan[None]:
    """A call that only makes sure of the connection."""
    return single(Request("ping"), _nothing)


def _nothing(answer: Message) -> None:
    del answer


def checked_deadline(deadline: float | None) -> float | None:
    """Seconds from now, or None. Raises :class:`InvalidInput` for anything else."""
    if deadline is None:
        return None
    if isinstance(deadline, bool) or not isinstance(deadline, int | float) or not deadline > 0:
        raise InvalidInput(
            f"deadline is {shown(deadline)}", cause="it is a number of seconds over 0"
        )
    # Later than any clock will tell is never: infinity cannot be sent, nor waited for.
    return float(deadline) if deadline < _NEVER else None
