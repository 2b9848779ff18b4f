"""Sentence-transformers models on OpenVINO: the engine for CPUs.

It computes the same vectors as torch in a fraction of the time, and a worker is ready in a fraction
of the time too, because it loads neither torch nor the model's own files but what
:mod:`embed_worker.conversion` made of them, once.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from embed_worker import hub
from embed_worker.batching import Bounds, unit_tokens
from embed_worker.engines.base import Credit, Embedded, EngineInfo, Options, Progress
from embed_worker.engines.converted_model import (
    LEAST_COSINE,
    PROBE,
    TOKENIZER,
    Description,
)
from embed_worker.engines.id_rows import IdRows, plain_tokenizer
from embed_worker.engines.openvino_run import Graph, has_bf16
from embed_worker.engines.rows import embed_rows
from embed_worker.engines.token_rows import PURPOSES
from embed_worker.model_cache import ModelCache, NotConverted, cache_root
from embed_worker.models import FoundModel, find_model
from embed_worker.windows import LongTexts
from thoth_core.errors import SettingsError

#: Bounds of a call: tokens, and tokens of padding that cost about as much as a call does.
CALL_TOKENS, CALL_PADDING = 1024, 32
#: Rows and tokens a row of the batch that is timed before the first work.
WARM_UP = (4, 128)


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
    ) -> None:
        self._dimension = description.dimension
        self._bounds = Bounds(options.batch_size, CALL_TOKENS, CALL_PADDING)
        tokenizer = plain_tokenizer(str(folder / TOKENIZER))
        self._rows = {name: IdRows(tokenizer, description, name) for name in PURPOSES}
        sizes = [rows.size for rows in self._rows.values() if rows.size is not None]
        self._rule = LongTexts(options.long_text, min(sizes, default=None))
        self._graph = Graph(folder, precision, options.threads)
        self._compare(description, precision)
        speed = self._warm_up()
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
            credit=Credit(units=2, items=min(64, options.batch_size), tokens=unit_tokens(speed)),
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
        """One text as it was embedded when the model was converted: files do rot."""
        rows = self._rows["document"]
        [ids] = rows.tokenise([PROBE])
        [vector] = self._graph.run(rows.features([rows.row(ids, 0, rows.count(ids))]))
        cosine = float(vector @ np.array(description.probe, dtype=np.float32))
        if not cosine >= LEAST_COSINE[precision]:
            raise WrongVectors(f"the cosine of the probe is {cosine:.6f} in {precision}")

    def _warm_up(self) -> float:
        """Run a batch twice: the tokens a second of the second run. The first one pays for memory,
        which the first real unit then does not."""
        count, length = WARM_UP
        if self._rule.size is not None:
            length = min(length, self._rule.size)
        rows = self._rows["document"]
        cut = [rows.row(ids, 0, length) for ids in rows.tokenise(["word " * length] * count)]
        seconds = 0.0
        for _ in range(2):
            began = time.perf_counter()
            self._graph.run(rows.features(cut))
            seconds = time.perf_counter() - began
        return sum(len(row) for row in cut) / max(seconds, 1e-6)


def load(
    options: Options, log: logging.Logger, environ: Mapping[str, str] = os.environ
) -> OpenVinoEngine:
    """The engine for a local model, warmed up; the model is converted if it was not yet.

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
    cache = ModelCache(cache_root(environ), log)
    for last in (False, True):
        folder, description = cache.get(found)
        precision = _precision(wanted, description, log)
        try:
            return OpenVinoEngine(folder, description, precision, found, options)
        except SettingsError:
            raise
        except Exception as problem:
            log.warning("the converted model in %s cannot be used: %s", folder, problem)
            cache.drop(found)
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
