"""Input that is wrong, through a real service: a typed error that names the item, the others
unharmed, and nothing written that was refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embed_worker.engines.fake import MAX_TOKENS, hashed_vector
from embed_worker.windows import LongTexts, plan, pool
from tests.conftest import Make
from tests.support.service import RealService
from thoth_core import Settings, Thoth
from thoth_core.errors import (
    CollectionNotFound,
    InvalidInput,
    ModelMismatch,
    ModelNotFound,
    ServiceUnavailable,
    WorkerRaised,
)

DIMENSION = 32
#: Longer than the fake model reads at once, and within the bound of characters.
LONG = " ".join(f"w{i}" for i in range(MAX_TOKENS + 150))
SPECIAL = "a text with <|endoftext|> and <|fim_prefix|> in it"
MAX_CHARS = 4000


@pytest.fixture(scope="module")
def running() -> Iterator[RealService]:
    service = RealService.make(
        "fake/32", THOTH_FAULTS="1", THOTH_MAX_TEXT_CHARS=str(MAX_CHARS), THOTH_EMBED_WORKERS="1"
    )
    try:
        yield service.start()
    finally:
        service.close()


@pytest.fixture
def thoth(running: RealService) -> Iterator[Thoth]:
    with running.client() as client:
        yield client


def other_client(service: RealService, **settings: str) -> Thoth:
    """A client of ``service`` whose own settings differ from the service's."""
    environ = service.environ(**settings)
    return Thoth(Settings.load(cwd=service.root, environ=environ), autostart=False)


def fake(text: str) -> Any:
    return hashed_vector(text, DIMENSION)


# ---- texts


def test_no_texts_give_an_empty_array_that_knows_the_dimension(thoth: Thoth) -> None:
    assert thoth.embed([]).shape == (0, DIMENSION)
    assert thoth.embed_documents([]) == []
    assert thoth.query_many([], collection="nothing-asked") == []
    assert list(thoth.add([], collection="no-texts")) == []


BAD: list[Any] = ["", " \n\t\u00a0", None, 7, b"bytes", "a\ud800b", "x" * (MAX_CHARS + 1)]


