"""The checks, in the order in which they run: what needs least comes first.

A check is a function ``check(context)`` in a file of its own, which is imported when it runs, so
that what is missing or broken costs the one check that needs it.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Seconds for one that only looks, and for one that must read all that is stored.
LOOK, LONG = 20.0, 3600.0
#: The first start of a service ever converts the model, which took 15 to 30 s on two cores.
START = 300.0


@dataclass(frozen=True, slots=True)
class Check:
    """``looks_at`` says what it looks at, for people. ``apart``: in a process of its own, because
    it runs native code. ``seconds`` is how long it may take, ``deep_seconds`` that with ``--deep``
    where it differs. ``slow``: left out by ``--quick``. ``bare``: it needs no settings."""

    name: str
    module: str
    looks_at: str
    seconds: float = LOOK
    deep_seconds: float = 0.0
    apart: bool = False
    slow: bool = False
    bare: bool = False

    def limit(self, deep: bool) -> float:
        return self.deep_seconds if deep and self.deep_seconds else self.seconds


def _check(name: str, looks_at: str, **more: float | bool) -> Check:
    module = f"thoth_core.doctor.checks.{name.replace('-', '_')}"
    return Check(name, module, looks_at, **more)  # type: ignore[arg-type]


CHECKS: tuple[Check, ...] = (
    _check("settings", "values that cannot be used, and names that nothing reads", bare=True),
    _check("python", "Python, SQLite and the system", bare=True),
    _check(
        "packages",
        "packages, their versions and whether they load; with --deep, also those of the workers",
        deep_seconds=300.0,
        bare=True,
    ),
    _check("caller", "native libraries that every Python of this shell has loaded", bare=True),
    _check("filesystems", "whether data and sockets are on a network file system"),
    _check("disk", "room on the disks, and whether the data directory can be written"),
    _check("memory", "memory that is left, against what the workers need"),
    _check("service", "the running service: its state and its workers"),
    _check("locks", "who holds the locks of the data directory"),
    _check("leftovers", "processes, sockets and folders that a dead service left behind"),
    _check("second-owner", "other programs that have the files of the store open"),
    _check(
        "ledger",
        "whether SQLite can read the ledger; with --deep, every page of it",
        deep_seconds=LONG,
        apart=True,
    ),
    _check(
        "index",
        "the index against the ledger; with --deep, all of it, by the running service",
        seconds=60.0,
        deep_seconds=LONG,
        apart=True,
    ),
    _check("encoding", "whether chunk sizes can be counted without a network", apart=True),
    _check("model", "the files of the model, and their hash", seconds=60.0),
    _check(
        "round-trip",
        "a service of its own in a scratch directory: start, embed, store, search, delete, stop",
        seconds=START,
        slow=True,
    ),
    _check("threads", "threads that computed in each worker, beside what is configured", slow=True),
    _check("openmp", "OpenMP runtimes that each process has loaded: two of them crash"),
    _check("provider", "with --openai, the key and the address, by a request for one token"),
    _check("crashes", "workers that ended as they should not in the last day"),
)

NAMES = tuple(check.name for check in CHECKS)
BY_NAME = {check.name: check for check in CHECKS}
#: The one whose finding others go by.
SERVICE = "service"
