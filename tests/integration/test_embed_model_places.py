"""Small real sentence-transformers models under the names that people use, in every place where a
model can lie. Offline."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embed_worker.engines import load_engine
from embed_worker.engines.base import Options
from embed_worker.models import find_model, hash_weights
from thoth_core.errors import ModelNotFound, SettingsError

LOG = logging.getLogger("test.embed")
NAMES = ("all-MiniLM-L12-v2", "paraphrase-MiniLM-L6-v2")
pytestmark = pytest.mark.usefixtures("offline")


def _make(folder: Path, layers: int, limit: int, prompts: dict[str, str] | None = None) -> Any:
    """A random BERT of 32 dimensions with the packaged tokenizer, saved as a real model."""
    import torch
    import transformers
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    torch.manual_seed(layers)
    base = folder.parent / f"{folder.name}.base"
    tokenizer = transformers.AutoTokenizer.from_pretrained(find_model("all-MiniLM-L6-v2").folder)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=64,
    )
    transformers.BertModel(config).save_pretrained(base)
    tokenizer.save_pretrained(base)
    transformer = modules.Transformer(str(base))
    transformer.max_seq_length = limit
    model = SentenceTransformer(
        modules=[transformer, modules.Pooling(32, "mean"), modules.Normalize()],
        prompts=prompts,
        device="cpu",
    )
    model.save(str(folder), create_model_card=False)
    shutil.rmtree(base)
    return model


def on_torch(model: str, **more: Any) -> Options:
    """Where the files are found does not depend on what computes, and nothing is converted here."""
    return Options(model, engine="sentence_transformers", **more)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one model folder for each of the names."""
    root = tmp_path_factory.mktemp("models")
    _make(root / NAMES[0], layers=2, limit=128)
    _make(root / NAMES[1], layers=1, limit=64)
    return root


def _into_cache(folder: Path, cache: Path, name: str) -> None:
    """As a download leaves it: blobs by hash, a snapshot of links, and where main stands."""
    repository = cache / f"models--sentence-transformers--{name}"
    snapshot = repository / "snapshots" / "0123abcd"
    for number, path in enumerate(sorted(p for p in folder.rglob("*") if p.is_file())):
        blob = repository / "blobs" / f"{number:040x}"
        blob.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, blob)
        link = snapshot / path.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abcd")


def _quiet() -> None:
    """A progress callback that does nothing."""


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_loads_and_says_what_it_is(made: Path, name: str) -> None:
    engine = load_engine(on_torch(str(made / name)), LOG)
    assert engine.info.name == name
    assert engine.info.dimension == 32
    assert engine.info.weights == hash_weights(made / name)
    assert engine.info.max_tokens == {NAMES[0]: 126, NAMES[1]: 62}[name]
    got = engine.embed(["one", "two " * 200], "document", _quiet)
    assert got.windowed == [False, True]
    np.testing.assert_allclose(np.linalg.norm(got.vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("prefix", ["", "sentence-transformers/"])
def test_a_model_in_the_cache_loads_offline_and_is_the_same_as_the_folder(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, prefix: str
) -> None:
    _into_cache(made / name, tmp_path / "hub", name)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    cached = load_engine(on_torch(prefix + name), LOG)
    folder = load_engine(on_torch(str(made / name)), LOG)
    assert cached.info.identity() == folder.info.identity()
    texts = ["one text", "and another one"]
    np.testing.assert_array_equal(
        cached.embed(texts, "document", _quiet).vectors,
        folder.embed(texts, "document", _quiet).vectors,
    )


@pytest.mark.parametrize("name", NAMES)
def test_without_either_the_error_says_where_was_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("SENTENCE_TRANSFORMERS_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFound) as caught:
        load_engine(on_torch(name), LOG)
    cause = caught.value.cause
    assert f"folder {tmp_path / name}" in cause
    assert f"{tmp_path / 'hub'}/models--sentence-transformers--{name}" in cause
    assert f"hub sentence-transformers/{name}: not asked, because HF_HUB_OFFLINE is set" in cause
    assert "RAG_EMBEDDING_MODEL" in caught.value.fix


def test_files_that_cannot_be_loaded_are_one_error_with_the_reason(
    made: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(made / NAMES[0], broken)
    (broken / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(ModelNotFound) as caught:
        load_engine(on_torch(str(broken)), LOG)
    assert str(broken) in caught.value.message
    assert caught.value.cause
    assert caught.value.fix


def test_code_that_a_model_brings_is_not_run(made: Path, tmp_path: Path) -> None:
    import json

    folder = tmp_path / "with-code"
    shutil.copytree(made / NAMES[0], folder)
    proof = tmp_path / "ran"
    (folder / "own.py").write_text(f"open({str(proof)!r}, 'w')\nclass Own: pass\n")
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["type"] = "own.Own"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelNotFound) as caught:
        load_engine(on_torch(str(folder)), LOG)
    assert not proof.exists()
    assert "code of its own" in caught.value.cause
    assert "THOTH_TRUST_REMOTE_CODE=1" in caught.value.fix
    assert str(folder) in caught.value.message


def test_a_models_own_prompts_are_used_and_part_of_its_identity(tmp_path: Path) -> None:
    prompts = {"query": "query: ", "document": "passage: "}
    model = _make(tmp_path / "prompted", layers=1, limit=64, prompts=prompts)
    engine = load_engine(Options(str(tmp_path / "prompted"), precision="fp32"), LOG)
    assert engine.info.prompt == prompts
    texts = ["what is it?", "a longer text about something else"]
    for purpose, encode in (("query", model.encode_query), ("document", model.encode_document)):
        want = encode(texts, normalize_embeddings=True)
        got = engine.embed(texts, purpose, _quiet).vectors
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_a_tokenizer_that_cuts_on_the_left_embeds_as_the_library_does_or_refuses_windows(
    made: Path, tmp_path: Path
) -> None:
    import json

    folder = tmp_path / "left"
    shutil.copytree(made / NAMES[0], folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"truncation_side": "left"}))
    with pytest.raises(SettingsError) as caught:
        load_engine(on_torch(str(folder)), LOG)
    assert caught.value.fix == "THOTH_LONG_TEXT=truncate"
    engine = load_engine(on_torch(str(folder), long_text="truncate"), LOG)
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    texts = ["short", "a b c d " * 100]
    np.testing.assert_allclose(
        engine.embed(texts, "document", _quiet).vectors,
        model.encode(texts, normalize_embeddings=True),
        atol=1e-5,
    )
