"""What dispatch keeps of a request, its units and its calls; and what it admits. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from thoth_core.errors import InvalidInput, ProtocolError, RequestTooLarge, ThothError
from thoth_core.validation import check_texts
from thoth_core.wire import MAX_TEXTS, Buffer, Message

if TYPE_CHECKING:
    from thoth_core.supervisor.team import Team

#: Requests that the store answers by itself; dispatch only orders and repeats them.
READS = frozenset(
    {
        "search",
        "get",
        "count",
        "collections",
        "stats",
        "documents",
        "look_up",
        "sources",
        "show",
        "snapshot_open",
        "snapshot_page",
        "snapshot_documents",
        "snapshot_close",
        "reembed_page",
        "verify",
        "compact",
    }
)
#: Those of them that nobody waits for: an export reads on and on, and so does a new generation, or
#: an ingest that is only to be counted.
BULK_READS = frozenset(
    {"snapshot_page", "snapshot_documents", "reembed_page", "compact", "look_up"}
)
WRITES = frozenset(
    {
        "upsert",
        "delete",
        "create_collection",
        "rename_collection",
        "delete_collection",
        "begin_ingest",
        "replace_document",
        "restore",
        "restore_documents",
        "restore_finish",
        "begin_reembed",
        "finish_reembed",
        "abort_reembed",
    }
)
#: Requests that the store may be at for minutes, while its loop goes on.
LONG = frozenset({"verify", "compact"})
#: Requests whose texts an embed worker turns into vectors first.
EMBEDDED = frozenset({"embed", "add", "query"})
#: Requests for which nothing can be done before the identity of their model is known.
MODELLED = EMBEDDED | {"begin_reembed"}
KINDS = READS | WRITES | EMBEDDED

#: Requests that are about no collection, or about several.
_NAMELESS = frozenset(
    {
        "embed",
        "collections",
        "stats",
        "verify",
        "compact",
        "snapshot_open",
        "snapshot_close",
        "restore_finish",
    }
)

#: An ``embed`` up to these bounds is interactive: somebody waits for it.
SMALL_TEXTS = 16
SMALL_CHARS = 16_000

#: Characters of the name or path of a model.
LONGEST_MODEL = 1000
#: What Python needs for the objects of one row, measured: with short texts it is most of a request.
ROW_BYTES = 256

_PREFIX = "sentence-transformers/"


class Phase(Enum):
    QUEUED = "queued"
    #: An embed worker has it.
    EMBEDDING = "embedding"
    #: Its vectors are with the store, and still kept by the embed worker.
    HANDED = "handed"
    DONE = "done"


@dataclass(slots=True, eq=False)
class Request:
    """One accepted request. ``number`` is the counter part of its write number."""

    id: str
    client: bytes
    kind: str
    body: Mapping[str, Any]
    buffers: tuple[Buffer, ...]
    size: int
    interactive: bool
    number: int
    progressed: float
    deadline: float | None
    #: Those who embed its texts.
    team: Team
    #: Which sending of the request its client is known by: it counts them.
    attempt: int = 0
    #: Its place among the bulk requests; grows each time that it had its turn.
    turn: int = 0
    #: Units that wait for a worker.
    pending: deque[Unit] = field(default_factory=deque)
    units: set[Unit] = field(default_factory=set)
    calls: set[Call] = field(default_factory=set)
    #: Items without an outcome yet.
    left: int = 0
    errors: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    #: Those of them that it had when it was admitted.
    refused: tuple[tuple[int, dict[str, Any]], ...] = ()
    #: Why it left the service's own model for that of its collection.
    moved_for: ThothError | None = None
    superseded: list[int] = field(default_factory=list)
    embedded: int = 0
    reused: int = 0
    unchanged: int = 0
    windowed: int = 0
    tokens: int = 0
    #: What it ends with as soon as nothing of it is with a worker or the store.
    given_up: ThothError | None = None
    #: Nobody's: dispatch asked itself, to see what a text does to a worker.
    own: bool = False
    #: ``Board.verdicts`` when its texts were compared with the quarantine; -1 if they were not.
    compared: int = -1

    @property
    def total(self) -> int:
        texts = self.body.get("texts")
        return len(texts) if isinstance(texts, Sequence) else 0

    @property
    def needs_store(self) -> bool:
        return self.kind != "embed"

    @property
    def asked_model(self) -> str:
        """The model that its caller wants; "" if any will do."""
        return asked_model(self.body)

    @property
    def only_waits(self) -> bool:
        """Nothing of it is with a worker or the store, and nothing waits for a verdict. That needs
        one certain worker, so that the progress of others says nothing about it."""
        return all(u.phase is Phase.QUEUED and not u.cases for u in self.units) and not any(
            call.sent for call in self.calls
        )

    @property
    def suspected(self) -> bool:
        """Something of it waits for a verdict about a text."""
        return any(u.cases for u in self.units)

    def report(self) -> dict[str, Any]:
        """The result of an ``add``."""
        return {
            "embedded": self.embedded,
            "reused": self.reused,
            "unchanged": self.unchanged,
            "superseded": sorted(self.superseded),
            "windowed": self.windowed,
            "tokens": self.tokens,
            "model": self.team.shown_name,
            "errors": [list(pair) for pair in sorted(self.errors, key=lambda p: p[0])],
        }


@dataclass(slots=True, eq=False)
class Unit:
    """A batch of a request's texts; ``items`` are their positions in the call."""

    id: str
    request: Request
    items: list[int]
    #: The request's, when the unit was formed.
    team: Team
    attempt: int = 0
    phase: Phase = Phase.QUEUED
    slot: str = ""
    store: str = ""
    #: It runs with nothing else in its worker.
    alone: bool = False
    #: The cases of texts in it: it waits for their verdicts, and in no line.
    cases: list[Case] = field(default_factory=list)
    #: Workers that ended of themselves while it, or what it was a part of, ran with others.
    deaths: int = 0
    #: Workers that were ended, by us or from outside, while they ran it.
    kills: int = 0
    store_deaths: int = 0
    #: From ``handed``: which of the items were embedded.
    indices: list[int] = field(default_factory=list)
    #: The store's answer, when it came before the worker's.
    early: Message | None = None

    def __hash__(self) -> int:
        # By number, because sets of units are walked: what happens is then decided by the events
        # and by nothing else, and a simulated history can be repeated.
        return int(self.id[1:])


