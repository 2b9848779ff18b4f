"""The engines, chosen by the name of the model and by what this machine has."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from embed_worker.engines.base import Engine, Options
from thoth_core.devices import CPU
from thoth_core.errors import SettingsError


def load_engine(
    options: Options, log: logging.Logger, doing: Callable[[str], None] = lambda what: None
) -> Engine:
    """The engine for ``options.model``, ready to work. ``doing`` is told what takes long, and
    nothing ("") when that is over.

    Each is imported only here and only when it is chosen, because its libraries are large. Raises
    a :class:`~thoth_core.errors.ThothError` that says why it cannot be had.
    """
    if options.model.startswith("fake/"):
        from embed_worker.engines import fake

        return fake.load(options)
    from embed_worker.engines import cuda

    place = cuda.wanted(options)
    if place != CPU and options.engine == "openvino":
        raise SettingsError(
            f"THOTH_ENGINE is openvino, and THOTH_DEVICE is {options.device}",
            cause="OpenVINO computes on CPUs here",
            fix="THOTH_ENGINE=auto",
        )
    if place != CPU:
        from embed_worker.engines import sentence_transformers

        try:
            return sentence_transformers.load(replace(options, place=place), log)
        except cuda.NoSuchDevice as problem:
            if options.device != "auto":
                raise
            log.warning(
                "the CPU computes %s, though there is a GPU: %s; THOTH_DEVICE=cpu starts a worker "
                "a core for it",
                options.model,
                problem.cause,
            )
    return _on_cpu(replace(options, place=CPU), log, doing)


def _on_cpu(options: Options, log: logging.Logger, doing: Callable[[str], None]) -> Engine:
    if options.engine != "sentence_transformers":
        from embed_worker.model_cache import NotConverted

        try:
            from embed_worker.engines import openvino

            return openvino.load(options, log, doing=doing)
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
