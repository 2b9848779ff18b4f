"""Everything dies at random moments under load, and every call has its answer all the same.

``python -m tests.chaos.service [--seed N] [--faults N] [--seconds S] [--model NAME]``. Several
client processes write, delete, search, embed and ingest real text without a pause. Meanwhile
workers, store, index process, supervisor and clients are killed, crashed and stopped, garbage comes
on every socket, and texts are sent that harm whoever embeds them. At the end every call must have
had one answer, the store must be as the clients' journals say, no process may be left over, and
the supervisor must have been one process, of one size, but for the faults that were aimed at it.
Exit status 1 if anything is not as it must be. Bounded in time.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.chaos import arguments, files, goodput, report, stable
from tests.chaos.book import check
from tests.chaos.clients import COLLECTION
from tests.chaos.contents import Contents
from tests.chaos.expected import unexpected
from tests.chaos.faults import Faults
from tests.chaos.herd import Herd
from tests.chaos.journal import Record, Story, read, told
from tests.chaos.load import Order
from tests.chaos.looking import all_rows, seen_in
from tests.chaos.plan import KINDS, plan
from tests.chaos.poison import Poisoner
from tests.chaos.processes import index_process_of, of_the_service
from tests.chaos.table import line, verdict_table
from tests.chaos.watcher import GROWTH, Watcher, tenths
from tests.support.service import RealService, wait_for
from thoth_core import Thoth

#: What each client does, with its number.
HERD = (("writer", 0), ("writer", 1), ("ingester", 0), ("reader", 0), ("reader", 1))
#: Seconds that a worker may take over a unit without progress. Short, so that a hang costs little,
#: and long for a machine that others use.
UNIT_TIMEOUT = 8.0
#: Of a worker, in MiB: twice what any of them needs here.
WORKER_MEMORY = 200
#: Seconds: until everything is ready and the index healthy after the last fault; and so many times
#: the seconds of a run may pass until its last fault.
HEALED, LONGER = 180.0, 2.0
#: Faults from which on what the supervisor's memory does is judged.
MANY = 100


def main() -> int:
    parser = arguments.parser(__doc__)
    parser.add_argument("--faults", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=None, help="1.3 for each fault")
    parser.add_argument("--model", default="fake/384")
    parser.add_argument("--only", action="append", choices=KINDS, help="faults of this kind only")
    parser.add_argument("--no-goodput", action="store_true", help="measure no goodput before it")
    options = parser.parse_args()
    seconds = options.seconds or 1.3 * options.faults
    again = f"--seed {options.seed} --faults {options.faults} --seconds {seconds:g}"
    again += f" --model {options.model}"
    again += "".join(f" --only '{kind}'" for kind in options.only or ())
    print(f"seed {options.seed}; the same again: python -m tests.chaos.service {again}", flush=True)
    load = os.getloadavg()[0]
    print(line("load of the machine before", f"{load:.1f}"), flush=True)
    problems: list[str] = []
    if not options.no_goodput:
        measured = goodput.measure(options.model, load)
        print("\n".join(measured.table()), flush=True)
        problems += measured.problems()
    # Only the fake model does harm on request.
    without = () if options.model.startswith("fake/") else Poisoner.KINDS
    kinds = plan(options.seed, options.faults, options.only or (), without)
    run = Run(options.seed, kinds, seconds, options.model)
    problems += run.run(keep=options.keep)
    for problem in problems:
        print(f"WRONG: {problem}", flush=True)
    print("WRONG" if problems else "OK", flush=True)
    return 1 if problems else 0


class Run:
    """One service, its clients, and what is done to them."""

    def __init__(self, seed: int, kinds: Sequence[str], seconds: float, model: str) -> None:
        self._seed, self._kinds, self._seconds = seed, kinds, seconds
        self._model = model
        self._known = model.startswith("fake/")
        self._problems: list[str] = []
        self._lines: list[str] = []

    def run(self, *, keep: bool = False) -> list[str]:
        """What was wrong. Prints the table."""
        service = RealService.make(
            self._model,
            THOTH_FAULTS="1",
            THOTH_EMBED_WORKERS="2",
            THOTH_QUEUE_MB="8",
            RAG_CHUNK_SIZE="200",
            RAG_CHUNK_OVERLAP="20",
        )
        if self._known:
            # Another model needs more than this of either.
            service.env["THOTH_UNIT_TIMEOUT"] = f"{UNIT_TIMEOUT:g}"
            service.env["THOTH_WORKER_MEMORY_MB"] = str(WORKER_MEMORY)
        # A service that this process starts is to be known by them, as others are.
        os.environ.update(service.env)
        try:
            service.start()
            self._under_faults(service)
            service.stop()
            if left := service.processes():
                self._problems.append(f"processes that outlived the service: {left}")
        finally:
            print("\n".join(self._lines), flush=True)
            if self._problems and keep:
                service.stop()
                print(f"kept: {service.root}", flush=True)
            else:
                service.close()
        return self._problems

    def _under_faults(self, service: RealService) -> None:
        folder = service.root / "journals"
        folder.mkdir()
        with service.client() as thoth:
            dimension = thoth.dimension
            # Nobody may have come to write anything in a short run.
            thoth.create_collection(COLLECTION)
            thoth.create_collection(files.COLLECTION)
            stable.store(thoth, dimension)
        orders = [
            Order(role, number, 0, self._seed, str(folder), dimension, self._known)
            for role, number in HERD
        ]
        herd, watcher = Herd(service, orders), Watcher(service)
        poisoner = Poisoner(
            service.client(autostart=True),
            folder,
            dimension,
            unit_timeout=UNIT_TIMEOUT,
            memory_mb=WORKER_MEMORY,
        )
        faults = Faults(service, self._seed, herd, watcher, poisoner)
        watcher.start()
        herd.start()
        began = time.monotonic()
        try:
            wait_for(lambda: _busy(herd.journals()), 60, "all clients are at work")
            until = began + LONGER * self._seconds + 30
            faults.run(self._kinds, self._seconds, until)
        finally:
            self._problems += herd.end()
            seconds = time.monotonic() - began
            poisoner.close()
            self._healed(service, watcher)
            watcher.stop()
        self._problems += faults.problems + watcher.problems()
        if (done := faults.done.total()) < len(self._kinds):
            self._problems.append(f"only {done} faults were carried out")
        journals = herd.journals() | {"poisoner-0": read(folder / "poisoner-0.jsonl")}
        log = _log(service)
        story = told(journals, herd.killed, Contents(dimension, self._known))
        self._problems += story.problems() + unexpected(story, faults.killed_at)
        if defects := watcher.counters()["defects"]:
            self._problems.append(f"the supervisor failed on {defects} messages")
        self._lines += report.table(faults, story, watcher, log, seconds)
        self._judge_memory(watcher)
        self._compare(service, story, journals)
        self._no_orphans(service, watcher)

    def _healed(self, service: RealService, watcher: Watcher) -> None:
        began = time.monotonic()

        def well() -> bool:
            said = watcher.look()
            store = said.get("store", {})
            return (
                said.get("state") == "ready"
                and said["queue"]["requests"] == 0
                and store.get("index_state") == "healthy"
                and not store["index"]["pending"]
            )

        try:
            wait_for(well, HEALED, "all is well again")
        except AssertionError:
            self._problems.append(f"not well after {HEALED:.0f} s: {dict(watcher.look())}")
        self._healed_after = time.monotonic() - began

    def _compare(
        self, service: RealService, story: Story, journals: Mapping[str, list[Record]]
    ) -> None:
        """What is stored, beside what was acknowledged."""
        with service.client() as thoth:
            seen = seen_in(thoth, story.book, COLLECTION, self._seed)
            verdict = check(story.book, seen)
            self._problems += verdict.problems() + stable.problems(thoth)
            self._lines += verdict_table(story.book, verdict, len(seen.rows), self._healed_after)
            found = files.check(
                files.book_of(journals),
                all_rows(thoth, files.COLLECTION),
                service.settings(),
                known=self._known,
            )
            self._problems += found.problems()
            self._lines += [
                line("files ingested", found.sources),
                line("  of which may be more than one", found.uncertain),
                line("  chunks of them", f"{found.chunks:,}"),
                line("  lost, mixed, doubled", len(found.lost + found.mixed + found.twice)),
            ]
            self._count(thoth)

    def _count(self, thoth: Thoth) -> None:
        report = thoth.verify()
        if report["findings"] or report["differing"]:
            self._problems.append(f"verify: {report}")

    def _no_orphans(self, service: RealService, watcher: Watcher) -> None:
        """All processes of the service are those that its status names, and the index process."""
        said = watcher.look()
        named = {said["pid"], *(worker["pid"] for worker in said["workers"])}
        store = watcher.pid_of("store")
        named.add(index_process_of(store) if store else None)
        strange = set(of_the_service(str(service.root))) - named
        self._lines.append(line("processes that nobody owns", len(strange)))
        if strange:
            self._problems.append(f"processes that nobody owns: {sorted(strange)}")

    def _judge_memory(self, watcher: Watcher) -> None:
        """Of the last supervisor, which saw most of the faults."""
        samples = [each for each in watcher.samples if each.pid == watcher.pids[-1]]
        parts = tenths(samples, lambda each: each.resident)
        own = tenths(samples, lambda each: each.own)
        for name, values in (("supervisor's memory by tenths", parts), ("  its own of it", own)):
            self._lines.append(line(name, " ".join(f"{each:.1f}" for each in values) + " MiB"))
        if len(self._kinds) < MANY:
            return
        if not parts or not parts[0]:
            self._problems.append("the last supervisor lived for too short a time to judge it")
        elif parts[-1] > parts[0] * (1 + GROWTH):
            self._problems.append(f"the supervisor grew from {parts[0]:.1f} to {parts[-1]:.1f} MiB")


def _busy(journals: Mapping[str, list[Record]]) -> bool:
    return all(any(r["kind"] == "ask" for r in records) for records in journals.values())


def _log(service: RealService) -> list[str]:
    """The supervisors' lines, the oldest first."""
    folder: Path = service.settings().data_dir / "logs"
    names = [*(f"supervisor.log.{number}" for number in (3, 2, 1)), "supervisor.log"]
    lines: list[str] = []
    for path in (folder / name for name in names):
        if path.exists():
            lines += path.read_text(errors="replace").splitlines()
    return lines


if __name__ == "__main__":
    sys.exit(main())
