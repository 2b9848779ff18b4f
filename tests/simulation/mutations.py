"""Planted bugs: one expression of the real code replaced, in the running process.

Each is a mistake that somebody could make. A simulation that does not find one looks at too little.
``seed`` is a history that finds it (or the first of a few that do); when the code has changed and
it finds it no longer, ``python -m tests.simulation.mutants`` says which does.
"""

from __future__ import annotations
import __future__ as compiler

import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import FunctionType
from typing import Any

PACKAGE = "thoth_core.supervisor"


@dataclass(frozen=True)
class Mutation:
    """In the function ``where`` (``module:name`` or ``module:Class.name``, a module of the
    supervisor if no package is named) ``old``, which stands there once, becomes ``new``."""

    name: str
    where: str
    old: str
    new: str
    seed: int

    @contextmanager
    def planted(self) -> Iterator[None]:
        function = _function(self.where)
        source = textwrap.dedent(inspect.getsource(function))
        if source.count(self.old) != 1:
            raise AssertionError(
                f"{self.name}: {self.old!r} stands {source.count(self.old)} times in {self.where}; "
                "the code has changed, and the planted bug must follow it"
            )
        flags = compiler.annotations.compiler_flag
        code = compile(source.replace(self.old, self.new), self.where, "exec", flags=flags)
        made: dict[str, Any] = {}
        exec(code, function.__globals__, made)
        mutant = made[function.__name__]
        before = function.__code__
        # The code and not the function, so that all who have imported the function see it.
        function.__code__ = _plain(mutant).__code__
        try:
            yield
        finally:
            function.__code__ = before


def _function(where: str) -> FunctionType:
    module, _, path = where.partition(":")
    found: Any = import_module(module if "." in module else f"{PACKAGE}.{module}")
    for name in path.split("."):
        found = (
            inspect.getattr_static(found, name) if inspect.isclass(found) else getattr(found, name)
        )
    return _plain(found)


def _plain(found: Any) -> FunctionType:
    if isinstance(found, property):
        found = found.fget
    assert isinstance(found, FunctionType)
    return found


