"""The command lines: streams, JSON, exit codes and the form of errors."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli import main as thoth_cli
from cli import supervisor as supervisor_cli
from cli.run import run
from tests.unit.fake_service import FakeService, Reply, embed_handler, private_settings, result
from thoth_core import Settings
from thoth_core.errors import AuthenticationFailed, ModelMismatch
from thoth_core.locks import FileLock
from thoth_core.wire import Message, error_message


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    with private_settings() as made:
        monkeypatch.setenv("RAG_VECTOR_DB_PATH", str(made.vector_db_path))
        monkeypatch.setenv("THOTH_RUNTIME_DIR", str(made.runtime_dir))
        monkeypatch.setenv("RAG_EMBEDDING_MODEL", "fake/4")
        monkeypatch.delenv("RAG_COLLECTION_NAME", raising=False)
        monkeypatch.chdir(made.runtime_dir)
        yield made


@pytest.fixture
def thoth(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(thoth_cli.thoth, "thoth", ["--no-autostart", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def supervisor(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(supervisor_cli.supervisor, "thoth-supervisor", list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def store(message: Message, reply: Reply) -> None:
    """Answers every command with something plausible."""
    hit = {
        "id": "a",
        "score": 0.75,
        "text": "the\n text",
        "metadata": {"source": "s", "line_start": 3},
    }
    bodies: dict[str, dict[str, Any]] = {
        "query": {"hits": [[hit]], "errors": []},
        "delete": {"deleted": 2},
        "collections": {
            "collections": [{"name": "abc", "model": "fake/4", "dimension": 4, "count": 9}]
        },
        "create_collection": {"created": True},
        "rename_collection": {},
        "delete_collection": {"deleted": True},
        "stats": {
            "collections": [{"name": "abc", "chunks": 9}],
            "chunks": 9,
            "vectors": 11,
            "staged": 2,
            "unindexed": 1,
            "ledger_bytes": 5_000_000,
            "ledger_bytes_per_chunk": 1234,
        },
        "documents": {"documents": {}},
        "begin_ingest": {"stage": 1},
        "replace_document": {"removed": 0},
        "status": {
            "state": "degraded",
            "pid": 7,
            "uptime_s": 100,
            "models": [{"name": "fake/4"}],
            "workers": [{"name": "bulk-1", "state": "FAILED", "pid": None, "restarts": 5}],
        },
        "restart": {"restarted": ["bulk-1"]},
    }
    if message.kind == "embed":
        embed_handler(message, reply)
    elif message.kind == "add":
        count = len(message.body["texts"])
        reply(result(message, embedded=count, tokens=count, errors=[], superseded=[]))
    elif message.kind in bodies:
        reply(result(message, **bodies[message.kind]))


@pytest.mark.parametrize(
    "arguments",
    [
        ["query"],
        ["nonsense"],
        ["query", "x", "-k", "0"],
        ["query", "x", "--where", "{no json"],
        ["query", "x", "--where", "[1]"],
        ["ingest"],
        ["ingest", "-", "a.txt"],
        ["delete"],
        ["delete", "--id", "a"],
        ["collections", "delete", "abc"],
        ["query", "x", "--collection", "!"],
        ["--bad-option"],
    ],
)
def test_a_wrong_command_line_ends_with_2_and_says_how_it_goes(
    settings: Settings, thoth: Any, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    with FakeService(settings, store):
        code, out, err = thoth(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [["query", "x"], ["embed", "x"], ["stats"], ["collections"], ["delete", "--id", "a", "--yes"]],
)
def test_without_a_service_commands_end_with_4_and_name_the_command(
    settings: Settings, thoth: Any, arguments: list[str]
) -> None:
    code, out, err = thoth(*arguments)
    assert (code, out) == (4, "")
    lines = err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["error", "cause", "fix"]
    assert lines[2] == "fix: thoth-supervisor start"


def test_with_json_an_error_is_a_document_too(settings: Settings, thoth: Any) -> None:
    for arguments in (["--json", "stats"], ["stats", "--json"]):
        code, out, err = thoth(*arguments)
        assert code == 4
        document = json.loads(out)
        assert document["schema_version"] == 1
        assert document["error"]["code"] == "unavailable"
        assert err.startswith("error: ")
    code, out, _ = thoth("query", "--json")
    assert (code, json.loads(out)["schema_version"]) == (2, 1)


def test_the_exit_code_is_that_of_the_error(settings: Settings, thoth: Any) -> None:
    for error, expected in ((AuthenticationFailed("no key"), 5), (ModelMismatch("other"), 2)):

        def handle(message: Message, reply: Reply, error: Any = error) -> None:
            reply(error_message(error, message.id))

        with FakeService(settings, handle):
            assert thoth("query", "x")[0] == expected


def test_query_prints_the_documented_json(settings: Settings, thoth: Any) -> None:
    with FakeService(settings, store) as service:
        code, out, err = thoth("query", "where?", "-k", "2", "--where", '{"n": 1}', "--json")
        sent = service.of("query")[0].body
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "schema_version": 1,
        "query": "where?",
        "collection": "thoth_knowledge",
        "results": [
            {
                "id": "a",
                "text": "the\n text",
                "source": "s",
                "score": 0.75,
                "metadata": {"source": "s", "line_start": 3},
            }
        ],
    }
    assert (sent["k"], sent["where"], sent["texts"]) == (2, {"n": 1}, ["where?"])


def test_query_prints_hits_for_people(settings: Settings, thoth: Any) -> None:
    with FakeService(settings, store):
        code, out, _ = thoth("query", "where?", "--collection", "abc")
    assert code == 0
    assert out.splitlines() == ["1. 0.7500  s:3", "   the text", "   id: a"]


def test_the_collection_may_stand_before_the_command(settings: Settings, thoth: Any) -> None:
    with FakeService(settings, store) as service:
        thoth("--collection", "abc", "query", "x")
        thoth("--collection", "abc", "query", "x", "--collection", "abd")
        assert [m.body["collection"] for m in service.of("query")] == ["abc", "abd"]


def test_embed_prints_a_vector_a_line_and_writes_files_whole(
    settings: Settings, thoth: Any, tmp_path: Path
) -> None:
    target = tmp_path / "v.npy"
    target.write_bytes(b"old")
    with FakeService(settings, store):
        code, out, _ = thoth("embed", "t1", "t2")
        assert code == 0
        assert [json.loads(line)[0] for line in out.splitlines()] == [1.0, 2.0]
        code, out, _ = thoth("embed", "t3", "--npy", str(target), "--json")
        assert code == 0
        assert json.loads(out)["dimension"] == 4
        code, _, err = thoth("embed", "t3", "--npy", str(tmp_path / "no" / "v.npy"))
    assert np.load(target).tolist() == [[3.0, 1.0, 1.0, 1.0]]
    assert [p.name for p in tmp_path.iterdir()] == ["v.npy"]
    assert code == 1 and err.startswith("error: ")


def test_embed_reads_a_text_a_line_and_reports_blank_ones(
    settings: Settings, thoth: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    stdin = io.TextIOWrapper(io.BytesIO(b"t1\n\nt3\n"))
    monkeypatch.setattr("sys.stdin", stdin)
    with FakeService(settings, store):
        code, out, _ = thoth("embed", "-", "--json")
    document = json.loads(out)
    assert code == 3
    assert [row and row[0] for row in document["vectors"]] == [1.0, None, 3.0]
    assert [e["index"] for e in document["errors"]] == [1]


def test_ingest_reports_and_ends_with_3_when_a_file_failed(
    settings: Settings, thoth: Any, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("Some words.")
    with FakeService(settings, store):
        code, out, _ = thoth("ingest", str(tmp_path), "--json")
        assert code == 0
        assert json.loads(out) == {
            "schema_version": 1,
            "files": {
                "new": 1,
                "changed": 0,
                "unchanged": 0,
                "moved": 0,
                "removed": 0,
                "gone": 0,
                "failed": [],
                "skipped": {},
                "endings": {},
            },
            "chunks": 1,
            "embedded": 1,
            "reused": 0,
            "windowed": 0,
            "tokens": 1,
            "cost": {"tokens": 1, "usd": None, "prices_of": None},
            "notes": [],
            "moves": [],
            "removals": [],
        }
        code, out, err = thoth("ingest", str(tmp_path), "/nowhere/b.txt")
        assert code == 3
        assert "failed: /nowhere/b.txt" in err and "1 new" in out
        assert thoth("ingest", "/nowhere/b.txt")[0] == 1
        code, out, _ = thoth("ingest", str(tmp_path), "--events")
    events = [json.loads(line) for line in out.splitlines()]
    assert events[-1]["event"] == "done"
    assert {e["event"] for e in events[:-1]} == {"progress", "file"}
    [file] = [e for e in events if e["event"] == "file"]
    assert (file["source"], file["outcome"]) == (str(tmp_path / "a.txt"), "new")
    last = [e for e in events if e["event"] == "progress"][-1]
    assert (last["files_done"], last["bytes_done"]) == (last["files"], last["bytes"]) == (1, 11)


def test_ingest_says_of_a_file_what_may_not_be_as_meant(
    settings: Settings, thoth: Any, tmp_path: Path
) -> None:
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "old.txt").write_bytes("Grüße aus Köln".encode("cp1252"))
    (tmp_path / "utf8.txt").write_text("Grüße aus Köln")
    with FakeService(settings, store):
        code, _, err = thoth("ingest", str(tmp_path))
        assert code == 0
        assert err.splitlines()[-2:] == [
            f"note: {tmp_path}/empty.txt: there is no text in it",
            f"note: {tmp_path}/old.txt: it is no UTF-8, and was read as Windows-1252",
        ]
        notes = json.loads(thoth("ingest", str(tmp_path), "--json")[1])["notes"]
    assert [Path(each["source"]).name for each in notes] == ["empty.txt", "old.txt"]


def test_an_ingest_that_is_interrupted_says_that_the_same_one_goes_on(
    settings: Settings, thoth: Any, tmp_path: Path
) -> None:
    import threading

    (tmp_path / "a.txt").write_text("Some words.")

    asked: list[str] = []

    def interrupt(message: Message, reply: Reply) -> None:
        if message.kind != "add":
            store(message, reply)
        elif not asked:
            # Once: it is repeated over another connection, and a second one would end the tests.
            asked.append(message.id)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with FakeService(settings, interrupt):
            code, _, err = thoth("ingest", str(tmp_path))
    finally:
        signal.signal(signal.SIGINT, before)
    assert code == 130
    assert "what is stored stays; the same command goes on where this one stopped" in err


def test_housekeeping_commands_say_what_they_did(settings: Settings, thoth: Any) -> None:
    with FakeService(settings, store):
        assert thoth("collections")[1] == "abc\t9 chunks\tfake/4\t4\n"
        assert json.loads(thoth("collections", "list", "--json")[1])["collections"][0]["count"] == 9
        assert thoth("collections", "create", "abc")[1] == "abc: created\n"
        assert thoth("collections", "rename", "abc", "abd")[1] == "abc: renamed to abd\n"
        assert thoth("collections", "delete", "abc", "--yes")[1] == "abc: deleted\n"
        assert thoth("delete", "--id", "a", "--id", "b", "--yes")[1] == "deleted: 2\n"
        assert thoth("stats")[1].splitlines()[:4] == [
            "abc\t9 chunks\t0 documents\t-",
            "total: 9 chunks, 11 vectors",
            "ledger: 5.0 MB, 1,234 bytes a chunk",
            "staged: 2 chunks of documents that are not complete yet",
        ]
        assert "unindexed: 1 " in thoth("stats")[1]


def test_config_show_masks_keys_and_names_what_nothing_reads(
    settings: Settings, thoth: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_OPENAI_KEY", "sk-verysecretverysecretverysecret")
    monkeypatch.setenv("TORCH_NUM_THREADS", "4")
    code, out, err = thoth("config", "show", "--json")
    assert code == 0
    assert "verysecretverysecret" not in out + err
    document = json.loads(out)
    assert "TORCH_NUM_THREADS" in [u["name"] for u in document["unread"]]
    assert {"name", "value", "origin"} <= set(document["settings"][0])


def test_config_show_says_which_key_won(
    settings: Settings, thoth: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-verysecretverysecretverysecret")
    monkeypatch.setenv("API_OPENAI_KEY", "your_openai_api_key_here")
    _, out, _ = thoth("config", "show")
    assert "= sk-…cret  (environment, as OPENAI_API_KEY)" in out
    assert "nothing reads API_OPENAI_KEY: it holds a placeholder" in out
    monkeypatch.setenv("API_OPENAI_KEY", "sk-anothersecretanothersecret1234")
    _, out, _ = thoth("config", "show")
    assert "= sk-…1234  (environment)" in out and "placeholder" not in out


def test_a_bad_setting_is_a_usage_error(
    settings: Settings, thoth: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_CHUNK_SIZE", "many")
    code, _, err = thoth("config", "show")
    assert code == 2 and "RAG_CHUNK_SIZE" in err


def test_ctrl_c_ends_with_130(settings: Settings, thoth: Any) -> None:
    import threading

    def interrupt(message: Message, reply: Reply) -> None:
        if message.kind == "query":
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    # A shell that runs the tests in the background has them ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with FakeService(settings, interrupt) as service:
            assert thoth("query", "x")[0] == 130
            assert service.wait_for("cancel")
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_defect_shows_its_traceback_only_on_request(
    settings: Settings, thoth: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("thoth_core.client.sync.Thoth.stats", broken)
    code, _, err = thoth("stats")
    assert code == 1 and "Traceback" not in err and "-vv" in err
    code, _, err = thoth("stats", "-vv")
    assert code == 1 and "Traceback" in err


def test_status_exits_with_0_when_answered_and_1_when_checked_and_unhealthy(
    settings: Settings, supervisor: Any
) -> None:
    assert supervisor("status")[0] == 4
    with FakeService(settings, store):
        code, out, _ = supervisor("status")
        assert code == 0 and "bulk-1: FAILED" in out and "up 1 min" in out
        assert supervisor("status", "--check")[0] == 1
        code, out, _ = supervisor("--json", "status")
        assert json.loads(out)["state"] == "degraded"
        assert "restarting bulk-1" in supervisor("restart", "bulk-1")[1]


def test_stopping_what_does_not_run_ends_with_4(settings: Settings, supervisor: Any) -> None:
    code, _, err = supervisor("stop")
    assert code == 4 and "thoth-supervisor start" in err
    code, out, err = supervisor("stop", "--if-running")
    assert (code, out, err) == (0, "", "no service was running\n")
    assert json.loads(supervisor("stop", "--if-running", "--json")[1])["pid"] is None
    # One that starts or is stuck is there: to call it stopped would be wrong.
    lock = FileLock(settings.service_dir / "lock")
    assert lock.acquire()
    assert supervisor("stop", "--if-running")[0] == 4
    lock.release()


def test_logs_show_the_last_lines_of_each_file(settings: Settings, supervisor: Any) -> None:
    code, _, err = supervisor("logs")
    assert code == 1 and "no logs" in err
    folder = settings.data_dir / "logs"
    folder.mkdir(parents=True)
    (folder / "supervisor.log").write_text("".join(f"line {i}\n" for i in range(10)))
    (folder / "store.log").write_text("one\n")
    (folder / "store.log.1").write_text("old\n")
    code, out, _ = supervisor("logs", "-n", "2")
    assert code == 0
    assert out.splitlines() == ["store: one", "supervisor: line 8", "supervisor: line 9"]


def test_following_shows_what_is_added_after_a_rotation(tmp_path: Path) -> None:
    import io

    from cli.logs import _catch_up, show_logs
    from cli.output import Output

    out = io.StringIO()
    output = Output(out=out)
    log = tmp_path / "a.log"
    log.write_text("one\n")
    places = show_logs(output, tmp_path, 10)
    with log.open("a") as file:
        file.write("two\nhal")
    _catch_up(output, log, places[log])
    with log.open("a") as file:
        file.write("f\n")
    _catch_up(output, log, places[log])
    log.rename(tmp_path / "a.log.1")
    log.write_text("new\n")
    _catch_up(output, log, places[log])
    assert out.getvalue().splitlines() == ["a: one", "a: two", "a: half", "a: new"]
