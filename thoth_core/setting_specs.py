"""The table of settings: name, default, and which values are good. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thoth_core.errors import InvalidInput
from thoth_core.prices import BadPrice, read_prices


class BadValue(ValueError):
    """A value that a setting cannot have. The message is the rule, as "a whole number, 1 to 9".
    ``meant`` is the value that was probably meant, if one is."""

    def __init__(self, rule: str, meant: str = "") -> None:
        super().__init__(rule)
        self.meant = meant


@dataclass(frozen=True, slots=True)
class Spec:
    """One setting. ``default`` is None where it is worked out, and ``default_text`` says how.
    ``parse`` raises :class:`BadValue`. A ``path`` is made absolute where it was written."""

    field: str
    name: str
    default: str | None
    parse: Callable[[str], Any]
    default_text: str = ""
    path: bool = False
    secret: bool = False
    #: Other names for the same, tried after ``name``.
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)


#: The encodings that ``RAG_CHUNK_ENCODING`` may name.
ENCODINGS = ("cl100k_base", "o200k_base", "p50k_base", "r50k_base")

_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
#: OpenAI's own names for its models, and other ways in which people write where they are from.
_OPENAI_MODEL = re.compile(r"(?:openai[/:])?(text-embedding-[a-z0-9-]+)", re.IGNORECASE)
#: What templates and manuals write where a key belongs.
_PLACEHOLDER = re.compile(
    r"your[-_ ].*|.*[-_ ]here|<.*>|\[.*\]|changeme|change[-_]me|todo|none|null|x{3,}"
    r"|sk-(\.+|…|x+)|\.+|…",
    re.IGNORECASE,
)


def is_placeholder(key: str) -> bool:
    """Whether this stands where a key belongs and is none, like ``your_openai_key_here``."""
    return bool(_PLACEHOLDER.fullmatch(key.strip()))


def mask(key: str) -> str:
    """A key as it may be shown: ``sk-…abcd``."""
    return f"{key[:3]}…{key[-4:]}" if len(key) >= 16 else "…"


def whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text.replace("_", ""))
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise BadValue(f"a whole number from {low:,} to {high:,}")
        return value

    return parse


def number(low: float, high: float, *, above: bool = False) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (low < value <= high if above else low <= value <= high):
            raise BadValue(f"a number {'above' if above else 'from'} {low:g} to {high:g}")
        return value

    return parse


def choice(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in allowed:
            raise BadValue(f"one of {', '.join(allowed)}")
        return text.lower()

    return parse


def boolean(text: str) -> bool:
    if text.lower() in _YES:
        return True
    if text.lower() in _NO:
        return False
    raise BadValue("1 or 0 (or true, false, yes, no, on, off)")


def plain(text: str) -> str:
    if not text.isprintable():
        raise BadValue("printable text on one line")
    return text


def embedding_model(text: str) -> str:
    match = _OPENAI_MODEL.fullmatch(text)
    if match and text != (meant := f"openai/{match[1].lower()}"):
        raise BadValue(f"{meant} for this model of OpenAI's", meant)
    return plain(text)


def prices(text: str) -> tuple[str, ...]:
    try:
        return tuple(f"{model}={price}" for model, price in read_prices(text).items())
    except BadPrice as problem:
        raise BadValue(str(problem)) from problem


def names(text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(part for part in re.split(r"[,\s]+", text) if part))
    for name in found:
        if not _NAME.fullmatch(name):
            raise BadValue("names of environment variables, with commas between them")
    return found


def collection(text: str) -> str:
    from thoth_core.validation import check_collection_name

    try:
        check_collection_name(text)
    except InvalidInput as problem:
        raise BadValue(problem.cause) from problem
    return text


def device(text: str) -> str:
    if not _DEVICE.fullmatch(text.lower()):
        raise BadValue("one of auto, cpu, cuda or cuda:<number>")
    return text.lower()


def score_or_auto(text: str) -> float | str:
    if text.lower() == "auto":
        return "auto"
    try:
        return number(-1, 1)(text)
    except BadValue:
        raise BadValue("auto, or a number from -1 to 1") from None


def url(text: str) -> str:
    # A password in it would be shown with the address, and go out in place of the key.
    if not re.fullmatch(r"https?://[^\s/@]+(/\S*)?", text):
        raise BadValue("an address that begins with https:// or http://, without a password in it")
    return text.rstrip("/")


_OVERLAP = "50, or a tenth of a RAG_CHUNK_SIZE that is not above it"
_DATA = "${WORKSPACE_DIR}/knowledge/vector_db, else the user data directory"

SPECS: Sequence[Spec] = (
    Spec("embedding_model", "RAG_EMBEDDING_MODEL", "all-MiniLM-L6-v2", embedding_model),
    Spec(
        "embedding_batch_size",
        "RAG_EMBEDDING_BATCH_SIZE",
        None,
        whole(1, 2048),
        "100, or 2,048 on a GPU",
    ),
    Spec("vector_db_path", "RAG_VECTOR_DB_PATH", None, plain, _DATA, path=True),
    Spec("collection_name", "RAG_COLLECTION_NAME", "thoth_knowledge", collection),
    Spec("chunk_size", "RAG_CHUNK_SIZE", "500", whole(8, 100_000)),
    Spec("chunk_overlap", "RAG_CHUNK_OVERLAP", "50", whole(0, 99_999), _OVERLAP),
    Spec("chunk_encoding", "RAG_CHUNK_ENCODING", "cl100k_base", choice(*ENCODINGS)),
    Spec("qa_model", "RAG_QA_MODEL", "openai/gpt-4o-mini", plain),
    Spec("qa_temperature", "RAG_QA_TEMPERATURE", "0.2", number(0, 2)),
    Spec("qa_max_tokens", "RAG_QA_MAX_TOKENS", "2000", whole(1, 1_000_000)),
    # Tokens of the question, the passages and the answer.
    Spec("ask_context", "THOTH_ASK_CONTEXT", "16384", whole(512, 10_000_000)),
    Spec("ask_threshold", "THOTH_ASK_THRESHOLD", "auto", score_or_auto),
    Spec("retrieval_k", "RAG_RETRIEVAL_K", "4", whole(1, 10_000)),
    Spec("workspace_dir", "WORKSPACE_DIR", None, plain, "not set", path=True),
    Spec(
        "runtime_dir",
        "THOTH_RUNTIME_DIR",
        None,
        plain,
        "$XDG_RUNTIME_DIR/thoth, else /tmp/thoth-<uid>",
        path=True,
    ),
    Spec("long_text", "THOTH_LONG_TEXT", "window", choice("window", "truncate", "error")),
    Spec(
        "engine",
        "THOTH_ENGINE",
        "auto",
        choice("auto", "openvino", "sentence_transformers"),
    ),
    Spec("device", "THOTH_DEVICE", "auto", device),
    Spec("precision", "THOTH_PRECISION", "auto", choice("auto", "fp32", "bf16", "fp16")),
    Spec("trust_remote_code", "THOTH_TRUST_REMOTE_CODE", "0", boolean),
    # Four bytes a character: so one text always fits in one message.
    Spec("max_text_chars", "THOTH_MAX_TEXT_CHARS", "1000000", whole(1, 8_000_000)),
    Spec("unit_timeout", "THOTH_UNIT_TIMEOUT", "120", number(0, 86_400, above=True)),
    Spec("worker_memory_mb", "THOTH_WORKER_MEMORY_MB", "0", whole(0, 2**24), "0 (no bound)"),
    Spec("worker_max_age", "THOTH_WORKER_MAX_AGE", "0", number(0, 10**9), "0 (no bound)"),
    Spec(
        "models_memory_mb",
        "THOTH_MODELS_MEMORY_MB",
        None,
        whole(0, 2**24),
        "a quarter of the memory available",
    ),
    Spec("model_idle", "THOTH_MODEL_IDLE", "300", number(0, 10**9, above=True)),
    Spec("queue_mb", "THOTH_QUEUE_MB", "256", whole(1, 2**20)),
    Spec("idle_exit", "THOTH_IDLE_EXIT", "1800", number(0, 10**9, above=True)),
    Spec("read_timeout", "THOTH_READ_TIMEOUT", "60", number(0, 86_400, above=True)),
    Spec("read_memory_mb", "THOTH_READ_MEMORY_MB", "2048", whole(256, 2**24)),
    Spec("env_pass", "THOTH_ENV_PASS", "", names, "none"),
    Spec("keep_damaged", "THOTH_KEEP_DAMAGED", "0", boolean),
    Spec("log_format", "THOTH_LOG_FORMAT", "text", choice("text", "json")),
    Spec("faults", "THOTH_FAULTS", "0", boolean),
    Spec("openai_base_url", "OPENAI_BASE_URL", "https://api.openai.com/v1", url),
    Spec(
        "openai_dimensions",
        "THOTH_OPENAI_DIMENSIONS",
        None,
        whole(1, 4096),
        "the model's own",
    ),
    Spec("prices", "THOTH_PRICES", "", prices, "those of the table"),
    Spec(
        "openai_key",
        "API_OPENAI_KEY",
        "",
        plain,
        "not set",
        secret=True,
        aliases=("OPENAI_API_KEY",),
    ),
    Spec(
        "embed_workers",
        "THOTH_EMBED_WORKERS",
        None,
        whole(1, 256),
        "the cores available, or the GPUs",
    ),
)

BY_FIELD: Mapping[str, Spec] = {spec.field: spec for spec in SPECS}
BY_NAME: Mapping[str, Spec] = {name: spec for spec in SPECS for name in spec.names}
