"""Calls and frames over the limits of the wire."""

from __future__ import annotations

import numpy as np
import pytest
from msgpack import packb

from tests.faults.rawsockets import connected, socket_paths
from tests.faults.watching import pids
from tests.support.service import RealService
from thoth_core import Thoth
from thoth_core.errors import InvalidInput, RequestTooLarge, from_dict
from thoth_core.ids import new_request_id
from thoth_core.wire import MAJOR, MAX_FRAME_BYTES, MAX_MESSAGE_BYTES, MAX_TEXTS, MINOR

FRAME_BYTES = 70 * 1024 * 1024


def _still_answers(thoth: Thoth) -> None:
    assert thoth.embed(["still here"], deadline=30).shape == (1, 32)


def test_more_texts_than_one_message_takes_are_split(shared: RealService) -> None:
    texts = [f"text number {n}" for n in range(2 * MAX_TEXTS + 1)]
    with shared.client() as thoth:
        vectors = thoth.embed(texts)
        assert vectors.shape == (len(texts), 32)
        for index in (0, MAX_TEXTS - 1, MAX_TEXTS, len(texts) - 1):
            assert np.allclose(thoth.embed([texts[index]])[0], vectors[index], atol=1e-6)


def test_more_vectors_than_one_message_takes_are_split(shared: RealService) -> None:
    vectors = np.random.default_rng(1).standard_normal((140, 60_000), dtype=np.float32)
    assert vectors.nbytes > MAX_MESSAGE_BYTES
    with shared.client() as thoth:
        report = thoth.upsert([str(n) for n in range(140)], vectors, collection="wide")
        assert report.written == 140
        assert thoth.count("wide") == 140
        assert thoth.search(vectors[139], k=1, collection="wide")[0].id == "139"


def test_a_message_between_the_limits_of_sender_and_socket_is_answered(shared: RealService) -> None:
    before, id = pids(shared), new_request_id()
    vector = np.ones((1, MAX_MESSAGE_BYTES // 4 + 1000), dtype="<f4")
    shape = {"dtype": "<f4", "shape": list(vector.shape)}
    envelope = {"v": [MAJOR, MINOR], "kind": "upsert", "id": id, "buffers": [shape]}
    frames = [packb(envelope), packb({"collection": "c", "ids": ["huge"]}), vector.tobytes()]
    assert MAX_MESSAGE_BYTES < vector.nbytes < MAX_FRAME_BYTES
    with connected(socket_paths(shared)["front"]) as peer:
        peer.send(frames)
        answer = peer.answer(id)
    assert answer.kind == "error"
    assert isinstance(from_dict(answer.body), RequestTooLarge)
    with shared.client() as thoth:
        _still_answers(thoth)
    assert pids(shared) == before


def test_one_text_over_the_limit_is_refused_by_its_index(shared: RealService) -> None:
    with shared.client() as thoth:
        with pytest.raises(InvalidInput) as caught:
            thoth.embed(["short", "x" * (MAX_MESSAGE_BYTES + 1)])
        assert caught.value.indices == [1]
        report = thoth.add(["short", "y" * (MAX_MESSAGE_BYTES + 1)], ids=["s", "l"])
        assert [index for index, _ in report.failed] == [1]
        assert len(thoth.get(ids=["s", "l"])) == 1


def test_a_row_that_fits_in_no_message_is_a_typed_error(shared: RealService) -> None:
    huge = {"note": "z" * (MAX_MESSAGE_BYTES + 1)}
    with shared.client() as thoth:
        with pytest.raises(RequestTooLarge) as caught:
            thoth.add(["a text"], metadatas=[huge], ids=["huge"])
        assert f"{MAX_MESSAGE_BYTES:,}" in str(caught.value)
        with pytest.raises(RequestTooLarge):
            vector = np.ones((1, MAX_MESSAGE_BYTES // 4 + 1), dtype=np.float32)
            thoth.upsert(["huge"], vector, collection="huge")
        _still_answers(thoth)
        assert len(thoth.get(ids=["huge"])) == 0


@pytest.mark.parametrize("name", ["front", "control", "back", "store"])
def test_a_frame_over_the_last_limit_harms_nobody(shared: RealService, name: str) -> None:
    assert FRAME_BYTES > MAX_FRAME_BYTES
    before = pids(shared)
    with shared.client() as thoth:
        _still_answers(thoth)
        with connected(socket_paths(shared)[name]) as peer:
            peer.send([b"\x80", b"\0" * FRAME_BYTES])
            peer.wait_until_cut()
        _still_answers(thoth)
        assert thoth.add([f"over {name}"], ids=[name]).embedded == 1
        assert thoth.query(f"over {name}", k=1)[0].id == name
    assert pids(shared) == before
