"""Sentence-transformers models on OpenVINO: the engine for CPUs.

It computes the same vectors as torch in a fraction of the time, and a worker is ready in a fraction
of the time too, because it loads neither torch nor the model's own files but what
:mod:`embed_worker.conversion` made of them, once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from embed_worker import hub
from embed_worker.batching import Bounds, unit_tokens
from embed_worker.calibration import Shape
from embed_worker.engines.base import Credit, Embedded, EngineInfo, Options, Progress
from embed_worker.engines.calibrated import calibrated
from embed_worker.engines.converted_model import (
    LEAST_COSINE,
    PROBE,
    TOKENIZER,
    Description,
)
from embed_worker.engines.id_rows import IdRows, plain_tokenizer
from embed_worker.engines.openvino_run import Graph, has_bf16
from embed_worker.engines.rows import embed_rows, padded
from embed_worker.engines.token_rows import PURPOSES
from embed_worker.model_cache import ModelCache, NotConverted, cache_root, for_want_of_memory
from embed_worker.models import FoundModel, find_model
from embed_worker.windows import LongTexts
from thoth_core.errors import SettingsError

#: The speed that is measured is that of one worker alone on a machine that does nothing else; units
#: are made for this part of it.
BUSY = 0.75


class WrongVectors(Exception):
    """The files of the converted model do not compute what they did when they were made."""


class OpenVinoEngine:
    """See the module. Not for several threads at once."""

    def __init__(
        self,
        folder: Path,
        description: Description,
        precision: str,
        found: FoundModel,
        options: Options,
        log: logging.Logger,
    ) -> None:
        #: Of the converted model.
        self.folder = folder
        self._dimension = description.dimension
        self._description = description
        tokenizer = plain_tokenizer(str(folder / TOKENIZER))
        self._graph = Graph(folder, precision, options.threads, log)
        measured = calibrated(
            folder,
            precision,
            options.threads,
            description.limit,
            _calls(self._graph, tokenizer, description),
            log,
        )
        self._bounds = Bounds(options.batch_size, measured.tokens, measured.padding, measured.align)
        self._rows = {
            name: IdRows(tokenizer, description, name, measured.align) for name in PURPOSES
        }
        sizes = [rows.size for rows in self._rows.values() if rows.size is not None]
        self._rule = LongTexts(options.long_text, min(sizes, default=None))
        self._compare(description, precision)
        prompts = {name: frame.prompt for name, frame in description.frames.items()}
        self._info = EngineInfo(
            name=found.name,
            weights=found.weights,
            dimension=description.dimension,
            normalized=True,
            prompt=prompts if any(prompts.values()) else None,
            long_text=self._rule.describe(),
            max_tokens=self._rule.size,
            precision=precision,
            credit=Credit(
                units=2,
                items=min(64, options.batch_size),
                tokens=unit_tokens(BUSY * measured.speed),
            ),
            versions={
                "engine": "openvino",
                "openvino": version("openvino"),
                "tokenizers": version("tokenizers"),
            },
        )

    @property
    def info(self) -> EngineInfo:
        return self._info

    def threads(self) -> dict[str, int]:
        return {"openvino": self._graph.threads()}

    def embed(self, texts: Sequence[str], purpose: str, progress: Progress) -> Embedded:
        rows = self._rows[purpose]
        return embed_rows(
            texts, rows, self._rule, self._bounds, self._dimension, self._graph.run, progress
        )

    def _compare(self, description: Description, precision: str) -> None:
        """One text as it was embedded when the model was converted: files do rot. And one as short
        as a query, so that the first of those does not wait for kernels to be made."""
        made = self.embed([PROBE], "document", lambda: None).vectors[0]
        cosine = float(made @ np.array(description.probe, dtype=np.float32))
        if not cosine >= LEAST_COSINE[precision]:
            raise WrongVectors(f"the cosine of the probe is {cosine:.6f} in {precision}")
        self.embed(["a query"], "query", lambda: None)


def _calls(graph: Graph, tokenizer: Any, description: Description) -> Callable[[Shape], object]:
    """Makes one call of a shape."""
    words = tokenizer.encode(PROBE, add_special_tokens=False).ids
    names = frozenset(description.inputs)

    def call(shape: Shape) -> object:
        rows, length = shape
        row = (words * length)[:length]
        return graph.run(padded([row] * rows, names, description.pad, description.left))

    return call


def load(
    options: Options,
    log: logging.Logger,
    environ: Mapping[str, str] = os.environ,
    doing: Callable[[str], None] = lambda what: None,
) -> OpenVinoEngine:
    """The engine for a local model, warmed up; the model is converted if it was not yet, which
    ``doing`` is told.

    Raises :class:`NotConverted` when torch has to compute it, :class:`ModelNotFound` when it is
    nowhere, and :class:`SettingsError` for a precision that this machine does not have.
    """
    wanted = "fp32" if options.precision == "float32" else options.precision
    if wanted == "fp16":
        raise SettingsError(
            "THOTH_PRECISION is fp16, which no processor computes faster than fp32",
            fix="THOTH_PRECISION=auto",
        )
    if wanted == "bf16" and not has_bf16():
        raise SettingsError(
            "THOTH_PRECISION is bf16, and this processor has no bfloat16",
            fix="THOTH_PRECISION=auto",
        )
    found = find_model(options.model, lambda name: hub.fetch(name, environ), environ)
    log.info("model %s from %s: %s", found.name, found.place, found.folder)
    cache = ModelCache(cache_root(environ), log, doing)
    for last in (False, True):
        folder, description = cache.get(found)
        precision = _precision(wanted, description, log)
        try:
            return OpenVinoEngine(folder, description, precision, found, options, log)
        except SettingsError:
            raise
        except Exception as problem:
            if for_want_of_memory(problem):
                raise
            log.warning("the converted model in %s cannot be used: %s", folder, problem)
            cache.drop(folder)
            if last:
                raise NotConverted(f"{type(problem).__name__}: {problem}") from problem
    raise AssertionError


def _precision(wanted: str, description: Description, log: logging.Logger) -> str:
    """What is computed in: bf16 where the processor has it and the vectors are near enough."""
    if wanted == "fp32" or (wanted == "auto" and not has_bf16()):
        return "fp32"
    cosine = description.cosines.get("bf16")
    if cosine is not None and cosine >= LEAST_COSINE["bf16"]:
        return "bf16"
    said = "was not tried when it was converted" if cosine is None else f"has a cosine of {cosine}"
    if wanted == "bf16":
        raise SettingsError(
            "THOTH_PRECISION is bf16, which does not do for this model",
            cause=f"bf16 {said}, {LEAST_COSINE['bf16']} is the least",
            fix="THOTH_PRECISION=auto",
        )
    log.warning("computing in fp32: bf16 %s", said)
    return "fp32"
