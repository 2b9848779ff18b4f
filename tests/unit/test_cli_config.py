"""thoth config: where settings are, and how they are changed."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import click
import pytest

from cli import main as thoth_cli
from cli import supervisor as supervisor_cli
from cli.run import run

SECRET = "sk-" + "a" * 30


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a configuration folder of the user's."""
    for name in [*os.environ]:
        if name.startswith(("RAG_", "THOTH_", "OPENAI_", "API_OPENAI", "WORKSPACE_DIR")):
            monkeypatch.delenv(name)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("THOTH_RUNTIME_DIR", f"/tmp/th-{os.getpid()}")
    return tmp_path


@pytest.fixture
def thoth(home: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(thoth_cli.thoth, "thoth", list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def user_file(home: Path) -> Path:
    return home / "config" / "thoth" / "thoth.toml"


def test_set_writes_the_users_file_and_show_finds_it(home: Path, thoth: Any) -> None:
    code, out, _ = thoth("config", "set", "rag_chunk_size", "200")
    assert (code, out) == (0, f"RAG_CHUNK_SIZE: set in {user_file(home)}\n")
    assert user_file(home).read_text() == "RAG_CHUNK_SIZE = 200\n"
    shown = json.loads(thoth("config", "show", "--json")[1])["settings"]
    [row] = [each for each in shown if each["name"] == "RAG_CHUNK_SIZE"]
    assert (row["value"], row["origin"]) == (200, f"{user_file(home)}:1")


def test_set_keeps_comments_mode_and_what_a_link_points_to(home: Path, thoth: Any) -> None:
    real = home / "dotfiles.toml"
    real.write_text("# mine\nchunk_size = 100  # small\n")
    real.chmod(0o640)
    user_file(home).parent.mkdir(parents=True)
    user_file(home).symlink_to(real)
    assert thoth("config", "set", "RAG_CHUNK_SIZE", "200")[0] == 0
    assert real.read_text() == "# mine\nchunk_size = 200  # small\n"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert user_file(home).is_symlink()
    assert sorted(p.name for p in real.parent.glob(".*")) == []


def test_unset_takes_the_line_out_and_says_what_counts_now(home: Path, thoth: Any) -> None:
    user_file(home).parent.mkdir(parents=True)
    user_file(home).write_text("# mine\nRAG_RETRIEVAL_K = 5  # few\n[thoth]\nchunk_size = 90\n")
    assert thoth("config", "set", "RAG_RETRIEVAL_K", "9", "--project")[0] == 0
    file = home / "work" / "thoth.toml"
    code, out, err = thoth("config", "unset", "rag_retrieval_k", "--project")
    assert (code, out) == (0, f"RAG_RETRIEVAL_K is taken out of {file}\n")
    # The first file of its kind is the one that counts, and it is there still.
    assert err == "RAG_RETRIEVAL_K is 4 now (default)\n"
    file.unlink()
    told = json.loads(thoth("config", "unset", "RAG_CHUNK_SIZE", "--json")[1])
    assert (told["name"], told["removed"], told["restart"]) == ("RAG_CHUNK_SIZE", True, False)
    assert user_file(home).read_text() == "# mine\nRAG_RETRIEVAL_K = 5  # few\n[thoth]\n"
    code, out, err = thoth("config", "unset", "RAG_CHUNK_SIZE")
    assert (code, out) == (0, f"RAG_CHUNK_SIZE is not set in {user_file(home)}\n")
    assert err == "RAG_CHUNK_SIZE is 500 now (default)\n"
    assert thoth("config", "unset", "RAG_CHUNK_SIZ")[0] == 2


def test_what_was_done_is_said_though_other_settings_are_wrong(home: Path, thoth: Any) -> None:
    assert thoth("config", "set", "RAG_QA_MODEL", "openai/x")[0] == 0
    code, _, err = thoth("config", "unset", "OPENAI_API_KEY")
    assert (code, err) == (0, "API_OPENAI_KEY is without a value now (default)\n")
    (home / "work" / "thoth.toml").write_text("RAG_RETRIEVAL_K = 'many'\n")
    for command in (["set", "RAG_QA_MODEL", "openai/y"], ["unset", "RAG_QA_MODEL"]):
        code, out, err = thoth("config", *command, "--json")
        assert (code, json.loads(out)["name"]) == (0, "RAG_QA_MODEL")
        assert "the settings cannot be used: RAG_RETRIEVAL_K is 'many'" in err
    assert user_file(home).read_text() == ""


def test_unset_mends_a_wrong_value(home: Path, thoth: Any) -> None:
    user_file(home).parent.mkdir(parents=True)
    user_file(home).write_text("RAG_CHUNK_SIZE = 'none'\n")
    assert thoth("config", "show")[0] == 2
    assert thoth("config", "unset", "RAG_CHUNK_SIZE")[0] == 0
    assert user_file(home).read_text() == ""


def test_project_is_the_current_folder_and_goes_before(home: Path, thoth: Any) -> None:
    assert thoth("config", "set", "RAG_RETRIEVAL_K", "9", "--project")[0] == 0
    assert (home / "work" / "thoth.toml").read_text() == "RAG_RETRIEVAL_K = 9\n"
    code, _, err = thoth("config", "set", "RAG_RETRIEVAL_K", "5")
    assert code == 0
    assert "goes before it here" in err
    assert f"{home}/work/thoth.toml:1" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("RAG_CHUNK_SIZE", "many"), "a whole number"),
        (("RAG_CHUNK_OVERLAP", "600"), "must be below RAG_CHUNK_SIZE"),
        (("THOTH_DEVICE", "tpu"), "cuda"),
        (("RAG_CHUNK_SIZ", "5"), "RAG_CHUNK_SIZE"),
        (("RAG_COLLECTION_NAME", ""), "empty"),
        (("API_OPENAI_KEY", SECRET), ".env"),
        (("OPENAI_API_KEY", SECRET), ".env"),
    ],
)
def test_what_is_refused_leaves_the_file_as_it_was(
    home: Path, thoth: Any, arguments: tuple[str, str], said: str
) -> None:
    user_file(home).parent.mkdir(parents=True)
    user_file(home).write_text("# mine\n")
    code, out, err = thoth("config", "set", *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert SECRET not in err
    assert ".part" not in err
    assert user_file(home).read_text() == "# mine\n"
    assert [p.name for p in user_file(home).parent.iterdir()] == ["thoth.toml"]


def test_a_key_is_written_if_asked_and_then_for_its_owner_alone(home: Path, thoth: Any) -> None:
    user_file(home).parent.mkdir(parents=True)
    user_file(home).write_text("# mine\n")
    user_file(home).chmod(0o644)
    assert thoth("config", "set", "API_OPENAI_KEY", SECRET, "--plain-key")[0] == 0
    assert SECRET in user_file(home).read_text()
    assert stat.S_IMODE(user_file(home).stat().st_mode) == 0o600


def test_a_wrong_value_can_be_mended_by_set(home: Path, thoth: Any) -> None:
    user_file(home).parent.mkdir(parents=True)
    user_file(home).write_text("RAG_CHUNK_SIZE = 'none'\n")
    assert thoth("config", "show")[0] == 2
    assert thoth("config", "set", "RAG_CHUNK_SIZE", "300")[0] == 0
    assert thoth("config", "show")[0] == 0


def test_path_tells_the_files_in_their_order_whatever_is_in_them(home: Path, thoth: Any) -> None:
    work = home / "work"
    (work / "thoth.toml").write_text("no toml")
    (home / "space").mkdir()
    (home / "space" / "thoth.toml").write_text("")
    (work / ".env").write_text(f"WORKSPACE_DIR={home}/space\n")
    told = json.loads(thoth("config", "path", "--json")[1])
    assert [
        (f["path"].removeprefix(f"{home}/"), f["exists"], f["read"]) for f in told["files"]
    ] == [
        ("work/.env", True, True),
        ("config/thoth/.env", False, False),
        ("work/thoth.toml", True, True),
        ("space/thoth.toml", True, False),
        ("config/thoth/thoth.toml", False, False),
    ]
    assert told["user"] == str(user_file(home))
    lines = thoth("config", "path")[1].splitlines()
    assert lines[0] == f"read       {work}/.env"
    assert lines[3] == f"not read   {home}/space/thoth.toml"


def editor(home: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """An editor that does what a shell script says with the file ``$1``."""
    path = home / "an editor"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    monkeypatch.setenv("VISUAL", f"'{path}'")


def test_edit_puts_what_was_written_in_the_place_of_the_file(
    home: Path, thoth: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor(
        home, monkeypatch, "echo 'RAG_CHUNK_SIZE = 90' >> \"$1\"; echo 'rag_chonk = 1' >> \"$1\""
    )
    code, out, err = thoth("config", "edit")
    assert (code, out) == (0, f"{user_file(home)}: changed\n")
    assert "RAG_CHUNK_SIZE = 90" in user_file(home).read_text()
    assert "rag_chonk" in err
    editor(home, monkeypatch, "true")
    assert thoth("config", "edit")[1] == f"{user_file(home)}: not changed\n"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'RAG_CHUNK_SIZE = 1' >> \"$1\"", "a whole number"),
        ("echo 'RAG_CHUNK_SIZE' >> \"$1\"", "no TOML"),
        ("echo '# more' >> \"$1\"; exit 3", "ended with 3"),
    ],
)
def test_what_was_edited_wrongly_changes_nothing_and_is_kept(
    home: Path, thoth: Any, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    monkeypatch.setenv("TMPDIR", str(home))
    monkeypatch.setattr("tempfile.tempdir", None)
    editor(home, monkeypatch, script)
    code, out, err = thoth("config", "edit")
    assert (code, out) == (2, "")
    assert said in err
    assert not user_file(home).exists()
    kept = list(home.glob("thoth-*.toml"))
    assert len(kept) == ("exit" not in script)
    assert all(str(p) in err for p in kept)


def test_on_a_terminal_it_can_be_edited_again(
    home: Path, thoth: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    asked: list[str] = []

    def yes(text: str, **_: object) -> bool:
        asked.append(text)
        return True

    monkeypatch.setattr(click, "confirm", yes)
    first = f'test -e {home}/once && echo "RAG_CHUNK_SIZE = 70" > "$1"'
    editor(home, monkeypatch, f'{first} || {{ touch {home}/once; echo bad > "$1"; }}')
    assert thoth("config", "edit")[0] == 0
    assert asked == ["edit it again?"]
    assert user_file(home).read_text() == "RAG_CHUNK_SIZE = 70\n"


def test_an_editor_that_is_not_there_is_named(
    home: Path, thoth: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", "no-such-editor")
    code, _, err = thoth("config", "edit")
    assert code == 2
    assert "no-such-editor" in err
    assert "export VISUAL" in err


def test_what_needs_a_restart_is_said_while_a_service_runs(
    home: Path, thoth: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "restart" not in thoth("config", "set", "THOTH_QUEUE_MB", "128")[2]
    monkeypatch.setattr("thoth_core.client.locate.listening", lambda path: True)
    _, _, err = thoth("config", "set", "THOTH_QUEUE_MB", "64")
    assert "thoth-supervisor stop; thoth-supervisor start" in err
    assert "thoth-supervisor" not in thoth("config", "set", "RAG_RETRIEVAL_K", "5")[2]


def commands(group: click.Group, path: str) -> Any:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


EVERY = [
    *commands(thoth_cli.thoth, "thoth"),
    *commands(supervisor_cli.supervisor, "thoth-supervisor"),
]


@pytest.mark.parametrize(("path", "command"), EVERY, ids=[path for path, _ in EVERY])
def test_every_command_takes_json_quiet_and_verbose(path: str, command: click.Command) -> None:
    names = {option for param in command.params for option in param.opts}
    assert {"--json", "-q", "--quiet", "-v", "--verbose"} <= names


@pytest.mark.parametrize(
    "arguments",
    [
        ("delete", "--id", "a"),
        ("collections", "delete", "abc"),
        ("collections", "reembed", "abc", "--abort"),
        ("quarantine", "clear", "--all"),
    ],
)
def test_what_loses_something_asks_and_elsewhere_refuses(
    thoth: Any, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    code, out, err = thoth("--no-autostart", *arguments)
    assert (code, out) == (2, "")
    assert "--yes" in err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("sys.stdin.readline", lambda: "n\n", raising=False)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: "n")
    code, out, err = thoth("--no-autostart", *arguments)
    # Said no: nobody was asked to do anything.
    assert (code, out) == (130, "")
