"""The ways of embedding that are compared: ``python -m benchmarks.speed_peers NAME`` is one of
them, as :mod:`benchmarks.peer` says. What a library reads of its environment when it is loaded is
set before that.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.peer import Work, answer, model_folder, one_thread
from benchmarks.speed_texts import MODEL

OURS, ALONE, ONNX = "Thoth", "engine alone", "ONNX Runtime"
DEFAULTS, SAFE = "sentence-transformers", "sentence-transformers, safe"
#: Peers of which there is a process a core.
SHARED = (ONNX, ALONE)


def sentence_transformers_default() -> Work:
    """As its documentation shows it: all cores, batches of 32."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(model_folder(), device="cpu")
    return lambda texts: model.encode(list(texts), normalize_embeddings=True)


def sentence_transformers_safe() -> Work:
    """As those do it whose process used to crash: one thread, batches of 8."""
    one_thread()
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(model_folder(), device="cpu")
    return lambda texts: model.encode(list(texts), normalize_embeddings=True, batch_size=8)


def onnx_runtime() -> Work:
    """One thread of ONNX Runtime in fp32, as a careful user of it would: the graph with its fused
    operators (:mod:`benchmarks.speed_onnx`), and calls of few tokens and nearly no padding, which
    were the fastest of those tried."""
    import numpy as np
    import onnxruntime

    from embed_worker.batching import Bounds, form_batches
    from embed_worker.engines.id_rows import plain_tokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        os.environ["BENCH_ONNX"], options, providers=["CPUExecutionProvider"]
    )
    tokenizer = plain_tokenizer(model_folder() + "/tokenizer.json")
    tokenizer.enable_truncation(256)
    bounds = Bounds(items=64, tokens=512, padding=16)

    def embed(texts: Sequence[str]) -> Any:
        rows = [each.ids for each in tokenizer.encode_batch(list(texts))]
        vectors = np.empty((len(rows), 384), np.float32)
        for batch in form_batches([len(row) for row in rows], bounds):
            longest = max(len(rows[i]) for i in batch)
            ids = np.zeros((len(batch), longest), np.int64)
            mask = np.zeros_like(ids)
            for place, i in enumerate(batch):
                ids[place, : len(rows[i])] = rows[i]
                mask[place, : len(rows[i])] = 1
            given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            vectors[batch] = session.run(None, given)[0]
        return vectors

    return embed


def engine() -> Work:
    """The service's own engine on its own units, without a service."""
    import numpy as np

    from embed_worker.engines import load_engine
    from embed_worker.engines.base import Options
    from thoth_core.supervisor.units import estimate_tokens, form_units

    loaded = load_engine(Options(MODEL), logging.getLogger("bench"))
    credit = loaded.info.credit

    def embed(texts: Sequence[str]) -> Any:
        vectors = np.empty((len(texts), loaded.info.dimension), np.float32)
        units = form_units([estimate_tokens(text) for text in texts], credit.items, credit.tokens)
        for unit in units:
            made = loaded.embed([texts[i] for i in unit], "document", lambda: None)
            vectors[unit] = made.vectors
        return vectors

    return embed


def thoth() -> Work:
    """A client of the service that the environment names."""
    from thoth_core import Thoth

    client = Thoth(autostart=False)
    return client.embed


PEERS: dict[str, Callable[[], Work]] = {
    DEFAULTS: sentence_transformers_default,
    SAFE: sentence_transformers_safe,
    ONNX: onnx_runtime,
    ALONE: engine,
    OURS: thoth,
}


if __name__ == "__main__":
    answer(PEERS)
