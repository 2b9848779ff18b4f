"""Write the generated pages, or say which are stale."""

from __future__ import annotations

import sys
from pathlib import Path

from docs.generate.commands import command_pages
from docs.generate.library import library_page
from docs.generate.settings import settings_page

FOLDER = Path(__file__).resolve().parents[1]


def pages() -> dict[Path, str]:
    """Every page with a generated part, as it is to be."""
    made = {FOLDER / "commands" / name: text for name, text in command_pages(FOLDER).items()}
    for name, make in (("configuration.md", settings_page), ("library.md", library_page)):
        page = FOLDER / name
        made[page] = make(page.read_text("utf-8"))
    return made


def stale() -> dict[Path, str | None]:
    """Those that are not so, with what they are to be: None for one that is to go."""
    wanted: dict[Path, str | None] = dict(pages())
    for page in (FOLDER / "commands").glob("*.md"):
        wanted.setdefault(page, None)
    return {
        page: text
        for page, text in wanted.items()
        if (page.read_text("utf-8") if page.exists() else None) != text
    }


def main() -> int:
    found = stale()
    for page, text in found.items():
        name = page.relative_to(FOLDER.parent)
        if "--check" in sys.argv:
            print(f"{name} is stale: python -m docs.generate", file=sys.stderr)
        elif text is None:
            page.unlink()
            print(f"{name} is gone")
        else:
            page.write_text(text, "utf-8")
            print(name)
    return 1 if found and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
