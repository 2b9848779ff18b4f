"""Which SIGKILL was the kernel's, for want of memory: by counters as they are passed in."""

from __future__ import annotations

from pathlib import Path

import pytest

from thoth_core.oom import counted, group_folder, oom_kills
from thoth_core.supervisor.memory_kills import LOOKS, MemoryKills


def looked(*counted: int | None) -> MemoryKills:
    """With a look a second at these counts."""
    kills = MemoryKills()
    for second, count in enumerate(counted):
        assert kills.due(float(second))
        kills.look(float(second), count)
        assert not kills.due(second + 0.5)
    return kills


def test_a_kill_that_the_kernel_counted_is_its_own() -> None:
    assert looked(7, 7).explains(8) is True


def test_a_kill_that_it_did_not_count_is_somebody_elses() -> None:
    assert looked(7, 7).explains(7) is False


def test_one_that_was_counted_before_the_last_look_is_found_still() -> None:
    """The kernel counts first, and the process takes its time to end."""
    assert looked(7, 7, 8, 8).explains(8) is True


def test_one_of_long_ago_explains_nothing() -> None:
    assert looked(7, *[8] * LOOKS).explains(8) is False


def test_one_kill_explains_one_death() -> None:
    kills = looked(7)
    assert kills.explains(8) is True
    assert kills.explains(8) is False
    # And the next one the next.
    assert kills.explains(9) is True
    assert kills.explains(9) is False


def test_two_kills_at_once_explain_two_deaths() -> None:
    kills = looked(7, 9)
    assert [kills.explains(9) for _ in range(3)] == [True, True, False]


def test_a_look_between_the_kill_and_the_death_hides_no_later_kill() -> None:
    kills = looked(7, 8)
    assert kills.explains(8) is True
    kills.look(3.0, 8)
    assert kills.explains(9) is True


def test_nor_does_it_when_the_looks_before_the_first_kill_are_forgotten() -> None:
    kills = looked(7, *[8] * (LOOKS - 1))
    assert kills.explains(8) is True
    kills.look(float(LOOKS), 9)
    assert kills.explains(9) is True


@pytest.mark.parametrize("counts", [(None, None), (None, 3), (7, None)])
def test_without_a_counter_nothing_is_said(counts: tuple[int | None, int | None]) -> None:
    first, then = counts
    assert looked(first).explains(then) is None


VMSTAT = "nr_free_pages 1\noom_kill 5\nnuma_hit 0\n"
EVENTS = "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n"


def test_what_the_kernel_counts_is_read() -> None:
    assert counted(VMSTAT) == 5
    assert counted(EVENTS) == 2
    assert counted("oom 3\n") is None
    assert counted("oom_kill many\n") is None


def test_the_control_group_of_version_2_is_found() -> None:
    assert group_folder("0::/a/b\n") == Path("/sys/fs/cgroup/a/b")
    both = "4:memory:/x\n1:name=systemd:/y\n0::/user.slice\n"
    assert group_folder(both) == Path("/sys/fs/cgroup/user.slice")
    assert group_folder("4:memory:/x\n") is None


def test_the_own_group_counts_if_it_has_a_count(tmp_path: Path) -> None:
    system, own = tmp_path / "vmstat", tmp_path / "cgroup"
    assert oom_kills(system, own) is None
    system.write_text(VMSTAT)
    assert oom_kills(system, own) == 5
    group = tmp_path / "group"
    group.mkdir()
    # An absolute path in the place of a name below /sys/fs/cgroup.
    own.write_text(f"0::/../../../{group}\n")
    assert oom_kills(system, own) == 5, "a group without a count says nothing"
    (group / "memory.events").write_text(EVENTS)
    assert oom_kills(system, own) == 2


def test_this_system_is_read_without_an_error() -> None:
    found = oom_kills()
    assert found is None or found >= 0
