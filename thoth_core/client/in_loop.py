"""Callbacks of work that goes on in a thread, called in the event loop of whoever awaits it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import ParamSpec

P = ParamSpec("P")


def in_loop(call: Callable[P, object] | None) -> Callable[P, None] | None:
    """``call``, to be called from any thread and carried out in the loop that runs now; None stays
    None."""
    if call is None:
        return None
    loop, wanted = asyncio.get_running_loop(), call

    def post(*args: P.args, **kwargs: P.kwargs) -> None:
        loop.call_soon_threadsafe(partial(wanted, *args, **kwargs))

    return post
