"""What the death of a worker says of a text. Pure.

The texts of the unit that ran become cases. Each is tried alone, one after the other, in a worker
that holds nothing else. One that passes is innocent, and its vector counts. One that ends its
worker twice so is poison: it goes into the quarantine, and its callers are told. Between the two
deaths a text that is known to be good must pass in that worker, because one that is broken ends
with whatever it is given, and would condemn innocent texts.

While a text is a case nobody else runs it: the units that have it wait for the verdict. So it
costs two deaths, and one for each worker that was running it when the first of them died.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from thoth_core.errors import PoisonInput, WorkerFailed
from thoth_core.supervisor.board import Board, Quarantined
from thoth_core.supervisor.endings import settle
from thoth_core.supervisor.pool import Worker
from thoth_core.supervisor.quarantine import Ending
from thoth_core.supervisor.requests import Case, Phase, Request, Unit
from thoth_core.supervisor.team import Team

#: A text that ends its worker so often while it runs alone is not tried again.
POISON_DEATHS = 2
#: Texts that pass alone, and end their worker so often with others, are given up.
UNIT_DEATHS = 4
#: Cases at once, of texts whose callers have all gone.
MAX_CASES = 1024
#: A unit whose worker was killed so often while it ran is given up. No text is blamed for a kill,
#: but where the kernel does not tell, it may be that of one which takes too much memory.
MOST_KILLS = 10
GOOD_TEXT = "This text is known to be good."


def compare(board: Board, request: Request) -> None:
    """Refuse the texts of a new request that are in quarantine."""
    request.compared = board.verdicts
    runtime = request.team.runtime
    if not board.quarantine.bars(runtime):
        return
    refused = {index for index, _ in request.errors}
    for index, text in enumerate(request.body["texts"]):
        if index not in refused and (entry := board.quarantine.refuse(text, runtime)) is not None:
            board.counters["texts_barred"] += 1
            request.errors.append((index, entry.problem(index).to_dict()))
            request.left -= 1


def may_run(board: Board, unit: Unit) -> bool:
    """Whether anything is left of ``unit``, which is in no line, to be run now: without the texts
    that wait for a verdict, and those that got one since their request came."""
    request, texts = unit.request, unit.request.body["texts"]
    poison: dict[int, PoisonInput] = {}
    held: dict[int, Case] = {}
    for item in unit.items:
        if (case := unit.team.cases.get(texts[item])) is not None:
            held[item] = case
        elif request.compared != board.verdicts:
            entry = board.quarantine.refuse(texts[item], unit.team.runtime)
            if entry is not None:
                board.counters["texts_barred"] += 1
                poison[item] = entry.problem(item)
    if poison and not _refuse(board, unit, poison):
        return False
    if not held:
        return True
    if len(unit.items) == 1 or request.kind == "query":
        _hold(unit, held.values())
        return False
    for item, case in held.items():
        _hold(board.new_unit(request, [item], unit.deaths), [case])
    unit.items = [item for item in unit.items if item not in held]
    if not unit.items:
        board.drop_unit(unit)
    return bool(unit.items)


def forsake(board: Board) -> None:
    """Nobody will send these texts again: cases without a caller are given up."""
    for team in board.teams.values():
        for case in list(team.cases.values()):
            if not case.waiting and case is not team.tried:
                del team.cases[case.text]


# -- deaths ---------------------------------------------------------------------------------------


def blamed(board: Board, unit: Unit, ending: Ending) -> None:
    """A worker ended of itself while it ran ``unit``."""
    team = unit.team
    if unit is not team.alone:
        if not unit.request.own:
            _suspect(board, unit)
        return
    case, team.alone, team.tried = team.tried, None, None
    if unit.phase is Phase.EMBEDDING:
        board.requeue(unit)
    if case is None:
        # It ended with a good text as well, which says nothing about any other.
        return
    case.deaths += 1
    if case.deaths >= POISON_DEATHS:
        _condemn(board, team, case, ending)


def killed(board: Board, unit: Unit) -> None:
    """A worker was ended, by us or from outside, while it ran ``unit``. That says nothing of it."""
    team = unit.team
    case = team.tried if unit is team.alone else None
    if unit is team.alone:
        team.alone = team.tried = None
    if unit.phase is Phase.EMBEDDING:
        board.requeue(unit)
    if case is not None:
        case.kills += 1
        if case.kills >= MOST_KILLS and not case.waiting:
            # Nobody asks any more, and it might go on so for ever.
            team.cases.pop(case.text, None)
    for each in [unit] if case is None else list(case.waiting):
        each.kills += 1
        if each.kills >= MOST_KILLS:
            board.fail(each.request, _killed_too_often(each.kills))


def _suspect(board: Board, unit: Unit) -> None:
    """The unit ran with several texts, or with others behind it: each of its texts is a case."""
    request, texts = unit.request, unit.request.body["texts"]
    purpose = "query" if request.kind == "query" else request.body.get("purpose")
    unit.deaths += 1
    parts = [unit]
    if unit.phase is not Phase.EMBEDDING:
        # Its caller has gone. The next one with the same text must not pay for it again.
        parts = []
        for item in unit.items:
            if board.quarantine.find(texts[item], unit.team.runtime) is None:
                _open_case(unit.team, texts[item], purpose)
    elif unit.deaths >= UNIT_DEATHS:
        _refuse(board, unit, {item: _not_together(item, unit.deaths) for item in unit.items})
        return
    elif len(unit.items) > 1 and request.kind != "query":
        parts = [board.new_unit(request, [item], unit.deaths) for item in unit.items]
        board.drop_unit(unit)
    for part in parts:
        # It may have run since before the verdict on one of them.
        find, runtime = board.quarantine.find, part.team.runtime
        found = ((item, find(texts[item], runtime)) for item in part.items)
        poison = {item: entry.problem(item) for item, entry in found if entry is not None}
        if _refuse(board, part, poison):
            board.counters["units_retried"] += 1
            _hold(part, [_open_case(part.team, texts[item], purpose) for item in part.items])
            board.queue(part)
    _take_back(board, unit.team)


def _take_back(board: Board, team: Team) -> None:
    """What workers hold and do not run yet is not to end them too."""
    for worker in team.pool.workers.values():
        for unit in worker.units[1:]:
            texts = unit.request.body["texts"]
            if (
                unit.phase is Phase.EMBEDDING
                and unit.early is None
                and any(texts[item] in team.cases for item in unit.items)
            ):
                again = board.new_unit(unit.request, unit.items, unit.deaths)
                board.drop_unit(unit)
                board.counters["units_retried"] += 1
                board.queue(again, front=True)


# -- trials ---------------------------------------------------------------------------------------


def next_trial(board: Board, team: Team, host: Worker, *, store: bool) -> Unit:
    """The unit that is to run alone in ``host``; ``store`` says whether the store takes work. There
    is a case."""
    case = next(iter(team.cases.values()))
    if case.deaths and team.vouched != host.incarnation:
        team.tried = None
        return _own_unit(board, team, GOOD_TEXT, None)
    team.tried = case
    for unit in case.waiting:
        if len(unit.items) == 1 and (store or not unit.request.needs_store):
            return unit
    # Nobody waits any more, or not with this text alone, or what waits needs the store.
    return _own_unit(board, team, case.text, case.purpose)


def passed(board: Board, team: Team, worker: Worker) -> None:
    """What ran alone was answered, whatever the answer: the worker lives."""
    case, team.alone, team.tried = team.tried, None, None
    if case is None:
        team.vouched = worker.incarnation
        return
    team.cases.pop(case.text, None)
    for unit in case.waiting:
        unit.cases.remove(case)
        if unit.phase is Phase.QUEUED and not unit.cases:
            board.queue(unit, front=True)


def taken_back(board: Board, team: Team, worker: Worker, id: str, *, done: bool) -> None:
    """A worker answered a unit of a call that was given up meanwhile."""
    if team.alone is not None and team.alone.id == id:
        if done:
            passed(board, team, worker)
        else:
            # It may not have begun.
            team.alone = team.tried = None


def _condemn(board: Board, team: Team, case: Case, ending: Ending) -> None:
    team.cases.pop(case.text, None)
    entry = board.quarantine.add(case.text, team.runtime, case.deaths, ending)
    board.verdicts += 1
    board.counters["texts_poisoned"] += 1
    # Before the callers hear of it, so that it is on the disk by then.
    board.out.append(Quarantined(entry))
    for unit in list(case.waiting):
        unit.cases.remove(case)
        texts = unit.request.body["texts"]
        poison = {i: entry.problem(i) for i in unit.items if texts[i] == case.text}
        if _refuse(board, unit, poison) and not unit.cases:
            board.queue(unit, front=True)


# -- within ---------------------------------------------------------------------------------------


def _refuse(board: Board, unit: Unit, problems: Mapping[int, PoisonInput]) -> bool:
    """Answer these items of a unit that is in no line; whether any of it are left."""
    request = unit.request
    request.errors += [(item, problem.to_dict()) for item, problem in problems.items()]
    request.left -= len(problems)
    unit.items = [item for item in unit.items if item not in problems]
    if not unit.items:
        board.drop_unit(unit)
        settle(board, request)
    return bool(unit.items)


def _hold(unit: Unit, cases: Iterable[Case]) -> None:
    """The unit waits for these verdicts."""
    for case in cases:
        if case not in unit.cases:
            unit.cases.append(case)
            case.waiting[unit] = None


def _open_case(team: Team, text: str, purpose: Any) -> Case:
    case = team.cases.get(text)
    if case is None:
        while len(team.cases) >= MAX_CASES:
            forsaken = (c for c in team.cases.values() if not c.waiting and c is not team.tried)
            if (oldest := next(forsaken, None)) is None:
                break
            del team.cases[oldest.text]
        case = team.cases[text] = Case(text, purpose)
    return case


def _own_unit(board: Board, team: Team, text: str, purpose: Any) -> Unit:
    request = Request(
        id="",
        client=b"",
        kind="embed",
        body={"texts": [text], "purpose": purpose},
        buffers=(),
        size=0,
        interactive=False,
        number=0,
        progressed=0.0,
        deadline=None,
        team=team,
        own=True,
    )
    return board.new_unit(request, [0])


def _not_together(item: int, deaths: int) -> PoisonInput:
    return PoisonInput(
        f"text {item} ended the process that embeds it {deaths} times, though it passed alone",
        cause="it crashes now and then, or together with other texts of its call",
        fix="send the texts one by one, or leave this one out; thoth-supervisor crashes",
        indices=[item],
    )


def _killed_too_often(times: int) -> WorkerFailed:
    return WorkerFailed(
        f"the embed worker was killed {times} times while it had texts of this call",
        cause="somebody kills it, or the kernel does for want of memory and does not say so",
        fix="thoth-supervisor crashes, then dmesg, or the memory limit of the container",
    )
