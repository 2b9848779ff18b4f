"""Which models are a provider's, asked for over the network. Pure."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

#: Before the names of models that are asked of OpenAI, or of a server that speaks its protocol.
OPENAI = "openai/"


def is_openai(model: str) -> bool:
    """Whether this model is one of OpenAI's, or of a server at ``OPENAI_BASE_URL``."""
    return model.startswith(OPENAI)


def needs_key(base_url: str) -> bool:
    """Whether the server there answers nobody without a key: OpenAI's own. Another one may."""
    return "api.openai.com" in base_url


def is_local(base_url: str) -> bool:
    """Whether the address is this machine's own, where no proxy belongs in between."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def lacks_key(model: str, key: str, base_url: str) -> str:
    """What is to be said where ``model`` needs a key and there is none, else "": the rest works."""
    if key or not is_openai(model) or not needs_key(base_url):
        return ""
    return (
        f"there is no key for {model}, so nothing can be embedded: set API_OPENAI_KEY (in .env, "
        "say), then: thoth-supervisor reload"
    )
