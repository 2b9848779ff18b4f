"""``.gitignore`` and ``.thothignore``, compared with git itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from thoth_core.documents.discover import Discovery, Failed, Found, Skipped, Why, discover
from thoth_core.documents.ignore_files import compiled

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="compared with git")

FILES = ("a.txt", "b.md", "sub/a.txt", "sub/b.md", "sub/deep/a.txt", "sub/deep/c.md", "x y/a.txt")


def git(folder: Path, *arguments: str) -> str:
    clean = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=clean, capture_output=True, text=True, check=True
    )
    return done.stdout


def taken_by_git(folder: Path) -> set[str]:
    out = git(folder, "ls-files", "-z", "--others", "--exclude-standard", ".")
    names = {name for name in out.split("\0") if name}
    return {name for name in names if not Path(name).name.startswith(".")}


def taken(folder: Path, **how: bool) -> set[str]:
    items = discover([folder], **how)
    return {str(i.path.relative_to(folder)) for i in items if isinstance(i, Found)}


def tree(root: Path, ignore: dict[str, str] | None = None) -> Path:
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    for name, lines in (ignore or {}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(lines)
    return root


NAMES = st.sampled_from(["a.txt", "b.md", "c.md", "sub", "deep", "x y", "*.md", "*.txt", "*", "a*"])
PATTERN = st.builds(
    lambda no, first, parts, last: no + first + "/".join(parts) + last,
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "", "/", "**/"]),
    st.lists(NAMES | st.just("**"), min_size=1, max_size=3),
    st.sampled_from(["", "", "/", "/*", "/**", " ", "\r"]),
)
LINES = st.lists(
    PATTERN | st.sampled_from(["# a comment", "", "\\#a", "!", "[", "sub\\"]), max_size=5
)


@needs_git
@settings(max_examples=60)
@example(top=[], sub=["/**/"], deep=[], exclude=["*/**/ "])
@given(top=LINES, sub=LINES, deep=LINES, exclude=LINES)
def test_the_same_files_are_taken_as_by_git(
    top: list[str], sub: list[str], deep: list[str], exclude: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = tree(Path(name) / "r")
        git(root, "init", "-q", ".")
        for folder, lines in ((".", top), ("sub", sub), ("sub/deep", deep)):
            (root / folder / ".gitignore").write_text("\n".join(lines))
        (root / ".git" / "info" / "exclude").write_text("\n".join(exclude) + "\n")
        assert taken(root) == taken_by_git(root)


@needs_git
def test_a_folder_of_a_repository_heeds_the_files_above_it(tmp_path: Path) -> None:
    root = tree(tmp_path / "r", {".gitignore": "b.md\n/sub/deep/c.md\n", "sub/.gitignore": "!b.md"})
    git(root, "init", "-q", ".")
    sub = root / "sub"
    assert taken(sub) == taken_by_git(sub) == {"a.txt", "b.md", "deep/a.txt"}
    # Beyond the repository nothing counts.
    (tmp_path / ".gitignore").write_text("*.txt")
    assert taken(sub) == {"a.txt", "b.md", "deep/a.txt"}


def test_a_folder_that_is_named_is_read_though_it_is_ignored(tmp_path: Path) -> None:
    root = tree(tmp_path / "r", {".gitignore": "sub/\na.txt\n", "sub/.thothignore": "c.md\n"})
    (root / ".git").mkdir()
    assert taken(root) == {"b.md"}
    assert taken(root / "sub") == {"a.txt", "b.md", "deep/a.txt"}


def test_thothignore_has_the_last_word_and_both_can_be_left_unheeded(tmp_path: Path) -> None:
    lines = {".gitignore": "*.md\nx y/\n", ".thothignore": "!b.md\nsub/a.txt\n"}
    root = tree(tmp_path / "r", lines)
    assert taken(root) == {"a.txt", "b.md", "sub/b.md", "sub/deep/a.txt"}
    assert taken(root, ignore=False) == set(FILES)


def test_folders_of_programs_are_never_entered_and_the_own_data_is_passed_over(
    tmp_path: Path,
) -> None:
    root = tree(tmp_path / "r")
    for name in ("node_modules/p/a.md", "__pycache__/a.txt", ".venv/a.txt", "db/a.txt"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text("x")
    walk = Discovery(ignore=False, own=[root / "db"])
    items = list(walk.walk([root]))
    skipped = {i.path.name: i.why for i in items if isinstance(i, Skipped)}
    assert skipped.pop("db") is Why.OWN
    assert set(skipped) == {"node_modules", "__pycache__", ".venv"}
    assert set(skipped.values()) == {Why.IGNORED}
    [failed] = Discovery(own=[root / "db"]).walk([root / "db"])
    assert isinstance(failed, Failed) and "data directory" in failed.error.details["reason"]


def test_what_lies_in_the_own_data_is_passed_over_through_a_link_too(tmp_path: Path) -> None:
    root = tree(tmp_path / "r")
    own = tree(tmp_path / "db")
    (root / "link").symlink_to(own)
    for inner in ("link/a.txt", "link/sub/a.txt", "link"):
        items = list(Discovery(own=[own]).within(str(root), str(root / inner)))
        assert items == [Skipped(root / inner, Why.OWN)]


def test_lines_that_are_no_pattern_and_a_file_that_is_none_are_borne(tmp_path: Path) -> None:
    root = tree(tmp_path / "r")
    (root / ".gitignore").write_bytes(b"a.txt\r\n[z-a]\n\xff\xfe\n!\n\\\n**a/***\0\n")
    assert "a.txt" not in taken(root) and "b.md" in taken(root)
    os.mkfifo(root / "sub" / ".gitignore")
    failed = [i for i in discover([root]) if isinstance(i, Failed)]
    assert [f.path for f in failed] == [root / "sub" / ".gitignore"]


@pytest.mark.parametrize("path", [*FILES, "sub", "sub/deep", "node_modules/x.md", "sub/.h.md"])
def test_one_path_is_judged_as_it_would_be_by_the_walk(tmp_path: Path, path: str) -> None:
    lines = {".gitignore": "deep\n", "sub/.thothignore": "b.md\n", "node_modules/x.md": "x"}
    root = tree(tmp_path / "r", lines | {"sub/.h.md": "x"})
    whole = taken(root)
    items = Discovery().within(str(root), str(root / path))
    found = {str(i.path.relative_to(root)) for i in items if isinstance(i, Found)}
    assert found == {name for name in whole if name == path or name.startswith(path + "/")}


DEEP = "/".join("a" * 1000)


@pytest.mark.parametrize(
    ("line", "path", "left_out"),
    [
        ("*a" * 20 + "*b", "a" * 200 + ".md", None),
        ("*a" * 20 + "*md", "a" * 200 + ".md", True),
        ("*?[a]" * 20 + "*b", "a" * 200 + ".md", None),
        ("a/**/" * 8 + "b", DEEP, None),
        ("**/" + "a/**/" * 8 + "a", DEEP, True),
        ("**/*a/" + "**/*a*a/" * 8 + "b", DEEP.replace("a", "aa"), None),
    ],
)
def test_no_line_takes_for_ever(line: str, path: str, left_out: bool | None) -> None:
    patterns = compiled(line.encode())
    assert patterns is not None
    assert patterns.told(path, folder=False) is left_out


LETTERS = st.text("ab", min_size=1, max_size=4)
PATHS = st.lists(LETTERS, min_size=1, max_size=6).map("/".join)
GLOB = st.lists(st.sampled_from(["*", "*", "?", "a", "b", "[ab]"]), min_size=1, max_size=5)
GLOBS = st.builds(
    lambda parts, last: "/".join(parts) + last,
    st.lists(GLOB.map("".join) | st.just("**"), min_size=1, max_size=6),
    st.sampled_from(["", "", "/"]),
).filter(lambda line: not line.endswith("/**/"))


@given(line=GLOBS, paths=st.lists(PATHS, min_size=5, max_size=20), folder=st.booleans())
def test_stars_that_never_go_back_match_what_they_did(
    line: str, paths: list[str], folder: bool
) -> None:
    patterns = compiled(line.encode())
    assert patterns is not None
    for path in paths:
        tried = path + "/" if folder else path
        there = [
            bool(each.regex.search(path))
            if "ps_d" not in each.regex.groupindex
            else any(m.start("ps_d") in (-1, len(path)) for m in each.regex.finditer(tried))
            for each in GitIgnoreSpec.from_lines([line], backend="simple").patterns
            if each.regex is not None
        ]
        assert bool(patterns.told(path, folder=folder)) == any(there)
