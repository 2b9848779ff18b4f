"""``thoth-supervisor unit``: the service as a unit of systemd, for the user who asks."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.examples import examples
from cli.options import Options, common
from thoth_core.errors import EXIT_ACCOUNT, EXIT_USAGE

if TYPE_CHECKING:
    from thoth_core import Settings

NAME = "thoth.service"
#: Seconds without a sign of life after which systemd ends the supervisor, which has the workers end
#: with it.
WATCHDOG = 30
#: Seconds between an end and the next start. Not shorter: what is wrong may stay so for days.
RESTART = 5
#: Besides settings: what of the environment says where workers find models and libraries, and how
#: they use the machine. None of it is secret.
PLACES = (
    "CUDA_VISIBLE_DEVICES",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "HUGGINGFACE_HUB_CACHE",
    "LD_LIBRARY_PATH",
    "SENTENCE_TRANSFORMERS_HOME",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TIKTOKEN_CACHE_DIR",
    "TRANSFORMERS_CACHE",
    "TRANSFORMERS_OFFLINE",
    "XDG_CACHE_HOME",
)
#: Seconds beyond the drains of a stop, for what comes between and after them.
SLACK = 30

_UNIT = """\
[Unit]
Description=Thoth: embeddings and vector store in {data_dir}
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
{environment}WatchdogSec={watchdog}
Restart=on-failure
RestartSec={restart}
# What no new start would mend: a wrong setting, a model that is not there, a key that is refused.
RestartPreventExitStatus={final}
# The supervisor ends its workers itself: it has them finish first.
KillMode=mixed
TimeoutStopSec={stop}
# A worker that the kernel ends for want of memory is replaced; it takes nobody along.
OOMPolicy=continue
UMask=0077

[Install]
WantedBy=default.target
"""


@examples(
    ("thoth-supervisor unit", "look at it, and how to install it"),
    ("thoth-supervisor unit > thoth.service", "the unit alone"),
)
@click.command()
@common
@click.pass_obj
def unit(options: Options) -> None:
    """Print a systemd user unit for the service, with the settings that hold here.

    It has systemd start the service at login, restart it when it fails or hangs, and stop it in
    order. How to install it is said on standard error.
    """
    settings = options.settings()
    found = found_by_itself()
    given = to_be_told(settings, found) | places(os.environ)
    text = unit_text(settings, given, start_command())
    steps = install_steps()
    if options.output.json:
        options.output.document({"name": NAME, "unit": text, "install": steps})
        return
    options.output.line(text.rstrip("\n"))
    options.output.note("to install it:")
    for step in steps:
        options.output.note(f"  {step}")
    if settings.openai_key and not found.openai_key:
        options.output.note(
            "the key is not in the unit: put API_OPENAI_KEY into "
            f"{Path.home() / '.config/thoth/.env'}, for you alone to read"
        )


def unit_text(settings: Settings, given: Mapping[str, str], command: Sequence[str]) -> str:
    """The unit that runs ``command`` with ``given`` in its environment."""
    from thoth_core.supervisor.slots import Policy

    policy = Policy()
    drained = policy.drain_limit + policy.term_after + policy.kill_after
    environment = [f"Environment={quoted(f'{name}={value}')}\n" for name, value in given.items()]
    return _UNIT.format(
        data_dir=_escaped(str(settings.data_dir)),
        command=" ".join(quoted(word, command=True) for word in command),
        environment="".join(environment),
        watchdog=WATCHDOG,
        restart=RESTART,
        final=f"{EXIT_USAGE} {EXIT_ACCOUNT}",
        # The embed workers first, and the store after them.
        stop=int(2 * drained) + SLACK,
    )


def found_by_itself() -> Settings:
    """The settings of a service that systemd starts without any in its unit."""
    from thoth_core import Settings

    home = Path.home()
    environ = {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local/share"),
        "XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}",
    }
    return Settings.load(cwd=home, environ=environ)


def to_be_told(settings: Settings, found: Settings) -> dict[str, str]:
    """What of ``settings`` is not ``found``, as environment variables. No secret is among them."""
    from thoth_core.setting_specs import SPECS

    wanted, there = settings.to_wire(), found.to_wire()
    return {
        spec.name: _text(wanted[spec.field])
        for spec in SPECS
        if not spec.secret and wanted[spec.field] != there[spec.field]
    }


def places(environ: Mapping[str, str]) -> dict[str, str]:
    """What of ``environ`` the workers need to find what they find here."""
    return {name: environ[name] for name in PLACES if environ.get(name)}


def start_command() -> list[str]:
    """What starts the service with this interpreter, from any folder."""
    script = Path(sys.executable).parent / "thoth-supervisor"
    program = [str(script)] if script.is_file() else [sys.executable, "-P", "-m", "cli.supervisor"]
    return [*program, "start", "--foreground"]


def install_steps() -> list[str]:
    folder = shlex.quote(str(Path.home() / ".config" / "systemd" / "user"))
    again = shlex.join([*start_command()[:-2], "unit"])
    return [
        f"mkdir -p {folder}",
        f"{again} > {folder}/{NAME}",
        "systemctl --user daemon-reload",
        f"systemctl --user enable --now {NAME}",
        "loginctl enable-linger   # to have it run without a login",
    ]


def quoted(word: str, *, command: bool = False) -> str:
    """``word`` as one word of a unit file; of a ``command`` line, where ``$`` means something."""
    text = _escaped(word).replace('"', '\\"')
    if command:
        text = text.replace("$", "$$")
    return f'"{text}"' if any(c in text for c in " \\\"'$;") or not text else text


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "%%").replace("\n", "\\n")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, list):
        return ",".join(value)
    return "" if value is None else str(value)
