"""The process that alone opens ``chroma/``: it is asked by the store and keeps nothing to itself.

It reads the ledger, which the store writes, and brings the index up to date with it. It may end at
any moment: the store then has another one started, and the ledger says what is missing.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from store_worker import index_files, index_line
from store_worker.faults import INDEX_ABORT
from store_worker.follower import Follower
from store_worker.index import Index, IndexFailed, IndexFull, IndexRefused
from store_worker.index_child import NOT_BEGUN, VARIABLE
from store_worker.ledger import Ledger
from store_worker.locks import own_index
from store_worker.recovery_steps import skipped
from store_worker.room import full
from thoth_core.errors import StorageError, ThothError
from thoth_core.log_format import log_to_stderr
from thoth_core.worker import lifeline
from thoth_core.worker.birth import EXIT_BOOT
from thoth_core.worker.stack_dumps import StepTimer, write_stacks_to

#: Seconds after which a call counts as hanging whatever it is, and the process ends itself, should
#: there be no store any more that would end it.
CALL_SECONDS = 900.0
#: Vectors of one collection that are searched for in a sample.
SAMPLE = 50

Body = dict[str, Any]


class IndexProcess:
    """The index and its reader of the ledger. Each public method is one operation."""

    def __init__(self, data_dir: Path, *, faults: bool) -> None:
        self.critical = threading.Lock()
        self.folder = data_dir / "chroma"
        self._path = data_dir / "ledger.sqlite3"
        self._reader: Ledger | None = None
        self._faults = faults
        self._index: Index | None = None

    @property
    def _ledger(self) -> Ledger:
        if self._reader is None:
            self._reader = Ledger.reader(self._path)
        return self._reader

    @property
    def index(self) -> Index:
        if self._index is None:
            self._index = Index.open(self.folder, self._ledger.ident, self.critical)
        return self._index

    @property
    def follower(self) -> Follower:
        return Follower(self._ledger, self.index, INDEX_ABORT if self._faults else "")

    def verify(self, body: Body, array: bytes) -> Body:
        """Look at the files before native code does, and compare them with the ledger."""
        started = time.monotonic()
        found = index_files.inspect(
            self.folder,
            self._ledger,
            compare=bool(body["compare"]),
            after=body["after"],
            skip=skipped(body),
        )
        return {**found, "seconds": round(time.monotonic() - started, 3)}

    def plan(self, body: Body, array: bytes) -> Body:
        """Open the index; the collections that it lacks."""
        return {"missing": self.follower.missing()}

    def reconcile(self, body: Body, array: bytes) -> Body:
        """Give the index the ledger's collections."""
        return {"collections": list(self.follower.reconcile().items())}

    def apply(self, body: Body, array: bytes) -> Body:
        seq, changes = self.follower.apply(body["after"], body["limit"], skipped(body))
        return {"seq": seq, "changes": changes}

    def fill(self, body: Body, array: bytes) -> Body:
        row, rows = self.follower.fill(
            body["collection"], body["after"], body["upto"], body["limit"], skipped(body)
        )
        return {"after": row, "rows": rows}

    def rows(self, body: Body, array: bytes) -> Body:
        self.follower.write(body["collection"], body["ids"])
        return {"rows": len(body["ids"])}

    def sample(self, body: Body, array: bytes) -> Body:
        """Search for stored vectors; how many were asked for and how many were found."""
        return self.follower.sample(body["after"], skipped(body), SAMPLE, random.Random())

    def search(self, body: Body, array: bytes) -> Body:
        """Ids near each of the vectors (m, dimension)."""
        vectors = np.frombuffer(array, "<f4").reshape(body["shape"])
        found = self.index.nearest(
            body["collection"], vectors, body["n"], body["where"], body["where_document"]
        )
        return {"ids": found}

    def matching(self, body: Body, array: bytes) -> Body:
        found = self.index.matching(
            body["collection"], body["ids"], body["where"], body["where_document"]
        )
        return {"ids": found}

    def settle(self, body: Body, array: bytes) -> Body:
        """Have all that was written on disk, not only with the system."""
        index_files.sync(self.folder)
        return {}

    def compact(self, body: Body, array: bytes) -> Body:
        """Give room on the disk back; the index is closed for it."""
        before = index_files.size(self.folder)
        index_files.check_room_to_vacuum(self.folder)
        self.close()
        try:
            index_files.vacuum(self.folder)
        finally:
            # It is to take what it is told next, however this went.
            try:
                self.follower.reconcile()
            except StorageError as problem:
                raise IndexFull(f"it could not be opened again: {problem.message}") from problem
        return {"before": before, "after": index_files.size(self.folder)}

    def close(self) -> None:
        if self._index is not None:
            self._index.close()
            self._index = None


_OPERATIONS: Mapping[str, Callable[[IndexProcess, Body, bytes], Body]] = {
    each.__name__: each
    for each in (
        IndexProcess.verify,
        IndexProcess.plan,
        IndexProcess.reconcile,
        IndexProcess.apply,
        IndexProcess.fill,
        IndexProcess.rows,
        IndexProcess.sample,
        IndexProcess.search,
        IndexProcess.matching,
        IndexProcess.settle,
        IndexProcess.compact,
    )
}


def answer(process: IndexProcess, body: Body, array: bytes) -> Body:
    """The reply to one request; what goes wrong is a part of it."""
    try:
        return _OPERATIONS[body["op"]](process, body, array)
    except IndexRefused as problem:
        return {"error": "refused", "message": str(problem)}
    except IndexFailed as problem:
        return {"error": "failed", "message": str(problem)}
    except IndexFull as problem:
        found = full(process.folder, str(problem))
        return {"error": "full", "problem": found.to_dict(), "message": str(found)}
    except ThothError as problem:
        return {"error": "typed", "problem": problem.to_dict(), "message": str(problem)}
    except Exception as problem:
        logging.getLogger("thoth.index").exception("%s failed", body.get("op"))
        return {"error": "failed", "message": f"{type(problem).__name__}: {problem}"}


def main() -> int:
    raw = os.environ.pop(VARIABLE, None)
    if raw is None:
        sys.stderr.write(
            "error: the index process is started by the store, not by hand\n"
            "fix: thoth-supervisor start\n"
        )
        return EXIT_BOOT
    orders = json.loads(raw)
    dump_fd = write_stacks_to(orders["dump_fd"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log_to_stderr("store")
    data_dir = Path(orders["data_dir"])
    line = socket.socket(fileno=orders["line"])
    # One that is still in its last call has the folder until it ends.
    try:
        lock = own_index(data_dir)
    except OSError as problem:
        logging.getLogger("thoth.index").warning("%s", problem)
        return NOT_BEGUN
    process = IndexProcess(data_dir, faults=bool(orders["faults"]))
    lifeline.arm(orders["parent"], orders["death_fd"], process.critical)
    # It ends the process even while a call holds the interpreter's lock.
    timer = StepTimer(CALL_SECONDS, dump_fd)
    frozen = False
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while (came := index_line.receive(line)) is not None:
            timer.step()
            reply = answer(process, *came)
            timer.end()
            index_line.send(line, reply)
            if came[0]["op"] == "plan" and not frozen:
                # All of Chroma is loaded by now, a hundred thousand objects that stay: a search
                # need not wait while the collector looks at them (40 ms).
                gc.freeze()
                frozen = True
    process.close()
    lock.release()
    logging.shutdown()
    # As in every worker: the teardown of native libraries is where they like to crash.
    os._exit(0)


if __name__ == "__main__":
    raise SystemExit(main())
