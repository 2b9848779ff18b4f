"""The engine for CPUs with the packaged all-MiniLM-L6-v2, against sentence-transformers itself."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from pydoc_data import topics
from typing import Any

import numpy as np
import pytest

from embed_worker.engines import load_engine
from embed_worker.engines.base import Options
from embed_worker.engines.converted_model import GRAPH, LEAST_COSINE, read_description
from embed_worker.engines.openvino import load
from embed_worker.engines.openvino_run import has_bf16
from embed_worker.engines.sentence_transformers import SentenceTransformersEngine
from embed_worker.model_cache import REFUSED, ModelCache, NotConverted, cache_root
from embed_worker.models import FoundModel, find_model
from tests.support.real_model import MODEL, ODD, embed, encode, least_cosine
from tests.support.service import processes_with, wait_for
from thoth_core.errors import SettingsError

LOG = logging.getLogger("test.embed")
PRECISIONS = ["fp32", pytest.param("bf16", marks=pytest.mark.skipif(not has_bf16(), reason="-"))]
pytestmark = pytest.mark.usefixtures("offline")


@pytest.fixture(scope="module")
def cache() -> Path:
    """The user's cache of converted models, with the model in it: converted once a machine."""
    load(Options(MODEL), LOG)
    return cache_root(os.environ).parent.parent


def environ(root: Path) -> dict[str, str]:
    return {**os.environ, "XDG_CACHE_HOME": str(root)}


def converted(root: Path) -> Path:
    """The folder of the converted model."""
    return ModelCache(cache_root(environ(root)), LOG).get(find_model(MODEL))[0]


