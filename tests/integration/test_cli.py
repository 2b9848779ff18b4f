"""The command lines as somebody uses them: real service, real pipes, JSON and exit codes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Make
from tests.support.service import BIN, RealService, wait_for


@pytest.fixture(scope="module")
def running() -> Iterator[RealService]:
    service = RealService.make("fake/32", THOTH_FAULTS="1", THOTH_EMBED_WORKERS="1")
    try:
        yield service.start()
    finally:
        service.close()


def told(service: RealService, *command: str, code: int = 0, **more: Any) -> dict[str, Any]:
    """The one JSON document that the command printed."""
    done = service.run(*command, "--json", **more)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr
    document = json.loads(done.stdout)
    assert document["schema_version"] == 1
    assert isinstance(document, dict)
    return document


def test_from_ingest_to_delete_every_command_tells_its_result_as_json(
    running: RealService, tmp_path: Path
) -> None:
    (tmp_path / "one.md").write_text("# Keys\n\nThe keys are on the table.\n")
    (tmp_path / "two.txt").write_text("The lamp is in the cellar.\n")
    here = ("--collection", "walk")
    report = told(running, "thoth", "ingest", str(tmp_path), *here)
    assert report["files"] == {
        "new": 2,
        "changed": 0,
        "unchanged": 0,
        "moved": 0,
        "removed": 0,
        "gone": 0,
        "failed": [],
        "skipped": {},
        "endings": {},
    }
    assert report["chunks"] == report["embedded"] == 2
    assert {"reused", "windowed", "tokens"} <= set(report)

    answer = told(running, "thoth", "query", "The lamp is in the cellar.", "-k", "1", *here)
    assert (answer["query"], answer["collection"]) == ("The lamp is in the cellar.", "walk")
    [hit] = answer["results"]
    assert set(hit) == {"id", "text", "source", "score", "metadata"}
    assert hit["source"] == str(tmp_path / "two.txt")
    where = json.dumps({"source": str(tmp_path / "one.md")})
    [other] = told(running, "thoth", "query", "anything", "--where", where, *here)["results"]
    assert other["source"].endswith("one.md")

    [sizes] = told(running, "thoth", "stats", *here)["collections"]
    assert (sizes["name"], sizes["chunks"], sizes["documents"]) == ("walk", 2, 2)
    assert told(running, "thoth", "delete", "--where", where, "--yes", *here)["deleted"] == 1

    assert told(running, "thoth", "collections", "create", "spare")["created"] is True
    assert told(running, "thoth", "collections", "rename", "walk", "run")["renamed_to"] == "run"
    names = {c["name"]: c["count"] for c in told(running, "thoth", "collections")["collections"]}
    assert names["run"] == 1
    assert "walk" not in names
    assert told(running, "thoth", "collections", "delete", "run", "--yes")["deleted"] is True
    assert told(running, "thoth", "collections", "delete", "run", "--yes")["deleted"] is False


def test_a_changed_file_leaves_no_old_chunk_behind(running: RealService, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("\n\n".join(f"Paragraph {i}. " + "word " * 300 for i in range(4)))
    here = ("--collection", "changing")
    assert told(running, "thoth", "ingest", str(file), *here)["chunks"] > 1
    file.write_text("Only this is left.")
    assert told(running, "thoth", "ingest", str(file), *here)["files"]["changed"] == 1
    found = told(running, "thoth", "query", "word", "-k", "10", *here)["results"]
    assert [hit["text"] for hit in found] == ["Only this is left."]
    file.write_text("")
    told(running, "thoth", "ingest", str(file), *here)
    assert told(running, "thoth", "query", "word", *here)["results"] == []


def test_what_is_odd_in_a_folder_is_reported_and_the_rest_is_done(
    running: RealService, tmp_path: Path
) -> None:
    (tmp_path / "good.txt").write_text("a good text")
    (tmp_path / "a\nb.txt").write_text("a name with a line end")
    (tmp_path / "blank.md").write_text(" \n\t ")
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)))
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.txt")).write_text("a name in no UTF-8")
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "nowhere.md").symlink_to("/nowhere/at/all")
    (tmp_path / "empty").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tmp_path / "socket.txt"))
        report = told(running, "thoth", "ingest", str(tmp_path), "--collection", "odd", code=3)
    assert report["files"]["new"] == 3
    failed = {Path(f["source"]).name: f["reason"] for f in report["files"]["failed"]}
    assert set(failed) == {"bad\\udcff.txt"}
    passed_over = {"binary": 1, "dangling": 1, "repeated": 1, "special": 2}
    assert report["files"]["skipped"] == passed_over
    # Alone it is not a part of what was asked for, but all of it.
    for name in ("binary.txt", "pipe.txt", "nowhere.md", "not-there"):
        alone = told(running, "thoth", "ingest", str(tmp_path / name), code=1)
        assert len(alone["files"]["failed"]) == 1
    assert told(running, "thoth", "ingest", "", code=2)["error"]["code"] == "invalid_input"
    assert told(running, "thoth", "ingest", str(tmp_path / "empty"))["chunks"] == 0


def test_standard_input_is_a_text_and_no_binary(running: RealService) -> None:
    here = ("--collection", "piped")
    report = told(running, "thoth", "ingest", "-", *here, input="a text that was piped in")
    assert (report["files"]["new"], report["chunks"]) == (1, 1)
    report = told(running, "thoth", "ingest", "-", *here, code=1, input="a\0b" * 100)
    [failed] = report["files"]["failed"]
    assert failed["source"] == "-"
    assert "binary" in failed["reason"]


def test_ingests_of_one_folder_at_once_end_as_one(running: RealService, tmp_path: Path) -> None:
    for i in range(12):
        (tmp_path / f"{i}.txt").write_text(f"File {i}. " + "word " * 900)
    command = ("thoth", "ingest", str(tmp_path), "--json", "--collection", "race")
    both = [running.popen(*command) for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert json.loads(out)["files"]["failed"] == []
    assert told(running, *command[:3], "--collection", "race")["files"]["unchanged"] == 12
    told(running, *command[:3], "--collection", "race-alone")
    with running.client() as thoth:
        assert thoth.count("race") == thoth.count("race-alone") > 12


def test_embed_prints_vectors_and_names_what_it_refused(
    running: RealService, tmp_path: Path
) -> None:
    answer = told(running, "thoth", "embed", "one", " ", "three", code=3)
    assert (answer["model"], answer["dimension"], answer["count"]) == ("fake/32", 32, 3)
    assert [row is None for row in answer["vectors"]] == [False, True, False]
    assert [e["index"] for e in answer["errors"]] == [1]
    lines = told(running, "thoth", "embed", "-", input="one\r\nthree\n")
    assert lines["vectors"] == [answer["vectors"][0], answer["vectors"][2]]
    assert told(running, "thoth", "embed", input="")["vectors"] == []

    file, link = tmp_path / "v.npy", tmp_path / "link.npy"
    link.symlink_to(file)
    assert (
        told(running, "thoth", "embed", "one", " ", "--npy", str(link), code=3)["vectors"] is None
    )
    assert link.is_symlink()
    array = np.load(file)
    assert array.dtype == np.float32
    assert array[0].tolist() == pytest.approx(answer["vectors"][0])
    assert np.isnan(array[1]).all()


def test_vectors_written_to_a_pipe_are_whole_and_a_device_stays_one(running: RealService) -> None:
    piped = subprocess.run(
        [str(BIN / "thoth"), "embed", "one", "two", "--npy", "/dev/stdout", "-q"],
        capture_output=True,
        env=running.environ(),
        timeout=60,
    )
    assert piped.returncode == 0
    assert len(piped.stdout) == 128 + 2 * 32 * 4
    full = told(running, "thoth", "embed", "one", "--npy", "/dev/full", code=1)
    assert full["error"]["code"] == "storage"
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("query",), 2, "settings"),
        (("query", "x", "-k", "0"), 2, "settings"),
        (("query", "x", "--nope"), 2, "settings"),
        (("nope",), 2, "settings"),
        (("collections", "nope"), 2, "settings"),
        (("query", "x", "--where", "{bad"), 2, "settings"),
        (("query", "x", "--where", "[1]"), 2, "settings"),
        (("query", "x", "--where", '{"a": NaN}'), 2, "invalid_input"),
        (("query", ""), 2, "invalid_input"),
        (("query", "x", "--collection", "é"), 2, "invalid_input"),
        (("query", "x", "--collection", "not-there"), 1, "collection_not_found"),
        (("query", "!raise", "--collection", "exists"), 1, "worker_raised"),
        (("delete",), 2, "settings"),
        (("delete", "--id", "a"), 2, "settings"),
        (("delete", "--id", "a", "--id", "a", "--yes"), 2, "invalid_input"),
        (("collections", "rename", "not-there", "other"), 1, "collection_not_found"),
        (("collections", "delete", "exists"), 2, "settings"),
        (("embed", "a", "--npy", "/nowhere/v.npy"), 1, "storage"),
        (("ingest", "-", "."), 2, "settings"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_wrong_comes_as_json_with_its_exit_code(
    running: RealService, arguments: tuple[str, ...], code: int, error: str
) -> None:
    with running.client() as thoth:
        thoth.add(["a text"], collection="exists")
    answer = told(running, "thoth", *arguments, code=code)
    assert answer["error"]["code"] == error
    assert set(answer["error"]) == {"code", "message", "cause", "fix"}
    plain = running.run("thoth", *arguments)
    assert (plain.returncode, plain.stdout) == (code, "")
    assert plain.stderr.startswith(f"error: {answer['error']['message']}")


def test_no_command_at_all_shows_the_help(running: RealService) -> None:
    done = running.run("thoth")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: thoth")


@pytest.mark.parametrize("buffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("form", ["", " --json"], ids=["plain", "json"])
def test_a_result_that_nobody_can_take_ends_without_a_traceback(
    running: RealService, form: str, buffered: str
) -> None:
    def shell(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/bash", "-c", line],
            capture_output=True,
            text=True,
            timeout=60,
            env=running.environ(PYTHONUNBUFFERED=buffered, PATH=f"{BIN}:{os.environ['PATH']}"),
        )

    show = f"thoth config show{form}"
    # The reader has gone before anything is written.
    gone = shell(f"{{ sleep 0.1; {show}; echo $? >&2; }} | true")
    assert gone.stderr == f"{128 + signal.SIGPIPE}\n"
    full = shell(f"{show} >/dev/full")
    assert full.returncode == 1
    assert full.stderr.startswith("error: the result could not be written\ncause: ")
    assert "Traceback" not in full.stderr
    closed = shell(f"{show} >&-")
    assert (closed.returncode, closed.stderr) == (0, "")
    mute = shell(f"thoth nope{form} 2>/dev/full")
    assert mute.returncode == 2
    deaf = shell(f"thoth embed{form} <&-")
    assert (deaf.returncode, deaf.stderr) == (0, "there is no text on standard input\n")


def test_a_terminal_without_the_characters_gets_json_all_the_same(running: RealService) -> None:
    with running.client() as thoth:
        thoth.add(["größer – 東京"], collection="letters")
    c_locale = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    found = told(running, "thoth", "query", "x", "--collection", "letters", env=c_locale)
    assert found["results"][0]["text"] == "größer – 東京"


def test_config_show_says_values_and_origins(running: RealService) -> None:
    told_of = {row["name"]: row for row in told(running, "thoth", "config", "show")["settings"]}
    assert told_of["RAG_EMBEDDING_MODEL"]["value"] == "fake/32"
    assert told_of["RAG_EMBEDDING_MODEL"]["origin"] == "environment"
    assert told_of["RAG_RETRIEVAL_K"]["origin"] == "default"
    key = {"API_OPENAI_KEY": "sk-0123456789abcdefghij"}
    done = running.run("thoth", "config", "show", "--json", env=key)
    assert "0123456789" not in done.stdout + done.stderr


def test_the_supervisor_commands_from_start_to_stop(make_service: Make) -> None:
    service = make_service("fake/32", THOTH_EMBED_WORKERS="1")
    for command in ("status", "stop", "restart", "logs"):
        code = 1 if command == "logs" else 4
        error = told(service, "thoth-supervisor", command, code=code)["error"]
        assert error["fix"] == "thoth-supervisor start"
    assert service.run("thoth-supervisor", "status", "--check").returncode == 4

    started = told(service, "thoth-supervisor", "start", timeout=90)
    assert started["state"] == "ready"
    wait_for(
        lambda: service.run("thoth-supervisor", "status", "--check").returncode == 0, 30, "healthy"
    )
    status = told(service, "thoth-supervisor", "status")
    assert (status["state"], status["pid"]) == ("ready", started["pid"])
    assert [m["name"] for m in status["models"]] == ["fake/32"]
    assert {w["role"] for w in status["workers"]} == {"embed", "store"}
    fields = {"name", "role", "lane", "pid", "state", "restarts", "rss_bytes", "last_exit"}
    assert all(fields <= set(worker) for worker in status["workers"])
    again = told(service, "thoth-supervisor", "start", code=1)["error"]
    assert (again["code"], str(started["pid"]) in again["message"]) == ("already_running", True)

    old = service.pid("store")
    assert told(service, "thoth-supervisor", "restart", "store")["restarted"] == ["store"]
    assert service.ready_again("store", old)["restarts"] == 1
    assert told(service, "thoth-supervisor", "restart", "nope", code=2)["error"]["cause"]

    shown = service.run("thoth-supervisor", "logs", "-n", "5", "--json").stdout.splitlines()
    lines = [json.loads(line) for line in shown]
    entry = {"time", "level", "logger", "pid", "worker", "message"}
    assert {"schema_version", "log"} | entry == set(lines[0])
    assert "supervisor" in {line["log"] for line in lines}
    plain = service.run("thoth-supervisor", "logs", "-n", "1")
    assert plain.stdout.count("\n") == len({line["log"] for line in lines})

    assert told(service, "thoth-supervisor", "stop", timeout=60)["state"] == "stopped"
    assert not service.processes()


def test_a_service_that_a_command_starts_is_told_of_on_standard_error(make_service: Make) -> None:
    service = make_service("fake/32", THOTH_EMBED_WORKERS="1")
    done = service.run("thoth", "embed", "a text", "--json", timeout=90)
    assert done.returncode == 0
    assert "starting the service" in done.stderr
    assert len(json.loads(done.stdout)["vectors"]) == 1


def test_two_data_directories_of_one_user_are_two_services(make_service: Make) -> None:
    one = make_service("fake/32", THOTH_EMBED_WORKERS="1")
    two = make_service("fake/16", THOTH_EMBED_WORKERS="1")
    one.env["THOTH_RUNTIME_DIR"] = two.env["THOTH_RUNTIME_DIR"]
    one.start(all_ready=False)
    two.start(all_ready=False)
    for service, dimension in ((one, 32), (two, 16)):
        told(service, "thoth", "collections", "create", f"of-{dimension}")
    for service, dimension in ((one, 32), (two, 16)):
        assert told(service, "thoth", "embed", "a text")["dimension"] == dimension
        names = [c["name"] for c in told(service, "thoth", "collections")["collections"]]
        assert names == [f"of-{dimension}"]
    one.stop()
    assert two.status()["state"] == "ready"
