"""Each fault of the provider at a seeded 10 % of the requests: nothing lost, nothing paid twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Make
from tests.faults import openai_runs as runs
from tests.support.openai_faults import Fault, share
from tests.support.openai_server import OpenAIServer

FAULTS = {
    "429 with Retry-After": Fault("rate_limit", retry_after=0.05),
    "429 with a date": Fault("rate_limit", retry_after=0.1, as_date=True),
    "429 that says nothing": Fault("rate_limit"),
    "500": Fault("server_error"),
    "503": Fault("overloaded"),
    "slow": Fault("slow", seconds=0.3),
    "dropped before any byte": Fault("drop_early"),
    "dropped in mid-body": Fault("drop_mid_body"),
    "broken JSON": Fault("broken_json"),
    "too few vectors": Fault("too_few"),
    "another order": Fault("shuffled"),
    "NaN": Fault("nan"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_an_ingest_over_a_fault(make_service: Make, tmp_path: Path, what: str) -> None:
    folder = runs.corpus(tmp_path / "texts")
    wanted = runs.expected(folder)
    with OpenAIServer(plan=share(6, {FAULTS[what]: 0.1})) as server:
        service = runs.make(make_service, server)
        report = runs.report_of(runs.ingest(service, folder))
        print(f"{what}: {runs.figures(server)}")

        assert report["chunks"] == len(wanted)
        runs.check_stored(service, wanted)
        hit = [each for each in server.books.embeddings if each.fault == FAULTS[what].kind]
        assert len(hit) >= 3
        runs.check_paid(server, wanted.values())
        assert server.books.early(grace=1.0) == []