def test_bad_texts_are_named_by_index_and_the_others_are_embedded(thoth: Thoth) -> None:
    texts = ["first", *BAD, "last", "!raise"]
    with pytest.raises(InvalidInput) as caught:
        thoth.embed(texts)
    error = caught.value
    assert error.indices == [*range(1, 8), 9]
    assert error.partial.shape == (len(texts), DIMENSION)
    assert error.partial.dtype == np.float32
    assert np.array_equal(np.isnan(error.partial).all(axis=1), np.isnan(error.partial).any(axis=1))
    assert np.flatnonzero(np.isnan(error.partial[:, 0])).tolist() == error.indices
    np.testing.assert_allclose(error.partial[0], fake("first"), atol=1e-6)
    np.testing.assert_allclose(error.partial[8], fake("last"), atol=1e-6)
    assert "text 1 is blank" in error.message


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: repr(bad)[:12])
def test_one_bad_text_alone_says_what_is_wrong_with_it(thoth: Thoth, bad: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        thoth.embed([bad])
    assert caught.value.indices == [0]
    assert caught.value.message.startswith("text 0 ")
    with pytest.raises(InvalidInput):
        thoth.query(bad, collection="never-made")


def test_a_text_for_a_list_is_refused_as_such(thoth: Thoth) -> None:
    calls: list[Any] = [
        lambda: thoth.embed("one text"),
        lambda: thoth.embed(b"bytes"),  # type: ignore[arg-type]
        lambda: thoth.embed(None),  # type: ignore[arg-type]
        lambda: thoth.add(5),  # type: ignore[arg-type]
        lambda: thoth.get(ids="one"),
        lambda: thoth.delete(ids=7),  # type: ignore[arg-type]
    ]
    for call in calls:
        with pytest.raises(InvalidInput, match=r"^a list of (texts|ids) is wanted"):
            call()


def test_indices_are_right_where_a_large_call_is_split(thoth: Thoth) -> None:
    texts: list[Any] = [f"text number {i}" for i in range(4200)]
    wrong = {0: "", 2047: None, 2048: " ", 2049: "!raise", 4095: "\udfff", 4096: "!raise", 4199: 5}
    for index, text in wrong.items():
        texts[index] = text
    with pytest.raises(InvalidInput) as caught:
        thoth.embed(texts)
    assert caught.value.indices == sorted(wrong)
    errors = dict(caught.value.details["errors"])
    assert {i for i, e in errors.items() if e["code"] == WorkerRaised.code} == {2049, 4096}
    for index in (1, 2046, 2050, 4094, 4097, 4198):
        np.testing.assert_allclose(caught.value.partial[index], fake(texts[index]), atol=1e-6)


def test_the_service_checks_the_bound_itself(running: RealService) -> None:
    loose = other_client(running, THOTH_MAX_TEXT_CHARS="100000")
    with loose, pytest.raises(InvalidInput) as caught:
        loose.embed(["short", "y" * (MAX_CHARS + 1), "short too"])
    assert caught.value.indices == [1]
    np.testing.assert_allclose(caught.value.partial[2], fake("short too"), atol=1e-6)


def test_add_stores_the_good_texts_and_reports_the_bad(thoth: Thoth) -> None:
    texts = ["good one", *BAD, "!raise", "good two"]
    report = thoth.add(texts, collection="partly-bad")
    assert [index for index, _ in report.failed] == list(range(1, 9))
    assert all(isinstance(error, InvalidInput) for _, error in report.failed)
    assert isinstance(report.failed[-1][1], WorkerRaised)
    assert report.embedded == 2
    stored = thoth.get(collection="partly-bad")
    assert sorted(text or "" for text in stored.texts) == ["good one", "good two"]
    assert {report[0], report[9]} == set(stored.ids)


def test_ingest_reports_the_file_whose_chunk_is_refused(
    running: RealService, tmp_path: Path
) -> None:
    (tmp_path / "good.txt").write_text("a text that is fine")
    # A chunk of it has more characters than the bound, in few tokens.
    (tmp_path / "wide.txt").write_text("-" * (3 * MAX_CHARS))
    with running.client() as thoth:
        report = thoth.ingest(tmp_path, "ingest-bad")
        [(source, error)] = report.failed
        assert source == str(tmp_path / "wide.txt")
        assert isinstance(error, InvalidInput)
        assert "characters" in error.message
        assert report.new == 1
        assert len(thoth.get(where={"source": str(tmp_path / "good.txt")}, collection="ingest-bad"))
        # The next ingest tries the failed one again, and only that.
        again = thoth.ingest(tmp_path, "ingest-bad")
    assert (again.unchanged, [s for s, _ in again.failed]) == (1, [source])


def test_a_text_with_a_lone_surrogate_is_not_ingested(thoth: Thoth) -> None:
    with pytest.raises(InvalidInput, match="lone surrogate at character 2"):
        thoth.ingest_text("a \ud800 b", "surrogate")
    with pytest.raises(InvalidInput, match="lone surrogate"):
        thoth.ingest_text("a text", "source \ud800")


@pytest.mark.parametrize("path", ["", None, 5, b"bytes"])
def test_what_is_no_path_is_refused_before_anything_is_read(thoth: Thoth, path: Any) -> None:
    with pytest.raises(InvalidInput, match="path"):
        thoth.ingest([path], "no-path")
    with pytest.raises(CollectionNotFound):
        thoth.count("no-path")


def test_special_tokens_are_plain_text(thoth: Thoth, tmp_path: Path) -> None:
    np.testing.assert_allclose(thoth.embed([SPECIAL])[0], fake(SPECIAL), atol=1e-6)
    (tmp_path / "special.md").write_text(SPECIAL)
    report = thoth.ingest(tmp_path, "special")
    assert (report.new, report.chunks, report.failed) == (1, 1, [])
    [hit] = thoth.query(SPECIAL, k=1, collection="special")
    assert hit.text == SPECIAL
    assert hit.score == pytest.approx(1, abs=1e-4)


# ---- long texts


def test_a_long_text_is_embedded_in_windows_and_counted(thoth: Thoth) -> None:
    words = LONG.split()
    made = plan([len(words)], LongTexts("window", MAX_TOKENS))
    assert len(made.pieces) > 1
    rows = np.array([fake(" ".join(words[p.start : p.end])) for p in made.pieces])
    np.testing.assert_allclose(thoth.embed([LONG])[0], pool(made.pieces, rows, 1)[0], atol=1e-6)
    report = thoth.add([LONG, "short"], collection="windowed")
    assert report.windowed == 1


@pytest.mark.parametrize("policy", ["truncate", "error"])
def test_a_long_text_is_cut_or_refused_on_request(make_service: Make, policy: str) -> None:
    service = make_service("fake/32", THOTH_LONG_TEXT=policy, THOTH_EMBED_WORKERS="1").start()
    with service.client() as thoth:
        if policy == "truncate":
            [made] = plan([len(LONG.split())], LongTexts("truncate", MAX_TOKENS)).pieces
            head = " ".join(LONG.split()[made.start : made.end])
            np.testing.assert_allclose(thoth.embed([LONG])[0], fake(head), atol=1e-6)
            assert not thoth.add([LONG], collection="long").failed
            return
        with pytest.raises(InvalidInput) as caught:
            thoth.embed(["short", LONG, "short too"])
        assert caught.value.indices == [1]
        np.testing.assert_allclose(caught.value.partial[2], fake("short too"), atol=1e-6)
        report = thoth.add(["short", LONG], collection="long")
        assert [index for index, _ in report.failed] == [1]
        assert thoth.count("long") == 1


# ---- models and services


def test_a_collection_of_another_model_names_both(make_service: Make) -> None:
    service = make_service("fake/32", THOTH_EMBED_WORKERS="1").start()
    with service.client() as thoth:
        thoth.add(["a text"], collection="first-model")
    service.stop()
    service.env["RAG_EMBEDDING_MODEL"] = "fake/16"
    service.start()
    with service.client() as thoth:
        for call in (
            lambda: thoth.query("a text", collection="first-model"),
            lambda: thoth.add(["another"], collection="first-model"),
        ):
            with pytest.raises(ModelMismatch) as caught:
                call()
            assert "fake/32" in caught.value.message
            assert "fake/16" in caught.value.message
            assert caught.value.fix
        assert thoth.count("first-model") == 1
    done = service.run("thoth", "query", "a text", "--collection", "first-model")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("fake/none", "there is no model fake/none"),
        ("no-such-model", "the embedding model no-such-model is not to be had"),
    ],
)
def test_a_model_that_is_not_to_be_had_says_where_was_looked(
    make_service: Make, model: str, said: str
) -> None:
    service = make_service(model, HF_HUB_OFFLINE="1", THOTH_EMBED_WORKERS="1")
    done = service.run("thoth", "embed", "a text", timeout=90)
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"error: {said}\ncause: " in done.stderr
    assert "\nfix: " in done.stderr
    assert "Traceback" not in done.stderr
    with Thoth(service.settings()) as thoth, pytest.raises(ModelNotFound, match=model):
        thoth.embed(["a text"])


def test_without_a_service_every_call_says_so_at_once(make_service: Make) -> None:
    service = make_service("fake/32")
    with service.client(autostart=False) as thoth:
        calls: list[Any] = [
            lambda: thoth.embed(["a"]),
            lambda: thoth.add(["a"]),
            lambda: thoth.query("a"),
            lambda: thoth.upsert(["a"], np.ones((1, 4))),
            lambda: thoth.count(),
            lambda: thoth.ingest_text("a"),
            lambda: thoth.status(),
            lambda: thoth.model,
        ]
        for call in calls:
            with pytest.raises(ServiceUnavailable) as caught:
                call()
            assert caught.value.fix == "thoth-supervisor start"
    done = service.run("thoth", "query", "a", "--no-autostart")
    assert (done.returncode, done.stdout) == (4, "")
    assert "fix: thoth-supervisor start" in done.stderr
