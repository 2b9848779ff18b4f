"""``thoth verify`` says "wrong" of what the store calls wrong, and of nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from cli import main as thoth_cli
from cli.run import run
from tests.unit.fake_service import FakeService, Reply, private_settings, result
from thoth_core.wire import Message

WELL = {"findings": [], "rows": 900, "differing": 0, "seconds": 0.1, "index_state": "healthy"}


@pytest.mark.parametrize(
    ("told", "code", "says"),
    [
        ({"asked": 300, "found": 300}, 0, "found: 300 of 300 sampled vectors\n"),
        # Within what the store allows an approximate search.
        ({"asked": 300, "found": 299}, 0, "299 of 300 sampled vectors, as an approximate search"),
        ({"asked": 300, "found": 200, "index_state": "rebuilding"}, 1, "found: 200 of 300"),
        # While the index is made there is no sample.
        ({"index_state": "rebuilding"}, 0, "index: rebuilding"),
        ({"findings": ["header.bin is empty"], "index_state": "rebuilding"}, 1, "damaged: header"),
        ({"asked": 300, "found": 300, "differing": 4}, 1, "4 of 900 rows were not as stored"),
    ],
)
def test_the_exit_code_is_the_stores_verdict(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    told: dict[str, Any],
    code: int,
    says: str,
) -> None:
    def answer(message: Message, reply: Reply) -> None:
        reply(result(message, **{**WELL, **told}))

    with private_settings() as settings, FakeService(settings, answer):
        monkeypatch.setenv("RAG_VECTOR_DB_PATH", str(settings.vector_db_path))
        monkeypatch.setenv("THOTH_RUNTIME_DIR", str(settings.runtime_dir))
        monkeypatch.chdir(settings.runtime_dir)
        assert run(thoth_cli.thoth, "thoth", ["--no-autostart", "verify"]) == code
    assert says in capsys.readouterr().out
