"""Thoth in a minute and a half: store a language reference, ask it, and kill two of its processes.

Everything happens in a folder of its own under /tmp, which is removed at the end. Each thing that
was checked is a line that begins with ``ok`` or ``FAILED``; the exit status is 0 only if all were
``ok``. Run it with ``make demo``, or with the interpreter that Thoth is installed for.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from pydoc_data.topics import topics
from types import FrameType
from typing import Any

from demo_room import (
    AGAIN,
    CHUNKS,
    MODEL,
    REFERENCE,
    DemoFailed,
    Ingest,
    Report,
    Room,
    wait_until,
)

from thoth_core import Hit, IngestProgress, Thoth, ThothError
from thoth_core.chunking import chunk
from thoth_core.encoding import load_encoding
from thoth_core.ids import chunk_id

QUESTIONS = (
    "how do I write a context manager?",
    "what does the yield expression do?",
    "how does an except clause catch an exception?",
)
#: sha256 of the model's published weights.
WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
#: How far the second ingest is, as a share, when each process is killed.
KILL_EMBED_AT, KILL_STORE_AT = 0.05, 0.25
#: Chunks of the second ingest whose vectors are computed once more and compared.
SAMPLE = 8


# -- what is expected -----------------------------------------------------------------------------


def expected_chunks(folder: Path, collection: str) -> dict[str, str]:
    """Id to text of every chunk that an ingest of ``folder`` must store, worked out without the
    service."""
    size, overlap = CHUNKS[collection]
    encoding = load_encoding("cl100k_base")
    expected = {}
    for path in sorted(folder.iterdir()):
        text = path.read_text(encoding="utf-8")
        for piece in chunk(text, size=size, overlap=overlap, tokenizer=encoding):
            expected[chunk_id(collection, str(path), piece.ordinal, piece.text)] = piece.text
    return expected


def stored_chunks(thoth: Thoth, collection: str) -> dict[str, str | None]:
    rows = thoth.get(collection=collection)
    return dict(zip(rows.ids, rows.texts, strict=True))


def worst_agreement(thoth: Thoth, expected: dict[str, str]) -> float:
    """The smallest cosine similarity between stored vectors and those of the same texts embedded
    once more, over chunks picked evenly."""
    ids = sorted(expected)[:: max(1, len(expected) // SAMPLE)][:SAMPLE]
    stored = thoth.get(ids=ids, include=["vectors"], collection=AGAIN)
    if stored.ids != ids or stored.vectors is None:
        return -1.0
    fresh = thoth.embed([expected[id] for id in ids])
    return float((stored.vectors * fresh).sum(axis=1).min())


# -- the demo -------------------------------------------------------------------------------------


def demo(room: Room, report: Report) -> None:
    names = sorted(topics)
    first = room.write_texts("texts", names)
    second = room.write_texts("more", names[1::3])
    report.say(f"All data of this demo is in {room.root}; it is removed at the end.")

    start(room, report)
    with Thoth(room.settings(), autostart=False) as thoth:
        before = all_ready(room, thoth, report)
        ingest_reference(thoth, first, report)
        answers = ask_and_show(thoth, report)
        kill_two(room, thoth, second, before["pid"], answers, report)
    stop(room, report)


def start(room: Room, report: Report) -> None:
    report.head("1. Start the service")
    report.say("$ thoth-supervisor start")
    began = time.monotonic()
    done = room.run("thoth-supervisor", "start")
    seconds = time.monotonic() - began
    if done.returncode != 0:
        raise DemoFailed(f"thoth-supervisor start: {done.stderr.strip()}")
    report.say(f"   {done.stdout.strip()}")
    report.say(f"   it answers after {seconds:.1f} s")


def all_ready(room: Room, thoth: Thoth, report: Report) -> dict[str, Any]:
    def ready() -> dict[str, Any] | None:
        status = room.status(thoth)
        return status if status["state"] == "ready" else None

    status = wait_until(ready, "all workers are ready")
    workers = ", ".join(f"{worker['name']} {worker['pid']}" for worker in status["workers"])
    report.check(
        len({worker["pid"] for worker in status["workers"]}) == len(status["workers"]) >= 3,
        f"all {len(status['workers'])} workers are ready: {workers}",
    )
    model = status["models"][0]
    report.check(
        (model["name"], model["weights"], model["dimension"]) == (MODEL, WEIGHTS, 384),
        f"the model is {model['name']} with its official weights (sha256 {model['weights'][:12]}…)",
    )
    return status


def ingest_reference(thoth: Thoth, folder: Path, report: Report) -> None:
    report.head("2. Store Python's language reference")
    expected = expected_chunks(folder, REFERENCE)
    report.say(f"thoth.ingest([{folder.name!r}], collection={REFERENCE!r})")
    began = time.monotonic()
    done = thoth.ingest([folder], REFERENCE, quarters(report, len(expected), began))
    seconds = time.monotonic() - began
    report.check(
        done.new == len(topics)
        and not done.failed
        and done.chunks == done.embedded + done.reused == len(expected),
        f"{done.new} texts, {done.chunks} chunks, {done.tokens:,} word pieces in {seconds:.1f} s: "
        f"{done.chunks / seconds:.1f} chunks/s",
    )
    there = stored_chunks(thoth, REFERENCE)
    report.check(
        there == expected,
        f"{len(there)} chunks are stored, ids and texts as worked out beforehand",
    )


def quarters(report: Report, total: int, began: float) -> Callable[[IngestProgress], None]:
    """Says how far an ingest is, four times."""
    said = 0

    def tell(at: IngestProgress) -> None:
        nonlocal said
        quarter = 4 * at.chunks_done // total
        if said < quarter < 4:
            said = quarter
            seconds = time.monotonic() - began
            report.say(f"   {at.chunks_done:4d} of {total} chunks after {seconds:.1f} s")

    return tell


def ask(thoth: Thoth) -> list[list[Hit]]:
    return [thoth.query(question, k=3, collection=REFERENCE) for question in QUESTIONS]


def ask_and_show(thoth: Thoth, report: Report) -> list[list[Hit]]:
    report.head("3. Ask")
    began = time.monotonic()
    answers = ask(thoth)
    milliseconds = 1000 * (time.monotonic() - began) / len(QUESTIONS)
    for question, hits in zip(QUESTIONS, answers, strict=True):
        report.say(f"{question}")
        for hit in hits:
            place = f"{Path(hit.source).name}:{hit.metadata['line_start']}"
            words = " ".join((hit.text or "").replace("*", " ").replace("=", " ").split())
            report.say(f"   {hit.score:.3f}  {place:<24} {words[:64]}…")
    report.check(
        all(len(hits) == 3 for hits in answers),
        f"{len(answers)} questions with 3 hits each, {milliseconds:.0f} ms a question",
    )
    return answers


def kill_two(
    room: Room,
    thoth: Thoth,
    folder: Path,
    supervisor: int,
    answers: list[list[Hit]],
    report: Report,
) -> None:
    report.head("4. Kill an embed worker and the store worker while an ingest runs")
    expected = expected_chunks(folder, AGAIN)
    total = len(expected)
    report.say(f"$ thoth ingest {folder.name} --collection {AGAIN}    ({total} chunks)")
    ingest = Ingest(room, folder)

    # One that has a unit at this moment: what it holds dies with it.
    at = [ingest.wait_for(int(total * KILL_EMBED_AT))]
    embed = wait_until(lambda: busy_worker(room, thoth), "an embed worker is busy")
    os.kill(embed["pid"], signal.SIGKILL)
    embed_died, under_way = time.monotonic(), [ingest.runs]
    report.say(f"   at {at[0]} chunks: SIGKILL to {embed['name']}, pid {embed['pid']}, at work")

    at.append(ingest.wait_for(int(total * KILL_STORE_AT)))
    store = worker_named("store", room.status(thoth))
    os.kill(store["pid"], signal.SIGSEGV)
    store_died = time.monotonic()
    under_way.append(ingest.runs)
    report.say(f"   at {at[1]} chunks: SIGSEGV to the store worker, pid {store['pid']}")
    meanwhile = ask(thoth)
    waited = time.monotonic() - store_died

    new_store = ready_again(room, thoth, store)
    new_embed = ready_again(room, thoth, embed)
    embed_seconds = time.monotonic() - embed_died
    report.check(
        all(under_way) and max(at) < total,
        f"the ingest was under way both times, with {at[0]} and {at[1]} of {total} chunks stored",
    )
    report.check(
        died_by(new_embed, "SIGKILL"),
        f"{embed['name']} is back: pid {embed['pid']} -> {new_embed['pid']}, ended by "
        f"{new_embed['last_exit']['signal']}, ready again within {embed_seconds:.1f} s",
    )
    report.check(
        died_by(new_store, "SIGSEGV"),
        f"the store worker is back: pid {store['pid']} -> {new_store['pid']}, ended by "
        f"{new_store['last_exit']['signal']}",
    )
    report.check(
        same(meanwhile, answers),
        f"three questions asked right after it died had the same answers, after {waited:.1f} s",
    )
    check_ingest(ingest.report(), thoth, expected, len(list(folder.iterdir())), report)

    after = room.status(thoth)
    counters = after["counters"]
    report.check(
        after["pid"] == supervisor
        and (counters["embed_workers_ended"], counters["store_workers_ended"]) == (1, 1),
        f"the supervisor is the same: pid {after['pid']}; it counted 1 + 1 deaths, embedded "
        f"{counters['units_retried']} units again and had {counters['units_resent']} sent again",
    )
    again = ask(thoth)
    report.check(
        same(again, answers),
        f"the three questions have the same answers: {sum(map(len, again))} ids and scores",
    )


def check_ingest(
    done: dict[str, Any], thoth: Thoth, expected: dict[str, str], files: int, report: Report
) -> None:
    total = len(expected)
    report.check(
        done["files"]["new"] == files
        and not done["files"]["failed"]
        and done["chunks"] == done["embedded"] + done["reused"] == total,
        f"the ingest is complete: {files} texts, {total} chunks "
        f"({done['embedded']} embedded, {done['reused']} reused)",
    )
    there = stored_chunks(thoth, AGAIN)
    count = thoth.count(AGAIN)
    report.check(
        count == total and there == expected,
        f"{count} chunks are stored: none lost, none twice, every id and text as worked out",
    )
    worst = worst_agreement(thoth, expected)
    report.check(
        worst > 0.9999,
        f"{SAMPLE} of them embedded once more: cosine to the stored vectors {worst:.6f} at least",
    )


def busy_worker(room: Room, thoth: Thoth) -> dict[str, Any] | None:
    """A bulk embed worker that has work."""
    for worker in room.status(thoth)["workers"]:
        if worker["lane"] == "bulk" and worker["state"] == "BUSY":
            return dict(worker)
    return None


def worker_named(name: str, status: dict[str, Any]) -> dict[str, Any]:
    return next(dict(w) for w in status["workers"] if w["name"] == name)


def ready_again(room: Room, thoth: Thoth, old: dict[str, Any]) -> dict[str, Any]:
    """The slot's next worker, once it is ready."""

    def ready() -> dict[str, Any] | None:
        worker = worker_named(old["name"], room.status(thoth))
        back = worker["pid"] not in (None, old["pid"]) and worker["state"] in ("READY", "BUSY")
        return worker if back else None

    return wait_until(ready, f"{old['name']} is ready again")


