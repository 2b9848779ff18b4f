"""A text that ends the process which embeds it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import Make
from tests.faults.watching import TWO_BULK, wait_until_ready
from tests.support.service import RealService
from thoth_core.errors import PoisonInput


@pytest.fixture
def service(make_service: Make) -> RealService:
    """With two bulk workers."""
    return make_service(THOTH_FAULTS="1", **TWO_BULK).start()


def test_a_poison_text_is_named_and_all_others_are_embedded(service: RealService) -> None:
    supervisor = service.status()["pid"]
    texts = [f"text number {n}" for n in range(120)]
    texts[57] = "!segv"
    with service.client() as thoth:
        with pytest.raises(PoisonInput) as caught:
            thoth.embed(texts)
        assert caught.value.indices == [57]
        partial = caught.value.partial
        assert partial.shape == (120, 32)
        assert np.isnan(partial[57]).all()
        assert np.isfinite(np.delete(partial, 57, axis=0)).all()
        # And the service goes on.
        assert thoth.embed(["after it"]).shape == (1, 32)
    # The last one to die may not have been started again yet.
    status = wait_until_ready(service)
    assert status["pid"] == supervisor
    # Once in its unit, then twice alone.
    assert sum(w["restarts"] for w in status["workers"]) == 3


def test_a_poison_chunk_is_reported_and_the_others_are_stored(service: RealService) -> None:
    with service.client() as thoth:
        report = thoth.add(["good one", "!abort", "good two"], ids=["a", "b", "c"])
        assert [(index, type(error)) for index, error in report.failed] == [(1, PoisonInput)]
        assert thoth.count() == 2
        assert {hit.id for hit in thoth.query("good one", k=5)} == {"a", "c"}
