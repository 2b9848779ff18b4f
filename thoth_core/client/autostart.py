"""Starting the service as a daemon, and waiting until it is ready or says why it is not.

The daemon gets its settings as one JSON line on its standard input (the key of a provider goes
that way too, and so never stands in a command line or an environment), and tells what it does in
JSON lines on its standard output, which it closes when it is ready.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING, Any

from thoth_core.client.control import control, not_answering
from thoth_core.client.locate import lock_path, wait_for_end
from thoth_core.errors import (
    AlreadyRunning,
    ServiceUnavailable,
    ThothError,
    from_dict,
)
from thoth_core.locks import holder

if TYPE_CHECKING:
    from thoth_core.settings import Settings

#: Seconds of silence after which a starting service is given up, and of the whole start.
SILENCE, AT_MOST = 30.0, 600.0
#: Seconds for a service that cannot start to end its processes.
ENDING = 15.0
#: Seconds between a service's letting go of its first lock and its end.
LETTING_GO = 2.0
#: Seconds between two questions to a service that somebody else is starting.
ASK_EVERY = 0.2
#: Starts that may be lost to somebody else's service that then ends, or to whoever kills ours.
MAX_TRIES = 5
#: What ``status`` calls a service that is not ready yet.
_STARTING = frozenset({"starting", "loading", "opening"})
_TAIL_BYTES = 4096
#: What a process ends with whose end says nothing about itself.
_FROM_OUTSIDE = frozenset({-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP})

Log = Callable[[str], None]
Ask = Callable[["Settings"], Mapping[str, Any]]


def start_service(
    settings: Settings,
    *,
    idle_exit: float | None,
    log: Log = lambda message: None,
    exclusive: bool = False,
) -> int:
    """Start the service of ``settings.data_dir`` and return its pid once it is ready.

    ``idle_exit`` is after how many idle seconds it leaves, None for never. If another process
    starts or runs that service, that one is waited for; with ``exclusive`` it is an
    :class:`AlreadyRunning` that names its pid. One that is killed while it starts is started
    again, unless ``exclusive``. Raises what the service says is wrong, and
    :class:`ServiceUnavailable` if it ends or falls silent before it is ready.
    """
    end = time.monotonic() + AT_MOST
    killed = None
    for _ in range(MAX_TRIES):
        event = _spawn(settings, idle_exit, log, end)
        pid = int(event.get("pid") or 0)
        if event["event"] == "ready":
            return pid
        if event["event"] == "killed":
            killed = _ended_by(event["signal"])
            if exclusive:
                break
            continue
        if exclusive:
            raise already_running(settings, pid)
        if _winner_is_ready(settings, pid, end):
            return pid
        # It ended before it was ready, or was about to end when we came: our turn again.
    if killed is not None:
        raise killed
    raise ServiceUnavailable(
        f"the service was not to be had: {MAX_TRIES} others of the same data directory ended",
        fix="thoth-supervisor logs",
    )


def already_running(settings: Settings, pid: int) -> AlreadyRunning:
    """The error that tells who runs the service already."""
    who = f"process {pid}" if pid else "another process"
    return AlreadyRunning(
        f"the service is running already: {who}",
        cause=f"one service owns the data directory {settings.data_dir}",
        fix="thoth-supervisor status",
        pid=pid,
    )


def _elsewhere(settings: Settings, pid: int) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"the service of this data directory (process {pid}) cannot be reached from here",
        cause=f"it was started with another THOTH_RUNTIME_DIR than {settings.runtime_dir}",
        fix=f"set THOTH_RUNTIME_DIR as it was then; or kill {pid}, and run this again",
        pid=pid,
    )


def _spawn(settings: Settings, idle_exit: float | None, log: Log, end: float) -> Mapping[str, Any]:
    """One attempt: the event ``ready``, ``already`` or ``killed``."""
    if not sys.executable:
        raise ServiceUnavailable(
            "this program cannot start the service: it does not know its Python interpreter",
            fix="thoth-supervisor start",
        )
    order = {
        "settings": settings.to_wire(),
        "key": settings.openai_key or "",
        "idle_exit": idle_exit,
        "started_by": os.getpid(),
    }
    # What it says before it has its own log (an import that fails, say) is shown if it ends.
    with tempfile.TemporaryFile() as complaints:
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "thoth_core.supervisor"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                start_new_session=True,
                cwd="/",
                close_fds=True,
            )
        except OSError as problem:
            raise ServiceUnavailable(
                "the service could not be started", cause=str(problem)
            ) from problem
        # A thread of its own, so that the end of the daemon leaves no zombie with us.
        reaper = threading.Thread(target=process.wait, name="thoth-reaper", daemon=True)
        reaper.start()
        assert process.stdin is not None and process.stdout is not None
        with process.stdin, process.stdout:
            # A daemon that has ended already says below why.
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps(order).encode() + b"\n")
                process.stdin.close()
            event = _follow(process.stdout, log, end)
        if event is None:
            reaper.join(ENDING)
            if process.returncode in _FROM_OUTSIDE:
                return {"event": "killed", "signal": -process.returncode}
            raise _ended(complaints)
    if event["event"] == "error":
        error = event.get("error")
        problem_told = from_dict(error if isinstance(error, Mapping) else {})
        if isinstance(problem_told, AlreadyRunning):
            return {"event": "already", "pid": problem_told.details.get("pid")}
        # It ends its workers still; whoever tries again at once must not find it there.
        reaper.join(ENDING)
        raise problem_told
    return event


def _follow(stdout: IO[bytes], log: Log, end: float) -> Mapping[str, Any] | None:
    """The last word of a starting service; None if it ended without one."""
    os.set_blocking(stdout.fileno(), False)
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while True:
            patience = min(SILENCE, end - time.monotonic())
            if patience <= 0 or not selector.select(patience):
                raise ServiceUnavailable(
                    "the service did not become ready in time",
                    cause=f"it said nothing for {SILENCE:.0f} s, or took more than {AT_MOST:.0f} s",
                    fix="thoth-supervisor logs",
                )
            piece = os.read(stdout.fileno(), 65536)
            if not piece:
                return None
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                event = _event(line)
                if event.get("event") in ("ready", "already", "error"):
                    return event
                if event.get("message"):
                    log(str(event["message"]))


def _event(line: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}  # a library's greeting on standard output is no event, and no reason to fail
    return value if isinstance(value, dict) else {}


def _ended_by(number: int) -> ThothError:
    return ServiceUnavailable(
        "the service was ended before it was ready",
        cause=f"by {signal.Signals(number).name}, which somebody sent, or the kernel for want of "
        "memory",
        fix="thoth-supervisor start --foreground",
    )


def _ended(complaints: IO[bytes]) -> ThothError:
    size = complaints.seek(0, os.SEEK_END)
    complaints.seek(max(0, size - _TAIL_BYTES))
    lines = complaints.read().decode("utf-8", "replace").strip().splitlines()
    return ServiceUnavailable(
        "the service ended before it was ready",
        cause=lines[-1] if lines else "it gave no reason",
        fix="thoth-supervisor start --foreground",
        stderr="\n".join(lines),
    )


def _status(settings: Settings) -> Mapping[str, Any]:
    return control(settings, "status", timeout=2.0)


def _winner_is_ready(
    settings: Settings,
    pid: int,
    end: float,
    *,
    ask: Ask = _status,
    wait: Callable[[int, float], bool] = wait_for_end,
) -> bool:
    """Wait for a service that another process starts: True once it is ready, False if it ended."""
    heard = time.monotonic()
    while True:
        try:
            state = str(ask(settings).get("state", "")).lower()
        except ServiceUnavailable:
            if holder(lock_path(settings)) is None:
                owns = pid and holder(settings.data_dir / "lock") == pid
                if owns and not wait(pid, LETTING_GO):
                    raise _elsewhere(settings, pid) from None
                return False
        else:
            heard = time.monotonic()
            if state not in _STARTING and state not in ("stopping", "draining"):
                return True
        now = time.monotonic()
        if now >= end or now - heard >= SILENCE:
            raise not_answering(settings, SILENCE)
        # Nothing tells us that it became ready, but its end is an event.
        if pid and wait(pid, ASK_EVERY):
            return False
        if not pid:
            time.sleep(ASK_EVERY)
