"""What each call sends, and what it makes of the answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.unit.fake_service import (
    FakeService,
    Reply,
    embed_handler,
    private_settings,
    result,
    vectors_of,
)
from thoth_core import (
    AuthenticationFailed,
    Conflict,
    InvalidInput,
    PoisonInput,
    ProtocolError,
    Settings,
    Thoth,
)
from thoth_core.wire import Message


@pytest.fixture
def settings() -> Iterator[Settings]:
    with private_settings() as made:
        yield made


def added(message: Message, reply: Reply) -> None:
    """Stores everything but texts that contain ``poison``."""
    texts = message.body["texts"]
    errors = [
        [i, PoisonInput("it kills", indices=[i]).to_dict()]
        for i, t in enumerate(texts)
        if "poison" in t
    ]
    good = len(texts) - len(errors)
    body = {"embedded": good, "reused": 0, "unchanged": 0, "superseded": []}
    reply(result(message, **body, windowed=1, tokens=good, errors=errors))


def test_a_blank_text_is_refused_by_index_and_the_others_are_embedded(settings: Settings) -> None:
    with FakeService(settings, embed_handler) as service, Thoth(settings, autostart=False) as thoth:
        with pytest.raises(InvalidInput) as caught:
            thoth.embed(["t1", " ", "t3", 4, "t5"])  # type: ignore[list-item]
        assert caught.value.indices == [1, 3]
        partial = caught.value.partial
        assert partial.shape == (5, 4)
        assert np.isnan(partial[[1, 3]]).all()
        assert partial[[0, 2, 4], 0].tolist() == [1.0, 3.0, 5.0]
        assert service.of("embed")[0].body["texts"] == ["t1", "t3", "t5"]
        with pytest.raises(InvalidInput):
            thoth.embed_query("")


def test_a_single_string_is_not_taken_for_a_list_of_letters(settings: Settings) -> None:
    with Thoth(settings, autostart=False) as thoth, pytest.raises(InvalidInput, match="list"):
        thoth.embed("abc")


def test_poison_found_by_the_service_is_raised_with_its_place_in_the_whole_call(
    settings: Settings,
) -> None:
    def handle(message: Message, reply: Reply) -> None:
        texts = message.body["texts"]
        kept = [i for i, t in enumerate(texts) if t != "poison"]
        body = {"indices": kept, "windowed": 0, "tokens": 1}
        buffer = vectors_of([texts[i] for i in kept])
        reply(Message("part", message.id, body=body, buffers=(buffer,)))
        errors = [
            [i, PoisonInput("it kills").to_dict()] for i in range(len(texts)) if i not in kept
        ]
        reply(result(message, model="fake/4", dimension=4, errors=errors))

    texts = ["t0", *["t1"] * 2100, "poison", "t9"]
    with (
        FakeService(settings, handle),
        Thoth(settings, autostart=False) as thoth,
        pytest.raises(PoisonInput) as caught,
    ):
        thoth.embed(texts)
    assert caught.value.indices == [2101]
    assert np.isnan(caught.value.partial[2101]).all()
    assert not np.isnan(np.delete(caught.value.partial, 2101, axis=0)).any()


def test_vectors_of_two_models_are_no_answer(settings: Settings) -> None:
    weights = iter("ab")

    def handle(message: Message, reply: Reply) -> None:
        def told(answer: Message) -> None:
            if answer.kind == "result":
                identity = {"name": "fake/4", "weights": next(weights)}
                answer = result(message, **answer.body, identity=identity)
            reply(answer)

        embed_handler(message, told)

    with FakeService(settings, handle) as service, Thoth(settings, autostart=False) as thoth:
        with pytest.raises(Conflict, match="model changed"):
            thoth.embed([f"t{n}" for n in range(3000)])
        assert len(service.of("embed")) == 2


def test_an_answer_that_leaves_rows_out_is_no_answer(settings: Settings) -> None:
    def handle(message: Message, reply: Reply) -> None:
        reply(result(message, model="fake/4", dimension=4, errors=[]))

    with (
        FakeService(settings, handle),
        Thoth(settings, autostart=False) as thoth,
        pytest.raises(ProtocolError, match="without vectors"),
    ):
        thoth.embed(["t1"])


@pytest.mark.parametrize(
    "part",
    [
        {"indices": [0, 1]},
        {"indices": [5]},
        {"indices": [-1]},
        {"indices": ["0"]},
        {},
    ],
)
def test_a_part_that_does_not_fit_ends_the_call_and_not_the_client(
    settings: Settings, part: dict[str, Any]
) -> None:
    def handle(message: Message, reply: Reply) -> None:
        if message.kind == "embed":
            reply(Message("part", message.id, body=part, buffers=(vectors_of(["t1"]),)))
        elif message.kind == "count":
            reply(result(message, count=1))

    with FakeService(settings, handle), Thoth(settings, autostart=False) as thoth:
        with pytest.raises(ProtocolError):
            thoth.embed(["t1"])
        assert thoth.count() == 1


def test_add_stores_the_others_and_names_the_bad_ones(settings: Settings) -> None:
    with FakeService(settings, added) as service, Thoth(settings, autostart=False) as thoth:
        report = thoth.add(["a", "", "poison", "b"], [{"n": 1}, None, None, {}])
        assert [index for index, _ in report.failed] == [1, 2]
        assert isinstance(report.failed[1][1], PoisonInput)
        assert report.failed[1][1].indices == [2]
        assert (report.embedded, report.windowed, len(report)) == (2, 1, 4)
        sent = service.of("add")[0].body
    assert sent["texts"] == ["a", "poison", "b"]
    assert sent["metadatas"] == [{"n": 1}, None, None]
    assert sent["ids"] == [report[0], report[2], report[3]]
    assert report[1] == ""


def test_made_ids_are_the_same_whatever_stands_around_the_text(settings: Settings) -> None:
    with FakeService(settings, added), Thoth(settings, autostart=False) as thoth:
        whole = thoth.add(["a", "b", "a"])
        assert len(set(whole)) == 3
        assert thoth.add(["b"]) == [whole[1]]
        assert thoth.add(["a", "a"]) == [whole[0], whole[2]]
        assert thoth.add(["b"], collection="other") != [whole[1]]
        assert thoth.add(["b"], [{"source": "x"}]) != [whole[1]]


def test_what_is_no_texts_fault_is_raised_by_add(settings: Settings) -> None:
    def handle(message: Message, reply: Reply) -> None:
        reply(result(message, errors=[[0, AuthenticationFailed("no key").to_dict()]]))

    with (
        FakeService(settings, handle),
        Thoth(settings, autostart=False) as thoth,
        pytest.raises(AuthenticationFailed),
    ):
        thoth.add(["a"])


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.add(["a", "b"], ids=["1", "1"]),
        lambda t: t.add(["a"], ids=["1", "2"]),
        lambda t: t.add(["a"], [{"x": object()}]),
        lambda t: t.add(["a"], collection="!"),
        lambda t: t.upsert(["1"], [[1.0, float("nan")]]),
        lambda t: t.upsert(["1"], [[0.0, 0.0]]),
        lambda t: t.upsert(["1", "2"], [[1.0, 0.0]]),
        lambda t: t.upsert(["1"], [[1.0]], texts=[" "]),
        lambda t: t.search([[1.0], [2.0]]),
        lambda t: t.query("x", k=0),
        lambda t: t.query("x", where={"$no": 1}),
        lambda t: t.query("x", include=["distances"]),
        lambda t: t.query(" "),
        lambda t: t.get(limit=-1),
        lambda t: t.delete(),
        lambda t: t.delete(where={}),
        lambda t: t.rename_collection("abc", ".."),
        lambda t: t.ingest_text("x", ""),
    ],
)
def test_bad_input_is_refused_before_anything_is_sent(settings: Settings, call: Any) -> None:
    with FakeService(settings) as service, Thoth(settings, autostart=False) as thoth:
        with pytest.raises(InvalidInput):
            call(thoth)
        assert service.received == []


def test_a_large_upsert_goes_in_pieces_and_superseded_rows_keep_their_place(
    settings: Settings,
) -> None:
    got: list[np.ndarray[Any, Any]] = []

    def handle(message: Message, reply: Reply) -> None:
        from thoth_core.vectors import from_buffer

        got.append(np.array(from_buffer(message.buffers[0])))
        reply(result(message, written=len(message.body["ids"]) - 1, unchanged=0, superseded=[0]))

    array = np.random.default_rng(1).normal(size=(5000, 8)).astype(np.float32)
    with FakeService(settings, handle) as service, Thoth(settings, autostart=False) as thoth:
        report = thoth.upsert([str(i) for i in range(5000)], array)
        ids = [i for m in service.of("upsert") for i in m.body["ids"]]
    assert report.written == 4997
    assert report.superseded == [0, 2048, 4096]
    assert ids == [str(i) for i in range(5000)]
    assert np.array_equal(np.concatenate(got), array)


def test_hits_carry_score_source_and_the_vectors_that_were_asked_for(settings: Settings) -> None:
    def handle(message: Message, reply: Reply) -> None:
        hits = [
            [{"id": "a", "score": 0.5, "text": t, "metadata": {"source": "s"}}] * n
            for n, t in enumerate(message.body["texts"], 1)
        ]
        rows = vectors_of(["t1", "t2", "t3"])
        reply(Message("result", message.id, body={"hits": hits, "errors": []}, buffers=(rows,)))

    with FakeService(settings, handle) as service, Thoth(settings, autostart=False) as thoth:
        found = thoth.query_many(["x", "y"], k=2, where={"n": 1}, include=["vectors"])
        sent = service.of("query")[0].body
    assert [[h.vector[0] for h in hits] for hits in found] == [[1.0], [2.0, 3.0]]
    assert (found[1][0].source, found[1][0].text, found[1][0].score) == ("s", "y", 0.5)
    assert sent["where"] == {"n": 1} and sent["k"] == 2
    assert sent["collection"] == settings.collection_name


def test_the_hits_of_good_texts_come_along_when_one_is_refused(settings: Settings) -> None:
    def handle(message: Message, reply: Reply) -> None:
        hit = {"id": "a", "score": 1.0, "text": None, "metadata": None}
        reply(result(message, hits=[[hit] for _ in message.body["texts"]], errors=[]))

    with FakeService(settings, handle), Thoth(settings, autostart=False) as thoth:
        with pytest.raises(InvalidInput) as caught:
            thoth.query_many(["x", "", "y"])
        assert [len(hits) for hits in caught.value.partial] == [1, 0, 1]


def test_get_reads_all_pages_and_stops_at_the_limit(settings: Settings) -> None:
    def handle(message: Message, reply: Reply) -> None:
        first, size = message.body["offset"], message.body["limit"]
        ids = [str(i) for i in range(first, min(first + size, 1203))]
        body = {"ids": ids, "texts": ids, "metadatas": [{"i": i} for i in ids]}
        rows = vectors_of([f"t{i}" for i in ids])
        reply(Message("result", message.id, body=body, buffers=(rows,)))

    with FakeService(settings, handle) as service, Thoth(settings, autostart=False) as thoth:
        rows = thoth.get(include=["vectors"])
        assert rows.ids == [str(i) for i in range(1203)]
        assert rows.vectors is not None and rows.vectors[:, 0].tolist() == list(range(1203))
        assert rows[-1].metadata == {"i": "1202"} and len(rows[3:7]) == 4
        assert len(service.of("get")) == 3
        assert thoth.get(limit=600, offset=1000).ids == [str(i) for i in range(1000, 1203)]
        assert len(thoth.get(limit=501)) == 501
        assert len(thoth.get(limit=0)) == 0


def test_deleting_many_ids_is_split_and_added_up(settings: Settings) -> None:
    def handle(message: Message, reply: Reply) -> None:
        reply(result(message, deleted=len(message.body["ids"])))

    with FakeService(settings, handle) as service, Thoth(settings, autostart=False) as thoth:
        assert thoth.delete([str(i) for i in range(5000)]) == 5000
        assert len(service.of("delete")) == 3
        assert thoth.delete([]) == 0


def test_collections_are_listed_made_renamed_and_deleted(settings: Settings) -> None:
    def handle(message: Message, reply: Reply) -> None:
        bodies: dict[str, dict[str, Any]] = {
            "collections": {
                "collections": [
                    {"name": "abc", "model": None, "dimension": None, "count": 0},
                    {"name": "abd", "model": {"name": "m"}, "dimension": 4, "count": 2},
                ]
            },
            "create_collection": {"created": True},
            "rename_collection": {},
            "delete_collection": {"deleted": True},
            "stats": {"collections": [], "ledger_bytes": 1, "index_bytes": 2},
        }
        reply(result(message, **bodies[message.kind]))

    with FakeService(settings, handle) as service, Thoth(settings, autostart=False) as thoth:
        assert [(c.name, c.model) for c in thoth.collections()] == [("abc", None), ("abd", "m")]
        assert thoth.create_collection("abc") is True
        thoth.rename_collection("abc", "abd")
        assert thoth.delete_collection("abd") is True
        assert thoth.stats("abc")["ledger_bytes"] == 1
        assert service.of("rename_collection")[0].body == {"collection": "abc", "to": "abd"}
