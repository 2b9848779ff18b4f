"""One frozen ``Settings``. Each value knows where it came from.

Later sources go before earlier ones: defaults, ``thoth.toml``, ``.env``, environment, command line.
Both files are looked for in the current folder, then in ``$WORKSPACE_DIR``, then in the user's
configuration folder; the first of each kind is the one that counts. An empty value is not set.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from thoth_core.cores import available_cores
from thoth_core.devices import devices_for
from thoth_core.errors import SettingsError
from thoth_core.memory_there import available_memory
from thoth_core.private_dir import check_socket_room, default_runtime_dir, ensure_private_dir
from thoth_core.setting_specs import BY_FIELD, SPECS, BadValue, Spec, is_placeholder, mask
from thoth_core.settings_files import (
    DOTENV,
    TOML,
    Value,
    absolute,
    expand,
    first_file,
    read_dotenv,
    read_toml,
    setting_name,
    user_folder,
)
from thoth_core.unread_names import nearest, unknown_names

__all__ = ["Settings", "available_cores", "ensure_private_dir", "unknown_names"]

DEFAULT = "default"
ENVIRONMENT = "environment"
COMMAND_LINE = "command line"
SERVICE = "service"
#: Texts in one call of a model, if nothing is set: it takes many short ones to keep a GPU busy.
BATCH_SIZE, GPU_BATCH_SIZE = 100, 2048


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings, checked. Make one with :meth:`load`."""

    embedding_model: str
    #: Upper bound of texts in one call of a model or a provider.
    embedding_batch_size: int
    vector_db_path: Path
    collection_name: str
    #: In tokens of ``chunk_encoding``, as is ``chunk_overlap``.
    chunk_size: int
    chunk_overlap: int
    chunk_encoding: str
    qa_model: str
    qa_temperature: float
    qa_max_tokens: int
    #: Tokens of a prompt and its answer together.
    ask_context: int
    #: The score below which the best passage is not near enough to ask about, or "auto".
    ask_threshold: float | str
    retrieval_k: int
    workspace_dir: Path | None
    runtime_dir: Path
    long_text: str
    #: What computes local models: "auto", "openvino" or "sentence_transformers".
    engine: str
    device: str
    precision: str
    trust_remote_code: bool
    max_text_chars: int
    #: Seconds without progress.
    unit_timeout: float
    #: A worker that holds more is replaced; 0 is no bound.
    worker_memory_mb: int
    worker_max_age: float
    #: What the workers of all models but the service's own may hold together; 0: there are none.
    models_memory_mb: int
    #: Seconds without work after which a worker of another model is ended.
    model_idle: float
    queue_mb: int
    #: Seconds without work after which a service that a client started ends.
    idle_exit: float
    #: Seconds, and megabytes of address space, for the parser of one file.
    read_timeout: float
    read_memory_mb: int
    env_pass: tuple[str, ...]
    #: A damaged index stays beside the new one.
    keep_damaged: bool
    #: How the service and its workers log: "text" or "json".
    log_format: str
    faults: bool
    openai_base_url: str
    #: Numbers in a vector of an OpenAI model; None: as many as the model gives by itself.
    openai_dimensions: int | None
    #: What :func:`thoth_core.prices.price_of` takes besides its own table.
    prices: tuple[str, ...]
    #: Empty if there is none.
    openai_key: str = field(repr=False)
    embed_workers: int
    _origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    #: Names in ``thoth.toml`` and ``.env`` that nothing reads, and placeholders of keys wherever
    #: they are, as (name, why).
    unread: tuple[tuple[str, str], ...] = field(default=(), repr=False, compare=False)

    @classmethod
    def load(
        cls,
        cli: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
        *,
        toml: Path | None = None,
    ) -> Settings:
        """The settings that hold in folder ``cwd`` with ``environ`` (the process's own if None).
        ``cli`` goes before all, by setting name or field name. ``toml`` is read instead of the
        ``thoth.toml`` that would be found.

        Raises :class:`SettingsError` that names the setting, its value, its origin and the fix.
        """
        environ = os.environ if environ is None else environ
        return _load(dict(cli or {}), cwd or _current_folder(), environ, toml)

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> Settings:
        """The settings that :meth:`to_wire` wrote; what is missing has its default, unknown fields
        are ignored. There is no key in it. Raises :class:`SettingsError` for a bad value."""
        values: dict[str, Any] = {}
        for spec in SPECS:
            if data.get(spec.field) is None or spec.secret:
                continue
            text = _wire_text(data[spec.field])
            # A path is one that load() made: any character may be in it by now.
            values[spec.field] = (
                Path(text)
                if spec.path
                else _parse(spec, Value(text, SERVICE, Path("/"), spec.name))
            )
        return _build(values, dict.fromkeys(values, SERVICE), os.environ, {}, ())

    def to_wire(self) -> dict[str, Any]:
        """Plain values by field name, without the key."""
        return {spec.field: _plain(getattr(self, spec.field)) for spec in SPECS if not spec.secret}

    @property
    def data_dir(self) -> Path:
        """Where Thoth's own files live."""
        return self.vector_db_path / "thoth"

    @property
    def service_dir(self) -> Path:
        """Where the sockets of this data directory's service are: one folder for each."""
        import hashlib

        real = os.fsencode(os.path.realpath(self.data_dir))
        return self.runtime_dir / hashlib.sha256(real).hexdigest()[:16]

    def origin(self, field: str) -> str:
        """Where the value of ``field`` came from: "default", "/path/.env:3", "environment", …"""
        if field not in BY_FIELD:
            raise KeyError(field)
        return self._origins.get(field, DEFAULT)

    def describe(self) -> list[dict[str, Any]]:
        """One row a setting, for people: ``name``, ``value``, ``origin``, ``default``, ``masked``
        (true where the value is shown in part)."""
        rows = []
        for spec in SPECS:
            value = _plain(getattr(self, spec.field))
            masked = spec.secret and bool(value)
            rows.append(
                {
                    "name": spec.name,
                    "value": mask(value) if masked else value,
                    "origin": self.origin(spec.field),
                    "default": spec.default_text or spec.default,
                    "masked": masked,
                }
            )
        return rows


