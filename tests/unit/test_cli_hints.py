"""What the command line says to a slip of the finger."""

from __future__ import annotations

import pytest

from cli.main import main


@pytest.mark.parametrize(("typed", "meant"), [("querry", "query"), ("collection", "collections")])
def test_a_mistyped_command_is_answered_with_the_nearest(
    typed: str, meant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["thoth", typed])
    try:
        code = main()
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert f"Did you mean {meant!r}?" in capsys.readouterr().err


def test_a_command_like_no_other_is_only_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["thoth", "xyzzy"])
    try:
        code = main()
    except SystemExit as end:
        code = end.code
    assert code == 2
    error = capsys.readouterr().err
    assert "xyzzy" in error
    assert "Did you mean" not in error
