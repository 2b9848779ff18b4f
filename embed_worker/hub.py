"""Models from the Hugging Face hub, asked last and for a bounded time."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from embed_worker.models import NotFetched

T = TypeVar("T")

#: Seconds to learn whether the hub is there and has the model.
ASK_SECONDS = 20.0
#: Seconds for the files. The supervisor ends a worker that loads for longer than ten minutes.
DOWNLOAD_SECONDS = 540.0
#: Other frameworks' copies of the same weights.
NOT_NEEDED = ["onnx/*", "openvino/*", "coreml/*", "*.onnx", "*.msgpack", "*.h5", "*.ot", "*.gguf"]


def is_offline(environ: Mapping[str, str]) -> str:
    """The variable that forbids the network; "" if none does."""
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if environ.get(variable, "").strip().upper() in ("1", "ON", "YES", "TRUE"):
            return variable
    return ""


def fetch(repository: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Download ``organisation/name`` into the local cache; the folder of its files.

    :class:`NotFetched` says why not: no network, no such model, no permission, out of time.
    """
    variable = is_offline(environ)
    if variable:
        raise NotFetched(f"not asked, because {variable} is set")
    # Read by the library when it is imported; its bars would fill the log.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        import huggingface_hub
    except ImportError as problem:
        raise NotFetched("not asked, because huggingface_hub is not installed") from problem
    api = huggingface_hub.HfApi()
    about: Any = within(ASK_SECONDS, lambda: api.model_info(repository, timeout=ASK_SECONDS / 2))
    names = [str(sibling.rfilename) for sibling in about.siblings or ()]
    ignored = list(NOT_NEEDED)
    if any(name.endswith(".safetensors") for name in names):
        ignored.append("*.bin")
    return Path(
        within(
            DOWNLOAD_SECONDS,
            lambda: str(
                huggingface_hub.snapshot_download(
                    repository, revision=about.sha, ignore_patterns=ignored
                )
            ),
        )
    )


def within(seconds: float, call: Callable[[], T]) -> T:
    """The result of ``call``; :class:`NotFetched` when it raises, or takes longer than ``seconds``.

    In a thread, because no timeout of an HTTP library covers looking a name up and slow bytes.
    One that is given up ends with the process, which ends soon: it has no model.
    """
    outcome: queue.SimpleQueue[tuple[T | None, Exception | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((call(), None))
        except Exception as problem:
            outcome.put((None, problem))

    threading.Thread(target=run, name="hub", daemon=True).start()
    try:
        value, problem = outcome.get(timeout=seconds)
    except queue.Empty:
        raise NotFetched(f"no answer in {seconds:.0f} seconds") from None
    if problem is not None:
        first = (str(problem).strip().splitlines() or [""])[0]
        raise NotFetched(f"{type(problem).__name__}: {first}") from problem
    return value  # type: ignore[return-value]
