"""Fixtures that start a real service."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.service import RealService

Make = Callable[..., RealService]

# How long an example takes is a matter of what else the machine does.
settings.register_profile("thoth", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("thoth")


@pytest.fixture
def make_service() -> Iterator[Make]:
    """Make services that are stopped, and checked to leave nothing, at the end of the test."""
    made: list[RealService] = []

    def make(model: str = "fake/32", **settings: str) -> RealService:
        service = RealService.make(model, **settings)
        made.append(service)
        return service

    yield make
    # Each is closed, also when the closing of another fails.
    with contextlib.ExitStack() as closing:
        for service in made:
            closing.callback(service.close)


@pytest.fixture
def service(make_service: Make) -> RealService:
    """A running service with the fake model, faults allowed."""
    return make_service(THOTH_FAULTS="1").start()
