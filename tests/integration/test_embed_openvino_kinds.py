"""Other kinds of models than the packaged one, small and random, against sentence-transformers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import pytest

from embed_worker.conversion import convert
from embed_worker.engines.base import Options, Vectors
from embed_worker.engines.converted_model import LEAST_COSINE, Description
from embed_worker.engines.openvino import OpenVinoEngine
from embed_worker.models import FoundModel, find_model
from tests.support.real_model import MODEL, embed, encode, least_cosine

LOG = logging.getLogger("test.embed")
pytestmark = pytest.mark.usefixtures("offline")
#: From one word to over the limit; 200 ids are many windows of near ids, and so is the padding that
#: the shortest has beside them. The words differ, or it would not matter which are attended to.
TEXTS = [
    "x",
    "a text of some more words than that one",
    "Ünï 東京",
    topics["context-managers"][:870],
    topics["specialnames"][:9000],
]
#: Ids that a ModernBERT's near layers attend to, half of them at each side.
WINDOW = 16
#: Wide enough that the vectors depend on what is attended to.
SIZE = {
    "vocab_size": 30522,
    "hidden_size": 48,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "initializer_range": 0.2,
}


@dataclass
class Made:
    """A model as it was converted, and what the library computed with it before: each of ``TEXTS``
    alone."""

    engine: OpenVinoEngine
    said: Description
    alone: Vectors


def config(kind: str) -> Any:
    import transformers

    if kind == "modernbert":
        ids = dict.fromkeys(("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"))
        return transformers.ModernBertConfig(
            **SIZE, **ids, num_hidden_layers=4, local_attention=WINDOW, pad_token_id=0
        )
    # Both count positions from behind the number of the padding, and have two more for that.
    made = {"mpnet": transformers.MPNetConfig, "roberta": transformers.RobertaConfig}[kind]
    return made(**SIZE, num_hidden_layers=2, max_position_embeddings=514, pad_token_id=1)


@pytest.fixture(scope="module", params=["mpnet", "roberta", "modernbert"])
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Made]:
    import torch
    import transformers
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    kind = request.param
    root = tmp_path_factory.mktemp(kind)
    tokenizer = transformers.AutoTokenizer.from_pretrained(find_model(MODEL).folder)
    tokenizer.pad_token = "[PAD]" if kind == "modernbert" else "[unused0]"
    tokenizer.model_max_length = 512
    base, saved, folder = root / "base", root / "saved", root / "converted"
    torch.manual_seed(1)
    transformers.AutoModel.from_config(config(kind)).save_pretrained(base)
    tokenizer.save_pretrained(base)
    parts = [modules.Transformer(str(base)), modules.Pooling(SIZE["hidden_size"], "mean")]
    SentenceTransformer(modules=parts, device="cpu").save(str(saved))
    model = SentenceTransformer(str(saved), device="cpu").eval()
    alone = np.concatenate([encode(model, [text]) for text in TEXTS])
    folder.mkdir()
    with warnings.catch_warnings():
        # About the libraries' own code.
        warnings.simplefilter("ignore")
        said = convert(model, folder)
    options = Options(kind, precision="fp32", long_text="truncate")
    found = FoundModel(kind, folder, "0" * 64, "folder")
    yield Made(OpenVinoEngine(folder, said, "fp32", found, options, LOG), said, alone)


def test_each_kind_converts_and_has_the_limit_and_the_padding_of_its_own(made: Made) -> None:
    assert made.said.cosines["fp32"] >= LEAST_COSINE["fp32"]
    assert made.said.limit == 512
    assert made.said.pad == (0 if made.engine.info.name == "modernbert" else 1)


def test_texts_alone_have_the_vectors_of_the_library(made: Made) -> None:
    for text, wanted in zip(TEXTS, made.alone, strict=True):
        found = embed(made.engine, [text])
        assert least_cosine(found.vectors, wanted[None]) >= LEAST_COSINE["fp32"], text[:20]
    assert found.tokens == [510]


def test_so_have_rows_that_are_padded_by_many_windows(made: Made) -> None:
    rows = made.engine._rows["document"]
    ids = [rows.row(each, 0, 510) for each in rows.tokenise(TEXTS)]
    # Padded as the engine does it: to a multiple of 16, and to what the model reads.
    for some in (ids[:-1], ids):
        features = rows.features(some)
        assert features["input_ids"].shape[1] - len(ids[0]) > 10 * WINDOW
        found = made.engine._graph.run(features)
        assert least_cosine(found, made.alone[: len(some)]) >= LEAST_COSINE["fp32"]
