"""How the tests are spread over processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.side_by_side import EACH_ALONE, FIRST, GROUPS, group_of, place

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("file", sorted({*EACH_ALONE, *FIRST}))
def test_each_file_that_is_named_is_there(file: str) -> None:
    assert (ROOT / file).is_file()


@pytest.mark.parametrize("file", sorted(EACH_ALONE))
def test_where_tests_go_alone_they_share_nothing(file: str) -> None:
    text = (ROOT / file).read_text()
    for shared in ('scope="module"', "shared: RealService", "running: RealService", "pair: Path"):
        assert shared not in text


def test_files_go_whole_but_for_those_and_those_of_a_group_go_together() -> None:
    assert group_of("tests/unit/test_x.py::test_a[b::c]") == "tests/unit/test_x.py"
    [alone, *_] = EACH_ALONE
    assert group_of(f"{alone}::test_a[1]") == f"{alone}::test_a[1]"
    for name, files in GROUPS.items():
        assert {group_of(f"{file}::test_a") for file in files} == {name}
        assert set(files) <= set(FIRST)
    assert place(f"{FIRST[0]}::test_a") < place(f"{FIRST[1]}::test_a")
    assert place(f"{FIRST[-1]}::test_a") < place("tests/unit/test_x.py::test_a")
