from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from thoth_core.errors import WorkerFailed
from thoth_core.supervisor.launch import WORD_EVERY, Launch


def crew(working: bool = False, problem: Any = None, **beats: dict[str, Any]) -> Any:
    return SimpleNamespace(
        working=working, store_problem=lambda: None, embed_problem=lambda: problem, beats=beats
    )


def test_what_takes_long_is_told_once() -> None:
    told: list[Any] = []
    launch = Launch(told.append, 0.0)
    launch.begin()
    launch.watch(1.0, crew(a={"doing": ""}, b={}))
    launch.watch(2.0, crew(a={"doing": "converting"}, b={"doing": "converting"}))
    launch.watch(3.0, crew(a={"doing": "converting"}))
    assert [each.get("message") for each in told] == ["starting the workers", "converting"]
    launch.watch(2.0 + WORD_EVERY, crew())
    assert told[-1] == {"event": "waiting"}
    launch.watch(9.0, crew(working=True))
    assert told[-1]["event"] == "ready" and launch.over


def test_what_keeps_it_from_working_is_the_last_word() -> None:
    told: list[Any] = []
    launch = Launch(told.append, 0.0)
    assert launch.watch(1.0, crew(problem=WorkerFailed("no model"))) is not None
    launch.ended()
    assert [each["event"] for each in told] == ["error"]
