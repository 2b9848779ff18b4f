"""The regular expressions of ``$regex`` and ``$not_regex``: what they may be and mean. Pure.

Chroma runs them with Rust's ``regex``, whose language differs from Python's ``re`` (what ``\\w``,
``$`` and ``\\z`` mean, classes, flags) and which takes time in proportion to the text, where ``re``
may take for ever. Thoth has to give the same answers without Chroma, so it reads them itself, and
lets through only what means the same in both. Not taken of Rust's language: set operators and
classes within classes, scripts and other properties than general categories, the flags ``x``,
``u``, ``U`` and ``R``, the boundaries ``\\<``, ``\\>`` and ``\\b{…}``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from thoth_core.regex_characters import (
    CATEGORIES,
    PERL,
    POSIX,
    SOURCES,
    Test,
    alike,
    between,
    in_category,
    opposite,
    without_case,
)

#: How large an expression may be with its repetitions written out. Rust refuses larger ones too,
#: beyond some hundreds of \w, but with an error that looks as if the index were broken.
MAX_COST = 1000
_PROPERTY_COST = 5
MAX_DEPTH = 50


class RegexRefused(ValueError):
    """The expression is wrong, or not taken. The message says which rule it breaks."""


@dataclass(frozen=True, slots=True)
class One:
    """One character that passes ``test``; ``literal`` if only that one does. ``source`` says the
    same to Python's ``re``, if it can be said there."""

    test: Test
    literal: str | None = None
    cost: int = 1
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Sequence:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """``most`` None: without end. Whether it is greedy makes no difference to what matches."""

    part: Node
    least: int
    most: int | None


Place = Literal["start", "end", "line start", "line end", "boundary", "no boundary"]


@dataclass(frozen=True, slots=True)
class Look:
    """A place in the text, without a character."""

    place: Place


Node = One | Sequence | Choice | Repeat | Look


def parse(pattern: str) -> Node:
    """``pattern`` as a tree. :class:`RegexRefused`."""
    parser = _Parser(pattern)
    tree = parser.alternatives(_Flags(), 0)
    if parser.more():
        raise RegexRefused("a ) without its (")
    if cost(tree) > MAX_COST:
        raise RegexRefused(f"the expression is too large: at most {MAX_COST} characters to match")
    return tree


def cost(node: Node) -> int:
    """How many characters ``node`` stands for when its repetitions are written out; a class with a
    property counts for several."""
    if isinstance(node, One):
        return node.cost
    if isinstance(node, Look):
        return 1
    if isinstance(node, Repeat):
        return 1 + cost(node.part) * max(node.least, node.most or 0, 1)
    return sum(map(cost, node.parts)) + len(node.parts)


# -- the reader ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Flags:
    """i: without regard to case; m: ^ and $ at every line; s: the dot is any character."""

    i: bool = False
    m: bool = False
    s: bool = False


@dataclass(frozen=True, slots=True)
class _Item:
    """A part of a class; ``literal`` if it may begin or end a range. ``source`` is a part of a
    class of Python's ``re`` that means the same."""

    test: Test
    literal: str | None = None
    cost: int = 1
    source: str | None = None


