"""``thoth quarantine``: the texts that are not tried any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from cli.confirm import confirm
from cli.examples import examples
from cli.options import Options, common

_UNSAVED = "done, but the list could not be written: the next start may find them in it again"


@examples(
    ("thoth quarantine", "texts that ended the process that embedded them"),
    ("thoth quarantine clear --all --yes", "have all of them tried again"),
)
@click.group(invoke_without_command=True)
@common
@click.pass_context
def quarantine(ctx: click.Context) -> None:
    """Texts that crashed or hung the model twice, and are refused since. Without a command: list.

    A text is known by its hash; the list does not hold the text itself. The service is asked if one
    runs, and none is started: without one its file is read.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@examples(
    ("thoth quarantine list", "as a table"),
    ("thoth quarantine list --json", "with the hash of each text"),
)
@quarantine.command("list")
@common
@click.pass_obj
def list_(options: Options) -> None:
    """Key, time, model, how its worker ended, length, and how often it was sent since."""
    from thoth_core.client.quarantine import listed

    answer = listed(options.settings())
    output = options.output
    if output.json:
        output.document(answer)
        return
    for entry in answer["entries"]:
        output.line(_line(entry))
    if not answer["entries"]:
        output.note("no text is in quarantine")


@examples(
    ("thoth quarantine clear --all --yes", "all of them"),
    ("thoth quarantine clear 1f3a 77c0", "two, by the first characters of their keys"),
    exits={2: "no text, or more than one, has such a key", 3: _UNSAVED},
)
@quarantine.command()
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--yes", is_flag=True, help="Do not ask before all are taken out.")
@common
@click.pass_obj
def clear(options: Options, keys: tuple[str, ...], everything: bool, yes: bool) -> int:
    """Take texts out of the quarantine: those with these keys, or --all.

    A key may be cut to its first characters, four at least.
    """
    if bool(keys) == everything:
        raise click.UsageError("say what to clear: keys, or --all")
    if everything:
        confirm("have all texts in quarantine tried again?", yes)
    return _take_out(options, None if everything else keys)


@examples(
    ("thoth quarantine retry 1f3a", "by the first characters of its key"),
    exits={2: "no text, or more than one, has such a key", 3: _UNSAVED},
)
@quarantine.command()
@click.argument("key")
@common
@click.pass_obj
def retry(options: Options, key: str) -> int:
    """Have the text with this KEY tried again, when it is sent the next time.

    If it still crashes the model that costs three deaths of a worker at most, and it is back.
    """
    return _take_out(options, [key])


def _take_out(options: Options, keys: Sequence[str] | None) -> int:
    from thoth_core.client.quarantine import take_out
    from thoth_core.errors import EXIT_PARTLY

    answer = take_out(options.settings(), keys)
    output = options.output
    if output.json:
        output.document(answer)
    else:
        for entry in answer["removed"]:
            output.line(f"{entry['key']}: will be tried again when it is sent")
        if not answer["removed"]:
            output.note("no text was in quarantine")
    if answer["saved"]:
        return 0
    output.warn(
        "warning: the list could not be written, and the next start may find them in it again; "
        "thoth-supervisor logs says why"
    )
    return EXIT_PARTLY


def _line(entry: Mapping[str, Any]) -> str:
    when = f"{datetime.fromtimestamp(entry['at'], UTC):%Y-%m-%d %H:%M} UTC"
    ended = entry["signal"] or entry["reason"] or "?"
    parts = [entry["key"], when, entry["model"], f"{ended} x {entry['deaths']}"]
    parts += [f"{entry['characters']} characters", f"sent again {entry['refused']} times"]
    if entry["frame"]:
        parts.append(entry["frame"])
    return "\t".join(parts)
