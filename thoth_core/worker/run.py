"""The frame of a worker process: tie it to its parent, shake hands, serve, end."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal

from thoth_core.errors import ServiceUnavailable, ThothError
from thoth_core.log_format import log_to_stderr
from thoth_core.wire import Message
from thoth_core.worker import lifeline
from thoth_core.worker.birth import EXIT_BOOT, EXIT_TERM, Birth
from thoth_core.worker.channel import Channel
from thoth_core.worker.stack_dumps import write_stacks_to

Serve = Callable[[Channel, Mapping[str, Any]], None]


def run_worker(role: Literal["embed", "store"], serve: Serve) -> int:
    """Run ``serve`` as the worker that the environment describes; the process's exit status.

    0 after a stop that the supervisor asked for, 143 after SIGTERM, 78 when the worker could not be
    set up (the supervisor is told why), 1 for anything else. Returns only for a usage error: a
    worker otherwise ends here.
    """
    birth = Birth.take()
    if birth is None or birth.role != role:
        sys.stderr.write(
            f"error: {role}_worker is started by a supervisor, not by hand\n"
            "fix: thoth-supervisor start\n"
        )
        return EXIT_BOOT
    stacks = write_stacks_to(birth.dump_fd)
    log_to_stderr(birth.slot)
    # A terminal's Ctrl-C is for the supervisor; it tells the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Channel(birth)
    channel.stacks_fd = stacks
    terminated: list[int] = []

    def terminate(number: int, frame: object) -> None:
        terminated.append(number)
        channel.request_stop("stop")

    signal.signal(signal.SIGTERM, terminate)
    channel.wake_on_signals()
    lifeline.arm(birth.parent, birth.death_fd, heard=channel.secret.heard)
    status = _serve(channel, serve)
    if terminated and status == 0:
        status = EXIT_TERM
    channel.close()
    logging.shutdown()
    sys.stderr.flush()
    # Not sys.exit: the teardown of native libraries is where they like to crash, and by now
    # there is nothing left that it could do for anyone.
    os._exit(status)


def _serve(channel: Channel, serve: Serve) -> int:
    try:
        config = channel.handshake()
    except ServiceUnavailable as problem:
        # Not a failure to be set up: a supervisor that was stopped or busy may answer the next one.
        channel.log.error("%s", problem)
        return 0 if channel.stopping else 1
    try:
        serve(channel, config)
    except ThothError as problem:
        channel.log.error("%s", problem)
        if channel.was_ready:
            # It was set up. If its successor cannot be, that one says why.
            return 1
        channel.send(Message("failed", body=problem.to_dict()))
        return EXIT_BOOT
    except Exception:
        channel.log.exception("the worker ends by a defect of its own")
        return 1
    return 0
