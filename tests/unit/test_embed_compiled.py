from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from embed_worker.engines.compiled import compiled
from thoth_core.locks import FileLock

LOG = logging.getLogger("test.embed")


class Compiler:
    """What OpenVINO does of it: reads the folder it is given, or writes to it."""

    def __init__(self) -> None:
        self.did: list[str] = []

    def __call__(self, options: Mapping[str, str]) -> str:
        if not options:
            self.did.append("compiled")
        else:
            kept = Path(options["CACHE_DIR"]) / "kept.blob"
            self.did.append("read" if kept.exists() else "written")
            if not kept.exists():
                kept.parent.mkdir(exist_ok=True)
                kept.write_text("made")
            elif kept.read_text() != "made":
                raise RuntimeError("cannot be read")
        return "a model"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "compiled-bf16-1-abc"


def test_what_one_process_made_the_next_ones_read(place: Path) -> None:
    compiler = Compiler()
    for _ in range(3):
        assert compiled(place, compiler, LOG) == "a model"
    assert compiler.did == ["written", "read", "read"]
    assert [each.name for each in place.iterdir()] == ["kept.blob"]


def test_what_cannot_be_read_is_made_anew(place: Path) -> None:
    compiler = Compiler()
    compiled(place, compiler, LOG)
    (place / "kept.blob").write_text("rotten")
    assert compiled(place, compiler, LOG) == "a model"
    compiled(place, compiler, LOG)
    compiled(place, compiler, LOG)
    assert compiler.did == ["written", "read", "compiled", "written", "read"]


def test_what_was_half_written_when_its_process_died_is_not_read(place: Path) -> None:
    draft = place.with_suffix(".draft")
    draft.mkdir()
    (draft / "kept.blob").write_text("half")
    compiler = Compiler()
    compiled(place, compiler, LOG)
    compiled(place, compiler, LOG)
    assert compiler.did == ["written", "read"]


def test_one_process_died_over_it_and_the_next_makes_it_anew(place: Path) -> None:
    compiled(place, Compiler(), LOG)
    # As native code does it that meets what it does not doubt.
    code = (
        "import logging, os, sys\n"
        "from pathlib import Path\n"
        "from embed_worker.engines.compiled import compiled\n"
        "compiled(Path(sys.argv[1]), lambda _: os._exit(9), logging.getLogger())\n"
    )
    died = subprocess.run([sys.executable, "-c", code, str(place)], timeout=60, check=False)
    assert died.returncode == 9
    compiler = Compiler()
    compiled(place, compiler, LOG)
    compiled(place, compiler, LOG)
    assert compiler.did == ["written", "read"]


def test_one_that_is_being_read_is_left_alone(place: Path) -> None:
    compiled(place, Compiler(), LOG)
    mark = FileLock(place / "1.reading")
    assert mark.acquire()
    compiler = Compiler()
    compiled(place, compiler, LOG)
    mark.release()
    assert compiler.did == ["read"]


def test_while_another_makes_it_nobody_waits(place: Path) -> None:
    lock = FileLock(place.with_suffix(".lock"))
    assert lock.acquire()
    compiler = Compiler()
    assert compiled(place, compiler, LOG) == "a model"
    lock.release()
    assert compiler.did == ["compiled"]
    assert not place.exists()


def test_where_nothing_can_be_written_it_is_compiled_each_time(tmp_path: Path) -> None:
    compiler = Compiler()
    assert compiled(tmp_path / "gone" / "compiled", compiler, LOG) == "a model"
    assert compiler.did == ["compiled"]


def test_a_model_that_cannot_be_compiled_at_all_is_an_error(place: Path) -> None:
    def fail(options: Mapping[str, str]) -> None:
        raise RuntimeError("no such operation")

    with pytest.raises(RuntimeError, match="no such operation"):
        compiled(place, fail, LOG)
    assert not place.exists()


def test_where_no_mark_can_be_made_it_is_compiled_and_what_is_there_stays(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = Compiler()
    compiled(place, compiler, LOG)

    def full(*args: object) -> int:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(FileLock, "acquire", full)
        assert compiled(place, compiler, LOG) == "a model"
    compiled(place, compiler, LOG)
    assert compiler.did == ["written", "compiled", "read"]


def test_a_folder_without_anything_in_it_is_not_left_there(place: Path) -> None:
    # As a full disk leaves it: OpenVINO says nothing of what it could not write.
    def writes_nothing(options: Mapping[str, str]) -> str:
        Path(options["CACHE_DIR"]).mkdir()
        return "a model"

    assert compiled(place, writes_nothing, LOG) == "a model"
    assert not place.exists()
    assert not place.with_suffix(".draft").exists()
