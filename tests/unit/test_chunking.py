from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.own_time import own_seconds
from thoth_core.chunking import MIN_SIZE, Chunk, chunk
from thoth_core.encoding import TextEncoding, load_encoding
from thoth_core.headings import headings
from thoth_core.layout import NO_LAYOUT, Layout


@dataclass(frozen=True)
class Pieces:
    """The tokens of a toy tokenizer: byte strings that together are the text."""

    parts: list[bytes]

    def __len__(self) -> int:
        return len(self.parts)

    def head(self, count: int) -> int:
        return len(b"".join(self.parts[:count]).decode("utf-8", "ignore"))

    def tail(self, count: int) -> int:
        parts = self.parts[-count:] if count else []
        return len(b"".join(parts).decode("utf-8", "ignore"))


class Bytes:
    """One token a byte: characters are parted all the time."""

    def encode(self, text: str) -> Pieces:
        raw = text.encode()
        return Pieces([raw[i : i + 1] for i in range(len(raw))])


class Words:
    """One token for four letters of a word with the blank before it, as in a real encoding; the
    last letter of a text has its own, so that a part can have more tokens than in the whole."""

    def encode(self, text: str) -> Pieces:
        parts = [p.encode() for p in re.findall(r"\s?\w{1,4}|\s+|[^\w\s]", text)]
        if parts and text[-1].isalpha() and len(parts[-1]) > 1:
            parts[-1:] = [parts[-1][:-1], parts[-1][-1:]]
        return Pieces(parts)


@pytest.fixture(scope="module")
def cl100k() -> TextEncoding:
    return load_encoding("cl100k_base")


def marked(text: str) -> Layout:
    return Layout(headings=tuple(headings(text)))


def layout_of(text: str, rich: bool) -> Layout:
    """No layout, or one with all there can be in ``text``."""
    if not rich:
        return NO_LAYOUT
    return Layout(
        headings=tuple(headings(text)),
        pages=(0, *(match.start() for match in re.finditer("漢", text))),
        breaks=tuple(match.start() for match in re.finditer("[=x]", text)),
        rows=tuple(match.span() for match in re.finditer(r"[^\n]+", text)),
    )


def check(
    text: str,
    chunks: list[Chunk],
    size: int,
    overlap: int,
    tokenizer: Bytes | Words | TextEncoding,
) -> None:
    covered = 0
    for ordinal, piece in enumerate(chunks):
        assert piece.ordinal == ordinal
        assert text[piece.start : piece.end] == piece.text
        assert piece.text == piece.text.strip() != ""
        assert piece.tokens == len(tokenizer.encode(piece.text)) <= size
        assert piece.line_start == 1 + text.count("\n", 0, piece.start)
        assert piece.line_end == 1 + text.count("\n", 0, piece.end - 1)
        assert text[covered : piece.start].strip() == "", "a character was left out"
        if piece.start < covered:
            assert len(tokenizer.encode(text[piece.start : covered])) <= overlap
        assert piece.end > covered
        if ordinal:
            assert piece.start > chunks[ordinal - 1].start
        covered = piece.end
    assert text[covered:].strip() == ""


texts = st.one_of(
    st.text(max_size=300),
    st.text(alphabet="ab .!?\n\r\té漢。👩\u200d👧\u0301#-=`", max_size=300),
    st.lists(
        st.sampled_from(
            [
                "# A\n",
                "## B\n",
                "word ",
                "a sentence. ",
                "\n\n",
                "```\n",
                "x" * 40,
                " " * 30,
                "👨‍👩‍👧‍👦",
                "。",
            ]
        ),
        max_size=60,
    ).map("".join),
)
sizes = st.integers(MIN_SIZE, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1)))


@given(texts, sizes, st.booleans())
@example("x" * 500, (8, 7), False)
@example("。" * 100, (8, 7), False)
@example(" " * 400 + "a" + " " * 400, (8, 3), False)
def test_chunks_are_exact_bounded_and_leave_nothing_out_by_bytes(
    text: str, sizing: tuple[int, int], rich: bool
) -> None:
    size, overlap = sizing
    text = text.encode("utf-8", "replace").decode()
    chunks = chunk(
        text, size=size, overlap=overlap, tokenizer=Bytes(), layout=layout_of(text, rich)
    )
    check(text, chunks, size, overlap, Bytes())


