"""What every engine is to the worker, whatever computes in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from thoth_core.errors import ThothError

Vectors = npt.NDArray[np.float32]
#: Called after each step of the work (a tokenised batch, a model call). It may raise to end the
#: work: an engine lets that through.
Progress = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What an engine is made from: the settings that concern it, as they came over the wire."""

    model: str
    engine: str = "auto"
    long_text: str = "window"
    batch_size: int = 100
    device: str = "auto"
    precision: str = "auto"
    trust_remote_code: bool = False
    threads: int = 1
    faults: bool = False
    #: Where a provider's models are asked for, and how many numbers their vectors are to have.
    base_url: str = ""
    dimensions: int | None = None
    #: Where this worker is to compute, "cpu" or "cuda:1": its part of ``device``, which is what the
    #: user asks for. Empty if nobody has said.
    place: str = ""

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Options:
        """From the body of ``config``: ``{model, settings, device?, threads?}``."""
        settings = config.get("settings") or {}
        return cls(
            model=str(config["model"]),
            engine=str(settings.get("engine", "auto")),
            long_text=str(settings.get("long_text", "window")),
            batch_size=max(1, int(settings.get("embedding_batch_size", 100))),
            device=str(settings.get("device", "auto")),
            place=str(config.get("device", "")),
            precision=str(settings.get("precision", "auto")),
            trust_remote_code=bool(settings.get("trust_remote_code", False)),
            threads=max(1, int(config.get("threads", 1))),
            faults=bool(settings.get("faults", False)),
            base_url=str(settings.get("openai_base_url") or ""),
            dimensions=settings.get("openai_dimensions"),
        )


@dataclass(frozen=True, slots=True)
class Credit:
    """How much a worker takes at once: ``units``, and the bounds of one in items and tokens. More
    than that it takes for somebody who waits, if all its units are bulk: ``spare`` units."""

    units: int
    items: int
    tokens: int
    spare: int = 1


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine says of itself. The first six fields are the identity of its vectors: two
    collections whose models differ in one of them cannot be mixed."""

    name: str
    weights: str
    dimension: int
    normalized: bool
    #: ``{"document": …, "query": …}`` if the model wants a prompt before one of them.
    prompt: Mapping[str, str] | None
    long_text: str
    #: Tokens of one text that the model reads at once, special ones not counted.
    max_tokens: int | None
    precision: str
    credit: Credit
    versions: Mapping[str, str]

    def identity(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "weights": self.weights,
            "dimension": self.dimension,
            "normalized": self.normalized,
            "prompt": None if self.prompt is None else dict(self.prompt),
            "long_text": self.long_text,
        }


@dataclass(frozen=True, slots=True)
class Embedded:
    """The outcome for n texts: ``vectors`` is float32 (n, dimension), unit length, zeros at the
    positions in ``errors``; ``tokens`` and ``windowed`` have one entry a text."""

    vectors: Vectors
    tokens: list[int]
    windowed: list[bool]
    errors: dict[int, ThothError] = field(default_factory=dict)


class Engine(Protocol):
    """Made by a ``load`` function; a local one has run a batch by then."""

    @property
    def info(self) -> EngineInfo: ...

    def threads(self) -> dict[str, int]:
        """The threads that the libraries really use, by library."""
        ...

    def embed(self, texts: Sequence[str], purpose: str, progress: Progress) -> Embedded:
        """Vectors of ``texts``; ``purpose`` is "document" or "query".

        What is wrong with one text comes back in ``errors``. An exception means that the texts
        could not be embedded together; the caller may try them one by one.
        """
        ...
