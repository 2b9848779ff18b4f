"""Where a model is looked for, with folders that hold the right names and a few bytes."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from embed_worker import hub, models
from embed_worker.models import NotFetched, Package, cache_folders, find_model, hash_weights
from thoth_core.errors import ModelNotFound

SHA = hashlib.sha256(b"weights").hexdigest()


def _model(folder: Path, modules: bool = True, weights: bytes = b"weights") -> Path:
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    if modules:
        described = [{"path": "", "type": "T"}, {"path": "1_Pooling", "type": "P"}]
        (folder / "modules.json").write_text(json.dumps(described))
    return folder


def _cached(cache: Path, name: str, commit: str = "c0ffee", main: str | None = "c0ffee") -> Path:
    repository = cache / f"models--{name.replace('/', '--')}"
    folder = _model(repository / "snapshots" / commit)
    if main is not None:
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / "main").write_text(main)
    return folder


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment with an empty cache and no model package."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models, "PACKAGES", {})
    return {"HF_HUB_CACHE": str(tmp_path / "hub")}


def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sha: str, code: str = "") -> Path:
    root = tmp_path / "site"
    _model(root / "pretend_model" / "model")
    (root / "pretend_model" / "__init__.py").write_text(code)
    monkeypatch.syspath_prepend(str(root))
    package = Package("pretend-model", "1.0", "pretend_model", sha)
    monkeypatch.setattr(models, "PACKAGES", {"all-MiniLM-L6-v2": package})
    return root / "pretend_model" / "model"


@pytest.mark.parametrize("modules", [True, False])
def test_a_path_is_that_folder(tmp_path: Path, nowhere: dict[str, str], modules: bool) -> None:
    folder = _model(tmp_path / "deep" / "my-model", modules)
    found = find_model(str(folder), environ=nowhere)
    assert (found.name, found.folder, found.weights, found.place) == (
        "my-model",
        folder,
        SHA,
        "folder",
    )


@pytest.mark.parametrize("spelling", ["./my-model", "my-model"])
def test_a_relative_folder_is_found_from_where_the_worker_stands(
    tmp_path: Path, nowhere: dict[str, str], spelling: str
) -> None:
    folder = _model(tmp_path / "my-model")
    found = find_model(spelling, environ=nowhere)
    assert (found.name, found.folder) == ("my-model", folder)


def test_a_snapshot_given_as_a_folder_has_its_repositorys_name(
    tmp_path: Path, nowhere: dict[str, str]
) -> None:
    folder = _cached(tmp_path / "x", "sentence-transformers/all-MiniLM-L12-v2")
    assert find_model(str(folder), environ=nowhere).name == "all-MiniLM-L12-v2"
    folder = _cached(tmp_path / "x", "org/name")
    assert find_model(str(folder), environ=nowhere).name == "org/name"


def _break_nothing(folder: Path) -> None:
    (folder / "modules.json").unlink()
    (folder / "config.json").unlink()


def _break_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _break_json(folder: Path) -> None:
    (folder / "modules.json").write_text("{not json")


def _break_modules(folder: Path) -> None:
    (folder / "modules.json").write_text('["?"]')


def _break_shards(folder: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_break_nothing, "neither modules.json nor config.json"),
        (_break_weights, "no weights"),
        (_break_json, "cannot be read"),
        (_break_modules, "cannot be read"),
        (_break_shards, "model-2.safetensors"),
    ],
)
def test_a_folder_that_is_no_model_says_what_is_missing(
    tmp_path: Path, nowhere: dict[str, str], damage: object, said: str
) -> None:
    folder = _model(tmp_path / "m")
    assert callable(damage)
    damage(folder)
    with pytest.raises(ModelNotFound) as caught:
        find_model(str(folder), environ=nowhere)
    assert said in caught.value.cause
    assert str(folder) in caught.value.cause
    assert caught.value.fix


def test_a_path_that_does_not_exist_is_not_looked_for_elsewhere(
    tmp_path: Path, nowhere: dict[str, str]
) -> None:
    def fetch(name: str) -> Path:
        raise AssertionError("asked the hub for a path")

    with pytest.raises(ModelNotFound) as caught:
        find_model(str(tmp_path / "gone"), fetch, nowhere)
    assert "no such folder" in caught.value.cause


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_an_installed_package_is_read_and_never_imported(
    tmp_path: Path, nowhere: dict[str, str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = _package(tmp_path, monkeypatch, SHA, "raise SystemExit('imported')")
    found = find_model(name, environ=nowhere)
    assert (found.name, found.folder, found.place) == ("all-MiniLM-L6-v2", folder, "package")
    assert "pretend_model" not in sys.modules


def test_a_package_with_other_weights_is_refused_by_both_hashes(
    tmp_path: Path, nowhere: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _package(tmp_path, monkeypatch, "0" * 64)
    with pytest.raises(ModelNotFound) as caught:
        find_model("all-MiniLM-L6-v2", environ=nowhere)
    assert SHA in caught.value.cause
    assert "0" * 64 in caught.value.cause
    assert "pretend-model==1.0" in caught.value.fix


def test_a_folder_goes_before_a_package(
    tmp_path: Path, nowhere: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _package(tmp_path, monkeypatch, SHA)
    _model(tmp_path / "all-MiniLM-L6-v2")
    assert find_model("all-MiniLM-L6-v2", environ=nowhere).place == "folder"


@pytest.mark.parametrize("name", ["all-MiniLM-L12-v2", "sentence-transformers/all-MiniLM-L12-v2"])
def test_a_cached_model_is_found_with_and_without_its_organisation(
    tmp_path: Path, nowhere: dict[str, str], name: str
) -> None:
    folder = _cached(tmp_path / "hub", "sentence-transformers/all-MiniLM-L12-v2")
    found = find_model(name, environ=nowhere)
    assert (found.name, found.folder, found.place) == ("all-MiniLM-L12-v2", folder, "cache")


def test_the_snapshot_of_main_is_taken_and_without_it_the_only_one(
    tmp_path: Path, nowhere: dict[str, str]
) -> None:
    wanted = _cached(tmp_path / "hub", "org/a", "111", main="111")
    _cached(tmp_path / "hub", "org/a", "222", main=None)
    assert find_model("org/a", environ=nowhere).folder == wanted
    only = _cached(tmp_path / "hub", "org/b", "333", main=None)
    assert find_model("org/b", environ=nowhere).folder == only
    dangling = _cached(tmp_path / "hub", "org/c", "444", main="../../../etc")
    assert find_model("org/c", environ=nowhere).folder == dangling


def test_an_incomplete_download_is_passed_over_and_named(
    tmp_path: Path, nowhere: dict[str, str]
) -> None:
    folder = _cached(tmp_path / "hub", "org/a")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(tmp_path / "blobs" / "gone")
    with pytest.raises(ModelNotFound) as caught:
        find_model("org/a", environ=nowhere)
    assert "no weights" in caught.value.cause


def test_the_error_lists_every_place_and_how_to_get_the_model(
    tmp_path: Path, nowhere: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Package("no-such-model", "1.0", "no_such_model_package", SHA)
    monkeypatch.setattr(models, "PACKAGES", {"all-MiniLM-L6-v2": package})

    def fetch(name: str) -> Path:
        raise NotFetched("no network today")

    with pytest.raises(ModelNotFound) as caught:
        find_model("all-MiniLM-L6-v2", fetch, nowhere)
    cause = caught.value.cause
    assert f"folder {tmp_path / 'all-MiniLM-L6-v2'}" in cause
    assert "package no-such-model: not installed" in cause
    assert f"{tmp_path / 'hub'}/models--sentence-transformers--all-MiniLM-L6-v2" in cause
    assert "hub sentence-transformers/all-MiniLM-L6-v2: no network today" in cause
    assert caught.value.fix == 'pip install "thoth-core[offline]"'
    with pytest.raises(ModelNotFound) as other:
        find_model("org/unknown", fetch, nowhere)
    assert "folder" in other.value.fix


def test_the_hub_is_asked_last_and_under_the_full_name(
    tmp_path: Path, nowhere: dict[str, str]
) -> None:
    asked: list[str] = []

    def fetch(name: str) -> Path:
        asked.append(name)
        return _model(tmp_path / "fetched" / str(len(asked)))

    assert find_model("all-MiniLM-L12-v2", fetch, nowhere).place == "hub"
    assert find_model("org/name", fetch, nowhere).name == "org/name"
    _cached(tmp_path / "hub", "org/here")
    assert find_model("org/here", fetch, nowhere).place == "cache"
    assert asked == ["sentence-transformers/all-MiniLM-L12-v2", "org/name"]


@pytest.mark.parametrize("name", ["a b", "..", "x/..", "é", "", "a/b/c/../../.."])
def test_a_name_that_is_none_never_leaves_the_cache_folder_or_reaches_the_hub(
    nowhere: dict[str, str], name: str
) -> None:
    def fetch(name: str) -> Path:
        raise AssertionError(f"asked for {name}")

    with pytest.raises(ModelNotFound):
        find_model(name, fetch, nowhere)


@pytest.mark.parametrize(
    ("environ", "folders"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, ["/a"]),
        ({"HF_HOME": "/b"}, ["/b/hub"]),
        ({"XDG_CACHE_HOME": "/c"}, ["/c/huggingface/hub"]),
        ({"SENTENCE_TRANSFORMERS_HOME": "/s", "HF_HOME": "/b"}, ["/s", "/b/hub"]),
        ({}, [str(Path("~/.cache/huggingface/hub").expanduser())]),
    ],
)
def test_caches_are_where_hugging_face_keeps_them(
    environ: dict[str, str], folders: Sequence[str]
) -> None:
    assert [str(f) for f in cache_folders(environ)] == folders


def test_the_hash_of_several_files_depends_on_each_and_on_their_names(tmp_path: Path) -> None:
    folder = _model(tmp_path / "m")
    alone = hash_weights(folder)
    assert alone == SHA
    (folder / "1_Pooling" / "model.safetensors").write_bytes(b"more")
    both = hash_weights(folder)
    (folder / "1_Pooling" / "model.safetensors").rename(folder / "1_Pooling" / "z.safetensors")
    assert len({alone, both, hash_weights(folder)}) == 3


def test_pickled_weights_count_only_where_there_are_no_others(tmp_path: Path) -> None:
    folder = _model(tmp_path / "m")
    (folder / "pytorch_model.bin").write_bytes(b"old")
    assert [p.name for p in models.weight_files(folder)] == ["model.safetensors"]
    (folder / "model.safetensors").unlink()
    assert [p.name for p in models.weight_files(folder)] == ["pytorch_model.bin"]


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_the_hub_is_not_asked_when_the_environment_forbids_it(variable: str) -> None:
    with pytest.raises(NotFetched, match=variable):
        hub.fetch("org/name", {variable: "1"})


def test_a_hub_that_does_not_answer_is_given_up_in_time() -> None:
    import threading

    never = threading.Event()
    with pytest.raises(NotFetched, match="no answer"):
        hub.within(0.05, never.wait)
    never.set()


def test_what_the_hub_says_is_passed_on_in_one_line() -> None:
    def fail() -> str:
        raise OSError("no route\nand a long story")

    with pytest.raises(NotFetched, match=r"^OSError: no route$"):
        hub.within(5, fail)
    assert hub.within(5, lambda: "fine") == "fine"