@given(texts, sizes, st.booleans())
def test_chunks_are_exact_bounded_and_leave_nothing_out_by_words(
    text: str, sizing: tuple[int, int], rich: bool
) -> None:
    size, overlap = sizing
    text = text.encode("utf-8", "replace").decode()
    chunks = chunk(
        text, size=size, overlap=overlap, tokenizer=Words(), layout=layout_of(text, rich)
    )
    check(text, chunks, size, overlap, Words())


@settings(max_examples=150)
@given(text=texts, sizing=sizes, rich=st.booleans())
def test_chunks_are_exact_bounded_and_leave_nothing_out_by_cl100k(
    cl100k: TextEncoding, text: str, sizing: tuple[int, int], rich: bool
) -> None:
    size, overlap = sizing
    chunks = chunk(text, size=size, overlap=overlap, tokenizer=cl100k, layout=layout_of(text, rich))
    check(text, chunks, size, overlap, cl100k)


def test_the_same_text_makes_the_same_chunks(cl100k: TextEncoding) -> None:
    text = "A sentence of some words. " * 200
    first = chunk(text, size=50, overlap=10, tokenizer=cl100k)
    assert first == chunk(text, size=50, overlap=10, tokenizer=cl100k)


@pytest.mark.parametrize("text", ["", " \n\t ", "\u2003"])
def test_a_blank_text_has_no_chunks(text: str) -> None:
    assert chunk(text, size=50, overlap=10, tokenizer=Bytes()) == []


def test_a_short_text_is_one_chunk(cl100k: TextEncoding) -> None:
    (only,) = chunk("\n\n one two \n", size=50, overlap=10, tokenizer=cl100k)
    assert (only.text, only.start, only.end) == ("one two", 3, 10)
    assert (only.line_start, only.line_end, only.tokens) == (3, 3, 2)


def test_special_tokens_are_plain_text(cl100k: TextEncoding) -> None:
    (only,) = chunk("<|endoftext|> and", size=50, overlap=0, tokenizer=cl100k)
    assert only.text == "<|endoftext|> and"
    assert only.tokens > 4


def test_a_cut_prefers_paragraphs_to_sentences_to_words(cl100k: TextEncoding) -> None:
    paragraph = "One sentence with several words in it. And another one of the same kind."
    text = "\n\n".join([paragraph] * 20)
    for piece in chunk(text, size=40, overlap=0, tokenizer=cl100k):
        assert piece.text.startswith("One sentence") and piece.text.endswith("same kind.")
    for piece in chunk(" ".join([paragraph] * 20), size=40, overlap=0, tokenizer=cl100k):
        assert piece.text.endswith(".")
    words = "word another something " * 100
    for piece in chunk(words, size=40, overlap=0, tokenizer=cl100k):
        assert set(piece.text.split()) <= {"word", "another", "something"}


def test_the_overlap_repeats_whole_sentences(cl100k: TextEncoding) -> None:
    text = " ".join(f"Sentence number {n} has its own words." for n in range(60))
    chunks = chunk(text, size=60, overlap=20, tokenizer=cl100k)
    assert len(chunks) > 5
    for before, after in itertools.pairwise(chunks):
        assert after.start < before.end
        assert after.text.startswith("Sentence number")


def test_no_overlap_when_none_is_wanted(cl100k: TextEncoding) -> None:
    chunks = chunk("some words here " * 200, size=30, overlap=0, tokenizer=cl100k)
    assert all(a.end <= b.start for a, b in itertools.pairwise(chunks))


def test_markdown_is_cut_at_headings_and_chunks_know_their_path(cl100k: TextEncoding) -> None:
    body = "Some words about this part of the page, enough of them to fill it. " * 2
    text = "".join(
        f"# Chapter {c}\n\n{body}\n\n" + "".join(f"## Part {c}.{p}\n\n{body}\n\n" for p in range(3))
        for c in range(3)
    )
    chunks = chunk(text, size=50, overlap=10, tokenizer=cl100k, layout=marked(text))
    assert len(chunks) == 12
    assert all(piece.text.startswith("#") for piece in chunks)
    assert chunks[0].heading_path == ("Chapter 0",)
    assert chunks[2].heading_path == ("Chapter 0", "Part 0.1")
    assert chunks[4].heading_path == ("Chapter 1",)
    plain = chunk(text, size=50, overlap=10, tokenizer=cl100k)
    assert all(piece.heading_path == () for piece in plain)


