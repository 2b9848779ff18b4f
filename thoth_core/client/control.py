"""One question to the supervisor's ``control`` socket, and its answer.

Control never waits behind work: the supervisor answers it while its queues are full.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from thoth_core.client.locate import control_path, listening, lock_path
from thoth_core.errors import ServiceUnavailable
from thoth_core.interruptible import LOOK
from thoth_core.locks import holder

if TYPE_CHECKING:
    from thoth_core.settings import Settings


def not_running(settings: Settings) -> ServiceUnavailable:
    """The error that says that there is no service for this data directory."""
    return ServiceUnavailable(
        "no service is running for this data directory",
        cause=f"nothing listens in {settings.service_dir} (data directory {settings.data_dir})",
        fix="thoth-supervisor start",
    )


def not_answering(settings: Settings, seconds: float) -> ServiceUnavailable:
    """The error for a service that is there and says nothing."""
    pid = holder(lock_path(settings))
    who = f"process {pid}" if pid else "a process"
    return ServiceUnavailable(
        f"the service does not answer (waited {seconds:.0f} s)",
        cause=f"{who} holds the service of {settings.data_dir} but is stopped, stuck or starting",
        fix=f"kill -9 {pid}; thoth-supervisor start" if pid else "thoth-supervisor status",
        pid=pid,
    )


def control(
    settings: Settings,
    kind: str,
    body: Mapping[str, Any] | None = None,
    timeout: float = 5.0,
) -> dict[str, Any]:
    """Ask ``kind`` on the control socket and return the body of the answer.

    Raises :class:`ServiceUnavailable` at once if nobody listens, and after ``timeout`` seconds if
    no answer came or the service ended before it answered; an error that the service answers
    with is raised as it is.
    """
    path = control_path(settings)
    if not listening(path):
        raise not_running(settings)
    return _ask(settings, kind, dict(body or {}), timeout)


def _ask(settings: Settings, kind: str, body: dict[str, Any], timeout: float) -> dict[str, Any]:
    # Imported here: the probe above answers most questions of a stopped service without ZeroMQ.
    from thoth_core import sockets, wire
    from thoth_core.ids import new_request_id

    id = new_request_id()
    frames = wire.encode(wire.Message(kind, id, body=body))
    ctx = sockets.context()
    socket = monitor = None
    try:
        socket = sockets.dealer(ctx, control_path(settings), f"control-{id}".encode())
        monitor = sockets.disconnects(socket)
        poller = sockets.poller()
        poller.register(socket, sockets.POLLIN | sockets.POLLOUT)
        poller.register(monitor, sockets.POLLIN)
        end = time.monotonic() + timeout
        while True:
            left = end - time.monotonic()
            if left <= 0:
                raise not_answering(settings, timeout)
            events = dict(poller.poll(math.ceil(min(left, LOOK) * 1000)))
            if (
                events.get(socket, 0) & sockets.POLLOUT
                and sockets.send(socket, frames) is sockets.Sent.SENT
            ):
                poller.register(socket, sockets.POLLIN)
            # Always looked at before the monitor's word counts: the answer to ``stop`` and the end
            # of the connection come in one breath.
            while (got := sockets.receive(socket)) is not None:
                answer = wire.decode(got)
                if answer.id == id and answer.kind in ("result", "pong", "error"):
                    return dict(wire.raise_if_error(answer).body)
            if monitor in events:
                raise not_running(settings)
    finally:
        if socket is not None:
            if monitor is not None:
                socket.disable_monitor()
                sockets.close(monitor)
            sockets.close(socket)
        ctx.term()
