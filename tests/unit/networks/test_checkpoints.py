"""Every format yields what was stored; damaged files are refused. Hostile ones: test_hostile_checkpoints.py."""

from __future__ import annotations

import argparse
import collections
import hashlib
import io
import os
import pickle
import random
import sys
import types
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save as save_safetensors
from torch import nn

from guidebench.errors import BadInput
from guidebench.networks import checkpoints
from guidebench.networks.checkpoints import StandIn
from guidebench.networks.pickles import Name

EVERY_TYPE = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64")


def rebuild(meta: dict[str, Any]) -> None:
    """Stands where torch_utils.persistence._reconstruct_persistent_obj stands in the original; never called here."""
    raise AssertionError("a checkpoint was run")


rebuild.__module__, rebuild.__qualname__ = "torch_utils.persistence", "_reconstruct_persistent_obj"
rebuild.__name__ = rebuild.__qualname__


class EasyDict(dict):
    __module__ = "dnnlib.util"


class OSGDecoder(nn.Module):
    """A module of the framework that is not persistent."""

    __module__ = "training.triplane"

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 2), nn.Softplus())


class Persistent(nn.Module):
    """Pickles as NVIDIA's persistent classes do: its state and its source text, in one call."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__()
        self._init_args, self._init_kwargs = arguments, EasyDict(keywords)

    def __reduce__(self) -> tuple[Any, ...]:
        source = "raise RuntimeError('source text was run')"
        meta = {"type": "class", "version": 6, "module_src": source, "class_name": type(self).__name__}
        return rebuild, ({**meta, "state": self.__dict__},)


class Layer(Persistent):
    def __init__(self, width: int, *, gain: float = 1.0) -> None:
        super().__init__(width, gain=gain)
        self.weight = nn.Parameter(torch.linspace(-1, 1, width))
        self.bias = None
        self.weight_gain = np.float64(gain)
        self.register_buffer("kept", torch.tensor(3.0))
        self.register_buffer("grid", torch.ones(2), persistent=False)


class Generator(Persistent):
    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.first, self.second, self.decoder = Layer(4, gain=0.5), Layer(3), OSGDecoder()
        self.register_buffer("average", torch.arange(6.0).reshape(2, 3).T)  # column-major
        self.neural_rendering_resolution = 128


@pytest.fixture
def framework(monkeypatch: pytest.MonkeyPatch) -> Generator:
    """A generator whose pickle names the framework's modules, which exist for pickle's sake alone."""
    for item in (rebuild, EasyDict, OSGDecoder):
        for module in (item.__module__.split(".")[0], item.__module__):
            monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
        setattr(sys.modules[item.__module__], item.__name__, item)
    torch.manual_seed(0)
    return Generator(z_dim=512, rendering_kwargs=EasyDict(box_warp=1, avg_camera_pivot=[0, 0, 0.2]))


def parse(data: bytes) -> Any:
    return checkpoints.parse(data, source="file.pkl")


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return list(left) == list(right) and all(
        left[key].dtype == right[key].dtype and torch.equal(left[key], right[key]) for key in right
    )


def stored_by_torch(content: Any, *, as_zip: bool) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=as_zip)
    return stream.getvalue()


def stored_by_numpy(content: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, content, allow_pickle=True)
    return stream.getvalue()


# What the formats hold


@pytest.mark.parametrize("protocol", (2, 3, 4, 5))
def test_snapshot_yields_the_tensors_in_the_order_of_the_module(framework, protocol):
    """The same names, values and order as torch's own state_dict, without the non-persistent buffers."""
    snapshot = parse(pickle.dumps({"G_ema": framework, "augment_pipe": None}, protocol))
    found = checkpoints.tensors(snapshot["G_ema"])
    assert same(found, framework.state_dict())
    assert "first.kept" in found and "first.grid" not in found and snapshot["augment_pipe"] is None
    assert not any(tensor.requires_grad for tensor in found.values())


def test_snapshot_yields_constructor_arguments_and_attributes(framework):
    stored = parse(pickle.dumps({"G_ema": framework}, 4))["G_ema"]
    assert stored.name == "Generator"
    keywords = {"z_dim": 512, "rendering_kwargs": {"box_warp": 1, "avg_camera_pivot": [0, 0, 0.2]}}
    assert checkpoints.init_arguments(stored) == ((), keywords)
    assert type(checkpoints.init_arguments(stored)[1]) is dict  # an EasyDict is a plain dict here
    assert checkpoints.attribute(stored, "neural_rendering_resolution") == 128
    modules = checkpoints.attribute(stored, "_modules")
    assert checkpoints.init_arguments(modules["first"]) == ((4,), {"gain": 0.5})
    assert checkpoints.attribute(modules["first"], "weight_gain") == 0.5  # a numpy scalar becomes a plain number
    assert type(checkpoints.attribute(modules["first"], "weight_gain")) is float
    assert modules["decoder"].name == "training.triplane.OSGDecoder"
    assert modules["decoder"].state["_modules"]["net"].name == "torch.nn.modules.container.Sequential"


