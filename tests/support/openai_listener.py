"""The listening half of the test server: a thread a connection, none left when it is closed."""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Listener(ThreadingHTTPServer, Generic[T]):
    """On a free port of 127.0.0.1. ``owner`` is for the handler. What it raises, other than that
    a client went away, goes to ``problems``."""

    # Joined at server_close.
    daemon_threads = False
    request_queue_size = 128

    def __init__(
        self, handler: type[BaseHTTPRequestHandler], owner: T, problems: list[BaseException]
    ) -> None:
        self.owner = owner
        self._problems = problems
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """Wake the threads that wait for the next request of a connection that is kept."""
        with self._lock:
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        problem = sys.exception()
        if problem is not None and not isinstance(problem, OSError):
            self._problems.append(problem)
            super().handle_error(request, client_address)


def gone(connection: socket.socket) -> bool:
    """True if the client has closed its side: what is sent now reaches nobody."""
    if not select.select([connection], [], [], 0)[0]:
        return False
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except ConnectionError:
        return True
