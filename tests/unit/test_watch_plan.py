"""What changes in watched folders lead to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from thoth_core.client.watch_plan import LATE, MANY, batch, pause
from thoth_core.documents.discover import is_below

ROOTS, OWN = ["/n", "/work/d"], ["/n/db"]
PARTS = st.sampled_from(["a", "b.md", ".h", "node_modules", ".gitignore", "db", "n", "work", "d"])
PATHS = st.lists(PARTS, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


@given(st.lists(PATHS, max_size=30))
def test_only_what_may_be_a_document_is_looked_at_and_once(paths: list[str]) -> None:
    found = batch(paths, ROOTS, OWN)
    assert not (found.whole and found.changed)
    for root, path in found.changed:
        assert root in ROOTS and is_below(path, root) and not is_below(path, OWN[0])
        assert not any(p.startswith(".") or p == "node_modules" for p in path.split("/"))
        assert not any(path != other and is_below(path, other) for _, other in found.changed)
    plain = [
        path
        for path in paths
        if any(is_below(path, root) for root in ROOTS)
        and not is_below(path, OWN[0])
        and not any(p.startswith(".") or p == "node_modules" for p in path.split("/"))
    ]
    for path in plain:
        assert found.whole or any(is_below(path, seen) for _, seen in found.changed)


def test_an_ignore_file_that_changes_has_its_folder_looked_at() -> None:
    assert batch(["/n/a/.gitignore"], ROOTS, OWN).changed == [("/n", "/n/a")]
    assert batch(["/n/.thothignore"], ROOTS, OWN).whole
    assert not batch(["/n/.git/.gitignore", "/n/.hidden.md", "/other/a.md"], ROOTS, OWN)


def test_when_much_changed_or_a_folder_itself_the_whole_is_looked_at() -> None:
    paths = [f"/n/{i}.md" for i in range(MANY)]
    assert not batch(paths[1:], ROOTS, OWN).whole
    # What is hidden, or the service's, may have pushed out what is not.
    hidden = [f"/n/.git/{i}" for i in range(MANY - 1)]
    assert not batch(hidden * 2, ROOTS, OWN)
    assert batch(["/n/a.md", *hidden], ROOTS, OWN).whole
    assert batch(paths, ROOTS, OWN).whole and batch(["/work/d"], ROOTS, OWN).whole


def test_the_data_of_the_service_is_known_through_links_too() -> None:
    links = {"/n/link/log.md": "/data/log.md", "/n/a.md": "/elsewhere/a.md"}
    assert batch(links, ["/n"], ["/data"], links.__getitem__).changed == [("/n", "/n/a.md")]


def test_tries_become_rarer() -> None:
    pauses = [pause(n) for n in range(1, 12)]
    assert pauses == sorted(pauses) and pauses[0] == 1.0 and pauses[-1] == LATE


def test_a_folder_that_was_given_counts_though_it_is_hidden_below_another() -> None:
    roots = ["/n", "/n/.h/in", "/n/build"]
    assert batch(["/n/.h/in/a.md"], roots, OWN).changed == [("/n/.h/in", "/n/.h/in/a.md")]
    assert batch(["/n/build/a.md"], roots, OWN).changed == [("/n/build", "/n/build/a.md")]
    assert not batch(["/n/.h/a.md"], roots, OWN)
    # Come to from /n/w, the folder in it would be left out, and pruned.
    assert batch(["/n/w"], ["/n", "/n/w/build"], OWN).whole