MUTATIONS = [
    Mutation(
        "the attempt of a worker's answer is not checked",
        "dispatch:Dispatch.worker_message",
        " or unit.attempt != message.attempt",
        "",
        20,
    ),
    Mutation(
        "the attempt of the store's answer to a unit is not checked",
        "dispatch:Dispatch.store_message",
        "unit.attempt != message.attempt\n",
        "False\n",
        15,
    ),
    Mutation(
        "a write number has no epoch",
        "board:Board.number",
        "(self.store.epoch << EPOCH_SHIFT) + request.number",
        "request.number",
        0,
    ),
    Mutation(
        "write numbers do not grow",
        "admission:Admission.admit",
        "self._number += 1",
        "self._number = 1",
        0,
    ),
    Mutation(
        "a call is numbered anew on each attempt",
        "assign:_send_call",
        'board.number(call.request), "request"',
        'board.number(call.request) + call.attempt - 1, "request"',
        13,
    ),
    Mutation(
        "credit comes back twice: a free place is one more than there is",
        "pool:Worker.free",
        "self.credit - len(self.units)",
        "self.credit - len(self.units) + bool(self.kept)",
        0,
    ),
    Mutation(
        "the credit of a unit that was given up comes back at once",
        "board:Board.release",
        "worker.kept.discard(unit)",
        "worker.kept.discard(unit); worker.units = [u for u in worker.units if u is not unit]",
        0,
    ),
    Mutation(
        "the credit of a unit that was given up never comes back",
        "dispatch:Dispatch.worker_message",
        "[u for u in worker.units if u.id != message.id or u is unit]",
        "worker.units",
        4,
    ),
    Mutation(
        "the store's credit never comes back",
        "store_line:StoreLine.answered",
        "self._bytes -= call.size",
        "pass",
        0,
    ),
    Mutation(
        "the store's credit in calls is not looked at",
        "store_line:StoreLine.next",
        "len(self._sent) >= MAX_CALLS",
        "False",
        10,
    ),
    Mutation(
        "a call that the store had when it died is not sent again",
        "store_line:StoreLine.lost",
        "if not call.dropped:",
        "if not call.dropped and call.attempt > 1:",
        7,
    ),
    Mutation(
        "a unit that waited in a worker that died is lost",
        "dispatch:Dispatch.worker_gone",
        "elif unit.phase is Phase.EMBEDDING:",
        "elif unit.phase is Phase.EMBEDDING and position == 1:",
        0,
    ),
    Mutation(
        "handed units of a worker that died are forgotten",
        "dispatch:Dispatch.worker_gone",
        "if unit.phase is Phase.HANDED:",
        "if unit.phase is Phase.HANDED and unit.early is not None:",
        0,
    ),
    Mutation(
        "the next store is not asked for the handed units",
        "dispatch:Dispatch.store_ready",
        "send_again(board, unit)",
        "pass",
        0,
    ),
    Mutation(
        "a unit that was handed to a dead store is not sent to the present one",
        "outcomes:unit_handed",
        "unit.store != board.store.incarnation",
        "False",
        6,
    ),
    Mutation(
        "a worker goes back to the store that is gone",
        "embed_worker.latest_store:LatestStore.is_at",
        'store.get("endpoint") == self._endpoint',
        "True",
        6,
    ),
    Mutation(
        "the store's answer that overtakes the worker's is dropped",
        "dispatch:Dispatch.store_message",
        "unit.early = message",
        "pass",
        0,
    ),
    Mutation(
        "a kill from outside is blamed on the text",
        "dispatch:Dispatch.worker_gone",
        "if position == 0 and blame:",
        "if position == 0:",
        27,
    ),
    Mutation(
        "a released unit's vectors stay with the worker",
        "board:Board.drop_unit",
        "elif unit.slot:",
        "elif unit.slot and unit.phase is Phase.EMBEDDING:",
        0,
    ),
    Mutation(
        "a request that is answered stays on the books",
        "board:Board.finish",
        "self.forget(request)",
        "request.kind == 'count' or self.forget(request)",
        0,
    ),
    Mutation(
        "the bytes of a request stay in the queue",
        "board:Board.forget",
        "self.bytes -= request.size",
        "self.bytes -= request.size if request.units else 0",
        0,
    ),
    Mutation(
        "a call that is repeated under its id is a second one",
        "dispatch:Dispatch.request",
        "known is not None",
        "known is not None and known.client == client",
        4,
    ),
    Mutation(
        "a message of a lost connection counts as the latest",
        "dispatch:Dispatch.request",
        "message.attempt < known.attempt",
        "False",
        9,
    ),
    Mutation(
        "a write is dropped with its client",
        "dispatch:Dispatch.client_gone",
        'request.kind not in WRITES | {"add"}',
        "True",
        0,
    ),
    Mutation(
        "deadlines are not looked at",
        "dispatch:Dispatch.tick",
        "request.deadline is not None and now >= request.deadline",
        "False",
        1,
    ),
    Mutation(
        "deadlines do not move while the loop stands still",
        "dispatch:Dispatch.stood_still",
        "request.deadline += gap",
        "pass",
        33,
    ),
    Mutation(
        "silence is measured while a worker is being started",
        "dispatch:Dispatch.tick",
        "self._waits_for_start(request)",
        "False",
        186,
    ),
    Mutation(
        "silence is measured while a worker that may hang has it",
        "dispatch:Dispatch._is_silent",
        "late and self._is_worked_for(request)",
        "False",
        3,
    ),
    Mutation(
        "a worker that hangs is not ended",
        "dispatch:Dispatch._end_stalled",
        "now - worker.moved >= self.limits.unit_timeout",
        "False",
        1,
    ),
    Mutation(
        "a worker that goes on is ended as if it hung",
        "dispatch:Dispatch.worker_beat",
        "worker.steps, worker.moved = steps, now",
        "worker.steps = steps",
        1,
    ),
    Mutation(
        "interactive work waits for its own worker though it is away",
        "pool:Pool.for_interactive",
        "[w for w in bulk if w.free > -w.spare]",
        "[]",
        0,
    ),
    Mutation(
        "urgent calls keep the others waiting for ever",
        "store_line:StoreLine.next",
        "self._passed >= URGENT_IN_A_ROW",
        "False",
        21,
    ),
    Mutation(
        "a bulk request keeps its turn",
        "assign:_next_bulk",
        "board.take_turn(request)",
        "unit.team.bulk.add(request)",
        0,
    ),
    Mutation(
        "work is given to a worker that was told to end",
        "pool:Pool._there",
        "w.slot not in self.leaving",
        "True",
        6,
    ),
    Mutation(
        "units are begun while there is no store",
        "assign:_store_takes",
        "board.store.takes",
        "True",
        0,
    ),
    Mutation(
        "more is handed over than the store can take",
        "assign:_store_takes",
        "len(board.handed) < HANDED_UNITS + more",
        "True",
        2,
    ),
    Mutation(
        "a worker that we stopped is started again",
        "slots:Slot.died",
        "if ours and not again:",
        "if ours and not again and self.role == 'store':",
        0,
    ),
    Mutation(
        "useful work forgives nothing",
        "slots:Slot.useful",
        "self.deaths = 0",
        "pass",
        0,
    ),
    Mutation(
        "a worker that dies again and again is never given up",
        "slots:Slot._after_death",
        "self.deaths >= policy.deaths",
        "False",
        0,
    ),
    Mutation(
        "what was given up is not tried again",
        "slots:Slot._after_death",
        "self._retry_at = now + policy.failed_retry",
        "self._retry_at = None",
        0,
    ),
    Mutation(
        "a worker that cannot be set up is started over and over",
        "slots:Slot.died",
        "if exit.boot_failure:",
        "if False:",
        10,
    ),
    Mutation(
        "whoever ignores SIGTERM is left alone",
        "slots:Slot._limit",
        'if "SIGKILL" in self._said:',
        'if "SIGTERM" in self._said:',
        1,
    ),
    Mutation(
        "a worker may start for ever",
        "slots:Slot._limit",
        "return policy.hello_limit",
        "return None",
        3,
    ),
    Mutation(
        "a drain has no end",
        "slots:Slot._limit",
        "return policy.drain_limit + self._patience",
        "return None",
        14,
    ),
    Mutation(
        "a worker that is replaced has no more time for its work than one that is stopped",
        "slots:Slot._limit",
        "policy.drain_limit + self._patience",
        "policy.drain_limit",
        24,
    ),
    Mutation(
        "a suspect is sent whole",
        "suspects:next_trial",
        "len(unit.items) == 1 and (store",
        "(store",
        1,
    ),
    Mutation(
        "a suspected text runs with others meanwhile",
        "assign:_may_run",
        "return suspects.may_run(board, unit)",
        "return True",
        3,
    ),
    Mutation(
        "a text is tried again in a worker that dies of everything",
        "suspects:next_trial",
        "case.deaths and team.vouched != host.incarnation",
        "False",
        1,
    ),
    Mutation(
        "one death alone condemns a text",
        "suspects:blamed",
        "case.deaths >= POISON_DEATHS",
        "case.deaths >= 1",
        1,
    ),
    Mutation(
        "a text that passed alone stays under suspicion",
        "suspects:passed",
        "team.cases.pop(case.text, None)",
        "pass",
        0,
    ),
    Mutation(
        "a store that hangs is not ended",
        "store_line:StoreLine.hangs",
        "now - self.moved >= limit",
        "False",
        24,
    ),
    Mutation(
        "a worker that is replaced leaves its deaths behind it",
        "slots:Slot.died",
        'self.deaths = 0 if ours == "restart" else self.deaths',
        "self.deaths += 1",
        0,
    ),
    Mutation(
        "a worker is replaced before its work is done",
        "slots:Slot.recycle",
        "self._end(now, why, True)",
        "self._end(now, why, False)",
        0,
    ),
    Mutation(
        "a worker of another model serves the service's own",
        "dispatch:Dispatch.worker_ready",
        "board.teams.get(model) or board.team(model)",
        "board.own",
        0,
    ),
    Mutation(
        "who names a model gets that of the collection",
        "begin:follow",
        "or request.asked_model",
        "or False",
        1,
    ),
    Mutation(
        "workers of other models are started beyond their memory",
        "staffing:Staffing.look",
        "if held + need <= self.bound:",
        "if True:",
        1,
    ),
    Mutation(
        "workers of other models stay for ever",
        "staffing:Staffing._is_over",
        "since >= self.idle",
        "False",
        0,
    ),
    Mutation(
        "a request that has ended still asks for its model",
        "board:Board.forget",
        "request.team.open[request.interactive] -= 1",
        "pass",
        0,
    ),
    Mutation(
        "vectors of two models come into one answer",
        "dispatch:Dispatch.worker_ready",
        "known is not None and known != identity",
        "False",
        22,
    ),
    Mutation(
        "suspected texts keep interactive work waiting in an only worker",
        "assign:_next_between",
        "team.pool.is_alone(host) and not",
        "False and not",
        70,
    ),
    Mutation(
        "a request that goes on with another model keeps its lines",
        "board:Board.move",
        "self.drop_unit(unit)",
        "pass",
        8,
    ),
    Mutation(
        "a worker that has loaded other files of the model goes on",
        "crew:Crew.replace_outdated",
        'self.ready_info[each.name].get("model") != mine',
        "False",
        22,
    ),
]
