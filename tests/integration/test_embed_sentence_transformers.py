"""The engine with the packaged all-MiniLM-L6-v2, against sentence-transformers itself."""

from __future__ import annotations

import logging
import random
from pydoc_data import topics
from typing import Any

import numpy as np
import pytest

from embed_worker.engines.base import Options
from embed_worker.engines.sentence_transformers import SentenceTransformersEngine, load
from embed_worker.engines.token_rows import TokenRows
from embed_worker.models import PACKAGES
from tests.support.real_model import MODEL, ODD, embed, encode, least_cosine
from thoth_core.errors import SettingsError

LOG = logging.getLogger("test.embed")

pytestmark = pytest.mark.usefixtures("offline")


@pytest.fixture(scope="module")
def engine() -> SentenceTransformersEngine:
    return load(Options(MODEL), LOG)


def _rest(long_text: str, engine: SentenceTransformersEngine) -> SentenceTransformersEngine:
    """An engine of another policy over the same loaded model."""
    from embed_worker.models import find_model

    return SentenceTransformersEngine(
        engine._model, find_model(MODEL), Options(MODEL, long_text=long_text), LOG
    )


def test_it_says_what_it_is(engine: SentenceTransformersEngine) -> None:
    info = engine.info
    assert info.identity() == {
        "name": MODEL,
        "weights": PACKAGES[MODEL].sha256,
        "dimension": 384,
        "normalized": True,
        "prompt": None,
        "long_text": "window tokens=254 overlap=31 pooling=token-mean",
    }
    assert info.max_tokens == 254
    assert info.credit.units == 2
    assert 1 <= info.credit.items <= 64
    assert info.versions["engine"] == "sentence_transformers"
    assert set(info.versions) >= {"torch", "transformers", "sentence-transformers"}
    assert engine.threads()["torch"] == 1


def test_200_mixed_texts_equal_encode(
    engine: SentenceTransformersEngine, reference: Any, paragraphs: list[str]
) -> None:
    fitting = [p for p in paragraphs if len(p) < 700][: 200 - len(ODD)]
    texts = [*fitting, *ODD]
    made = embed(engine, texts)
    assert len(texts) == 200
    assert not any(made.windowed)
    assert not made.errors
    assert made.vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(made.vectors, axis=1), 1, atol=1e-5)
    assert least_cosine(made.vectors, encode(reference, texts)) > 1 - 1e-6
    counts = [len(reference.tokenizer(t, add_special_tokens=False)["input_ids"]) for t in texts]
    assert made.tokens == counts


def test_truncate_equals_encode_for_texts_of_all_lengths(
    engine: SentenceTransformersEngine, reference: Any
) -> None:
    truncating = _rest("truncate", engine)
    words = topics.topics["with"].split()
    lengths = (1, 2, 50, 180, *range(200, 260, 12), 253, 254, 255, 256, 257, 600)
    texts = [" ".join((words * 3)[:n]) for n in lengths]
    # One token a word: lengths on both sides of the limit, to the token.
    texts += ["word " * n for n in (252, 253, 254, 255, 256, 1000)]
    made = embed(truncating, texts)
    assert max(made.tokens) == 254
    assert not any(made.windowed)
    assert least_cosine(made.vectors, encode(reference, texts)) > 1 - 1e-6
    assert truncating.info.long_text == "truncate tokens=254"


def test_the_tail_of_a_long_text_counts_in_windows_and_not_when_truncated(
    engine: SentenceTransformersEngine, paragraphs: list[str]
) -> None:
    body = " ".join(topics.topics["context-managers"].split()[:230])
    fact = " The spare key lies under the third flower pot behind the greenhouse." * 6
    made = embed(engine, [body, body + fact, fact.strip()])
    assert made.windowed == [True, True, False]
    assert made.tokens[1] > made.tokens[0] > 254
    np.testing.assert_allclose(np.linalg.norm(made.vectors, axis=1), 1, atol=1e-6)
    without, within, alone = made.vectors
    assert within @ alone > without @ alone + 0.05
    cut = embed(_rest("truncate", engine), [body, body + fact])
    assert cut.vectors[0] @ cut.vectors[1] > 1 - 1e-6


