"""Native code that crashes."""

from __future__ import annotations

import ctypes

from thoth_core.doctor.context import Context
from thoth_core.doctor.result import Result, ok


def check(context: Context) -> Result:
    del context
    ctypes.string_at(0)
    return ok("not reached")
