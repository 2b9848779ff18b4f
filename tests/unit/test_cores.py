from __future__ import annotations

import os
from pathlib import Path

import pytest

from thoth_core.cores import available_cores, cpu_quota


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def membership(tmp_path: Path) -> Path:
    return tmp_path / "membership"


def test_version_2_counts_the_tightest_group_above(tmp_path: Path, membership: Path) -> None:
    write(membership, "0::/a/b\n")
    write(tmp_path / "cg/cpu.max", "max 100000\n")
    write(tmp_path / "cg/a/cpu.max", "150000 100000\n")
    write(tmp_path / "cg/a/b/cpu.max", "400000 100000\n")
    assert cpu_quota(membership, tmp_path / "cg") == 1.5


def test_in_a_container_the_mount_itself_is_the_group(tmp_path: Path, membership: Path) -> None:
    write(membership, "0::/docker/not-visible-here\n")
    write(tmp_path / "cg/cpu.max", "200000 100000\n")
    assert cpu_quota(membership, tmp_path / "cg") == 2.0


def test_version_1_has_two_files(tmp_path: Path, membership: Path) -> None:
    write(membership, "5:memory:/x\n4:cpu,cpuacct:/box\n0::/\n")
    write(tmp_path / "cg/cpu,cpuacct/box/cpu.cfs_quota_us", "50000\n")
    write(tmp_path / "cg/cpu,cpuacct/box/cpu.cfs_period_us", "100000\n")
    write(tmp_path / "cg/cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
    write(tmp_path / "cg/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    assert cpu_quota(membership, tmp_path / "cg") == 0.5
    assert available_cores(membership, tmp_path / "cg") == 1


@pytest.mark.parametrize("text", ["", "max", "x y", "1 0", "-1 100000"])
def test_what_is_no_quota_is_none(tmp_path: Path, membership: Path, text: str) -> None:
    write(membership, "0::/\nrubbish\n")
    write(tmp_path / "cg/cpu.max", text)
    assert cpu_quota(membership, tmp_path / "cg") is None


def test_a_path_in_the_membership_cannot_lead_outside(tmp_path: Path, membership: Path) -> None:
    write(membership, "0::/../../outside\n")
    write(tmp_path / "outside/cpu.max", "1000 100000\n")
    assert cpu_quota(membership, tmp_path / "mounts" / "cg") is None


def test_without_a_quota_the_affinity_counts(
    tmp_path: Path, membership: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 2, 5}, raising=False)
    assert available_cores(membership, tmp_path) == 3
    write(membership, "0::/\n")
    write(tmp_path / "cpu.max", "200000 100000\n")
    assert available_cores(membership, tmp_path) == 2
