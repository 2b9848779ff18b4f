"""Texts that ended their worker again and again, and are not tried any more. Pure.

A text is known here by its hash and its length, never by its words: the list is kept on disk and
shown to whoever asks. An entry counts for the model and the versions with which the text crashed
and for no other, because another library may well embed it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

from thoth_core.errors import InvalidInput, PoisonInput
from thoth_core.ids import text_hash

MAX_ENTRIES = 1000
#: Of a key, on the command line.
SHORTEST_KEY = 4
#: Of a name that somebody else made: a model's, a version's, a frame's.
LONGEST_NAME = 500


@dataclass(frozen=True, slots=True)
class Runtime:
    """What embeds: the model with the hash of its weights, and whatever computes it."""

    model: str = ""
    weights: str = ""
    engine: str = ""
    #: Of the engine's libraries, and the precision: ``"torch 2.9.0"``.
    versions: tuple[str, ...] = ()

    @classmethod
    def from_ready(cls, info: Mapping[str, Any]) -> Runtime:
        """From the body of a worker's ``ready``; what it does not say is empty."""
        model = info.get("model")
        model = model if isinstance(model, Mapping) else {}
        said = info.get("versions")
        versions = dict(said) if isinstance(said, Mapping) else {}
        engine = versions.pop("engine", "")
        if info.get("precision"):
            versions["precision"] = info["precision"]
        return cls(
            _short(model.get("name", "")),
            _short(model.get("weights", "")),
            _short(engine),
            tuple(sorted(_short(f"{name} {version}") for name, version in versions.items())),
        )


