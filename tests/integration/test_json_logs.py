"""With ``THOTH_LOG_FORMAT=json`` every line of every log is an object, whatever wrote it."""

from __future__ import annotations

import json
import signal

from tests.conftest import Make
from tests.support.service import wait_for

FIELDS = {"time", "level", "logger", "pid", "worker", "message"}


def test_every_line_is_an_object_also_what_a_crash_leaves(make_service: Make) -> None:
    service = make_service(THOTH_EMBED_WORKERS="1", THOTH_FAULTS="1", THOTH_LOG_FORMAT="json")
    process = service.popen("thoth-supervisor", "start", "--foreground")
    folder = service.settings().data_dir / "logs"
    try:
        wait_for(
            lambda: service.run("thoth-supervisor", "status", "--check").returncode == 0,
            60,
            "it is ready",
        )
        old = service.pid("embed-bulk-1")
        refused = service.run("thoth", "embed", *["fine"] * 40, "!segv")
        assert refused.returncode == 3
        service.ready_again("embed-bulk-1", old)
        last = service.worker("embed-bulk-1")["last_exit"]
        assert last["signal"] == "SIGSEGV"
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    entries = []
    for path in sorted(folder.glob("*.log")):
        for line in path.read_text("utf-8").splitlines():
            entry = json.loads(line)
            assert entry.keys() == FIELDS, line
            assert entry["worker"] == (None if path.stem == "supervisor" else path.stem)
            assert entry["time"].endswith("Z")
            assert isinstance(entry["pid"], int)
            entries.append(entry)
    # The native dump of a crash, which no logger writes; what it had before, which one did.
    assert any("Segmentation fault" in e["message"] and e["logger"] == "output" for e in entries)
    assert any(e["logger"] == "thoth.supervisor" and "is ready" in e["message"] for e in entries)
    # A worker writes its records as objects itself, and so with their own loggers and levels.
    assert any(e["worker"] == "store" and e["logger"] == "thoth.store.store" for e in entries)
    assert any(e["logger"] == "thoth.embed.embed-bulk-1" for e in entries)
    # Many lines, one object: the last words of the one that crashed.
    words = [e for e in entries if e["message"].startswith("its last words:")]
    assert words and "\n" in words[0]["message"]
    assert '{"time"' not in words[0]["message"]

    # What the foreground says is the log, but for the words to whoever looks on.
    told = [line for line in err.splitlines() if not line.startswith("thoth is ready")]
    assert told and all(json.loads(line).keys() == FIELDS for line in told)

    shown = service.run("thoth-supervisor", "logs", "-n", "1000")
    assert '{"time"' not in shown.stdout
    assert "Segmentation fault" in shown.stdout
    done = service.run("thoth-supervisor", "logs", "-n", "1000", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(line.keys() == FIELDS | {"schema_version", "log"} for line in lines)
    assert len(lines) == len(entries)


def test_text_logs_are_told_as_objects_too(make_service: Make) -> None:
    service = make_service(THOTH_EMBED_WORKERS="1").start()
    done = service.run("thoth-supervisor", "logs", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    message = f"worker store (pid {service.pid('store')}) is ready"
    ready = [line for line in lines if line["message"] == message]
    assert ready
    assert (ready[0]["log"], ready[0]["level"]) == ("supervisor", "INFO")
    assert ready[0]["time"].endswith("Z")
