"""What the command line says and where: results on standard output, all else on standard error.

With ``--json`` standard output holds one JSON document with ``schema_version``, also when the
command failed; the lines on standard error stay for whoever watches.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from cli.harmless import escaped_json, harmless, one_line
from thoth_core.errors import StorageError, ThothError

SCHEMA_VERSION = 1
#: Seconds between two progress lines where there is no terminal, and between two drawings of a bar.
LINE_EVERY, DRAW_EVERY = 5.0, 0.1
_BAR = 30


class ReaderGone(Exception):
    """Nobody reads standard output any more, as in ``thoth … | head``."""


class Output:
    """``verbosity`` is -1 for quiet, 0, 1 (``-v``) or 2 (``-vv``: tracebacks)."""

    def __init__(
        self,
        *,
        json: bool = False,
        verbosity: int = 0,
        out: TextIO | None = None,
        err: TextIO | None = None,
    ) -> None:
        self.json = json
        self.verbosity = verbosity
        self._out = out
        self._err = err

    @property
    def out(self) -> TextIO:
        return self._out or sys.stdout

    @property
    def err(self) -> TextIO:
        return self._err or sys.stderr

    def line(self, text: str = "") -> None:
        """A line of the result; what a terminal would obey is taken out."""
        self._result(harmless(text))

    def styled(self, text: str) -> None:
        """A line that has escape sequences of ours, and in which all else is harmless already."""
        self._result(text)

    def piece(self, text: str) -> None:
        """A part of a line of the result, out at once."""
        try:
            text.encode(self.out.encoding or "utf-8")
        except UnicodeEncodeError:
            encoding = self.out.encoding or "ascii"
            text = text.encode(encoding, "replace").decode(encoding)
        self._guarded(lambda: self.out.write(text))
        self.flush()

    def document(self, content: Mapping[str, Any]) -> None:
        """The result as JSON."""
        whole = {"schema_version": SCHEMA_VERSION} | dict(content)
        text = escaped_json(json.dumps(whole, ensure_ascii=False, allow_nan=False))
        try:
            # Not left to the stream: in the C locale it would write what is no UTF-8.
            text.encode(self.out.encoding or "utf-8")
        except UnicodeEncodeError:
            text = json.dumps(whole, allow_nan=False)
        self._result(text)

    def event(self, content: Mapping[str, Any]) -> None:
        """One JSON event, flushed, for whoever reads along."""
        self.document(content)
        self.flush()

    def note(self, text: str) -> None:
        """A message about what goes on; not with ``-q``."""
        if self.verbosity >= 0:
            self.warn(text)

    def warn(self, text: str) -> None:
        """A message that ``-q`` does not silence."""
        # A message that finds no room must not change how the command ends.
        with contextlib.suppress(OSError):
            _write(self.err, harmless(text))
            self.err.flush()

    def error(self, error: BaseException) -> None:
        """``error:``, ``cause:`` and ``fix:`` lines, and with ``--json`` the document."""
        told = self._told(error)
        self.warn(f"error: {told.message}")
        for name, text in (("cause", told.cause), ("fix", told.fix)):
            if text:
                self.warn(f"{name}: {text}")
        cost = told.details.get("cost")
        if cost is not None and cost["tokens"] and cost["usd"] is not None:
            from thoth_core.prices import Cost

            self.warn(f"used before that: {Cost.from_dict(cost)}")
        if self.verbosity >= 2:
            self.warn("".join(traceback.format_exception(error)))
        if self.json:
            shown = {
                "code": told.code,
                "message": told.message,
                "cause": told.cause,
                "fix": told.fix,
            }
            self.document({"error": shown} | ({} if cost is None else {"cost": cost}))

    def _told(self, error: BaseException) -> ThothError:
        if isinstance(error, ThothError):
            return error
        from thoth_core.errors import InternalError

        return InternalError(
            f"something went wrong that should not: {type(error).__name__}",
            cause=str(error).splitlines()[0] if str(error) else "",
            fix="run it again with -vv for the traceback",
        )

    def flush(self) -> None:
        """Have the result out. :class:`ReaderGone`, or :class:`StorageError` if it cannot be."""
        self._result(None)

    def _result(self, text: str | None) -> None:
        if text is None:
            self._guarded(self.out.flush)
        else:
            self._guarded(lambda: _write(self.out, text))

    def _guarded(self, write: Callable[[], object]) -> None:
        try:
            write()
        except BrokenPipeError as problem:
            raise ReaderGone from problem
        except OSError as problem:
            raise StorageError(
                "the result could not be written", cause=problem.strerror or str(problem)
            ) from problem


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text + "\n")
    except UnicodeEncodeError:
        # A terminal without the character: the rest of the line still counts.
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "replace").decode(encoding) + "\n")


class Progress:
    """A bar on a terminal, a plain line every few seconds elsewhere, nothing when quiet."""

    def __init__(self, output: Output, what: str) -> None:
        self._output = output
        self._what = what
        self._terminal = output.err.isatty()
        self._last = time.monotonic()
        self._drawn = False

    def update(self, done: int, total: int, detail: str = "", share: float | None = None) -> None:
        """``done`` of ``total`` (0: not known yet). ``share`` of all work, if it is known better
        than by these numbers."""
        if self._output.verbosity < 0:
            return
        now = time.monotonic()
        if now - self._last < (DRAW_EVERY if self._terminal else LINE_EVERY):
            return
        self._last = now
        text = progress_text(self._what, done, total, detail, share)
        if self._terminal:
            filled = int(_BAR * _share(done, total, share))
            bar = "#" * filled + "." * (_BAR - filled)
            self._draw(f"\r\x1b[K[{bar}] {one_line(text)}"[:200])
            self._drawn = True
        else:
            self._output.note(text)

    def end(self) -> None:
        """Take the bar away, so that what follows begins on an empty line."""
        if self._drawn:
            self._draw("\r\x1b[K")
            self._drawn = False

    def _draw(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._output.err.write(text)
            self._output.err.flush()


def progress_text(what: str, done: int, total: int, detail: str, share: float | None = None) -> str:
    """``"3 of 10 files (30%), 120 chunks"``."""
    percent = int(100 * _share(done, total, share))
    of = f" of {total} {what} ({percent}%)" if total else f" {what}"
    return f"{done}{of}" + (f", {detail}" if detail else "")


def _share(done: int, total: int, share: float | None) -> float:
    if share is None:
        share = done / total if total else 0.0
    return min(1.0, max(0.0, share))
