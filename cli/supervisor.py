"""``thoth-supervisor``: start, stop and look after the service."""

from __future__ import annotations

import sys
import time

import click

from cli.examples import examples
from cli.options import Options, common
from cli.run import run
from cli.unit import unit
from thoth_core.errors import SettingsError

#: Seconds that ``stop`` waits for the service to end by itself.
STOP_SECONDS = 45.0
#: Seconds for an answer to ``status`` and ``restart``.
ASK_SECONDS = 10.0


@examples(
    ("thoth-supervisor start", "a service that stays"),
    ("thoth-supervisor status --watch", "what it does, until Ctrl-C"),
    ("thoth-supervisor stop", "when all that is under way is done"),
)
@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@common
def supervisor() -> None:
    """The service that embeds and stores: one for each data directory."""


@examples(
    ("thoth-supervisor start", "in the background, until it is stopped"),
    ("thoth-supervisor start --foreground", "in this terminal, until Ctrl-C"),
    exits={1: "it could not be started, or one runs already"},
)
@supervisor.command()
@click.option("--foreground", is_flag=True, help="Stay in this terminal; Ctrl-C stops it.")
@click.option("--keep-damaged", is_flag=True, help="Do not delete what a damaged index leaves.")
@common
@click.pass_obj
def start(options: Options, foreground: bool, keep_damaged: bool) -> int:
    """Start the service, and return when it is ready or say why it is not."""
    settings = options.settings(**({"keep_damaged": "1"} if keep_damaged else {}))
    if foreground:
        import thoth_core.supervisor.daemon as daemon

        return daemon.foreground(settings)
    from thoth_core.client.autostart import start_service

    began = time.monotonic()
    pid = start_service(settings, idle_exit=None, log=options.output.note, exclusive=True)
    seconds = time.monotonic() - began
    if options.output.json:
        options.output.document(
            {"state": "ready", "pid": pid, "data_dir": str(settings.data_dir), "seconds": seconds}
        )
    else:
        options.output.line(f"the service is ready (pid {pid}, {settings.data_dir})")
    return 0


@examples(
    ("thoth-supervisor stop", "when all that is under way is done, 30 s at most"),
    ("thoth-supervisor stop --fast", "at once"),
    ("thoth-supervisor stop --if-running", "as in a script, where none may run"),
)
@supervisor.command()
@click.option("--fast", is_flag=True, help="Do not finish what is under way.")
@click.option("--if-running", is_flag=True, help="It is no error that there is none.")
@common
@click.pass_obj
def stop(options: Options, fast: bool, if_running: bool) -> None:
    """Stop the service; returns when all its processes have ended and its locks are free."""
    from thoth_core.client.stopping import nobody_is_there, stop_service

    settings = options.settings()
    if if_running and nobody_is_there(settings):
        if options.output.json:
            options.output.document({"state": "stopped", "pid": None})
        else:
            options.output.note("no service was running")
        return
    pid = stop_service(settings, fast=fast, timeout=STOP_SECONDS, log=options.output.note)
    if options.output.json:
        options.output.document({"state": "stopped", "pid": pid})
    else:
        options.output.line(f"the service has stopped (pid {pid})")


@examples(
    ("thoth-supervisor status", "what the service and its workers do"),
    ("thoth-supervisor status --watch", "again and again, with rates, until Ctrl-C"),
    ("thoth-supervisor status --check --json", "for a monitor"),
    exits={1: "with --check: not everything is ready", 4: "no service runs"},
)
@supervisor.command()
@click.option("--check", is_flag=True, help="Exit with 1 unless everything is ready.")
@click.option("--watch", is_flag=True, help="Look again and again; Ctrl-C ends.")
@click.option(
    "--interval",
    metavar="S",
    type=click.FloatRange(min=0.1, max=3600),
    default=1.0,
    show_default=True,
    help="Seconds between two looks of --watch.",
)
@common
@click.pass_obj
def status(options: Options, check: bool, watch: bool, interval: float) -> int:
    """What the service and its workers do. Starts nothing; exits with 4 if there is none.

    With --watch it shows rates too, and waits for a service that is not there. Where standard
    output is no terminal that is a line a look, with --json a JSON document a line.
    """
    if watch:
        if check:
            raise click.UsageError("--check looks once, --watch until Ctrl-C: one of them")
        from cli.watch import watch as look

        look(options.output, options.settings(), interval)
    from cli.status_text import is_healthy, status_lines
    from thoth_core.client.control import control

    answer = control(options.settings(), "status", timeout=ASK_SECONDS)
    if options.output.json:
        options.output.document(answer)
    else:
        for line in status_lines(answer):
            options.output.line(line)
    return 0 if not check or is_healthy(answer) else 1