def test_a_windowed_vector_is_the_weighted_mean_of_its_windows(
    engine: SentenceTransformersEngine, reference: Any
) -> None:
    # Each word is one token, so windows over tokens are windows over words.
    words = [random.Random(3).choice(["cat", "dog", "house", "river"]) for _ in range(600)]
    spans = [(0, 254), (223, 477), (446, 600)]
    parts = encode(reference, [" ".join(words[a:b]) for a, b in spans]).astype(np.float64)
    mean = sum((b - a) * part for (a, b), part in zip(spans, parts, strict=True))
    mean /= np.linalg.norm(mean)
    made = embed(engine, [" ".join(words)])
    assert made.tokens == [600]
    assert float(made.vectors[0] @ mean) > 1 - 1e-6


def test_a_text_just_over_the_limit_is_windowed_and_one_at_it_is_not(
    engine: SentenceTransformersEngine,
) -> None:
    assert embed(engine, ["word " * 254, "word " * 255]).windowed == [False, True]


def test_error_refuses_long_texts_by_index_with_their_counts(
    engine: SentenceTransformersEngine, reference: Any
) -> None:
    refusing = _rest("error", engine)
    made = embed(refusing, ["short", "word " * 300, "also short"])
    (error,) = made.errors.values()
    assert error.details["indices"] == [1]
    assert error.details["tokens"] == 300
    assert error.details["max_tokens"] == 254
    assert least_cosine(made.vectors[[0, 2]], encode(reference, ["short", "also short"])) > 0.99999


def test_the_order_and_the_company_of_a_text_do_not_change_its_vector(
    engine: SentenceTransformersEngine, paragraphs: list[str]
) -> None:
    texts = paragraphs[300:316]
    together = embed(engine, texts).vectors
    backwards = embed(engine, texts[::-1]).vectors[::-1]
    alone = np.vstack([embed(engine, [text]).vectors for text in texts])
    assert least_cosine(together, backwards) > 1 - 1e-6
    assert least_cosine(together, alone) > 1 - 1e-6


def test_progress_is_told_for_each_model_call_and_may_end_the_work(
    engine: SentenceTransformersEngine,
) -> None:
    steps: list[int] = []
    engine.embed(["word " * 2000], "document", lambda: steps.append(1))
    assert len(steps) >= 3

    class EndedError(Exception):
        pass

    def end() -> None:
        raise EndedError

    with pytest.raises(EndedError):
        engine.embed(["word"], "document", end)


def test_no_texts_give_no_rows(engine: SentenceTransformersEngine) -> None:
    assert embed(engine, []).vectors.shape == (0, 384)


def test_rows_are_reproducible_and_a_prompt_stands_before_each_window(
    engine: SentenceTransformersEngine, reference: Any
) -> None:
    rows = TokenRows(reference, "query: ")
    assert rows.reproducible
    assert rows.size == 252
    (ids,) = rows.tokenise(["word " * 300])
    assert rows.count(ids) == 300
    prompt = reference.tokenizer("query:", add_special_tokens=False)["input_ids"]
    assert rows.row(ids, 200, 210)[1:3] == prompt
    assert len(rows.row(ids, 200, 210)) == 14
    theirs = rows.library_features(["a question", "another, longer question"])
    ours = rows.features(
        [rows.row(i, 0, 252) for i in rows.tokenise(["a question", "another, longer question"])]
    )
    assert ours["input_ids"].tolist() == theirs["input_ids"].tolist()
    assert ours["attention_mask"].tolist() == theirs["attention_mask"].tolist()
    assert ours.get("prompt_length") == theirs.get("prompt_length")


def test_a_precision_or_device_that_cannot_be_had_is_a_settings_error() -> None:
    with pytest.raises(SettingsError, match="THOTH_PRECISION"):
        load(Options(MODEL, precision="int8"), LOG)
    with pytest.raises(SettingsError, match="THOTH_DEVICE"):
        load(Options(MODEL, device="abacus"), LOG)
