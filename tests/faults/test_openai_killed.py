"""SIGKILL in the middle of an ingest with a paid model: what was acknowledged is not paid again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from embed_worker.engines.openai import AT_ONCE
from tests.conftest import Make
from tests.faults import openai_runs as runs
from tests.faults.watching import pids
from tests.support.openai_server import OpenAIServer
from tests.support.service import RealService, wait_for
from thoth_core.errors import CollectionNotFound


@pytest.mark.parametrize("victim", ["embed worker", "supervisor"])
def test_a_kill_in_mid_run_costs_the_units_in_flight_at_most(
    make_service: Make, tmp_path: Path, victim: str
) -> None:
    folder = runs.corpus(tmp_path / "texts")
    wanted = runs.expected(folder)
    with OpenAIServer(latency=0.7) as server:
        service = runs.make(make_service, server, RAG_EMBEDDING_BATCH_SIZE="4").start()
        before = pids(service)
        bulk = next(name for name in before if name.startswith("embed-bulk"))
        command = service.popen("thoth", "ingest", str(folder), "--json")
        wait_for(lambda: len(acknowledged(service)) > 50, 60, "a part is stored")
        known = acknowledged(service)
        os.kill(before["supervisor" if victim == "supervisor" else bulk], signal.SIGKILL)
        at_kill = len(server.books.embeddings)
        _, err = command.communicate(timeout=60)
        assert command.returncode == 0, err
        after = server.books.embeddings[at_kill:]
        print(f"{victim}: {at_kill} requests before, {len(after)} after; {runs.figures(server)}")

        # The same command again finds all of it.
        runs.report_of(runs.ingest(service, folder))
        assert len(server.books.embeddings) == at_kill + len(after)
        runs.check_stored(service, wanted)

    sent_again = set(runs.texts_of(after)) & set(runs.texts_of(server.books.embeddings[:at_kill]))
    assert not sent_again & known, "texts that were stored were sent again"
    twice = [each for each in server.books.embeddings[:at_kill] if set(each.inputs) & sent_again]
    assert len(twice) <= AT_ONCE
    assert len(known) < len(wanted) and after, "it was not in mid-run"


def acknowledged(service: RealService) -> set[str]:
    """Texts that are stored, and are seen."""
    try:
        with service.client() as thoth:
            return {row.text for row in thoth.get() if row.text is not None}
    except CollectionNotFound:
        return set()
