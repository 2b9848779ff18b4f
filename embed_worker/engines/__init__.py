"""The engines, chosen by the name of the model and by what this machine has."""

from __future__ import annotations

import logging
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from embed_worker.engines.base import Engine, Options
from thoth_core.errors import SettingsError

_NVIDIA = Path("/dev/nvidiactl")


def load_engine(options: Options, log: logging.Logger) -> Engine:
    """The engine for ``options.model``, ready to work.

    Each is imported only here and only when it is chosen, because its libraries are large. Raises
    a :class:`~thoth_core.errors.ThothError` that says why it cannot be had.
    """
    if options.model.startswith("fake/"):
        from embed_worker.engines import fake

        return fake.load(options)
    if options.engine != "sentence_transformers" and not _on_gpu(options.device):
        from embed_worker.model_cache import NotConverted

        try:
            from embed_worker.engines import openvino

            return openvino.load(options, log)
        except (ImportError, NotConverted) as problem:
            if options.engine == "openvino":
                raise SettingsError(
                    f"THOTH_ENGINE is openvino, which cannot compute {options.model}",
                    cause=str(problem),
                    fix="THOTH_ENGINE=auto",
                ) from problem
            log.warning("torch computes %s, several times slower: %s", options.model, problem)
    from embed_worker.engines import sentence_transformers

    return sentence_transformers.load(options, log)


def _on_gpu(device: str) -> bool:
    """Whether torch is to look for a GPU. Known without torch, which takes seconds to load."""
    if device != "auto":
        return device != "cpu"
    try:
        return _NVIDIA.exists() and "+cpu" not in version("torch")
    except PackageNotFoundError:
        return False
