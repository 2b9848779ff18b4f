"""Whether chunk sizes can be counted without a network."""

from __future__ import annotations

from thoth_core.doctor.context import Context
from thoth_core.doctor.result import Result, failed, ok, warn
from thoth_core.encoding import load_encoding

_TEXT = "Thoth counts tokens — naïve café 東京 <|endoftext|>"


def check(context: Context) -> Result:
    wanted = context.settings.chunk_encoding
    encoding = load_encoding(wanted, context.environ)
    count = encoding.count(_TEXT)
    if encoding.text_of(encoding.tokens(_TEXT)) != _TEXT:
        return failed(
            f"{encoding.name} does not give back the text that it was given",
            "tiktoken is broken",
            acts=[("pip", "install", "--force-reinstall", "--no-deps", "tiktoken")],
        )
    seen = f"{encoding.name} from a file whose hash is right; it counts {count} in a sample"
    if encoding.substituted:
        return warn(
            f"{seen}, instead of {wanted}",
            f"{wanted} is not on this machine, and the network is never used for counting",
            fix=f"export RAG_CHUNK_ENCODING={encoding.name}",
            encoding=encoding.name,
        )
    return ok(seen, encoding=encoding.name)
