"""Delivery holds under random faults: whole histories against the real dispatch."""

from __future__ import annotations

import pytest

from tests.simulation.world import POISON, World

SEEDS = 60


def history(seed: int, *, poison: float = 0.0, faults: float = 1.0) -> World:
    world = World(seed, faults=faults)
    busy = world.random.uniform(5, 30)
    at = 0.0
    while at < busy:
        at += world.random.expovariate(6)
        world.later(at, lambda: world.random_ask(poison=poison))
        if faults and world.random.random() < 0.25:
            world.later(at, world.random_fault)
    world.run(busy)
    # Quiet: no more faults, time enough for everything.
    world.faults = 0.0
    for step in range(1, 400):
        world.run(busy + step * 0.5)
        world.dispatch.tick(world.now)
        world.carry_out()
    world.check_end()
    return world


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_request_has_one_answer_and_the_ledger_holds_what_was_promised(seed: int) -> None:
    world = history(seed)
    assert world.answers
    assert not any(
        error["code"] == "poison_input"
        for answers in world.answers.values()
        for _, error in answers[0].body.get("errors", [])
    ), "a text was given up for a death that came from outside"


def test_the_histories_hold_the_faults_they_are_for() -> None:
    worlds = [history(seed) for seed in range(12)]
    assert sum(w.deaths["worker"] for w in worlds) > 30
    assert sum(w.deaths["store"] for w in worlds) > 10
    assert sum(w.dispatch.board.counters["units_resent"] for w in worlds) > 0
    assert sum(w.dispatch.board.counters["frames_late"] for w in worlds) > 0
    assert sum(w.dispatch.board.counters["units_retried"] for w in worlds) > 10


@pytest.mark.parametrize("seed", range(20))
def test_a_poison_text_is_given_up_and_no_other(seed: int) -> None:
    world = history(10_000 + seed, poison=0.05)
    for id, (_, message) in world.sent.items():
        answer = world.answers[id][0]
        if answer.kind != "result" or "errors" not in answer.body:
            continue
        bad = {index for index, _ in answer.body["errors"]}
        poison = {i for i, t in enumerate(message.body["texts"]) if POISON in t}
        if not answer.body.get("reused") and message.kind != "query":
            assert bad == poison
        else:
            assert bad <= poison


def test_without_faults_nothing_is_sent_twice() -> None:
    world = history(7, faults=0.0)
    assert world.dispatch.board.counters["units_retried"] == 0
    assert world.dispatch.board.counters["frames_late"] == 0
    assert all(answers[0].kind == "result" for answers in world.answers.values())
