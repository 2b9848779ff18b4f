"""OpenAI's models through the real service, asked of a real server on loopback."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Make
from tests.support.openai_faults import Fault, at
from tests.support.openai_server import OpenAIServer
from tests.support.openai_vectors import DIMENSIONS, hashed
from tests.support.service import RealService, wait_for
from thoth_core import Thoth
from thoth_core.errors import AuthenticationFailed, SettingsError

MODEL = "openai/text-embedding-3-small"


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def service(make_service: Make, server: OpenAIServer) -> RealService:
    made = make_service(MODEL, API_OPENAI_KEY=server.key, OPENAI_BASE_URL=server.base_url)
    return made.start()


def workers(service: RealService) -> list[Any]:
    return list(service.status()["workers"])


def test_texts_are_embedded_stored_and_found(service: RealService, server: OpenAIServer) -> None:
    texts = [f"a text about {n} things" for n in range(250)]
    with service.client() as thoth:
        assert thoth.dimension == 1536
        report = thoth.add(texts)
        assert (report.embedded, report.failed) == (250, [])
        (hit, *_) = thoth.query(texts[77], k=2)
        assert hit.text == texts[77]
        assert hit.score == pytest.approx(1.0, abs=1e-5)
        # What is stored is not sent again.
        sent = server.books.billed_tokens
        assert thoth.add(texts, ids=[f"again-{n}" for n in range(250)]).reused == 250
        assert server.books.billed_tokens == sent
        vectors = thoth.embed(texts[:3])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    # RAG_EMBEDDING_BATCH_SIZE is 100.
    assert max(len(each.inputs) for each in server.books.requests) == 100


def test_one_worker_serves_bulk_and_queries_and_queries_pass_first(
    make_service: Make,
) -> None:
    found = threading.Event()

    def embed(texts: Sequence[str]) -> Any:
        # One that is no query is not answered before the query is.
        assert not texts[0].startswith("text") or found.wait(60)
        return hashed(texts, 1536)

    with OpenAIServer(embed=embed) as server:
        service = make_service(
            MODEL,
            API_OPENAI_KEY=server.key,
            OPENAI_BASE_URL=server.base_url,
            RAG_EMBEDDING_BATCH_SIZE="1",
        ).start()
        assert [each["name"] for each in workers(service)] == ["store", "embed-bulk-1"]
        with service.client() as thoth:
            thoth.add(["a first one"])
            done = threading.Event()

            def add() -> None:
                thoth.add([f"text {n}" for n in range(150)])
                done.set()

            bulk = threading.Thread(target=add)
            bulk.start()
            try:
                wait_for(lambda: len(server.books.requests) > 32, 30, "all places are taken")
                assert thoth.query("a first one", deadline=40)[0].text == "a first one"
            finally:
                found.set()
            bulk.join(60)
        assert done.is_set()


def test_a_key_is_renewed_without_a_restart(make_service: Make, server: OpenAIServer) -> None:
    service = make_service(
        MODEL, API_OPENAI_KEY="sk-of-yesterday-0123456789", OPENAI_BASE_URL=server.base_url
    ).start()
    before = [each["pid"] for each in workers(service)]
    with service.client() as thoth:
        with pytest.raises(AuthenticationFailed, match="refuses the key") as refused:
            thoth.add(["a text"])
        assert "thoth-supervisor reload" in refused.value.fix
        assert len(server.books.requests) == 1
        service.env["API_OPENAI_KEY"] = server.key
        told = service.run("thoth-supervisor", "reload", "--json")
        assert json.loads(told.stdout)["renewed"] == ["embed-bulk-1"]
        assert thoth.add(["a text"]).embedded == 1
    assert [each["pid"] for each in workers(service)] == before
    # A key that is not set here takes away none.
    service.env["API_OPENAI_KEY"] = "your_openai_api_key_here"
    refused_here = service.run("thoth-supervisor", "reload")
    assert refused_here.returncode == 2
    assert "reload --none" in refused_here.stderr
    # Nor is a key given to a server that it is not meant for.
    service.env |= {
        "API_OPENAI_KEY": "sk-of-another-0123456789",
        "OPENAI_BASE_URL": "http://[::1]:9/v1",
    }
    refused_there = service.run("thoth-supervisor", "reload")
    assert refused_there.returncode == 2
    assert "asks another server" in refused_there.stderr


def test_without_a_key_nothing_is_sent_and_the_rest_works(make_service: Make) -> None:
    service = make_service(MODEL, API_OPENAI_KEY="your_openai_api_key_here")
    service.env.pop("OPENAI_BASE_URL", None)
    started = service.run("thoth-supervisor", "start")
    assert started.returncode == 0
    assert "API_OPENAI_KEY" in started.stderr
    queried = service.run("thoth", "query", "anything")
    assert queried.returncode == 5
    assert "API_OPENAI_KEY" in queried.stderr
    assert "RAG_EMBEDDING_MODEL=all-MiniLM-L6-v2" in queried.stderr
    assert service.run("thoth", "stats").returncode == 0


def test_a_server_of_ones_own_needs_no_key_and_tells_the_length_of_its_vectors(
    make_service: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DIMENSIONS, "nomic-embed-text", 12)
    with OpenAIServer(key="none") as server:
        service = make_service("openai/nomic-embed-text", OPENAI_BASE_URL=server.base_url)
        service.env.pop("API_OPENAI_KEY", None)
        service.start()
        with service.client() as thoth:
            assert thoth.dimension == 12
            assert thoth.add(["a text"]).embedded == 1


def test_fewer_dimensions_are_asked_for(make_service: Make, server: OpenAIServer) -> None:
    service = make_service(
        MODEL,
        API_OPENAI_KEY=server.key,
        OPENAI_BASE_URL=server.base_url,
        THOTH_OPENAI_DIMENSIONS="256",
    ).start()
    with service.client() as thoth:
        assert thoth.embed(["a text"]).shape == (1, 256)


def test_an_account_without_quota_ends_the_call_and_keeps_what_is_stored(
    make_service: Make,
) -> None:
    with OpenAIServer(plan=at({3: Fault("quota")})) as server:
        service = make_service(
            MODEL,
            API_OPENAI_KEY=server.key,
            OPENAI_BASE_URL=server.base_url,
            RAG_EMBEDDING_BATCH_SIZE="10",
        ).start()
        notes = service.root / "notes"
        notes.mkdir()
        for n in range(40):
            (notes / f"{n}.txt").write_text(f"This is the note with the number {n}.\n" * 20)
        ended = service.run("thoth", "ingest", str(notes))
        assert ended.returncode == 5, ended.stderr
        assert "no quota" in ended.stderr
        paid = server.books.billed_tokens
        again = service.run("thoth", "ingest", "--json", str(notes))
        assert again.returncode == 0, again.stderr
        told = json.loads(again.stdout)
        assert told["chunks"] == 40
        assert server.books.billed_tokens >= paid


def test_no_process_of_the_service_has_the_key_where_others_can_read_it(
    service: RealService, server: OpenAIServer
) -> None:
    with service.client() as thoth:
        thoth.add(["a text"])
        for each in workers(service):
            for name in ("environ", "cmdline"):
                assert server.key.encode() not in Path(f"/proc/{each['pid']}/{name}").read_bytes()
    # Files come and go while it runs.
    service.stop()
    files = [path for path in service.root.rglob("*") if path.is_file()]
    assert any("logs" in path.parts for path in files)
    for path in files:
        assert server.key.encode() not in path.read_bytes(), path


def test_a_collection_of_an_openai_model_has_one_worker_beside_those_of_the_services_own(
    make_service: Make, server: OpenAIServer
) -> None:
    service = make_service(
        "fake/8", API_OPENAI_KEY=server.key, OPENAI_BASE_URL=server.base_url
    ).start()
    with Thoth(replace(service.settings(), embedding_model=MODEL), autostart=False) as thoth:
        assert thoth.embed(["a text"]).shape == (1, 1536)
        assert thoth.add([f"text {n}" for n in range(300)]).embedded == 300
        assert len(thoth.query("text 7", k=1)) == 1
    names = [each["name"] for each in workers(service) if each["model"] == MODEL]
    assert names == ["embed-2-bulk-1"]


def test_status_says_until_when_the_provider_has_it_wait(
    make_service: Make,
) -> None:
    with OpenAIServer(plan=at({1: Fault("rate_limit", retry_after=12.0)})) as server:
        service = make_service(
            MODEL, API_OPENAI_KEY=server.key, OPENAI_BASE_URL=server.base_url
        ).start()
        with service.client() as thoth:
            adding = threading.Thread(target=thoth.add, args=(["a text"],))
            began = time.time()
            adding.start()
            until = wait_for(
                lambda: service.worker("embed-bulk-1")["waiting_until"], 20, "it says so"
            )
            assert began < until <= time.time() + 12
            assert "waits until" in service.run("thoth-supervisor", "status").stdout
            adding.join(30)
            assert thoth.count() == 1
        wait_for(lambda: service.worker("embed-bulk-1")["waiting_until"] is None, 20, "it is over")
        assert server.books.early(server.books.requests) == []


def test_a_worker_that_waits_for_an_answer_is_not_taken_to_hang(make_service: Make) -> None:
    with OpenAIServer(latency=9.0) as server:
        service = make_service(
            MODEL,
            API_OPENAI_KEY=server.key,
            OPENAI_BASE_URL=server.base_url,
            THOTH_UNIT_TIMEOUT="5",
        ).start()
        with service.client() as thoth:
            assert thoth.add(["a text"]).embedded == 1
        assert service.worker("embed-bulk-1")["restarts"] == 0
        assert len(server.books.requests) == 1


def test_a_model_that_has_another_length_than_its_name_says_is_paid_for_once(
    make_service: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DIMENSIONS, "text-embedding-ada-002", 12)
    with OpenAIServer() as server:
        service = make_service(
            "openai/text-embedding-ada-002",
            API_OPENAI_KEY=server.key,
            OPENAI_BASE_URL=server.base_url,
        ).start()
        with service.client() as thoth, pytest.raises(SettingsError, match="vectors of 12"):
            thoth.add(["a text"])
        assert len(server.books.requests) == 1


def test_a_server_that_is_not_there_is_said_to_be_that(make_service: Make) -> None:
    service = make_service(
        MODEL, API_OPENAI_KEY="sk-any-0123456789", OPENAI_BASE_URL="http://127.0.0.1:9/v1"
    ).start()
    asked = service.run("thoth", "embed", "a text")
    assert asked.returncode == 4, asked.stderr
    assert "no server answers at http://127.0.0.1:9/v1" in asked.stderr
    assert "OPENAI_BASE_URL" in asked.stderr
    assert "refused" in asked.stderr or "failed" in asked.stderr


def test_a_server_that_wants_a_key_where_none_is_set(make_service: Make) -> None:
    with OpenAIServer() as server:
        service = make_service(
            MODEL, API_OPENAI_KEY="your_openai_api_key_here", OPENAI_BASE_URL=server.base_url
        ).start()
        asked = service.run("thoth", "embed", "a text")
        assert asked.returncode == 5
        assert "there is no key for" in asked.stderr
