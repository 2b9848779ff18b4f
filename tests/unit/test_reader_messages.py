from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thoth_core.documents.base import Content
from thoth_core.headings import Heading
from thoth_core.layout import Layout
from thoth_core.reader import messages
from thoth_core.reader.__main__ import _parsed
from thoth_core.reader.messages import Answer, Refused

places = st.integers(0, 2**31)
pairs = st.lists(st.tuples(places, places), max_size=5).map(tuple)
layouts = st.builds(
    Layout,
    headings=st.lists(st.builds(Heading, places, st.integers(1, 6), st.text()), max_size=5).map(
        tuple
    ),
    pages=st.lists(places, max_size=5).map(tuple),
    breaks=st.lists(places, max_size=5).map(tuple),
    rows=pairs,
    lines=st.none() | pairs,
)
results = st.one_of(
    st.builds(Content, st.text(), layouts, st.text(), st.text()),
    st.builds(Refused, st.text(), st.text(), st.booleans()),
)


@given(results, st.integers(0, 2**40))
def test_an_answer_comes_back_as_it_was(result: Content | Refused, resident: int) -> None:
    raw = messages.answer(Answer(result, resident))
    length = messages.answer_length(raw[: messages.LENGTH_BYTES])
    assert length == len(raw) - messages.LENGTH_BYTES
    assert messages.read_answer(raw[messages.LENGTH_BYTES :]) == Answer(result, resident)


@given(st.text(min_size=1), st.binary())
def test_a_request_comes_back_as_it_was(form: str, data: bytes) -> None:
    raw = messages.request(form, data)
    length = messages.head_length(raw[: messages.HEAD_BYTES])
    assert messages.read_head(raw[messages.HEAD_BYTES :]) == (form, len(data))
    assert length == len(raw) - messages.HEAD_BYTES


def test_what_no_text_can_hold_becomes_one_character() -> None:
    raw = messages.answer(Answer(Content("a\ud800b", title="\udfff"), 0))
    found = messages.read_answer(raw[messages.LENGTH_BYTES :]).result
    assert isinstance(found, Content) and (found.text, found.title) == ("a?b", "?")


def test_a_length_that_no_reader_gives_is_refused() -> None:
    with pytest.raises(ValueError, match="an answer of"):
        messages.answer_length(struct.pack("<Q", 2**40))
    with pytest.raises((ValueError, KeyError, TypeError)):
        messages.read_answer(b"\x80")


def test_a_table_of_very_many_records_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"name,age\n" + b"ann,3\n" * 10
    whole = _parsed("csv", data, False)
    assert isinstance(whole, Content) and len(whole.layout.rows) == 11
    monkeypatch.setattr(messages, "MAX_PLACES", 30)
    refused = _parsed("csv", data, False)
    assert isinstance(refused, Refused) and refused.reason == "it has too many records for one file"
    assert refused.fix == "split it: split -l 500000 FILE"
