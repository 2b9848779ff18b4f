"""Notes what SQLite does to its files, so that a loss of power can be imagined at any moment.

The library that Python's ``sqlite3`` has loaded gets one more VFS: its own default one, with the
few functions replaced through which files are opened, written, cut, synced and deleted. Each of
these notes what is done and then does it. The ledger runs unchanged over it, in the same library.
"""

from __future__ import annotations

import _sqlite3
import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, byref, c_char_p, c_int, c_int64, c_void_p, cast
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.crash_images import Create, Delete, Event, Sync, Truncate, Write

_IOERR = 10
_OPEN_CREATE = 0x00000004
#: Journals and write-ahead logs: SQLite syncs the folder too when it first syncs a new one.
_WITH_FOLDER = 0x00000800 | 0x00080000
_NAME = b"recording"

_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_DELETE = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_CLOSE = CFUNCTYPE(c_int, c_void_p)
_WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)


class _Vfs(ctypes.Structure):
    """``sqlite3_vfs``."""

    _fields_ = (
        ("iVersion", c_int),
        ("szOsFile", c_int),
        ("mxPathname", c_int),
        ("pNext", c_void_p),
        ("zName", c_char_p),
        ("pAppData", c_void_p),
        ("xOpen", c_void_p),
        ("xDelete", c_void_p),
        # xAccess and what follows it, which stay as they are.
        ("rest", c_void_p * 14),
    )


class _Methods(ctypes.Structure):
    """``sqlite3_io_methods``."""

    _fields_ = (
        ("iVersion", c_int),
        ("xClose", c_void_p),
        ("xRead", c_void_p),
        ("xWrite", c_void_p),
        ("xTruncate", c_void_p),
        ("xSync", c_void_p),
        # xFileSize and what follows it, which stay as they are.
        ("rest", c_void_p * 13),
    )


class _File(ctypes.Structure):
    """What every ``sqlite3_file`` begins with."""

    _fields_ = (("methods", POINTER(_Methods)),)


class _Open(NamedTuple):
    """An open file that is watched."""

    name: str
    with_folder: bool


def reachable() -> bool:
    """Whether ``library`` finds it; where it was built into the interpreter it may be hidden."""
    return hasattr(_sqlite3, "__file__") and hasattr(ctypes.CDLL(_sqlite3.__file__), "sqlite3_step")


def library() -> ctypes.CDLL:
    """The SQLite that ``sqlite3`` uses: looked up through its own extension module."""
    lib = ctypes.CDLL(_sqlite3.__file__)
    lib.sqlite3_vfs_find.restype = POINTER(_Vfs)
    lib.sqlite3_vfs_find.argtypes = [c_char_p]
    lib.sqlite3_vfs_register.argtypes = [POINTER(_Vfs), c_int]
    lib.sqlite3_vfs_unregister.argtypes = [POINTER(_Vfs)]
    return lib


class Recorder:
    """``events`` is what was done to the files below ``folder`` whose names begin with ``prefix``,
    in order. A sync is noted after it has returned, everything else before it is begun, so that at
    no moment more is taken for certain than was."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self.events: list[Event] = []
        self._start = str(folder.resolve() / prefix)
        self._cut = len(str(folder.resolve())) + 1
        self._files: dict[int, _Open] = {}
        self._patched: dict[int, Any] = {}
        self._kept: list[Any] = []
        self._library = library()
        self._real = self._library.sqlite3_vfs_find(None)
        self._vfs = _Vfs.from_buffer_copy(self._real.contents)
        self._vfs.zName = _NAME
        self._vfs.xOpen = self._keep(_OPEN(self._guarded(self._opened)))
        self._vfs.xDelete = self._keep(_DELETE(self._guarded(self._deleted)))
        self._real_open = _OPEN(self._real.contents.xOpen)
        self._real_delete = _DELETE(self._real.contents.xDelete)

    def install(self) -> None:
        """Every file that SQLite opens from now on in this process goes this way."""
        self._library.sqlite3_vfs_register(byref(self._vfs), 1)

    def remove(self) -> None:
        """As before. What is open still goes this way to its end."""
        self._library.sqlite3_vfs_register(self._real, 1)
        self._library.sqlite3_vfs_unregister(byref(self._vfs))

    # -- the functions that SQLite calls ------------------------------------------------------

    def _opened(self, _vfs: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        path = ctypes.string_at(name).decode() if name else ""
        watched = path.startswith(self._start)
        if watched and flags & _OPEN_CREATE and not Path(path).exists():
            self.events.append(Create(path[self._cut :]))
        code = int(self._real_open(cast(self._real, c_void_p).value, name, file, flags, out))
        if watched and code == 0:
            self._files[file] = _Open(path[self._cut :], bool(flags & _WITH_FOLDER))
            opened = _File.from_address(file)
            opened.methods = self._methods(opened.methods)
        return code

    def _deleted(self, _vfs: int, name: bytes, with_folder: int) -> int:
        code = int(self._real_delete(cast(self._real, c_void_p).value, name, with_folder))
        path = name.decode()
        if code == 0 and path.startswith(self._start):
            self.events.append(Delete(path[self._cut :], bool(with_folder)))
        return code

    def _methods(self, real: Any) -> Any:
        """The methods ``real`` of a file, with ours before some of them."""
        address = cast(real, c_void_p).value or 0
        if address not in self._patched:
            methods = _Methods.from_buffer_copy(real.contents)
            close, write = _CLOSE(methods.xClose), _WRITE(methods.xWrite)
            truncate, sync = _TRUNCATE(methods.xTruncate), _SYNC(methods.xSync)

            def closed(file: int) -> int:
                self._files.pop(file, None)
                return int(close(file))

            def written(file: int, data: int, size: int, offset: int) -> int:
                name = self._files[file].name
                self.events.append(Write(name, offset, ctypes.string_at(data, size)))
                return int(write(file, data, size, offset))

            def truncated(file: int, size: int) -> int:
                self.events.append(Truncate(self._files[file].name, size))
                return int(truncate(file, size))

            def synced(file: int, flags: int) -> int:
                code = int(sync(file, flags))
                if code == 0:
                    self.events.append(Sync(*self._files[file]))
                return code

            methods.xClose = self._keep(_CLOSE(self._guarded(closed)))
            methods.xWrite = self._keep(_WRITE(self._guarded(written)))
            methods.xTruncate = self._keep(_TRUNCATE(self._guarded(truncated)))
            methods.xSync = self._keep(_SYNC(self._guarded(synced)))
            self._patched[address] = methods
        return ctypes.pointer(self._patched[address])

    def _keep(self, function: Any) -> int | None:
        # SQLite holds the bare address: the function must not be collected before the file is shut.
        self._kept.append(function)
        return cast(function, c_void_p).value

    @staticmethod
    def _guarded(work: Callable[..., int]) -> Callable[..., int]:
        def guarded(*given: Any) -> int:
            try:
                return work(*given)
            except Exception as problem:
                # Nothing may be raised through C; the caller sees a disk error.
                print(f"recording VFS: {problem!r}")
                return _IOERR

        return guarded


@contextmanager
def recording(folder: Path, prefix: str) -> Iterator[Recorder]:
    """Note everything that happens to ``folder/prefix*`` while the block runs."""
    recorder = Recorder(folder, prefix)
    recorder.install()
    try:
        yield recorder
    finally:
        recorder.remove()