def _load(
    cli: Mapping[str, str], cwd: Path, environ: Mapping[str, str], instead: Path | None
) -> Settings:
    cwd = Path(os.path.normpath(cwd))
    given_cli = _from_cli(cli, cwd)
    workspace = given_cli.get("WORKSPACE_DIR") or _from_environ(environ, cwd).get("WORKSPACE_DIR")
    outer = dict(environ)
    if workspace is not None:
        others = {name: text for name, text in environ.items() if name != "WORKSPACE_DIR"}
        outer["WORKSPACE_DIR"] = str(absolute(expand(workspace, others, {}), cwd))

    dotenv_path = first_file(DOTENV, _folders(cwd, outer.get("WORKSPACE_DIR"), environ))
    dotenv = read_dotenv(dotenv_path) if dotenv_path else {}
    if workspace is None and (inner := dotenv.get("WORKSPACE_DIR")) and inner.text:
        outer["WORKSPACE_DIR"] = str(absolute(expand(inner, outer, dotenv), inner.folder))
    toml_path = instead or first_file(TOML, _folders(cwd, outer.get("WORKSPACE_DIR"), environ))
    toml, strays = read_toml(toml_path) if toml_path else ({}, [])
    if toml_workspace := toml.get("WORKSPACE_DIR"):
        outer.setdefault(
            "WORKSPACE_DIR",
            str(absolute(expand(toml_workspace, outer, dotenv), toml_workspace.folder)),
        )

    # The winner of each setting: the highest source first, and in it the setting's own name first.
    sources = (given_cli, _from_environ(environ, cwd), dotenv, toml)
    given: dict[str, Value] = {}
    for spec in SPECS:
        value = _winner(spec, sources)
        if value is not None:
            text = value.text if spec.secret else expand(value, outer, dotenv)
            given[spec.field] = Value(text.strip(), value.origin, value.folder, value.name)
    unread = [(name, f"{why} ({dotenv_path})") for name, why in unknown_names(dotenv)]
    unread += [(name, f"{_no_setting(name)} ({toml_path})") for name in strays]
    unread += _placeholders(sources)
    values = {field: _parse(BY_FIELD[field], value) for field, value in given.items()}
    origins = {field: value.origin for field, value in given.items()}
    return _build(values, origins, environ, outer, tuple(unread))


def _no_setting(name: str) -> str:
    meant = nearest(name)
    return f"no such setting; did you mean {meant}?" if meant else "no such setting"


def _current_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as problem:
        raise SettingsError(
            "the current folder is not there any more",
            cause="settings and relative paths start from it",
            fix="cd to a folder that exists",
        ) from problem


def _folders(cwd: Path, workspace: str | None, environ: Mapping[str, str]) -> list[Path]:
    folders = [cwd]
    if workspace:
        folders.append(Path(workspace))
    return [*folders, user_folder("config", environ)]


def _from_cli(cli: Mapping[str, str], cwd: Path) -> dict[str, Value]:
    values = {}
    for key, text in cli.items():
        name = setting_name(key)
        if name is None:
            raise SettingsError(
                f"{key} is no setting", cause=_no_setting(key), fix="thoth config show lists them"
            )
        values[name] = Value(_wire_text(text), COMMAND_LINE, cwd, name)
    return values


def _from_environ(environ: Mapping[str, str], cwd: Path) -> dict[str, Value]:
    return {
        name: Value(environ[name], ENVIRONMENT, cwd, name)
        for spec in SPECS
        for name in spec.names
        if environ.get(name, "").strip()
    }


