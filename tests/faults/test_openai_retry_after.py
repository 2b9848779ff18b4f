"""A provider that says when to come again is not asked before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Make
from tests.faults import openai_runs as runs
from tests.support.openai_faults import Fault, at
from tests.support.openai_server import OpenAIServer

#: What may pass from when the server writes an answer to when the engine has read it, in seconds.
#: The same connection is used again only after it.
ON_ITS_WAY = 1.5


@pytest.mark.parametrize("as_date", [False, True])
def test_no_request_comes_earlier_than_told(
    make_service: Make, tmp_path: Path, as_date: bool
) -> None:
    folder = runs.corpus(tmp_path / "texts")
    told = Fault("rate_limit", retry_after=4.0, as_date=as_date)
    with OpenAIServer(plan=at({4: told, 50: told}), latency=0.02) as server:
        service = runs.make(make_service, server)
        runs.report_of(runs.ingest(service, folder))
        print(runs.figures(server))

        books = server.books
        assert books.statuses()[429] == 2
        assert books.early(grace=ON_ITS_WAY) == []
        for refused in (each for each in books.embeddings if each.status == 429):
            told, until = refused.told or 0.0, refused.not_before or 0.0
            same = [each for each in books.embeddings if each.connection == refused.connection]
            assert not [each for each in same if told < each.arrived < until]
        runs.check_paid(server, runs.expected(folder).values())
