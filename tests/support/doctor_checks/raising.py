"""An error that nobody expected."""

from __future__ import annotations

from thoth_core.doctor.context import Context
from thoth_core.doctor.result import Result


def check(context: Context) -> Result:
    raise RuntimeError(f"nobody expected {context.settings.embedding_model}")
