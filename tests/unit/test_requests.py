"""Which requests of those that no client checked are refused."""

from __future__ import annotations

import pytest

from thoth_core.errors import InvalidInput
from thoth_core.supervisor.requests import LONGEST_MODEL, check
from thoth_core.wire import Message


def embed(model: object) -> Message:
    return Message("embed", "r", body={"texts": ["a"], "model": model})


@pytest.mark.parametrize(
    "model", [7, ["m"], b"m", "a\0b", "m\n2026 ERROR a line", "x" * (LONGEST_MODEL + 1)]
)
def test_a_model_that_is_no_name_is_refused(model: object) -> None:
    with pytest.raises(InvalidInput, match="model"):
        check(embed(model), 1000)


@pytest.mark.parametrize("model", [None, "", "fake/8", "/models/größe 2", "x" * LONGEST_MODEL])
def test_a_name_or_a_path_is_taken(model: object) -> None:
    assert check(embed(model), 1000) == []
