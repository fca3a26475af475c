"""Writes files in the formats that the published networks come in, with weights of one's choice, for tests."""

from __future__ import annotations

import argparse
import contextlib
import pickle
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from guidebench.assets import catalogue
from guidebench.networks import goae, inception, irse, lpips, mtcnn
from guidebench.networks.eg3d import TriPlaneGenerator

DETECTOR_STRIDES, DETECTOR_SIDE, ANCHORS = (8, 16, 32), 640, 2  # of SCRFD
# Where the tiny detector puts eyes, nose and mouth corners, in pixels of its 640: a face in the middle of the image.
FACE = np.array([[220.0, 250.0], [420.0, 250.0], [320.0, 360.0], [240.0, 470.0], [400.0, 470.0]])


def face_in(side: int) -> np.ndarray:
    """Where the tiny detector finds the face of a square image of ``side`` pixels, which it sees padded to twice."""
    return FACE * (2 * side / DETECTOR_SIDE) - side / 2


def write_eg3d(generator: TriPlaneGenerator, path: Path) -> None:
    """A snapshot as EG3D's training and GUIDE write them: persistent classes with their source text, under "G_ema"."""
    with _framework() as rebuild:
        root = _stored(generator, "TriPlaneGenerator", rebuild)
        root.state["_init_args"] = ()
        root.state["_init_kwargs"] = {
            **generator.arguments["init_kwargs"],
            "rendering_kwargs": generator.arguments["rendering_kwargs"],
        }
        root.state["rendering_kwargs"] = generator.arguments["rendering_kwargs"]
        root.state["neural_rendering_resolution"] = generator.neural_rendering_resolution
        path.write_bytes(pickle.dumps({"G_ema": root}))


def write_goae(encoder: nn.Module, path: Path) -> None:
    """The published encoder's file: its options beside the weights."""
    state = {f"encoder.{key}": value for key, value in encoder.state_dict().items()}
    torch.save({"state_dict": state, "opts": argparse.Namespace(dataset="FFHQ")}, path)


def write_torch(tensors: Mapping[str, Tensor], path: Path) -> None:
    """A state dict alone."""
    torch.save(dict(tensors), path)


