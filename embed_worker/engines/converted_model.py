"""What a converted model is on the disk: OpenVINO's two files, a tokenizer, and a description.

Everything that a worker has to know of the model is in the description, so that it loads neither
torch nor the model's own files. A folder of this kind comes into its place whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

#: Of the description, and of what a model is compared by; one of another format is made anew.
FORMAT = 3
GRAPH, TOKENIZER, DESCRIPTION = "model.xml", "tokenizer.json", "thoth.json"
#: The least cosine between a converted model's vectors and torch's, by precision.
LEAST_COSINE: Mapping[str, float] = {"fp32": 0.999999, "bf16": 0.9999}
#: What is looked at of a model's files besides its weights: whatever decides what it computes.
_DESCRIBING = (".json", ".txt", ".model", ".py")
_LARGEST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around the ids of a text: ``prompt`` before it, of which ``head`` ids never
    change, and the special ids ``prefix`` and ``suffix``."""

    prompt: str
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    head: int


@dataclass(frozen=True, slots=True)
class Description:
    """``frames`` by purpose; ``limit``: ids of one row, None without a limit; ``inputs``: what the
    graph takes; ``cosines``: the least between its vectors and torch's over the probes, by
    precision; ``probe`` is the vector of :data:`PROBE` in fp32."""

    dimension: int
    inputs: tuple[str, ...]
    pad: int
    left: bool
    limit: int | None
    frames: Mapping[str, Frame]
    cosines: Mapping[str, float]
    probe: tuple[float, ...]
    versions: Mapping[str, str]
    format: int = FORMAT

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Description:
        """What :meth:`to_json` made; :class:`ValueError` if it is something else."""
        try:
            data = json.loads(text)
            if data.pop("format") != FORMAT:
                raise ValueError("of another format")
            frames = {
                str(name): Frame(
                    frame["prompt"], tuple(frame["prefix"]), tuple(frame["suffix"]), frame["head"]
                )
                for name, frame in data.pop("frames").items()
            }
            for name in ("inputs", "probe"):
                data[name] = tuple(data[name])
            return cls(frames=frames, **data)
        except (KeyError, TypeError, AttributeError) as problem:
            raise ValueError(f"no description: {type(problem).__name__}: {problem}") from problem


#: Embedded at each load, and compared with what it was when the model was converted.
PROBE = "The quick brown fox jumps over the lazy dog, and the dog does not mind."


def read_description(folder: Path) -> Description:
    """:class:`OSError` or :class:`ValueError` if there is none that can be used."""
    return Description.from_json((folder / DESCRIPTION).read_text("utf-8"))


def describing_hash(folder: Path) -> str:
    """SHA-256 in hex of all small files of the model in ``folder``: its configuration, pooling,
    prompts and tokenizer. Its weights are known by a hash of their own."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in _DESCRIBING and path.is_file() and path.stat().st_size <= _LARGEST:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{content}  {path.relative_to(folder).as_posix()}\n".encode())
    return digest.hexdigest()


def key_of(weights: str, described: str, versions: Mapping[str, Any]) -> str:
    """The name of the folder for a model converted by these versions."""
    parts = json.dumps([described, FORMAT, sorted(versions.items())])
    return f"{weights[:16]}-{hashlib.sha256(parts.encode()).hexdigest()[:16]}"