@pytest.fixture
def copied(cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """In the place of a conversion, which takes long, a copy of what one made; each is listed."""
    source = converted(cache)
    calls: list[str] = []

    def convert(self: ModelCache, folder: Path, found: FoundModel) -> Any:
        calls.append(folder.name)
        # Long enough for whoever does not wait for it to be seen.
        time.sleep(0.3)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        return folder, read_description(folder)

    monkeypatch.setattr(ModelCache, "_convert", convert)
    return calls


@pytest.mark.parametrize("precision", PRECISIONS)
def test_vectors_are_those_of_sentence_transformers(
    cache: Path, reference: Any, paragraphs: list[str], precision: str
) -> None:
    engine = load(Options(MODEL, precision=precision), LOG, environ(cache))
    texts = [*[p for p in paragraphs if len(p) < 700][:80], *ODD]
    made = embed(engine, texts)
    assert not made.errors
    assert not any(made.windowed)
    assert engine.info.precision == precision
    assert least_cosine(made.vectors, encode(reference, texts)) >= LEAST_COSINE[precision]
    counts = [len(reference.tokenizer(t, add_special_tokens=False)["input_ids"]) for t in texts]
    assert made.tokens == counts


@pytest.mark.parametrize("precision", PRECISIONS)
def test_truncated_texts_of_all_lengths_are_too(
    cache: Path, reference: Any, precision: str
) -> None:
    options = Options(MODEL, precision=precision, long_text="truncate")
    engine = load(options, LOG, environ(cache))
    words = topics.topics["with"].split() * 3
    texts = [" ".join(words[:n]) for n in (1, 2, 50, 180, 212, 253, 255, 300, 600)]
    texts += ["word " * n for n in (253, 254, 255, 1000)]
    made = embed(engine, texts)
    assert max(made.tokens) == 254
    assert least_cosine(made.vectors, encode(reference, texts)) >= LEAST_COSINE[precision]


def test_it_says_the_same_of_the_model_as_the_engine_on_torch(cache: Path) -> None:
    from embed_worker.engines import sentence_transformers

    mine = load(Options(MODEL), LOG, environ(cache)).info
    other = sentence_transformers.load(Options(MODEL), LOG).info
    assert mine.identity() == other.identity()
    assert (mine.max_tokens, mine.credit.units) == (other.max_tokens, other.credit.units)
    assert mine.versions["engine"] == "openvino"


def test_windows_are_those_of_the_engine_on_torch(cache: Path) -> None:
    from embed_worker.engines import sentence_transformers

    texts = [topics.topics["context-managers"], "word " * 600, "short"]
    mine = embed(load(Options(MODEL, precision="fp32"), LOG, environ(cache)), texts)
    other = embed(sentence_transformers.load(Options(MODEL), LOG), texts)
    assert mine.windowed == other.windowed == [True, True, False]
    assert mine.tokens == other.tokens
    assert least_cosine(mine.vectors, other.vectors) >= LEAST_COSINE["fp32"]


def test_ranking_is_that_of_torch(cache: Path, reference: Any, paragraphs: list[str]) -> None:
    engine = load(Options(MODEL), LOG, environ(cache))
    texts = [p for p in paragraphs if len(p) < 300][:150]
    mine, other = embed(engine, texts).vectors, encode(reference, texts)
    same = 0
    for row in range(100):
        first = set(np.argsort(-(mine @ mine[row]))[:10].tolist())
        second = set(np.argsort(-(other @ other[row]))[:10].tolist())
        same += len(first & second)
    assert same >= 990


def test_a_process_that_has_it_converted_loads_no_torch_and_tells_nobody(cache: Path) -> None:
    code = (
        "import logging, sys\n"
        "from embed_worker.engines import load_engine\n"
        "from embed_worker.engines.base import Options\n"
        f"engine = load_engine(Options({MODEL!r}), logging.getLogger())\n"
        "assert engine.info.versions['engine'] == 'openvino'\n"
        "names = ('torch', 'transformers', 'sentence_transformers', 'openvino.tools.ovc')\n"
        "print([n for n in (*names, 'openvino_telemetry') if sys.modules.get(n)])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env=environ(cache),
        check=False,
    )
    assert done.stdout == "[]\n", done.stderr


def test_several_that_need_it_convert_it_once(tmp_path: Path, copied: list[str]) -> None:
    found, made = find_model(MODEL), list[Path]()
    caches = [ModelCache(tmp_path / "models", LOG) for _ in range(4)]
    threads = [threading.Thread(target=lambda c=c: made.append(c.get(found)[0])) for c in caches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(copied) == 1
    assert (len(made), len(set(made))) == (4, 1)


def test_what_a_killed_conversion_leaves_harms_nobody(
    tmp_path: Path, cache: Path, copied: list[str]
) -> None:
    code = (
        "import logging\n"
        "from embed_worker.engines import load_engine\n"
        "from embed_worker.engines.base import Options\n"
        f"load_engine(Options({MODEL!r}), logging.getLogger())\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=environ(tmp_path))
    models = tmp_path / "thoth" / "models"
    wait_for(lambda: list(models.glob("*.draft")), 60, "it converts")
    process.kill()
    assert process.wait() == -signal.SIGKILL
    # Its child, which has it for its parent, ends with it.
    wait_for(lambda: not processes_with(str(tmp_path)), 10, "the child has ended")
    [draft] = models.glob("*.draft")
    name = converted(cache).name
    assert draft.name == f"{name}.draft"
    assert not (models / name).exists()
    engine = load(Options(MODEL), LOG, environ(tmp_path))
    assert embed(engine, ["a text"]).vectors.shape == (1, 384)
    assert copied == [name]


@pytest.mark.parametrize("damage", ["weights", "cut", "description", "graph"])
def test_damaged_files_are_made_anew_and_never_used(
    cache: Path, tmp_path: Path, reference: Any, damage: str, copied: list[str]
) -> None:
    source = converted(cache)
    models = tmp_path / "thoth" / "models"
    models.mkdir(parents=True)
    mine = Path(shutil.copytree(source, models / source.name))
    weights = mine / "model.bin"
    if damage == "weights":
        # As a disk does it: of the right length, and wrong.
        with weights.open("r+b") as file:
            file.seek(50_000_000)
            file.write(random.Random(1).randbytes(1_000_000))
    elif damage == "cut":
        os.truncate(weights, 1_000_000)
    elif damage == "description":
        (mine / "thoth.json").write_text("{}")
    else:
        (mine / GRAPH).write_text("<net/>")
    engine = load(Options(MODEL, precision="fp32"), LOG, environ(tmp_path))
    texts = ["a text", "another one"]
    cosine = least_cosine(embed(engine, texts).vectors, encode(reference, texts))
    assert cosine >= LEAST_COSINE["fp32"]
    assert copied == [source.name]


@pytest.mark.parametrize("problem", [MemoryError(), RuntimeError("core.cpp: std::bad_alloc")])
def test_a_load_without_memory_enough_leaves_the_files_alone(
    cache: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception, copied: list[str]
) -> None:
    def graph(*_: Any) -> None:
        raise problem

    monkeypatch.setattr("embed_worker.engines.openvino.Graph", graph)
    with pytest.raises(type(problem)):
        load(Options(MODEL), LOG, environ(cache))
    assert converted(cache).is_dir()
    assert not copied


def static_model(folder: Path) -> Path:
    """A model that takes other inputs than rows of ids: it is not converted."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(find_model(MODEL).folder / "tokenizer.json"))
    static = modules.StaticEmbedding(tokenizer, embedding_dim=16)
    SentenceTransformer(modules=[static], device="cpu").save(str(folder))
    return folder


def test_a_model_that_does_not_convert_says_so_and_runs_on_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = str(static_model(tmp_path / "static"))
    truncating = Options(model, long_text="truncate")
    engine = load_engine(truncating, LOG)
    assert engine.info.versions["engine"] == "sentence_transformers"
    assert embed(engine, ["a text"]).vectors.shape == (1, 16)
    [refused] = (tmp_path / "cache" / "thoth" / "models").glob(f"*/{REFUSED}")
    why = refused.read_text().strip()
    assert why
    assert why in caplog.text
    # It is not tried again at each start.
    assert "converting" in caplog.text
    caplog.clear()
    with pytest.raises(NotConverted):
        load(truncating, LOG)
    assert "converting" not in caplog.text
    with pytest.raises(SettingsError, match="THOTH_ENGINE is openvino"):
        load_engine(Options(model, engine="openvino", long_text="truncate"), LOG)


def test_where_its_cache_cannot_be_written_to_torch_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "thoth").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    engine = load_engine(Options(MODEL), LOG)
    assert isinstance(engine, SentenceTransformersEngine)
    assert f"it cannot be written to {tmp_path / 'thoth' / 'models'}" in caplog.text


def test_precisions_that_cannot_be_had_are_settings_errors(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="THOTH_PRECISION is fp16"):
        load(Options(MODEL, precision="fp16"), LOG, environ(cache))
    # One whose vectors are too far off is not computed in.
    source = converted(cache)
    models = tmp_path / "thoth" / "models"
    models.mkdir(parents=True)
    mine = Path(shutil.copytree(source, models / source.name))
    said = json.loads((mine / "thoth.json").read_text())
    said["cosines"]["bf16"] = 0.99
    (mine / "thoth.json").write_text(json.dumps(said))
    assert load(Options(MODEL), LOG, environ(tmp_path)).info.precision == "fp32"
    if has_bf16():
        with pytest.raises(SettingsError, match="THOTH_PRECISION is bf16"):
            load(Options(MODEL, precision="bf16"), LOG, environ(tmp_path))