def test_absent_attribute_is_named_with_the_closest_one(framework):
    stored = parse(pickle.dumps(framework, 4))
    with pytest.raises(BadInput, match="attribute 'neural_render_resolution'.*'neural_rendering_resolution'"):
        checkpoints.attribute(stored, "neural_render_resolution")


def test_source_text_in_a_snapshot_is_dropped(framework):
    assert "source text" in str(pickle.dumps(framework, 4))

    def texts(value: Any) -> Iterator[str]:
        if isinstance(value, StandIn):
            value = [value.name, value.state, value.items]
        if isinstance(value, dict):
            value = [*value.keys(), *value.values()]
        if isinstance(value, list | tuple):
            for part in value:
                yield from texts(part)
        yield from [value] if isinstance(value, str) else []

    assert not any("source text" in text for text in texts(parse(pickle.dumps(framework, 4))))


def test_numpy_scalars_are_read_under_the_name_of_numpy_1():
    """Protocol 3 writes names as lines, so that the module can be exchanged."""
    data = pickle.dumps({"gain": np.float64(0.25), "count": np.int32(-3), "on": np.True_}, 3)
    assert b"numpy._core.multiarray" in data
    old = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert parse(old) == parse(data) == {"gain": 0.25, "count": -3, "on": True}


@pytest.mark.parametrize("as_zip", (True, False))
def test_torch_files_hold_tensors_of_every_type_and_layout(as_zip):
    base = torch.arange(24.0).reshape(2, 3, 4)
    content = {name: torch.tensor([0, 1, 1, 0]).to(getattr(torch, name)) for name in EVERY_TYPE}
    content |= {"scalar": torch.tensor(7.0), "empty": torch.empty(0, 5), "turned": base.permute(2, 0, 1)}
    content |= {"base": base, "slice": base[1, 1:, ::2]}
    found = parse(stored_by_torch(content, as_zip=as_zip))
    assert same(found, content)
    found["base"].zero_()
    assert not found["slice"].any()  # it shared memory when it was stored


@pytest.mark.parametrize("as_zip", (True, False))
def test_torch_files_hold_settings_as_plain_data(as_zip):
    """A Namespace beside the weights keeps torch.load(weights_only=True) from reading encoders such as GOAE's."""
    settings = argparse.Namespace(
        lr=1e-4, path=PurePosixPath("/a/b"), device=torch.device("cuda", 1), size=torch.Size([2])
    )
    table = collections.defaultdict(dict, {0: {"step": 2}})
    content = {"opts": settings, "state_dict": nn.Linear(2, 2).state_dict(), "state": table, "kind": torch.float16}
    found = parse(stored_by_torch(content, as_zip=as_zip))
    assert found["opts"] == {"lr": 1e-4, "path": "/a/b", "device": "cuda:1", "size": (2,)}
    assert same(found["state_dict"], content["state_dict"])
    assert found["state"] == {0: {"step": 2}} and found["kind"] == Name("torch.float16")


def test_whole_module_stored_by_old_torch_becomes_a_stand_in():
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    for as_zip in (True, False):
        found = parse(stored_by_torch(module, as_zip=as_zip))
        assert found.name == "torch.nn.modules.container.Sequential"
        assert same(checkpoints.tensors(found), dict(module.state_dict()))


@pytest.mark.parametrize("protocol", (2, 3, 4, 5))
def test_pickled_arrays_come_back_in_every_protocol(protocol):
    arrays = {"a": np.arange(6, dtype=">i2").reshape(2, 3), "b": np.ones((2, 3), order="F")}
    arrays |= {"empty": np.empty((0, 3), np.float32), "large": np.arange(5000.0)}
    found = parse(
        pickle.dumps({"set": {1, "a"}, "frozen": frozenset({2}), "bytes": b"\0", "none": b"", **arrays}, protocol)
    )
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype.newbyteorder("=") and np.array_equal(found[name], array)
    assert (found["set"], found["frozen"], found["bytes"], found["none"]) == ({1, "a"}, {2}, b"\0", b"")


