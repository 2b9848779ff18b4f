"""Converted models on the disk: made once for all services of this user, by one process.

A folder comes into its place whole, and leaves it whole: it is renamed to the draft of its name,
which nobody reads and the next that has its lock removes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from embed_worker.cache_places import cache_root as cache_root
from embed_worker.cache_places import hashes_beside, remove_folder
from embed_worker.conversion import EXIT_REFUSED, conversion_versions
from embed_worker.engines.converted_model import (
    DESCRIPTION,
    Description,
    describing_hash,
    key_of,
    read_description,
)
from embed_worker.models import FoundModel, hash_weights
from thoth_core.errors import ModelNotFound
from thoth_core.locks import FileLock

#: Seconds between looks at a model that another process converts.
LOOK_AGAIN = 0.1
REFUSED = "refused.txt"
MB = 1024 * 1024
#: Bytes that a converted model may take besides those of its files.
ROOM = 16 * MB
#: Seconds without a load after which another conversion of the same weights, by other versions of
#: the libraries, is removed.
UNUSED = 30 * 24 * 3600.0
#: What says that there is no memory, in the words of whoever noticed.
_NO_MEMORY = re.compile(r"bad_alloc|can ?not allocate|out of memory", re.IGNORECASE)
#: The description of each model that this process has, held open and locked against removal until
#: it ends, however it ends.
_held: dict[Path, int] = {}


class NotConverted(Exception):
    """Why there is no converted model; it is computed by torch."""


@dataclass(frozen=True, slots=True)
class ModelCache:
    """``root`` is made when it is needed. ``doing`` is told what takes long, and nothing ("") when
    that is over."""

    root: Path
    log: logging.Logger
    doing: Callable[[str], None] = lambda what: None

    def get(self, found: FoundModel) -> tuple[Path, Description]:
        """The folder of the converted model and what it says of itself, converted now if it must
        be. It is not removed as unused while this process lives. Raises :class:`NotConverted`."""
        folder = self._folder(found)
        self._remove_unused(folder)
        return self._there(folder) or self._made(folder, found)

    def drop(self, folder: Path) -> None:
        """The files that :meth:`get` gave cannot be used: the next one makes new ones. Those that
        another process has put there meanwhile are left alone."""
        with contextlib.suppress(OSError), self._locked(folder):
            if _same(folder):
                self._remove(folder)

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
                with contextlib.suppress(OSError):
                    os.utime(refused)
                raise NotConverted(f"{refused.read_text('utf-8').strip()} ({refused})")
            _hold(folder)
            return folder, read_description(folder)
        except (OSError, ValueError):
            return None

    @contextlib.contextmanager
    def _locked(self, folder: Path) -> Iterator[None]:
        """Alone with what is at ``folder`` and its draft; :class:`OSError` if that cannot be."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(folder.with_suffix(".lock"))
        said = False
        while not lock.acquire():
            # Whoever has it is a worker like this one, and has the same limit for its load.
            if not said:
                self.log.info("another process converts the model; waiting for it")
                said = True
            time.sleep(LOOK_AGAIN)
        try:
            yield
        finally:
            lock.release()

    def _made(self, folder: Path, found: FoundModel) -> tuple[Path, Description]:
        try:
            with self._locked(folder):
                return self._there(folder) or self._convert(folder, found)
        except OSError as problem:
            raise NotConverted(f"it cannot be written to {self.root}: {problem}") from problem

    def _remove_unused(self, mine: Path) -> None:
        """Conversions of the weights of ``mine`` that nobody has loaded for long, and what a killed
        process left of one. Waits for nobody, and is no reason not to work."""
        weights = mine.name.partition("-")[0]
        for entry in sorted(self.root.glob(f"{weights}-*")):
            if entry == mine or entry.suffix == ".lock":
                continue
            lock = FileLock(entry.with_suffix(".lock"))
            with contextlib.suppress(OSError):
                if not lock.acquire():
                    continue
                try:
                    if entry.suffix:
                        remove_folder(entry)
                        continue
                    with _unused(entry, time.time()) as unused:
                        if unused:
                            self._remove(entry)
                            self.log.info("removed %s, which nobody used for 30 days", entry)
                finally:
                    lock.release()

    def _remove(self, folder: Path) -> None:
        """At once for whoever looks for it. Needs its lock."""
        draft = folder.with_suffix(".draft")
        remove_folder(draft)
        folder.rename(draft)
        remove_folder(draft)

    def _convert(self, folder: Path, found: FoundModel) -> tuple[Path, Description]:
        if hash_weights(found.folder) != found.weights:
            raise ModelNotFound(
                f"the weights of {found.name} are not those that they were",
                cause=f"files in {found.folder} have changed, and their times have not",
                fix=f"rm {hashes_beside(self.root)}",
            )
        # Else each worker would try in turn, at each start, for as long as a conversion takes.
        needed = ROOM + sum(p.stat().st_size for p in found.folder.rglob("*") if p.is_file())
        free = shutil.disk_usage(self.root).free
        if free < needed:
            raise NotConverted(
                f"{self.root} has {free // MB} MB free, and it may take {needed // MB} MB there"
            )
        # Of a process that was killed: nobody writes to it, because that needs the lock.
        draft = folder.with_suffix(".draft")
        remove_folder(draft)
        if folder.exists():
            self._remove(folder)
        draft.mkdir(mode=0o700)
        began = time.monotonic()
        self.log.info("converting %s for OpenVINO, once", found.name)
        self.doing(f"converting {found.name} for this machine, once; this takes some seconds")
        command = [sys.executable, "-P", "-m", "embed_worker.conversion"]
        done = subprocess.run(
            [*command, str(found.folder), str(draft), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        self.doing("")
        if done.returncode == EXIT_REFUSED:
            remove_folder(draft)
            draft.mkdir(mode=0o700)
            (draft / REFUSED).write_text(done.stdout, "utf-8")
        elif done.returncode:
            remove_folder(draft)
            raise NotConverted(f"the conversion ended with {done.returncode}")
        draft.rename(folder)
        self.log.info("converted after %.1f s: %s", time.monotonic() - began, folder)
        made = self._there(folder)
        if made is None:
            raise NotConverted(f"what was written to {folder} cannot be read")
        return made


def for_want_of_memory(problem: BaseException) -> bool:
    """Whether it says nothing of the files, which would do where there is more memory."""
    if isinstance(problem, MemoryError):
        return True
    if isinstance(problem, OSError) and problem.errno == errno.ENOMEM:
        return True
    return _NO_MEMORY.search(str(problem)) is not None


def _hold(folder: Path) -> None:
    """Note that the model is used, now and until this process ends. :class:`OSError` if it is being
    removed."""
    if _same(folder):
        fd = _held[folder]
    else:
        fd = os.open(folder / DESCRIPTION, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise
        except OSError:
            # A file system without locks, where nothing is removed either.
            pass
        before, _held[folder] = _held.get(folder), fd
        if before is not None:
            os.close(before)
        if not _same(folder):
            raise FileNotFoundError(f"{folder} was removed")
    # In a cache that cannot be written to nothing is removed either.
    with contextlib.suppress(OSError):
        os.utime(fd)


def _same(folder: Path) -> bool:
    """Whether what is at ``folder`` is what this process holds."""
    try:
        here = (folder / DESCRIPTION).stat()
    except OSError:
        return False
    mine = os.fstat(_held[folder]) if folder in _held else None
    return mine is not None and (mine.st_dev, mine.st_ino) == (here.st_dev, here.st_ino)


@contextlib.contextmanager
def _unused(folder: Path, now: float) -> Iterator[bool]:
    """Whether nobody has it and nobody has loaded it for long; nobody takes it meanwhile.
    :class:`OSError` if somebody has it."""
    note = folder / (DESCRIPTION if (folder / DESCRIPTION).exists() else REFUSED)
    with note.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield now - os.fstat(file.fileno()).st_mtime > UNUSED