def write_mtcnn(folder: Path, seed: int = 0) -> None:
    """pnet.npy, rnet.npy and onet.npy with random weights: pickled dicts in numpy files."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for name, network in (("pnet", mtcnn.PNet()), ("rnet", mtcnn.RNet()), ("onet", mtcnn.ONet())):
            arrays = {key: value.numpy() for key, value in network.state_dict().items()}
            np.save(folder / f"{name}.npy", np.array(arrays, dtype=object), allow_pickle=True)


def write_arcface_pack(folder: Path, detector: str, recogniser: str) -> None:
    """An insightface pack of a few kB: a face at `FACE` in every image that is not black, and pooled pixels of it."""
    import onnx

    folder.mkdir(parents=True)
    onnx.save(_detector(), str(folder / detector))
    onnx.save(_recogniser(), str(folder / recogniser))


def write_real_size(folder: Path, recipe: types.ModuleType, generator_config: dict[str, Any]) -> None:
    """Every required file of eg3d-ffhq, 1.3 GB: the published networks with drawn weights, and a tiny ArcFace pack.

    recipe: tests/recipe_weights.py. generator_config: constructor arguments with rendering_kwargs.
    """

    def tensors(network: nn.Module, **options: Any) -> dict[str, Tensor]:
        slopes = {f"{name}.weight" for name, part in network.named_modules() if isinstance(part, nn.PReLU)}
        return recipe.fill(network, "real-size", prelu=slopes, **options).state_dict()

    def path(asset: str) -> Path:
        return folder / catalogue.named(asset).file

    arguments = {key: value for key, value in generator_config.items() if key != "rendering_kwargs"}
    generator = TriPlaneGenerator.from_arguments(arguments, generator_config["rendering_kwargs"], 128)
    write_eg3d(recipe.fill(generator, "real-size", "stylegan"), path("eg3d-ffhq"))
    tables = ("relative_coords_table", "relative_position_index", "attn_mask")
    write_goae(recipe.fill(goae.GOAEEncoder(), "real-size", "swin", structural=tables), path("goae"))
    write_torch(tensors(irse.IRSE50()), path("ir-se50"))
    write_torch(tensors(irse.IR101()), path("curricularface"))
    write_torch(tensors(inception.FidInception(), gain=1.6, centre=True), path("fid-inception"))
    distance = tensors(lpips.LPIPS(), gain=2**0.5)
    write_torch({key: value for key, value in distance.items() if key.startswith("features.")}, path("vgg16"))
    linear = {key: value.abs() for key, value in distance.items() if key.startswith("lin")}
    write_torch({f"{key}.model.1.weight": value.view(1, -1, 1, 1) for key, value in linear.items()}, path("lpips-lin"))
    write_mtcnn(folder)
    pack = catalogue.named("arcface-buffalo_l")
    write_arcface_pack(path(pack.id), *pack.members)


class _Stored:
    """Pickles as a persistent class does: one call with state, class name and source text."""

    def __init__(self, rebuild: Any, name: str, state: dict[str, Any]) -> None:
        self.rebuild, self.name, self.state = rebuild, name, state

    def __reduce__(self) -> tuple[Any, ...]:
        source = "raise RuntimeError('source text was run')"
        meta = {"type": "class", "version": 6, "module_src": source, "class_name": self.name, "state": self.state}
        return self.rebuild, (meta,)


def _stored(module: nn.Module, name: str, rebuild: Any) -> _Stored:
    kept = {key: value for key, value in module._buffers.items() if key not in module._non_persistent_buffers_set}
    state = {
        "training": False,
        "_parameters": {key: value.detach() for key, value in module._parameters.items() if value is not None},
        "_buffers": kept,
        "_modules": {key: _stored(child, type(child).__name__, rebuild) for key, child in module._modules.items()},
    }
    return _Stored(rebuild, name, state)


@contextlib.contextmanager
def _framework() -> Iterator[Any]:
    """The function that snapshots name, in a module of that name, which exists for pickle's sake alone."""

    def rebuild(meta: dict[str, Any]) -> None:
        raise AssertionError("a checkpoint was run")

    rebuild.__module__, rebuild.__qualname__ = "torch_utils.persistence", "_reconstruct_persistent_obj"
    names = ("torch_utils", "torch_utils.persistence")
    before = {name: sys.modules.get(name) for name in names}
    for name in names:
        sys.modules[name] = types.ModuleType(name)
    sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj = rebuild  # type: ignore[attr-defined]
    try:
        yield rebuild
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _detector() -> Any:
    """Nine outputs as SCRFD's; the middle anchor of the coarsest level is a face unless the image is black."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("ReduceMean", ["image"], ["brightness"], keepdims=0),
        helper.make_node("Greater", ["brightness", "dark"], ["lit"]),
        helper.make_node("Cast", ["lit"], ["one_if_lit"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["one_if_lit", "sure"], ["probability"]),
    ]
    constants = {"dark": np.array(-0.99, np.float32), "sure": np.full((1, 1), 0.9, np.float32)}
    outputs = []
    for kind, width in (("score", 1), ("box", 4), ("points", 10)):
        for stride in DETECTOR_STRIDES:
            cells = DETECTOR_SIDE // stride
            name, count, middle = (
                f"{kind}{stride}",
                cells * cells * ANCHORS,
                (cells * cells // 2 + cells // 2) * ANCHORS,
            )
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [count, width]))
            if stride != DETECTOR_STRIDES[-1]:
                constants[f"{name}/shape"] = np.array([count, width])
                nodes.append(helper.make_node("ConstantOfShape", [f"{name}/shape"], [name]))
                continue
            constants[f"{name}/above"] = np.array([middle, width])
            constants[f"{name}/below"] = np.array([count - middle - 1, width])
            row = {"score": None, "box": np.full((1, 4), 200 / stride), "points": (FACE - 320).reshape(1, 10) / stride}
            if row[kind] is not None:
                constants[f"{name}/row"] = row[kind].astype(np.float32)
            for part in ("above", "below"):
                nodes.append(helper.make_node("ConstantOfShape", [f"{name}/{part}"], [f"{name}/zeros_{part}"]))
            own = "probability" if kind == "score" else f"{name}/row"
            parts = [f"{name}/zeros_above", own, f"{name}/zeros_below"]
            nodes.append(helper.make_node("Concat", parts, [name], axis=0))
    return _model(nodes, [1, 3, "height", "width"], outputs, constants)


def _recogniser() -> Any:
    """512 pooled pixels of a face."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("AveragePool", ["image"], ["pooled"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Flatten", ["pooled"], ["pixels"]),
        helper.make_node("Slice", ["pixels", "first", "last", "axis"], ["embedding"]),
    ]
    constants = {"first": np.array([0]), "last": np.array([512]), "axis": np.array([1])}
    output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["faces", 512])
    return _model(nodes, ["faces", 3, 112, 112], [output], constants)


def _model(nodes: list[Any], shape: list[Any], outputs: list[Any], constants: dict[str, np.ndarray]) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", [image], outputs, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
