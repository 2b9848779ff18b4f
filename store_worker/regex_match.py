"""Whether a regular expression matches somewhere in a text, in time proportional to the text. Pure.

The expression becomes an automaton whose states are made as texts need them. Which match it would
be makes no difference, only whether there is one, so there is nothing to try again.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from thoth_core.regex_characters import is_word
from thoth_core.regex_syntax import Choice, Look, Node, One, Place, Repeat, Sequence, parse

#: Steps between states that are kept; beyond that all are forgotten and made again.
_KEPT_STEPS = 100_000

Matches = Callable[[str], bool]


def compile_regex(pattern: str) -> Matches:
    """Whether ``pattern`` matches somewhere in a text. :class:`RegexRefused`."""
    tree = parse(pattern)
    run = longest_run(tree)
    if not run:
        return _Automaton(tree).search
    may_match = _finder(run)
    if run == _flat(tree):
        return may_match
    search = _Automaton(tree).search
    return lambda text: may_match(text) and search(text)


def _finder(run: list[One]) -> Matches:
    """Whether a text has these characters in a row. As each is one character, ``re`` tries no more
    than that many at each place, and is much faster than the automaton."""
    literal = "".join(one.literal or "" for one in run)
    if len(literal) == len(run):
        return lambda text: literal in text
    found = re.compile("".join(one.source or "" for one in run)).search
    return lambda text: found(text) is not None


def longest_run(node: Node) -> list[One]:
    """Characters in a row that are in every text which ``node`` matches, as many as are known; only
    those that ``re`` can look for."""
    best: list[One] = []
    run: list[One] = []
    for part in _flat(node):
        inner: list[One] = []
        if isinstance(part, One) and part.source is not None:
            run.append(part)
        else:
            run = []
            if isinstance(part, Repeat) and part.least:
                inner = longest_run(part.part)
        best = max(best, list(run), inner, key=len)
    return best


def _flat(node: Node) -> list[Node]:
    """``node`` as one row, as far as it is one."""
    if isinstance(node, Sequence):
        return [each for part in node.parts for each in _flat(part)]
    if isinstance(node, Repeat) and node.least == node.most:
        return _flat(node.part) * node.least
    return [node]


# What is before or after a place in a text.
_EDGE, _LINE, _WORD, _OTHER = "edge", "line", "word", "other"


def _kind(character: str) -> str:
    if character == "\n":
        return _LINE
    return _WORD if is_word(character) else _OTHER


def _holds(place: Place, before: str, after: str) -> bool:
    if place == "start":
        return before == _EDGE
    if place == "end":
        return after == _EDGE
    if place == "line start":
        return before in (_EDGE, _LINE)
    if place == "line end":
        return after in (_EDGE, _LINE)
    return ((before == _WORD) != (after == _WORD)) == (place == "boundary")


class _State(dict[str, "_State"]):
    """Points of the automaton that a match may have come to, and what is before this place in the
    text. Its items lead on: by each character that was met here, to the next state."""

    __slots__ = ("at_end", "before", "points")

    def __init__(self, points: tuple[int, ...], before: str) -> None:
        self.points = points
        self.before = before
        #: Whether there is a match if the text ends here; None until somebody asks.
        self.at_end: bool | None = None


class _Automaton:
    def __init__(self, tree: Node) -> None:
        # By point: the character or the place that it waits for, and the points that follow.
        self._waits: list[One | Look | None] = []
        self._next: list[list[int]] = []
        self._final = self._point(None, [])
        self._begin = self._build(tree, self._final)
        self._looks = any(isinstance(each, Look) for each in self._waits)
        self._matched = _State((), _OTHER)
        self._states: dict[tuple[tuple[int, ...], str], _State] = {}
        self._first = self._state((), _EDGE)
        self._steps = 0

    def search(self, text: str) -> bool:
        state, matched = self._first, self._matched
        for character in text:
            following = state.get(character)
            state = self._step(state, character) if following is None else following
            if state is matched:
                return True
        if state.at_end is None:
            state.at_end = self._reached(state, _EDGE) is None
        return state.at_end

    # -- states, as they are needed -------------------------------------------------------------

    def _state(self, points: tuple[int, ...], before: str) -> _State:
        if (points, before) not in self._states:
            self._states[points, before] = _State(points, before)
        return self._states[points, before]

    def _step(self, state: _State, character: str) -> _State:
        if self._steps >= _KEPT_STEPS:
            for each in self._states.values():
                each.clear()
            self._states = {(self._first.points, self._first.before): self._first}
            self._steps = 0
        kind = _kind(character) if self._looks else _OTHER
        reached = self._reached(state, kind)
        following = self._matched
        if reached is not None:
            found = set()
            for point in reached:
                waits = self._waits[point]
                if isinstance(waits, One) and waits.test(character):
                    found.add(self._next[point][0])
            following = self._state(tuple(sorted(found)), kind)
        state[character] = following
        self._steps += 1
        return following

    def _reached(self, state: _State, after: str) -> list[int] | None:
        """The points where a character is waited for; None if the match is complete."""
        # A match may begin anywhere.
        open_points = [*state.points, self._begin]
        seen = set(open_points)
        waiting = []
        while open_points:
            point = open_points.pop()
            waits = self._waits[point]
            if point == self._final:
                return None
            if isinstance(waits, One):
                waiting.append(point)
            elif waits is None or _holds(waits.place, state.before, after):
                for each in self._next[point]:
                    if each not in seen:
                        seen.add(each)
                        open_points.append(each)
        return waiting

    # -- points, from the expression ------------------------------------------------------------

    def _point(self, waits: One | Look | None, following: list[int]) -> int:
        self._waits.append(waits)
        self._next.append(following)
        return len(self._waits) - 1

    def _build(self, node: Node, end: int) -> int:
        """Points for ``node`` that lead to ``end``; the first of them."""
        if isinstance(node, One | Look):
            return self._point(node, [end])
        if isinstance(node, Choice):
            return self._point(None, [self._build(part, end) for part in node.parts])
        if isinstance(node, Sequence):
            for part in reversed(node.parts):
                end = self._build(part, end)
            return end
        start = end
        if node.most is None:
            start = self._point(None, [end])
            self._next[start].append(self._build(node.part, start))
        else:
            for _ in range(node.most - node.least):
                start = self._point(None, [self._build(node.part, start), end])
        for _ in range(node.least):
            start = self._build(node.part, start)
        return start
