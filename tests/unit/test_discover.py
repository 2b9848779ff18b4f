from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from thoth_core.documents.discover import Failed, Found, Skipped, Why, discover


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name in ("b.md", "a.txt", "sub/c.MD", "sub/pic.png", ".hidden.md", ".git/x.md", "z/y/d.md"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


def found(items: list[Found | Skipped | Failed], root: Path) -> list[str]:
    return [str(i.path.relative_to(root)) for i in items if isinstance(i, Found)]


def skipped(items: list[Found | Skipped | Failed], why: Why) -> list[str]:
    return [i.path.name for i in items if isinstance(i, Skipped) and i.why is why]


def test_a_folder_is_walked_in_order(tree: Path) -> None:
    items = list(discover([tree]))
    assert found(items, tree) == ["a.txt", "b.md", "sub/c.MD", "z/y/d.md"]
    assert skipped(items, Why.HIDDEN) == [".hidden.md"]
    assert skipped(items, Why.IGNORED) == [".git"]
    assert skipped(items, Why.UNSUPPORTED) == ["pic.png"]
    assert not any(isinstance(item, Failed) for item in items)


def test_what_is_named_is_always_tried(tree: Path) -> None:
    items = list(discover([tree / ".hidden.md", tree / "sub" / "pic.png", str(tree / ".git")]))
    assert found(items, tree) == [".hidden.md", "sub/pic.png", ".git/x.md"]
    assert [i.named for i in items if isinstance(i, Found)] == [True, True, False]


def test_a_file_is_given_once_whatever_leads_to_it(tree: Path) -> None:
    (tree / "sub" / "again.md").symlink_to("../b.md")
    items = list(discover([tree / "b.md", tree, tree]))
    assert found(items, tree) == ["b.md", "a.txt", "sub/c.MD", "z/y/d.md"]
    assert skipped(items, Why.REPEATED) == ["b.md", "again.md", "tree"]


def test_links_in_a_circle_end(tree: Path) -> None:
    (tree / "sub" / "up").symlink_to(tree, target_is_directory=True)
    (tree / "sub" / "self.md").symlink_to("self.md")
    (tree / "sub" / "nowhere.md").symlink_to("gone")
    items = list(discover([tree]))
    assert found(items, tree) == ["a.txt", "b.md", "sub/c.MD", "z/y/d.md"]
    assert skipped(items, Why.REPEATED) == ["up"]
    assert skipped(items, Why.DANGLING) == ["nowhere.md", "self.md"]


def test_sources_are_absolute_and_the_same_from_any_folder(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree / "sub")
    (item,) = discover(["../b.md"])
    assert isinstance(item, Found) and item.source == str(tree / "b.md")


def test_a_named_path_that_is_not_there_fails_and_the_others_go_on(tree: Path) -> None:
    items = list(discover([tree / "gone", tree / "a.txt", "nul\0name"]))
    assert found(items, tree) == ["a.txt"]
    reasons = [i.error.details["reason"] for i in items if isinstance(i, Failed)]
    assert reasons[0] == "there is no such file" and "null" in reasons[1]


def test_a_folder_that_cannot_be_listed_fails_and_the_others_go_on(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.iterdir

    def denied(self: Path) -> Iterator[Path]:
        if self.name == "sub":
            raise PermissionError(13, "Permission denied")
        return real(self)

    monkeypatch.setattr(Path, "iterdir", denied)
    items = list(discover([tree]))
    assert found(items, tree) == ["a.txt", "b.md", "z/y/d.md"]
    (failed,) = [i for i in items if isinstance(i, Failed)]
    assert failed.path == tree / "sub"
    assert failed.error.details["reason"] == "permission denied"


def test_pipes_and_sockets_are_passed_over_or_refused_if_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket.md")
        items = list(discover([tmp_path]))
        assert skipped(items, Why.SPECIAL) == ["pipe.md", "socket.md"]
    (item,) = discover([tmp_path / "pipe.md"])
    assert isinstance(item, Failed)


def test_a_name_that_is_no_utf8_fails_and_the_others_go_on(tree: Path) -> None:
    (tree / os.fsdecode(b"\xff.txt")).write_text("x")
    items = list(discover([tree]))
    assert len(found(items, tree)) == 4
    (failed,) = [i for i in items if isinstance(i, Failed)]
    str(failed.error).encode()


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[int]:
    """Folders inside each other, more than the interpreter can recurse; the number of them.

    They are taken away again one by one: what clears ``tmp_path`` recurses."""
    here, depth = Path.cwd(), 1500
    os.chdir(tmp_path)
    for _ in range(depth):
        Path("d").mkdir()
        os.chdir("d")
    Path("deep.md").write_text("x")
    os.chdir(here)
    yield depth
    os.chdir(tmp_path)
    for _ in range(depth):
        os.chdir("d")
    Path("deep.md").unlink()
    for _ in range(depth):
        os.chdir("..")
        Path("d").rmdir()
    os.chdir(here)


def test_folders_may_be_nested_deeper_than_the_interpreters_stack(
    tmp_path: Path, deep: int
) -> None:
    items = list(discover([tmp_path]))
    assert found(items, tmp_path) == ["d/" * deep + "deep.md"]
