"""Which models are a provider's, asked for over the network. Pure."""

from __future__ import annotations

#: Before the names of models that are asked of OpenAI, or of a server that speaks its protocol.
OPENAI = "openai/"


def is_openai(model: str) -> bool:
    """Whether this model is one of OpenAI's, or of a server at ``OPENAI_BASE_URL``."""
    return model.startswith(OPENAI)


def needs_key(base_url: str) -> bool:
    """Whether the server there answers nobody without a key: OpenAI's own. Another one may."""
    return "api.openai.com" in base_url