def test_rows_are_whole_where_they_fit(cl100k: TextEncoding) -> None:
    rows = [f"{n}: " + "word. " * (n % 7 + 3) for n in range(60)]
    text = "\n".join(rows)
    layout = Layout(rows=tuple(match.span() for match in re.finditer(r"[^\n]+", text)))
    for piece in chunk(text, size=40, overlap=0, tokenizer=cl100k, layout=layout):
        assert all(
            row.strip() in rows or f"{row.strip()} " in rows for row in piece.text.split("\n")
        )
    (first, *rest) = chunk(
        "a " * 90, size=40, overlap=0, tokenizer=cl100k, layout=Layout(rows=((0, 180),))
    )
    assert first.tokens > 20 and rest, "a row that does not fit is cut"


def test_a_break_goes_before_a_paragraph(cl100k: TextEncoding) -> None:
    block = "def f():\n    one = 1\n\n    two = 2\n    return one + two\n\n\n"
    text = block * 20
    starts = tuple(range(0, len(text), len(block)))
    pieces = chunk(text, size=60, overlap=0, tokenizer=cl100k, layout=Layout(breaks=starts))
    assert len(pieces) > 3 and all(piece.start in starts for piece in pieces)


def test_places_are_those_of_the_file(cl100k: TextEncoding) -> None:
    text = "One paragraph.\n\nAnother one.\n\nThe last."
    layout = Layout(pages=(0, 30), lines=((0, 7), (16, 20), (30, 41)))
    pieces = chunk(text, size=8, overlap=0, tokenizer=cl100k, layout=layout)
    assert [p.text for p in pieces] == ["One paragraph.\n\nAnother one.", "The last."]
    assert [(p.line_start, p.line_end, p.page, p.page_end) for p in pieces] == [
        (7, 20, 1, 1),
        (41, 41, 2, 2),
    ]
    (only,) = chunk("text", size=8, overlap=0, tokenizer=cl100k, layout=Layout(lines=()))
    assert (only.line_start, only.line_end, only.page) == (None, None, None)


def test_the_path_holds_inside_a_long_section(cl100k: TextEncoding) -> None:
    text = "# A\n\n## B\n\n" + "Words of a long section. " * 100
    chunks = chunk(text, size=40, overlap=5, tokenizer=cl100k, layout=marked(text))
    assert chunks[-1].heading_path == ("A", "B")


def test_a_family_emoji_and_an_accent_stay_whole() -> None:
    family = "👨‍👩‍👧‍👦"
    pieces = chunk(family * 20, size=60, overlap=0, tokenizer=Bytes())
    assert all(piece.text == family * 2 for piece in pieces)
    accented = chunk("e\u0301" * 50, size=8, overlap=3, tokenizer=Bytes())
    assert all(not piece.text.startswith("\u0301") for piece in accented)


@pytest.mark.parametrize(("size", "overlap"), [(7, 0), (0, 0), (-1, 0), (50, 50), (50, -1)])
def test_sizes_that_cannot_be_kept_are_refused(size: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="tokens"):
        chunk("text", size=size, overlap=overlap, tokenizer=Bytes())


@pytest.mark.parametrize("unit", ["x", " ", "=", "qzxjk", "漢", "\n", "a.", "a\n"])
def test_time_is_linear_in_one_long_line(cl100k: TextEncoding, unit: str) -> None:
    def seconds(length: int) -> float:
        text = "a" + unit * (length // len(unit)) + "b"
        layout = marked(text)

        def once() -> None:
            chunks = chunk(text, size=500, overlap=50, tokenizer=cl100k, layout=layout)
            assert chunks[-1].text.endswith("b")

        return own_seconds(once)

    seconds(20_000)
    # Quadratic work would take 64 times as long.
    assert seconds(400_000) < 24 * max(seconds(50_000), 0.01)
