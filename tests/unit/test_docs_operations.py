"""The page about operations names what the service really counts."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from thoth_core.supervisor.counters import COUNTERS, Counters
from thoth_core.supervisor.slots import State

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")


def table(first: str) -> dict[str, str]:
    """The rows of the table whose head begins with ``first``: name to meaning."""
    rows = PAGE.split(f"\n| {first} |")[1].split("\n\n")[0].splitlines()[2:]
    found = [re.fullmatch(r"\| `(\w+)` \| (.+) \|", row) for row in rows]
    assert all(found), rows
    return {match[1]: match[2] for match in found if match}


def counted() -> Iterator[tuple[str, str]]:
    """Every name that the supervisor counts under, with its place in the code."""
    for path in sorted((ROOT / "thoth_core").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("counters"):
                yield ast.literal_eval(node.slice), f"{path.name}:{node.lineno}"


def test_the_page_lists_every_counter_with_its_meaning_and_order() -> None:
    assert list(table("counter").items()) == list(COUNTERS.items())


def test_the_page_lists_every_state_that_a_worker_is_shown_in() -> None:
    # One that was stopped for good is shown as being ended, with the service.
    shown = {state.value for state in State} - {"STOPPED"} | {"BUSY"}
    assert set(table("a worker's `state`")) == shown


def test_what_is_counted_is_in_the_table_and_the_other_way_round() -> None:
    names = dict(counted())
    assert names.keys() - COUNTERS.keys() == set(), names
    assert COUNTERS.keys() - names.keys() == set()


def test_a_counter_that_is_not_in_the_table_is_refused() -> None:
    counters = Counters()
    counters["defects"] += 1
    assert counters.figures() == {**dict.fromkeys(COUNTERS, 0), "defects": 1}
    with pytest.raises(KeyError, match="no counter 'defect'"):
        counters["defect"] += 1
