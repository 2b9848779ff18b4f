"""The first words of a connection: which service is this, and does it run what we asked for?"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thoth_core.client.requests import Request
from thoth_core.settings import DEFAULT

if TYPE_CHECKING:
    from thoth_core.settings import Settings

log = logging.getLogger("thoth.client")


@dataclass(frozen=True, slots=True)
class Greeting:
    """``model`` is the name of the model that the service runs; ``differing`` names the settings
    in which the service differs from this client. The service's are the ones in force."""

    pid: int
    version: str
    model: str
    settings: Mapping[str, Any]
    differing: tuple[str, ...]


def hello_request(settings: Settings) -> Request:
    return Request("hello", {"pid": os.getpid(), "settings": settings.to_wire()})


def read_greeting(body: Mapping[str, Any]) -> Greeting:
    """The greeting in a ``hello``'s answer. Fields that are missing are empty: a service of a
    lower minor version may not know them yet."""
    model = body.get("model")
    if isinstance(model, Mapping):
        model = model.get("name")
    settings = body.get("settings")
    differing = body.get("differing")
    return Greeting(
        pid=int(body.get("pid") or 0),
        version=str(body.get("version") or ""),
        model=str(model or ""),
        settings=dict(settings) if isinstance(settings, Mapping) else {},
        differing=tuple(str(n) for n in differing) if isinstance(differing, list) else (),
    )


def asked_model(settings: Settings) -> str:
    """The model that these settings ask for; "" if they leave it to the service."""
    # Who set a model must never get another one's vectors; who set none takes the service's own,
    # or the collection's.
    return "" if settings.origin("embedding_model") == DEFAULT else settings.embedding_model


def model_of(settings: Settings, greeting: Greeting | None) -> str:
    """The model that calls with these settings have, as far as is known before an answer."""
    running = greeting.model if greeting is not None else ""
    return asked_model(settings) or running or settings.embedding_model


def warn_of_differences(greeting: Greeting, ours: str) -> None:
    """Say through logging what the service does otherwise than this client would. ``ours`` is
    this client's version."""
    if greeting.differing:
        log.warning(
            "the running service (pid %d) has other settings than this program: %s; its own are "
            "in force; to apply these: thoth-supervisor stop; thoth-supervisor start",
            greeting.pid,
            ", ".join(greeting.differing),
        )
    if greeting.version and greeting.version != ours:
        log.warning(
            "the running service (pid %d) is version %s, this program %s; to renew it: "
            "thoth-supervisor stop; thoth-supervisor start",
            greeting.pid,
            greeting.version,
            ours,
        )
