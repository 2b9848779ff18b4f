from __future__ import annotations

import codecs
import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thoth_core.documents import base, code
from thoth_core.documents.base import formats, is_supported, read_document
from thoth_core.documents.decoding import decode, decode_noted, is_binary
from thoth_core.errors import InvalidInput, StorageError, ThothError
from thoth_core.layout import NO_LAYOUT


def test_a_text_file_is_a_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\r\ntwo\rthree\n")
    monkeypatch.chdir(tmp_path)
    document = read_document("./a.txt")
    assert document.text == "one\ntwo\nthree\n"
    assert document.source == str(tmp_path / "a.txt")
    assert document.content_hash == hashlib.sha256(b"one\r\ntwo\rthree\n").hexdigest()
    assert (document.layout, document.title) == (NO_LAYOUT, "")


def test_a_markdown_file_has_its_first_highest_heading_as_title(tmp_path: Path) -> None:
    path = tmp_path / "A.MD"
    path.write_text("## before\n\n# The Title #\n\n# Another\n")
    document = read_document(path)
    assert document.title == "The Title"
    assert [each.start for each in document.layout.headings] == [0, 11, 26]


def test_a_named_file_of_any_suffix_is_read_as_text(tmp_path: Path) -> None:
    path = tmp_path / "Makefile.weird"
    path.write_text("# not a heading\n")
    assert not is_supported(path)
    document = read_document(path)
    assert (document.layout, document.text) == (NO_LAYOUT, "# not a heading\n")


def test_formats_are_found_by_their_files_alone() -> None:
    here = {path.stem for path in Path(base.__file__).parent.glob("*.py")}
    alone = here - base._NOT_FORMATS - {"__init__", "code"}
    languages = {form.name for form in code.FORMATS}
    assert {form.name for form in formats().values()} == alone | languages


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_utf8_and_every_mark_are_read(text: str) -> None:
    assert decode(text.encode("utf-8-sig")) == text
    for mark, encoding in (
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ):
        assert decode(mark + text.encode(encoding)) == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_shows_by_its_zeros(encoding: str) -> None:
    text = "A letter – with ä few odd ones.\n"
    assert decode(text.encode(encoding)) == text


def test_latin_1_and_windows_1252_are_read() -> None:
    assert decode("Grüße aus Köln".encode("latin-1")) == "Grüße aus Köln"
    assert decode("“quoted” – 5 €".encode("cp1252")) == "“quoted” – 5 €"


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"text\0more", "zero byte at 4"),
        (b"%PDF-1.7\nabc", "a PDF file"),
        (b"PK\x03\x04abc", "ZIP"),
        (b"\x1f\x8b\x08abc", "gzip"),
        (b"-----BEGIN PGP MESSAGE-----\nabc", "encrypted"),
        (b"\x01\x02\x03\x04" * 10, "control characters"),
        (b"\x81\x8d\xfe\xff\x90" * 20, "no Latin-1"),
        (codecs.BOM_UTF8 + b"a\xff", "byte 4 does not fit"),
        (codecs.BOM_UTF16_LE + b"abc", "utf-16-le"),
        (codecs.BOM_UTF8 + b"a\0", "zero character"),
        (hashlib.shake_256(b"").digest(4096), "binary"),
    ],
)
def test_what_is_no_text_says_what_it_is(tmp_path: Path, data: bytes, word: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    with pytest.raises(InvalidInput) as caught:
        read_document(path)
    assert word in caught.value.details["reason"]
    assert caught.value.details["source"] == str(path)
    assert str(path) in caught.value.message


LOG = b"12:00 begun \xe2\x80\x93 all is well\n" * 20


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (LOG + bytes(4), "4 zero bytes in it were left out"),
        (codecs.BOM_UTF8 + bytes(1) + LOG, "1 zero byte in it was left out"),
        (LOG, ""),
    ],
)
def test_a_few_zero_bytes_in_a_text_are_left_out(data: bytes, note: str) -> None:
    assert decode_noted(data) == (LOG.decode(), note)
    assert not is_binary(data, "")


@pytest.mark.parametrize(
    "data",
    [LOG + bytes(20), b"%PDF-" + LOG + bytes(4), LOG + b"\xff\0", LOG + b"\1\1\0" * 5, bytes(4)],
)
def test_many_zero_bytes_or_other_signs_are_still_no_text(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        decode(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_text_or_refused_with_a_reason(data: bytes) -> None:
    try:
        text = decode(data)
    except InvalidInput as error:
        assert error.details["reason"]
    else:
        assert "\0" not in text and "\r" not in text
        text.encode()


def test_a_missing_file_a_folder_and_a_pipe_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, word in (("gone", "no such file"), (".", "folder"), ("pipe", "no regular file")):
        with pytest.raises(InvalidInput) as caught:
            read_document(tmp_path / name)
        assert word in caught.value.details["reason"]
    with pytest.raises(InvalidInput, match="regular file"):
        read_document("/dev/null")


def test_a_file_that_may_not_be_read_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x")

    def denied(*args: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(StorageError) as caught:
        read_document(path)
    assert caught.value.details["reason"] == "permission denied"


def test_a_file_over_the_bound_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "MAX_FILE_BYTES", 10)
    path = tmp_path / "a.txt"
    path.write_text("0123456789")
    assert read_document(path).text == "0123456789"
    path.write_text("0123456789a")
    with pytest.raises(InvalidInput, match="larger than"):
        read_document(path)


def test_a_name_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.txt")
    path.write_text("x")
    with pytest.raises(ThothError) as caught:
        read_document(path)
    assert "not valid UTF-8" in caught.value.cause
    str(caught.value).encode()


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        ("Съешь ещё этих мягких французских булок, да выпей же чаю.\n", "koi8-r", "koi8-r"),
        ("Съешь ещё этих мягких французских булок, да выпей же чаю.\n", "cp1251", "cp1251"),
        ("Ξεσκεπάζω την ψυχοφθόρα βδελυγμία στη γλώσσα τους.\n", "cp1253", "cp1253"),
        (
            "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n",
            "shift_jis",
            "cp932",
        ),
        ("吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n", "euc_jp", "euc-"),
        ("道可道，非常道。名可名，非常名。无名天地之始。\n", "gb18030", "gb18030"),
        ("道可道，非常道。名可名，非常名。無名天地之始。\n", "big5", "big5"),
    ],
)
def test_text_in_the_encoding_of_its_script_is_read(text: str, encoding: str, found: str) -> None:
    whole = text * 2_000
    read, note = decode_noted(whole.encode(encoding))
    assert read == whole
    assert note.startswith(f"it is no UTF-8, and was read as {found}")


@pytest.mark.parametrize("text", ["Über die Größe läßt sich streiten.\n", "Le cœur déçu naïve\n"])
def test_latin_text_stays_latin(text: str) -> None:
    read, note = decode_noted(text.encode("cp1252"))
    assert (read, note) == (text, "it is no UTF-8, and was read as Windows-1252")
