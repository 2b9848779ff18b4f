"""The configuration that users of the older Thoth have, as it stands, with a key and an address."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import Make
from tests.faults import openai_runs as runs
from tests.support.local_vectors import minilm
from tests.support.openai_server import OpenAIServer
from tests.support.service import RealService

ENV = """\
API_OPENAI_KEY=your_openai_api_key_here
RAG_EMBEDDING_MODEL=openai/text-embedding-3-small
RAG_EMBEDDING_BATCH_SIZE=100
RAG_VECTOR_DB_PATH=${WORKSPACE_DIR}/knowledge/vector_db
RAG_COLLECTION_NAME=thoth_knowledge
RAG_CHUNK_SIZE=500
RAG_CHUNK_OVERLAP=50
RAG_CHUNK_ENCODING=cl100k_base
RAG_QA_MODEL=openai/gpt-4o-mini
RAG_QA_TEMPERATURE=0.2
RAG_QA_MAX_TOKENS=2000
RAG_RETRIEVAL_K=4
"""


def with_env_file(service: RealService, text: str) -> RealService:
    """The settings of ``service`` are those of a .env beside it, which is its workspace."""
    root = service.root
    service.env = {
        "THOTH_RUNTIME_DIR": str(root / "run"),
        "XDG_CONFIG_HOME": str(root / "config"),
    }
    (root / ".env").write_text(text)
    return service


def test_the_whole_file_works_as_it_stands(make_service: Make, tmp_path: Path) -> None:
    folder = runs.corpus(tmp_path / "texts", every=4)
    with OpenAIServer(embed=minilm()) as server:
        added = f"OPENAI_API_KEY={server.key}\nOPENAI_BASE_URL={server.base_url}\n"
        service = with_env_file(make_service(), ENV + added)
        report = runs.report_of(runs.ingest(service, folder))
        assert report["files"]["new"] == len(list(folder.iterdir()))
        assert (service.root / "knowledge" / "vector_db").is_dir()
        [collection] = json.loads(service.run("thoth", "collections", "list", "--json").stdout)[
            "collections"
        ]
        assert collection["name"] == "thoth_knowledge"

        question = "how does an except clause catch an exception?"
        found = service.run("thoth", "query", question, "--json")
        assert found.returncode == 0, found.stderr
        hits = json.loads(found.stdout)["results"]
        assert len(hits) == 4
        print([(hit["source"], hit["score"]) for hit in hits])

        asked = service.run("thoth", "ask", question, "--json")
        assert asked.returncode == 0, asked.stderr
        answer = json.loads(asked.stdout)
        print(answer["answer"], [each["source"] for each in answer["citations"]])
        assert [each["id"] for each in answer["citations"]] == [hits[0]["id"]]
        [chat] = server.books.chats
        assert chat.model == "gpt-4o-mini" and chat.key == server.key

        shown = service.run("thoth", "config", "show")
        [line] = [each for each in shown.stdout.splitlines() if each.startswith("API_OPENAI_KEY ")]
        print(line)
        assert "OPENAI_API_KEY" in line and server.key not in shown.stdout
        assert {each.model for each in server.books.embeddings} == {"text-embedding-3-small"}
        assert max(len(each.inputs) for each in server.books.embeddings) <= 100
