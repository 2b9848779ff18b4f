"""The marks between which a generated part of a page stands."""

from __future__ import annotations

BEGIN = "<!-- made by python -m docs.generate -->"
END = "<!-- end of what is made -->"


def placed(page: str, part: str) -> str:
    """``page`` with ``part`` between its marks. Raises ValueError where they are not."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"a page without {BEGIN} and, after it, {END}")
    return f"{before}{BEGIN}\n\n{part.strip()}\n\n{END}{after}"
