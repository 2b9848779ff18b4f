"""The restart policy and the kill ladder of one slot."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from thoth_core.supervisor.slots import (
    Action,
    Exit,
    Policy,
    Signal,
    Slot,
    Spawn,
    State,
    Tell,
)


def make(**policy: float) -> Slot:
    return Slot("embed-bulk-1", "embed", "bulk", lambda: 0.5, Policy(**policy))  # type: ignore[arg-type]


def died(at: float = 0.0, **how: object) -> Exit:
    return Exit(reason="segmentation fault", at=at, signal="SIGSEGV", blame=True, **how)  # type: ignore[arg-type]


def start(slot: Slot, now: float = 0.0) -> None:
    assert slot.tick(now) == [Spawn(slot.name)]
    slot.spawned(now)
    slot.state_said(now, "LOADING")
    slot.ready(now)


def test_the_first_restart_is_at_once_and_later_ones_wait_longer() -> None:
    slot = make()
    start(slot)
    assert slot.died(10.0, died()) == [Spawn(slot.name)]
    slot.spawned(10.0)
    delays = []
    for _ in range(3):
        assert slot.died(20.0, died()) == []
        assert slot.state is State.BACKOFF
        assert slot.wakes_at is not None
        delays.append(round(slot.wakes_at - 20.0, 6))
        assert slot.tick(slot.wakes_at) == [Spawn(slot.name)]
        slot.spawned(slot.wakes_at or 0.0)
    assert delays == [0.1, 0.2, 0.4]


def test_five_deaths_without_useful_work_are_a_failure_that_is_tried_again_later() -> None:
    slot = make()
    start(slot)
    now = 0.0
    for _ in range(4):
        now += 100
        assert (slot.died(now, died()) or slot.tick(now + 50)) == [Spawn(slot.name)]
        slot.spawned(now)
    now += 100
    assert slot.died(now, died()) == []
    assert slot.state is State.FAILED
    assert slot.hopeless
    assert slot.tick(now + 29) == []
    assert slot.tick(now + 30) == [Spawn(slot.name)]


def test_a_worker_that_works_between_deaths_is_restarted_for_ever() -> None:
    slot = make()
    start(slot)
    for death in range(50):
        slot.useful()
        assert slot.died(float(death), died()) == [Spawn(slot.name)]
        slot.spawned(float(death))
        slot.ready(float(death))
    assert slot.restarts == 50


def test_a_boot_failure_is_not_tried_again() -> None:
    slot = make()
    start(slot)
    slot.failed_to_boot({"code": "model_not_found", "message": "no"})
    assert slot.died(1.0, died(boot_failure=True)) == []
    assert slot.state is State.FAILED
    assert slot.wakes_at is None
    assert slot.tick(1e9) == []
    # Until the operator says so.
    assert slot.restart(1e9) == [Spawn(slot.name)]
    assert slot.failure is None


def test_a_boot_failure_that_may_pass_is_tried_again_now_and_then() -> None:
    slot = make()
    start(slot)
    slot.failed_to_boot({"code": "storage", "message": "the disk is full"})
    assert slot.died(1.0, died(boot_failure=True)) == []
    assert slot.hopeless, "callers are told meanwhile"
    assert slot.tick(30.9) == []
    assert slot.tick(31.0) == [Spawn(slot.name)]


def test_a_worker_that_was_stopped_is_never_started_again() -> None:
    slot = make()
    start(slot)
    assert slot.stop(1.0, drain=False) == [Tell(slot.name, "stop")]
    assert slot.died(1.1, died()) == []
    assert slot.state is State.STOPPED
    assert slot.tick(1e9) == []


def test_the_ladder_of_a_stop_is_word_then_term_then_kill() -> None:
    slot = make()
    start(slot)
    assert slot.stop(0.0, drain=True) == [Tell(slot.name, "drain")]
    assert slot.tick(29.9) == []
    assert slot.tick(30.0) == [Tell(slot.name, "stop")]
    assert slot.tick(31.9) == []
    assert slot.tick(32.0) == [Signal(slot.name, "SIGTERM")]
    assert slot.tick(35.0) == [Signal(slot.name, "SIGKILL")]
    assert slot.tick(1e9) == []


def test_one_that_is_replaced_has_time_to_be_found_to_hang_and_then_its_work_is_blamed() -> None:
    slot = make()
    start(slot)
    assert slot.recycle(0.0, "recycled: age", 120.0) == [Tell(slot.name, "drain")]
    assert slot.tick(149.9) == []
    assert slot.stalled(149.9) == [Signal(slot.name, "SIGUSR1")]
    assert slot.died(150.5, died()) == [Spawn(slot.name)]


def test_who_wants_its_end_meanwhile_waits_no_longer_than_for_any_other() -> None:
    slot = make()
    start(slot)
    slot.recycle(0.0, "recycled: age", 120.0)
    assert slot.restart(60.0) == []
    assert slot.tick(89.9) == []
    assert slot.tick(90.0) == [Tell(slot.name, "stop")]
    slot = make()
    start(slot)
    slot.recycle(0.0, "recycled: age", 120.0)
    slot.stop(140.0, drain=True)
    assert slot.tick(149.9) == []
    assert slot.tick(150.0) == [Tell(slot.name, "stop")]


def test_a_worker_that_never_shakes_hands_is_killed_and_counts_as_a_death() -> None:
    slot = make()
    assert slot.tick(0.0) == [Spawn(slot.name)]
    slot.spawned(0.0)
    assert slot.tick(29.9) == []
    assert slot.tick(30.0) == [Signal(slot.name, "SIGUSR1")]
    assert slot.tick(30.4) == []
    assert slot.tick(30.5) == [Signal(slot.name, "SIGKILL")]
    assert slot.before_stopping is State.STARTING
    slot.died(30.6, died())
    assert slot.deaths == 1


def test_a_worker_that_hangs_writes_its_stacks_and_is_killed() -> None:
    slot = make()
    start(slot)
    assert slot.stalled(5.0) == [Signal(slot.name, "SIGUSR1")]
    assert slot.wakes_at == 5.5
    assert slot.stalled(5.1) == []
    assert slot.tick(5.5) == [Signal(slot.name, "SIGKILL")]
    assert slot.tick(1e9) == []
    assert slot.before_stopping is State.READY
    # Its end is a death like any other.
    assert slot.died(5.6, died()) == [Spawn(slot.name)]
    assert slot.deaths == 1


def test_a_worker_that_hangs_while_the_service_stops_is_not_started_again() -> None:
    slot = make()
    start(slot)
    slot.stalled(5.0)
    assert slot.stop(5.1, drain=True) == []
    assert slot.tick(5.5) == [Signal(slot.name, "SIGKILL")]
    assert slot.died(5.6, died()) == []
    assert slot.state is State.STOPPED


def test_the_operators_restart_ends_the_worker_and_starts_another() -> None:
    slot = make()
    start(slot)
    assert slot.restart(1.0) == [Tell(slot.name, "drain")]
    assert slot.died(2.0, died()) == [Spawn(slot.name)]
    assert slot.deaths == 0


def test_a_loop_that_stood_still_makes_no_worker_late() -> None:
    slot = make()
    assert slot.tick(0.0) == [Spawn(slot.name)]
    slot.spawned(0.0)
    slot.stood_still(1000.0)
    assert slot.tick(1010.0) == []
    assert slot.tick(1030.0) == [Signal(slot.name, "SIGUSR1")]


@given(
    st.lists(
        st.sampled_from(["die", "boot", "ready", "useful", "tick", "stop", "restart"]),
        max_size=40,
    ),
    st.floats(0.0, 1.0, exclude_max=True),
)
def test_no_order_of_events_makes_two_processes_or_revives_what_was_stopped(
    events: list[str], chance: float
) -> None:
    slot = Slot("s", "store", "", lambda: chance)
    now, alive, stopped = 0.0, False, False

    def carry_out(actions: list[Action]) -> None:
        nonlocal alive
        for action in actions:
            if isinstance(action, Spawn):
                assert not alive, "a second process in one slot"
                assert not stopped, "revived after a stop"
                slot.spawned(now)
                alive = True

    carry_out(slot.tick(now))
    for event in events:
        now += 7.0
        if event in ("die", "boot") and alive:
            alive = False
            carry_out(slot.died(now, died(boot_failure=event == "boot")))
        elif event == "ready":
            slot.state_said(now, "OPENING")
            slot.ready(now)
        elif event == "useful":
            slot.useful()
        elif event == "tick":
            carry_out(slot.tick(now))
        elif event == "stop":
            stopped = True
            carry_out(slot.stop(now, drain=False))
        elif event == "restart" and not stopped:
            carry_out(slot.restart(now))
        assert slot.alive == alive
