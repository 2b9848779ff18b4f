"""What the store does about an index process that hangs."""

from __future__ import annotations

import logging
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from store_worker import index_talk
from store_worker.index_talk import DUMP_SECONDS, HANG_SECONDS, IndexTalk
from store_worker.recovery_steps import Ask

LOG = logging.getLogger("thoth.tested")
LOG.disabled = True


def test_one_that_hangs_a_second_time_writes_its_stacks_before_it_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(index_talk, "time", MagicMock(monotonic=lambda: now))
    talk = IndexTalk(Path("/nowhere"), LOG, lambda: None, faults=False)
    child = talk._child = MagicMock(idle=False, op="apply")
    for times in (1, 2):
        # It went on in the moment that it was given, the first time.
        talk.ask(Ask("apply", {}))
        child.asked_at = now
        now += HANG_SECONDS + 1.0
        assert talk.end_if_hung() == DUMP_SECONDS
        assert child.write_stacks.call_count == times
        child.kill.assert_not_called()
    now += DUMP_SECONDS
    talk.end_if_hung()
    child.kill.assert_called_once_with("hung in apply")
