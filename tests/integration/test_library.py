"""The library clients against a real service: what they share, and what they leave behind."""

from __future__ import annotations

import asyncio
import gc
import inspect
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.service import RealService, wait_for
from thoth_core import AsyncThoth, ExportReport, ImportReport, ReembedReport, Thoth
from thoth_core.errors import Cancelled

DIMENSION = 32


def lasting(seconds: int, texts: int) -> list[str]:
    """So many texts that a worker takes so many seconds for; one that is told to leave off does so
    after a second or two."""
    every = texts // seconds
    # All are of one length: texts are put together by it, and a worker leaves off between two lots.
    return [f"{'writing' if i % every else '!slow:1'} {i:05}" for i in range(texts)]


def public(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


def test_the_async_client_has_the_names_and_arguments_of_the_other() -> None:
    # watch is a loop without end: a coroutine that wants one calls it in a thread.
    assert public(AsyncThoth) - {"aclose"} == public(Thoth) - {"close", "watch"}
    for name in public(Thoth) - {"close", "watch", "settings", "differing", "model", "dimension"}:
        one = inspect.signature(getattr(Thoth, name))
        other = getattr(AsyncThoth, name)
        assert one.parameters == inspect.signature(other).parameters, name
        # sources gives one after the other, and is no coroutine.
        assert inspect.iscoroutinefunction(other) or name == "sources", name


def test_each_call_of_the_async_client_gives_what_the_other_gives(
    running: RealService, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("a text in a file")
    vector = np.ones(DIMENSION)
    # What each call is given; the collection is filled in the order of this table.
    calls: dict[str, tuple[Any, ...]] = {
        "create_collection": ("NAME",),
        "embed": (["a", "b"],),
        "embed_documents": (["a", "b"],),
        "embed_query": ("a",),
        "add": (["one", "two"], [{"n": 1}, None], ["i", "j"], "NAME"),
        "upsert": (["k"], [vector], ["three"], None, "NAME"),
        "ingest": ([tmp_path], "NAME"),
        "ingest_text": ("a text at hand", "hand", "NAME"),
        "count": ("NAME",),
        "get": (["i", "j", "k"], None, None, None, 0, ["vectors"], "NAME"),
        "query": ("one", 3, None, None, None, "NAME"),
        "query_many": (["one", "two"], 2, {"n": 1}, None, None, "NAME"),
        "search": (vector, 2, None, None, None, "NAME"),
        "export": (str(tmp_path.with_name("NAME.zip")),),
        "abort_reembed": ("NAME",),
        "reembed": ("NAME", "fake/32"),
        "delete": (["i"], None, None, "NAME"),
        "delete_collection": ("NAME",),
        "import_": (str(tmp_path.with_name("NAME.zip")), ["NAME"], "NAME"),
        "rename_collection": ("NAME", "NAME-2"),
    }
    only_looked_at = {"model", "dimension", "collections", "stats", "status", "verify"}
    # The others have tests of their own.
    only_looked_at |= {"compact", "rescue", "ask", "show", "sources", "watch"}
    assert set(calls) | only_looked_at | {"close", "settings", "differing"} == public(Thoth)

    def given(values: Any, name: str) -> Any:
        if not isinstance(values, tuple | list):
            return values.replace("NAME", name) if isinstance(values, str) else values
        return type(values)(given(v, name) for v in values)

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return value.tolist()
        if isinstance(value, list) and type(value) is not list:
            return {**vars(value), "ids": len(value)}
        if isinstance(value, ExportReport | ImportReport | ReembedReport):
            return value.chunks
        return value

    async def through_async() -> dict[str, Any]:
        async with AsyncThoth(running.settings(), autostart=False) as thoth:
            out = {n: plain(await getattr(thoth, n)(*given(v, "async"))) for n, v in calls.items()}
            assert await thoth.delete_collection("async-2")
            out["model"], out["dimension"] = await thoth.model(), await thoth.dimension()
            assert [c.name for c in await thoth.collections()] == []
            assert (await thoth.stats())["collections"] == []
            assert (await thoth.compact())["done"]
            assert (await thoth.status())["state"] == "ready"
            return out

    through = asyncio.run(through_async())
    with running.client() as thoth:
        direct = {n: plain(getattr(thoth, n)(*given(v, "other"))) for n, v in calls.items()}
        direct["model"], direct["dimension"] = thoth.model, thoth.dimension
    assert (direct["model"], direct["dimension"]) == ("fake/32", DIMENSION)
    assert direct["count"] == direct["export"] == direct["import_"] == 5
    for found in (through, direct):
        # Ids of what was ingested are made from the collection's name.
        found["query"] = [(hit.text, hit.score) for hit in found["query"]]
        found["search"] = [(hit.text, hit.score) for hit in found["search"]]
    assert through == direct


def test_embedding_manager_is_used_as_ever(running: RealService) -> None:
    done = running.python(
        "from thoth_core import EmbeddingManager\n"
        "manager = EmbeddingManager()\n"
        "rows = manager.embed_documents(['a text', 'another'])\n"
        "row = manager.embed_query('a text')\n"
        "assert type(rows) is list and [type(r) for r in rows] == [list, list]\n"
        "assert type(row) is list and {type(x) for x in row} == {float}\n"
        "assert rows[0] == row\n"
        "assert abs(sum(x * x for x in row) - 1) < 1e-5\n"
        "print(manager.model, len(rows), len(row))\n"
    )
    assert (done.stdout, done.stderr) == ("fake/32 2 32\n", "")


def test_clients_that_are_let_go_leave_no_thread_and_no_descriptor(running: RealService) -> None:
    def use() -> None:
        # With autostart, which is how people make them.
        Thoth(running.settings()).embed(["a text"])

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    use()
    gc.collect()
    wait_for(lambda: "thoth-client" not in names(), 30, "the first client's thread has ended")
    before = descriptors()
    for _ in range(10):
        use()
    gc.collect()
    wait_for(lambda: "thoth-client" not in names(), 30, "no client's thread is left")
    wait_for(lambda: descriptors() <= before, 30, "no client's descriptor is left")


def names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_closing_during_calls_ends_all_of_them(running: RealService) -> None:
    thoth = running.client()
    ends: list[str] = []

    def call() -> None:
        try:
            thoth.embed(lasting(20, 2000))
        except Cancelled:
            ends.append("cancelled")

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_for(lambda: running.status()["queue"]["requests"] == 3, 30, "the calls are there")
    thoth.close()
    for thread in threads:
        thread.join(30)
    assert ends == ["cancelled"] * 3
    wait_for(lambda: running.status()["queue"]["requests"] == 0, 30, "the service leaves off")


def test_interrupting_a_call_frees_its_work_and_the_client_goes_on(running: RealService) -> None:
    main = threading.main_thread().ident
    assert main is not None
    with running.client() as thoth:
        texts = lasting(60, 30_000)
        thoth.embed(["warm"])
        watch = running.client()
        for call in (lambda: thoth.embed(texts), lambda: thoth.add(texts, collection="stopped")):

            def interrupt() -> None:
                wait_for(lambda: watch.status()["queue"]["requests"], 30, "the call is there")
                signal.pthread_kill(main, signal.SIGINT)

            other = threading.Thread(target=interrupt)
            other.start()
            ended: list[object] = []
            with pytest.raises(KeyboardInterrupt):
                ended.append(call())
                # It ended before. The interrupt must come here: elsewhere it ends all the tests.
                other.join()
            other.join()
            assert not ended
            wait_for(lambda: not watch.status()["queue"]["requests"], 30, "its work is freed")
            assert thoth.embed(["and on"]).shape == (1, DIMENSION)
        watch.close()


def test_cancelling_an_async_call_frees_its_work(running: RealService, tmp_path: Path) -> None:
    for i, text in enumerate(lasting(20, 1000)):
        (tmp_path / f"{i}.txt").write_text(text)

    def wait(busy: bool) -> None:
        def seen() -> bool:
            return bool(running.client().status()["queue"]["requests"]) is busy

        wait_for(seen, 30, "the service has work" if busy else "the work is freed")

    async def main() -> None:
        async with AsyncThoth(running.settings(), autostart=False) as thoth:
            texts = lasting(60, 30_000)
            for call in (
                thoth.embed(texts),
                thoth.add(texts, collection="cancelled"),
                thoth.ingest([tmp_path], "cancelled"),
            ):
                task = asyncio.create_task(call)
                await asyncio.to_thread(wait, True)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await asyncio.to_thread(wait, False)
            assert (await thoth.embed(["and on"])).shape == (1, DIMENSION)

    asyncio.run(main())


def test_a_fork_in_mid_call_leaves_both_sides_whole(running: RealService) -> None:
    done = running.python(
        "import os, sys, threading\n"
        "from thoth_core import Thoth\n"
        "thoth = Thoth(autostart=False)\n"
        "thoth.embed(['warm'])\n"
        "shapes = []\n"
        "texts = [f'text {i}' for i in range(15_000)]\n"
        "call = threading.Thread(target=lambda: shapes.append(thoth.embed(texts).shape))\n"
        "call.start()\n"
        "children = []\n"
        "for end in (sys.exit, os._exit):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        end(0 if thoth.embed(['in the child']).shape == (1, 32) else 1)\n"
        "    children.append(child)\n"
        "codes = [os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in children]\n"
        "call.join()\n"
        "print(codes, shapes, thoth.embed(['on']).shape)\n"
    )
    assert (done.stdout, done.stderr) == ("[0, 0] [(15000, 32)] (1, 32)\n", "")
