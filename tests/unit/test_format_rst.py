from __future__ import annotations

from tests.support.places import chunk_with, chunks_of
from thoth_core.documents.rst import read

TEXT = """\
.. _label:

=====
Whole
=====

Before all. It is not a title::

    Not a title
    ===========

First part
==========
Text of it.

Deep
....

A long paragraph
whose second line
-----
is nothing.

日本語
======

+------+--------+
| Name | Value  |
+======+========+
| one  | 1      |
|      | more   |
+------+--------+
| two  | 2      |
+------+--------+

* * *

Last
....
It is a longer one, that has a sentence or two before the one that is looked for.

The known sentence.
"""


def test_headings_have_their_levels_by_their_adornment() -> None:
    content = read(TEXT.encode())
    assert content.text == TEXT
    assert content.title == "Whole"
    found = [(each.level, each.title) for each in content.layout.headings]
    assert found == [(1, "Whole"), (2, "First part"), (3, "Deep"), (2, "日本語"), (3, "Last")]
    starts = [TEXT[each.start :].split("\n")[0] for each in content.layout.headings]
    assert starts == ["=====", "First part", "Deep", "日本語", "Last"]


def test_a_known_sentence_has_its_line_and_its_heading() -> None:
    found = chunk_with(chunks_of(read(TEXT.encode()), size=16, overlap=0), "The known sentence.")
    assert found.line_end == TEXT[: TEXT.index("The known")].count("\n") + 1
    assert found.heading_path == ("Whole", "日本語", "Last")


def test_rows_of_a_table_are_spans() -> None:
    content = read(TEXT.encode())
    rows = [content.text[start:end] for start, end in content.layout.rows]
    assert [("one" in row, "more" in row, "two" in row) for row in rows] == [
        (True, True, False),
        (False, False, True),
    ]
    assert rows[0].startswith("+------+") and "Name" in rows[0]


def test_levels_agree_with_docutils() -> None:
    from docutils import nodes
    from docutils.core import publish_doctree

    text = TEXT.replace("Text of it.", "Text\n\nAgain\n=====\n\nSub\n....\n\nb")
    tree = publish_doctree(text, settings_overrides={"report_level": 5, "doctitle_xform": False})

    def walk(node: nodes.Element, level: int) -> list[tuple[int, str]]:
        found = []
        for child in node.children:
            if isinstance(child, nodes.section):
                found.append((level, child.next_node(nodes.title).astext()))  # type: ignore[union-attr]
                found += walk(child, level + 1)
        return found

    ours = [(each.level, each.title) for each in read(text.encode()).layout.headings]
    assert ours == walk(tree, 1)


def test_marks_that_underline_nothing_are_no_headings() -> None:
    for text in ("----\n", "====", "\n\n....\n\n", "a\n-\n", "text\n\n----\n\ntext\n", "ab\n--\n"):
        expected = ["ab"] if text == "ab\n--\n" else []
        assert [each.title for each in read(text.encode()).layout.headings] == expected
