"""Options that every command takes, before or after its name, and what they lead to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cli.completion import complete_collections
from cli.output import Output

if TYPE_CHECKING:
    from thoth_core import Settings, Thoth

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Options:
    """What was said on the command line as a whole."""

    json: bool = False
    collection: str | None = None
    autostart: bool = True
    verbose: int = 0
    quiet: bool = False
    output: Output = field(default_factory=Output)

    def merge(
        self,
        json: bool = False,
        collection: str | None = None,
        no_autostart: bool = False,
        verbose: int = 0,
        quiet: bool = False,
    ) -> None:
        self.json = self.json or json
        self.collection = collection if collection is not None else self.collection
        self.autostart = self.autostart and not no_autostart
        self.verbose += verbose
        self.quiet = self.quiet or quiet
        self.output.json = self.json
        self.output.verbosity = -1 if self.quiet else min(self.verbose, 2)

    def settings(self, **more: str) -> Settings:
        """``more`` goes before what files and environment say, by field name."""
        from thoth_core import Settings

        return Settings.load(more)

    def thoth(self, **more: str) -> Thoth:
        """A client that says on standard error when it starts the service. ``more`` as for
        :meth:`settings`."""
        from thoth_core import Thoth

        self._listen_to_warnings()
        return Thoth(self.settings(**more), autostart=self.autostart, on_event=self.output.note)

    def _listen_to_warnings(self) -> None:
        import logging

        class ToNotes(logging.Handler):
            def emit(handler, record: logging.LogRecord) -> None:  # noqa: N805
                self.output.note(f"{record.levelname.lower()}: {record.getMessage()}")

        level = {0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG}
        logger = logging.getLogger("thoth")
        logger.setLevel(level.get(self.output.verbosity, logging.ERROR))
        logger.propagate = False
        logger.handlers = [ToNotes()]


def _merged(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    if param.name is not None and value not in (None, False, 0):
        ctx.ensure_object(Options).merge(**{param.name: value})
    return value


def common(command: F) -> F:
    """Give a command the options that all have. Their values are in the context's object."""
    for decorate in reversed(
        [
            _option("--json", is_flag=True, help="One JSON document on standard output."),
            _option("--no-autostart", is_flag=True, help="Never start the service."),
            _option("-v", "--verbose", count=True, help="Say more; -vv shows tracebacks."),
            _option("-q", "--quiet", is_flag=True, help="Say nothing but results and errors."),
        ]
    ):
        command = decorate(command)
    return command


def collection_option(command: F) -> F:
    """``--collection``; its value is in the context's object."""
    return _option(
        "--collection",
        metavar="NAME",
        help="Instead of RAG_COLLECTION_NAME.",
        shell_complete=complete_collections,
    )(command)


def _option(*names: str, **attributes: Any) -> Callable[[F], F]:
    return click.option(*names, expose_value=False, callback=_merged, **attributes)


def parse_filter(text: str | None, name: str) -> dict[str, Any] | None:
    """The filter in ``--where`` or ``--where-document``; a usage error if it is no JSON object."""
    if text is None:
        return None
    import json

    try:
        value = json.loads(text)
    except ValueError as problem:
        raise click.BadParameter(
            f"{name} is not JSON: {problem}. Example: {name} '{{\"year\": 2026}}'"
        ) from problem
    if not isinstance(value, dict):
        raise click.BadParameter(f"{name} is a JSON object, such as '{{\"year\": 2026}}'")
    return value
