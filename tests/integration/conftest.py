"""Fixtures that several files share, because they take seconds to make."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import real_model, stock_pair
from tests.support.service import RealService
from tests.support.stock_pair import Vectors
from thoth_core import Thoth


@pytest.fixture(scope="module")
def running() -> Iterator[RealService]:
    """A service with a model that costs nothing, and that texts can make crash."""
    service = RealService.make("fake/32", THOTH_FAULTS="1", THOTH_EMBED_WORKERS="1")
    try:
        yield service.start()
    finally:
        service.close()


@pytest.fixture
def thoth(running: RealService) -> Iterator[Thoth]:
    """A client of it; its store has no collections."""
    with running.client() as client:
        for each in client.collections():
            client.delete_collection(each.name)
        yield client


@pytest.fixture(scope="module")
def offline() -> Iterator[None]:
    """Nothing asks the hub."""
    patch = pytest.MonkeyPatch()
    patch.setenv("HF_HUB_OFFLINE", "1")
    yield
    patch.undo()


@pytest.fixture(scope="session")
def reference() -> Any:
    """The packaged model, used as anybody would."""
    from sentence_transformers import SentenceTransformer

    from embed_worker.models import find_model

    return SentenceTransformer(str(find_model(real_model.MODEL).folder), device="cpu")


@pytest.fixture(scope="session")
def paragraphs() -> list[str]:
    return real_model.paragraphs_of_python()


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Chroma directory of ``stock_pair``, not to be changed."""
    path = tmp_path_factory.mktemp("pair") / "chroma"
    stock_pair.build(path)
    return path


@pytest.fixture(scope="session")
def stock(pair: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Vectors]]:
    """The vectors in it as a healthy stock Chroma gives them."""
    folder = tmp_path_factory.mktemp("stock")
    return stock_pair.read(shutil.copytree(pair, folder / "copy"), folder / "read").vectors


@pytest.fixture
def pair_copy(pair: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of it to damage."""
    yield shutil.copytree(pair, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy", ignore_errors=True)
