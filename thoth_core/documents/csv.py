"""Tables as text: each record a line of ``column: value`` pairs, so that a chunk with records from
the middle of a table still says what its values are.

Delimiter and header are found; a first record is taken for the header only where that is certain.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, islice

from thoth_core.documents.base import Content, Format
from thoth_core.documents.decoding import decode_noted
from thoth_core.layout import Layout

#: The first of those that fit equally well: a comma stands in values more often than the others.
_DELIMITERS = "\t;|,"
#: Characters and records that delimiter and header are found by.
_SAMPLE = 256 * 1024
_SAMPLE_RECORDS = 200
#: A name of a column as programs make them: ``unit_price``, ``unitPrice``. A name of a person or a
#: town may be capitalised.
_IDENTIFIER = re.compile(r"[a-z_]\w{0,40}")
#: Numbers, with currencies and per cents, dates and times: no name of a column.
_FIGURE = re.compile(r"[-+$€£(]{0,3}\d[\d.,:/ TZ+-]{0,30}[%)€]?")
_NAME_MAX = 120
#: A line of its own after the last one. It is one only if no quotation mark is open there.
_END = "\ufdd0"
_OPEN = "a quotation mark in it is never closed, so each line was read as a record"

#: A record with the line of the file that it begins in.
Record = tuple[int, Sequence[str]]


def read(data: bytes) -> Content:
    text, note = decode_noted(data)
    # This concerns the whole process, which is one that only reads files.
    csv.field_size_limit(sys.maxsize)
    delimiter = _delimiter(text[:_SAMPLE])
    records = list(_records(text, delimiter))
    if list(records.pop()[1]) != [_END]:
        records = list(_records(text, delimiter, quoted=False))[:-1]
        note = note or _OPEN
    header = _header([fields for _, fields in records[: _SAMPLE_RECORDS + 1]])
    return _content(records, header, note)


def _records(text: str, delimiter: str, quoted: bool = True) -> Iterator[Record]:
    """The records, and one with the mark of the end alone."""
    reader = csv.reader(
        chain(io.StringIO(text, newline="\n"), (_END,)),
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        skipinitialspace=True,
    )
    line = 1
    for fields in reader:
        if fields:
            yield line, fields
        line = reader.line_num + 1


def _delimiter(sample: str) -> str:
    """The delimiter with which the most records have the same number of fields, two at least."""
    best, delimiter = 0.0, ","
    for candidate in _DELIMITERS:
        found = list(islice(_records(sample, candidate), _SAMPLE_RECORDS))
        # The last one is the mark, or was cut off by the sample.
        widths = Counter(len(fields) for _, fields in found[:-1] or found)
        width, count = widths.most_common(1)[0]
        share = count / widths.total()
        if width > 1 and share > best:
            best, delimiter = share, candidate
    return delimiter


def _header(records: Sequence[Sequence[str]]) -> Sequence[str]:
    """The names of the columns if the first record is certain to be these, else nothing."""
    if len(records) < 2:
        return ()
    names = [field.strip() for field in records[0]]
    # Only the first column may have none, that of the numbers of the rows.
    if not all(names[1:]) or not any(names) or len({name.lower() for name in names}) < len(names):
        return ()
    if any(len(name) > _NAME_MAX or _FIGURE.fullmatch(name) for name in names):
        return ()
    if Counter(map(len, records[1:])).most_common(1)[0][0] != len(names):
        return ()
    programmed = all(map(_IDENTIFIER.fullmatch, filter(None, names)))
    certain = False
    for number, name in enumerate(names):
        values = [fields[number].strip() for fields in records[1:] if number < len(fields)]
        values = [value for value in values if value]
        if name in values:
            return ()
        if not values:
            continue
        certain |= _share(_FIGURE, values) > 0.8
        certain |= programmed and _share(_IDENTIFIER, values) < 0.5
    return names if certain else ()


def _share(pattern: re.Pattern[str], values: Sequence[str]) -> float:
    return sum(1 for value in values if pattern.fullmatch(value)) / len(values)


def _content(records: Sequence[Record], header: Sequence[str], note: str) -> Content:
    parts: list[str] = []
    rows: list[tuple[int, int]] = []
    lines: list[tuple[int, int]] = []
    place = 0
    for number, (line, fields) in enumerate(records):
        # The header itself stays, for names of columns without a value.
        shown = _pairs(fields, header if number else ())
        if not shown:
            continue
        parts.append(shown)
        rows.append((place, place + len(shown)))
        lines.append((place, line))
        place += len(shown) + 1
    breaks = tuple(start for start, _ in rows)
    layout = Layout(breaks=breaks, rows=tuple(rows), lines=tuple(lines))
    return Content("\n".join(parts), layout, note=note)


def _pairs(fields: Sequence[str], header: Sequence[str]) -> str:
    """The values that are not blank, with their columns where these are known."""
    shown = []
    for number, field in enumerate(fields):
        value = field.strip()
        if value:
            name = header[number] if number < len(header) else ""
            shown.append(f"{name}: {value}" if name else value)
    return " | ".join(shown)


FORMAT = Format("csv", frozenset({".csv", ".tsv", ".tab"}), read, apart=True)
