"""The files of settings, for whoever looks for them or changes them: where they are, and a
``thoth.toml`` that is written whole and checked before it is there."""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from thoth_core.errors import SettingsError, StorageError
from thoth_core.setting_specs import BY_NAME, Spec
from thoth_core.settings import Settings
from thoth_core.settings_files import (
    DOTENV,
    TOML,
    absolute,
    expand,
    first_file,
    read_dotenv,
    setting_name,
    user_folder,
)
from thoth_core.toml_lines import CannotChange, with_value, without_value
from thoth_core.unread_names import nearest
from thoth_core.whole_file import draft_beside, whole_file

#: The settings that a program or command reads by itself. A running service has its own of all
#: others until it is started again.
CLIENT_FIELDS = frozenset(
    {
        "collection_name",
        "chunk_size",
        "chunk_overlap",
        "chunk_encoding",
        "retrieval_k",
        "qa_model",
        "qa_temperature",
        "qa_max_tokens",
        "ask_context",
        "ask_threshold",
        "prices",
        "read_timeout",
        "read_memory_mb",
    }
)


@dataclass(frozen=True, slots=True)
class Place:
    """A file that may hold settings. ``read``: it is the one of its kind that counts."""

    path: Path
    exists: bool
    read: bool


def places(cwd: Path, environ: Mapping[str, str]) -> list[Place]:
    """Where settings are read from, those that go before others first. Never fails for what is in
    the files."""
    user = user_folder("config", environ)
    workspace = _workspace(environ.get("WORKSPACE_DIR", ""), cwd)
    dotenvs = [cwd, *workspace, user]
    dotenv = first_file(DOTENV, dotenvs)
    if not workspace and dotenv is not None:
        with contextlib.suppress(SettingsError):
            values = read_dotenv(dotenv)
            if (inner := values.get("WORKSPACE_DIR")) and inner.text:
                workspace = _workspace(expand(inner, environ, values), inner.folder)
    tomls = [cwd, *workspace, user]
    toml = first_file(TOML, tomls)
    found: list[Place] = []
    for name, folders, taken in ((DOTENV, dotenvs, dotenv), (TOML, tomls, toml)):
        found += [
            Place(path, os.path.lexists(path), path == taken)
            for path in dict.fromkeys(folder / name for folder in folders)
        ]
    return found


def _workspace(text: str, folder: Path) -> list[Path]:
    return [absolute(text, folder)] if text else []


def file_of(cwd: Path, environ: Mapping[str, str], *, project: bool) -> Path:
    """The ``thoth.toml`` of the current folder, or the user's own."""
    return (cwd if project else user_folder("config", environ)) / TOML


def named(name: str) -> Spec:
    """The setting of this name. Raises :class:`SettingsError` with the one that was meant."""
    found = setting_name(name)
    if found is None:
        meant = nearest(name)
        raise SettingsError(
            f"{name} is no setting",
            cause=f"did you mean {meant}?" if meant else "no such setting",
            fix="thoth config show lists them",
        )
    return BY_NAME[found]


def set_value(path: Path, spec: Spec, text: str, cwd: Path, environ: Mapping[str, str]) -> None:
    """Write ``text`` for the setting into the file at ``path``, whose other lines stay as they are.
    Nothing is written if the settings would then be wrong: :class:`SettingsError`."""
    source = read(path)
    with _changing(path):
        new = with_value(source, spec.name, text)
    write(path, new, cwd, environ, secret=spec.secret)


def unset_value(path: Path, spec: Spec, cwd: Path, environ: Mapping[str, str]) -> bool:
    """Take the line of the setting out of the file at ``path``; whether there was one. As
    :func:`set_value`."""
    source = read(path)
    with _changing(path):
        new = without_value(source, spec.name)
    if new is None:
        return False
    write(path, new, cwd, environ)
    return True


@contextlib.contextmanager
def _changing(path: Path) -> Iterator[None]:
    try:
        yield
    except tomllib.TOMLDecodeError as problem:
        raise SettingsError(f"{path} is no TOML", cause=str(problem), fix=_edit(path)) from problem
    except CannotChange as problem:
        raise SettingsError(
            f"{path} was not changed", cause=str(problem), fix=_edit(path)
        ) from problem


def read(path: Path) -> str:
    """The text of the file, empty if there is none."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as problem:
        raise SettingsError(
            f"{path} is no UTF-8", cause=f"byte {problem.start}", fix="save it as UTF-8"
        ) from problem
    except OSError as problem:
        raise _refused(path, problem) from problem


def write(
    path: Path, text: str, cwd: Path, environ: Mapping[str, str], *, secret: bool = False
) -> None:
    """Put ``text`` in the place of the file, whole, if settings can be read from it. What a link
    points to is written, and its mode is kept; with ``secret`` it is for its owner alone."""
    real = Path(os.path.realpath(path))
    draft = draft_beside(real)
    try:
        real.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = real.stat().st_mode & 0o777 if real.exists() else 0o644
        if secret:
            mode &= 0o600
        with whole_file(real, draft, mode=0o600) as file:
            file.write(text.encode())
            file.flush()
            check(draft, path, cwd, environ)
            os.fchmod(file.fileno(), mode)
    except OSError as problem:
        raise _refused(path, problem) from problem


def check(draft: Path, path: Path, cwd: Path, environ: Mapping[str, str]) -> None:
    """Raise what would be wrong with the settings if ``draft`` stood in the place of ``path`` and
    were the file that counts."""
    try:
        Settings.load(cwd=cwd, environ=environ, toml=draft)
    except SettingsError as problem:
        texts = (problem.message, problem.cause, problem.fix)
        message, cause, fix = (text.replace(str(draft), str(path)) for text in texts)
        raise SettingsError(message, cause=cause, fix=fix) from problem


def _refused(path: Path, problem: OSError) -> StorageError:
    return StorageError(
        f"{path} cannot be written",
        cause=(problem.strerror or type(problem).__name__).lower(),
        fix=f"ls -ld {str(path.parent)!r}",
    )


def _edit(path: Path) -> str:
    return f"change it by hand in {path}"
