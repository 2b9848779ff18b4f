"""A folder and its collection kept alike: second runs, changes, moves, what is gone, and kills."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import RealService
from tests.support.synced import Folder, content, same_as_fresh
from thoth_core import Conflict, Thoth
from thoth_core.client import ingest
from thoth_core.client.calls import Calls
from thoth_core.client.ingest_results import FileOutcome
from thoth_core.documents.base import FileBytes


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "docs", random.Random(7))


def test_a_second_run_over_a_thousand_files_embeds_nothing(
    running: RealService, thoth: Thoth, folder: Folder
) -> None:
    folder.write(1000, sentences=1)
    assert thoth.ingest(folder.path).new == 1000
    begun = time.perf_counter()
    done = running.run("thoth", "ingest", "--prune", "--json", str(folder.path))
    print(f"second run over 1,000 files: {time.perf_counter() - begun:.2f} s")
    report = json.loads(done.stdout)
    assert report["files"]["unchanged"] == 1000 and report["embedded"] == 0
    assert report["files"] | {"unchanged": 0} == {
        **dict.fromkeys(("new", "changed", "unchanged", "moved", "removed", "gone"), 0),
        "failed": [],
        "skipped": {},
        "endings": {},
    }


def test_of_a_changed_file_only_the_changed_chunks_are_embedded(
    thoth: Thoth, folder: Folder
) -> None:
    file = folder.path / "long.md"
    parts = [f"# Part {n}\n\n" + f"Sentence of part {n}. " * 300 for n in range(9)]
    file.write_text("\n\n".join(parts))
    whole = thoth.ingest(folder.path)
    assert whole.chunks > 20
    text = file.read_text()
    at = text.index("Sentence of part 4. ", text.index("# Part 4") + 2000)
    file.write_text(text[:at] + "Sentence of Part 4, " + text[at + 20 :])
    report = thoth.ingest(folder.path)
    assert (report.changed, report.unchanged) == (1, 0)
    # The one with the change, and at most its neighbour, which shares some words with it.
    assert 1 <= report.embedded <= 2
    same_as_fresh(thoth, folder.path)


def test_what_is_gone_is_removed_only_if_it_is_asked_for(thoth: Thoth, folder: Folder) -> None:
    first, *_ = folder.write(5)
    thoth.ingest(folder.path)
    text = first.read_text()
    first.unlink()
    left = thoth.ingest(folder.path)
    assert (left.removed, left.gone) == (0, 1), "what is still found is worth a word"
    assert str(first) in content(thoth).sources
    said = thoth.ingest(folder.path, prune=True, dry_run=True)
    assert (said.removed, said.removals) == (1, [str(first)])
    assert str(first) in content(thoth).sources
    told: list[FileOutcome] = []
    report = thoth.ingest(folder.path, on_file=told.append, prune=True)
    assert (report.removed, report.unchanged, report.removals) == (1, 4, [str(first)])
    assert [t.outcome for t in told] == ["unchanged"] * 4 + ["removed"]
    assert all(hit.source != str(first) for hit in thoth.query(text, k=20))
    same_as_fresh(thoth, folder.path)


def test_nothing_outside_the_given_paths_is_removed(thoth: Thoth, folder: Folder) -> None:
    folder.write(6)
    inner, sibling = folder.path / "inner", folder.path / "inner.d"
    for place in (inner, sibling):
        shutil.copytree(folder.path, place, ignore=lambda *_: ["inner", "inner.d"])
    thoth.ingest(folder.path)
    thoth.ingest_text("A letter.", "mail/1")
    for file in (*inner.iterdir(), *sibling.iterdir()):
        file.unlink() if file.name != "0.txt" else None
    report = thoth.ingest(inner, prune=True)
    assert report.removed == 5 and all(r.startswith(f"{inner}/") for r in report.removals)
    # A file is a path like any other.
    assert thoth.ingest(sibling / "1.txt", prune=True).removals == [str(sibling / "1.txt")]
    assert "mail/1" in content(thoth).sources


def test_what_is_ignored_now_or_no_text_any_more_goes(thoth: Thoth, folder: Folder) -> None:
    a, b, c, d = folder.write(4)
    thoth.ingest(folder.path)
    (folder.path / ".thothignore").write_text(a.name)
    b.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    c.unlink()
    report = thoth.ingest(folder.path, prune=True)
    assert set(report.removals) == {str(a), str(b), str(c)} and report.failed == []
    assert report.skipped == {"hidden": 1, "ignored": 1, "binary": 1}
    assert content(thoth).sources == {str(d)}
    assert thoth.ingest(folder.path, prune=True, ignore=False).new == 1


@pytest.mark.parametrize("how", ["missing", "empty", "a part cannot be listed", "a bad file"])
def test_what_cannot_be_seen_is_not_removed(
    thoth: Thoth, folder: Folder, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    folder.write(4)
    (folder.path / "sub").mkdir()
    (folder.path / "sub" / "s.txt").write_text("In a folder.")
    thoth.ingest(folder.path)
    before = content(thoth)
    if how == "missing":
        folder.path.rename(folder.path.with_name("elsewhere"))
    elif how == "empty":
        shutil.rmtree(folder.path)
        folder.path.mkdir()
    elif how == "a bad file":
        (folder.path / "0.txt").write_bytes(b"%PDF-1.4 or so")
    else:
        real = Path.iterdir

        def denied(self: Path) -> Iterator[Path]:
            if self.name == "sub":
                raise OSError(5, "Input/output error")
            return real(self)

        monkeypatch.setattr(Path, "iterdir", denied)
    report = thoth.ingest(folder.path, prune=True)
    assert report.removed == 0 and len(report.failed) == 1
    assert content(thoth) == before
    if how == "empty":
        (folder.path / ".keep").touch()
        assert thoth.ingest(folder.path, prune=True).removed == 5


def test_behind_a_link_to_a_disk_that_is_away_nothing_is_gone(
    thoth: Thoth, folder: Folder, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    (disk / "x.md").write_text("On the disk.")
    (disk / "y.md").write_text("Also on the disk.")
    (folder.path / "link").symlink_to(disk)
    (folder.path / "y.md").symlink_to(disk / "y.md")
    kept = folder.new()
    assert thoth.ingest(folder.path).new == 3
    before = content(thoth)
    disk.rename(tmp_path / "away")
    # A new file with the text of one that is away is no move either.
    (folder.path / "copy.md").write_text("On the disk.")
    report = thoth.ingest(folder.path, prune=True)
    assert (report.removed, report.moved, report.new, report.gone) == (0, 0, 1, 0)
    assert before.sources < content(thoth).sources and str(kept) in before.sources
    (folder.path / "link").unlink()
    (folder.path / "y.md").unlink()
    assert thoth.ingest(folder.path, prune=True).removed == 2


@pytest.mark.parametrize("order", [1, -1])
def test_a_given_folder_that_is_empty_keeps_its_documents_in_any_order(
    thoth: Thoth, folder: Folder, order: int
) -> None:
    mount = folder.path / "mnt"
    mount.mkdir()
    (mount / "report.md").write_text("The report of the year.")
    folder.new()
    given = [folder.path, mount][::order]
    assert thoth.ingest(given).new == 2
    before = content(thoth)
    (mount / "report.md").unlink()
    (folder.path / "copy.md").write_text("The report of the year.")
    for prune in (False, True):
        report = thoth.ingest(given, prune=prune)
        assert (report.removed, report.moved) == (0, 0)
        assert len(report.failed) == int(prune)
    assert before.sources < content(thoth).sources


def test_a_folder_whose_ignore_file_cannot_be_read_is_left_alone(
    thoth: Thoth, folder: Folder
) -> None:
    sub = folder.path / "sub"
    sub.mkdir()
    (folder.path / ".gitignore").write_text("*.log\n")
    (sub / ".gitignore").write_text("!keep.log\n")
    (sub / "keep.log").write_text("Kept.")
    other = folder.new()
    assert thoth.ingest(folder.path).new == 2
    before = content(thoth)
    (sub / ".gitignore").unlink()
    (sub / ".gitignore").mkdir()
    (sub / "new.md").write_text("Perhaps it is a secret.")
    report = thoth.ingest(folder.path, prune=True)
    assert (report.removed, report.new, report.unchanged, len(report.failed)) == (0, 0, 1, 1)
    assert content(thoth) == before and str(other) in before.sources


def test_a_file_that_came_back_meanwhile_has_not_moved(
    thoth: Thoth, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = folder.path / "m.md", folder.path / "z.md"
    old.write_text("The same text.")
    thoth.ingest(folder.path)
    old.unlink()
    new.write_text("The same text.")
    # With it the run looks at what is gone.
    (folder.path / "a.md").write_text("Another text.")
    read = ingest.read_file

    def comes_back(path: Path) -> FileBytes:
        if path == new:
            old.write_text("The same text.")
        return read(path)

    monkeypatch.setattr(ingest, "read_file", comes_back)
    report = thoth.ingest(folder.path)
    assert (report.moved, report.new) == (0, 2)
    assert content(thoth).sources >= {str(old), str(new)}


@pytest.mark.parametrize("prune", [False, True])
def test_a_moved_file_keeps_its_vectors(thoth: Thoth, folder: Folder, prune: bool) -> None:
    first, second, *_ = folder.write(6, sentences=30)
    thoth.ingest(folder.path)
    new = folder.path / "deep" / "er" / "named otherwise.txt"
    new.parent.mkdir(parents=True)
    first.rename(new)
    # A copy is none: the file that it is of is there.
    shutil.copy(second, folder.path / "copy.txt")
    said = thoth.ingest(folder.path, prune=prune, dry_run=True)
    told: list[FileOutcome] = []
    report = thoth.ingest(folder.path, on_file=told.append, prune=prune)
    for each in (said, report):
        assert each.moves == [(str(first), str(new))]
        assert (each.moved, each.new, each.changed, each.removed) == (1, 1, 0, 0)
    assert report.embedded == said.to_embed == 0
    [moved] = [t for t in told if t.outcome == "moved"]
    assert (moved.source, moved.moved_from) == (str(new), str(first))
    same_as_fresh(thoth, folder.path)


def test_a_file_that_is_there_but_ignored_has_not_moved(thoth: Thoth, folder: Folder) -> None:
    first, *_ = folder.write(3)
    thoth.ingest(folder.path)
    shutil.copy(first, folder.path / "copy.txt")
    (folder.path / ".gitignore").write_text(first.name)
    report = thoth.ingest(folder.path)
    assert (report.new, report.moved, report.embedded) == (1, 0, 0)
    assert content(thoth).sources == {str(file) for file in folder.files()}
    assert thoth.ingest(folder.path, prune=True).removals == [str(first)]


def test_a_moved_folder_moves_its_files_but_not_out_of_the_given_paths(
    thoth: Thoth, folder: Folder
) -> None:
    folder.write(5)
    old, new = folder.path / "old", folder.path / "new"
    old.mkdir()
    for file in list(folder.path.glob("*.txt")):
        file.rename(old / file.name)
    (old / "empty.txt").touch()
    thoth.ingest(folder.path)
    old.rename(new)
    # Whoever names only the new place says nothing of the old one.
    report = thoth.ingest(new, prune=True)
    assert (report.new, report.moved, report.removed, report.embedded) == (6, 0, 0, 0)
    assert thoth.ingest(folder.path, prune=True).removed == 6
    new.rename(old)
    report = thoth.ingest(folder.path)
    assert (report.moved, report.new, report.embedded) == (6, 0, 0)
    assert all(Path(a).name == Path(b).name for a, b in report.moves)
    # Over another file, which then is gone too.
    (old / "0.txt").replace(old / "1.txt")
    report = thoth.ingest(folder.path)
    assert report.moves == [(str(old / "0.txt"), str(old / "1.txt"))]
    same_as_fresh(thoth, folder.path)


def test_odd_names_are_files_like_others(
    running: RealService, thoth: Thoth, folder: Folder
) -> None:
    names = [
        "new\nline.txt",
        "\N{GRINNING FACE}.md",
        "tab\t.txt",
        "quote'\".txt",
        "-",
        "~",
        "a.txt/b",
    ]
    for name in names:
        file = folder.path / "x" / (name if "." in name else f"{name}.txt")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"The text of {name}")
    (folder.path / "x" / "loop").symlink_to(folder.path)
    os.mkfifo(folder.path / "x" / "pipe.txt")
    (folder.path / "x" / os.fsdecode(b"\xff.txt")).write_text("no name")
    done = running.run("thoth", "ingest", "--prune", "--events", str(folder.path))
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 3, done.stderr
    outcomes = [e["outcome"] for e in events if e["event"] == "file"]
    assert outcomes.count("new") == len(names) - 1 and outcomes.count("failed") == 1
    assert events[-1]["files"]["skipped"] == {"repeated": 1, "special": 1, "unsupported": 1}
    assert events[-1]["files"]["endings"] == {"": 1}
    for file in folder.path.rglob("*.txt"):
        if file.is_file() and "\n" in file.name:
            file.unlink()
    text = running.run("thoth", "ingest", "--prune", str(folder.path))
    assert f"removed: {folder.path}/x/new\\nline.txt" in text.stderr.splitlines()


@pytest.mark.parametrize("prune", [False, True])
def test_a_file_that_vanishes_before_it_is_read_ends_nothing(
    thoth: Thoth, folder: Folder, monkeypatch: pytest.MonkeyPatch, prune: bool
) -> None:
    first, second, *_ = folder.write(5)
    thoth.ingest(first)
    real = ingest.read_file

    def vanishing(path: Path) -> Any:
        if path in (first, second):
            path.unlink()
        return real(path)

    monkeypatch.setattr(ingest, "read_file", vanishing)
    told: list[FileOutcome] = []
    report = thoth.ingest(folder.path, on_file=told.append, prune=prune)
    assert report.new == 3
    if prune:
        assert report.failed == [] and report.skipped == {"vanished": 2}
        assert report.removals == [str(first)]
        same_as_fresh(thoth, folder.path)
    else:
        assert [source for source, _ in report.failed] == [str(first), str(second)]
        assert str(first) in content(thoth).sources
    assert len({each.source for each in told}) == len(told)


def test_a_file_that_moved_and_cannot_be_stored_leaves_the_old_document(
    thoth: Thoth, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    [file] = folder.write(1)
    thoth.ingest(folder.path)
    before = content(thoth)
    file.rename(folder.path / "new.txt")
    real = Calls.replace_document

    def refused(self: Calls, source: str, *rest: Any) -> Any:
        plan = real(self, source, *rest)
        if source.endswith("new.txt"):
            plan.combine = lambda answers: (_ for _ in ()).throw(Conflict("gone"))
            plan.requests = iter(())
        return plan

    monkeypatch.setattr(Calls, "replace_document", refused)
    report = thoth.ingest(folder.path, prune=True)
    assert (len(report.failed), report.moved, report.removed) == (1, 0, 0)
    assert content(thoth) == before
    monkeypatch.undo()
    assert thoth.ingest(folder.path, prune=True).moved == 1
    same_as_fresh(thoth, folder.path)


def test_a_run_that_is_killed_at_any_moment_is_completed_by_the_next(
    running: RealService, thoth: Thoth, folder: Folder
) -> None:
    chance = random.Random(11)
    folder.write(60, sentences=40)
    killed = 0
    for turn in range(10):
        killed_one = running.popen("thoth", "ingest", "--prune", "--events", str(folder.path))
        assert killed_one.stdout is not None
        events: list[dict[str, Any]] = []
        # At a random event, and at a random moment after it.
        for line in killed_one.stdout:
            events.append(json.loads(line))
            if len(events) > chance.randrange(1, 40):
                break
        time.sleep(chance.uniform(0, 0.02))
        killed += killed_one.poll() is None
        killed_one.kill()
        killed_one.communicate(timeout=60)
        report = thoth.ingest(folder.path, prune=True)
        assert report.failed == [], turn
        same_as_fresh(thoth, folder.path)
        folder.stir(12)
    assert killed >= 5
