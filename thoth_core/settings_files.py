"""Reads ``.env`` and ``thoth.toml``: which file, which values, and in which line each stands."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thoth_core.errors import SettingsError
from thoth_core.setting_specs import BY_FIELD, BY_NAME

DOTENV = ".env"
TOML = "thoth.toml"
TABLE = "thoth"
#: Beginnings of names that are meant for this program: a broken line with one is an error.
_OURS = ("RAG_", "THOTH_", "WORKSPACE_DIR", "OPENAI_", "API_OPENAI_")
_VARIABLE = re.compile(r"\$\{(?P<name>[^}:]*)(?::-(?P<default>[^}]*))?\}")


@dataclass(frozen=True, slots=True)
class Value:
    """What stands somewhere for one setting. ``origin`` is where, for people; ``folder`` is what a
    relative path starts from; ``name`` the name that was used."""

    text: str
    origin: str
    folder: Path
    name: str
    in_file: bool = False


def first_file(name: str, folders: Iterable[Path]) -> Path | None:
    """The first of ``folders`` that has a file ``name``."""
    for folder in folders:
        path = folder / name
        try:
            if path.is_file():
                return path
        except OSError:
            # A folder that may not be searched has no settings for us.
            continue
    return None


def user_folder(kind: str, environ: Mapping[str, str]) -> Path:
    """The user's folder for Thoth's ``config`` or ``data``."""
    base = environ.get(f"XDG_{kind.upper()}_HOME", "")
    if base.startswith("/"):
        return Path(base) / "thoth"
    import platformdirs

    if kind == "config":
        return platformdirs.user_config_path("thoth", appauthor=False)
    return platformdirs.user_data_path("thoth", appauthor=False)


def read_dotenv(path: Path) -> dict[str, Value]:
    """The variables of a ``.env`` file as they stand there, ``${...}`` not yet filled in.

    Raises :class:`SettingsError` for a file that cannot be read, and for a line that is no
    assignment and has a name of ours; such lines of other programs are passed over.
    """
    import io

    from dotenv.parser import parse_stream

    values: dict[str, Value] = {}
    for binding in parse_stream(io.StringIO(_read(path))):
        origin = f"{path}:{_first_line(binding.original)}"
        if binding.error:
            line = binding.original.string.strip().removeprefix("export ").lstrip()
            if line.startswith(_OURS):
                raise SettingsError(
                    f"{origin} is no assignment",
                    cause=f"it begins with {line.split('=')[0].split()[0]}",
                    fix='write NAME=value, and "quotes" around a value with blanks',
                )
        elif binding.key is not None and binding.value is not None:
            values[binding.key] = Value(binding.value, origin, path.parent, binding.key, True)
    return values


def _first_line(original: Any) -> int:
    """The line of a binding; blank lines before it are part of what the parser gives."""
    text: str = original.string
    blank = text[: len(text) - len(text.lstrip())]
    return int(original.line) + blank.count("\n")


def read_toml(path: Path) -> tuple[dict[str, Value], list[str]]:
    """The settings in a ``thoth.toml`` by setting name, and the names in it that are none.

    Names are the settings' own in upper or lower case, or those of the fields, at the top or in a
    table ``[thoth]``. Raises :class:`SettingsError` for what is no TOML, a name that is there
    twice, and a value that is a table or a date.
    """
    import tomllib

    source = _read(path)
    try:
        table: dict[str, Any] = tomllib.loads(source)
    except tomllib.TOMLDecodeError as problem:
        raise SettingsError(
            f"{path} is no TOML", cause=str(problem), fix="mend that line"
        ) from problem
    inner = table.pop(TABLE, {})
    if not isinstance(inner, dict):
        raise SettingsError(f"{path}: {TABLE} is no table", fix=f"write [{TABLE}]")
    values: dict[str, Value] = {}
    unknown: list[str] = []
    for key, raw in [*table.items(), *inner.items()]:
        name = setting_name(key)
        if name is None:
            unknown.append(key)
            continue
        origin = _toml_origin(path, source, key)
        if name in values:
            raise SettingsError(
                f"{name} is twice in {path}",
                cause=f"at {values[name].origin} and {origin}",
                fix="remove one of the two",
                setting=name,
            )
        values[name] = Value(_toml_text(name, raw, origin), origin, path.parent, name, True)
    return values, unknown


def setting_name(key: str) -> str | None:
    """The name of the setting that ``key`` means: its own name in any case, or its field's."""
    if key.upper() in BY_NAME:
        return key.upper()
    spec = BY_FIELD.get(key.lower())
    return spec.name if spec else None


def _toml_text(name: str, raw: object, origin: str) -> str:
    if isinstance(raw, bool):
        return "1" if raw else "0"
    if isinstance(raw, str | int | float):
        return str(raw)
    if isinstance(raw, list) and all(isinstance(item, str) for item in raw):
        return ",".join(raw)
    raise SettingsError(
        f"{name} is {raw!r} (from {origin})",
        cause=f"a setting is text, a number, true or false, not a {type(raw).__name__}",
        fix=f"write {name} = value",
        setting=name,
    )


def _toml_origin(path: Path, source: str, key: str) -> str:
    match = re.search(rf"^[ \t]*[\"']?{re.escape(key)}[\"']?[ \t]*=", source, re.MULTILINE)
    return f"{path}:{source.count(chr(10), 0, match.start()) + 1}" if match else str(path)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise SettingsError(
            f"{path} is no UTF-8", cause=f"byte {problem.start}", fix="save it as UTF-8"
        ) from problem
    except OSError as problem:
        raise SettingsError(
            f"{path} cannot be read",
            cause=(problem.strerror or type(problem).__name__).lower(),
            fix=f"chmod u+r {str(path)!r}, or move it away",
        ) from problem


def expand(value: Value, environ: Mapping[str, str], dotenv: Mapping[str, Value]) -> str:
    """``value`` with ``${NAME}`` and ``${NAME:-default}`` filled in: from the environment first,
    then from the ``.env``. A relative WORKSPACE_DIR of a ``.env`` starts from its folder; one that
    is set nowhere is the folder of the file that names it: whoever works there has it lie there.

    Raises :class:`SettingsError` for a name that is set nowhere: as an empty text it would turn
    ``${WORKSPACE_DIR}/knowledge`` into a folder at the root.
    """
    return _expand(value, environ, dotenv, frozenset({value.name}))


def _expand(
    value: Value,
    environ: Mapping[str, str],
    dotenv: Mapping[str, Value],
    open_names: frozenset[str],
) -> str:
    def fill(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if environ.get(name):
            return environ[name]
        inner = dotenv.get(name)
        if inner is not None and inner.text and name not in open_names:
            text = _expand(inner, environ, dotenv, open_names | {name})
            if name == "WORKSPACE_DIR":
                text = str(absolute(text, inner.folder))
            return text
        if default is not None:
            return default
        if name == "WORKSPACE_DIR" and value.in_file and name not in open_names:
            return str(value.folder)
        raise SettingsError(
            f"{value.name} is {value.text!r} (from {value.origin})",
            cause=f"{name} is not set",
            fix=f"export {name}=…, or write {value.name} without it",
            setting=value.name,
            value=value.text,
            origin=value.origin,
        )

    return _VARIABLE.sub(fill, value.text)


def absolute(text: str, folder: Path) -> Path:
    """A path as written in ``folder``: ``~`` is the home folder, relative ones start from there."""
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        # No home folder is known for that user; then it is a name like any other.
        path = Path(text)
    return Path(os.path.normpath(folder / path))