@examples(
    ("thoth-supervisor restart embed-bulk-1", "one worker, by its name in status"),
    ("thoth-supervisor restart", "all of them"),
)
@supervisor.command()
@click.argument("worker", required=False)
@common
@click.pass_obj
def restart(options: Options, worker: str | None) -> None:
    """Restart the worker with that name, or all workers; also one that had been given up."""
    from thoth_core.client.control import control

    body = {} if worker is None else {"worker": worker}
    answer = control(options.settings(), "restart", body, timeout=ASK_SECONDS)
    if options.output.json:
        options.output.document(answer)
    else:
        options.output.line(f"restarting {worker or 'all workers'}")


@examples(
    ("thoth-supervisor reload", "after a change of API_OPENAI_KEY in .env"),
    ("thoth-supervisor reload --none", "take the key away"),
    exits={2: "no key is set here"},
)
@supervisor.command()
@click.option("--none", "none", is_flag=True, help="Take the key away that the service has.")
@common
@click.pass_obj
def reload(options: Options, none: bool) -> None:
    """Give the service the API_OPENAI_KEY that is set here now. Nothing is restarted."""
    from thoth_core.client.control import control

    settings = options.settings()
    key = "" if none else settings.openai_key
    if not key and not none:
        raise SettingsError(
            "no key is set here",
            cause="neither API_OPENAI_KEY nor OPENAI_API_KEY is, or it is a placeholder",
            fix="put API_OPENAI_KEY=… into .env; or thoth-supervisor reload --none takes away the"
            " one that the service has",
        )
    body = {"key": key, "base_url": settings.openai_base_url}
    answer = control(settings, "key", body, timeout=ASK_SECONDS)
    told = ", ".join(answer["renewed"]) or "no worker needs it now"
    if options.output.json:
        options.output.document(answer)
    else:
        which = f"the key of {settings.origin('openai_key')}" if key else "no key"
        options.output.line(f"the service has {which} ({told})")


@examples(
    ("thoth-supervisor logs -n 200", "the last 200 lines"),
    ("thoth-supervisor logs -f", "as they are written, until Ctrl-C"),
    ("thoth-supervisor logs --json", "each line an object, for a program"),
)
@supervisor.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written; Ctrl-C ends.")
@click.option("-n", "--lines", default=50, show_default=True, type=click.IntRange(min=0))
@common
@click.pass_obj
def logs(options: Options, follow: bool, lines: int) -> None:
    """The last lines of the service's log files; with --json an object for each, one a line."""
    from cli.logs import follow_logs, show_logs

    folder = options.settings().data_dir / "logs"
    places = show_logs(options.output, folder, lines)
    if follow:
        follow_logs(options.output, folder, places)


@examples(
    ("thoth-supervisor crashes", "the newest, a line each"),
    ("thoth-supervisor crashes 3", "one in full, by the end of its id"),
)
@supervisor.command()
@click.argument("id", required=False)
@click.option(
    "-n", "most", default=20, show_default=True, type=click.IntRange(min=0), help="So many of them."
)
@common
@click.pass_obj
def crashes(options: Options, id: str | None, most: int) -> None:
    """How workers ended that should not have, the newest first; one in full with its ID."""
    from cli.crashes import show_crashes

    show_crashes(options.output, options.settings().data_dir, id, most)


supervisor.add_command(unit)


def main() -> None:
    """The console script."""
    sys.exit(run(supervisor, "thoth-supervisor"))


if __name__ == "__main__":
    main()
