"""A line of thousands costs no more for each event than a line of one."""

from __future__ import annotations

import random
from dataclasses import dataclass

from thoth_core.supervisor.waiting import Waiting


@dataclass(frozen=True, slots=True)
class Item:
    turn: int
    stored: bool


def line() -> Waiting[Item]:
    return Waiting(lambda item: item.turn, lambda item: item.stored)


def test_the_two_lines_are_served_as_one_while_the_store_takes_work() -> None:
    waiting, chance = line(), random.Random(3)
    items = [Item(turn, chance.random() < 0.5) for turn in range(50)]
    for item in items:
        waiting.add(item)
    assert [waiting.take(store=True) for _ in items] == items
    assert waiting.take(store=True) is None


def test_what_needs_the_store_is_passed_over_while_it_takes_none() -> None:
    waiting = line()
    items = [Item(0, True), Item(1, False), Item(2, True), Item(3, False)]
    for item in items:
        waiting.add(item)
    assert waiting.take(store=False) == items[1]
    assert waiting.take(store=False) == items[3]
    assert waiting.take(store=False) is None
    assert len(waiting) == 2
    assert waiting.take(store=True) == items[0]


def test_an_item_leaves_from_any_place_and_comes_back_in_front() -> None:
    waiting = line()
    items = [Item(turn, False) for turn in range(4)]
    for item in items:
        waiting.add(item)
    waiting.discard(items[2])
    waiting.discard(items[2])
    assert items[2] not in waiting
    assert waiting.take(store=False) == items[0]
    waiting.add(items[0], front=True)
    assert [waiting.take(store=False) for _ in range(3)] == [items[0], items[1], items[3]]