@pytest.mark.parametrize("version", ((1, 0), (2, 0)))
def test_numpy_files_hold_arrays(version):
    for array in (np.arange(6.0).reshape(2, 3), np.ones((2, 3), order="F").cumsum(0), np.array(3), np.empty((0, 2))):
        stream = io.BytesIO()
        np.lib.format.write_array(stream, array, version=version)
        found = parse(stream.getvalue())
        assert found.dtype == array.dtype and found.shape == array.shape and np.array_equal(found, array)
        assert found.flags.writeable


def test_numpy_files_hold_pickled_tables():
    """The detector's weights are in a 0-d object array; arrays of objects with dimensions become lists."""
    table = {"conv.weight": np.ones((2, 3), np.float32)}
    assert np.array_equal(parse(stored_by_numpy(np.array(table)))["conv.weight"], table["conv.weight"])
    assert parse(stored_by_numpy(np.array([[1, "a"], [None, 2.5]], object))) == [[1, "a"], [None, 2.5]]


def test_safetensors_are_distinguished_from_pickles_by_content():
    """A header of 640 bytes starts with the bytes 80 02, as pickles of protocol 2 do."""
    for padding in range(0, 700, 8):
        data = save_safetensors({"a": torch.arange(3.0)}, metadata={"note": "x" * padding})
        if data.startswith(b"\x80\x02"):
            break
    else:
        pytest.fail("no header of 640 bytes was made")
    assert torch.equal(parse(data)["a"], torch.arange(3.0))


def test_state_dict_unwraps_what_is_named(framework, tmp_path):
    path = tmp_path / "weights"
    wanted = nn.Linear(2, 3).state_dict()
    for data in (save_safetensors(wanted), *(stored_by_torch(wanted, as_zip=as_zip) for as_zip in (True, False))):
        path.write_bytes(data)
        assert {k: v.tolist() for k, v in checkpoints.state_dict(path).items()} == {
            k: v.tolist() for k, v in wanted.items()
        }
    path.write_bytes(stored_by_torch({"state_dict": wanted, "epoch": 3}, as_zip=True))
    assert same(checkpoints.state_dict(path, entry="state_dict"), wanted)
    path.write_bytes(pickle.dumps({"G_ema": framework}, 4))
    assert same(checkpoints.state_dict(path, entry="G_ema"), framework.state_dict())
    path.write_bytes(stored_by_numpy(np.array({"a": np.arange(3, dtype=">f4")})))
    assert same(checkpoints.state_dict(path), {"a": torch.arange(3.0)})


