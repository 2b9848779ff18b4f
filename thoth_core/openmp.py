"""OpenMP runtimes among the files that a process has mapped. Pure.

Each keeps threads and locks of its own. Two of them in a process are what many segmentation faults
in torch, scikit-learn and faiss come from, above all two of different makes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

#: GNU's, Intel's and LLVM's: by the name of the file, also where a package brings its own copy.
_NAME = re.compile(r"lib(gomp|iomp5|omp)\b[^/]*\.(so|dylib)")

Copies = dict[str, list[str]]


def copies_in(maps: str) -> Copies:
    """The paths by make, "gomp", "iomp5" or "omp", in a text as ``/proc/PID/maps`` has it."""
    found: dict[str, set[str]] = {}
    for line in maps.splitlines():
        _, slash, rest = line.partition("/")
        path = slash + rest.removesuffix(" (deleted)")
        name = _NAME.match(path.rpartition("/")[2])
        if slash and name is not None:
            found.setdefault(name[1], set()).add(path)
    return {make: sorted(paths) for make, paths in sorted(found.items())}


def several(copies: Mapping[str, Sequence[str]]) -> bool:
    """Whether there is more than one."""
    return sum(map(len, copies.values())) > 1


def severe(copies: Mapping[str, Sequence[str]]) -> bool:
    """Whether they are of different makes. Two copies of one make, each with one thread, is how
    torch and scikit-learn are together in most installations, and mostly works."""
    return len(copies) > 1


def named(copies: Mapping[str, Sequence[str]]) -> str:
    """``libgomp (/a/libgomp.so.1)``, or "no OpenMP runtime"."""
    parts = [f"lib{make} ({path})" for make, paths in copies.items() for path in paths]
    return " and ".join(parts) if parts else "no OpenMP runtime"