_GROUP_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COUNTS = re.compile(r"\{([0-9]{1,4})(?:(,)([0-9]{1,4})?)?\}")
_FLAG_GROUP = re.compile(r"([ims]*)(?:-([ims]+))?([:)])")
_HEX = re.compile(
    r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|[xuU]\{([0-9A-Fa-f]{1,8})\}"
)
_PROPERTY = re.compile(r"([A-Z])|\{([A-Za-z]{1,2})\}")
_POSIX_CLASS = re.compile(r"\[:(\^?)([a-z]+):\]")
_CONTROLS = {"a": "\a", "f": "\f", "t": "\t", "n": "\n", "r": "\r", "v": "\v"}
_ESCAPABLE = frozenset("!\"#$%&'()*+,-./:;=?@[\\]^_`{|}~ ")


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._names: set[str] = set()

    def more(self) -> bool:
        return self._at < len(self._text)

    def _peek(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _take(self, text: str) -> bool:
        if self._peek(text):
            self._at += len(text)
            return True
        return False

    def _next(self) -> str:
        if not self.more():
            raise RegexRefused("the expression ends too early")
        self._at += 1
        return self._text[self._at - 1]

    def _match(self, expression: re.Pattern[str]) -> re.Match[str] | None:
        found = expression.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def alternatives(self, flags: _Flags, depth: int) -> Node:
        """Up to the ) that closes the group, or the end."""
        if depth > MAX_DEPTH:
            raise RegexRefused(f"groups are nested {MAX_DEPTH} deep at most")
        choices: list[Node] = []
        parts: list[Node] = []
        while self.more() and not self._peek(")"):
            if self._take("|"):
                choices.append(Sequence(tuple(parts)))
                parts = []
            elif (found := self._flags(flags)) is not None:
                # They hold for what follows in the group, in the other alternatives too.
                flags = found
                parts.append(Sequence(()))
                if self.more() and self._text[self._at] in "*+?{":
                    raise RegexRefused("flags cannot be repeated")
            else:
                parts.append(self._repeated(self._atom(flags, depth)))
        choices.append(Sequence(tuple(parts)))
        return choices[0] if len(choices) == 1 else Choice(tuple(choices))

    def _flags(self, flags: _Flags) -> _Flags | None:
        """The flags after ``(?i)`` and the like, if that is what comes."""
        before = self._at
        if self._take("(?"):
            found = self._match(_FLAG_GROUP)
            if found is not None and found[3] == ")":
                return _changed(flags, found[1], found[2])
        self._at = before
        return None

    def _group(self, flags: _Flags, depth: int) -> Node:
        if self._take("?"):
            if self._take("P<") or (self._peek("<") and not self._peek("<=") and self._take("<")):
                self._name()
            else:
                found = self._match(_FLAG_GROUP)
                if found is None:
                    raise RegexRefused("a group begins with (, (?:, (?P<name>, or flags i, m and s")
                flags = _changed(flags, found[1], found[2], colon=True)
        inner = self.alternatives(flags, depth + 1)
        if not self._take(")"):
            raise RegexRefused("a ( without its )")
        return inner

    def _name(self) -> None:
        found = self._match(_GROUP_NAME)
        if found is None or not self._take(">"):
            raise RegexRefused("the name of a group is of a-z, A-Z, 0-9 and _, and ends with >")
        if found[0] in self._names:
            raise RegexRefused(f"two groups have the name {found[0]}")
        self._names.add(found[0])

    def _repeated(self, node: Node) -> Node:
        while self.more():
            if self._take("*"):
                node = Repeat(node, 0, None)
            elif self._take("+"):
                node = Repeat(node, 1, None)
            elif self._take("?"):
                node = Repeat(node, 0, 1)
            elif self._peek("{"):
                found = self._match(_COUNTS)
                if found is None:
                    raise RegexRefused("a repetition is {n}, {n,} or {n,m}, of four digits at most")
                least = int(found[1])
                most = (int(found[3]) if found[3] else None) if found[2] else least
                if most is not None and most < least:
                    raise RegexRefused("the second number of a repetition is not below the first")
                node = Repeat(node, least, most)
            else:
                break
            self._take("?")
            if cost(node) > MAX_COST:
                raise RegexRefused(f"at most {MAX_COST} characters to match")
        return node

    def _atom(self, flags: _Flags, depth: int) -> Node:
        character = self._next()
        if character in "*+?{":
            raise RegexRefused(f"nothing that {character} could repeat")
        if character == "(":
            return self._group(flags, depth)
        if character == "[":
            return self._class(flags)
        if character == ".":
            if flags.s:
                return One(lambda _: True, source=r"[\s\S]")
            return One(lambda each: each != "\n", source=r"[^\n]")
        if character == "^":
            return Look("line start" if flags.m else "start")
        if character == "$":
            return Look("line end" if flags.m else "end")
        if character != "\\":
            return _single(character, flags)
        if self._take("A"):
            return Look("start")
        if self._take("z"):
            return Look("end")
        if self._take("b"):
            if self._peek("{"):
                raise RegexRefused("\\b{…} is not taken")
            return Look("boundary")
        if self._take("B"):
            return Look("no boundary")
        item = self._escape(flags)
        if item.literal is not None:
            return _single(item.literal, flags)
        source = None if item.source is None else f"[{item.source}]"
        return One(item.test, cost=item.cost, source=source)

    def _escape(self, flags: _Flags) -> _Item:
        """What follows a backslash, in a class or not."""
        found = self._match(_HEX)
        if found is not None:
            code = int(next(digits for digits in found.groups() if digits), 16)
            if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                raise RegexRefused(f"{code:X} is no character")
            return _literal(chr(code))
        character = self._next()
        if character in _CONTROLS:
            return _literal(_CONTROLS[character])
        if character.lower() in PERL:
            test = PERL[character.lower()]
            if character.isupper():
                return _Item(opposite(test), cost=_PROPERTY_COST)
            return _Item(test, cost=_PROPERTY_COST, source=SOURCES.get(character))
        if character in "pP":
            found = self._match(_PROPERTY)
            name = (found[1] or found[2]) if found else ""
            if name not in CATEGORIES:
                raise RegexRefused(
                    "of properties the general categories are taken, such as \\p{Lu}"
                )
            test = in_category(name)
            if flags.i:
                test = without_case(test)
            return _Item(opposite(test) if character == "P" else test, cost=_PROPERTY_COST)
        if character not in _ESCAPABLE:
            raise RegexRefused(f"\\{character} is not taken")
        return _literal(character)

    def _class(self, flags: _Flags) -> Node:
        negated = self._take("^")
        items: list[_Item] = []
        first = True
        while first or not self._peek("]"):
            item = self._class_item(flags)
            first = False
            if self._peek("-") and not self._peek("-]") and not self._peek("--"):
                self._next()
                last = self._class_item(flags)
                if item.literal is None or last.literal is None or item.literal > last.literal:
                    raise RegexRefused(
                        "a range leads from one character to the same or a later one"
                    )
                source = f"{re.escape(item.literal)}-{re.escape(last.literal)}"
                item = _Item(between(item.literal, last.literal), source=source)
            items.append(item)
        self._next()
        tests = tuple(item.test for item in items)
        literals = frozenset(item.literal for item in items if item.literal is not None)
        others = tuple(item.test for item in items if item.literal is None)

        def inside(character: str) -> bool:
            return character in literals or any(test(character) for test in others)

        test: Test = without_case(inside) if flags.i else inside
        if negated:
            test = opposite(test)
            if not any(map(test, _SAMPLES)) and not any(map(test, map(chr, range(0x3000)))):
                # Chroma refuses a class that lets none at all through.
                raise RegexRefused("a class lets some character through that is in use")
        if len(tests) == 1 and items[0].literal is not None and not negated:
            return _single(items[0].literal, flags)
        sources = [item.source for item in items if item.source is not None]
        said = None
        if len(sources) == len(items) and not flags.i:
            said = f"[{'^' if negated else ''}{''.join(sources)}]"
        return One(test, cost=max(item.cost for item in items), source=said)

    def _class_item(self, flags: _Flags) -> _Item:
        for operator in ("&&", "--", "~~"):
            if self._peek(operator):
                raise RegexRefused(f"the operator {operator} in a class is not taken")
        found = self._match(_POSIX_CLASS)
        if found is not None:
            return _posix(found[2], flags, negated=bool(found[1]))
        character = self._next()
        if character == "[":
            raise RegexRefused("a class within a class is not taken; write \\[ for the bracket")
        return self._escape(flags) if character == "\\" else _literal(character)


#: One of these is in nearly every class that is not empty.
_SAMPLES = "a0 _\n\0é漢\U0001f600\u0301\u2028A!\ufffd\U0010ffff"


def _literal(character: str) -> _Item:
    return _Item(character.__eq__, literal=character, source=re.escape(character))


def _single(character: str, flags: _Flags) -> One:
    if not flags.i or len(alike(character)) == 1:
        return One(character.__eq__, literal=character, source=re.escape(character))
    every = alike(character)
    return One(frozenset(every).__contains__, source=f"[{''.join(map(re.escape, every))}]")


def _posix(name: str, flags: _Flags, *, negated: bool) -> _Item:
    members = POSIX.get(name)
    if members is None:
        raise RegexRefused(f"there is no class [:{name}:]")
    test: Test = members.__contains__
    if flags.i:
        test = without_case(test)
    return _Item(opposite(test) if negated else test)


def _changed(flags: _Flags, on: str, off: str | None, *, colon: bool = False) -> _Flags:
    named = on + (off or "")
    if len(set(named)) != len(named) or not (named or colon):
        raise RegexRefused("each flag is named once")
    return _Flags(
        **{
            name: (name in on) or (getattr(flags, name) and name not in (off or ""))
            for name in ("i", "m", "s")
        }
    )
