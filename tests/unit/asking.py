"""A client that asks, whose service is a double that finds the same passages for every question."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.openai_server import OpenAIServer
from tests.unit.fake_service import FakeService, Reply, private_settings, result
from thoth_core import Answer, Settings, Thoth
from thoth_core.wire import Message

#: More than any machine needs; only a defect waits so long.
LONG = 60.0


def store(message: Message, reply: Reply, score: float = 0.9) -> None:
    """Three passages, whatever is asked."""
    hits = [
        {
            "id": f"id{n}",
            "score": score - n / 100,
            "text": f"Passage text {n}.",
            "metadata": {"source": "/x/notes.md", "line_start": 10 * n, "heading": f"H{n}"},
        }
        for n in (1, 2, 3)
    ]
    bodies = {
        "query": {"hits": [hits], "errors": []},
        "collections": {
            "collections": [
                {
                    "name": "thoth_knowledge",
                    "model": {"name": "all-MiniLM-L6-v2"},
                    "dimension": 384,
                    "count": 3,
                }
            ]
        },
    }
    reply(result(message, **bodies[message.kind]))


@contextmanager
def asking(
    server: OpenAIServer | None = None, handle: Any = store, **settings: str
) -> Iterator[Settings]:
    """Settings of a client whose service and chat server are there."""
    if server is not None:
        settings = {"OPENAI_BASE_URL": server.base_url, "API_OPENAI_KEY": server.key, **settings}
    with private_settings(**settings) as made, FakeService(made, handle):
        yield made


def ask(settings: Settings, **more: Any) -> Answer:
    with Thoth(settings, autostart=False) as thoth:
        return thoth.ask("is it so?", **more)
