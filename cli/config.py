"""``thoth config``: where settings are, what they are, and how they are changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.completion import complete_settings
from cli.examples import examples
from cli.options import Options, common
from thoth_core.errors import SettingsError

if TYPE_CHECKING:
    from thoth_core.setting_specs import Spec
    from thoth_core.settings import Settings

_project = click.option(
    "--project", is_flag=True, help="The file of the current folder, not the user's own."
)


@examples(
    ("thoth config show", "every setting, its value, and where that comes from"),
    ("thoth config set RAG_RETRIEVAL_K 8", "for you, in whatever folder you are"),
)
@click.group()
@common
def config() -> None:
    """Show the settings and where they come from, and change them."""


@examples(
    ("thoth config show", "every setting, its value, and where that comes from"),
    ("thoth config show --json", "for a program"),
)
@config.command()
@common
@click.pass_obj
def show(options: Options) -> None:
    """Each setting with its value and where that came from; keys are masked.

    Also which names are set that look like settings and that nothing reads.
    """
    from thoth_core.settings import unknown_names

    settings = options.settings()
    rows = settings.describe()
    unread = [*unknown_names(os.environ), *settings.unread]
    output = options.output
    if output.json:
        output.document(
            {
                "settings": rows,
                "unread": [{"name": name, "why": why} for name, why in unread],
                "data_dir": str(settings.data_dir),
                "service_dir": str(settings.service_dir),
            }
        )
        return
    width = max(len(str(row["name"])) for row in rows)
    for row in rows:
        value = "" if row["value"] is None else row["value"]
        output.line(f"{row['name']:<{width}} = {value}  ({row['origin']})")
    for name, why in unread:
        output.line(f"nothing reads {name}: {why}")


@examples(
    ("thoth config path", "which files are read, and which are not there"),
)
@config.command()
@common
@click.pass_obj
def path(options: Options) -> None:
    """Which files settings are read from, those that go before others first.

    Of .env and of thoth.toml the first that there is counts, and only that one. The environment
    goes before both, and .env before thoth.toml.
    """
    from thoth_core.settings_edit import file_of, places

    found = places(_cwd(), os.environ)
    files = {kind: str(file_of(_cwd(), os.environ, project=kind == "project")) for kind in _KINDS}
    output = options.output
    if output.json:
        rows = [{"path": str(p.path), "exists": p.exists, "read": p.read} for p in found]
        output.document({"files": rows, **files})
        return
    for each in found:
        state = "read" if each.read else "not read" if each.exists else "not there"
        output.line(f"{state:<10} {each.path}")
    output.note(f"thoth config set writes {files['user']}; with --project {files['project']}")


@examples(
    ("thoth config set RAG_RETRIEVAL_K 8", "for you, in whatever folder you are"),
    ("thoth config set RAG_COLLECTION_NAME papers --project", "in the current folder"),
    exits={2: "there is no such setting, or it cannot have this value"},
)
@config.command("set")
@click.argument("name", shell_complete=complete_settings)
@click.argument("value")
@_project
@click.option("--plain-key", is_flag=True, help="Write even a key into it.")
@common
@click.pass_obj
def set_(options: Options, name: str, value: str, project: bool, plain_key: bool) -> None:
    """Write VALUE for the setting NAME into the user's thoth.toml, or the project's.

    Comments and other lines stay as they are. A value that cannot be used is refused, and nothing
    is written.
    """
    from thoth_core.settings_edit import CLIENT_FIELDS, file_of, named, set_value

    spec, cwd = named(name), _cwd()
    target = file_of(cwd, os.environ, project=project)
    if spec.secret and not plain_key:
        raise SettingsError(
            f"{spec.name} is not written into {target}",
            cause="a key belongs in a .env that no other user can read and no repository holds, or"
            " in the environment",
            fix=f"read -rs KEY; (umask 077; echo {spec.name}=$KEY >> .env)",
        )
    if not value.strip():
        raise click.BadParameter(f"an empty value is not set: thoth config unset {spec.name}")
    # Of the settings as they were: a new folder of data has no service yet.
    restart = _running() and spec.field not in CLIENT_FIELDS
    set_value(target, spec, value, cwd, os.environ)
    output = options.output
    if output.json:
        output.document({"name": spec.name, "file": str(target), "restart": restart})
    else:
        output.line(f"{spec.name}: set in {target}")
    _say_what_holds(options, spec, target)
    if restart:
        output.note(_RESTART)


@examples(
    ("thoth config unset RAG_RETRIEVAL_K", "what else is set counts again, or the default"),
    ("thoth config unset RAG_COLLECTION_NAME --project", "in the current folder"),
    exits={2: "there is no such setting, or the file cannot be changed so"},
)
@config.command()
@click.argument("name", shell_complete=complete_settings)
@_project
@common
@click.pass_obj
def unset(options: Options, name: str, project: bool) -> None:
    """Take the line of the setting NAME out of the user's thoth.toml, or the project's.

    The other lines stay as they are. Where it is not in the file, nothing is changed.
    """
    from thoth_core.settings_edit import CLIENT_FIELDS, file_of, named, unset_value

    spec, cwd = named(name), _cwd()
    target = file_of(cwd, os.environ, project=project)
    restart = _running() and spec.field not in CLIENT_FIELDS
    removed = unset_value(target, spec, cwd, os.environ)
    output = options.output
    if output.json:
        told = {"name": spec.name, "file": str(target), "removed": removed}
        output.document({**told, "restart": restart and removed})
    else:
        output.line(f"{spec.name} {'is taken out of' if removed else 'is not set in'} {target}")
    _say_what_counts(options, spec)
    if restart and removed:
        output.note(_RESTART)


@examples(
    ("thoth config edit", "in $EDITOR; what cannot be used is not kept"),
    ("thoth config edit --project", "the file of the current folder"),
)
@config.command()
@_project
@common
@click.pass_obj
def edit(options: Options, project: bool) -> None:
    """Open the user's thoth.toml, or the project's, in $VISUAL or $EDITOR.

    What was written is checked before it takes the place of the file. If something is wrong with
    it, it can be edited again, on a terminal; nothing is lost or changed until it is right.
    """
    from cli.edit_file import edited
    from thoth_core.settings_edit import file_of

    target = file_of(_cwd(), os.environ, project=project)
    running = _running()
    changed = edited(options.output, target, _cwd())
    output = options.output
    if output.json:
        output.document({"file": str(target), "changed": changed})
    else:
        output.line(f"{target}: {'changed' if changed else 'not changed'}")
    if not changed:
        return
    for name, why in options.settings().unread:
        if str(target) in why:
            output.note(f"nothing reads {name}: {why}")
    if running:
        output.note(_RESTART)


_KINDS = ("user", "project")
_RESTART = (
    "the running service takes a setting of the service when it starts: thoth-supervisor stop;"
    " thoth-supervisor start"
)


def _cwd() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as problem:
        raise SettingsError(
            "the current folder is not there any more", fix="cd to a folder that exists"
        ) from problem


def _running() -> bool:
    """Whether a service runs for the settings as they are."""
    from thoth_core.client.locate import control_path, listening
    from thoth_core.settings import Settings

    try:
        return listening(control_path(Settings.load()))
    except SettingsError:
        # Whoever mends them need not have right ones already.
        return False


def _say_what_holds(options: Options, spec: Spec, target: Path) -> None:
    """Where another value goes before the one that was written."""
    settings = _settings_now(options)
    if settings is None:
        return
    origin = settings.origin(spec.field)
    if not origin.startswith(f"{target}"):
        options.output.note(
            f"another value of {spec.name} goes before it here: that of {origin}; thoth config path"
            " shows the order"
        )


def _say_what_counts(options: Options, spec: Spec) -> None:
    """The value that the setting has without the one that was taken out."""
    settings = _settings_now(options)
    if settings is None:
        return
    row = next(each for each in settings.describe() if each["name"] == spec.name)
    value = "without a value" if row["value"] in (None, "") else row["value"]
    options.output.note(f"{spec.name} is {value} now ({row['origin']})")


def _settings_now(options: Options) -> Settings | None:
    """The settings after a change, which is made also where others cannot be used: that is said."""
    try:
        return options.settings()
    except SettingsError as problem:
        options.output.note(f"the settings cannot be used: {problem.message}")
        return None
