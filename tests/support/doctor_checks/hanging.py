"""Something that does not answer."""

from __future__ import annotations

import threading

from thoth_core.doctor.context import Context
from thoth_core.doctor.result import Result, ok


def check(context: Context) -> Result:
    del context
    threading.Event().wait()
    return ok("not reached")
