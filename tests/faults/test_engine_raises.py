"""An engine that raises an error for a text."""

from __future__ import annotations

import numpy as np
import pytest

from tests.faults.watching import pids, status
from tests.support.service import RealService
from thoth_core.errors import WorkerRaised


def test_the_text_is_named_and_no_process_dies(shared: RealService) -> None:
    before = pids(shared)
    texts = [f"text number {n}" for n in range(40)]
    texts[7] = texts[31] = "!raise"
    with shared.client() as thoth:
        with pytest.raises(WorkerRaised) as caught:
            thoth.embed(texts)
        assert caught.value.indices == [7, 31]
        assert np.isnan(caught.value.partial[[7, 31]]).all()
        assert np.isfinite(np.delete(caught.value.partial, [7, 31], axis=0)).all()

        report = thoth.add(["one", "!raise", "two"], ids=["1", "x", "2"])
        assert [(index, type(error)) for index, error in report.failed] == [(1, WorkerRaised)]
        assert {row.id for row in thoth.get()} == {"1", "2"}

        with pytest.raises(WorkerRaised):
            thoth.query("!raise")
        assert thoth.query("two", k=1)[0].id == "2"
    assert pids(shared) == before
    assert [worker["restarts"] for worker in status(shared)["workers"]] == [0, 0, 0, 0]
