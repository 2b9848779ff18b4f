"""The store dies at random moments, again and again, and nothing that was acknowledged is lost.

``python -m tests.chaos.store [--seed N] [--kills N] [--short]``. Several clients write, delete and
search without a pause, while the store worker and its index process are ended by SIGKILL and
SIGSEGV, also while the index is opened, checked or rebuilt, while collections are embedded anew and
while the store is compacted; and its files are damaged now and then.
At the end the store is compared with the book of what was acknowledged; beside it, the same is done
to Chroma alone. Exit status 1 if anything is not as it must be. Bounded in time.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from store_worker.faults import INDEX_ABORT
from tests.chaos import arguments, generations, plain
from tests.chaos.book import Book, Chunk, Vector, check
from tests.chaos.clients import COLLECTION, DIMENSION, ChaosClient, Told
from tests.chaos.generations import Reembedding
from tests.chaos.killer import Killer, Kills
from tests.chaos.looking import seen_in
from tests.chaos.table import line, verdict_table
from tests.support.service import RealService, wait_for
from thoth_core import Thoth
from thoth_core.errors import ThothError

CLIENTS = 4
#: Seconds: a kill may take so many on average; until the last call has ended, and until the index
#: is healthy, after the last kill. Between two collections that are embedded anew.
A_KILL, LAST_CALLS, HEALED, PAUSE = 5.0, 90.0, 180.0, 45.0
ABORTS = "the-row-that-no-index-takes"


def main() -> int:
    parser = arguments.parser(__doc__)
    parser.add_argument("--kills", type=int, default=None)
    parser.add_argument("--short", action="store_true", help="10 kills and nothing beside them")
    options = parser.parse_args()
    kills = options.kills or (10 if options.short else 200)
    print(f"seed {options.seed}, {kills} kills", flush=True)
    run = Run(options.seed, kills, short=options.short)
    problems = run.run(keep=options.keep)
    if not options.short:
        ends = plain.run(options.seed, min(kills, 60), time.monotonic() + 300)
        print("\n".join(_plain_table(ends)), flush=True)
    for problem in problems:
        print(f"WRONG: {problem}", flush=True)
    print("failed" if problems else "nothing was lost", flush=True)
    return 1 if problems else 0


class Run:
    """One service, its clients, and who ends it."""

    def __init__(self, seed: int, kills: int, *, short: bool) -> None:
        self.book = Book()
        self._short = short
        self._seed = seed
        self._wanted = kills
        self._stop = threading.Event()
        self._problems: list[str] = []

    def run(self, *, keep: bool = False) -> list[str]:
        """What was wrong."""
        service = RealService.make(f"fake/{DIMENSION}", THOTH_FAULTS="1", THOTH_EMBED_WORKERS="2")
        started = time.monotonic()
        try:
            self._start(service)
            reembedding = None if self._short else Reembedding(service.client, PAUSE)
            clients = [
                ChaosClient(n, self._seed, service.client, self.book, self._stop)
                for n in range(CLIENTS)
            ]
            killer = Killer(service, self._seed, lambda: self._alive(clients), hurried=self._short)
            threads: list[ChaosClient | Reembedding] = [*clients]
            if reembedding is not None:
                reembedding.start()
                threads.append(reembedding)
            try:
                self._kill(service, killer, clients)
            finally:
                self._stop.set()
                for thread in threads:
                    if isinstance(thread, Reembedding):
                        thread.hurry.set()
                    thread.join(LAST_CALLS)
            self._alive(threads)
            self._problems += [f"{t.name} is not answered" for t in threads if t.is_alive()]
            told = _together(clients)
            rows = _table(killer.kills, told, time.monotonic() - started)
            if reembedding is not None:
                rows.append(line("collections embedded anew", len(reembedding.done)))
                rows.append(line("compactions", reembedding.compactions))
                rows.append(line("  errors of either", dict(reembedding.errors) or 0))
            rows += self._compare(service, killer)
            print("\n".join(rows), flush=True)
            self._problems += sorted(set(told.wrong))[:20]
            self._judge(killer.kills)
            service.stop()
            self._stock(service)
        finally:
            if self._problems and keep:
                service.stop()
                print(f"kept: {service.root}", flush=True)
            else:
                service.close()
        return self._problems

    def _start(self, service: RealService) -> None:
        if not self._short:
            service.env["RAG_EMBEDDING_MODEL"] = generations.OLD_MODEL
            service.start()
            with service.client() as thoth:
                generations.make(thoth)
            service.stop()
            service.env["RAG_EMBEDDING_MODEL"] = f"fake/{DIMENSION}"
        service.start()

    def _kill(self, service: RealService, killer: Killer, clients: list[ChaosClient]) -> None:
        with service.client() as thoth:
            # So that all of them find the collection.
            vector = _unit(np.ones(DIMENSION))
            first = {"first": Chunk("the first", {"write": "first"}, vector)}
            self._write(thoth, first)
            for client in clients:
                client.start()
            until = time.monotonic() + A_KILL * self._wanted
            killer.run(self._wanted // 4, until)
            if not self._short:
                # It costs six deaths more.
                vector = _unit(-np.ones(DIMENSION))
                text = f"whoever takes this ends: {INDEX_ABORT}"
                self._write(thoth, {ABORTS: Chunk(text, {"write": "aborts"}, vector)})
            killer.run(self._wanted, until)
        if killer.kills.done < self._wanted:
            self._problems.append(f"only {killer.kills.done} kills in the time there was")

    def _write(self, thoth: Thoth, states: dict[str, Chunk | None]) -> None:
        chunks = [each for each in states.values() if each is not None]
        call = self.book.begin(states)
        while True:
            # What the book is told is that it was carried out, however often it was asked for.
            try:
                thoth.upsert(
                    list(states),
                    np.array([each.vector for each in chunks]),
                    [each.text or "" for each in chunks],
                    [dict(each.metadata) for each in chunks],
                    COLLECTION,
                )
                break
            except ThothError as problem:
                print(f"again: {problem}", flush=True)
        self.book.acknowledged(call)

    @staticmethod
    def _alive(threads: Sequence[ChaosClient | Reembedding]) -> None:
        for thread in threads:
            if thread.problem is not None:
                raise thread.problem

    # -- the end ------------------------------------------------------------------------------

    def _compare(self, service: RealService, killer: Killer) -> list[str]:
        """Wait until the index is healthy, and compare; lines of the table."""
        start = time.monotonic()

        def healed() -> bool:
            store = killer.look()
            well = store.get("index_state") == "healthy" and not store["index"]["pending"]
            left_out = [each["id"] for each in store["unindexed"]] if well else []
            return well and (self._short or ABORTS in left_out)

        try:
            wait_for(healed, HEALED, "the index is healthy")
        except AssertionError:
            self._problems.append(f"the index is not healthy: {killer.look()}")
        healed_after = time.monotonic() - start
        self._unindexed = {each["id"] for each in killer.look()["unindexed"]}
        with service.client() as thoth:
            report = thoth.verify()
            if report["findings"] or report["differing"]:
                self._problems.append(f"verify: {report}")
            seen = seen_in(thoth, self.book, COLLECTION, self._seed)
            if thoth.count(COLLECTION) != len(seen.rows):
                self._problems.append(f"{thoth.count(COLLECTION)} are counted")
            for name in [] if self._short else generations.names():
                book = generations.book_of(name, DIMENSION)
                wrong = check(book, seen_in(thoth, book, name, self._seed)).problems()
                self._problems += [f"{name}: {each}" for each in wrong]
            expected = {COLLECTION, *([] if self._short else generations.names())}
            if (there := {each.name for each in thoth.collections()}) != expected:
                self._problems.append(f"collections: {sorted(there)}")
        if (aside := sorted(service.settings().data_dir.glob("chroma-damaged-*"))) != []:
            self._problems.append(f"still there: {[each.name for each in aside]}")
        verdict = check(self.book, seen)
        self._problems += verdict.problems()
        self._seen_rows = dict(seen.rows)
        lines = verdict_table(self.book, verdict, len(seen.rows), healed_after)
        return [*lines, line("left out of the index", len(self._unindexed))]

    def _judge(self, kills: Kills) -> None:
        if kills.most_aside > 1:
            self._problems.append(f"{kills.most_aside} folders were put aside at one time")
        for reason in kills.begun:
            if "SIGKILL" in reason:
                self._problems.append(f"a new index for want of nothing: {reason}")

    def _stock(self, service: RealService) -> None:
        """With the service stopped, a stock client finds everything but what no index takes."""
        rows = {id: each for id, each in self._seen_rows.items() if id not in self._unindexed}
        told = {
            "name": COLLECTION,
            "ids": list(rows),
            "vectors": [each.vector.tolist() for each in rows.values()],
        }
        wrong = plain.look(Path(service.settings().data_dir / "chroma"), told)
        print(line("a stock client, after stop", wrong or f"finds all {len(rows):,}"), flush=True)
        if wrong:
            self._problems.append(f"a stock client: {wrong}")


def _unit(vector: np.ndarray[Any, Any]) -> Vector:
    unit: Vector = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit


def _together(clients: list[ChaosClient]) -> Told:
    told = Told()
    for client in clients:
        each = client.told
        told.calls += each.calls
        told.rows += each.rows
        told.errors += each.errors
        told.wrong += each.wrong
        for name, seconds in each.longest.items():
            told.longest[name] = max(seconds, told.longest.get(name, 0.0))
    return told


# -- the table ----------------------------------------------------------------------------------


def _table(kills: Kills, told: Told, seconds: float) -> list[str]:
    lines = ["", line("seconds", f"{seconds:.0f}"), line("kills", kills.done)]
    lines += [
        line(f"  {process} by {name}, index {at}", n)
        for (process, name, at), n in sorted(kills.by.items())
    ]
    lines += [line("damages done besides", sum(kills.damages.values()))]
    lines += [line(f"  {name}", n) for name, n in sorted(kills.damages.items())]
    lines += [line("new indexes begun", len(kills.begun))]
    for reason, n in sorted(Counter(kills.begun).items()):
        lines.append(line(f"  {n} times", reason))
    lines += [line("folders aside at one time, at most", kills.most_aside)]
    lines += [line("calls that were answered", sum(told.calls.values()))]
    lines += [
        line(f"  {name}", f"{n:,}, the longest {told.longest[name]:.1f} s")
        for name, n in sorted(told.calls.items())
    ]
    lines += [line("calls that ended in an error", dict(told.errors) or 0)]
    lines += [line(f"rows {name}", f"{n:,}") for name, n in sorted(told.rows.items())]
    lines += [line("answers that cannot be right", len(told.wrong))]
    return lines


def _plain_table(ends: list[plain.End]) -> list[str]:
    lines = ["", "Chroma alone, one writer that is ended by SIGKILL:"]
    for end in ends:
        what = end.wrong or "still well"
        lines.append(f"  after {end.kills} kills, {end.rows:,} rows acknowledged: {what}")
    bricked = sum(1 for end in ends if end.wrong)
    lines.append(line("  of no use any more", f"{bricked} of {len(ends)} directories"))
    return lines


if __name__ == "__main__":
    sys.exit(main())
