"""An inert pickle machine: it builds plain data from a pickle and never imports or calls what the pickle names.

A pickle is a program. This machine runs the instructions of protocols 2 to 5 on data alone: a global becomes a `Name`,
which is text; calling one runs a builder of ours from an allow-list, or gives a `StandIn` for the framework classes
whose objects checkpoints hold; every other name and instruction is refused and named. Work and memory are metered, so
that a small file cannot grow into a large one.
"""

from __future__ import annotations

import pickle
import pickletools
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_OPERATIONS = 1_000_000  # per file; a snapshot of EG3D takes 40 thousand, an empty set costs 216 bytes
MEMORY_PER_BYTE = 4  # bytes that may be allocated for tensors, arrays and re-encoded text per byte of the file
MEMORY_FLOOR = 2**20  # and this much for any file, however small
_MAX_INTEGER_BYTES = 64  # a generator's state has 16
_MAX_KEY_PARTS = 16  # a tuple is hashed again at each use
_TUPLE_KEY_WORK = 1000  # tuples of equal hash are easily made, and many of them make a dict slow; a thousand do not
_LONGEST_NAME = 256

_STAND_IN = re.compile(r"(training|torch_utils|dnnlib|torch\.nn)(\.[A-Za-z_]\w*)+", re.ASCII)
_PYTHON_2 = {"__builtin__": "builtins"}
_KEY_TYPES = (str, int, bool, float, bytes, type(None))


class Unreadable(Exception):
    """What is wrong with a file, and what to do next; `checkpoints` adds which file it is."""


def damaged(what: str) -> Unreadable:
    """The error for a file that is not what its format demands."""
    return Unreadable(f"{what}; the file is damaged or cut short, fetch it again")


def refused(what: str) -> Unreadable:
    """The error for a file that seems intact and asks for what a checkpoint does not need."""
    return Unreadable(f"{what}; checkpoints are read as data and never run, store the weights as safetensors instead")


def shown(text: str) -> str:
    """Text from a file as part of a one-line message."""
    return text if text.isprintable() and len(text) <= 100 else f"{text[:60]!r}…"


@dataclass(frozen=True)
class Name:
    """A class or function that a file mentions; nothing of it is loaded."""

    name: str


@dataclass(eq=False, slots=True)
class StandIn:
    """An object of a framework class, as inert state."""

    name: str  # module and class ("training.triplane.OSGDecoder"); NVIDIA's persistent objects know their class alone
    state: dict[str, Any] = field(default_factory=dict, repr=False)  # attributes
    items: dict[Any, Any] = field(default_factory=dict, repr=False)  # contents, if the class is a mapping
    origin: str = "checkpoint"  # the file, for messages


class Namespace(dict[str, Any]):
    """The attributes of an argparse.Namespace, as a plain dict; BUILD recognises it by its type."""


class Meter:
    """What reading one file may cost; all pickles inside the file share it."""

    def __init__(self, file_bytes: int) -> None:
        self._operations = MAX_OPERATIONS
        self._bytes = MEMORY_PER_BYTE * file_bytes + MEMORY_FLOOR

    def work(self, count: int = 1) -> None:
        """Count pickle instructions, or entries that are copied. Raises Unreadable when there are too many."""
        self._operations -= count
        if self._operations < 0:
            raise refused(f"takes more than {MAX_OPERATIONS:,} steps to build")

    def allocate(self, count: int) -> None:
        """Count bytes about to be allocated. Raises Unreadable when a file asks for far more than it holds."""
        self._bytes -= count
        if self._bytes < 0:
            raise refused("asks for far more memory than its size explains")


Builder = Callable[["Machine", tuple[Any, ...]], Any]


