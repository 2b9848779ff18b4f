"""What a worker is told at birth, in one environment variable. Nothing in it is secret."""

from __future__ import annotations

import json
import os
from collections.abc import MutableMapping
from dataclasses import asdict, dataclass
from typing import Literal

VARIABLE = "THOTH_WORKER"

#: A configuration or boot failure: trying again would fail the same way (sysexits' EX_CONFIG).
EXIT_BOOT = 78
#: It ended in order because somebody sent SIGTERM; what shells say of one that SIGTERM killed.
EXIT_TERM = 143


@dataclass(frozen=True, slots=True)
class Birth:
    """``endpoint`` is the path of the supervisor's socket for workers; ``parent`` its pid;
    ``death_fd`` the read end of a pipe that ends when the supervisor does; ``dump_fd`` a file for
    the stacks of a crash or hang, -1 for standard error."""

    role: Literal["embed", "store"]
    slot: str
    incarnation: str
    endpoint: str
    parent: int
    death_fd: int
    dump_fd: int = -1

    @property
    def identity(self) -> bytes:
        return f"{self.role}.{self.slot}.{self.incarnation}".encode()

    def to_variable(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def take(cls, environ: MutableMapping[str, str] = os.environ) -> Birth | None:
        """The birth certificate, removed from ``environ`` so that no child inherits it."""
        raw = environ.pop(VARIABLE, None)
        if raw is None:
            return None
        data = json.loads(raw)
        return cls(**{name: data[name] for name in cls.__dataclass_fields__})
