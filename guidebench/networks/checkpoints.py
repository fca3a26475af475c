"""Safe loading of the field's checkpoints: no file is ever run, whatever it names.

Formats, recognised by content: NVIDIA's snapshots and GUIDE's last.pkl (pickles with embedded source text, which is
dropped), torch files with and without zip, numpy files including pickled ones, and safetensors. Framework objects
become `StandIn`s, dict-like ones (OrderedDict, dnnlib's EasyDict, argparse.Namespace) plain dicts, paths and devices
text, numpy scalars plain numbers; a class that is only mentioned is a `Name`, a numpy type an `ArrayType`. A tensor
shares memory with those that shared it when the file was written.
"""

from __future__ import annotations

import difflib
import io
import itertools
import os
import re
import stat
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from guidebench import archives
from guidebench import digest as digests
from guidebench.errors import BadInput
from guidebench.files import memory, open_regular
from guidebench.networks import builders
from guidebench.networks.pickles import Machine, Meter, Name, StandIn, Unreadable, damaged, refused, shown

__all__ = ["StandIn", "attribute", "init_arguments", "parse", "read", "state_dict", "tensors"]

MAX_FILE_BYTES = 8 * 2**30
COPIES = 2  # of a file that are in memory while it is read: its content, and the tensors
_MAX_ENTRIES = 50_000  # modules, parameters and buffers in a state dict; EG3D's generator has 330
_MAX_MODULE_DEPTH = 32
_LISTED = 6  # names that an error lists; the rest are counted
_MAX_NAME = 100  # characters in the name of a module, parameter or buffer, without those around it
_OLD_TORCH_START = builders.OLD_TORCH_MAGIC.to_bytes(10, "little")
_NUMPY_HEADER = re.compile(
    rb"\{'descr': '([^']{1,16})', 'fortran_order': (True|False), 'shape': \(((?:\d{1,15}, ?)*(?:\d{1,15})?)\), *\} *\n"
)
_ZIP_ERRORS = (zipfile.BadZipFile, RuntimeError, OSError, ValueError, KeyError, EOFError, OverflowError, struct.error)


def read(path: str | Path, *, digest: str | None = None) -> Any:
    """What a checkpoint holds: dicts, lists, tuples, sets, text, numbers, arrays, tensors and `StandIn`s.

    The content decides on the format, not the name. digest: the SHA-256 that the file must have, in hexadecimal;
    it is checked before anything is parsed. Raises BadInput, naming the file, if it is absent, damaged, of another
    format, or asks for anything but data.
    """
    try:
        check_size(path)
        with open_regular(path) as stream:
            data = stream.read()
    except MemoryError:
        raise BadInput(f"{path} does not fit into memory; use a machine with more") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        raise BadInput(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or error}; give the path of a weight file"
        ) from None
    if digest is not None and (found := digests.of_bytes(data)) != digest.lower():
        raise BadInput(
            f"{path} is damaged or not the file that it should be: SHA-256 {found[:12]}… instead of "
            f"{shown(digest[:12].lower())}…; fetch it again"
        )
    return parse(data, source=str(path))


def check_size(path: str | Path) -> None:
    """Raises BadInput if what lies there is larger than what is read, or not a file; OSError if there is nothing."""
    status = Path(path).stat()
    if unfit := _unfit(status):
        raise BadInput(f"{path} is not a checkpoint: {unfit}; give the path of a weight file")
    if status.st_size * COPIES > memory():
        raise BadInput(f"{path} does not fit into memory; use a machine with more")


def parse(data: bytes | memoryview, *, source: str) -> Any:
    """What `read` returns, from a file's content; `source` names it in errors."""
    try:
        return _parse(memoryview(data), source)
    except Unreadable as error:
        raise BadInput(f"{source} {error}") from None
    except MemoryError:
        raise BadInput(f"{source} does not fit into memory; use a machine with more") from None


def tensors(module: StandIn) -> dict[str, Tensor]:
    """The state dict of a stored nn.Module: parameters and persistent buffers by dotted name, in module order.

    Raises BadInput if the object is not a module, or its modules contain each other without end.
    """
    found: dict[str, Tensor] = {}
    waiting, entries = [("", module, 0)], 0
    while waiting:
        prefix, current, depth = waiting.pop()
        parameters, buffers, modules = (_table(current, name) for name in ("_parameters", "_buffers", "_modules"))
        entries += 1 + len(parameters) + len(buffers) + len(modules)
        if entries > _MAX_ENTRIES or depth > _MAX_MODULE_DEPTH:
            raise _broken(module, "has modules that contain each other")
        passing = current.state.get("_non_persistent_buffers_set")  # absent in files of torch before 1.5
        if isinstance(passing, set):
            buffers = {name: buffer for name, buffer in buffers.items() if name not in passing}
        for name, tensor in [*parameters.items(), *buffers.items()]:
            if tensor is not None:
                _check_part(current, name, tensor, Tensor)
                if found.setdefault(prefix + name, tensor) is not tensor:
                    raise _broken(current, f"stores {shown(prefix + name)} twice")
        for name, child in reversed(modules.items()):
            if child is not None:
                _check_part(current, name, child, StandIn)
                waiting.append((f"{prefix}{name}.", child, depth + 1))
    return found


