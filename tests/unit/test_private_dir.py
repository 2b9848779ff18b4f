from __future__ import annotations

import os
from pathlib import Path

import pytest

from thoth_core.errors import SettingsError, StorageError
from thoth_core.private_dir import (
    MAX_RUNTIME_DIR,
    MAX_SOCKET_PATH,
    check_socket_room,
    default_runtime_dir,
    ensure_private_dir,
)


def test_it_is_made_for_this_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = ensure_private_dir(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o700
    assert ensure_private_dir(path) == path


@pytest.mark.parametrize("mode", [0o755, 0o701, 0o770])
def test_one_that_is_open_to_others_is_refused_and_left_alone(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "open"
    path.mkdir()
    path.chmod(mode)
    with pytest.raises(SettingsError) as caught:
        ensure_private_dir(path)
    assert "others have access" in caught.value.cause and "chmod 700" in caught.value.fix
    assert path.stat().st_mode & 0o777 == mode


def test_one_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ensure_private_dir(tmp_path / "mine")
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(SettingsError, match="belongs to the user"):
        ensure_private_dir(path)


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(SettingsError) as caught:
            ensure_private_dir(path)
        assert "THOTH_RUNTIME_DIR" in caught.value.fix


def test_one_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be made"):
        ensure_private_dir(tmp_path / ("x" * 300))


def test_the_longest_socket_fits_and_one_byte_more_is_refused() -> None:
    longest = Path("/" + "x" * (MAX_RUNTIME_DIR - 1))
    check_socket_room(longest, "environment")
    socket = longest / ("f" * 16) / f"store-{'0' * 12}.sock"
    assert len(os.fsencode(socket)) == MAX_SOCKET_PATH
    with pytest.raises(SettingsError) as caught:
        check_socket_room(Path(f"{longest}x"), "environment")
    assert "set THOTH_RUNTIME_DIR" in caught.value.fix
    with pytest.raises(SettingsError):
        check_socket_room(Path("/" + "ä" * (MAX_RUNTIME_DIR // 2 + 1)), "environment")


def test_the_default_is_the_sessions_folder_where_there_is_one(tmp_path: Path) -> None:
    fallback = Path(f"/tmp/thoth-{os.getuid()}")
    short = Path(f"/tmp/thoth-test-{os.getpid()}")
    short.mkdir(mode=0o700)
    try:
        assert default_runtime_dir({"XDG_RUNTIME_DIR": str(short)}) == short / "thoth"
    finally:
        short.rmdir()
    assert default_runtime_dir({}) == fallback
    assert default_runtime_dir({"XDG_RUNTIME_DIR": "/nowhere/at/all"}) == fallback
    long = tmp_path / ("x" * 100)
    long.mkdir()
    assert default_runtime_dir({"XDG_RUNTIME_DIR": str(long)}) == fallback
