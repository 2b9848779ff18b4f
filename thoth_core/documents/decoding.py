"""Bytes to text: which encoding a file has, and whether it is text at all. Pure.

A byte order mark decides; then UTF-16 that shows by its zero bytes; then UTF-8. Of what is left, a
text that is mostly above ASCII is in whatever encoding charset-normalizer finds by its letters; and
the rest is Windows-1252, the superset of Latin-1 that files in "Latin-1" are really written in.
A few zero bytes in UTF-8 are left out; with many it is binary.
"""

from __future__ import annotations

import codecs

from thoth_core.errors import InvalidInput

_MARKS = (
    # UTF-32 first: its little-endian mark begins with that of UTF-16.
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
#: Beginnings of formats that have no zero byte early enough to show that they are binary.
_MAGIC = (
    (b"%PDF-", "a PDF file"),
    (b"PK\x03\x04", "a ZIP archive (or an office document)"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ\x00", "compressed with xz"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x7fELF", "an executable"),
    (b"{\\rtf", "an RTF file"),
    (b"\xd0\xcf\x11\xe0", "an old office document"),
    (b"-----BEGIN PGP MESSAGE", "encrypted with PGP"),
    (b"-----BEGIN AGE ENCRYPTED FILE", "encrypted with age"),
    (b"age-encryption.org/", "encrypted with age"),
    (b"Salted__", "encrypted with openssl"),
)
#: Those of them that nobody means to be read.
_NO_DOCUMENT = frozenset(
    magic for magic, what in _MAGIC if what.endswith("image") or "compressed" in what
) | {b"PK\x03\x04", b"\x7fELF"}
#: Control characters that no text has, in ASCII and in Latin-1.
_CONTROLS = bytes(set(range(0x20)) - set(b"\t\n\v\f\r\b\x1b")) + b"\x7f"
_LATIN_CONTROLS = b"\x81\x8d\x8f\x90\x9d"
#: More of these than this share of all bytes is no text.
_CONTROL_SHARE = 0.01
#: Of the bytes of one parity, how many must be zero for UTF-16 without a mark.
_ZERO_SHARE = 0.4
_SAMPLE = 64 * 1024
_HIGH = bytes(range(0x80, 0x100))
#: A text in Latin letters has fewer bytes above ASCII: German and French have 0.15, Polish 0.3.
_LATIN_SHARE = 0.25
#: So few letters do not say in which encoding they are.
_FEW = 24
_GUESS = "it is no UTF-8, and was read as {}"


def decode(data: bytes) -> str:
    """The text in ``data`` with line ends ``\\n``. :class:`InvalidInput`, whose ``reason`` says
    what it is, if it is no text."""
    return decode_noted(data)[0]


def is_binary(data: bytes, reason: str) -> bool:
    """Whether a reader refused ``data`` for ``reason`` because it is none of the things that people
    write (a picture, a program, an archive), whatever its name says."""
    try:
        _decode(data)
    except InvalidInput as refusal:
        return bool(refusal.details["binary"]) and refusal.details["reason"] == reason
    return False


def decode_noted(data: bytes) -> tuple[str, str]:
    """As :func:`decode`, and what whoever wrote the file should know: empty where its encoding is
    certain."""
    text, note = _decode(data)
    return text.replace("\r\n", "\n").replace("\r", "\n"), note


def _decode(data: bytes) -> tuple[str, str]:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            try:
                return _no_zero(data[len(mark) :].decode(encoding))
            except UnicodeDecodeError as problem:
                place = problem.start + len(mark)
                raise _refusal(f"its mark says {encoding}, byte {place} does not fit") from problem
    for magic, what in _MAGIC:
        if data.startswith(magic):
            raise _refusal(f"it is {what}", binary=magic in _NO_DOCUMENT)
    zero = data.find(0)
    if zero >= 0:
        text = _unmarked_utf16(data)
        if text is not None:
            return text, ""
        some = _few_zeros(data)
        if some is None:
            raise _refusal(f"it is binary: a zero byte at {zero}", binary=True)
        return some
    if _too_many(data, _CONTROLS):
        raise _refusal("it is binary: it is full of control characters", binary=True)
    try:
        return data.decode(), ""
    except UnicodeDecodeError as problem:
        other = _not_latin(data)
        if other is not None:
            return other
        if _too_many(data, _CONTROLS + _LATIN_CONTROLS):
            reason = f"it is binary: byte {problem.start} is no UTF-8, and it is no Latin-1 either"
            raise _refusal(reason, binary=True) from problem
    try:
        return data.decode("cp1252"), _GUESS.format("Windows-1252")
    except UnicodeDecodeError:
        return data.decode("latin-1"), _GUESS.format("Latin-1")


def _not_latin(data: bytes) -> tuple[str, str] | None:
    """Text in a script whose letters all lie above ASCII, as Russian, Greek, Chinese or Japanese in
    the encodings of their own: what it says, and which; None for what is not that."""
    high = len(data) - len(data.translate(None, _HIGH))
    if high < _FEW or high <= len(data) * _LATIN_SHARE:
        return None
    # Not loaded for what is UTF-8, which is nearly all.
    from charset_normalizer import from_bytes

    end = data.rfind(b"\n", 0, _SAMPLE) + 1 or _SAMPLE
    best = from_bytes(data[:end]).best()
    if best is None:
        return None
    try:
        return data.decode(best.encoding), _GUESS.format(best.encoding.replace("_", "-"))
    except (UnicodeDecodeError, LookupError):
        return None


def _no_zero(text: str) -> tuple[str, str]:
    count = text.count("\0")
    if count > len(text) * _CONTROL_SHARE:
        place = text.find("\0")
        raise _refusal(f"it is binary: a zero character at {place}", binary=True)
    return text.replace("\0", ""), _left_out(count)


def _few_zeros(data: bytes) -> tuple[str, str] | None:
    """Text with a few zero bytes in it, as a crash leaves them in a log: all else of it."""
    count = data.count(0)
    rest = data.replace(b"\0", b"")
    if count > len(data) * _CONTROL_SHARE or _too_many(rest, _CONTROLS):
        return None
    try:
        return rest.decode(), _left_out(count)
    except UnicodeDecodeError:
        return None


def _left_out(count: int) -> str:
    if not count:
        return ""
    return f"{count} zero byte{'s' * (count > 1)} in it {'were' if count > 1 else 'was'} left out"


def _unmarked_utf16(data: bytes) -> str | None:
    """Latin text in UTF-16 has a zero in nearly every second byte, and nowhere else."""
    sample = data[:_SAMPLE]
    if len(data) % 2 or len(sample) < 4:
        return None
    half = len(sample) // 2
    even, odd = sample[::2].count(0) / half, sample[1::2].count(0) / half
    if odd >= _ZERO_SHARE and not even:
        encoding = "utf-16-le"
    elif even >= _ZERO_SHARE and not odd:
        encoding = "utf-16-be"
    else:
        return None
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    controls = sum(map(text.count, map(chr, _CONTROLS)))
    return text if controls <= len(text) * _CONTROL_SHARE and "\0" not in text else None


def _too_many(data: bytes, controls: bytes) -> bool:
    return len(data) - len(data.translate(None, controls)) > len(data) * _CONTROL_SHARE


def _refusal(reason: str, *, binary: bool = False) -> InvalidInput:
    return InvalidInput("the file is no text", cause=reason, reason=reason, binary=binary)
