from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from tests.support.own_time import own_seconds
from tests.support.places import chunk_with, chunks_of
from thoth_core.documents.base import Content, formats, is_supported, read_document, read_file


def read(name: str, text: str) -> Content:
    return formats()[name].read(text.encode())


def begins(name: str, text: str) -> list[str]:
    """The lines at which ``text`` is well cut."""
    content = read(name, text)
    assert content.text == text
    return [text[place:].split("\n")[0].strip() for place in content.layout.breaks]


def test_python_is_cut_at_definitions_and_lines_are_those_of_the_file() -> None:
    path = Path(argparse.__file__)
    lines = path.read_text().splitlines()
    content = formats()[".py"].read(path.read_bytes())
    chunks = chunks_of(content, size=500, overlap=50)
    assert len(chunks) > 30
    found = chunk_with(chunks, "def add_mutually_exclusive_group")
    assert found.line_start is not None and found.line_end is not None
    assert any(
        "def add_mutually_exclusive_group" in line
        for line in lines[found.line_start - 1 : found.line_end]
    )
    begun = [each.text.lstrip().split(" ")[0].split("\n")[0] for each in chunks]
    assert sum(word in ("def", "class", "#", "@classmethod") for word in begun) > 0.7 * len(chunks)


def test_a_definition_has_its_decorators_and_comments_with_it() -> None:
    text = (
        "import x\n\n\n# Says why.\n# And how.\n@cache\n@given(\n    1,\n)\n"
        "async def f():\n    pass\n\n"
        "class A:\n    @property\n    def b(self):\n        return 1\n"
    )
    assert begins(".py", text) == ["# Says why.", "class A:", "@property"]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            ".c",
            "/* One. */\nstatic int one(int a,\n    int b)\n{\n    call(a);\n}\n",
            ["/* One. */"],
        ),
        (
            ".go",
            "package p\n\n// F does.\nfunc F() {\n}\ntype T int\n",
            ["// F does.", "type T int"],
        ),
        (
            ".rs",
            "#[derive(Debug)]\npub struct S;\n\nimpl S {\n    pub(crate) async fn f() {}\n}\n",
            ["#[derive(Debug)]", "impl S {", "pub(crate) async fn f() {}"],
        ),
        (
            ".java",
            "public class A {\n    @Override\n    public int f(int a) {\n        g(a);\n    }\n}\n",
            ["public class A {", "@Override"],
        ),
        (
            ".ts",
            "export const f = async (a: number) => {\n  if (a) {\n  }\n}\n"
            "class B {\n  get c() {\n    return 1\n  }\n}\n",
            ["export const f = async (a: number) => {", "class B {", "get c() {"],
        ),
        (".sql", "-- All.\nCREATE TABLE a (\n  b int\n);\nselect 1;\n", ["-- All.", "select 1;"]),
        (".toml", "[a]\nb = [1]\n\n# Of c.\n[c]\n", ["[a]", "# Of c."]),
        ("makefile", "CC := cc\n\nall: one\n\tcc\n\none:\n\ttouch\n", ["all: one", "one:"]),
        ("dockerfile", "FROM a AS b\nRUN c\nfrom d\n", ["FROM a AS b", "from d"]),
        (".sh", "set -e\n# Does.\ndo_it() {\n  :\n}\n", ["# Does."]),
        (".yaml", "a:\n  b: 1\nc: 2\n", ["a:", "c: 2"]),
    ],
)
def test_definitions_are_found(name: str, text: str, expected: list[str]) -> None:
    assert begins(name, text) == expected


def test_a_whole_name_goes_before_a_suffix(tmp_path: Path) -> None:
    for name, form in (("CMakeLists.txt", "cmake"), ("Makefile", "make"), ("a.PY", "python")):
        path = tmp_path / name
        path.write_text("project(x)\n")
        assert is_supported(path)
        assert read_file(path).format.name == form
        assert read_document(path).text == "project(x)\n"


@pytest.mark.parametrize(
    "unit", [" ", "(", "a", "\t", "a(", "public ", "#", "@a ", "a = (", "\n", "-"]
)
def test_every_pattern_is_linear_in_one_long_line(unit: str) -> None:
    kinds = {form.name: form for form in formats().values()}

    def seconds(length: int) -> float:
        data = (unit * (length // len(unit)) + ";").encode()
        return own_seconds(lambda: [form.read(data) for form in kinds.values() if not form.apart])

    seconds(2_000)
    # Quadratic work would take 64 times as long.
    assert seconds(160_000) < 24 * max(seconds(20_000), 0.02)
