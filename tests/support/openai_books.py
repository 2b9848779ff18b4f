"""What came to the test server, what was answered, and what it would have cost."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

from thoth_core.encoding import load_encoding


@cache
def tokens_of(text: str) -> int:
    """Of cl100k_base, which counts for all of the embedding models."""
    return load_encoding("cl100k_base").count(text)


@dataclass
class Request:
    """Times are of time.monotonic. ``told``: when the answer's first byte was about to be sent.
    ``not_before``: until when a 429 or 503 asked to wait. ``billed``: its 200 began.
    ``lost``: it was billed, and did not arrive whole and as it should."""

    number: int
    path: str
    key: str | None
    arrived: float
    #: Which connection it came by.
    connection: int
    model: str = ""
    inputs: tuple[str, ...] = ()
    tokens: int = 0
    status: int | None = None
    fault: str | None = None
    told: float | None = None
    not_before: float | None = None
    billed: bool = False
    lost: bool = False


@dataclass
class Books:
    """Safe to use from several threads; what it gives are copies of its lists."""

    _requests: list[Request] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, request: Request) -> None:
        with self._lock:
            self._requests.append(request)

    @property
    def requests(self) -> list[Request]:
        """In the order of their arrival, chat too."""
        with self._lock:
            return list(self._requests)

    @property
    def embeddings(self) -> list[Request]:
        """Requests for embeddings."""
        return [each for each in self.requests if each.path.endswith("/embeddings")]

    @property
    def chats(self) -> list[Request]:
        return [each for each in self.requests if each.path.endswith("/chat/completions")]

    @property
    def billed_tokens(self) -> int:
        """Of embeddings."""
        return sum(each.tokens for each in self.embeddings if each.billed)

    @property
    def lost_tokens(self) -> int:
        """Of embeddings that were billed and got lost on the way."""
        return sum(each.tokens for each in self.embeddings if each.lost)

    def times_billed(self) -> Counter[str]:
        """How often each text was."""
        return Counter(text for each in self.embeddings if each.billed for text in each.inputs)

    def times_delivered(self) -> Counter[str]:
        """How often each text's vector arrived in a whole answer."""
        return Counter(
            text
            for each in self.embeddings
            if each.billed and not each.lost
            for text in each.inputs
        )

    def statuses(self) -> Counter[int | None]:
        """Requests for embeddings by what was answered; None where nothing was."""
        return Counter(each.status for each in self.embeddings)

    def early(self, requests: Iterable[Request] | None = None, grace: float = 0.0) -> list[Request]:
        """Those that came before a time to wait had passed that their key was told of more than
        ``grace`` seconds earlier."""
        told = [
            (each.key, each.told, each.not_before)
            for each in self.requests
            if each.not_before is not None and each.told is not None
        ]
        return [
            each
            for each in (self.requests if requests is None else requests)
            if any(each.key == key and at + grace < each.arrived < until for key, at, until in told)
        ]


def needed_tokens(texts: Iterable[str]) -> int:
    """Of texts that are each sent once, however often they are given."""
    return sum(map(tokens_of, set(texts)))
