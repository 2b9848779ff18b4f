"""How a store that is at something long shows that it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from store_worker.ledger import Ledger
from thoth_core.wire import decode
from thoth_core.worker.birth import Birth
from thoth_core.worker.channel import Channel, Delivery
from thoth_core.worker.memory import own_bytes, resident_bytes


@pytest.fixture
def channel() -> Iterator[Channel]:
    """One whose I/O thread was never started."""
    made = Channel(Birth("store", "store", "one", "/nowhere", 1, -1))
    yield made
    made._wake_in.close()
    made._wake_out.close()


def beat(channel: Channel) -> dict[str, Any]:
    return dict(decode(channel._beat()).body)


def test_a_beat_is_a_step_only_while_the_main_thread_says_so(channel: Channel) -> None:
    first = beat(channel)["progress"]
    assert beat(channel)["progress"] == first
    with channel.unseen(1000.0):
        during = [beat(channel)["progress"] for _ in range(3)]
    assert during == [first + 1, first + 2, first + 3]
    after = beat(channel)["progress"]
    assert beat(channel)["progress"] == after


def test_what_takes_longer_than_it_may_is_a_step_no_more(channel: Channel) -> None:
    with channel.unseen(0.0):
        assert beat(channel)["progress"] == beat(channel)["progress"]


def test_what_arrived_and_was_not_taken_is_work(channel: Channel) -> None:
    assert beat(channel)["busy"] is False
    channel._inbox.append(Delivery(decode(channel._beat())))
    assert beat(channel)["busy"] is True


def test_memory_is_measured_once_the_worker_is_ready(channel: Channel) -> None:
    assert beat(channel)["memory_bytes"] is None
    channel.was_ready = True
    assert 1_000_000 < beat(channel)["memory_bytes"] < 10**12


def test_a_statement_that_takes_long_says_that_it_goes_on(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite3", "first")
    told: list[int] = []
    ledger.tell_progress(lambda: told.append(1))
    ledger.db.execute("SELECT 1").fetchall()
    assert not told
    count = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)"
        " SELECT count(*) FROM n"
    )
    assert ledger.db.execute(count).fetchone()[0] == 1_000_000
    assert len(told) > 5
    told.clear()
    ledger.db.execute("CREATE TABLE big AS " + count.replace("count(*)", "i"))
    told.clear()
    ledger.write_anew()
    assert told, "VACUUM too"
    ledger.close()


def test_memory_of_a_process_that_is_gone_is_not_known() -> None:
    assert own_bytes(2**22 + 1) is None
    assert resident_bytes(2**22 + 1) is None
    own, resident = own_bytes(), resident_bytes()
    assert own is not None and resident is not None
    # Nothing that is mapped from files or shared with others is counted.
    assert 0 < own < resident * 1.1
