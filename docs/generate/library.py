"""The calls of the library, from their docstrings."""

from __future__ import annotations

import inspect
import re

from docs.generate.marks import placed
from thoth_core import Thoth
from thoth_core.errors import BY_CODE

_ROLE = re.compile(r":(?:class|meth|func|attr|exc):`([^`]+)`")


def library_page(page: str) -> str:
    """``page`` with the calls and the errors between its marks."""
    return placed(page, f"## The calls\n\n{_calls()}\n\n## All errors\n\n{_errors()}")


def _calls() -> str:
    parts = [_text(inspect.getdoc(Thoth) or "")]
    for name, call in inspect.getmembers(Thoth):
        if name.startswith("_"):
            continue
        shown = f"`{name}`"
        if callable(call):
            shown = f"`{name}{_signature(call)}`"
        parts.append(f"### {name}\n\n{shown}\n\n{_text(inspect.getdoc(call) or '')}")
    return "\n\n".join(parts)


def _signature(call: object) -> str:
    assert callable(call)
    signature = inspect.signature(call)
    parameters = [each for name, each in signature.parameters.items() if name != "self"]
    text = str(signature.replace(parameters=parameters))
    # Annotations are strings, because they are not evaluated.
    return text.replace("'", "").replace("str | PathLike[str]", "path")


def _errors() -> str:
    rows = [
        f"| `{cls.__name__}` | `{code}` | {cls.exit_code} | {_text(inspect.getdoc(cls) or '')} |"
        for code, cls in sorted(BY_CODE.items(), key=lambda each: each[1].__name__)
    ]
    return "| class | code | exit code | when |\n|---|---|---|---|\n" + "\n".join(rows)


def _text(doc: str) -> str:
    """A docstring as Markdown."""
    doc = _ROLE.sub(lambda match: f"`{match[1].lstrip('~')}`", doc).replace("``", "`")
    return "\n\n".join(" ".join(part.split()) for part in doc.split("\n\n"))
