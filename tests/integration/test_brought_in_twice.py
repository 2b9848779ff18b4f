"""Two imports of one file at once, and two rescues of one directory: one wins, and of the other
nothing is left. The second runs while the first tells of its progress, which then goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.service import RealService, wait_for
from tests.support.stock_pair import BOTH
from thoth_core import Thoth
from thoth_core.client import importing
from thoth_core.client.archive_format import IMPORT_PREFIX
from thoth_core.errors import CollectionExists, Conflict, ThothError

N = 4000
RNG = np.random.default_rng(8)


@pytest.fixture
def large(thoth: Thoth, tmp_path: Path) -> Path:
    """An export of a collection that the store has no more."""
    vectors = RNG.normal(size=(N, 32)).astype(np.float32)
    thoth.upsert([f"i{i}" for i in range(N)], vectors, collection="large")
    thoth.export(tmp_path / "large.zip")
    thoth.delete_collection("large")
    return tmp_path / "large.zip"


def once(at: int, work: Callable[[], object]) -> Callable[[int, int], None]:
    """Told of progress, does ``work`` when so much is done."""
    begun: list[int] = []

    def tell(done: int, total: int) -> None:
        if done >= at and not begun:
            begun.append(done)
            work()

    return tell


def counts(thoth: Thoth) -> dict[str, int]:
    return {each.name: each.count for each in thoth.collections()}


def no_inner_name(problem: ThothError) -> None:
    assert IMPORT_PREFIX not in problem.message + problem.cause


# While the first is under way; between two of the collections; when all is sent.
@pytest.mark.parametrize("at", [500, 3300, 5000])
def test_of_two_rescues_the_later_says_so_and_leaves_nothing(
    running: RealService, thoth: Thoth, pair_copy: Path, at: int
) -> None:
    def other() -> None:
        done = running.run("thoth", "rescue", str(pair_copy), "--json")
        assert done.returncode == 0, done.stderr
        assert sum(each["rows"] for each in json.loads(done.stdout)["collections"]) == 5000

    with pytest.raises(CollectionExists, match=r"'notes'.* was not there when") as caught:
        thoth.rescue(pair_copy, on_progress=once(at, other))
    no_inner_name(caught.value)
    assert caught.value.fix == "thoth collections"
    assert counts(thoth) == {"notes": 3300, "other": 1700}


def test_a_rescue_whose_rows_are_deleted_meanwhile_makes_none_anew(
    thoth: Thoth, pair_copy: Path
) -> None:
    def delete() -> None:
        for each in thoth.collections():
            thoth.delete_collection(each.name)

    with pytest.raises(Conflict, match="deleted"):
        thoth.rescue(pair_copy, ["notes"], on_progress=once(500, delete))
    assert counts(thoth) == {}
    assert thoth.rescue(pair_copy).stored == 5000
    assert set(counts(thoth)) == set(BOTH)


def all_arrived(thoth: Thoth) -> None:
    """What an import has under way when it tells of its first 500 rows: two messages more."""
    wait_for(lambda: list(counts(thoth).values()) == [1500], 30, "what was sent has come")


def test_of_two_imports_the_later_says_so_and_leaves_nothing(
    running: RealService, thoth: Thoth, large: Path
) -> None:
    def other() -> None:
        all_arrived(thoth)
        done = running.run("thoth", "import", str(large), "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["resumed"] == 1500

    with pytest.raises(CollectionExists, match=r"'large'.* was not there when") as caught:
        thoth.import_(large, on_progress=once(500, other))
    no_inner_name(caught.value)
    assert counts(thoth) == {"large": N}


def test_an_import_that_meets_another_does_not_say_that_its_rows_are_to_be_deleted(
    running: RealService, thoth: Thoth, large: Path
) -> None:
    class Enough(Exception):
        pass

    def enough(done: int, total: int) -> None:
        if done >= 2500:
            raise Enough

    def other() -> None:
        all_arrived(thoth)
        with running.client() as client, pytest.raises(Enough):
            client.import_(large, on_progress=enough)

    with pytest.raises(Conflict, match="import") as caught:
        thoth.import_(large, on_progress=once(500, other))
    assert "another import of the same file may be running" in caught.value.cause
    assert caught.value.fix.startswith("wait for it, or end it, and import again")
    # What the other has brought in is there, and it goes on.
    [(name, count)] = counts(thoth).items()
    assert name.startswith(IMPORT_PREFIX)
    assert count >= 2500
    assert thoth.import_(large).resumed >= count
    assert counts(thoth) == {"large": N}


def test_an_import_that_begins_when_another_ends_leaves_nothing(
    running: RealService, thoth: Thoth, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = importing.import_check.check

    def other(*args: object) -> None:
        check(*args)  # type: ignore[arg-type]
        done = running.run("thoth", "import", str(large))
        assert done.returncode == 0, done.stderr

    monkeypatch.setattr(importing.import_check, "check", other)
    with pytest.raises(CollectionExists, match=r"'large'.* was not there when"):
        thoth.import_(large)
    assert counts(thoth) == {"large": N}