def state_dict(path: str | Path, *, entry: str | None = None, digest: str | None = None) -> dict[str, Tensor]:
    """The flat state dict of a file, or of its entry of that name (such as "state_dict" or "G_ema").

    A stored module gives `tensors`; arrays become tensors. Raises BadInput as `read` does, if there is no such entry,
    or if it holds anything but tensors.
    """
    content = read(path, digest=digest)
    if entry is not None:
        if not isinstance(content, dict) or entry not in content:
            raise BadInput(
                f"{path} has no entry '{entry}'{_choice(entry, content if isinstance(content, dict) else ())}"
            )
        content = content[entry]
    if isinstance(content, StandIn):
        return tensors(content)
    place = f"{path}" if entry is None else f"entry '{entry}' of {path}"
    if not isinstance(content, dict):
        raise BadInput(f"{place} holds a {type(content).__name__} and no tensors by name; use another file")
    found: dict[str, Tensor] = {}
    for key, value in content.items():
        tensor = _as_tensor(value)
        if not isinstance(key, str) or tensor is None:
            raise BadInput(
                f"{place} is not a state dict: {shown(str(key))} is not a tensor; it has {listed(content)}; give a "
                "file that holds the tensors alone"
            )
        found[key] = tensor
    return found


def init_arguments(module: StandIn) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The positional and keyword arguments that a persistent object was constructed with. Raises BadInput without."""
    arguments, keywords = attribute(module, "_init_args"), attribute(module, "_init_kwargs")
    if not isinstance(arguments, tuple) or not isinstance(keywords, dict):
        raise _broken(module, "has broken constructor arguments")
    return arguments, keywords


def attribute(module: StandIn, name: str) -> Any:
    """A plain attribute of a stored object. Raises BadInput, naming it, where there is none."""
    if name not in module.state:
        known = (key for key in module.state if not str(key).startswith("_"))
        raise BadInput(f"{module.origin}: {shown(module.name)} has no attribute '{name}'{_choice(name, known)}")
    return module.state[name]


def listed(names: Iterable[Any]) -> str:
    """The first few names of what a file holds, and how many more there are; "none" if there are none."""
    known = list(names)
    more = f" and {len(known) - _LISTED:,} more" if len(known) > _LISTED else ""
    return ", ".join(shown(str(name)) for name in known[:_LISTED]) + more or "none"


def _unfit(status: os.stat_result) -> str:
    if stat.S_ISDIR(status.st_mode):
        return "it is a folder"
    if not stat.S_ISREG(status.st_mode):
        return "it is not a regular file"
    if status.st_size <= MAX_FILE_BYTES:
        return ""
    return f"it has {status.st_size / 2**30:.1f} GiB, more than the {MAX_FILE_BYTES / 2**30:.0f} that are read"


def _choice(wanted: str, names: Iterable[Any]) -> str:
    """What there is instead: the closest of some names, or the first few."""
    known = [name for name in itertools.islice(names, 1000) if isinstance(name, str)]
    close = difflib.get_close_matches(wanted, map(shown, known), n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; it has {listed(known)}" if known else "; use another file"


def _parse(data: memoryview, source: str) -> Any:
    start = bytes(data[:32])
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 2**32:
        return _safetensors(data)
    machine = Machine(
        data,
        builders=builders.BUILDERS,
        mentions=builders.MENTIONS,
        build=builders.build,
        meter=Meter(len(data)),
        origin=source,
    )
    if start.startswith(b"PK\x03\x04"):
        return _torch_zip(data, machine)
    if start.startswith(b"\x93NUMPY"):
        return _numpy(machine)
    if start.startswith(b"\x80") and _OLD_TORCH_START in start:
        return builders.old_torch_file(machine)
    if start.startswith(b"\x80"):
        return _pickle(machine)
    raise _foreign(_known_other_format(start, data))


def _foreign(what: str) -> Unreadable:
    """The error for a file of a kind that is not read."""
    return Unreadable(f"is not a checkpoint: {what}; give the path of a weight file")


def _known_other_format(start: bytes, data: memoryview) -> str:
    """What else a file may be, judged by its first bytes."""
    if not start:
        return "it is empty"
    if start.startswith(b"version https://git-lfs"):
        return "it is a pointer of git-lfs, whose file was not fetched"
    if start.lstrip()[:5].lower() in (b"<!doc", b"<html"):
        return "it is a web page, such as a download service sends instead of a file"
    if bytes(data[257:262]) == b"ustar":
        return "it is a tar archive, as torch wrote before 0.1.10 and nothing here reads"
    return "it is neither a pickle, nor a torch, numpy or safetensors file"


def _pickle(machine: Machine) -> Any:
    if bytes(machine.data[-1:]) != b".":
        raise damaged("has no end")  # found at once, since every pickle ends with this instruction
    content = machine.load()
    machine.expect_end()
    return content


def _torch_zip(data: memoryview, machine: Machine) -> Any:
    """A torch file: NAME/data.pkl with persistent ids ("storage", class, key, device, count), NAME/data/KEY, stored."""
    try:
        with archives.listed(io.BytesIO(_whole(data))) as archive:
            main = _main_entry(archive, len(data))
            prefix = main.filename.removesuffix("data.pkl")
            if prefix + "byteorder" in archive.namelist() and archive.read(prefix + "byteorder") != b"little":
                raise refused("was written on a big-endian machine")
            machine.data = memoryview(archive.read(main))
            storages: dict[str, Tensor] = {}

            def stored(identity: Any) -> Tensor:
                match identity:
                    case (str("storage"), Name() as kind, str(key), str(), int(count)):
                        if key not in storages:
                            entry = archive.getinfo(f"{prefix}data/{key}")
                            if count > entry.file_size:
                                raise damaged(f"announces a tensor of {count:,} numbers")
                            storages[key] = builders.blank_storage(kind, count, machine.meter)
                            builders.fill_storage(storages[key], memoryview(archive.read(entry)))
                        if len(storages[key]) != count:
                            raise damaged(f"announces tensor {shown(key)} twice, differently")
                        return storages[key]
                raise damaged("refers to a tensor in an unknown way")

            machine.persistent = stored
            return _pickle(machine)
    except _ZIP_ERRORS as error:
        raise damaged(f"is a broken zip archive ({shown(str(error))})") from None


def _main_entry(archive: zipfile.ZipFile, size: int) -> zipfile.ZipInfo:
    """The entry that holds the pickle, once the archive is known to hold no more than it weighs."""
    entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise _foreign("it is a compressed archive, which torch never writes")
    if sum(entry.file_size for entry in entries) > size:
        raise refused("is an archive that claims to hold more than its size")
    mains = [entry for entry in entries if re.fullmatch(r"[^/]+/data\.pkl", entry.filename)]
    if any(entry.filename.endswith("/constants.pkl") for entry in entries):
        raise _foreign("it is a TorchScript program")
    if len(mains) != 1:
        raise _foreign("it is an archive, but not one of torch's")
    return mains[0]


def _numpy(machine: Machine) -> Any:
    """An array, or what was pickled as an array of objects: one object without dimensions, nested lists otherwise."""
    machine.take(6)
    version = bytes(machine.take(2))
    if version not in (b"\1\0", b"\2\0"):
        raise _foreign("it is a numpy file of an unknown version")
    length = machine.number("<H" if version == b"\1\0" else "<I")
    header = _NUMPY_HEADER.fullmatch(machine.take(length))
    if header is None:
        raise _foreign("it is a numpy file of an unknown kind")
    dtype = builders.array_type(header[1].decode("latin-1")).resolved()
    if dtype.hasobject:
        content = _pickle(machine)
        if not isinstance(content, np.ndarray):
            raise damaged("holds no array")
        return content.tolist()
    shape = tuple(int(part) for part in header[3].split(b",") if part.strip())
    numbers = machine.take(len(machine.data) - machine.position)
    if builders.checked_count(shape) * dtype.itemsize != len(numbers):
        raise damaged(f"holds {len(numbers):,} bytes for an array of shape {shape}")
    array = np.frombuffer(bytearray(numbers), dtype)
    return array.reshape(shape, order="F" if header[2] == b"True" else "C")


def _whole(data: memoryview) -> bytes:
    """The bytes under a view, copied only where the view shows a part of them."""
    return data.obj if isinstance(data.obj, bytes) and len(data.obj) == len(data) else bytes(data)


def _safetensors(data: memoryview) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(_whole(data))
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RuntimeError, AssertionError) as error:
        raise damaged(f"is a broken safetensors file ({shown(str(error))})") from None


def _table(module: StandIn, field: str) -> dict[str, Any]:
    """One of a module's own tables, its entries yet unchecked."""
    table = module.state.get(field)
    if not isinstance(table, dict):
        raise _broken(module, f"is not a stored module, it has no {field}")
    return table


def _check_part(module: StandIn, name: Any, part: Any, wanted: type) -> None:
    """Raise BadInput unless a table's entry has a name and the wanted type."""
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME or not isinstance(part, wanted):
        raise _broken(module, f"has a part {shown(str(name))} that is not a {wanted.__name__}")


def _broken(module: StandIn, what: str) -> BadInput:
    return BadInput(f"{module.origin}: {shown(module.name)} {what}; fetch the file again, or use another")


def _as_tensor(value: Any) -> Tensor | None:
    """A tensor as it is, an array of numbers as a tensor, None for anything else."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("="), order="C"))
    return value if isinstance(value, Tensor) else None
