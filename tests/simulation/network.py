"""Links between two ends. What one end sends to another stays in order, as ZeroMQ keeps it; what
goes over different links does not. A frame is lost only with one of its ends, may be late, and now
and then comes twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from tests.simulation.world import World, told_of

#: Of frames, how many are held up, and how many of them come twice.
LATE, TWICE = 0.006, 0.006


class Frame:
    __slots__ = ("act", "args", "done", "link")

    def __init__(self, link: tuple[Any, Any], act: Callable[..., object], args: Any) -> None:
        self.link = link
        self.act = act
        self.args = args
        self.done = False

    def deliver(self, again: bool = False) -> None:
        if self.done and not again:
            return
        self.done = True
        self.act(*self.args)

    @property
    def told(self) -> str:
        sender, receiver = (e.decode() if isinstance(e, bytes) else e for e in self.link)
        return f"{sender} to {receiver}: {told_of(self.args[-1:])}"


class Network:
    def __init__(self, world: World) -> None:
        self._world = world
        self._last: dict[tuple[Any, Any], float] = {}
        self._flying: defaultdict[Any, list[Frame]] = defaultdict(list)

    def send(
        self,
        sender: Any,
        receiver: Any,
        act: Callable[..., object],
        *args: Any,
        twice: bool = False,
        latest: float = 20.0,
    ) -> None:
        """``twice`` says whether this frame may be repeated by a faulty network, ``latest`` how
        late it may be, in seconds."""
        world = self._world
        link = (sender, receiver)
        frame = Frame(link, act, args)
        at = max(self._last.get(link, 0.0), world.now + world.random.expovariate(1000))
        if world.chance(LATE):
            world.fault("late message")
            at += min(latest, world.random.expovariate(0.6))
        self._last[link] = at
        flying = self._flying[sender]
        if len(flying) > 20:
            flying[:] = [f for f in flying if not f.done]
        flying.append(frame)
        world.at(at, frame.deliver)
        if twice and world.chance(TWICE):
            world.fault("message twice")
            self._last[link] = at + min(0.5, world.random.expovariate(5))
            world.at(self._last[link], frame.deliver, True)

    def hold(self, sender: Any, receiver: Any, seconds: float) -> None:
        """Nothing more gets through for so long: the receiver's queue is full."""
        link = (sender, receiver)
        self._last[link] = max(self._last.get(link, 0.0), self._world.now) + seconds

    def busy(self, link: tuple[Any, Any]) -> float:
        """When the last frame on this link arrives."""
        return self._last.get(link, 0.0)

    def close(self, sender: Any, receiver: Any) -> int:
        """The sender closed this link: what has not arrived is lost. How much that is."""
        lost = [f for f in self._flying[sender] if f.link == (sender, receiver) and not f.done]
        for frame in lost:
            frame.done = True
        self._world.tally["fault: message lost with its line"] += len(lost)
        return len(lost)

    def cut(self, sender: Any) -> None:
        """The sender died: the end of what it sent may never have left it."""
        flying = [f for f in self._flying.pop(sender, []) if not f.done]
        if not flying or self._world.random.random() < 0.5:
            return
        kept = self._world.random.randrange(len(flying))
        for frame in flying[kept:]:
            frame.done = True
            self._world.tally["fault: message lost with its sender"] += 1
