"""The key and the address of a provider, by a request for one token."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from thoth_core.asking.failures import shown
from thoth_core.doctor.checks.model import enter_key
from thoth_core.doctor.context import Context
from thoth_core.doctor.result import Result, failed, ok, skipped, warn
from thoth_core.provider import OPENAI, is_local, is_openai, lacks_key
from thoth_core.provider_errors import QUOTA

SECONDS = 15.0


def check(context: Context) -> Result:
    if not context.openai:
        return skipped("not asked, because that costs a token: thoth doctor --openai")
    settings = context.settings
    embeds = is_openai(settings.embedding_model)
    name = settings.embedding_model if embeds else settings.qa_model
    model, base = name.removeprefix(OPENAI), settings.openai_base_url
    lacking = lacks_key(f"{OPENAI}{model}", settings.openai_key, base)
    fix = enter_key(running=context.status is not None)
    if lacking:
        return failed(f"no key for {base}", lacking, fix=fix)
    path, body = _request(model, embeds)
    status, answer = _ask(f"{base}{path}", body, settings.openai_key, local=is_local(base))
    error = answer.get("error")
    error = error if isinstance(error, Mapping) else {}
    said = shown(str(error.get("message") or answer.get("said") or ""), settings.openai_key)
    seen = f"{base} was asked for one token of {model}"
    details: dict[str, Any] = {"status": status, "model": model, "base_url": base}
    if status == 200:
        used = (answer.get("usage") or {}).get("total_tokens")
        return ok(f"{seen} and gave it ({used} used)", **details)
    if status == 0:
        return failed(
            f"nothing answers at {base}",
            said,
            fix="unset OPENAI_BASE_URL" if settings.origin("openai_base_url") != "default" else "",
            **details,
        )
    if str(error.get("code") or error.get("type")) in QUOTA or status == 402:
        return failed(
            f"{seen}: the account has no quota left",
            said,
            fix="see to the plan and the billing of the account: https://platform.openai.com/account",
            **details,
        )
    if status in (401, 403):
        origin = settings.origin("openai_key")
        return failed(
            f"{seen} and refuses the key (from {origin})",
            said or f"it answered {status}",
            fix=fix,
            **details,
        )
    if status == 429 or status >= 500:
        return warn(f"{seen} and answered {status}", said, fix="thoth doctor --openai", **details)
    which = "RAG_EMBEDDING_MODEL" if embeds else "RAG_QA_MODEL"
    return failed(
        f"{seen} and answered {status}",
        said or f"see {which} and OPENAI_BASE_URL",
        fix="thoth config show",
        **details,
    )


def _request(model: str, embeds: bool) -> tuple[str, dict[str, Any]]:
    if embeds:
        return "/embeddings", {"model": model, "input": "a"}
    message = {"role": "user", "content": "a"}
    return "/chat/completions", {"model": model, "messages": [message], "max_tokens": 1}


def _ask(url: str, body: Mapping[str, Any], key: str, *, local: bool) -> tuple[int, dict[str, Any]]:
    """The status, 0 if nothing answered, and the answer; ``said`` in it is why there is none."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key or 'none'}"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    # The environment's proxy is for other machines.
    proxies = [urllib.request.ProxyHandler({})] if local else []
    opener = urllib.request.build_opener(*proxies)
    try:
        with opener.open(request, timeout=SECONDS) as response:
            return int(response.status), _parsed(response.read(1 << 20))
    except urllib.error.HTTPError as problem:
        with problem:
            return problem.code, _parsed(problem.read(1 << 20))
    except OSError as problem:
        reason = getattr(problem, "reason", problem)
        return 0, {"said": str(reason)}


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except ValueError:
        return {"said": raw[:200].decode("utf-8", "replace")}
    return value if isinstance(value, dict) else {}
