"""The calls that the engine for CPUs makes of the packaged model: their shapes, and that padding
them changes no vector."""

from __future__ import annotations

import logging
from pydoc_data import topics
from typing import Any

import numpy as np
import pytest

from embed_worker.engines.base import Options
from embed_worker.engines.id_rows import IdRows
from embed_worker.engines.openvino import OpenVinoEngine, load

LOG = logging.getLogger("test.embed")
MODEL = "all-MiniLM-L6-v2"
TEXTS = ["x", *(text[:most] for text in list(topics.topics.values())[:20] for most in (90, 700))]


@pytest.fixture
def engine() -> OpenVinoEngine:
    return load(Options(MODEL, precision="fp32"), LOG)


def rows_of(engine: OpenVinoEngine, texts: list[str]) -> tuple[IdRows, list[list[int]]]:
    rows = engine._rows["document"]
    ids = rows.tokenise(texts)
    return rows, [rows.row(each, 0, min(len(each), 254)) for each in ids]


def test_padded_rows_have_the_vectors_of_rows_as_they_are(engine: OpenVinoEngine) -> None:
    rows, made = rows_of(engine, TEXTS)
    rows.align = 16
    plain = IdRows(rows._tokenizer, engine._description, "document")
    for row in made:
        padded, alone = rows.features([row]), plain.features([row])
        assert padded["input_ids"].shape[1] % rows.align == 0
        assert alone["input_ids"].shape[1] == len(row)
        vectors = [engine._graph.run(each)[0] for each in (padded, alone)]
        assert np.allclose(*vectors, atol=2e-6)


def test_no_row_is_padded_over_what_the_model_reads(engine: OpenVinoEngine) -> None:
    # A limit that no alignment divides, as a user may have set it in the model's files.
    rows, made = rows_of(engine, ["word " * 400])
    rows._limit, rows.align = 250, 16
    assert rows.features([made[0][:243]])["input_ids"].shape == (1, 250)


def test_a_call_of_many_texts_has_few_shapes_within_the_measured_bounds(
    engine: OpenVinoEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[tuple[int, ...]] = []
    run = engine._graph.run

    def seen(features: dict[str, Any]) -> Any:
        shapes.append(features["input_ids"].shape)
        return run(features)

    monkeypatch.setattr(engine._graph, "run", seen)
    bounds = engine._bounds
    engine.embed(TEXTS * 3, "document", lambda: None)
    for count, length in shapes:
        assert length % bounds.align == 0
        assert count == 1 or count * length <= bounds.tokens
    assert max(count for count, _ in shapes) > 1