def _winner(spec: Spec, sources: Sequence[Mapping[str, Value]]) -> Value | None:
    for source in sources:
        for name in spec.names:
            value = source.get(name)
            if value is None or not value.text.strip():
                continue
            if spec.secret and is_placeholder(value.text):
                continue
            if name != spec.name:
                origin = f"{value.origin}, as {name}"
                return Value(value.text, origin, value.folder, name)
            return value
    return None


def _placeholders(sources: Sequence[Mapping[str, Value]]) -> list[tuple[str, str]]:
    """Where a key is only asked for, as in a template."""
    keys = (name for spec in SPECS if spec.secret for name in spec.names)
    values = [value for name in keys for source in sources if (value := source.get(name))]
    return [
        (value.name, f"it holds a placeholder, which counts as not set ({value.origin})")
        for value in values
        if value.text.strip() and is_placeholder(value.text)
    ]


def _build(
    given: Mapping[str, Any],
    origins: Mapping[str, str],
    environ: Mapping[str, str],
    outer: Mapping[str, str],
    unread: tuple[tuple[str, str], ...],
) -> Settings:
    values = {spec.field: spec.parse(spec.default) for spec in SPECS if spec.default is not None}
    values |= given
    values.setdefault("workspace_dir", None)
    values.setdefault("openai_dimensions", None)
    if "vector_db_path" not in values:
        values["vector_db_path"] = _default_store(outer, environ)
    if "runtime_dir" not in values:
        values["runtime_dir"] = default_runtime_dir(environ)
    if "chunk_overlap" not in given and values["chunk_overlap"] >= values["chunk_size"]:
        # Whoever asks for small chunks has not asked for the usual overlap.
        values["chunk_overlap"] = values["chunk_size"] // 10
    gpus = devices_for(values["embedding_model"], values["engine"], values["device"], environ)
    if "embed_workers" not in values:
        values["embed_workers"] = len(gpus) or available_cores()
    if "embedding_batch_size" not in values:
        values["embedding_batch_size"] = GPU_BATCH_SIZE if gpus else BATCH_SIZE
    if "models_memory_mb" not in values:
        values["models_memory_mb"] = available_memory() // 4 // 2**20
    settings = Settings(**values, _origins=origins, unread=unread)
    for spec in SPECS:
        if spec.path:
            _check_path(spec, getattr(settings, spec.field), settings.origin(spec.field))
    if settings.chunk_overlap >= settings.chunk_size:
        raise SettingsError(
            f"RAG_CHUNK_OVERLAP is {settings.chunk_overlap} "
            f"(from {settings.origin('chunk_overlap')})",
            cause=f"it must be below RAG_CHUNK_SIZE, which is {settings.chunk_size} "
            f"(from {settings.origin('chunk_size')})",
            fix=f"set RAG_CHUNK_OVERLAP={settings.chunk_size // 10}",
            setting="RAG_CHUNK_OVERLAP",
        )
    check_socket_room(settings.runtime_dir, settings.origin("runtime_dir"))
    return settings


def _default_store(outer: Mapping[str, str], environ: Mapping[str, str]) -> Path:
    workspace = outer.get("WORKSPACE_DIR")
    if workspace:
        return Path(workspace) / "knowledge" / "vector_db"
    return user_folder("data", environ) / "vector_db"


def _parse(spec: Spec, value: Value) -> Any:
    try:
        parsed = spec.parse(value.text)
    except BadValue as problem:
        shown = mask(value.text) if spec.secret else repr(value.text[:200])
        better = problem.meant or spec.default
        raise SettingsError(
            f"{value.name} is {shown} (from {value.origin})",
            cause=f"it must be {problem}",
            fix=f"set {value.name}={better}" if better else f"unset {value.name}",
            setting=value.name,
            value=shown,
            origin=value.origin,
        ) from problem
    if spec.field == "embedding_model":
        # A model may be a folder, and the service works in another folder than its user.
        folder = absolute(parsed, value.folder)
        return str(folder) if folder.is_dir() else parsed
    return absolute(parsed, value.folder) if spec.path else parsed


def _check_path(spec: Spec, path: Path | None, origin: str) -> None:
    shown = str(path).encode("utf-8", "backslashreplace").decode()
    if shown != str(path):
        raise SettingsError(
            f"{spec.name} is {shown!r} (from {origin})",
            cause="the path is not valid UTF-8, and no message can hold it",
            fix=f"set {spec.name} to another path",
            setting=spec.name,
            value=shown,
            origin=origin,
        )


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _wire_text(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, list | tuple):
        return ",".join(str(item) for item in value)
    return str(value)


# The table and the class name the same fields; a slip here would show only at the first load.
assert {spec.field for spec in SPECS} <= {f.name for f in fields(Settings)}
