"""A service that the tests of one file share, where none of them ends it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.watching import TWO_BULK
from tests.support.service import RealService


@pytest.fixture(scope="module")
def shared() -> Iterator[RealService]:
    """A running service with the fake model, faults allowed and two bulk workers, one for the
    file."""
    service = RealService.make(THOTH_FAULTS="1", **TWO_BULK)
    try:
        yield service.start()
    finally:
        service.close()
