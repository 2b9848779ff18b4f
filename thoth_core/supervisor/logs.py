"""Log files of the service: one for the supervisor, one for each slot; each rotates.

A full disk must not stop the service: a line that cannot be written is dropped.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import logging.handlers
import os
import sys
from pathlib import Path

from thoth_core.log_format import JSON, OutputFormatter, formatter

MAX_BYTES = 4 * 1024 * 1024
KEPT_FILES = 3
#: Where the supervisor's standard error goes, once nobody waits for its start any more.
STDERR = "supervisor-stderr.log"
#: Bytes from which on that file is begun anew at a start.
LONG = 1024 * 1024


def logs_dir(data_dir: Path) -> Path:
    return data_dir / "logs"


def supervisor_log(data_dir: Path, log_format: str, *, foreground: bool) -> logging.Logger:
    """The supervisor's logger: into its file, and on stderr when it runs in the foreground."""
    logger = logging.getLogger("thoth.supervisor")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    _replace_handlers(logger, _file(data_dir, "supervisor", formatter(log_format)))
    if foreground:
        stream = logging.StreamHandler(sys.stderr)
        stream.setFormatter(formatter(log_format))
        logger.addHandler(stream)
    return logger


def keep_stderr(data_dir: Path) -> None:
    """Have what this process writes to its standard error from here on kept in a file: when native
    code ends it, that is all it says. So are its stacks then."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    with contextlib.suppress(OSError):
        fd = os.open(logs_dir(data_dir) / STDERR, flags, 0o600)
        try:
            if os.fstat(fd).st_size > LONG:
                os.ftruncate(fd, 0)
            os.dup2(fd, 2)
        finally:
            os.close(fd)
    faulthandler.enable(file=2, all_threads=True)


def worker_log(data_dir: Path, slot: str, log_format: str) -> logging.Logger:
    """Where the output of the slot's workers goes, line by line as they wrote it; as JSON, in
    objects."""
    logger = logging.getLogger(f"thoth.output.{slot}")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    if not logger.handlers:
        plain = logging.Formatter("%(message)s")
        wrapped = OutputFormatter(slot) if log_format == JSON else plain
        logger.addHandler(_file(data_dir, slot, wrapped))
    return logger


def _file(data_dir: Path, name: str, formatter: logging.Formatter) -> logging.Handler:
    folder = logs_dir(data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    # logging's own handling of an error would write a traceback to a stderr nobody reads.
    logging.raiseExceptions = False
    handler = logging.handlers.RotatingFileHandler(
        folder / f"{name}.log", maxBytes=MAX_BYTES, backupCount=KEPT_FILES, delay=True
    )
    handler.setFormatter(formatter)
    return handler


def _replace_handlers(logger: logging.Logger, handler: logging.Handler) -> None:
    for old in list(logger.handlers):
        logger.removeHandler(old)
        old.close()
    logger.addHandler(handler)
