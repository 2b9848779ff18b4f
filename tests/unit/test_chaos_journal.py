"""The journals of the chaos program: what they say of calls and writes, whoever was killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.chaos.book import Book
from tests.chaos.contents import Contents, How
from tests.chaos.expected import unexpected
from tests.chaos.journal import Failure, Journal, JournalBook, Story, read, restored, told
from thoth_core.errors import Overloaded

CONTENTS = Contents(8)


def story(paths: dict[str, Path], *killed: tuple[str, int]) -> Story:
    return told({name: read(path) for name, path in paths.items()}, set(killed), CONTENTS)


def wrote(journal: Journal, write: str, *ids: str, how: How | None = How.OWN) -> Any:
    book = JournalBook(journal)
    return book, book.begin(CONTENTS.states(write, [*ids], how))


def texts(book: Book, id: str) -> set[str | None]:
    return {each.text if each is not None else None for each in book.possible(id)}


def test_calls_are_counted_by_how_they_ended(tmp_path):
    path = tmp_path / "a"
    journal = Journal(path, 0)

    def refuse():
        raise Overloaded("too much")

    assert journal.ask("get", lambda: None) is None
    assert isinstance(journal.ask("add", refuse), Overloaded)
    found = story({"a": path})
    assert (found.requests, found.answers, found.problems()) == (2, 2, [])
    [failure] = found.failures
    assert (failure.name, failure.code) == ("add", "overloaded")
    assert failure.began <= failure.ended
    assert found.answered == {"get": 1}


def test_a_call_without_an_answer_is_a_problem_unless_its_client_was_killed(tmp_path):
    path = tmp_path / "a"
    Journal(path, 3).write("ask", n=1, name="get")
    assert story({"a": path}, ("a", 3)).problems() == []
    assert story({"a": path}, ("a", 3)).cut_off == 1
    for killed in [(), (("a", 2),), (("b", 3),)]:
        [problem] = story({"a": path}, *killed).problems()
        assert "no answer: get, call 1 of a" in problem


@pytest.mark.parametrize("kind", ["answer", "error"])
def test_a_second_answer_is_a_problem(tmp_path, kind):
    path = tmp_path / "a"
    journal = Journal(path, 0)
    journal.ask("get", lambda: None)
    journal.write(kind, n=1, code="x", message="x")
    [problem] = story({"a": path}).problems()
    assert problem.startswith("answered twice")


def test_a_message_for_no_open_call_is_a_problem(tmp_path):
    path = tmp_path / "a"
    Journal(path, 0).write("dropped", messages=1)
    assert story({"a": path}).problems() == ["1 messages were answers to nothing"]


def test_half_a_line_is_what_a_kill_may_leave(tmp_path):
    path = tmp_path / "a"
    journal = Journal(path, 0)
    journal.ask("get", lambda: None)
    with path.open("ab") as file:
        file.write(b'{"at": 17, "li')
    Journal(path, 1).ask("get", lambda: None)
    assert [each["kind"] for each in read(path)] == ["ask", "answer"] * 2


def test_a_call_may_fail_only_as_it_is_expected_to():
    lost = "the connection to the service was lost 5 times during this call"
    failures = [
        Failure("poison text", "poison_input", "it is", 10, 20),
        Failure("add", "unavailable", lost, 10, 20),
        Failure("get", "unavailable", "nobody is there", 10, 20),
        Failure("add", "poison_input", "it is not", 10, 20),
    ]
    in_time = [11.0, 12.0, 13.0, 14.0, 19.0]
    found = unexpected(Story(failures=failures), in_time)
    assert [each.partition(":")[0] for each in found] == [
        "1 times add ended in poison_input",
        "1 times get ended in unavailable",
    ]
    for killed in (in_time[1:], [9.0, *in_time[1:]], [*in_time[:4], 21.0]):
        assert any(
            "add ended in unavailable" in e for e in unexpected(Story(failures=failures), killed)
        )


def test_writes_of_several_clients_are_put_in_the_order_of_their_times(tmp_path):
    paths = {"a": tmp_path / "a", "b": tmp_path / "b"}
    a, b = (Journal(path, 0) for path in paths.values())
    book, call = wrote(a, "first", "x")
    book.acknowledged(call)
    book, call = wrote(b, "second", "x")
    book.acknowledged(call)
    both = story({"b": paths["b"], "a": paths["a"]}).book
    assert texts(both, "x") == {CONTENTS.states("second", ["x"], How.OWN)["x"].text}
    book, call = wrote(a, "", "x", how=None)
    book.acknowledged(call)
    assert texts(story(paths).book, "x") == {None}


def test_what_a_killed_client_was_writing_is_uncertain_until_its_next_life_has_settled(tmp_path):
    path = tmp_path / "a"
    first = Journal(path, 0)
    wrote(first, "cut off", "x")
    second = Journal(path, 1)
    book, call = wrote(second, "after it", "x")
    book.acknowledged(call)
    assert len(story({"a": path}, ("a", 0)).book.possible("x")) == 2
    third = Journal(path, 2)
    third.write("settled")
    book, call = wrote(third, "last", "x")
    book.acknowledged(call)
    assert story({"a": path}, ("a", 0)).book.certain("x")
    before = path.read_bytes()
    again = JournalBook(third)
    restored(again, "a", read(path), CONTENTS)
    assert path.read_bytes() == before, "what is remembered is no write of this life"
    assert texts(again, "x") == {CONTENTS.states("last", ["x"], How.OWN)["x"].text}


def test_what_a_write_holds_is_made_again_from_its_name():
    one, two = (CONTENTS.states("w", ["x", "y"], How.EMBEDDED) for _ in range(2))
    for id in ("x", "y"):
        assert one[id].same(two[id])
    assert not one["x"].same(one["y"])
    own = CONTENTS.states("w", ["x"], How.OWN)["x"]
    assert (own.text, own.same(one["x"])) == (one["x"].text, False)
    assert CONTENTS.states("w", ["x"], How.TEXTLESS)["x"].text is None
    assert Contents(8, known=False).states("w", ["x"], How.EMBEDDED)["x"].vector is None
