"""What ``Thoth`` and ``AsyncThoth`` share: settings, the connection, and looking at the service."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from thoth_core import __version__
from thoth_core.client.calls import Calls
from thoth_core.client.connection import Connection
from thoth_core.client.control import control
from thoth_core.client.greeting import Greeting
from thoth_core.client.jobs import Answers
from thoth_core.client.requests import Plan, Request, single
from thoth_core.errors import InvalidInput
from thoth_core.settings import Settings
from thoth_core.wire import Message

log = logging.getLogger("thoth.client")


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
        else:
            self._settings = Settings.load(cli=dict(settings or {}))
        self._autostart = autostart
        self._on_event = on_event or log.info
        own = self._settings
        self._calls = Calls(own.collection_name, own.max_text_chars, own.retrieval_k)
        self._dimension: int | None = None
        self._connection = Connection(
            own, self._start_service if autostart else None, version=__version__
        )

    def _start_service(self) -> None:
        from thoth_core.client.autostart import start_service

        self._on_event("starting the service…")
        settings = self._settings
        start_service(settings, idle_exit=settings.idle_exit, log=self._on_event)

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

    def _status(self) -> dict[str, Any]:
        return control(self._settings, "status")

    def _model_in(self, greeting: Greeting | None) -> str:
        named = greeting.model if greeting is not None else ""
        return named or self._settings.embedding_model

    def __del__(self) -> None:
        # The constructor may have failed, or the interpreter may be ending.
        with contextlib.suppress(Exception):
            self._connection.close(wait=False)


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
        raise InvalidInput(f"deadline is {deadline!r}", cause="it is a number of seconds over 0")
    return float(deadline)


def listed(values: Iterable[str]) -> Sequence[str]:
    """``values`` as a sequence. A single string stays one, to be refused as such."""
    return values if isinstance(values, str | list | tuple) else list(values)


__all__ = ["Answers", "Client", "checked_deadline", "listed", "ping"]
