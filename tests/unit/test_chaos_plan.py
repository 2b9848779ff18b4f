"""The plan of the chaos program, and the times that it reads from the supervisor's log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.plan import EARLY, KINDS, plan
from tests.chaos.restarts import Restart, percentile, planned, restarts
from tests.chaos.watcher import Sample, tenths


@given(st.integers(0, 10**6), st.integers(len(KINDS), 400))
def test_a_long_plan_has_every_kind_and_only_the_faults_that_were_asked_for(seed, count):
    made = plan(seed, count)
    assert len(made) == count
    assert {*made} == {*KINDS}
    last = max(place for place, kind in enumerate(made) if kind == "supervisor SIGKILL")
    assert last <= EARLY * count + made.count("supervisor SIGKILL")


@given(st.integers(0, 10**6), st.integers(0, len(KINDS) - 1))
def test_a_short_plan_has_no_kind_twice_and_kills_the_supervisor(seed, count):
    made = plan(seed, count)
    assert len(made) == len({*made}) == count
    assert {*made} <= {*KINDS}
    assert ("supervisor SIGKILL" in made) == (count > 0)


@given(st.integers(0, 10**6), st.integers(0, 60))
def test_kinds_can_be_left_out_or_be_all_that_there_is(seed, count):
    without = ("poison text", "client SIGKILL")
    assert not {*plan(seed, count, without=without)} & {*without}
    assert {*plan(seed, count, ["store stopped", "poison text"], without)} <= {"store stopped"}


def test_the_same_seed_makes_the_same_plan_and_another_another():
    assert plan(5, 300) == plan(5, 300) != plan(6, 300)


LOG = """\
2026-11-29 12:00:00,000 INFO thoth.supervisor: supervisor 10 for /data
2026-11-29 12:00:00,500 INFO thoth.supervisor: worker store (pid 11) is ready
2026-11-29 12:00:01,000 WARNING thoth.supervisor: worker store (pid 11) ended: crash (SIGSEGV)
its last words:
    worker store (pid 11) ended: this is no line of the supervisor's own
2026-11-29 12:00:01,250 WARNING thoth.supervisor: worker embed-bulk-1 (pid 12) ended: killed
2026-11-29 12:00:02,000 WARNING thoth.supervisor: worker store (pid 13) ended: crash (SIGSEGV)
2026-11-29 12:00:02,750 INFO thoth.supervisor: worker store (pid 14) is ready
2026-11-29 12:00:03,000 INFO thoth.supervisor: supervisor 20 for /data
2026-11-29 12:00:04,000 INFO thoth.supervisor: worker embed-bulk-1 (pid 22) is ready
2026-11-29 12:00:05,000 WARNING thoth.supervisor: worker embed-bulk-1 (pid 22) ended: killed
2026-11-29 12:00:05,125 INFO thoth.supervisor: worker embed-bulk-1 (pid 23) is ready
2026-11-29 12:00:06,000 INFO thoth.supervisor: worker store (pid 24) ended: recycled: memory 3 MB
2026-11-29 12:00:09,000 INFO thoth.supervisor: worker store (pid 25) is ready
"""


def test_each_death_counts_until_the_next_worker_of_the_same_supervisor_is_ready():
    assert restarts(LOG.splitlines()) == [
        Restart("store", 1.75),
        Restart("store", 0.75),
        Restart("embed-bulk-1", 0.125),
    ]
    assert [each.role for each in restarts(LOG.splitlines())] == ["store", "store", "embed"]
    assert planned(LOG.splitlines()) == 1


@pytest.mark.parametrize(("share", "expected"), [(0.5, 51), (0.95, 96), (1.0, 100), (0.0, 1)])
def test_percentiles_of_a_hundred(share, expected):
    assert percentile(range(1, 101), share) == expected


def test_the_memory_of_a_supervisor_is_told_by_tenths_of_its_time():
    samples = [Sample(5.0 + n / 2, 1, 1024 * (10 + n // 20), 1024) for n in range(200)]
    assert tenths(samples, lambda each: each.resident) == [10 + n for n in range(10)]
    assert tenths(samples, lambda each: each.own) == [1.0] * 10
    assert tenths(samples[:19], lambda each: each.own) == []
