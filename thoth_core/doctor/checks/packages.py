"""Installed packages against what Thoth's own description asks for."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata

from thoth_core.doctor.context import Context
from thoth_core.doctor.requirements import Requirement, parse, satisfies
from thoth_core.doctor.result import Result, failed, ok, warn
from thoth_core.supervisor.environment import child_environment

OURS = "thoth-core"
#: The extra that a running service needs, and those without which it can do less.
SERVICE, MORE = "service", ("documents", "offline")
#: Packages with native code, by the name that they are imported under.
NATIVE = {
    "chromadb": "chromadb",
    "msgpack": "msgpack",
    "numpy": "numpy",
    "openvino": "openvino",
    "orjson": "orjson",
    "pyzmq": "zmq",
    "sentence-transformers": "sentence_transformers",
    "tiktoken": "tiktoken",
    "tokenizers": "tokenizers",
    "torch": "torch",
}
#: Seconds that one may take to load.
LOADING = 60.0


def check(context: Context) -> Result:
    try:
        needed = [parse(line) for line in metadata.requires(OURS) or ()]
    except metadata.PackageNotFoundError:
        return warn(
            "the package thoth-core is not installed, so what it needs is not known",
            "it is run from its sources",
            fix="pip install -e '.[service,offline]'",
        )
    wanted = [each for each in needed if each is not None]
    base = [each for each in wanted if not each.extra]
    service = [each for each in wanted if each.extra == SERVICE]
    more = [each for each in wanted if each.extra in MORE]
    installed = {each.name: version_of(each.name) for each in [*base, *service, *more]}
    seen = ", ".join(f"{name} {version}" for name, version in installed.items() if version)
    seen = f"{OURS} {version_of(OURS)}, {seen}"
    lacking = sorted({each.extra for each in more if not installed[each.name]})
    if lacking:
        seen += f"; not all of {OURS}[{','.join(lacking)}]"
    light = not any(installed[each.name] for each in service)
    wrong = _wrong(base if light else [*base, *service], installed)
    wrong += [each for each in _wrong(more, installed) if installed[each.name]]
    if wrong:
        return failed(
            seen,
            "; ".join(_said(each, installed[each.name]) for each in wrong),
            acts=[("pip", "install", *(str(each) for each in wrong))],
            versions=installed,
        )
    if light:
        return warn(
            seen,
            "without the packages of the extra 'service' this can use a service and not run one",
            acts=[("pip", "install", f"{OURS}[{SERVICE}]")],
            versions=installed,
        )
    own = [each.name for each in base if each.name in NATIVE]
    crashed = crashes(own, context.environ)
    if context.deep and not crashed:
        # As a worker would have them.
        environ = child_environment(context.environ, also=context.settings.env_pass)
        rest = [name for name in NATIVE if installed.get(name) and name not in own]
        crashed = crashes(rest, environ, together=False)
    if crashed:
        return failed(
            f"{', '.join(crashed)} cannot be loaded",
            "; ".join(f"{name}: {why}" for name, why in crashed.items()),
            acts=[
                ("pip", "install", "--force-reinstall", "--no-deps", f"{name}=={installed[name]}")
                for name in crashed
            ],
            versions=installed,
        )
    return ok(seen, versions=installed)


def version_of(name: str) -> str | None:
    """The installed version, None if there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _wrong(wanted: list[Requirement], installed: dict[str, str | None]) -> list[Requirement]:
    return [each for each in wanted if not satisfies(installed[each.name], each)]


def _said(wanted: Requirement, version: str | None) -> str:
    return f"{wanted} is needed, {f'{version} is installed' if version else 'there is none'}"


def crashes(
    names: Sequence[str], environ: Mapping[str, str], *, together: bool = True
) -> dict[str, str]:
    """What does not load, and why: each is tried in a process of its own, but for those that are
    small, which all load in one if they are well."""
    if together and not _load([NATIVE[name] for name in names], environ):
        return {}
    tried = {name: _load([NATIVE[name]], environ) for name in names}
    return {name: why for name, why in tried.items() if why}


def _load(modules: Sequence[str], environ: Mapping[str, str]) -> str:
    """Why a process that loads these modules does not come to its end; "" if it does."""
    # Not by the interpreter's end: the teardown of native libraries is where they like to crash.
    code = f"import os, {', '.join(modules)}; os._exit(0)"
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code],
            capture_output=True,
            timeout=LOADING,
            env=dict(environ),
        )
    except subprocess.TimeoutExpired:
        return f"it was not loaded after {LOADING:.0f} s"
    if done.returncode < 0:
        return f"loading it ended the process by {signal.Signals(-done.returncode).name}"
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    last = lines[-1][:300] if lines else f"exit code {done.returncode}"
    return last if done.returncode else ""
