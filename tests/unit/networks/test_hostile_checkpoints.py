"""No file, however made, runs anything, and none takes the machine down: one clear error each.

The pickles are assembled by hand, because no pickler writes them.
"""

from __future__ import annotations

import copy
import io
import itertools
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from guidebench.errors import BadInput
from guidebench.networks import checkpoints, eg3d, stylegan2
from guidebench.networks.checkpoints import StandIn
from guidebench.networks.loading import load_strictly
from guidebench.networks.pickles import MAX_OPERATIONS, Name


class Call:
    """Pickles as a call of a function, which is how pickles run programs."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def parse(data: bytes) -> Any:
    return checkpoints.parse(data, source="file.pkl")


def stored_by_numpy(content: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, content, allow_pickle=True)
    return stream.getvalue()


def message_of(data: bytes, path: Path) -> str:
    """The error of reading a file; it is one line and starts with the file."""
    path.write_bytes(data)
    with pytest.raises(BadInput) as caught:
        checkpoints.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path} ") and "\n" not in message and len(message) < len(str(path)) + 300
    return message


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def named(name: str) -> bytes:
    module, _, attribute = name.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def call(name: str, *arguments: bytes) -> bytes:
    return named(name) + b"(" + b"".join(arguments) + b"tR"


def pickled(*parts: bytes) -> bytes:
    return b"\x80\x04" + b"".join(parts) + b"."


def old_torch(main: bytes, storages: list[tuple[str, np.ndarray]]) -> bytes:
    heads = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    keys = pickle.dumps([key for key, _ in storages], 2)
    return b"".join([*heads, main, keys, *(struct.pack("<q", a.size) + a.tobytes() for _, a in storages)])


def tensor_of(storage: bytes, size: bytes, stride: bytes, offset: bytes = b"K\x00") -> bytes:
    return call("torch._utils._rebuild_tensor_v2", storage, offset, size, stride, b"\x89", b"}")


def storage_bytes(data: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(data)) + data


def storage_in(data: bytes) -> bytes:
    return call("torch.storage._load_from_bytes", storage_bytes(data))


def announced_storage(count: int, kind: str = "Float") -> bytes:
    integer = b"\x8a\x08" + struct.pack("<q", count)
    return b"(" + text("storage") + named(f"torch.{kind}Storage") + text("1") + text("cpu") + integer + b"NtQ"


def stored_numbers(count: int = 4) -> bytes:
    return storage_in(old_torch(pickled(announced_storage(count)), [("1", np.zeros(count, "<f4"))]))


def zip_of(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return stream.getvalue()


def zip_identity(key: str, count: bytes) -> bytes:
    return b"(" + text("storage") + named("torch.FloatStorage") + text(key) + text("cpu") + count + b"tQ"


def test_storage_views_of_the_oldest_torch_files_are_read():
    """Before torch 0.4 a storage could be a part of another, named by (key, offset, count)."""
    identity = (
        b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("1") + text("cpu") + b"K\x04" + b"(" + text("2")
    )
    identity += b"K\x01K\x02" + b"t" + b"tQ"
    main = b"\x80\x02ctorch._utils\n_rebuild_tensor\n(" + identity + b"K\x00K\x02\x85K\x01\x85tR."
    data = old_torch(main, [("1", np.arange(4, dtype="<f4"))])
    assert torch.equal(parse(data), torch.tensor([1.0, 2.0]))


STAND_IN = named("training.triplane.OSGDecoder") + b")\x81"
TOUCH = text("touch ran")

# Each names what the error must name.
REFUSED: dict[str, tuple[bytes, str]] = {
    "os.system": (pickled(call("os.system", TOUCH)), "os.system"),
    "posix.system by protocol 4": (pickled(text("posix"), text("system"), b"\x93", b"(", TOUCH, b"tR"), "posix.system"),
    "eval": (pickled(call("builtins.eval", text("open('ran', 'w')"))), "builtins.eval"),
    "eval of Python 2": (pickled(call("__builtin__.eval", text("open('ran', 'w')"))), "builtins.eval"),
    "exec behind a tensor": (pickled(stored_numbers(), b"0", call("builtins.exec", text("1"))), "builtins.exec"),
    "getattr chain": (pickled(call("builtins.getattr", named("builtins.dict"), text("mro"))), "builtins.getattr"),
    "dotted attribute": (pickled(text("torch"), text("serialization.os.system"), b"\x93"), "serialization.os.system"),
    "import": (pickled(call("importlib.import_module", text("os"))), "importlib.import_module"),
    "partial": (pickled(call("functools.partial", named("builtins.dict"))), "functools.partial"),
    "copyreg constructor": (pickled(call("copyreg._reconstructor", named("builtins.dict"))), "copyreg._reconstructor"),
    "copyreg extension": (pickled(b"\x82\x01"), "EXT1"),
    "add_extension": (pickled(call("copyreg.add_extension", text("os"))), "copyreg.add_extension"),
    "pickle in a pickle": (pickled(call("pickle.loads", b"C\x02N.")), "pickle.loads"),
    "torch.load": (pickled(call("torch.load", text("x"))), "torch.load"),
    "torch.hub": (pickled(call("torch.hub.load", text("x"))), "torch.hub.load"),
    "numpy.load": (pickled(call("numpy.load", text("x"))), "numpy.load"),
    "numpy.f2py": (pickled(call("numpy.f2py.crackfortran.myeval", TOUCH)), "numpy.f2py"),
    "framework look-alike": (pickled(call("trainings.triplane.Net")), "trainings.triplane.Net"),
    "call of a stand-in": (pickled(call("training.triplane.run", TOUCH)), "training.triplane.run"),
    "call in torch.nn": (pickled(call("torch.nn.functional.boolean_dispatch", TOUCH)), "torch.nn.functional"),
    "call of a mention": (pickled(call("builtins.list", b"]")), "builtins.list"),
    "call of text": (pickled(TOUCH, b"(tR"), r"calls? .*\bstr\b"),
    "INST": (pickled(b"(", TOUCH, b"ios\nsystem\n"), "INST"),
    "OBJ": (pickled(b"(", named("training.triplane.Net"), TOUCH, b"o"), "OBJ"),
    "NEWOBJ_EX": (pickled(named("training.triplane.Net"), b")}\x92"), "NEWOBJ_EX"),
    "PERSID": (pickled(b"Pos.system\n"), "PERSID"),
    "BINPERSID": (pickled(TOUCH, b"Q"), "outside"),
    "NEXT_BUFFER": (pickled(b"\x97"), "NEXT_BUFFER"),
    "BUILD on text": (pickled(TOUCH, b"}b"), r"state .*\bstr\b"),
    "BUILD on a name": (pickled(named("training.triplane.Net"), b"}b"), r"state .*\bName\b"),
    "BUILD on a list": (pickled(b"]}b"), r"state .*\blist\b"),
    "BUILD of no attributes": (pickled(STAND_IN, b"K\x01b"), r"\bint\b.* attributes"),
    "append to a stand-in": (pickled(STAND_IN, b"K\x01a"), r"append.*\bStandIn\b"),
    "items of a number": (pickled(b"K\x01K\x01K\x01s"), r"items .*\bint\b"),
    "unhashable key": (pickled(b"}]K\x01s"), r"\blist\b.* key"),
    "stand-in as a key": (pickled(b"}", STAND_IN, b"K\x01s"), r"\bStandIn\b.* key"),
    "nested key": (pickled(b"}", b"K\x01\x85\x85", b"K\x01s"), r"\btuple\b.* key"),
    "pickle in a tensor's bytes": (pickled(storage_in(old_torch(pickled(call("os.system", TOUCH)), []))), "os.system"),
    "tensor in a tensor's bytes": (pickled(storage_in(old_torch(pickled(stored_numbers()), []))), "_load_from_bytes"),
    "storage of a strange type": (
        old_torch(pickled(announced_storage(1, "nn.X")), []),
        "torch.nn.XStorage",
    ),
    "archive of something else": (zip_of({"a/readme": b"hello"}), "archive.* torch"),
    "numpy archive": (zip_of({"a.npy": b"hello"}), "archive.* torch"),
    "compiled program": (zip_of({"a/data.pkl": pickled(b"N"), "a/constants.pkl": pickled(b"N")}), "TorchScript"),
    "compressed archive": (zip_of({"a/data.pkl": b"." * 99}, zipfile.ZIP_DEFLATED), "compressed"),
    "pickle in an archive": (zip_of({"a/data.pkl": pickled(call("os.system", TOUCH))}), "os.system"),
    "big-endian archive": (zip_of({"a/data.pkl": pickled(b"N"), "a/byteorder": b"big"}), "big-endian"),
    "records in an array": (pickled(call("numpy.dtype", text("V8"))), "type"),
    "text that numpy crashes on": (pickle.dumps(np.str_("x"), 4).replace(b"x\0\0\0", b"\xff" * 4), "type"),
    "pickle in an array": (stored_by_numpy(np.array(Call(os.system, "touch ran"), dtype=object)), "posix.system"),
    "web page": (b"<!DOCTYPE html><html>", "web page"),
    "git-lfs pointer": (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs"),
    "tar archive": (b"storages" + bytes(249) + b"ustar" + bytes(250), "tar archive"),
    "text": (b"cos\nsystem\n(S'touch ran'\ntR.", "safetensors"),
    "nothing": (b"", "empty"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_or_foreign_files_are_refused_and_nothing_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, culprit = REFUSED[name]
    assert re.search(culprit, message_of(data, tmp_path / "weights.pkl"))
    assert [item.name for item in tmp_path.iterdir()] == ["weights.pkl"]  # no "ran"


def test_real_exploit_runs_under_pickle_and_not_here(tmp_path, monkeypatch):
    """The same bytes, so that the corpus above is known to bite."""
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps({"G_ema": Call(os.system, "touch ran")}, 4)
    assert "posix.system" in message_of(data, tmp_path / "weights.pkl") and not (tmp_path / "ran").exists()
    pickle.loads(data)
    assert (tmp_path / "ran").exists()


def test_framework_names_are_not_imported(tmp_path, monkeypatch):
    """A module of such a name within reach of import stays untouched, and attributes with special names stay data."""
    (tmp_path / "training.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    state = b"}(" + text("__class__") + named("builtins.dict") + text("__setstate__") + text("x") + text("name") + b"Nu"
    found = parse(pickled(STAND_IN, state, b"b", b"N}" + text("slot") + b"K\x01s\x86b", text("k") + b"K\x02s"))
    assert type(found) is StandIn and found.name == "training.triplane.OSGDecoder"
    assert found.state == {"__class__": Name("builtins.dict"), "__setstate__": "x", "name": None, "slot": 1}
    assert found.items == {"k": 2} and "training" not in sys.modules


DAMAGED: dict[str, bytes] = {
    "stack underflow": pickled(b"R"),
    "nothing on the stack": pickled(),
    "two objects": pickled(b"NN"),
    "open mark": pickled(b"(N"),
    "unknown instruction": pickled(b"\xff"),
    "unknown memo": pickled(b"h\x05"),
    "name without end": pickled(b"cos"),
    "name of numbers": pickled(b"K\x01K\x01\x93"),
    "no text": pickled(b"X\x01\0\0\0\xff"),
    "bytes behind the end": pickled(b"N") + b"N.",
    "odd items": pickled(b"}(K\x01u"),
    "negative length": pickled(b"T\xff\xff\xff\xff"),
    "tensor outside its storage": pickled(tensor_of(stored_numbers(), b"K\x05\x85", b"K\x01\x85")),
    "tensor with a far stride": pickled(tensor_of(stored_numbers(), b"K\x02\x85", b"K\x09\x85")),
    "tensor with an offset": pickled(tensor_of(stored_numbers(), b"K\x04\x85", b"K\x01\x85", b"K\x01")),
    "tensor of negative size": pickled(tensor_of(stored_numbers(), b"J\xff\xff\xff\xff\x85", b"K\x01\x85")),
    "tensor of negative stride": pickled(tensor_of(stored_numbers(), b"K\x02\x85", b"J\xff\xff\xff\xff\x85")),
    "tensor of texts": pickled(tensor_of(stored_numbers(), text("a") + b"\x85", b"K\x01\x85")),
    "tensor of a matrix": pickled(
        tensor_of(tensor_of(stored_numbers(), b"K\x02K\x02\x86", b"K\x02K\x01\x86"), b"K\x04\x85", b"K\x01\x85")
    ),
    "tensor of an expanded one": pickled(
        tensor_of(tensor_of(stored_numbers(), b"K\x04\x85", b"K\x00\x85", b"K\x03"), b"K\x04\x85", b"K\x01\x85")
    ),
    "tensor in too many dimensions": pickled(
        tensor_of(stored_numbers(), b"(" + b"K\x01" * 99 + b"t", b"(" + b"K\x01" * 99 + b"t")
    ),
    "truth value 2": pickled(
        storage_in(old_torch(pickled(announced_storage(1, "Bool")), [("1", np.full(1, 2, np.uint8))]))
    ),
    "storage without pickle": pickled(call("torch.storage._load_from_bytes", b"C\x01x")),
    "array of the wrong size": pickled(
        call("numpy._core.numeric._frombuffer", b"C\x03abc", call("numpy.dtype", text("<f4")), b"K\x01\x85", text("C"))
    ),
    "array of objects shorter than its list": pickled(
        call("numpy.core.multiarray._reconstruct", named("numpy.ndarray"), b"K\x00\x85", b"C\x01b"),
        b"(K\x01K\x09\x85",
        call("numpy.dtype", text("O8")),
        b"\x89]tb",
    ),
    "objects as bytes": pickled(
        call(
            "numpy._core.numeric._frombuffer", b"C\x08abcdefgh", call("numpy.dtype", text("O")), b"K\x01\x85", text("C")
        )
    ),
    "archive without its tensor": zip_of({"a/data.pkl": pickled(zip_identity("0", b"K\x01"))}),
    "archive with a short tensor": zip_of({"a/data.pkl": pickled(zip_identity("0", b"K\x02")), "a/data/0": b"1234"}),
    "torch file without numbers": old_torch(pickled(b"N"), [])[:-8],
    "torch file with other tensors": old_torch(pickled(b"N"), [("1", np.zeros(1, "<f4"))]),
    "numpy file of the wrong size": stored_by_numpy(np.arange(9.0))[:-1],
    "safetensors header": struct.pack("<Q", 2) + b"{]",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_called_damaged(name, tmp_path):
    assert "damaged" in message_of(DAMAGED[name], tmp_path / "weights.pkl")


def overlapping_archive() -> bytes:
    """A thousand entries that all show the same megabyte."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a/data.pkl", pickled(b"N"))
        archive.writestr("a/data/0", bytes(2**20))
        for index in range(1, 1000):
            twin = copy.copy(archive.getinfo("a/data/0"))
            twin.filename = f"a/data/{index}"
            archive.filelist.append(twin)
    return stream.getvalue()