@dataclass(slots=True, eq=False)
class Case:
    """A text that may have ended its worker, until there is a verdict. ``suspects`` decides it."""

    text: str
    purpose: Any
    #: Deaths of workers that had nothing but this text.
    deaths: int = 0
    #: Workers that were ended, by us or from outside, while they ran it alone.
    kills: int = 0
    #: Units with the text; a dict for its order.
    waiting: dict[Unit, None] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Call:
    """Something asked of the store for a request."""

    id: str
    request: Request
    kind: str
    body: dict[str, Any]
    buffers: tuple[Buffer, ...]
    size: int
    urgent: bool
    attempt: int = 0
    sent: bool = False
    #: Its request is gone; the answer will interest nobody.
    dropped: bool = False
    deaths: int = 0

    def __hash__(self) -> int:
        # As of a unit.
        return int(self.id[1:])


def size_of(message: Message, frame_bytes: int = 0) -> int:
    """About the memory that a request takes until it is answered; ``frame_bytes`` came."""
    rows = max(
        (len(rows) for n in ("texts", "ids") if isinstance(rows := message.body.get(n), list)),
        default=0,
    )
    return frame_bytes + 256 + ROW_BYTES * rows


def check(message: Message, max_chars: int) -> list[tuple[int, dict[str, Any]]]:
    """Whether ``message`` is a request that can be carried out.

    The errors of single texts come back; what makes the whole call impossible is raised
    (:class:`ProtocolError`, :class:`InvalidInput`, :class:`RequestTooLarge`). Clients check before
    they send; this is for those that do not.
    """
    if message.kind not in KINDS:
        raise ProtocolError(f"there is no request of the kind {message.kind!r}")
    if not 0 < len(message.id) <= 64:
        raise ProtocolError("a request needs an id of 1 to 64 characters")
    body = message.body
    if message.kind not in _NAMELESS:
        name = body.get("collection")
        if not isinstance(name, str) or not name:
            raise InvalidInput("the call names no collection")
    if message.kind in ("upsert", "search", "restore") and (
        len(message.buffers) != 1 or len(message.buffers[0].shape) != 2
    ):
        raise InvalidInput(f"a {message.kind} needs its vectors, as one array of two dimensions")
    model = body.get("model") if message.kind in MODELLED else None
    if model is not None and not (
        isinstance(model, str) and len(model) <= LONGEST_MODEL and model.isprintable()
    ):
        # It comes to stand in logs, and workers look for it on the disk.
        raise InvalidInput(f"the model is no name or path of {LONGEST_MODEL:,} characters at most")
    if message.kind not in EMBEDDED:
        return []
    texts = body.get("texts")
    if not isinstance(texts, list):
        raise InvalidInput("the texts are no list")
    if len(texts) > MAX_TEXTS:
        raise RequestTooLarge(
            f"{len(texts):,} texts in one call, {MAX_TEXTS:,} at most",
            fix="send several calls",
        )
    if message.kind == "add":
        ids, metadatas = body.get("ids"), body.get("metadatas")
        if not isinstance(ids, list) or not all(isinstance(i, str) and i for i in ids):
            raise InvalidInput("the ids are no list of strings")
        if len(ids) != len(texts):
            raise InvalidInput(f"{len(ids)} ids for {len(texts)} texts")
        if len(set(ids)) != len(ids):
            raise InvalidInput("an id stands twice in the call")
        if metadatas is not None and (
            not isinstance(metadatas, list) or len(metadatas) != len(texts)
        ):
            raise InvalidInput("the metadatas are no list as long as the texts")
        stage = body.get("stage")
        if stage is not None and (isinstance(stage, bool) or not isinstance(stage, int)):
            raise InvalidInput("the stage is no number")
    return [(index, error.to_dict()) for index, error in check_texts(texts, max_chars)]


def asked_model(body: Mapping[str, Any]) -> str:
    """The model that the request names; "" if it names none."""
    wanted = body.get("model")
    return wanted if isinstance(wanted, str) else ""


def plain_name(model: str) -> str:
    """The model's name without the organisation that is meant where none is named."""
    return model.removeprefix(_PREFIX)


def staged(body: Mapping[str, Any]) -> dict[str, Any]:
    """What the store is told of an ``add`` that belongs to a run which is not committed."""
    return {} if body.get("stage") is None else {"stage": body["stage"]}


def is_interactive(message: Message) -> bool:
    """Whether somebody waits for this; it then never waits behind bulk work."""
    if message.kind == "embed":
        texts = message.body["texts"]
        return len(texts) <= SMALL_TEXTS and (
            sum(len(t) for t in texts if isinstance(t, str)) <= SMALL_CHARS
        )
    return message.kind == "query" or message.kind in READS - BULK_READS
