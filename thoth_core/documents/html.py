"""HTML: what a reader sees, with its headings, the rows of its tables and its lists.

Left out are scripts, styles and templates, and what is marked as being for finding one's way:
``nav``, and a ``footer`` of the whole page. Nothing else is taken for noise.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from thoth_core.documents.base import Content, Format
from thoth_core.documents.characters import whole
from thoth_core.documents.decoding import decode_noted
from thoth_core.documents.extra import not_installed
from thoth_core.documents.html_text import HtmlText
from thoth_core.documents.markdown import first_highest
from thoth_core.layout import Layout

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

#: Where a page says its encoding: in a ``meta`` or an XML declaration near its beginning.
_HEAD = 4096
_CHARSET = re.compile(
    rb"""<(?:meta\b[^>]{0,400}?charset\s*=|\?xml\b[^>]{0,200}?encoding\s*=)\s*["']?([\w.:-]{1,40})""",
    re.I,
)
#: What browsers take these names to mean.
_MEANT = {
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "us-ascii": "cp1252",
    "ascii": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc-kr": "cp949",
    "ks_c_5601-1987": "cp949",
}
#: In XML any element may be closed in its own tag; in HTML a script closed so has no end.
_CLOSED_AT_ONCE = re.compile(r"<([a-zA-Z][\w:-]*)(\s[^<>]*)?/>")
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "frame", "hr", "img", "input", "link", "meta", "param"}
    | {"source", "track", "wbr"}
)
_LEFT_OUT = frozenset({"script", "style", "template", "head", "noframes"})
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_AS_IT_STANDS = frozenset({"pre", "textarea", "listing", "xmp"})
#: Line ends around elements.
_PARAGRAPHS = (
    *("article", "blockquote", "details", "dl", "fieldset", "figure", "form", "hr", "main", "ol"),
    *("p", "section", "ul"),
)
_LINES = (
    *("address", "aside", "body", "caption", "center", "dd", "dialog", "div", "dt", "figcaption"),
    *("footer", "header", "hgroup", "html", "legend", "li", "menu", "nav", "optgroup", "option"),
    *("search", "summary", "tbody", "td", "tfoot", "th", "thead", "tr"),
)
_BLOCKS = dict.fromkeys(_PARAGRAPHS, 2) | dict.fromkeys(_LINES, 1)
#: A table that has one of these puts parts of a page side by side; it has no rows of data.
_NO_DATA = "table, h1, h2, h3, h4, h5, h6, pre, td > p + p + p"
#: What a footer belongs to if it is inside it, and not to the page.
_PARTS = frozenset({"article", "section", "blockquote", "figure", "aside"})


def read(data: bytes) -> Content:
    try:
        from selectolax.lexbor import LexborHTMLParser
    except ImportError as problem:
        raise not_installed("selectolax", "HTML") from problem
    text, note = _decoded(data)
    if text.lstrip().startswith("<?xml"):
        text = _CLOSED_AT_ONCE.sub(_opened_and_closed, text)
    root = LexborHTMLParser(whole(text)).root
    if root is None:
        return Content("", Layout(lines=()), note=note)
    title = root.css_first("head > title")
    written = _written(root, bare=True)
    if not written.text.strip():
        # A page of nothing but links: then they are what it says.
        written = _written(root, bare=False)
    name = " ".join(title.text().split()) if title is not None else ""
    layout = Layout(headings=tuple(written.headings), rows=tuple(written.rows), lines=())
    return Content(written.text, layout, title=name or first_highest(written.headings), note=note)


def _decoded(data: bytes) -> tuple[str, str]:
    """The text by its own word on its encoding, unless it is plainly UTF-8 or UTF-16."""
    match = _CHARSET.search(data[:_HEAD])
    if match and b"\0" not in data[:_HEAD]:
        name = match[1].decode().lower()
        try:
            data.decode()
        except UnicodeDecodeError:
            try:
                text = data.decode(_MEANT.get(name, name))
                return text.replace("\r\n", "\n").replace("\r", "\n"), ""
            except (LookupError, UnicodeError):
                pass
    return decode_noted(data)


def _opened_and_closed(match: re.Match[str]) -> str:
    if match[1].lower() in _VOID:
        return match[0]
    return f"<{match[1]}{match[2] or ''}></{match[1]}>"


def _written(root: LexborNode, *, bare: bool) -> HtmlText:
    """The text of the tree under ``root``; ``bare``: without what is for finding one's way."""
    walk = _Walk()
    node: LexborNode | None = root
    # By steps and not by calls: a page may be nested as deep as it likes.
    while node is not None:
        entered = not _passed_over(node, bare)
        below = None
        if entered:
            walk.enter(node)
            below = node.child
        if below is not None:
            node = below
            continue
        while node is not None:
            if entered:
                walk.leave(node)
            entered = True
            beside = node.next
            if beside is not None:
                node = beside
                break
            node = node.parent
    return walk.into


def _passed_over(node: LexborNode, bare: bool) -> bool:
    tag = node.tag
    if tag in _LEFT_OUT:
        return True
    if tag == "a":
        # The link of a heading to itself.
        inside = node.child
        return inside is not None and inside.next is None and inside.text_content == "¶"
    if not bare:
        return False
    if tag == "div":
        return node.attributes.get("role") == "navigation"
    if tag == "footer":
        above = node.parent
        while above is not None and above.tag not in _PARTS:
            above = above.parent
        return above is None
    return tag == "nav"


class _Walk:
    def __init__(self) -> None:
        self.into = HtmlText()
        #: Of each table that is open, whether its rows are rows of data.
        self._data: list[bool] = []

    def enter(self, node: LexborNode) -> None:
        tag, into = node.tag or "", self.into
        if tag == "-text":
            into.words(node.text_content or "")
        elif tag in _HEADINGS:
            into.heading(_HEADINGS[tag])
        elif tag == "br":
            into.line_end()
        elif tag == "li":
            into.item("- ")
        elif tag == "table":
            inside = node.css(_NO_DATA)
            self._data.append(all(each.mem_id == node.mem_id for each in inside))
            into.block(2)
        elif tag == "tr" and self._in_data():
            into.row()
        elif tag in ("td", "th") and self._in_data():
            into.cell()
        elif tag in _AS_IT_STANDS:
            into.pre()
        elif tag == "img":
            into.words(f" {node.attributes.get('alt') or ''} ")
        elif tag in _BLOCKS:
            into.block(_BLOCKS[tag])

    def leave(self, node: LexborNode) -> None:
        tag, into = node.tag or "", self.into
        if tag in _HEADINGS:
            into.heading_end(_HEADINGS[tag])
        elif tag == "table":
            self._data.pop()
            into.block(2)
        elif tag == "tr" and self._in_data():
            into.row_end()
        elif tag in _AS_IT_STANDS:
            into.pre_end()
        elif tag in _BLOCKS and not (tag in ("td", "th") and self._in_data()):
            into.block(_BLOCKS[tag])

    def _in_data(self) -> bool:
        return bool(self._data) and self._data[-1]


FORMAT = Format(
    "html",
    frozenset({".html", ".htm", ".xhtml", ".xht"}),
    read,
    begins=(b"<!DOCTYPE html", b"<!doctype html", b"<html", b"<HTML"),
    apart=True,
)
