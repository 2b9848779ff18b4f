"""The table of settings, from the specifications and the words that go with them."""

from __future__ import annotations

import re

from docs.generate.marks import placed
from thoth_core.setting_specs import BY_NAME, Spec
from thoth_core.setting_texts import TEXTS

_CODE = re.compile(r"\$[^\s,]+|/[^\s,]+|[A-Z]+_[A-Z_]+|\d[\d,]*\d|\d")


def settings_page(page: str) -> str:
    """``page`` with the table between its marks."""
    rows = [
        f"| `{name}` | {_default(BY_NAME[name])} | {text.values} | {text.of} | {text.what} |"
        for name, text in TEXTS.items()
    ]
    head = "| name | default | values | of | what it does |\n|---|---|---|---|---|\n"
    return placed(page, head + "\n".join(rows))


def _default(spec: Spec) -> str:
    """As code, where it is not in words: then what is no word in them."""
    if not spec.default_text:
        return f"`{spec.default}`"
    return _CODE.sub(r"`\g<0>`", spec.default_text)
