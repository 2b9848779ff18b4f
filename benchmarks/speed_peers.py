"""One way of embedding, in a process of its own: ``python -m benchmarks.speed_peers NAME``.

It says ``{"ready": seconds}`` when it could answer, and then, for each line ``{"texts": [...]}``,
``{"seconds": …}``: what it took for all of them. With ``"npy"`` in the line it also writes their
vectors there. What a library reads of its environment when it is loaded is set before that.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

Embed = Callable[[Sequence[str]], Any]


def sentence_transformers_default() -> Embed:
    """As its documentation shows it: all cores, batches of 32."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(_folder(), device="cpu")
    return lambda texts: model.encode(list(texts), normalize_embeddings=True)


def sentence_transformers_safe() -> Embed:
    """As those do it whose process used to crash: one thread, batches of 8."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    model = SentenceTransformer(_folder(), device="cpu")
    return lambda texts: model.encode(list(texts), normalize_embeddings=True, batch_size=8)


def onnx_runtime() -> Embed:
    """One thread of ONNX Runtime in fp32, batches by length: what a careful user of it would do."""
    import numpy as np
    import onnxruntime

    from embed_worker.batching import Bounds, form_batches
    from embed_worker.engines.id_rows import plain_tokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        os.environ["BENCH_ONNX"], options, providers=["CPUExecutionProvider"]
    )
    tokenizer = plain_tokenizer(_folder() + "/tokenizer.json")
    tokenizer.enable_truncation(256)
    bounds = Bounds(64, 4096, 64)

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


def engine() -> Embed:
    """The service's own engine on its own units, without a service."""
    import numpy as np

    from embed_worker.engines import load_engine
    from embed_worker.engines.base import Options
    from thoth_core.supervisor.units import estimate_tokens, form_units

    loaded = load_engine(Options("all-MiniLM-L6-v2"), logging.getLogger("bench"))
    credit = loaded.info.credit

    def embed(texts: Sequence[str]) -> Any:
        vectors = np.empty((len(texts), loaded.info.dimension), np.float32)
        units = form_units([estimate_tokens(text) for text in texts], credit.items, credit.tokens)
        for unit in units:
            made = loaded.embed([texts[i] for i in unit], "document", lambda: None)
            vectors[unit] = made.vectors
        return vectors

    return embed


def thoth() -> Embed:
    """A client of the service that the environment names."""
    from thoth_core import Thoth

    client = Thoth(autostart=False)
    return client.embed


PEERS: dict[str, Callable[[], Embed]] = {
    "sentence-transformers": sentence_transformers_default,
    "sentence-transformers, safe": sentence_transformers_safe,
    "ONNX Runtime": onnx_runtime,
    "engine alone": engine,
    "Thoth": thoth,
}


def _folder() -> str:
    from embed_worker.models import find_model

    return str(find_model("all-MiniLM-L6-v2").folder)


def main() -> None:
    began = time.perf_counter()
    os.environ["HF_HUB_OFFLINE"] = "1"
    # What libraries print is not for whoever reads the lines.
    lines, sys.stdout = sys.stdout, sys.stderr
    warnings.simplefilter("ignore")
    embed = PEERS[sys.argv[1]]()
    embed(["a first text"])
    print(json.dumps({"ready": time.perf_counter() - began}), file=lines, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        start = time.perf_counter()
        vectors = embed(asked["texts"])
        seconds = time.perf_counter() - start
        if asked.get("npy"):
            import numpy as np

            np.save(asked["npy"], vectors)
        print(json.dumps({"seconds": seconds}), file=lines, flush=True)


if __name__ == "__main__":
    main()
