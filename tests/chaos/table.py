"""The lines that a chaos program prints at its end."""

from __future__ import annotations

from tests.chaos.book import Book, Verdict


def line(name: str, value: object) -> str:
    return f"{name:34} {value}"


def verdict_table(book: Book, verdict: Verdict, rows: int, healed: float) -> list[str]:
    """What the check of a store came to. ``healed`` are the seconds until its index was healthy."""
    lines = [
        line("seconds until healthy", f"{healed:.1f}"),
        line("writes acknowledged", f"{book.acknowledgements():,}"),
        line("ids ever written", f"{len(book.ids()):,}"),
        line("of which may be more than one thing", verdict.uncertain),
        line("chunks there", f"{rows:,}"),
        line("found by their own vectors", f"{verdict.found:,} of {verdict.asked:,}"),
        line("  not, but something as near", verdict.explained),
    ]
    for name, ids in vars(verdict).items():
        if isinstance(ids, list):
            lines.append(line(name.replace("_", " "), len(ids)))
    return lines
