from __future__ import annotations

import json

import nbformat
import pytest
from nbformat import v4

from tests.support.places import chunk_with, chunks_of
from thoth_core.documents.ipynb import read
from thoth_core.errors import InvalidInput


def notebook() -> bytes:
    cells = [
        v4.new_markdown_cell("# The study\n\nWhat it is about."),
        v4.new_code_cell(
            "import math\nprint(math.tau)",
            outputs=[
                v4.new_output("stream", text="6.283185307179586\n\x1b[31mred\x1b[0m\n"),
                v4.new_output("display_data", {"image/png": "QUJD", "text/plain": "<Figure>"}),
                v4.new_output("execute_result", {"text/plain": "x" * 5_000}),
                v4.new_output("error", ename="ValueError", evalue="no", traceback=["\x1b[0mlong"]),
            ],
        ),
        v4.new_markdown_cell("## Results\n\nThe known sentence. " + "And more. " * 9),
        v4.new_raw_cell("raw text"),
    ]
    return nbformat.writes(v4.new_notebook(cells=cells)).encode()


def test_cells_are_in_order_with_their_outputs() -> None:
    content = read(notebook())
    text = content.text
    order = ["What it is about.", "math.tau", "6.28318", "red", "ValueError: no", "## Res", "raw"]
    places = [text.index(each) for each in order]
    assert places == sorted(places)
    assert "\x1b" not in text and "Figure" not in text and "QUJD" not in text
    assert "[3,000 more characters]" in text
    assert content.title == "The study"
    assert [text[place:].split("\n")[0] for place in content.layout.breaks] == [
        "# The study",
        "import math",
        "## Results",
        "raw text",
    ]
    found = chunk_with(chunks_of(content, size=24), "The known sentence.")
    assert found.heading_path == ("The study", "Results")
    assert (found.line_start, found.page) == (None, None)


def test_the_older_form_is_read_too() -> None:
    cells = [
        {"cell_type": "heading", "level": 2, "source": ["Old"]},
        {"cell_type": "code", "input": "a = 1", "outputs": [{"text": ["2\n"], "x": 1}]},
        {"cell_type": "markdown", "source": "no heading: # a"},
        "nonsense",
    ]
    content = read(json.dumps({"worksheets": [{"cells": cells}, 3]}).encode())
    assert content.text == "## Old\n\na = 1\n\n2\n\nno heading: # a"


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"cells": 1}', b"no", b"{}"])
def test_what_is_no_notebook_says_so(data: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(data)
    assert "no notebook" in caught.value.details["reason"]


def test_an_empty_file_has_no_text() -> None:
    assert read(b"").text == ""
