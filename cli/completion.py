"""What a shell completes: collections, sources and settings. The ledger is read for it, so that no
service is started or asked; what goes wrong is no concern of somebody who pressed Tab."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from thoth_core import Settings

_MOST = 200
_PLAIN = re.compile(r"[^\x00-\x1f\x7f]+")
_FOR_BASH = re.compile(r"""([\s'"\\$`&|;<>()*?\[\]{}!#~])""")


def complete_collections(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of collections."""
    settings = _settings()
    if settings is None:
        return []
    from thoth_core.ledger_glance import collections_in

    return _items(collections_in(_ledger(settings), incomplete, _MOST))


def complete_sources(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Sources and their folders: those below the current folder, else by their whole names."""
    settings = _settings()
    if settings is None:
        return []
    from cli.options import Options
    from thoth_core.ledger_glance import sources_in

    options = ctx.find_object(Options)
    name = (options and options.collection) or settings.collection_name
    ledger, folder = _ledger(settings), ""
    if not incomplete.startswith("/"):
        folder = f"{os.getcwd().rstrip('/')}/"  # noqa: PTH109
    found = sources_in(ledger, name, folder + incomplete, _MOST)
    if not found and folder:
        found, folder = sources_in(ledger, name, incomplete, _MOST), ""
    return _items([each.removeprefix(folder) for each in found])


def complete_settings(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of settings that are no keys."""
    from thoth_core.setting_specs import SPECS

    names = sorted(spec.name for spec in SPECS if not spec.secret)
    return _items([name for name in names if name.startswith(incomplete.upper())])


def _settings() -> Settings | None:
    try:
        from thoth_core.settings import Settings

        return Settings.load()
    except Exception:
        return None


def _ledger(settings: Settings) -> Path:
    return settings.data_dir / "ledger.sqlite3"


def _items(found: list[str]) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    # The other shells quote by themselves. What has a line end in it no shell could be told.
    bash = os.environ.get("_THOTH_COMPLETE", "").startswith("bash")
    return [
        CompletionItem(_FOR_BASH.sub(r"\\\1", each) if bash else each)
        for each in found
        if _PLAIN.fullmatch(each)
    ]
