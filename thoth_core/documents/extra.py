"""What is said of a file whose parser is not installed."""

from __future__ import annotations

from thoth_core.errors import InvalidInput


def not_installed(library: str, what: str) -> InvalidInput:
    """The error for a file of ``what``, which ``library`` reads."""
    return InvalidInput(
        f"{what} cannot be read here",
        reason=f"{library}, which reads {what}, is not installed",
        fix='pip install "thoth-core[documents]"',
    )