def died_by(worker: dict[str, Any], name: str) -> bool:
    return worker["restarts"] == 1 and (worker["last_exit"] or {}).get("signal") == name


def same(some: list[list[Hit]], others: list[list[Hit]]) -> bool:
    """Whether all ids and scores are equal, to the last bit."""

    def essence(answers: list[list[Hit]]) -> list[list[tuple[str, float]]]:
        return [[(hit.id, hit.score) for hit in hits] for hits in answers]

    return essence(some) == essence(others)


def stop(room: Room, report: Report) -> None:
    report.head("5. Stop")
    report.say("$ thoth-supervisor stop")
    began = time.monotonic()
    done = room.run("thoth-supervisor", "stop")
    seconds = time.monotonic() - began
    report.say(f"   {(done.stdout or done.stderr).strip()}")
    left = room.left_behind()
    report.check(
        done.returncode == 0 and not left,
        f"stopped in {seconds:.1f} s; of the {len(room.pids)} processes seen {len(left)} are left"
        + (f": {left}" if left else ""),
    )


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM is as good as Ctrl-C."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        # What follows is the cleaning up.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)


def main() -> int:
    report = Report()
    room = Room.make()
    try:
        with ended_by_signals():
            demo(room, report)
    except KeyboardInterrupt:
        report.say("interrupted; cleaning up")
        return 130
    except (DemoFailed, ThothError, subprocess.TimeoutExpired) as problem:
        report.check(False, str(problem))
    finally:
        room.close()
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
