"""From settings to a running service: the locks, the folders, and the two ways to start.

As a daemon it gets everything on standard input, in one JSON line, and tells how far it is on
standard output, one JSON line an event, until it is ready or has failed.
"""

from __future__ import annotations

import errno
import faulthandler
import json
import logging
import os
import shlex
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from thoth_core.errors import AlreadyRunning, InternalError, StorageError, ThothError, from_dict
from thoth_core.locks import FileLock, holder
from thoth_core.provider import lacks_key
from thoth_core.settings import Settings, ensure_private_dir
from thoth_core.supervisor.logs import keep_stderr, logs_dir, supervisor_log
from thoth_core.supervisor.neighbour import neighbour
from thoth_core.supervisor.notify import Notifier
from thoth_core.supervisor.open_files import allow_many


def foreground(settings: Settings) -> int:
    """Serve in this process until it is told to stop; its exit status. Raises what kept the service
    from starting."""
    problems: list[ThothError] = []

    def announce(event: Mapping[str, Any]) -> None:
        if event["event"] == "ready":
            sys.stderr.write(f"thoth is ready (pid {event['pid']}); Ctrl-C stops it\n")
        elif event["event"] == "error":
            problems.append(from_dict(event["error"]))

    faulthandler.enable(file=2)
    notifier = Notifier.take(os.environ)
    status = _serve(settings, announce, idle_exit=None, notifier=notifier)
    if status and problems:
        raise problems[-1]
    return status


def daemon() -> int:
    """The main function of the daemon process."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    line = sys.stdin.readline()
    _detach_from_input()
    try:
        given = json.loads(line)
        settings = replace(
            Settings.from_wire(given["settings"]), openai_key=str(given.get("key") or "")
        )
        idle_exit = given.get("idle_exit")
    except ThothError as problem:
        _tell_starter({"event": "error", "error": problem.to_dict()})
        return problem.exit_code
    except (ValueError, KeyError, TypeError) as problem:
        _tell_starter(
            {"event": "error", "error": InternalError(f"no settings: {problem}").to_dict()}
        )
        return 1
    _leave_affinity()

    def announce(event: Mapping[str, Any]) -> None:
        _tell_starter(event)
        if event["event"] == "ready":
            # The starter had it so far, to say why there is no service.
            keep_stderr(settings.data_dir)

    # A client that a service manager started is another service than this one.
    Notifier.take(os.environ)
    try:
        return _serve(settings, announce, idle_exit=idle_exit)
    except AlreadyRunning as problem:
        _tell_starter({"event": "already", "pid": problem.details.get("pid", 0)})
        return problem.exit_code
    except ThothError as problem:
        _tell_starter({"event": "error", "error": problem.to_dict()})
        return problem.exit_code
    except Exception as problem:
        error = InternalError(
            f"the supervisor failed: {type(problem).__name__}: {problem}",
            fix="thoth-supervisor logs",
        )
        _tell_starter({"event": "error", "error": error.to_dict()})
        raise


def _serve(
    settings: Settings,
    announce: Any,
    *,
    idle_exit: float | None,
    notifier: Notifier | None = None,
) -> int:
    """``notifier`` for a service in the foreground."""
    ensure_private_dir(settings.runtime_dir)
    ensure_private_dir(settings.service_dir)
    _make_data_dir(settings)
    locks = [FileLock(settings.service_dir / "lock"), FileLock(settings.data_dir / "lock")]
    # What ends the service waits from here on until the loop reads it: it ends in order then.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    try:
        for lock in locks:
            _take(lock, settings)
        log = _open_log(settings, notifier is not None)
        allow_many(log)
        message = neighbour(settings.vector_db_path, settings.data_dir)
        if message:
            log.info("%s", message)
            announce({"event": "note", "message": message})
        lacking = lacks_key(settings.embedding_model, settings.openai_key, settings.openai_base_url)
        if lacking:
            log.warning("%s", lacking)
            announce({"event": "note", "message": lacking})
        log.info("supervisor %d for %s", os.getpid(), settings.data_dir)
        # Only now: it opens sockets, which must not be done without the locks.
        from thoth_core.supervisor.service import Service

        try:
            service = Service(settings, announce=announce, idle_exit=idle_exit, notifier=notifier)
            return service.run()
        except Exception:
            log.exception("the supervisor failed")
            raise
        finally:
            log.info("supervisor %d ended", os.getpid())
    finally:
        for lock in locks:
            lock.release()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _make_data_dir(settings: Settings) -> None:
    try:
        settings.data_dir.parent.mkdir(parents=True, exist_ok=True)
        # It holds everybody's texts: for its owner only, whatever the umask.
        settings.data_dir.mkdir(mode=0o700, exist_ok=True)
        probe = settings.data_dir / f".writable-{os.getpid()}"
        try:
            probe.write_bytes(b"x")
        finally:
            # On a full disk the file is made, and then cannot be written.
            probe.unlink(missing_ok=True)
    except OSError as problem:
        raise StorageError(
            f"the data directory {settings.data_dir} cannot be written",
            cause=problem.strerror or str(problem),
            fix=_way_out(problem, settings),
            path=str(settings.data_dir),
        ) from problem


def _way_out(problem: OSError, settings: Settings) -> str:
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        folder = shlex.quote(str(settings.data_dir))
        return f"free some space (df -h {folder}), or set RAG_VECTOR_DB_PATH to another disk"
    return "set RAG_VECTOR_DB_PATH to a folder that you can write"


def _open_log(settings: Settings, in_foreground: bool) -> logging.Logger:
    try:
        return supervisor_log(settings.data_dir, settings.log_format, foreground=in_foreground)
    except OSError as problem:
        raise StorageError(
            f"the log folder {logs_dir(settings.data_dir)} cannot be made",
            cause=problem.strerror or str(problem),
            fix=f"ls -ld {logs_dir(settings.data_dir)}",
        ) from problem


def _take(lock: FileLock, settings: Settings) -> None:
    try:
        if lock.acquire():
            return
    except OSError as problem:
        raise StorageError(
            f"the lock {lock.path} cannot be taken", cause=problem.strerror or str(problem)
        ) from problem
    pid = holder(lock.path) or 0
    raise AlreadyRunning(
        f"a service runs for this data directory already (pid {pid})",
        cause=f"it holds {lock.path}",
        fix="thoth-supervisor status",
        pid=pid,
    )


def _tell_starter(event: Mapping[str, Any]) -> None:
    """One line to whoever started the daemon; it may be gone, which changes nothing."""
    try:
        os.write(1, (json.dumps(event) + "\n").encode())
    except OSError:
        _close_output()
    if event["event"] in ("ready", "error", "already"):
        _close_output()


def _close_output() -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def _detach_from_input() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _leave_affinity() -> None:
    """A starter that pinned itself to one core must not pin the service."""
    if hasattr(os, "sched_setaffinity"):
        try:
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
        except OSError:
            return
