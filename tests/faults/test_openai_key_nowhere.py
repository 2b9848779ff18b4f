"""The key is in no log, status, report, traceback or database, and in no process's environment."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import Make
from tests.faults import openai_runs as runs
from tests.faults.test_openai_env_file import with_env_file
from tests.faults.watching import pids, status, wait_until_ready
from tests.support.openai_faults import Fault, at
from tests.support.openai_server import KEY, OpenAIServer
from tests.support.service import RealService, wait_for

#: Also a part of it would be too much.
SECRET = KEY[12:-8]
WRONG = "sk-proj-mistyped-9876543210zyxwvutsrqponmlkjihgfedcba"


def test_the_key_is_found_nowhere(make_service: Make, tmp_path: Path) -> None:
    folder = runs.corpus(tmp_path / "texts", every=6)
    said: list[str] = []
    with OpenAIServer(echo_keys=True, latency=0.02) as server:
        settings = {"RAG_EMBEDDING_MODEL": runs.MODEL, **runs.CHUNK, "THOTH_EMBED_WORKERS": "1"}
        lines = {**settings, **runs.settings_of(server)}
        service = with_env_file(
            make_service(), "".join(f"{name}={value}\n" for name, value in lines.items())
        )

        # A wrong key, which the provider repeats in its answer.
        server.keys = {WRONG}
        refused = runs.ingest(service, folder, "-vv")
        assert refused.returncode == 5, refused.stderr
        said += [refused.stdout, refused.stderr]
        assert KEY in service.settings().openai_key
        server.keys = {KEY}
        program = service.python(
            "from thoth_core import Thoth\n"
            "with Thoth() as thoth:\n"
            "    print(thoth.settings if hasattr(thoth, 'settings') else thoth)\n"
            "    print(len(thoth.embed(['one text'])))\n"
        )
        said += [program.stdout, program.stderr]

        # A crash in native code while requests are under way.
        server.plan = at({len(server.books.embeddings) + 3: Fault("slow", seconds=30.0)})
        command = service.popen("thoth", "ingest", str(folder), "--json", "-vv")
        wait_for(lambda: any(e.fault == "slow" for e in server.books.embeddings), 60, "it waits")
        running = status(service)
        bulk = next(w for w in running["workers"] if w["lane"] == "bulk" and w["pid"])
        said += [json.dumps(running), *words_of(service)]
        os.kill(bulk["pid"], signal.SIGSEGV)
        said += command.communicate(timeout=60)
        assert command.returncode == 0, said[-1]
        wait_until_ready(service)

        said += words_of(service)
        for each in (
            ("thoth-supervisor", "status", "--json"),
            ("thoth-supervisor", "crashes", "--json"),
            ("thoth-supervisor", "logs", "--json"),
            ("thoth", "config", "show", "--json"),
            ("thoth", "stats", "--json"),
        ):
            done = service.run(*each)
            assert done.returncode == 0, done.stderr
            said += [done.stdout, done.stderr]
        assert any("SIGSEGV" in text for text in said)
        service.stop()

    assert {each.key for each in server.books.embeddings} == {KEY}
    assert [text for text in said if SECRET in text] == []
    assert [str(path) for path in files_with(service.root, SECRET)] == [".env"]


def test_a_key_in_the_environment_of_the_supervisor_goes_no_further(make_service: Make) -> None:
    with OpenAIServer() as server:
        service = runs.make(make_service, server).start()
        processes = pids(service)
        supervisor = processes.pop("supervisor")
        assert SECRET in Path(f"/proc/{supervisor}/environ").read_text()
        for name, pid in processes.items():
            for file in ("environ", "cmdline"):
                assert SECRET not in Path(f"/proc/{pid}/{file}").read_text(), name
        assert SECRET not in json.dumps(status(service))


def words_of(service: RealService) -> list[str]:
    """The environments and command lines of all the processes of the service."""
    processes = service.processes()
    assert len(processes) >= 4
    return [
        Path(f"/proc/{pid}/{file}").read_bytes().decode("utf-8", "replace")
        for pid in processes
        for file in ("environ", "cmdline")
    ]


def files_with(folder: Path, text: str) -> Iterator[Path]:
    """Files below it that hold ``text``, as paths from there."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and text.encode() in path.read_bytes():
            yield path.relative_to(folder)
