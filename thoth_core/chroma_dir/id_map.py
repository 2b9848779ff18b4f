"""``index_metadata.pickle``: which id has which label. Read without unpickling.

A pickle is a program. This file runs the few instructions that Chroma's writers use (the Rust one,
and the older Python one with its class ``PersistentData``) on plain values: no name in it is ever
imported or called, and the number of instructions is bounded, so that a hostile one can neither run
anything nor fill the memory.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from thoth_core.chroma_dir.files import Damaged

NAME = "index_metadata.pickle"

#: Bytes that are looked at, at most: about 500 for each of two million ids.
MAX_BYTES = 1 << 30
#: Instructions for each element and besides, at most. Chroma's writers use four to eight.
_STEPS_PER_ELEMENT = 16
_STEPS_BESIDES = 10_000
_MAX_CONTAINERS = 100
_MAX_DEPTH = 20
#: The one class that Chroma ever put in, and what pickles of it call besides.
_CLASSES = {
    ("chromadb.segment.impl.vector.local_persistent_hnsw", "PersistentData"),
    ("copyreg", "_reconstructor"),
    ("copy_reg", "_reconstructor"),
    ("builtins", "object"),
    ("__builtin__", "object"),
}

#: The keys of the two maps.
_MAPS = ("id_to_label", "label_to_id")

_U32 = struct.Struct("<I").unpack_from
_I32 = struct.Struct("<i").unpack_from
_U64 = struct.Struct("<Q").unpack_from
_F64 = struct.Struct(">d").unpack_from


@dataclass(frozen=True, slots=True)
class IdMap:
    """``total`` elements were ever added; ``max_seq_id`` is set by older writers only."""

    dimension: int | None
    total: int
    max_seq_id: int | None
    labels: dict[str, int]
    ids: dict[int, str]


class _Stop(Exception):
    """The end of the program."""


class _Bad(Exception):
    """Not a program that Chroma writes. The argument is a clause."""


class _Mark:
    pass


@dataclass(slots=True)
class _Instance:
    """Of the one class: whatever state was given to it."""

    state: dict[Any, Any]


_MARK = _Mark()
_CLASS = object()


#: What keys of a map may be. Of a tuple in a tuple in a tuple the hash has no end.
_KEYS = {str, int}
_NO_KEY = "has a key in it that Chroma does not write"


class _Machine:
    """Runs the instructions of ``data`` over a stack of plain values."""

    def __init__(self, data: bytes | bytearray, steps: int) -> None:
        self.data = bytes(data)
        self.at = 0
        self.left = steps
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        #: With the string that stood before each: its key in the container around it.
        self.containers: list[tuple[str, Any]] = []

    def run(self) -> Any:
        """The value of the whole program. :class:`_Bad`."""
        data, size = self.data, len(self.data)
        try:
            while self.at < size:
                self.left -= 1
                if self.left < 0:
                    raise _Bad("has more in it than the index has elements")
                code = data[self.at]
                act = _ACTIONS.get(code)
                if act is None:
                    raise _Bad(f"has an instruction that Chroma does not use ({code:#04x})")
                self.at += 1
                act(self)
        except _Stop:
            if len(self.stack) != 1:
                raise _Bad("ends in the middle of a value") from None
            if self.at != size:
                raise _Bad("goes on after its end") from None
            return self.stack[0]
        except (IndexError, KeyError, ValueError, TypeError, struct.error) as problem:
            raise _Bad(f"is garbled at byte {self.at:,}") from problem
        raise _Bad("is cut short")

    # -- reading ------------------------------------------------------------------------------

    def take(self, length: int) -> bytes:
        end = self.at + length
        if end > len(self.data):
            raise _Bad("is cut short")
        part = self.data[self.at : end]
        self.at = end
        return part

    def line(self) -> str:
        end = self.data.index(b"\n", self.at, self.at + 200)
        part = self.data[self.at : end]
        self.at = end + 1
        return part.decode("utf-8")

    # -- values -------------------------------------------------------------------------------

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def contain(self, value: Any) -> None:
        key = self.stack[-1] if self.stack else ""
        self.containers.append((key if type(key) is str else "", value))
        if len(self.containers) > _MAX_CONTAINERS:
            raise _Bad("has more containers in it than Chroma writes")
        self.stack.append(value)

    def since_mark(self) -> list[Any]:
        stack = self.stack
        for place in range(len(stack) - 1, -1, -1):
            if stack[place] is _MARK:
                items = stack[place + 1 :]
                del stack[place:]
                return items
        raise _Bad("is garbled")

    def mark(self) -> None:
        self.stack.append(_MARK)
        if sum(each is _MARK for each in self.stack[-_MAX_DEPTH:]) >= _MAX_DEPTH:
            raise _Bad("is nested deeper than Chroma writes")
        self.pairs()

    def pairs(self) -> None:
        """The quick way through what most of the file is: strings and numbers by turns."""
        data, at, push = self.data, self.at, self.stack.append
        size, start = len(data), len(self.stack)
        try:
            while True:
                code = data[at]
                if code == 0x58:  # a string, and the number after it
                    end = at + 5 + _U32(data, at + 1)[0]
                    if end + 5 > size or data[end] != 0x4A:
                        break
                    push(data[at + 5 : end].decode("utf-8", "surrogatepass"))
                    push(_I32(data, end + 1)[0])
                    at = end + 5
                elif code == 0x4A and data[at + 5] == 0x58:
                    end = at + 10 + _U32(data, at + 6)[0]
                    if end > size:
                        break
                    push(_I32(data, at + 1)[0])
                    push(data[at + 10 : end].decode("utf-8", "surrogatepass"))
                    at = end
                else:
                    break
        except (IndexError, struct.error, UnicodeDecodeError):
            # The slow way meets it again, and says what is wrong.
            pass
        self.at = at
        self.left -= len(self.stack) - start

    def set_items(self) -> None:
        items = self.since_mark()
        target = self.stack[-1]
        if type(target) is not dict or len(items) % 2:
            raise _Bad("is garbled")
        keys = items[::2]
        if not set(map(type, keys)) <= _KEYS:
            raise _Bad(_NO_KEY)
        target.update(zip(keys, items[1::2], strict=True))

    def set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        target = self.stack[-1]
        if type(target) is not dict:
            raise _Bad("is garbled")
        if type(key) not in _KEYS:
            raise _Bad(_NO_KEY)
        target[key] = value

    def find(self, module: str, name: str) -> None:
        if (module, name) not in _CLASSES:
            raise _Bad(f"names {module}.{name}, which does not belong there and was not run")
        self.stack.append(_CLASS)

    def make(self) -> None:
        arguments, made = self.stack.pop(), self.stack.pop()
        if made is not _CLASS or type(arguments) is not tuple:
            raise _Bad("is garbled")
        self.contain(_Instance({}))

    def build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if type(target) is not _Instance or type(state) is not dict:
            raise _Bad("is garbled")
        target.state.update(state)

    def put(self, place: int) -> None:
        self.memo[place] = self.stack[-1]


def _text(length: Callable[[_Machine], int]) -> Callable[[_Machine], None]:
    return lambda m: m.push(m.take(length(m)).decode("utf-8", "surrogatepass"))


def _u8(m: _Machine) -> int:
    return m.take(1)[0]


def _u32(m: _Machine) -> int:
    return int(_U32(m.take(4))[0])


def _u64(m: _Machine) -> int:
    return int(_U64(m.take(8))[0])


def _stop(m: _Machine) -> None:
    raise _Stop


def _long(m: _Machine) -> None:
    length = _u8(m)
    # One more than a number of 64 bits has: there are many larger ones with the same hash.
    if length > 9:
        raise _Bad("has a number in it that Chroma does not write")
    m.push(int.from_bytes(m.take(length), "little", signed=True))


def _stack_global(m: _Machine) -> None:
    name, module = m.stack.pop(), m.stack.pop()
    # Of anything else a string may take for ever to be made.
    if type(name) is not str or type(module) is not str:
        raise _Bad("is garbled")
    m.find(module, name)


def _tuple_of(count: int) -> Callable[[_Machine], None]:
    def act(m: _Machine) -> None:
        items = tuple(m.stack[len(m.stack) - count :])
        if len(items) != count:
            raise _Bad("is garbled")
        del m.stack[len(m.stack) - count :]
        m.push(items)

    return act


_ACTIONS: dict[int, Callable[[_Machine], object]] = {
    0x80: lambda m: m.take(1),  # PROTO
    0x95: lambda m: m.take(8),  # FRAME
    0x2E: _stop,
    0x28: _Machine.mark,
    0x7D: lambda m: m.contain({}),  # EMPTY_DICT
    0x5D: lambda m: m.contain([]),  # EMPTY_LIST
    0x29: lambda m: m.push(()),  # EMPTY_TUPLE
    0x74: lambda m: m.push(tuple(m.since_mark())),  # TUPLE
    0x85: _tuple_of(1),
    0x86: _tuple_of(2),
    0x87: _tuple_of(3),
    0x4E: lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    0x58: _text(_u32),  # BINUNICODE
    0x8C: _text(_u8),  # SHORT_BINUNICODE
    0x8D: _text(_u64),  # BINUNICODE8
    0x4A: lambda m: m.push(_I32(m.take(4))[0]),  # BININT
    0x4B: lambda m: m.push(_u8(m)),  # BININT1
    0x4D: lambda m: m.push(int.from_bytes(m.take(2), "little")),  # BININT2
    0x8A: _long,  # LONG1
    0x47: lambda m: m.push(_F64(m.take(8))[0]),  # BINFLOAT
    0x75: _Machine.set_items,
    0x73: _Machine.set_item,
    0x94: lambda m: m.put(len(m.memo)),  # MEMOIZE
    0x71: lambda m: m.put(_u8(m)),  # BINPUT
    0x72: lambda m: m.put(_u32(m)),  # LONG_BINPUT
    0x68: lambda m: m.push(m.memo[_u8(m)]),  # BINGET
    0x6A: lambda m: m.push(m.memo[_u32(m)]),  # LONG_BINGET
    0x63: lambda m: m.find(m.line(), m.line()),  # GLOBAL
    0x93: _stack_global,
    0x81: _Machine.make,  # NEWOBJ
    0x52: _Machine.make,  # REDUCE, of the same
    0x62: _Machine.build,
}


def load(data: bytes | bytearray, elements: int) -> IdMap:
    """The map in ``data``, of an index with ``elements`` elements. :class:`Damaged`."""
    machine = _Machine(data, _STEPS_BESIDES + _STEPS_PER_ELEMENT * elements)
    try:
        found = machine.run()
    except _Bad as problem:
        raise Damaged(NAME, str(problem)) from problem
    if type(found) is _Instance:
        found = found.state
    if type(found) is not dict:
        raise Damaged(NAME, "is a pickle of something else")
    labels, ids = found.get("id_to_label"), found.get("label_to_id")
    if type(labels) is not dict or type(ids) is not dict:
        raise Damaged(NAME, "has no map of ids")
    if not (_plain(labels, str, int) and _plain(ids, int, str)):
        raise Damaged(NAME, "has something else than ids and labels in its map")
    if len(labels) != len(ids) or any(ids.get(label) != id for id, label in labels.items()):
        raise Damaged(NAME, "maps ids to labels and labels to ids differently")
    return IdMap(
        _number(found.get("dimensionality")),
        _number(found.get("total_elements_added")) or 0,
        _number(found.get("max_seq_id")),
        labels,
        ids,
    )


def salvage(data: bytes | bytearray) -> dict[str, int]:
    """The ids and labels that can be read from a damaged map, each told by one side at least and
    contradicted by none."""
    machine = _Machine(data, _STEPS_BESIDES + len(data))
    # What it had read until it met the damage is in its containers, or still on its stack.
    with contextlib.suppress(_Bad):
        machine.run()
    found: dict[str, int] = {}
    taken: dict[int, str] = {}
    doubtful: set[str] = set()
    maps = [each for key, each in machine.containers if key in _MAPS and type(each) is dict]
    pairs = [pair for each in maps for pair in each.items()]
    if _MARK in machine.stack and maps:
        place = len(machine.stack) - 1 - machine.stack[::-1].index(_MARK)
        if machine.stack[place - 1] is maps[-1]:
            loose = machine.stack[place + 1 :]
            pairs += zip(loose[::2], loose[1::2], strict=False)
    for one, other in pairs:
        if type(one) is int and type(other) is str:
            one, other = other, one
        elif type(one) is not str or type(other) is not int:
            continue
        if found.get(one, other) != other or taken.get(other, one) != one:
            doubtful |= {one, taken.get(other, one)}
        found[one], taken[other] = other, one
    return {id: label for id, label in found.items() if id not in doubtful}


def _plain(each: dict[Any, Any], key: type, value: type) -> bool:
    return set(map(type, each)) <= {key} and set(map(type, each.values())) <= {value}


def _number(value: Any) -> int | None:
    return value if type(value) is int else None
