"""Sentence-transformers models on torch: one process a GPU, and on the CPU one a core.

Tokenising is done once, here, and the model is given token ids: so texts can be counted, put into
batches by their real length, and cut into windows without tokenising substrings again. At load the
ids made here are compared with those that the library makes; a model whose tokenising cannot be
reproduced goes through the library's own, which only rules out windows.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from embed_worker import hub
from embed_worker.batching import Bounds, unit_tokens
from embed_worker.conversion import PROBES
from embed_worker.engines import cuda
from embed_worker.engines.base import Credit, Embedded, EngineInfo, Options, Progress, Vectors
from embed_worker.engines.half_precision import choose, computing
from embed_worker.engines.memory_room import Room, in_parts
from embed_worker.engines.rows import embed_rows
from embed_worker.engines.token_rows import PURPOSES, TokenRows, prompts_of
from embed_worker.models import FoundModel, find_model
from embed_worker.windows import LongTexts
from thoth_core.devices import CPU
from thoth_core.errors import MissingDependency, ModelNotFound, SettingsError, ThothError
from thoth_core.wire import MAX_TEXTS

#: Measured with all-MiniLM-L6-v2, one thread: 3,300 tokens a second from 300 tokens a call on, no
#: more with 4,000; and a call costs as much as 32 tokens do.
CPU_TOKENS, CPU_PADDING = 1024, 32
#: A GPU wants all that it is given, and computes padding nearly for nothing.
GPU_TOKENS, GPU_PADDING = 32_768, 8_192
#: Of a unit: tokens, and bytes of vectors, which travel in one message.
GPU_UNIT_TOKENS, UNIT_BYTES = 262_144, 16 * 1024 * 1024
#: Rows and tokens a row of the batch that is timed before the first work.
WARM_UP, GPU_WARM_UP = (4, 128), (128, 128)


class SentenceTransformersEngine:
    """See the module. Not for several threads at once."""

    def __init__(
        self,
        model: Any,
        found: FoundModel,
        options: Options,
        log: logging.Logger,
        precision: str = "fp32",
    ) -> None:
        """``model`` is one that :func:`~embed_worker.engines.half_precision.choose` gave with this
        precision."""
        import torch

        self._torch = torch
        self._model = model
        self._log = log
        self._device = str(model.device)
        self._precision = precision
        self._gpu = self._device != CPU
        self._bounds = Bounds(
            options.batch_size,
            GPU_TOKENS if self._gpu else CPU_TOKENS,
            GPU_PADDING if self._gpu else CPU_PADDING,
        )
        self._room = Room(self._bounds.tokens)
        prompts = prompts_of(model.prompts)
        self._rows = {purpose: TokenRows(model, prompts[purpose]) for purpose in PURPOSES}
        sizes = [rows.size for rows in self._rows.values() if rows.size is not None]
        self._rule = LongTexts(options.long_text, min(sizes, default=None))
        if options.long_text != "truncate" and self._rule.size is not None:
            for rows in self._rows.values():
                _require_ids(found.name, rows)
        dimension, speed = self._warm_up()
        self._info = EngineInfo(
            name=found.name,
            weights=found.weights,
            dimension=dimension,
            normalized=True,
            prompt=prompts if any(prompts.values()) else None,
            long_text=self._rule.describe(),
            max_tokens=self._rule.size,
            precision=precision,
            credit=gpu_credit(speed, dimension)
            if self._gpu
            else Credit(units=2, items=min(64, options.batch_size), tokens=unit_tokens(speed)),
            versions={
                "engine": "sentence_transformers",
                **{name: version(name) for name in _PACKAGES},
                **cuda.versions(torch, self._device),
            },
        )

    @property
    def info(self) -> EngineInfo:
        return self._info

    def threads(self) -> dict[str, int]:
        return {
            "torch": int(self._torch.get_num_threads()),
            "torch_interop": int(self._torch.get_num_interop_threads()),
        }

    def embed(self, texts: Sequence[str], purpose: str, progress: Progress) -> Embedded:
        dimension = self._info.dimension
        rows = self._rows[purpose]
        # What memory has refused is not put together again.
        bounds = replace(self._bounds, tokens=min(self._bounds.tokens, self._room.tokens))
        return embed_rows(texts, rows, self._rule, bounds, dimension, self._run, progress)

    def _run(self, features: dict[str, Any]) -> Vectors:
        """Unit vectors of the rows in ``features``, as ``encode(normalize_embeddings=True)``
        makes them, in as many calls as memory wants."""
        tensors = [v for v in features.values() if isinstance(v, self._torch.Tensor)]
        shapes = {tuple(tensor.shape) for tensor in tensors}
        # A row a text; some models want all texts in one row, which cannot be taken apart here.
        count, longest = shapes.pop() if {len(shape) for shape in shapes} == {2} else (1, 1)
        if any(shape[0] != count for shape in shapes):
            count = 1

        def some(start: int, end: int) -> Vectors:
            part: Mapping[str, Any] = features
            if (start, end) != (0, count):
                part = {
                    name: value[start:end] if isinstance(value, self._torch.Tensor) else value
                    for name, value in features.items()
                }
            return unit_vectors(self._torch, self._model, part, self._device, self._precision)

        return in_parts(count, longest, self._room, some, self._ran_out)

    def _ran_out(self, problem: Exception) -> bool:
        """Whether a call failed for want of memory. One after which the device is lost ends the
        process, because it could do nothing more than fail: what it was at is tried elsewhere."""
        if cuda.is_out_of_memory(self._torch, problem):
            self._log.warning(
                "%s has no memory for a call: %s", self._device, cuda.first_line(problem)
            )
            return True
        if self._gpu and cuda.is_lost(self._torch, self._device):
            self._log.critical("%s is lost: %s", self._device, cuda.first_line(problem))
            os.abort()
        return False

    def _warm_up(self) -> tuple[int, float]:
        """Run a batch twice: the dimension, and the tokens a second of the second run. The first
        one pays for memory and kernels, which the first real unit then does not."""
        count, length = GPU_WARM_UP if self._gpu else WARM_UP
        count = min(count, self._bounds.items)
        if self._rule.size is not None:
            length = min(length, self._rule.size)
        texts = ["word " * length] * count
        rows = self._rows["document"]
        cut = [rows.row(ids, 0, length) for ids in rows.tokenise(texts)]
        seconds = 0.0
        for _ in range(2):
            features = rows.features(cut) if rows.reproducible else rows.library_features(texts)
            began = time.perf_counter()
            vectors = self._run(features)
            seconds = time.perf_counter() - began
        return int(vectors.shape[1]), sum(len(row) for row in cut) / max(seconds, 1e-6)


def unit_vectors(
    torch: Any, model: Any, features: Mapping[str, Any], device: str, precision: str
) -> Vectors:
    """One call of the model, float32 (rows, dimension). What comes after it is done in fp32."""
    with torch.inference_mode(), computing(torch, device, precision):
        placed = {
            name: value.to(device) if isinstance(value, torch.Tensor) else value
            for name, value in features.items()
        }
        out = model(placed)["sentence_embedding"].float()
        if model.truncate_dim is not None:
            out = out[..., : model.truncate_dim]
        unit = torch.nn.functional.normalize(out, p=2, dim=1)
        vectors: Vectors = unit.float().cpu().numpy()
    return vectors


def gpu_credit(speed: float, dimension: int) -> Credit:
    """Units for a GPU of this many tokens a second: of all the texts that a call can have, if they
    are short, and no larger than one message can carry."""
    items = max(1, min(MAX_TEXTS, UNIT_BYTES // (4 * dimension)))
    return Credit(units=2, items=items, tokens=unit_tokens(speed, most=GPU_UNIT_TOKENS))


_PACKAGES = ("sentence-transformers", "torch", "transformers", "tokenizers")


def load(
    options: Options, log: logging.Logger, environ: Mapping[str, str] = os.environ
) -> SentenceTransformersEngine:
    """The engine for a local model, warmed up.

    Raises :class:`ModelNotFound` when the model is nowhere or its files cannot be loaded,
    :class:`MissingDependency` without the libraries, :class:`SettingsError` for a device or a
    precision that cannot be had.
    """
    place = options.place or cuda.wanted(options)
    wanted = "fp32" if options.precision == "float32" else options.precision
    if wanted not in ("auto", "fp32", "bf16", "fp16") or (wanted == "fp16" and place == CPU):
        raise SettingsError(
            f"THOTH_PRECISION is {wanted}, which no processor computes faster than fp32",
            fix="THOTH_PRECISION=auto",
        )
    found = find_model(options.model, lambda name: hub.fetch(name, environ), environ)
    log.info("model %s from %s: %s", found.name, found.place, found.folder)
    if not options.trust_remote_code:
        # All files are here. Without this, libraries ask the hub about them all the same.
        os.environ["HF_HUB_OFFLINE"] = "1"
    with warnings.catch_warnings():
        # About the libraries' own code, and not ours to mend; the log is for what is.
        warnings.simplefilter("ignore")
        try:
            import sentence_transformers
            import torch
            import transformers
        except ImportError as problem:
            raise MissingDependency(
                f"the package {problem.name} is not installed",
                cause=f"the model {options.model} needs it",
                fix='pip install "thoth-core[service]"',
            ) from problem
        talk: Any = transformers.utils.logging
        talk.set_verbosity_error()
        talk.disable_progress_bar()
        logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
        _set_threads(torch, options.threads)
        # On the CPU bf16 only for who asks for it: there OpenVINO is for speed.
        device = CPU
        fast: tuple[str, ...] = ()
        if place != CPU:
            device = cuda.there(torch, place, options, log)
            fast = cuda.half_precisions(torch, device)
        try:
            model = sentence_transformers.SentenceTransformer(
                str(found.folder),
                device=device,
                trust_remote_code=options.trust_remote_code,
                local_files_only=not options.trust_remote_code,
            )
            model.eval()

            def probed(model: Any, precision: str) -> Vectors:
                features = model.preprocess(list(PROBES))
                return unit_vectors(torch, model, features, device, precision)

            model, precision = choose(model, wanted, fast, probed, log)
            return SentenceTransformersEngine(model, found, options, log, precision)
        except ThothError:
            raise
        except Exception as problem:
            if device != CPU and cuda.is_out_of_memory(torch, problem):
                raise cuda.NoSuchDevice(
                    f"the memory of {device} does not do for {options.model}",
                    cause=cuda.first_line(problem),
                    fix="THOTH_DEVICE=cpu",
                ) from problem
            # Whatever the libraries say about files that they cannot use, it is one thing to the
            # user; the log has the traceback.
            log.exception("the model in %s cannot be loaded", found.folder)
            raise _cannot_load(found, options, problem) from problem


def _set_threads(torch: Any, threads: int) -> None:
    torch.set_num_threads(threads)
    if torch.get_num_interop_threads() != 1:
        # Refused once work has begun in this process; READY reports what is really used.
        with contextlib.suppress(RuntimeError):
            torch.set_num_interop_threads(1)


def _require_ids(name: str, rows: TokenRows) -> None:
    if not rows.reproducible:
        raise SettingsError(
            f"{name} tokenises in a way that texts cannot be counted or cut into windows in",
            cause=rows.difference,
            fix="THOTH_LONG_TEXT=truncate",
        )


def _cannot_load(found: FoundModel, options: Options, problem: Exception) -> ModelNotFound:
    first = (str(problem).strip().splitlines() or [""])[0][:300]
    remote = "trust_remote_code" in str(problem) and not options.trust_remote_code
    return ModelNotFound(
        f"the model in {found.folder} cannot be loaded",
        cause="it brings code of its own, which is not run unless you allow it"
        if remote
        else f"{type(problem).__name__}: {first}",
        fix="THOTH_TRUST_REMOTE_CODE=1, if you trust its authors"
        if remote
        else "set RAG_EMBEDDING_MODEL to a folder that SentenceTransformer.save() made",
    )
