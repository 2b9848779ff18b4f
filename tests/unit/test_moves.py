"""Which file has taken the place of which."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from thoth_core.client.moves import Moves, lost, topmost
from thoth_core.documents.discover import is_below

PATHS = st.lists(st.sampled_from(["a", "b", "a.b", "x"]), min_size=1, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
STATES = st.sampled_from(["s", "t", None])


@given(st.lists(PATHS))
def test_of_paths_the_topmost_cover_all_and_none_another(paths: list[str]) -> None:
    top = topmost(paths)
    assert set(top) <= set(paths)
    assert all(any(is_below(path, t) for t in top) for path in paths)
    assert not any(is_below(a, b) for a in top for b in top if a != b)


@given(st.dictionaries(PATHS, STATES), st.sets(PATHS), st.lists(PATHS))
def test_what_lies_in_a_place_that_was_not_seen_is_never_lost(
    stored: dict[str, str | None], found: set[str], unseen: list[str]
) -> None:
    gone = lost(stored, found, unseen)
    for source in stored:
        hidden = any(is_below(source, place) for place in unseen)
        assert (source in gone) == (source not in found and not hidden)


@given(st.dictionaries(PATHS, STATES), st.lists(st.tuples(PATHS, st.sampled_from("st"))))
def test_a_document_is_given_away_once_and_only_for_its_own_content(
    gone: dict[str, str | None], new: list[tuple[str, str]]
) -> None:
    moves = Moves(gone)
    taken = [(moves.take(source, state), state) for source, state in new]
    olds = [old for old, _ in taken if old is not None]
    assert len(olds) == len(set(olds))
    assert all(gone[old] == state for old, state in taken if old is not None)
    for state in "st":
        wanted = sum(1 for _, s in new if s == state)
        there = sum(1 for s in gone.values() if s == state)
        assert sum(1 for old, s in taken if s == state and old) == min(wanted, there)


def test_a_moved_folder_keeps_its_files_apart_however_alike_they_are() -> None:
    names = ["a/__init__.py", "a/b/__init__.py", "a/c/__init__.py", "a/c/other.py"]
    moves = Moves({f"/old/{name}": "empty" for name in names} | {"/old/x": None})
    for name in reversed(names):
        assert moves.take(f"/new/{name}", "empty") == f"/old/{name}"
    assert moves.take("/new/x", "empty") is None


def test_of_two_documents_that_are_equally_like_it_is_the_first() -> None:
    moves = Moves({"/z/a.md": "s", "/b/a.md": "s", "/c/other.md": "s"})
    assert moves.take("/new/name.md", "s") == "/b/a.md"
    assert moves.take("/new/a.md", "s") == "/z/a.md"
    assert moves.take("/new/a.md", "t") is None
