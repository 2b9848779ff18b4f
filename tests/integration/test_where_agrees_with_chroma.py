"""Filters over the ledger against the Chroma that is installed: the same rows from both.

Where Chroma has a defect that Thoth does not repeat, the defect itself is shown here, so that the
test says so when Chroma mends it.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromadb
import pytest
from chromadb.config import Settings
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from store_worker import ledger_chunks, ledger_collections
from store_worker.calls import metadata_of
from store_worker.ledger import Ledger
from store_worker.ledger_chunks import Row
from store_worker.regex_match import compile_regex
from store_worker.where_match import compile_where, matching_rows
from thoth_core.errors import InvalidInput
from thoth_core.regex_characters import alike
from thoth_core.regex_syntax import RegexRefused
from thoth_core.validation import check_metadata, check_where, check_where_document

many = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

#: Each value meets each other one in a filter.
VALUES: list[Any] = [
    *[0, 1, 2, -1, -2, 7, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)],
    *[0.0, -0.0, 1.0, 1.5, -1.5, 0.5, -0.5, 2.0, 7.25, float(2**53), 1e300, -1e300, 5e-324, 0.3],
    *[True, False],
    *["", "1", "x", "X", "xy", "é", "e\u0301", "É", "ß", "漢", "\U0001f600", "a\0b", "a", "1.0"],
    *["true", "null", "%", "_", "'", '"', "\\", " ", "x ", "\n"],
]
LISTS: list[list[Any]] = [
    *[
        [0],
        [1, 2],
        [-1, 7, 7],
        [2**53 + 1],
        [0.0],
        [1.0, 1.5],
        [float(2**53)],
        [True],
        [False, True],
    ],
    *[["x"], ["x", "y"], ["", "X"], ["1"], ["é", "漢"], ["a\0b"]],
]
TEXTS: list[str | None] = [
    *[
        None,
        "",
        "a",
        "ab",
        "abc",
        "ABC",
        "Abc",
        "abcabc",
        "a b",
        "a  b",
        " ",
        "\n",
        "line 1\nline 2",
    ],
    *[
        "a%b",
        "a_b",
        "axb",
        "100%",
        "it's",
        'say "x"',
        "\\d",
        "*",
        "[a]",
        "a.c",
        "(abc)",
        "a|b",
        "^a$",
    ],
    *[
        "straße",
        "STRASSE",
        "STRAẞE",
        "é",
        "e\u0301",
        "É",
        "Ä",
        "ä",
        "ﬁx",
        "fix",
        "İ",
        "ı",
        "i",
        "I",
    ],
    *[
        "\u212a",
        "k",
        "K",
        "ſ",
        "s",
        "S",
        "σς",
        "Σ",
        "漢字かな",
        "漢字",
        "\U0001f600 x",
        "x\U0001f600",
    ],
    *[
        "2026-11-25",
        "12 May",
        "user@example.com",
        "snake_case",
        "CamelCase",
        "٣",
        "Ⅷ",
        "ⓐ",
        "\u200d",
    ],
    *[
        "\x1c",
        "\u2028",
        "\x85",
        "a\tb",
        "a\r\nb",
        "zz\0yyyy",
        "\0abc",
        "a\0",
        "q" * 3000 + "needle",
    ],
]
KEYS = ["a", "b", "a b", "é", '"', "a.b"]


class Both:
    """The same rows in a Chroma collection and in a ledger."""

    def __init__(self, path: Path) -> None:
        self.client: Any = chromadb.PersistentClient(
            path=str(path / "chroma"), settings=Settings(anonymized_telemetry=False)
        )
        self.chroma = self.client.create_collection("both", embedding_function=None)
        self.ledger = Ledger.open(path / "ledger.sqlite3", "first")
        with self.ledger.transaction():
            made = ledger_collections.for_write(self.ledger, "both", 1, None, 2)
        assert made is not None
        self.collection = made
        self.ids: set[str] = set()

    def add(self, rows: list[tuple[dict[str, Any] | None, str | None]]) -> None:
        ids = [f"id-{len(self.ids) + n}" for n in range(len(rows))]
        self.ids.update(ids)
        told = []
        for index, (id, (metadata, text)) in enumerate(zip(ids, rows, strict=True)):
            check_metadata(metadata, index)
            packed, source = metadata_of(metadata, index)
            told.append(Row(id, text, packed, source, None, b"\0\0\x80?" * 2, False))
        with self.ledger.transaction():
            ledger_chunks.upsert(self.ledger, self.collection, 2, told)
        for id, (metadata, text) in zip(ids, rows, strict=True):
            # One by one: Chroma takes a document for all of a call or for none.
            self.chroma.upsert(
                ids=[id],
                embeddings=[[1.0, 1.0]],
                metadatas=[metadata],
                documents=None if text is None else [text],
            )

    def here(self, where: Any, document: Any = None) -> set[str]:
        _, ids = matching_rows(self.ledger, self.collection.id, where, document)
        return set(ids)

    def there(self, where: Any, document: Any = None) -> set[str]:
        return set(self.chroma.get(where=where, where_document=document, include=[])["ids"])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    made = Both(tmp_path_factory.mktemp("both"))
    values = [*VALUES, *LISTS]
    metadatas = [None, {"c": 1}, {"a": None, "b": 1}, *({"a": value} for value in values)]
    for n in range(len(values)):
        # Other pairings of values under the other keys.
        metadatas[n + 3][KEYS[1 + n % 5]] = values[(n * 7) % len(values)]  # type: ignore[index]
    texts = itertools.cycle(TEXTS)
    made.add([(metadata, next(texts)) for metadata in metadatas])
    made.add([(None, text) for text in TEXTS])
    yield made
    made.client.close()
    made.ledger.close()


operands = st.sampled_from(VALUES)
numbers = st.sampled_from([v for v in VALUES if type(v) in (int, float)])
like = [[v for v in VALUES if type(v) is kind] for kind in (int, float, str, bool)]
lists = st.sampled_from(like).flatmap(
    lambda kind: st.lists(st.sampled_from(kind), min_size=1, max_size=4)
)
operations = st.one_of(
    operands,
    st.dictionaries(st.sampled_from(["$eq", "$ne"]), operands, min_size=1, max_size=1),
    st.dictionaries(
        st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), numbers, min_size=1, max_size=1
    ),
    st.dictionaries(st.sampled_from(["$in", "$nin"]), lists, min_size=1, max_size=1),
    st.dictionaries(
        st.sampled_from(["$contains", "$not_contains"]), operands, min_size=1, max_size=1
    ),
)
pieces = st.one_of(
    st.sampled_from([text for text in TEXTS if text]),
    st.sampled_from([text for text in TEXTS if text]).flatmap(
        lambda text: st.tuples(st.integers(0, len(text) - 1), st.integers(1, 6)).map(
            lambda cut: text[cut[0] : cut[0] + cut[1]]
        )
    ),
).filter(lambda text: "\0" not in text and text)
containments = st.dictionaries(
    st.sampled_from(["$contains", "$not_contains"]), pieces, min_size=1, max_size=1
)
leaves = st.one_of(
    st.dictionaries(st.sampled_from([*KEYS, "missing"]), operations, min_size=1, max_size=1),
    containments.map(lambda sought: {"#document": sought}),
)


def nested(parts: Any) -> Any:
    return st.recursive(
        parts,
        lambda inner: st.dictionaries(
            st.sampled_from(["$and", "$or"]),
            st.lists(inner, min_size=2, max_size=3),
            min_size=1,
            max_size=1,
        ),
        max_leaves=5,
    )


@many
@given(where=nested(leaves))
def test_filters_over_metadata_find_the_same(both: Both, where: Any) -> None:
    check_where(where)
    assert both.here(where) == both.there(where)


@pytest.mark.parametrize("operator", ["$eq", "$ne", "$contains", "$not_contains"])
def test_every_value_is_compared_alike_with_every_other(both: Both, operator: str) -> None:
    for value in VALUES:
        where = {"a": {operator: value}}
        assert both.here(where) == both.there(where), where


@pytest.mark.parametrize("operator", ["$gt", "$gte", "$lt", "$lte"])
def test_every_number_is_ordered_alike(both: Both, operator: str) -> None:
    for value in VALUES:
        if type(value) in (int, float):
            where = {"a": {operator: value}}
            assert both.here(where) == both.there(where), where


def quantified(atom: Any) -> Any:
    ends = ["", "*", "+", "?", "{2}", "{0,2}", "{1,}", "*?", "+?", "{1,2}?"]
    return st.tuples(atom, st.sampled_from(ends)).map("".join)


atoms = st.one_of(
    st.sampled_from([text[:3] for text in TEXTS if text]).map(re.escape),
    st.sampled_from(list("abkKsSiIéÉß漢ſσİẞ")),
    st.sampled_from([r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", r"\b", r"\B", ".", "^", "$"]),
    st.sampled_from(
        [r"\A", r"\z", r"\n", r"\t", r"\x00", r"\x{e9}", r"\u00e9", r"\.", r"\*", r"\-"]
    ),
    st.sampled_from(
        [r"\pL", r"\p{Lu}", r"\PL", r"\p{Nd}", r"\p{Mn}", r"\P{Zs}", r"\pS", r"\p{Pc}"]
    ),
    st.sampled_from(["[abc]", "[^abc]", "[a-c]", "[A-Z]", "[^a-z]", r"[\d_]", r"[^\s\d]", "[é漢]"]),
    st.sampled_from(
        ["[[:alpha:]]", "[[:^alpha:]x]", "[[:punct:]]", "[]a]", "[^]a]", "[a-]", "[-a]"]
    ),
    st.sampled_from([r"[\]\[]", "[a^]", r"[\x{61}-\x{63}]", r"[\pL-]", "[a-c-e]", "[kſ]", "[^k]"]),
)
expressions = st.recursive(
    quantified(atoms),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map("|".join),
        quantified(inner.map(lambda each: f"({each})")),
        quantified(inner.map(lambda each: f"(?:{each})")),
        inner.map(lambda each: f"(?P<name>{each})"),
        st.tuples(st.sampled_from(["i", "s", "m", "im", "i-s", "-i", "ms"]), inner).map(
            lambda pair: f"(?{pair[0]}:{pair[1]})"
        ),
        st.tuples(st.sampled_from(["(?i)", "(?s)", "(?m)", "(?-i)", "(?ims)"]), inner).map("".join),
    ),
    max_leaves=5,
)
regexes = st.dictionaries(
    st.sampled_from(["$regex", "$not_regex"]), expressions, min_size=1, max_size=1
)


@settings(many, max_examples=300)
@given(document=nested(st.one_of(containments, regexes)))
def test_filters_over_the_text_find_the_same(both: Both, document: Any) -> None:
    try:
        check_where_document(document)
    except InvalidInput:
        assume(False)
    assert both.here(None, document) == both.there(None, document)


@settings(many, max_examples=200)
@given(where=nested(leaves), document=st.one_of(containments, regexes))
def test_both_filters_together_find_the_same(both: Both, where: Any, document: Any) -> None:
    try:
        check_where_document(document)
    except InvalidInput:
        assume(False)
    assert both.here(where, document) == both.there(where, document)


def chroma_takes(both: Both, pattern: str) -> bool:
    # Chroma refuses with several classes of error.
    try:
        both.there(None, {"$regex": pattern})
    except Exception:
        return False
    return True


@settings(many, max_examples=300)
@given(pattern=st.text(alphabet="ab\\(){}[]|*+?^$.-,:<>PpLdwsbBAzxiu0129&~#é \n", max_size=9))
def test_an_expression_that_is_let_through_is_taken_and_means_the_same(
    both: Both, pattern: str
) -> None:
    try:
        check_where_document({"$regex": pattern})
    except InvalidInput:
        return
    assert both.here(None, {"$regex": pattern}) == both.there(None, {"$regex": pattern})


@pytest.mark.parametrize(
    "pattern",
    [
        *[r"\w{199}", r"\W{199}", r"\pL{199}", r"\PL{199}", r"(?i)\pL{199}", r"(?i)[^\w]{190}"],
        *[".{998}", r"[^\d]{190}", "(a|b){160}", r"(?i)[a-zé]{900}", r"(\w\b){120}"],
        *[r"(\pL|\d){70}", r"((\w{3}){4}){12}"],
    ],
)
def test_the_largest_expressions_are_taken(both: Both, pattern: str) -> None:
    check_where_document({"$regex": pattern})
    assert both.here(None, {"$regex": pattern}) == both.there(None, {"$regex": pattern})


@pytest.mark.parametrize(
    "pattern", [r"\w{300}", "a{1001}", "(a{100}){100}", "(a{1000}){1000}", "(" * 60 + ")" * 60]
)
def test_too_large_an_expression_is_refused_before(pattern: str) -> None:
    with pytest.raises(InvalidInput):
        check_where_document({"$regex": pattern})


def test_chroma_reports_too_large_an_expression_as_an_error_of_its_own(both: Both) -> None:
    # Which is why it must not get there: it looks as if the index were broken.
    with pytest.raises(Exception, match="constraint failed"):
        both.there(None, {"$regex": r"\w{1000}"})


@pytest.mark.parametrize(
    "pattern",
    [
        *["(", ")", "a)", "[", "[a", "a{2", "a{,3}", "a{2,1}", "*", "+a", "(?", "(?P<a", "(?P<a>x"],
        *["(?P<a>x)(?P<a>y)", r"(a)\1", "(?=a)", "(?!a)", "(?<=a)", "(?<!a)", r"\q", r"\Z", r"\0"],
        *["[z-a]", r"[a-\d]", r"[\b]", r"\x{D800}", r"\u{110000}", r"\x4", "(?ii)a", "(?-:a)"],
        *[r"[^\s\S]", r"[^\x00-\x{10ffff}]", "(?q)a", "\\", r"\p{Foo}"],
    ],
)
def test_what_chroma_refuses_is_refused(both: Both, pattern: str) -> None:
    assert not chroma_takes(both, pattern)
    with pytest.raises(InvalidInput):
        check_where_document({"$regex": pattern})


@pytest.mark.parametrize(
    "pattern",
    [r"\p{Greek}", r"\p{Alphabetic}", "(?x)a b", "(?-u)a", "[a[b]]", "[a-z&&[^b]]", r"\b{start}a"],
)
def test_what_chroma_takes_and_thoth_does_not_is_refused(both: Both, pattern: str) -> None:
    assert chroma_takes(both, pattern)
    with pytest.raises(InvalidInput):
        check_where_document({"$regex": pattern})


def test_a_nul_in_a_text_to_look_for_is_refused_because_chroma_misreads_it(both: Both) -> None:
    # It finds what ends with "ab", not what has "ab", a NUL and "c".
    assert both.there(None, {"$contains": "ab\0c"}) == both.there(None, {"$regex": "ab\\z"})
    with pytest.raises(InvalidInput):
        check_where_document({"$contains": "ab\0c"})
    with pytest.raises(InvalidInput):
        check_where({"#document": {"$not_contains": "\0"}})


CLASSES = [
    r"\w",
    r"\d",
    r"\s",
    "[[:punct:]]",
    "[[:space:]]",
    r"\pL",
    r"\pM",
    r"\pN",
    r"\pP",
    r"\pS",
]
CLASSES += [rf"\p{{{name}}}" for name in ("Lu", "Ll", "Nd", "Nl", "Pc", "Sc", "Zs", "Mn")]


def _known() -> Iterator[str]:
    """The characters that this Python knows, but of each long row of ideographs or syllables only
    every thirtieth. Chroma may know newer ones, and of one it thinks otherwise by now."""
    for code in range(0x110000):
        category = unicodedata.category(chr(code))
        row = category == "Lo" and code >= 0x3400
        if category not in ("Cn", "Cs", "Co") and code != 0x1171E and not (row and code % 30):
            yield chr(code)


KNOWN = tuple(_known())


@pytest.mark.parametrize("name", CLASSES)
def test_every_character_is_of_the_same_classes(both: Both, name: str) -> None:
    is_member = compile_regex(name)
    texts = [
        "".join(each for each in KNOWN if is_member(each) == wanted) for wanted in (True, False)
    ]
    both.chroma.upsert(ids=["in", "out"], embeddings=[[1.0, 1.0]] * 2, documents=texts)
    opposite = name.replace("[[:", "[[:^") if name.startswith("[") else name.replace("\\p", "\\P")
    opposite = name.swapcase() if len(name) == 2 else opposite
    try:
        for id, pattern in (("in", name), ("out", opposite)):
            found = both.there(None, {"$regex": rf"\A(?:{pattern})+\z"})
            assert id in found
    finally:
        both.chroma.delete(ids=["in", "out"])


def test_every_character_has_the_same_case_relatives(both: Both) -> None:
    cased = [chr(code) for code in range(0x1EA00) if len(alike(chr(code))) > 1]
    cased = [each for each in cased if unicodedata.category(each) != "Cn"]
    # Each character after one of its kind that is as far from it as can be.
    pairs = [
        (alike(each)[-1] if alike(each)[-1] != each else alike(each)[0], each) for each in cased
    ]
    size = 900
    parts = [pairs[i : i + size] for i in range(0, len(pairs), size)]
    ids = [f"part-{n}" for n in range(len(parts))]
    both.chroma.upsert(
        ids=ids,
        embeddings=[[1.0, 1.0]] * len(ids),
        documents=["".join(one for one, _ in part) for part in parts],
    )
    try:
        for id, part in zip(ids, parts, strict=True):
            pattern = "".join(other for _, other in part)
            assert id in both.there(None, {"$regex": f"(?i)\\A{pattern}\\z"}), pattern
    finally:
        both.chroma.delete(ids=ids)


def test_a_filter_of_nothing_lets_everything_through(both: Both) -> None:
    lets_through = compile_where(None, None)
    assert lets_through(None, None)
    assert both.here(None) == both.ids


def test_a_hostile_expression_takes_no_longer_than_the_text(both: Both) -> None:
    assert not compile_regex("(a+)+$")("a" * 200_000 + "b")
    assert not compile_regex("(.*)(.*)(.*)(.*)x$")("a" * 50_000)
    with pytest.raises(RegexRefused):
        compile_regex("(a{50}){50}")
