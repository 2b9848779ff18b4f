"""What is known to be wrong before anything is asked. Loads nothing: a question that is refused
needs no package."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from thoth_core.asking.request import no_key
from thoth_core.errors import MissingDependency
from thoth_core.provider import needs_key

if TYPE_CHECKING:
    from thoth_core.settings import Settings


def check_ready(settings: Settings) -> None:
    """Raise what is known to be wrong before anything is asked: :class:`AuthenticationFailed`
    without a key for a server that wants one, :class:`MissingDependency` without the package."""
    if not settings.openai_key and needs_key(settings.openai_base_url):
        raise no_key(settings.openai_base_url)
    if find_spec("openai") is None:
        raise MissingDependency(
            "the package openai is not installed",
            cause="it speaks to chat servers, local ones too",
            fix="pip install 'thoth-core[openai]'",
        )
