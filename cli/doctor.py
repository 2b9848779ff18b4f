"""``thoth doctor``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from cli.examples import examples
from cli.harmless import one_line
from cli.options import Options, common
from thoth_core.errors import EXIT_FAILED, ThothError

if TYPE_CHECKING:
    from cli.output import Output
    from thoth_core.doctor.context import Context
    from thoth_core.doctor.mending import Done
    from thoth_core.doctor.registry import Check
    from thoth_core.doctor.result import Result

#: Columns of the status before a check's name.
_WIDTH = 8


@examples(
    ("thoth doctor", "everything but what takes long; a minute at most"),
    ("thoth doctor --quick --json", "without a service in a scratch directory, for a program"),
    ("thoth doctor --fix", "do what mends it; asks before each act"),
    ("thoth doctor --deep --bundle doctor.zip", "a report to attach, without a text or a key"),
    exits={1: "a check failed"},
)
@click.command()
@click.option("--deep", is_flag=True, help="Read all that is stored, and load every package.")
@click.option("--quick", is_flag=True, help="Without the service in a scratch directory.")
@click.option("--offline", is_flag=True, help="As if there were no network.")
@click.option("--openai", is_flag=True, help="Ask the provider for one token, to try the key.")
@click.option("--only", "only", multiple=True, metavar="CHECK", help="This check; several times.")
@click.option("--list", "listed", is_flag=True, help="Name the checks, and run none.")
@click.option("--fix", is_flag=True, help="Do what mends it, after asking for each.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--bundle",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a zip for a report about a fault; no text and no key is in it.",
)
@common
@click.pass_obj
def doctor(
    options: Options,
    deep: bool,
    quick: bool,
    offline: bool,
    openai: bool,
    only: tuple[str, ...],
    listed: bool,
    fix: bool,
    yes: bool,
    bundle: Path | None,
) -> int:
    """Look for what is wrong, and name the command that mends it.

    Each check runs for real and says what it saw. Nothing is changed without --fix. Exit code 1 if
    a check failed.
    """
    from thoth_core.doctor.registry import CHECKS
    from thoth_core.doctor.result import FAILED, worst

    output = options.output
    if listed:
        for check in CHECKS:
            output.line(f"{check.name:<13} {check.looks_at}")
        return 0
    if fix and not yes and not sys.stdin.isatty():
        raise click.UsageError("--fix asks before each act, and there is no terminal: add --yes")
    checks = _chosen(CHECKS, only, quick)
    # What ends this ends the scratch service too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)
    context, broken = _context(options, deep=deep, offline=offline, openai=openai)
    if broken is not None:
        checks = [check for check in checks if check.bare and check.name != "settings"]
    done: list[Done] = []
    results = [*([broken] if broken is not None else [])]
    for each in results:
        _tell(output, each)
    try:
        for found in _run(checks, context):
            results.append(found)
            _tell(output, found)
        if fix:
            done, results = _mend(output, checks, results, context, yes)
    finally:
        context.closing.close()
    if bundle is not None:
        from thoth_core.doctor.bundle import write_bundle

        write_bundle(bundle, results, None if broken else context.settings, context.status)
        output.note(f"the bundle is {bundle}")
    state = worst(each.status for each in results)
    if output.json:
        output.document(_document(state, results, done, bundle))
    else:
        output.line(_summary(results))
    return EXIT_FAILED if state == FAILED else 0


def _end(number: int, frame: object) -> NoReturn:
    del frame
    raise SystemExit(128 + number)


def _chosen(checks: Sequence[Check], only: tuple[str, ...], quick: bool) -> list[Check]:
    names = [check.name for check in checks]
    for name in only:
        if name not in names:
            raise click.BadParameter(f"there is no check {name!r}: {', '.join(names)}")
    chosen = [check for check in checks if check.name in only] if only else list(checks)
    return [check for check in chosen if not (quick and check.slow)]


def _context(
    options: Options, *, deep: bool, offline: bool, openai: bool
) -> tuple[Context, Result | None]:
    """The context, and what is wrong with the settings if they cannot be used."""
    from dataclasses import replace

    from thoth_core.doctor.context import Context
    from thoth_core.doctor.result import failed
    from thoth_core.settings import Settings

    broken = None
    try:
        settings = options.settings()
    except ThothError as problem:
        broken = replace(failed(problem.message, problem.cause, fix=problem.fix), name="settings")
        settings = Settings.from_wire({})
    flags: dict[str, Any] = {"deep": deep, "offline": offline, "openai": openai}
    return Context(settings, dict(os.environ), note=options.output.note, **flags), broken


def _run(checks: Sequence[Check], context: Context) -> Any:
    from thoth_core.doctor.runner import run_checks

    # Others go by what these find; without them they would look at less.
    return run_checks(checks, context)


def _tell(output: Output, found: Result) -> None:
    if output.json or (output.verbosity < 0 and found.status in ("ok", "skipped")):
        return
    output.line(f"{found.status:<{_WIDTH}}{found.name}: {one_line(found.seen)}")
    for name, text in (("cause", found.cause), ("fix", found.fix)):
        if text:
            output.line(f"{'':<{_WIDTH}}{name}: {one_line(text)}")
    output.flush()


def _mend(
    output: Output, checks: Sequence[Check], results: list[Result], context: Context, yes: bool
) -> tuple[list[Done], list[Result]]:
    """Do what is agreed to; what was done, and the results with those that were looked at again."""
    from thoth_core.doctor.mending import mend, mendable

    done: list[Done] = []
    again: set[str] = set()
    for each in mendable(results):
        output.warn(f"{each.name}: {each.fix}")
        if yes or click.confirm("do this?", err=True):
            made = mend(each)
            for act in made:
                told = "done" if act.code == 0 else f"ended with {act.code} {act.said}".rstrip()
                output.note(f"{act.command}: {told}")
            done += made
            again.add(each.name)
    if not again:
        return done, results
    # What others go by may have changed too.
    rerun = [check for check in checks if check.name in again or check.name == "service"]
    context.status = None
    fresh = {}
    for found in _run(rerun, context):
        fresh[found.name] = found
        _tell(output, found)
    return done, [fresh.get(each.name, each) for each in results]


def _summary(results: Sequence[Result]) -> str:
    from thoth_core.doctor.result import STATUSES

    counts = {status: sum(each.status == status for each in results) for status in STATUSES}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count)


def _document(
    state: str, results: Sequence[Result], done: Sequence[Done], bundle: Path | None
) -> dict[str, Any]:
    return {
        "state": state,
        "checks": [each.to_dict() for each in results],
        "fixed": [
            {"check": each.check, "command": each.command, "code": each.code, "said": each.said}
            for each in done
        ],
        "bundle": None if bundle is None else str(bundle),
    }