@dataclass(frozen=True, slots=True)
class Ending:
    """How the worker ended that had the text alone. ``at`` is in seconds since 1970, for display;
    ``frame`` the Python frame that made the native call, where that is known."""

    reason: str = ""
    signal: str | None = None
    frame: str | None = None
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One text in quarantine. ``deaths`` are those of workers that had nothing but it, ``refused``
    the times that it was sent again since, as far as they are known."""

    key: str
    text_sha256: str
    characters: int
    model: str
    weights: str
    engine: str
    versions: tuple[str, ...]
    deaths: int
    reason: str
    signal: str | None
    frame: str | None
    at: float
    refused: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the wire, the disk and ``--json``."""
        return asdict(self) | {"versions": list(self.versions)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Entry:
        """What :meth:`to_dict` made. :class:`ValueError` if it is something else."""
        try:
            given = {field.name: data[field.name] for field in fields(cls)}
            versions = given["versions"]
            if not isinstance(versions, list) or not all(isinstance(v, str) for v in versions):
                raise TypeError("the versions are no list of strings")
            entry = cls(**given | {"versions": tuple(versions)})
            whole = (entry.characters, entry.deaths, entry.refused)
            words = (entry.key, entry.text_sha256, entry.model, entry.weights, entry.engine)
            if not all(isinstance(w, str) for w in (*words, entry.reason)) or not all(
                isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in whole
            ):
                raise TypeError("a value of another kind")
            datetime.fromtimestamp(entry.at, UTC)
            for word in (entry.signal, entry.frame):
                if word is not None and not isinstance(word, str):
                    raise TypeError("a value of another kind")
        except (KeyError, TypeError, OverflowError, OSError) as problem:
            raise ValueError(f"no entry: {problem}") from problem
        if entry.key != make_key(entry.text_sha256, entry.runtime):
            raise ValueError("an entry whose key is not its own")
        return entry

    @property
    def runtime(self) -> Runtime:
        return Runtime(self.model, self.weights, self.engine, self.versions)

    def problem(self, index: int) -> PoisonInput:
        """What the caller of text ``index`` is told."""
        when = f"{datetime.fromtimestamp(self.at, UTC):%Y-%m-%d %H:%M} UTC"
        return PoisonInput(
            f"text {index} ended the process that embeds it {self.deaths} times while it ran alone",
            cause=f"{self.signal or self.reason or 'unknown'}, the last time at {when}; "
            "it is in quarantine since",
            fix="leave this text out; if what crashed has been mended: "
            f"thoth quarantine retry {self.key}",
            indices=[index],
            key=self.key,
        )


def make_key(text_sha256: str, runtime: Runtime) -> str:
    """16 hex digits of the text and of all that embeds it."""
    parts = [text_sha256, runtime.model, runtime.weights, runtime.engine, *runtime.versions]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


class Quarantine:
    """All entries, the oldest first, ``most`` at most: beyond that the oldest goes."""

    def __init__(self, entries: Iterable[Entry] = (), *, most: int = MAX_ENTRIES) -> None:
        self._most = most
        self._entries: dict[str, Entry] = {}
        #: How many entries for each runtime have texts of that length: so most texts need not be
        #: hashed to see that they are not here.
        self._lengths: dict[Runtime, Counter[int]] = {}
        for entry in sorted(entries, key=lambda e: e.at):
            self._put(entry)

    def __len__(self) -> int:
        return len(self._entries)

    def bars(self, runtime: Runtime) -> bool:
        """Whether there is a text that is refused where ``runtime`` embeds."""
        return runtime in self._lengths

    def entries(self) -> list[Entry]:
        return list(self._entries.values())

    def find(self, text: str, runtime: Runtime) -> Entry | None:
        """The entry of ``text`` where ``runtime`` embeds."""
        if len(text) not in self._lengths.get(runtime, ()):
            return None
        return self._entries.get(make_key(text_hash(text), runtime))

    def refuse(self, text: str, runtime: Runtime) -> Entry | None:
        """As :meth:`find`, and counted."""
        entry = self.find(text, runtime)
        if entry is not None:
            entry = self._entries[entry.key] = replace(entry, refused=entry.refused + 1)
        return entry

    def add(self, text: str, runtime: Runtime, deaths: int, ending: Ending) -> Entry:
        """``text`` ended its worker ``deaths`` times, the last time so."""
        digest = text_hash(text)
        key = make_key(digest, runtime)
        self.remove([key])
        entry = Entry(
            key,
            digest,
            len(text),
            runtime.model,
            runtime.weights,
            runtime.engine,
            runtime.versions,
            deaths,
            _short(ending.reason),
            ending.signal,
            None if ending.frame is None else _short(ending.frame),
            ending.at,
        )
        self._put(entry)
        return entry

    def take_out(self, names: Any) -> list[Entry]:
        """Take out the entries whose keys are, or begin with, ``names``; all for None. They come
        back. :class:`InvalidInput`, and nothing is changed, if a name is none or several."""
        if names is None:
            return self.remove(list(self._entries))
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InvalidInput("the keys are no list of strings")
        return self.remove([self._named(name) for name in names])

    def _named(self, name: str) -> str:
        fits = [key for key in self._entries if key.startswith(name.lower())]
        if len(name) >= SHORTEST_KEY and len(fits) == 1:
            return fits[0]
        raise InvalidInput(
            f"{len(fits)} texts in quarantine have a key that begins with {name!r}",
            cause=f"a key is named by its first characters, {SHORTEST_KEY} at least",
            fix="thoth quarantine list",
        )

    def remove(self, keys: Iterable[str]) -> list[Entry]:
        """Take these out; those that were there."""
        gone = [entry for key in keys if (entry := self._entries.pop(key, None)) is not None]
        for entry in gone:
            lengths = self._lengths[entry.runtime]
            lengths[entry.characters] -= 1
            if not lengths[entry.characters]:
                del lengths[entry.characters]
            if not lengths:
                del self._lengths[entry.runtime]
        return gone

    def _put(self, entry: Entry) -> None:
        self.remove([entry.key])
        self._entries[entry.key] = entry
        self._lengths.setdefault(entry.runtime, Counter())[entry.characters] += 1
        while len(self._entries) > self._most:
            self.remove([next(iter(self._entries))])


def _short(value: object) -> str:
    return str(value)[:LONGEST_NAME]