def numpy_header(shape: str) -> bytes:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x02\0" + struct.pack("<I", len(header)) + header


def bombs() -> dict[str, bytes]:
    """Small files that would grow without bound, in memory or in time."""
    megabyte = storage_bytes(old_torch(pickled(announced_storage(2**18)), [("1", np.zeros(2**18, "<f4"))]))
    pairs = b"](" + b"".join(b"M" + struct.pack("<H", i) + b"N\x86" for i in range(1000)) + b"e"
    attributes = b"}(" + b"".join(b"M" + struct.pack("<H", i) + b"N" for i in range(1000)) + b"u"
    twins = [b"G" + struct.pack(">d", 2.0 ** (61 * power)) for power in range(-8, 9)]  # all hash to 1
    doubled = b"K\x01" + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(60))
    return {
        "bytes of 2^62": pickled(b"\x8e" + struct.pack("<Q", 2**62)),
        "text of 2^63": pickled(b"\x8d" + struct.pack("<Q", 2**63)),
        "integer of 2^31 bytes": pickled(b"\x8b" + struct.pack("<i", 2**31 - 1)),
        "integer of 1 MiB": pickled(b"\x8b" + struct.pack("<i", 2**20) + b"\1" * 2**20),
        "memo index of 2^32": pickled(b"Nr\xff\xff\xff\xff0h\x01"),
        "sets": pickled(b"(" + b"\x8f" * MAX_OPERATIONS + b"t"),
        "key hashed 2^60 times": pickled(b"}", doubled, b"Ns"),
        "keys of equal hash": pickled(
            b"}(", *(b"".join(triple) + b"\x87N" for triple in itertools.product(twins, repeat=3)), b"u"
        ),
        "storage of 2^40": old_torch(pickled(announced_storage(2**40)), []),
        "storage of -1": old_torch(pickled(announced_storage(-1)), []),
        "storage in an archive": zip_of({"a/data.pkl": pickled(zip_identity("0", b"J\0\0\0\x7f")), "a/data/0": b""}),
        "expanded tensor": pickled(tensor_of(stored_numbers(), b"J\xff\xff\xff\x7f\x85", b"K\x00\x85")),
        "empty tensor of 2^93": pickled(
            tensor_of(stored_numbers(), b"(K\x00" + 3 * b"J\0\0\0\x7f" + b"t", b"(" + 4 * b"K\x01" + b"t")
        ),
        "storage read again and again": pickled(
            megabyte, b"q\x010(", (named("torch.storage._load_from_bytes") + b"h\x01\x85R") * 2000, b"t"
        ),
        "tensor claimed again and again": pickled(
            call("torch.storage._load_from_bytes", megabyte),
            b"q\x010(",
            tensor_of(b"h\x01", b"J\0\0\x04\0\x85", b"K\x01\x85") * 2000,
            b"t",
        ),
        "mapping copied": pickled(pairs, b"q\x010(", (named("collections.OrderedDict") + b"h\x01\x85R") * 3000, b"t"),
        "set copied": pickled(
            b"](" + b"K\x01" * 1000 + b"eq\x010(", (named("builtins.set") + b"h\x01\x85R") * 3000, b"t"
        ),
        "state copied": pickled(attributes, b"q\x010(", (STAND_IN + b"h\x01b") * 3000, b"t"),
        "text encoded": pickled(
            text("x" * 2**20),
            b"q\x010",
            text("latin1"),
            b"q\x020(",
            (named("_codecs.encode") + b"h\x01h\x02\x86R") * 2000,
            b"t",
        ),
        "path joined": pickled(
            text("x" * 2**20), b"q\x010(", (named("pathlib.PosixPath") + b"(" + b"h\x01" * 9 + b"tR") * 300, b"t"
        ),
        "path of nothing": pickled(
            b"(" + text("") * 10_000 + b"tq\x010(", (named("pathlib.PosixPath") + b"h\x01R") * 20_000, b"t"
        ),
        "array of 10^12": numpy_header("(1000000000000,)"),
        "empty array of 10^30": numpy_header("(0, 100000000000000, 100000000000000)"),
        "array header of parentheses": numpy_header("(" * 60_000),
        "overlapping archive": overlapping_archive(),
    }


