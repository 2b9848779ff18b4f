"""What the supervisor says about itself: the answers to ``hello``, ``status``, ``restart`` and
``quarantine``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from thoth_core import __version__
from thoth_core.errors import InvalidInput, ProtocolError, SettingsError
from thoth_core.provider import is_openai
from thoth_core.settings import Settings
from thoth_core.supervisor import status
from thoth_core.supervisor.crew import STORE, Crew
from thoth_core.supervisor.dispatch import Dispatch
from thoth_core.supervisor.quarantine_file import QuarantineFile
from thoth_core.wire import Message

#: The settings that are the service's; a client that has others is told. Not the model: who asks
#: for another one has it.
SERVICE_FIELDS = (
    "embedding_batch_size",
    "long_text",
    "engine",
    "device",
    "precision",
    "trust_remote_code",
    "max_text_chars",
    "unit_timeout",
    "worker_memory_mb",
    "worker_max_age",
    "models_memory_mb",
    "model_idle",
    "queue_mb",
    "faults",
    "embed_workers",
    "openai_base_url",
    "openai_dimensions",
)


#: Those that are the service's only where one of the two has a model of OpenAI's: a client of a
#: local model may have an address to ask questions of.
_OPENAI_FIELDS = ("openai_base_url", "openai_dimensions")


def differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """The fields in which a client's settings are not those that are in force here. Pure."""
    models = [str(each.get("embedding_model")) for each in (ours, theirs)]
    idle = () if any(map(is_openai, models)) else _OPENAI_FIELDS
    return [
        name
        for name in SERVICE_FIELDS
        if name not in idle and name in theirs and name in ours and theirs[name] != ours[name]
    ]


class Desk:
    """``started`` is the monotonic time of the service's start."""

    def __init__(
        self,
        settings: Settings,
        service: str,
        started: float,
        dispatch: Dispatch,
        crew: Crew,
        quarantine: QuarantineFile,
    ) -> None:
        self.stopping = ""
        self._settings = settings
        self._service = service
        self._started = started
        self._dispatch = dispatch
        self._crew = crew
        self._quarantine = quarantine

    def hello(self, message: Message) -> dict[str, Any]:
        """Who serves here, and which of the client's settings are not in force."""
        ours = self._settings.to_wire()
        theirs = message.body.get("settings")
        theirs = theirs if isinstance(theirs, Mapping) else {}
        return {
            "pid": os.getpid(),
            "version": __version__,
            "service": self._service,
            "model": self._dispatch.board.own.model or {"name": self._settings.embedding_model},
            "settings": ours,
            "differing": differing(ours, theirs),
        }

    def control(self, now: float, message: Message) -> dict[str, Any]:
        """The result of a control request that is answered at once."""
        if message.kind == "status":
            return self.status(now)
        if message.kind == "quarantine":
            return self.quarantine(message.body)
        if message.kind == "key":
            return self.renew_key(now, message.body)
        if message.kind != "restart":
            raise ProtocolError(f"there is no control request of the kind {message.kind!r}")
        name = message.body.get("worker")
        if name is not None and not (isinstance(name, str) and name in self._crew.slots):
            raise InvalidInput(
                f"there is no worker {name!r}",
                cause="the workers are: " + ", ".join(self._crew.slots),
            )
        return {"restarted": self._crew.restart(now, name)}

    def renew_key(self, now: float, body: Mapping[str, Any]) -> dict[str, Any]:
        """The workers that have the key ``key`` from now on."""
        key = body.get("key")
        if not isinstance(key, str):
            raise InvalidInput("there is no key in that")
        theirs, ours = str(body.get("base_url")), self._settings.openai_base_url
        if key and theirs != ours:
            # It is meant for that server, and would be sent to this one.
            raise SettingsError(
                "the key is not given to the service, which asks another server",
                cause=f"OPENAI_BASE_URL is {theirs} here, and was {ours} when the service started",
                fix="thoth-supervisor stop; thoth-supervisor start",
            )
        return {"renewed": self._crew.renew_key(now, key)}

    def quarantine(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The texts in quarantine; with ``remove`` those that were taken out: ``keys``, or all."""
        if body.get("remove"):
            return self._quarantine.take_out(body.get("keys"))
        return self._quarantine.listed()

    def status(self, now: float) -> dict[str, Any]:
        """What ``thoth-supervisor status --json`` prints."""
        crew, board = self._crew, self._dispatch.board
        slots = list(crew.slots.values())
        busy = {worker.slot for worker in board.workers() if worker.units}
        if board.store.in_flight:
            busy.add(STORE)
        workers = []
        for slot in slots:
            child = crew.children.get(slot.name)
            beat = crew.beats.get(slot.name, {})
            pid = child.pid if child is not None else None
            waits = crew.recycling.waits.get(slot.name)
            said = crew.ready_info.get(slot.name)
            workers.append(status.worker_status(slot, pid, beat, slot.name in busy, waits, said))
        store = status.store_status(
            crew.ready_info.get(STORE, {}), crew.beats.get(STORE, {}), board.store.up
        )
        return {
            "schema_version": status.SCHEMA_VERSION,
            "state": status.service_state(crew.own_slots(), stopping=bool(self.stopping)),
            "pid": os.getpid(),
            "version": __version__,
            "uptime_s": round(now - self._started, 3),
            "data_dir": str(self._settings.data_dir),
            # The service's own first.
            "models": [
                dict(team.model)
                for team in sorted(board.teams.values(), key=lambda t: t is not board.own)
                if team.model is not None
            ],
            "workers": workers,
            "lacking": crew.lacking() or None,
            "queue": self._dispatch.queue(),
            "quarantined": len(self._quarantine.quarantine),
            "store": store | {"embedded_total": board.counters["texts_embedded"]},
            "counters": board.counters.figures(),
        }
