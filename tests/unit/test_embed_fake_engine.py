from __future__ import annotations

import logging
import time

import numpy as np
import pytest

from embed_worker.engines import load_engine
from embed_worker.engines.base import Engine, Options
from embed_worker.engines.fake import InjectedError, hashed_vector
from thoth_core.errors import ModelNotFound, SettingsError

GOLDEN = [-0.8399892449378967, 0.542603075504303]


def _engine(model: str = "fake/16", **options: object) -> Engine:
    return load_engine(Options(model, **options), logging.getLogger("test"))  # type: ignore[arg-type]


def _quiet() -> None:
    """A progress callback that does nothing."""


def test_it_says_what_it_is() -> None:
    info = _engine().info
    assert info.identity() == {
        "name": "fake/16",
        "weights": "none",
        "dimension": 16,
        "normalized": True,
        "prompt": None,
        "long_text": "window tokens=256 overlap=32 pooling=token-mean",
    }
    assert info.max_tokens == 256


def test_vectors_are_the_same_in_every_engine_and_release() -> None:
    texts = ["a text", "another"]
    one = _engine().embed(texts, "document", _quiet).vectors
    two = _engine().embed(texts[::-1], "query", _quiet).vectors[::-1]
    assert (one == two).all()
    # Stored collections of tests rely on these very numbers.
    np.testing.assert_allclose(hashed_vector("a text", 2), GOLDEN, atol=1e-7)


def test_vectors_have_unit_length_and_differ() -> None:
    got = _engine("fake/384").embed([f"text {i}" for i in range(50)], "document", _quiet).vectors
    assert got.dtype == np.float32
    assert got.shape == (50, 384)
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-6)
    assert np.abs(got @ got.T - np.eye(50)).max() < 0.3


def test_no_texts_give_no_rows() -> None:
    got = _engine().embed([], "document", _quiet)
    assert got.vectors.shape == (0, 16)
    assert got.tokens == []


def test_words_are_counted_and_long_texts_follow_the_rule() -> None:
    long = "w " * 300
    windowed = _engine().embed(["two words", long], "document", _quiet)
    assert windowed.tokens == [2, 300]
    assert windowed.windowed == [False, True]
    np.testing.assert_allclose(np.linalg.norm(windowed.vectors, axis=1), 1, atol=1e-6)
    other_tail = _engine().embed([long + "tail"], "document", _quiet)
    assert (other_tail.vectors[0] != windowed.vectors[1]).any()
    truncated = _engine(long_text="truncate").embed([long, long + "tail"], "document", _quiet)
    assert (truncated.vectors[0] == truncated.vectors[1]).all()
    refused = _engine(long_text="error").embed(["fine", long], "document", _quiet)
    assert list(refused.errors) == [1]


def test_progress_is_told_once_a_batch() -> None:
    steps: list[int] = []
    _engine(batch_size=2).embed(list("abcde"), "document", lambda: steps.append(1))
    assert len(steps) == 3


def test_markers_are_plain_texts_without_the_setting() -> None:
    texts = ["!segv", "!abort", "!exit3", "!exit0", "!hang", "!oom", "!raise", "!gil:9", "!slow:9"]
    got = _engine(faults=False).embed(texts, "document", _quiet)
    assert not got.errors


def test_raise_raises_as_the_first_word_too_but_not_elsewhere() -> None:
    engine = _engine(faults=True)
    for text in ("!raise", "!raise and more"):
        with pytest.raises(InjectedError):
            engine.embed([text], "document", _quiet)
    assert not engine.embed(["do not !raise", "!raised"], "document", _quiet).errors


def test_slow_takes_its_time() -> None:
    began = time.monotonic()
    _engine(faults=True).embed(["!slow:0.2"], "document", _quiet)
    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize("name", ["fake/", "fake/x", "fake/0", "fake/-3", "fake/999999", "fake/²"])
def test_a_dimension_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        _engine(name)
    assert "fake/384" in caught.value.fix


def test_a_wrong_policy_is_refused() -> None:
    with pytest.raises(SettingsError):
        _engine(long_text="nothing")


def test_options_come_from_the_settings_on_the_wire() -> None:
    config = {
        "model": "fake/8",
        "threads": 3,
        "lane": "bulk",
        "settings": {
            "engine": "openvino",
            "long_text": "error",
            "embedding_batch_size": 7,
            "device": "cpu",
            "precision": "fp32",
            "trust_remote_code": True,
            "faults": True,
            "something_new": 1,
        },
    }
    assert Options.from_config(config) == Options(
        "fake/8", "openvino", "error", 7, "cpu", "fp32", True, 3, True
    )
    assert Options.from_config({"model": "m"}) == Options("m")
