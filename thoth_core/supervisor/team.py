"""One model: its workers, the work that waits for them, and the texts that they may not bear. Pure.

The service's own model has a team from its start to its end. That of another one comes with the
first request for it, and goes when nobody asks for it any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thoth_core.errors import ThothError
from thoth_core.supervisor.pool import Pool
from thoth_core.supervisor.quarantine import Runtime
from thoth_core.supervisor.requests import Case, Request, Unit, plain_name
from thoth_core.supervisor.waiting import Waiting


class Team:
    """``name`` is what the model is asked for by."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pool = Pool()
        #: The identity of the model, from the first READY on, and what computes it.
        self.model: Mapping[str, Any] | None = None
        self.runtime = Runtime()
        #: Why no worker can be had at all; None while one is there, on its way, or can be.
        self.problem: ThothError | None = None
        #: How many requests are open: of those that somebody waits for, and of the others.
        self.open = {True: 0, False: 0}
        #: When anything interactive, and anything else, last made progress.
        self.moved = {True: 0.0, False: 0.0}
        #: Units that somebody waits for.
        self.interactive: Waiting[Unit] = Waiting(_admitted, _needs_store)
        #: Requests with units that wait, in turn.
        self.bulk: Waiting[Request] = Waiting(lambda r: r.turn, lambda r: r.needs_store)
        #: Interactive units in a row that went to a worker for which bulk units wait.
        self.overtook = 0
        #: Texts under suspicion, in the order in which they are tried.
        self.cases: dict[str, Case] = {}
        #: The unit that runs with nothing else in its worker, and whose case it decides: none, if
        #: it is the good text that must pass between two deaths.
        self.alone: Unit | None = None
        self.tried: Case | None = None
        #: When what runs alone last made progress.
        self.trial_moved = 0.0
        #: Units that ran alone since their worker last took another.
        self.trials = 0
        #: The incarnation in which a good text passed last.
        self.vouched = ""

    def is_called(self, name: str) -> bool:
        """Whether ``name`` is this model's: what it is asked for by, or what it calls itself."""
        own = "" if self.model is None else str(self.model.get("name"))
        return plain_name(name) in (plain_name(self.name), plain_name(own))

    @property
    def shown_name(self) -> str:
        """What it calls itself, or is called by as long as that is not known."""
        return self.name if self.model is None else str(self.model.get("name"))

    @property
    def asked(self) -> bool:
        """Whether a request for it is open."""
        return any(self.open.values())

    @property
    def at_rest(self) -> bool:
        """Whether nothing would be lost with it."""
        return not (self.asked or self.pool.workers or self.alone)


def _admitted(unit: Unit) -> int:
    return unit.request.number


def _needs_store(unit: Unit) -> bool:
    return unit.request.needs_store