class Machine:
    """Runs the pickles in `data`, one after the other.

    builders: what may be called, by dotted name. mentions: what may be named and not called. persistent: what a
    persistent id stands for, where the format has such ids. build: sets the state of an object that is not a stand-in.
    """

    def __init__(
        self,
        data: memoryview,
        *,
        builders: Mapping[str, Builder],
        mentions: frozenset[str],
        build: Callable[[Machine, Any, Any], None],
        meter: Meter,
        origin: str,
    ) -> None:
        self.data = data
        self.position = 0
        self.meter = meter
        self.origin = origin
        self.persistent: Callable[[Any], Any] | None = None
        self._builders = builders
        self._mentions = mentions
        self._build = build
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stacks under each open mark
        self._memo: dict[int, Any] = {}

    def inside(self, data: memoryview) -> Machine:
        """A machine for a file within this file: on the same meter, and without builders, as it shall hold numbers."""
        return Machine(
            data, builders={}, mentions=self._mentions, build=self._build, meter=self.meter, origin=self.origin
        )

    def load(self) -> Any:
        """The object of the pickle at `position`, which moves behind it. Raises Unreadable."""
        self._stack, self._below, self._memo = [], [], {}
        try:
            while (code := self.take(1)[0]) != _STOP:
                self.meter.work()
                self._step(code)
            result = self._stack.pop()
        except (IndexError, KeyError, ValueError, struct.error):  # ValueError: text that is not in its encoding
            raise damaged(f"holds a broken pickle at byte {self.position:,}") from None
        if self._stack or self._below:
            raise damaged(f"holds a pickle that stops too early, at byte {self.position:,}")
        return result

    def expect_end(self) -> None:
        """Raise Unreadable unless everything has been read."""
        if self.position != len(self.data):
            raise damaged(f"holds {len(self.data) - self.position:,} unexpected bytes behind its end")

    def take(self, count: int) -> memoryview:
        """The next bytes. Raises Unreadable if there are fewer."""
        if not 0 <= count <= len(self.data) - self.position:
            raise damaged(f"wants {count:,} bytes at byte {self.position:,} of {len(self.data):,}")
        self.position += count
        return self.data[self.position - count : self.position]

    def number(self, layout: str) -> Any:
        """The next number, laid out as the struct module says."""
        (value,) = struct.unpack(layout, self.take(struct.calcsize(layout)))
        return value

    def _step(self, code: int) -> None:
        if code in _FRESH:
            self._stack.append(_FRESH[code]())
        elif code in _FIXED:
            self._stack.append(self.number(_FIXED[code]))
        elif code in _SIZED:
            layout, convert = _SIZED[code]
            self._stack.append(convert(self.take(self.number(layout))))
        elif code in _PUT:
            self._memo[self.number(_PUT[code])] = self._stack[-1]
        elif code in _GET:
            self._stack.append(self._memo[self.number(_GET[code])])
        elif code in _ACTIONS:
            _ACTIONS[code](self)
        else:
            known = pickletools.code2op.get(chr(code))  # type: ignore[attr-defined]
            if known is None:
                raise damaged(f"holds a broken pickle at byte {self.position:,}")
            raise refused(f"uses the pickle instruction {known.name}, which no checkpoint needs")

    def _mark(self) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _since_mark(self) -> list[Any]:
        values = self._stack
        self._stack = self._below.pop()
        return values

    def _tuple_since_mark(self) -> None:
        values = self._since_mark()
        self._stack.append(tuple(values))

    def _frozen_set_since_mark(self) -> None:
        values = self._since_mark()
        self._stack.append(frozenset(checked_keys(values, self.meter)))

    def _tuple(self, count: int) -> None:
        if count > len(self._stack):
            raise IndexError
        self._stack[-count:] = [tuple(self._stack[-count:])]

    def _append(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise refused(f"appends to a {type(target).__name__}")
        target.extend(values)

    def _set_items(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, StandIn):
            target = target.items
        if not isinstance(target, dict) or len(values) % 2:
            raise refused(f"sets items of a {type(target).__name__}")
        target.update(zip(checked_keys(values[::2], self.meter), values[1::2], strict=True))

    def _add_items(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not set:
            raise refused(f"adds items to a {type(target).__name__}")
        target.update(checked_keys(values, self.meter))

    def _global(self) -> None:
        lines = bytes(self.data[self.position : self.position + 2 * _LONGEST_NAME]).split(b"\n", 2)
        if len(lines) < 3:
            raise damaged(f"holds a broken pickle at byte {self.position:,}")
        module, name, _ = lines
        self.position += len(module) + len(name) + 2
        self._push_name(module.decode(), name.decode())

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(module, str) or not isinstance(name, str):
            raise damaged(f"holds a broken pickle at byte {self.position:,}")
        self._push_name(module, name)

    def _push_name(self, module: str, qualified: str) -> None:
        name = f"{_PYTHON_2.get(module, module)}.{qualified}"
        if name not in self._builders and name not in self._mentions and not _is_stand_in(name):
            raise refused(f"names {shown(name)}, which is not part of a checkpoint")
        self._stack.append(Name(name))

    def _call(self) -> None:
        arguments, callee = self._stack.pop(), self._stack.pop()
        if not isinstance(callee, Name) or type(arguments) is not tuple:
            raise refused(f"calls a {type(callee).__name__}")
        if callee.name in self._builders:
            self._stack.append(self._builders[callee.name](self, arguments))
        elif _is_stand_in(callee.name) and not arguments:
            self._stack.append(StandIn(callee.name, origin=self.origin))
        else:
            raise refused(f"calls {shown(callee.name)}")

    def _set_state(self) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if isinstance(target, StandIn | Namespace):
            attributes = target.state if isinstance(target, StandIn) else target
            for part in state if type(state) is tuple and len(state) == 2 else (state,):  # a pair: __dict__, __slots__
                if part is not None and not isinstance(part, dict):
                    raise refused(f"gives a {type(part).__name__} as the attributes of an object")
                self.meter.work(len(part or ()))
                attributes.update(part or ())
        else:
            self._build(self, target, state)

    def _persistent_id(self) -> None:
        if self.persistent is None:
            raise refused("refers to objects outside itself")
        self._stack.append(self.persistent(self._stack.pop()))

    def _memoize(self) -> None:
        self._memo[len(self._memo)] = self._stack[-1]


def checked_keys(keys: Iterable[Any], meter: Meter) -> Iterable[Any]:
    """The keys of a mapping or the members of a set, if hashing each is cheap; raises Unreadable otherwise."""
    for key in keys:
        parts: tuple[Any, ...] = (key,)
        if type(key) is tuple and len(key) <= _MAX_KEY_PARTS:
            meter.work(_TUPLE_KEY_WORK)
            parts = key
        for part in parts:
            if type(part) not in _KEY_TYPES or (type(part) is int and part.bit_length() > 64):
                raise refused(f"uses a {type(part).__name__} as a key")
        yield key


def _is_stand_in(name: str) -> bool:
    return len(name) <= _LONGEST_NAME and _STAND_IN.fullmatch(name) is not None


def _text(data: memoryview) -> str:
    return str(data, "utf-8")


def _python_2_text(data: memoryview) -> str | bytes:
    """Text where it is plain, bytes otherwise: Python 2 wrote both alike."""
    raw = bytes(data)
    return raw.decode() if raw.isascii() else raw


def _integer(data: memoryview) -> int:
    if len(data) > _MAX_INTEGER_BYTES:
        raise refused(f"holds an integer of {len(data):,} bytes")
    return int.from_bytes(data, "little", signed=True)


def _codes(table: dict[bytes, Any]) -> dict[int, Any]:
    return {code[0]: value for code, value in table.items()}


_STOP = pickle.STOP[0]
_FRESH: dict[int, Callable[[], Any]] = _codes(
    {
        pickle.NONE: lambda: None,
        pickle.NEWTRUE: lambda: True,
        pickle.NEWFALSE: lambda: False,
        pickle.EMPTY_TUPLE: tuple,
        pickle.EMPTY_LIST: list,
        pickle.EMPTY_DICT: dict,
        pickle.EMPTY_SET: set,
    }
)
_FIXED: dict[int, str] = _codes(
    {pickle.BININT: "<i", pickle.BININT1: "<B", pickle.BININT2: "<H", pickle.BINFLOAT: ">d"}
)
_SIZED: dict[int, tuple[str, Callable[[memoryview], Any]]] = _codes(
    {
        pickle.SHORT_BINUNICODE: ("<B", _text),
        pickle.BINUNICODE: ("<I", _text),
        pickle.BINUNICODE8: ("<Q", _text),
        pickle.SHORT_BINBYTES: ("<B", bytes),
        pickle.BINBYTES: ("<I", bytes),
        pickle.BINBYTES8: ("<Q", bytes),
        pickle.BYTEARRAY8: ("<Q", bytes),
        pickle.SHORT_BINSTRING: ("<B", _python_2_text),
        pickle.BINSTRING: ("<i", _python_2_text),
        pickle.LONG1: ("<B", _integer),
        pickle.LONG4: ("<i", _integer),
    }
)
_PUT: dict[int, str] = _codes({pickle.BINPUT: "<B", pickle.LONG_BINPUT: "<I"})
_GET: dict[int, str] = _codes({pickle.BINGET: "<B", pickle.LONG_BINGET: "<I"})
_ACTIONS: dict[int, Callable[[Machine], Any]] = _codes(
    {
        pickle.PROTO: lambda machine: machine.take(1),
        pickle.FRAME: lambda machine: machine.take(8),  # a hint for readers of streams
        pickle.MARK: Machine._mark,
        pickle.POP: lambda machine: machine._stack.pop(),
        pickle.POP_MARK: Machine._since_mark,
        pickle.MEMOIZE: Machine._memoize,
        pickle.TUPLE: Machine._tuple_since_mark,
        pickle.TUPLE1: lambda machine: machine._tuple(1),
        pickle.TUPLE2: lambda machine: machine._tuple(2),
        pickle.TUPLE3: lambda machine: machine._tuple(3),
        pickle.APPEND: lambda machine: machine._append([machine._stack.pop()]),
        pickle.APPENDS: lambda machine: machine._append(machine._since_mark()),
        pickle.SETITEM: lambda machine: machine._set_items([machine._stack.pop(-2), machine._stack.pop()]),
        pickle.SETITEMS: lambda machine: machine._set_items(machine._since_mark()),
        pickle.ADDITEMS: lambda machine: machine._add_items(machine._since_mark()),
        pickle.FROZENSET: Machine._frozen_set_since_mark,
        pickle.GLOBAL: Machine._global,
        pickle.STACK_GLOBAL: Machine._stack_global,
        pickle.REDUCE: Machine._call,
        pickle.NEWOBJ: Machine._call,
        pickle.BUILD: Machine._set_state,
        pickle.BINPERSID: Machine._persistent_id,
    }
)
