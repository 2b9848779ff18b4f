"""A folder and its collection kept alike: second runs, changes, moves, what is gone, and kills."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import RealService
from tests.support.synced import Folder, content, same_as_fresh
from thoth_core import Thoth
from thoth_core.client.ingest_results import FileOutcome


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
        **dict.fromkeys(("new", "changed", "unchanged", "moved", "removed"), 0),
        "failed": [],
        "skipped": {},
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
    assert thoth.ingest(folder.path).removed == 0
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
    c.symlink_to("nowhere")
    report = thoth.ingest(folder.path, prune=True)
    assert set(report.removals) == {str(a), str(b), str(c)} and report.failed == []
    assert report.skipped == {"hidden": 1, "ignored": 1, "binary": 1, "dangling": 1}
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


def test_a_run_that_is_killed_at_any_moment_is_completed_by_the_next(
    running: RealService, thoth: Thoth, folder: Folder
) -> None:
    chance = random.Random(11)
    folder.write(60, sentences=40)
    killed = 0
    for turn in range(10):
        ingest = running.popen("thoth", "ingest", "--prune", "--events", str(folder.path))
        assert ingest.stdout is not None
        events: list[dict[str, Any]] = []
        # At a random event, and at a random moment after it.
        for line in ingest.stdout:
            events.append(json.loads(line))
            if len(events) > chance.randrange(1, 40):
                break
        time.sleep(chance.uniform(0, 0.02))
        killed += ingest.poll() is None
        ingest.kill()
        ingest.communicate(timeout=60)
        report = thoth.ingest(folder.path, prune=True)
        assert report.failed == [], turn
        same_as_fresh(thoth, folder.path)
        folder.stir(12)
    assert killed >= 5
