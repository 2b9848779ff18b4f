"""Fixtures that start a real service, and how tests are spread over processes."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support import side_by_side
from tests.support.service import RealService

Make = Callable[..., RealService]

# How long an example takes is a matter of what else the machine does.
settings.register_profile("thoth", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("thoth")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: side_by_side.place(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """For ``--dist loadfile``: see ``side_by_side``."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return side_by_side.group_of(nodeid)

    return Scheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """What a test printed goes to another process when tests run side by side, and some print what
    UTF-8 has no form for."""
    return _sendable((yield))


def _sendable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {key: _sendable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_sendable(each) for each in value)
    return value


@pytest.fixture(autouse=True)
def ctrl_c_is_as_it_was() -> Iterator[None]:
    """An interrupted command has the next Ctrl-C end its process, which is here that of all the
    tests; one that then interrupts a call on purpose would end the run."""
    before = signal.getsignal(signal.SIGINT)
    yield
    if signal.getsignal(signal.SIGINT) is not before:
        signal.signal(signal.SIGINT, before)


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
    """A running service with the fake model, faults allowed, and one bulk worker."""
    return make_service(THOTH_FAULTS="1").start()
