"""What the pickles of checkpoints may build: tensors, arrays and plain containers, each by code of ours.

The names are those that torch, numpy and the standard library write; NVIDIA's persistent objects are described at
`_persistent_object`. Old torch files (no zip) are read here too, because such pickles hold one for every tensor.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from guidebench.networks.pickles import (
    Builder,
    Machine,
    Meter,
    Name,
    Namespace,
    StandIn,
    checked_keys,
    damaged,
    refused,
    shown,
)

OLD_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_OLD_TORCH_VERSION = 1001
_MOST_DIMENSIONS = 32
_MOST_NUMBERS = 2**40  # in one tensor or array; also with the widest type, the bytes fit a 64-bit integer

_STORED_TYPES = {
    "Bool": torch.bool,
    "Byte": torch.uint8,
    "Char": torch.int8,
    "Short": torch.int16,
    "Int": torch.int32,
    "Long": torch.int64,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Float": torch.float32,
    "Double": torch.float64,
}
_STORAGES = {
    f"{module}.{kind}Storage": dtype for module in ("torch", "torch.cuda") for kind, dtype in _STORED_TYPES.items()
}
_NUMPY_CODE = re.compile(r"([<>=|]?)(b1|[iu][1248]|f[248]|c8|c16|O8?)")


@dataclass(eq=False)
class ArrayType:
    """A numpy type as a pickle builds it: a code such as "f4", then the byte order."""

    code: str
    order: str

    def resolved(self) -> np.dtype[Any]:
        """The type for numpy."""
        return np.dtype(f"{self.order}{self.code}")


def blank_storage(name: Name, count: int, meter: Meter) -> Tensor:
    """(count,) numbers of the type that a storage class names, not yet filled."""
    dtype = _STORAGES.get(name.name)
    if dtype is None:
        raise refused(f"stores numbers as {shown(name.name)}")
    if count < 0:
        raise damaged(f"holds a tensor of {count} numbers")
    size = count * dtype.itemsize
    meter.allocate(size)
    return torch.empty(size, dtype=torch.uint8).view(dtype)


def fill_storage(storage: Tensor, data: memoryview) -> None:
    """Copy little-endian numbers into a storage."""
    if storage.nbytes != len(data):
        raise damaged(f"holds {len(data):,} bytes where a tensor needs {storage.nbytes:,}")
    if storage.dtype == torch.bool and bytes(data).strip(b"\0\1"):
        raise damaged("holds truth values other than 0 and 1")
    if len(data):
        storage.view(torch.uint8).numpy()[:] = np.frombuffer(data, np.uint8)


def old_torch_file(machine: Machine) -> Any:
    """The object of a torch file without zip, from the machine's position to its end.

    Layout: pickles of a magic number, the version 1001, the writer's word sizes, the object with persistent ids
    ("storage", class, key, device, count, view) and the list of keys; then each storage as an eight-byte count and its
    numbers, little-endian.
    """
    for expected in (OLD_TORCH_MAGIC, _OLD_TORCH_VERSION):
        found = machine.load()
        if type(found) is not int or found != expected:
            raise damaged("does not start like a torch file")
    machine.load()  # the writer's word sizes; numbers are stored little-endian whatever these are
    storages: dict[str, Tensor] = {}

    def announced(identity: Any) -> Any:
        match identity:
            case (str("storage"), Name() as kind, str(key), str(), int(count), view):
                if key not in storages:
                    if count > len(machine.data):
                        raise damaged(f"announces a tensor of {count:,} numbers")
                    storages[key] = blank_storage(kind, count, machine.meter)
                elif len(storages[key]) != count or storages[key].dtype != _STORAGES.get(kind.name):
                    raise damaged(f"announces tensor {shown(key)} twice, differently")
                return storages[key] if view is None else _view(storages[key], view)
            case (str("module"), Name() as kind, *_):  # a class with its source text, when a whole module was saved
                return kind
        raise damaged("refers to a tensor in an unknown way")

    machine.persistent = announced
    content = machine.load()
    machine.persistent = None
    keys = machine.load()
    if type(keys) is not list or any(type(key) is not str for key in keys) or sorted(keys) != sorted(storages):
        raise damaged("lists other tensors than it uses")
    for key in keys:
        if machine.number("<q") != len(storages[key]):
            raise damaged(f"stores tensor {shown(key)} at another size than announced")
        fill_storage(storages[key], machine.take(storages[key].nbytes))
    machine.expect_end()
    return content


def _view(storage: Tensor, view: Any) -> Tensor:
    """The part of a storage that files of torch before 0.4 name by (key, offset, count)."""
    match view:
        case (_, int(offset), int(count)) if 0 <= offset and 0 <= count <= len(storage) - offset:
            return storage[offset : offset + count]
    raise damaged("holds a tensor outside its storage")


def _storage(machine: Machine, arguments: tuple[Any, ...]) -> Tensor:
    """A storage of its own: the argument is a whole old torch file."""
    match arguments:
        case (bytes(data),):
            storage = old_torch_file(machine.inside(memoryview(data)))
            if isinstance(storage, Tensor):
                return storage
    raise damaged("holds a tensor without numbers")


def _tensor(machine: Machine, arguments: tuple[Any, ...]) -> Tensor:
    """A view of a storage: (storage, offset, size, stride, …); the rest concerns gradients."""
    match arguments:
        case (Tensor() as storage, int(offset), tuple(size), tuple(stride), *_) if len(size) == len(stride):
            count = checked_count(size)
        case _:
            raise damaged("holds a tensor without size")
    if storage.ndim != 1 or not storage.is_contiguous():
        raise damaged("holds a tensor without storage")
    if any(type(step) is not int or not 0 <= step < _MOST_NUMBERS for step in (offset, *stride)):
        raise damaged("holds a tensor of impossible strides")
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if count > len(storage) or (count and last >= len(storage)):
        raise damaged(f"holds a tensor of {count:,} numbers that reaches outside its storage of {len(storage):,}")
    machine.meter.allocate(count * storage.element_size())  # shares memory now, but a copy needs its own
    return storage.as_strided(size, stride, storage.storage_offset() + offset) if count else storage.new_empty(size)


def checked_count(shape: tuple[Any, ...]) -> int:
    """How many numbers a shape holds. Raises Unreadable for invalid sizes, and for sizes beyond any memory."""
    if len(shape) > _MOST_DIMENSIONS or any(type(length) is not int or length < 0 for length in shape):
        raise damaged("holds numbers in an impossible shape")
    if math.prod(max(length, 1) for length in shape) >= _MOST_NUMBERS:
        raise damaged("holds more numbers than any memory")
    return math.prod(shape)


def _parameter(machine: Machine, arguments: tuple[Any, ...]) -> Tensor:
    match arguments:
        case (Tensor() as data, *_):
            return data
    raise damaged("holds a parameter without numbers")


def _persistent_object(machine: Machine, arguments: tuple[Any, ...]) -> StandIn:
    """An object of NVIDIA's torch_utils.persistence: one dict with type, version, module_src, class_name and state.

    `module_src` is program text that the original loader runs; here it is dropped.
    """
    match arguments:
        case ({"type": str("class"), "class_name": str(name), "state": dict() | None as state},):
            return StandIn(name, state or {}, origin=machine.origin)
    raise damaged("holds a persistent object without class or state")


def _array(machine: Machine, arguments: tuple[Any, ...]) -> np.ndarray:
    """An empty array, which BUILD gives shape, type and numbers."""
    match arguments:
        case (Name("numpy.ndarray"), tuple(), _):
            return np.empty(0, np.uint8)
    raise refused("builds an array of an unknown kind")


def _array_from_buffer(machine: Machine, arguments: tuple[Any, ...]) -> np.ndarray:
    """An array as protocol 5 stores it: (bytes, type, shape, order)."""
    match arguments:
        case (bytes(data), ArrayType() as kind, tuple(shape), str("C" | "F") as order, *_):
            array = np.empty(0, np.uint8)
            _fill_array(machine, array, (1, shape, kind, order == "F", data))
            return array
    raise damaged("holds an array without shape or type")


def _fill_array(machine: Machine, array: np.ndarray, state: Any) -> None:
    """Give an empty array its state (version, shape, type, column-major or not, numbers or list of objects)."""
    match state:
        case (int(), tuple(shape), ArrayType() as kind, bool() | int() as columns, bytes() | str() | list() as data):
            dtype = kind.resolved()
        case _:
            raise damaged("holds an array without shape or type")
    count = checked_count(shape)
    if array.size:
        raise damaged("fills an array twice")
    if dtype.hasobject != isinstance(data, list):
        raise damaged("holds an array whose type and contents disagree")
    numbers = _as_bytes(data) if isinstance(data, str) else data
    if count * (1 if dtype.hasobject else dtype.itemsize) != len(numbers):
        raise damaged(f"holds an array of {count:,} numbers in {len(numbers):,} bytes")
    machine.meter.allocate(count * dtype.itemsize)
    array.__setstate__((1, shape, dtype, bool(columns), numbers))  # type: ignore[arg-type]  # stub: numpy.bool


def array_type(code: Any) -> ArrayType:
    """The type that a code of numpy means. Raises Unreadable for anything but numbers and objects.

    Text is refused with the rest: numpy fails on access, with a SystemError, where its characters are none.
    """
    found = _NUMPY_CODE.fullmatch(code) if isinstance(code, str) else None
    if found is None:
        raise refused("holds an array of an unknown type")
    return ArrayType(found[2], found[1])


def _array_type(machine: Machine, arguments: tuple[Any, ...]) -> ArrayType:
    return array_type(arguments[0] if arguments else None)


def _number(machine: Machine, arguments: tuple[Any, ...]) -> Any:
    """A numpy scalar, as a plain number."""
    match arguments:
        case (ArrayType() as kind, bytes() | str() as data):
            dtype, raw = kind.resolved(), _as_bytes(data)
            if not dtype.hasobject and len(raw) == dtype.itemsize > 0:
                return np.frombuffer(raw, dtype)[0].item()
    raise damaged("holds a broken number")


def _as_bytes(data: bytes | str) -> bytes:
    """Bytes, also from a Python 2 string, which the machine takes for text where it is plain."""
    return data.encode("latin-1") if isinstance(data, str) else data


def _encoded(machine: Machine, arguments: tuple[Any, ...]) -> bytes:
    """Bytes as protocol 2 stores them: text, to be encoded as Latin-1."""
    match arguments:
        case (str(text), str("latin1" | "latin-1")):
            machine.meter.allocate(len(text))
            return text.encode("latin-1")
    raise damaged("holds bytes in an unknown encoding")


def _mapping(machine: Machine, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """A mapping, empty or from pairs, as a plain dict."""
    match arguments:
        case ():
            return {}
        case (list(pairs),) if all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
            machine.meter.work(len(pairs))
            keys = checked_keys((key for key, _ in pairs), machine.meter)
            return dict(zip(keys, (value for _, value in pairs), strict=True))
        case (dict(counts),):
            machine.meter.work(len(counts))
            return dict(counts)
    raise damaged("holds a broken mapping")


def _defaults(machine: Machine, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    return {}  # what a collections.defaultdict holds follows as items; its factory is of no use to data


def _set(machine: Machine, arguments: tuple[Any, ...]) -> set[Any]:
    match arguments:
        case () | (list(),):
            members = arguments[0] if arguments else []
            machine.meter.work(len(members))
            return set(checked_keys(members, machine.meter))
    raise damaged("holds a broken set")


def _frozen_set(machine: Machine, arguments: tuple[Any, ...]) -> frozenset[Any]:
    return frozenset(_set(machine, arguments))


def _no_bytes(machine: Machine, arguments: tuple[Any, ...]) -> bytes:
    if arguments:
        raise refused("calls builtins.bytes")  # protocol 2 writes empty bytes as a call without arguments
    return b""


def _namespace(machine: Machine, arguments: tuple[Any, ...]) -> Namespace:
    if arguments:
        raise damaged("holds a broken argparse.Namespace")
    return Namespace()


def _size(machine: Machine, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    match arguments:
        case (tuple(size),):
            return size
    raise damaged("holds a broken size")


def _path(machine: Machine, arguments: tuple[Any, ...]) -> str:
    if any(type(part) is not str for part in arguments):
        raise damaged("holds a broken path")
    machine.meter.allocate(sum(len(part) + 1 for part in arguments))
    return "/".join(arguments).replace("//", "/", 1)


def _device(machine: Machine, arguments: tuple[Any, ...]) -> str:
    match arguments:
        case (str(kind),):
            return kind
        case (str(kind), int(index)):
            machine.meter.allocate(len(kind))
            return f"{kind}:{index}"
    raise damaged("holds a broken device")


def build(machine: Machine, target: Any, state: Any) -> None:
    """Set the state of an object that a builder made. Raises Unreadable where it has none."""
    match target:
        case np.ndarray():
            _fill_array(machine, target, state)
        case ArrayType():
            match state:
                case (int(), str("<" | ">" | "|" | "=") as order, None, None, None, *_):
                    target.order = order
                case _:
                    raise refused("builds an array of an unknown type")
        case dict() if isinstance(state, dict):
            pass  # attributes of an OrderedDict: torch notes module versions there, which no loader of ours asks for
        case _:
            raise refused(f"sets the state of a {type(target).__name__}")


BUILDERS: dict[str, Builder] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.storage._load_from_bytes": _storage,
    "torch.Size": _size,
    "torch.device": _device,
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent_object,
    "dnnlib.EasyDict": _mapping,
    "dnnlib.util.EasyDict": _mapping,
    "numpy.dtype": _array_type,
    "_codecs.encode": _encoded,
    "collections.OrderedDict": _mapping,
    "collections.Counter": _mapping,
    "collections.defaultdict": _defaults,
    "builtins.set": _set,
    "builtins.frozenset": _frozen_set,
    "builtins.bytes": _no_bytes,
    "argparse.Namespace": _namespace,
    "types.SimpleNamespace": _namespace,
    **{
        f"numpy.{core}.multiarray.{name}": builder
        for core in ("core", "_core")
        for name, builder in (("_reconstruct", _array), ("scalar", _number))
    },
    **{f"numpy.{core}.numeric._frombuffer": _array_from_buffer for core in ("core", "_core")},
    **{
        f"{module}.{pure}{system}Path": _path
        for module in ("pathlib", "pathlib._local")
        for pure in ("", "Pure")
        for system in ("Posix", "Windows")
    },
}

# May be mentioned, as a storage's class or a mapping's factory for instance; a call is refused.
MENTIONS = frozenset(
    {
        *_STORAGES,
        *(str(dtype) for dtype in _STORED_TYPES.values()),
        *(f"builtins.{name}" for name in ("bool", "dict", "float", "int", "list", "str")),
        "numpy.ndarray",
    }
)