def test_state_dict_names_what_a_file_offers_instead(tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(stored_by_torch({"state_dict": {"a": torch.ones(1)}, "epoch": 3}, as_zip=True))
    with pytest.raises(BadInput, match=r"weights\.pt .*entry 'statedict'.*'state_dict'"):
        checkpoints.state_dict(path, entry="statedict")
    with pytest.raises(BadInput, match=r"weights\.pt .*\bstate_dict .*tensor.*state_dict, epoch\b"):
        checkpoints.state_dict(path)


# What is not a checkpoint as it was stored


def stored_module(**modules: Any) -> StandIn:
    return StandIn("Part", {"_parameters": {"w": torch.zeros(1)}, "_buffers": {}, "_modules": modules})


def test_modules_that_contain_each_other_are_refused():
    """2^60 modules by sharing, one that contains itself, and one that does so thirty thousand times."""
    module = stored_module()
    for _ in range(60):
        module = stored_module(x=module, y=module)
    endless = stored_module()
    endless.state["_modules"]["again"] = endless
    wide = stored_module()
    wide.state["_modules"] = dict.fromkeys(map(str, range(30_000)), wide)
    for hostile in (module, endless, wide):
        with pytest.raises(BadInput, match="contain"):
            checkpoints.tensors(hostile)


def test_shared_module_appears_under_both_names():
    shared = stored_module()
    assert list(checkpoints.tensors(stored_module(x=shared, y=shared))) == ["w", "x.w", "y.w"]


@pytest.mark.parametrize(
    ("module", "fault"),
    [
        (StandIn("Other", {}), "Other .*module.*_parameters"),
        (StandIn("Other", {"_parameters": {"w": 3}, "_buffers": {}, "_modules": {}}), r"\bw\b.*Tensor"),
        (stored_module(x=3), r"\bx\b.*StandIn"),
        (
            StandIn("Part", {**stored_module().state, "_buffers": {"w": torch.ones(1)}}),
            "twice",
        ),
    ],
)
def test_objects_that_are_no_modules_have_no_state_dict(module, fault):
    with pytest.raises(BadInput, match=fault):
        checkpoints.tensors(module)


def test_absent_files_and_folders_are_named(tmp_path):
    for path, fault in ((tmp_path / "absent.pkl", "No such file"), (tmp_path, "folder"), (Path("a\0b"), "null byte")):
        with pytest.raises(BadInput, match=fault):
            checkpoints.read(path)


def test_pipes_and_files_beyond_memory_are_not_opened(tmp_path):
    """A pipe would wait for ever; the large file is a hole without content."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", checkpoints.MAX_FILE_BYTES + 1)
    for name, fault in (("pipe", "regular file"), ("large", r"\b8\.0 GiB")):
        with pytest.raises(BadInput, match=fault):
            checkpoints.read(tmp_path / name)


def test_flipped_bit_in_a_zip_is_caught_without_a_digest():
    """Torch's archives carry a checksum for every tensor."""
    data = bytearray(stored_by_torch({"a": torch.arange(100.0)}, as_zip=True))
    data[data.index(np.float32(50).tobytes())] ^= 1
    with pytest.raises(BadInput, match="Bad CRC"):
        parse(bytes(data))


def test_digest_is_checked_before_anything_is_parsed(tmp_path):
    """A flipped bit in a tensor's numbers leaves a valid pickle; only the digest shows it."""
    data = bytearray(pickle.dumps(torch.arange(100.0), 4))
    digest = hashlib.sha256(data).hexdigest()
    path = tmp_path / "weights.pkl"
    path.write_bytes(data)
    assert torch.equal(checkpoints.read(path, digest=digest.upper()), torch.arange(100.0))
    data[data.index(np.float32(50).tobytes())] ^= 1
    path.write_bytes(data)
    assert checkpoints.read(path)[50] != 50
    with pytest.raises(BadInput, match=rf"SHA-256 .*{digest[:12]}"):
        checkpoints.read(path, digest=digest)
    path.write_bytes(b"not even a checkpoint")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(BadInput, match=rf"SHA-256 {found[:12]}.*{digest[:12]}"):
        checkpoints.read(path, digest=digest)


@pytest.fixture
def one_of_each(framework: Generator) -> dict[str, bytes]:
    """A small file of every format, of several pages of 4 KiB."""
    framework.wide = Layer(5000)
    state = {"a": torch.arange(3000.0), "b": {"c": torch.ones(2, 2)}, "opts": argparse.Namespace(n=1)}
    return {
        "snapshot": pickle.dumps({"G_ema": framework}, 4),
        "snapshot of protocol 3": pickle.dumps({"G_ema": framework}, 3),
        "torch": stored_by_torch(state, as_zip=True),
        "old torch": stored_by_torch(state, as_zip=False),
        "numpy": stored_by_numpy(np.arange(2000.0)),
        "pickled numpy": stored_by_numpy(np.array({"a": np.arange(2000.0)})),
        "safetensors": save_safetensors({"a": torch.arange(3000.0)}),
    }


def test_truncated_files_are_refused_wherever_they_end(one_of_each):
    """At every 4 KiB and at every byte of the first and last 300."""
    for name, data in one_of_each.items():
        for length in {*range(0, len(data), 4096), *range(300), *range(len(data) - 300, len(data))}:
            with pytest.raises(BadInput):
                checkpoints.parse(data[:length], source=f"{name}, {length} bytes")


def test_truncated_pickles_are_refused_also_where_the_last_byte_is_an_end(one_of_each):
    """The missing end is seen at once; this makes the machine find out by itself."""
    for name, data in one_of_each.items():
        if "snapshot" in name:
            for length in range(2, len(data) - 1, 97):
                with pytest.raises(BadInput):
                    checkpoints.parse(data[:length] + b".", source=f"{name}, {length} bytes")


def test_flipped_bytes_give_an_object_or_one_clear_error(one_of_each):
    """Seeded, 150 files a format, one to four bytes each, half of them outside the tensors' numbers."""
    chance = random.Random(7)
    outcomes = collections.Counter()
    for name, data in one_of_each.items():
        for _ in range(150):
            mutated = bytearray(data)
            for _ in range(chance.randint(1, 4)):
                where = chance.choice([chance.randrange(len(data)), chance.randrange(min(len(data), 2000))])
                mutated[where] = chance.randrange(256)
            try:
                checkpoints.parse(bytes(mutated), source=name)
                outcomes["read"] += 1
            except BadInput as error:
                assert "\n" not in str(error)
                outcomes["refused"] += 1
    assert min(outcomes["read"], outcomes["refused"]) > 100  # both happen, so the bytes hit structure and numbers
