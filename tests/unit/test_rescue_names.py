"""Which names the collections of a Chroma directory get, and what is said where that fails."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from thoth_core.chroma_dir.catalog import Collection
from thoth_core.chroma_dir.source import Source
from thoth_core.client.rescue_read import check_free, choose, unreadable
from thoth_core.errors import CollectionExists, CollectionNotFound, InvalidInput

#: A folder as people have them.
FOLDER = Path("/home/a b/it's here")


def source(*named: tuple[str, str]) -> Source:
    """A directory with collections of these names, in these databases."""
    made = Source(FOLDER)
    made.collections = [
        Collection(str(i), name, database, 4, "l2", 16, {}, None, None, None, 0)
        for i, (name, database) in enumerate(named)
    ]
    return made


def targets(of: Source, wanted: list[str] | None = None, as_name: str | None = None) -> list[str]:
    return [target for _, target in choose(of, wanted, as_name)]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (["notes", "other"], ["notes", "other"]),
        (["notes/one", "notes/two"], ["notes", "notes-two"]),
        (["notes/main", "notes/main", "notes/main"], ["notes", "notes-main", "notes-main-2"]),
        # One that has the name by itself keeps it, wherever it stands.
        (["notes", "notes/main", "notes-main"], ["notes", "notes-main-2", "notes-main"]),
        (
            ["notes-main", "notes-main-2", "notes", "notes/main"],
            ["notes-main", "notes-main-2", "notes", "notes-main-3"],
        ),
        # The name of a database can be one that no collection may have.
        (["notes", "notes/my own", "notes/my own"], ["notes", "notes-2", "notes-3"]),
    ],
)
def test_no_two_have_the_same_name(named: list[str], expected: list[str]) -> None:
    pairs = [each.partition("/") for each in named]
    assert targets(source(*((name, database) for name, _, database in pairs))) == expected


def test_one_of_several_with_the_same_name_can_be_had_under_another() -> None:
    three = source(("notes", "one"), ("notes", "main"), ("notes", "main"))
    assert targets(three, ["notes"]) == ["notes", "notes-main", "notes-main-2"]
    for place, mine in enumerate(targets(three)):
        [(found, target)] = choose(three, [mine], "mine")
        assert (found.id, target) == (str(place), "mine")
    with pytest.raises(InvalidInput, match="3 collections cannot have the one name"):
        choose(three, None, "mine")
    with pytest.raises(CollectionNotFound, match="nobody"):
        choose(three, ["nobody"], None)


def command(fix: str, end: str) -> list[str]:
    """The words of the command that a fix names, as a shell reads them."""
    begin, found, rest = fix.partition("thoth rescue ")
    assert (begin, found) == ("", "thoth rescue ")
    words = shlex.split(rest)
    assert words[-2:] == ["--as", end]
    return words


def test_a_name_that_is_taken_is_told_with_a_command_that_works() -> None:
    two = source(("a note", "main"), ("notes", "main"), ("notes", "main"))
    chosen = choose(two, ["notes"], None)
    check_free(two, chosen, {"other"})
    for taken in ("notes", "notes-main"):
        with pytest.raises(CollectionExists) as caught:
            check_free(two, chosen, {taken})
        words = command(caught.value.fix, "ANOTHER-NAME")
        assert words[:3] == [str(FOLDER), "--collection", taken]
        assert len(choose(two, [words[2]], "another")) == 1
    with pytest.raises(InvalidInput) as refused:
        choose(two, ["a note"], None)
    words = command(refused.value.fix, "NAME")
    assert words[:3] == [str(FOLDER), "--collection", "a note"]
    assert targets(two, [words[2]], "another") == ["another"]


def test_the_look_at_a_folder_that_cannot_be_read_names_it_as_a_shell_reads_it() -> None:
    fix = unreadable(FOLDER, "no permission").fix
    assert shlex.split(fix.partition(";")[0]) == ["ls", "-la", str(FOLDER)]
