"""What lasts is said once a minute."""

from __future__ import annotations

import logging

import pytest

from store_worker.hindered import SAY_SECONDS, Hindered
from thoth_core.errors import StorageError


def test_what_is_tried_again_and_again_is_said_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 0.0
    hindered = Hindered(logging.getLogger("test"), lambda: now)
    full, held = StorageError("it is full"), StorageError("it is held")
    assert hindered.problem is None
    for _ in range(10):
        hindered.said("not done: %s", full)
        assert hindered.problem is full
        hindered.over()
        now += 2
    assert caplog.messages == ["not done: it is full"]
    hindered.said("not noted: %s", held)
    assert caplog.messages[1:] == ["not noted: it is held"]
    now += SAY_SECONDS
    hindered.said("not noted: %s", held)
    assert len(caplog.messages) == 3
    hindered.over()
    assert hindered.problem is None
