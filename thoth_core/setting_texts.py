"""What each setting means, in words. The table in docs/configuration.md is made from it, and from
setting_specs.py. Pure; nothing of it is needed to read a setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """Markdown, with links as from docs/. ``values``: which are good. ``of``: whose setting it is,
    ``client``, ``service`` or ``both``. ``what``: what it does."""

    values: str
    of: str
    what: str


#: In the order of the page.
TEXTS: Mapping[str, Text] = {
    "RAG_EMBEDDING_MODEL": Text(
        "a name, `organisation/name`, or a folder",
        "service",
        "The model that turns text into vectors. A name is looked for as a folder, then "
        "in the installed model package, then in the local Hugging Face cache, and only "
        "then on the hub. `fake/<dimension>` needs no model and is for tests.",
    ),
    "RAG_EMBEDDING_BATCH_SIZE": Text(
        "1 to 2,048",
        "service",
        "At most so many texts in one call of the model.",
    ),
    "RAG_VECTOR_DB_PATH": Text(
        "a folder",
        "both",
        "Where data lives, in the folder `thoth` below it.",
    ),
    "RAG_COLLECTION_NAME": Text(
        "3 to 512 characters out of a-z, A-Z, 0-9, dot, _ and -",
        "client",
        "The collection when none is named.",
    ),
    "RAG_CHUNK_SIZE": Text(
        "8 to 100,000 tokens",
        "client",
        "The bound of a chunk. A change makes every file a changed one at the next ingest.",
    ),
    "RAG_CHUNK_OVERLAP": Text(
        "0 to below the size",
        "client",
        "How many tokens a chunk repeats of the one before it, at most.",
    ),
    "RAG_CHUNK_ENCODING": Text(
        "`cl100k_base`, `o200k_base`, `p50k_base`, `r50k_base`",
        "client",
        "Which encoding counts the tokens of chunks. Where the file of another one is "
        "not on this machine, `cl100k_base` counts.",
    ),
    "RAG_RETRIEVAL_K": Text(
        "1 to 10,000",
        "client",
        "How many hits a search gives, and how many passages `ask` gives to the model.",
    ),
    "WORKSPACE_DIR": Text(
        "a folder",
        "both",
        "Where `.env` and `thoth.toml` are looked for second, and the parent of the "
        "default data directory. A file that names `${WORKSPACE_DIR}` while it is set "
        "nowhere means the folder that it lies in.",
    ),
    "THOTH_RUNTIME_DIR": Text(
        "a folder with a short path",
        "both",
        "Where the sockets are, mode 0700.",
    ),
    "THOTH_EMBED_WORKERS": Text(
        "1 to 256",
        "service",
        "Bulk embed workers: one a core, of those that affinity and control groups "
        "leave to the service, or one a GPU. One more, for queries, runs beside them; "
        "[more](architecture.md#cores-threads-and-priorities).",
    ),
    "THOTH_LONG_TEXT": Text(
        "`window`, `truncate`, `error`",
        "service",
        "What becomes of a text longer than the model reads: embedded in overlapping "
        "windows whose vectors are averaged, cut off, or refused. Part of a "
        "collection's identity.",
    ),
    "THOTH_ENGINE": Text(
        "`auto`, `openvino`, `sentence_transformers`",
        "service",
        "What computes a local model. `auto`: OpenVINO where torch would use the CPU, "
        "and sentence-transformers on torch on a GPU and for models that OpenVINO does "
        "not take; [more](architecture.md#engines).",
    ),
    "THOTH_DEVICE": Text(
        "`auto`, `cpu`, `cuda`, `cuda:<number>`",
        "service",
        "Where the model runs. `auto`: on all GPUs, where there are some and torch is "
        "installed with CUDA; a worker that cannot use its GPU says so in its log and "
        "takes the CPU. `cuda`: on all GPUs, or not at all. `cuda:<number>`: on this "
        "one, counted as `CUDA_VISIBLE_DEVICES` leaves them.",
    ),
    "THOTH_PRECISION": Text(
        "`auto`, `fp32`, `bf16`, `fp16`",
        "service",
        "The numbers that the model computes with. `auto`: on a CPU bf16 where the "
        "processor multiplies it natively, on a GPU fp16 or else bf16 where the GPU has "
        "units for it, if the vectors are as near to those of fp32 as 0.9999; else "
        "fp32. One that this machine or this model does not do with is an error when "
        "the service starts.",
    ),
    "THOTH_TRUST_REMOTE_CODE": Text(
        "1 or 0",
        "service",
        "Whether code that comes with a model may run.",
    ),
    "THOTH_MAX_TEXT_CHARS": Text(
        "1 to 8,000,000",
        "both",
        "A longer text is refused.",
    ),
    "THOTH_MODELS_MEMORY_MB": Text(
        "0 to 16,777,216",
        "service",
        "So much may the workers of all models but the service's own hold together when "
        "one more is started. 0: a call for another model is refused.",
    ),
    "THOTH_MODEL_IDLE": Text(
        "seconds above 0",
        "service",
        "A worker of another model ends after so long without work.",
    ),
    "THOTH_QUEUE_MB": Text(
        "1 to 1,048,576",
        "service",
        'So much may wait. A call over it is told "overloaded"; the client tries again '
        "by itself for a minute.",
    ),
    "THOTH_IDLE_EXIT": Text(
        "seconds above 0",
        "service",
        "A service that a client started ends after so long without work. One started "
        "by `thoth-supervisor start` stays.",
    ),
    "THOTH_READ_TIMEOUT": Text(
        "seconds above 0",
        "client",
        "So long may the parser of one file take (PDF, Office and others that are read "
        "in a process of their own).",
    ),
    "THOTH_READ_MEMORY_MB": Text(
        "256 to 16,777,216",
        "client",
        "And so much address space may it have. A file that needs more is reported, the "
        "others go on.",
    ),
    "THOTH_ENV_PASS": Text(
        "names of environment variables, with commas between",
        "service",
        "Variables that workers get besides those of the [fixed "
        "list](architecture.md#the-environment-of-a-child).",
    ),
    "THOTH_KEEP_DAMAGED": Text(
        "1 or 0",
        "service",
        "Whether the folder of a damaged index (`chroma-damaged-<n>`, one at most) "
        "stays when the new one is good. Where the disk has no room for both it is "
        "deleted all the same. `thoth-supervisor start --keep-damaged` is the same for "
        "one start.",
    ),
    "THOTH_LOG_FORMAT": Text(
        "`text`, `json`",
        "service",
        "How the supervisor and the workers log: lines of text, or [one JSON object a "
        "line](operations.md#logs).",
    ),
    "THOTH_FAULTS": Text(
        "1 or 0",
        "service",
        "For tests: lets certain texts end or hang a worker.",
    ),
    "THOTH_UNIT_TIMEOUT": Text(
        "seconds above 0",
        "service",
        "An embed worker that has work and makes no progress for so long ends, its "
        "stacks written first, and is replaced; a text that it hangs on twice alone is "
        "refused. A call without a deadline of its own waits for that and goes on with "
        "the next worker. The same holds for the store, which is given 15 s at least "
        "and 30 s at most.",
    ),
    "THOTH_WORKER_MEMORY_MB": Text(
        "0 to 16,777,216",
        "service",
        "A worker that has more for itself is [replaced](architecture.md#workers-born-"
        "watched-ended) after its work, one worker at a time; a store in the middle of "
        "an export, a `verify` or a `compact` after that, or after an hour. Counted is "
        "its share of memory (PSS) without mapped files, which the kernel takes back by "
        "itself; where the system does not say, what is resident. `status` shows it as "
        "`memory_bytes`: with all-MiniLM-L6-v2 an embed worker has 70 to 150 MB of it, "
        "and about 250 MB resident; on torch 340 and 500.",
    ),
    "THOTH_WORKER_MAX_AGE": Text(
        "seconds from 0",
        "service",
        "A worker that has been ready for so long is replaced in the same way. Off, "
        "because nothing is known to get worse with age alone: what grows is found by "
        "its memory, and each replacement is a moment with one worker less.",
    ),
    "RAG_QA_MODEL": Text(
        "a name",
        "client",
        "The chat model that `thoth ask` has answers written by. `openai/gpt-4o-mini` "
        "is `gpt-4o-mini` at `OPENAI_BASE_URL`; any other name is sent as it is.",
    ),
    "RAG_QA_TEMPERATURE": Text(
        "0 to 2",
        "client",
        "How free its words are. Not sent to a model that says it does not take it.",
    ),
    "RAG_QA_MAX_TOKENS": Text(
        "1 to 1,000,000",
        "client",
        "An answer is cut off there, and says so.",
    ),
    "THOTH_ASK_CONTEXT": Text(
        "512 to 10,000,000",
        "client",
        "Tokens of a prompt and its answer together, counted by `cl100k_base`: passages "
        "without room are left out, the farthest first. Set it to what the model reads.",
    ),
    "THOTH_ASK_THRESHOLD": Text(
        "`auto`, or a number from -1 to 1",
        "client",
        'If no passage has this score, `ask` says "not in this collection" without '
        "asking a model. `auto`: what was [measured](ask.md#when-nothing-is-near-"
        "enough) for the embedding model; with one that was not measured nothing is "
        "refused.",
    ),
    "API_OPENAI_KEY": Text(
        "a key; also as `OPENAI_API_KEY`",
        "both",
        "The key for `OPENAI_BASE_URL`, sent there and nowhere else: by `thoth ask`, "
        "and by the embed worker of an `openai/` model. A local server needs none. "
        "Shown masked, never written to a log. The service has the one that was set "
        "when it was started, until `thoth-supervisor reload` gives it another.",
    ),
    "OPENAI_BASE_URL": Text(
        "an http or https address",
        "both",
        "The server that `openai/` models and `thoth ask` are asked of: OpenAI's, or "
        "any that speaks the same language, with its path: `http://127.0.0.1:8080/v1`.",
    ),
    "THOTH_OPENAI_DIMENSIONS": Text(
        "1 to 4,096",
        "service",
        "How many numbers a vector of an OpenAI model has.",
    ),
    "THOTH_PRICES": Text(
        "`name=price` or `name=input/output`, with commas between",
        "client",
        "Prices of models in US dollars a million tokens, before or besides those that "
        "Thoth knows: `text-embedding-3-small=0.02,my-"
        "model=0.05,gpt-4o-mini=0.15/0.60`.",
    ),
}
