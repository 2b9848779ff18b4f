"""An account that is empty in the middle of a run: it ends soon, and what was done is kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import Make
from tests.faults import openai_runs as runs
from tests.support.openai_faults import Fault, Kind, never, starting_at
from tests.support.openai_server import OpenAIServer


@pytest.mark.parametrize("kind", ["quota", "unauthorized"])
def test_it_stops_at_once_and_goes_on_where_it_stopped(
    make_service: Make, tmp_path: Path, kind: Kind
) -> None:
    folder = runs.corpus(tmp_path / "texts")
    wanted = runs.expected(folder)
    with OpenAIServer(plan=starting_at(31, Fault(kind)), latency=0.02) as server:
        service = runs.make(make_service, server)
        stopped = runs.ingest(service, folder)
        print(runs.figures(server), stopped.stderr)
        assert stopped.returncode == 5, stopped.stderr
        refused = [each for each in server.books.embeddings if each.fault == kind]
        by_connection = Counter(each.connection for each in refused)
        assert by_connection and set(by_connection.values()) == {1}
        assert server.books.times_billed().total() > 0

        server.plan = never
        report = runs.report_of(runs.ingest(service, folder))
        print(runs.figures(server), report)
        runs.check_stored(service, wanted)
        runs.check_paid(server, wanted.values())
