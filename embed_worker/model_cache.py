"""Converted models on the disk: made once for all services of this user, by one process."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from embed_worker.conversion import EXIT_REFUSED, conversion_versions
from embed_worker.engines.converted_model import (
    Description,
    describing_hash,
    key_of,
    read_description,
)
from embed_worker.models import FoundModel
from thoth_core.locks import FileLock

#: Seconds between looks at a model that another process converts.
LOOK_AGAIN = 0.1
REFUSED = "refused.txt"


class NotConverted(Exception):
    """Why there is no converted model; it is computed by torch."""


@dataclass(frozen=True, slots=True)
class ModelCache:
    """``root`` is made when it is needed."""

    root: Path
    log: logging.Logger

    def get(self, found: FoundModel) -> tuple[Path, Description]:
        """The folder of the converted model and what it says of itself, converted now if it must
        be. Raises :class:`NotConverted`."""
        folder = self._folder(found)
        return self._there(folder) or self._under_lock(folder, found)

    def drop(self, found: FoundModel) -> None:
        """Its files cannot be used: the next :meth:`get` makes new ones."""
        folder = self._folder(found)
        with contextlib.suppress(OSError):
            _remove(folder)

    # -- within -------------------------------------------------------------------------------

    def _folder(self, found: FoundModel) -> Path:
        try:
            key = key_of(found.weights, describing_hash(found.folder), conversion_versions())
        except OSError as problem:
            raise NotConverted(f"the files of the model cannot be read: {problem}") from problem
        return self.root / key

    def _there(self, folder: Path) -> tuple[Path, Description] | None:
        refused = folder / REFUSED
        try:
            if refused.is_file():
                raise NotConverted(f"{refused.read_text('utf-8').strip()} ({refused})")
            return folder, read_description(folder)
        except (OSError, ValueError):
            return None

    def _under_lock(self, folder: Path, found: FoundModel) -> tuple[Path, Description]:
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = FileLock(folder.with_suffix(".lock"))
            said = False
            while not lock.acquire():
                # Whoever has it is a worker like this one, and has the same limit for its load.
                if not said:
                    self.log.info("another process converts the model; waiting for it")
                    said = True
                time.sleep(LOOK_AGAIN)
        except OSError as problem:
            raise NotConverted(f"there is no room for it in {self.root}: {problem}") from problem
        try:
            return self._there(folder) or self._convert(folder, found)
        except OSError as problem:
            raise NotConverted(f"it cannot be written to {self.root}: {problem}") from problem
        finally:
            lock.release()

    def _convert(self, folder: Path, found: FoundModel) -> tuple[Path, Description]:
        # Of a process that was killed: nobody writes to it, because that needs the lock.
        draft = folder.with_suffix(".draft")
        for left in (draft, folder):
            _remove(left)
        draft.mkdir(mode=0o700)
        began = time.monotonic()
        self.log.info("converting %s for OpenVINO, once", found.name)
        command = [sys.executable, "-P", "-m", "embed_worker.conversion"]
        done = subprocess.run(
            [*command, str(found.folder), str(draft), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode == EXIT_REFUSED:
            _remove(draft)
            draft.mkdir(mode=0o700)
            (draft / REFUSED).write_text(done.stdout, "utf-8")
        elif done.returncode:
            _remove(draft)
            raise NotConverted(f"the conversion ended with {done.returncode}")
        draft.rename(folder)
        self.log.info("converted after %.1f s: %s", time.monotonic() - began, folder)
        made = self._there(folder)
        if made is None:
            raise NotConverted(f"what was written to {folder} cannot be read")
        return made


def cache_root(environ: Mapping[str, str]) -> Path:
    """Where converted models are kept: below the user's cache folder."""
    base = environ.get("XDG_CACHE_HOME", "")
    if base.startswith("/"):
        return Path(base) / "thoth" / "models"
    import platformdirs

    return platformdirs.user_cache_path("thoth", appauthor=False) / "models"


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