UNDER_A_LIMIT = r"""
import json, pathlib, re, resource, sys, time
from guidebench.errors import BadInput
from guidebench.networks import checkpoints

now = 1024 * int(re.search(r"VmSize:\s+(\d+)", pathlib.Path("/proc/self/status").read_text())[1])
resource.setrlimit(resource.RLIMIT_AS, (now + 400 * 2**20, now + 400 * 2**20))
answers = {}
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    start = time.process_time()
    try:
        checkpoints.read(path)
        answer = "read"
    except BadInput as error:
        answer = "out of memory" if isinstance(error.__context__, MemoryError) else str(error)
    answers[path.name] = (answer, time.process_time() - start)
print(json.dumps(answers))
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs Linux to limit a process's memory")
def test_bombs_are_refused_within_little_memory_and_time(tmp_path):
    """400 MiB beyond the imports: a million sets need 216, everything else a few. Ten seconds of CPU is ten times what
    the slowest takes. A list a hundred thousand deep is data: it may be read, and must not overflow the stack."""
    files = {**bombs(), "deep": pickled(b"]" * 100_000 + b"a" * 99_999)}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    command = [sys.executable, "-c", UNDER_A_LIMIT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert set(answers) == set(files) and answers.pop("deep")[0] == "read"
    for name, (answer, seconds) in answers.items():
        assert answer.startswith(str(tmp_path / name)), (name, answer)
        assert seconds < 10, name


def folded(layers: int = 60) -> list[Any]:
    """A list that holds the one below twice, and so on: a small pickle, and 2 ** layers leaves to whoever prints it."""
    value: list[Any] = [1]
    for _ in range(layers):
        value = [value, value]
    return value


CLEAR = "\x1b[2J\nall is well" + "x" * 100_000
SIZES = {"z_dim": 4, "c_dim": 25, "w_dim": 4, "img_resolution": 512}
RENDERING = {
    "depth_resolution": 2,
    "depth_resolution_importance": 2,
    "ray_start": 1.0,
    "ray_end": 2.0,
    "box_warp": 1.0,
    "superresolution_module": "training.superresolution.SuperresolutionHybrid8XDC",
}


def small_generator(arguments: dict[str, Any], rendering: dict[str, Any], rays: Any = 4) -> eg3d.TriPlaneGenerator:
    sizes = {**SIZES, "channel_base": 1024, "channel_max": 4, **arguments}
    with torch.device("meta"):
        return eg3d.TriPlaneGenerator.from_arguments(sizes, {**RENDERING, **rendering}, rays)


@pytest.mark.parametrize(
    "build",
    [
        *(lambda name=name: stylegan2.synthesis_settings({name: folded()}) for name in ("a", CLEAR, "activation")),
        *(lambda name=name: stylegan2.synthesis_settings({name: CLEAR}) for name in ("a", "architecture")),
        lambda: stylegan2.synthesis_settings({"architecture": folded()}),
        lambda: stylegan2.mapping_settings({"num_layers": folded()}),
        *(lambda name=name: small_generator({}, {name: folded()}) for name in (*RENDERING, "clamp_mode")),
        *(lambda name=name: small_generator({}, {name: CLEAR}) for name in (*RENDERING, "clamp_mode")),
        lambda: small_generator({}, {"density_noise": folded()}),
        lambda: small_generator({}, {"superresolution_noise_mode": folded()}),
        *(lambda name=name: small_generator({name: folded()}, {}) for name in ("c_dim", "img_resolution", "a")),
        lambda: small_generator({}, {}, folded()),
    ],
)
def test_arguments_of_a_file_are_shown_briefly_and_escaped(build):
    with pytest.raises(BadInput) as caught:
        build()
    message = str(caught.value)
    assert message.isprintable() and len(message) < 500


def test_arguments_that_nothing_reads_are_not_saved_with_a_generator(tmp_path):
    """JSON would unfold them."""
    rendering = {"avg_camera_pivot": [0, 0, 0.2], "gpc_reg_prob": 0.5, "unread": folded()}
    arguments = {"sr_kwargs": {"a": folded()}, "mapping_kwargs": {"w_avg_beta": folded(), "num_layers": 2}}
    kept = small_generator({**arguments, "fused_modconv_default": folded()}, rendering).arguments
    assert kept["init_kwargs"]["mapping_kwargs"] == {"num_layers": 2} and kept["init_kwargs"]["sr_kwargs"] == {}
    assert kept["rendering_kwargs"] == {**RENDERING, "avg_camera_pivot": [0, 0, 0.2], "gpc_reg_prob": 0.5}
    assert "fused_modconv_default" not in kept["init_kwargs"]
    json.dumps(kept)


def test_names_in_a_file_are_escaped_and_cut(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({CLEAR: torch.zeros(1)}, path)
    with pytest.raises(BadInput) as wrong_keys:
        load_strictly(torch.nn.Linear(1, 1), checkpoints.state_dict(path), path)
    with pytest.raises(BadInput) as no_snapshot:
        stylegan2.stored_network({CLEAR: 1}, path, entry="G_ema", class_name="Generator")
    with pytest.raises(BadInput) as other_class:
        stylegan2.stored_network({"G_ema": StandIn(CLEAR)}, path, entry="G_ema", class_name="Generator")
    for caught in (wrong_keys, no_snapshot, other_class):
        assert str(caught.value).isprintable() and r"\x1b[2J" in str(caught.value)
        assert len(str(caught.value)) < 500 + len(str(path))


def test_a_file_that_does_not_fit_into_memory_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(1000)}, path)
    monkeypatch.setattr(checkpoints, "memory", lambda: 2.0 * path.stat().st_size)
    assert checkpoints.read(path)["a"].shape == (1000,)
    monkeypatch.setattr(checkpoints, "memory", lambda: 1.9 * path.stat().st_size)
    with pytest.raises(BadInput, match="memory"):
        checkpoints.read(path)


def test_a_file_of_several_parts_is_answered_with_what_to_give(tmp_path):
    """`guidebench evaluate` has no option that would name a part."""
    with pytest.raises(BadInput, match="G_ema is not a tensor; it has G_ema, G; .* the tensors alone"):
        path = tmp_path / "x.pkl"
        path.write_bytes(pickle.dumps({"G_ema": [1], "G": [1]}))
        checkpoints.state_dict(path)
