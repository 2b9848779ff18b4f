"""Who passes the gate, and in which order."""

from __future__ import annotations

import asyncio

from embed_worker.gate import Gate
from embed_worker.pace import Pace


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_those_who_wait_pass_in_order_and_queries_first() -> None:
    async def scene() -> list[str]:
        clock = _Clock()
        pace = Pace()
        pace.refused(0.0, 10.0, 0)
        told: list[float | None] = []
        gate, passed = Gate(pace, told.append, clock), []

        async def one(name: str, urgent: bool) -> None:
            await gate.passed(5, urgent=urgent)
            passed.append(name)

        tasks = [asyncio.ensure_future(one(f"bulk {n}", False)) for n in range(3)]
        await asyncio.sleep(0)
        tasks.append(asyncio.ensure_future(one("query", True)))
        await asyncio.sleep(0.01)
        assert passed == []
        assert told[-1] == 10.0
        clock.now = 10.0
        gate.answered()
        await asyncio.gather(*tasks)
        assert told[-1] is None
        return passed

    assert asyncio.run(scene()) == ["query", "bulk 0", "bulk 1", "bulk 2"]


def test_who_leaves_the_line_keeps_nobody_from_passing() -> None:
    async def scene() -> None:
        clock, pace = _Clock(), Pace()
        pace.refused(0.0, 1000.0, 0)
        told: list[float | None] = []
        gate = Gate(pace, told.append, clock)

        leaving = [asyncio.ensure_future(gate.passed(1, urgent=False)) for _ in range(2)]
        await asyncio.sleep(0)
        for each in leaving:
            each.cancel()
        await asyncio.sleep(0.01)
        # Nobody waits any more.
        assert told[-1] is None
        third = asyncio.ensure_future(gate.passed(1, urgent=False))
        await asyncio.sleep(0)
        clock.now = 1000.0
        gate.answered()
        await asyncio.wait_for(third, 10)

    asyncio.run(scene())
