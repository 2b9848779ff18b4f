"""What goes wrong from outside, at random moments. What goes wrong at a certain step of a process
stands with that step (``Process.stab``), what goes wrong on the way in ``network``."""

from __future__ import annotations

from tests.simulation.processes import SIGKILL, SIGSEGV, Process
from tests.simulation.world import MEMORY, World
from thoth_core.supervisor.recycling import MB


def one(world: World) -> None:
    """A fault of a random kind."""
    if world.faults:
        kinds, weights = zip(*KINDS, strict=True)
        world.random.choices(kinds, weights)[0](world)


def _someone(world: World, role: str = "") -> Process | None:
    found = [p for p in world.processes.values() if not role or p.role == role]
    return world.random.choice(found) if found else None


def kill(world: World) -> None:
    process = _someone(world)
    if process is not None:
        world.fault("killed from outside")
        process.die(SIGKILL)


def crash(world: World) -> None:
    process = _someone(world)
    if process is not None:
        world.fault("crash at any moment")
        process.die(SIGSEGV)


def crashes(world: World) -> None:
    """One slot's processes die again and again, before they do any work."""
    process = _someone(world)
    if process is not None:
        world.fault("crash after crash")
        for n in range(world.random.randrange(3, 9)):
            world.later(n * 0.7, _crash_slot, world, process.slot)


def _crash_slot(world: World, slot: str) -> None:
    for process in [p for p in world.processes.values() if p.slot == slot]:
        process.die(SIGSEGV)


def freeze(world: World) -> None:
    process = _someone(world)
    if process is not None and not process.frozen:
        world.fault("stopped and continued")
        process.frozen = True
        seconds = world.random.choice((0.2, 1.0, 4.0, 12.0))
        world.later(world.random.random() * seconds, process.thaw)


def hang(world: World) -> None:
    process = _someone(world)
    if process is not None:
        process.hung = True
        process.mute = world.random.random() < 0.5
        world.fault("hang without beats" if process.mute else "hang with beats")
        if process.role == "embed" and world.random.random() < 0.5:
            # Its own timer, which needs no interpreter.
            process.later(world.shape.limits.unit_timeout, process.timed_out)


def grow(world: World) -> None:
    process = _someone(world)
    if process is not None:
        world.fault("memory over the bound")
        process.memory = 2 * MEMORY * MB


def model_replaced(world: World) -> None:
    """Its files on the disk: whoever loads them from now on has another model of that name."""
    process = _someone(world, "embed")
    if process is not None:
        world.fault("model replaced on the disk")
        world.weights[process.model] += 1


def slow(world: World) -> None:
    process = _someone(world)
    if process is not None:
        world.fault("slow worker")
        process.slow = world.random.choice((0.05, 0.3, 1.0))


def full(world: World) -> None:
    """A peer takes nothing more from the supervisor for a while."""
    process = _someone(world)
    if process is not None:
        world.fault("full queue of a worker")
        process.full_until = world.now + world.random.uniform(0.1, 1)


def full_for_long(world: World) -> None:
    process = _someone(world)
    if process is not None:
        world.fault("full queue of a worker for long")
        seconds = world.random.uniform(2, 75)
        process.full_until = world.now + seconds
        process.frozen = True
        world.later(seconds, process.thaw)


def full_between(world: World) -> None:
    """Vectors on their way from a worker to the store are held up."""
    worker, store = _someone(world, "embed"), _someone(world, "store")
    if worker is not None and store is not None:
        world.fault("full queue of the store")
        seconds = world.random.choice((0.5, 3.0, 10.0))
        world.network.hold(worker.identity, store.identity, world.random.random() * seconds)


def full_client(world: World) -> None:
    world.fault("slow client")
    world.clients.someone().full_until = world.now + world.random.uniform(0.1, 3)


def client_dies(world: World) -> None:
    world.fault("client killed")
    world.clients.someone().die()


def reconnect(world: World) -> None:
    world.fault("connection lost, calls repeated")
    world.clients.someone().connect()


def take_back(world: World) -> None:
    client = world.clients.someone()
    if client.calls:
        world.fault("call taken back")
        client.cancel(world.random.choice(list(client.calls.values())))


def stand_still(world: World) -> None:
    world.fault("the loop stands still")
    world.supervisor.stand_still(world.random.choice((0.3, 1.5, 5.0, 60.0)) * world.random.random())


def store_away(world: World) -> None:
    """The store is down for long: it dies whenever it comes up."""
    world.fault("store down for long")
    seconds = world.random.uniform(2, 8)
    for n in range(int(seconds / 0.25)):
        world.later(n * 0.25, _kill_slot, world, "store")


def _kill_slot(world: World, slot: str) -> None:
    for process in [p for p in world.processes.values() if p.slot == slot]:
        process.die(SIGKILL)


def restart_one(world: World) -> None:
    """An operator's ``thoth-supervisor restart``, of one worker or all."""
    supervisor = world.supervisor
    world.fault("restart by an operator")
    slots = [None, *supervisor.crew.slots]
    supervisor.arrive("control", ("restart", world.random.choice(slots)))


def stop(world: World) -> None:
    world.fault("supervisor stopped in order")
    world.supervisor.arrive("control", ("stop", ""))
    if world.random.random() < 0.4:
        world.fault("second signal")
        supervisor = world.supervisor
        world.later(world.random.uniform(0, 2), supervisor.arrive, "control", ("stop", "fast"))


def kill_supervisor(world: World) -> None:
    world.fault("supervisor killed")
    world.kill_supervisor()


#: What may happen, and how often in comparison.
KINDS = [
    (kill, 10),
    (crash, 3),
    (crashes, 1),
    (freeze, 5),
    (hang, 3),
    (slow, 3),
    (model_replaced, 1),
    (grow, 2),
    (full, 3),
    (full_for_long, 0.15),
    (full_between, 4),
    (full_client, 2),
    (client_dies, 2),
    (reconnect, 5),
    (take_back, 5),
    (stand_still, 3),
    (store_away, 1),
    (restart_one, 2),
    (stop, 0.5),
    (kill_supervisor, 1),
]
