"""Which of a client's settings it is told are not in force."""

from __future__ import annotations

from typing import Any

import pytest

from thoth_core.supervisor.desk import differing

LOCAL = {"embedding_model": "all-MiniLM-L6-v2", "openai_base_url": "https://a/v1", "queue_mb": 256}
OPENAI = LOCAL | {"embedding_model": "openai/text-embedding-3-small"}


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        (LOCAL, LOCAL | {"queue_mb": 1}, ["queue_mb"]),
        (LOCAL, LOCAL | {"embedding_model": "other"}, []),
        # It is where a client of a local model asks questions; the service asks nobody.
        (LOCAL, LOCAL | {"openai_base_url": "http://127.0.0.1:1/v1"}, []),
        (OPENAI, OPENAI | {"openai_base_url": "http://127.0.0.1:1/v1"}, ["openai_base_url"]),
        (LOCAL, OPENAI | {"openai_base_url": "http://127.0.0.1:1/v1"}, ["openai_base_url"]),
        (LOCAL, {}, []),
    ],
)
def test_what_differs(ours: dict[str, Any], theirs: dict[str, Any], told: list[str]) -> None:
    assert differing(ours, theirs) == told
