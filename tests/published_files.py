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
from guidebench.networks import e4e, goae, inception, irse, lpips, mtcnn
from guidebench.networks.eg3d import TriPlaneGenerator
from guidebench.networks.mtcnn import Detections, FaceDetector
from guidebench.networks.stylegan2 import StyleGAN2Generator, fir_kernel

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


def write_stylegan2(generator: StyleGAN2Generator, arguments: dict[str, Any], path: Path) -> None:
    """A snapshot as StyleGAN2-ADA's training writes it. arguments: the generator's."""
    with _framework() as rebuild:
        root = _stored(generator, "Generator", rebuild)
        root.state["_init_args"], root.state["_init_kwargs"] = (), arguments
        path.write_bytes(pickle.dumps({"G_ema": root}))


def rosinality_names(generator: StyleGAN2Generator) -> dict[str, Tensor]:
    """A generator's tensors, less the average code, as rosinality's stylegan2-pytorch names and shapes them."""
    filters = {"kernel": 4 * fir_kernel()}
    named = {"input.input": generator.synthesis.b4.const[None]}
    for index in range(generator.mapping.num_layers):
        layer = getattr(generator.mapping, f"fc{index}")
        named |= {f"style.{index + 1}.weight": layer.weight, f"style.{index + 1}.bias": layer.bias}
    noises = 0
    for k, block in enumerate(generator.synthesis.blocks(), start=-1):
        rgb = "to_rgb1" if k < 0 else f"to_rgbs.{k}"
        named |= _rosinality_layer(f"{rgb}.conv", block.torgb)
        named[f"{rgb}.bias"] = block.torgb.bias.view(1, 3, 1, 1)
        if k >= 0:
            named |= {f"{rgb}.upsample.{key}": value for key, value in filters.items()}
        for place, layer in zip(
            ["conv1"] if k < 0 else [f"convs.{2 * k}", f"convs.{2 * k + 1}"], block.layers(), strict=True
        ):
            named |= _rosinality_layer(f"{place}.conv", layer)
            named |= {f"{place}.noise.weight": layer.noise_strength[None], f"{place}.activate.bias": layer.bias}
            named[f"noises.noise_{noises}"] = layer.noise_const[None, None]
            noises += 1
            if layer.up:
                named |= {f"{place}.conv.blur.{key}": value for key, value in filters.items()}
    return {key: value.detach().clone() for key, value in named.items()}


def write_rosinality(generator: StyleGAN2Generator, path: Path) -> None:
    """A file of rosinality's stylegan2-pytorch, the generator alone."""
    torch.save({"g_ema": rosinality_names(generator), "latent_avg": generator.w_avg.clone()}, path)


def write_tensorflow(generator: StyleGAN2Generator, path: Path, **static: Any) -> None:
    """A pickle (G, D, Gs) as StyleGAN2 for TensorFlow writes it. static: what the network was built with."""
    mapping, synthesis = generator.mapping, {}
    dense = {}
    for index in range(mapping.num_layers):
        layer = getattr(mapping, f"fc{index}")
        dense |= {f"Dense{index}/weight": layer.weight.T, f"Dense{index}/bias": layer.bias}
    synthesis["4x4/Const/const"] = generator.synthesis.b4.const[None]
    noises = 0
    for block in generator.synthesis.blocks():
        side = block.conv1.resolution
        names = ["Conv"] if side == 4 else ["Conv0_up", "Conv1"]
        for name, layer in [*zip(names, block.layers(), strict=True), ("ToRGB", block.torgb)]:
            weight = layer.weight.permute(2, 3, 1, 0)
            place = f"{side}x{side}/{name}"
            synthesis |= {
                f"{place}/weight": weight.flip(0, 1) if name == "Conv0_up" else weight,
                f"{place}/mod_weight": layer.affine.weight.T,
                f"{place}/mod_bias": layer.affine.bias - 1,
                f"{place}/bias": layer.bias,
            }
            if name != "ToRGB":
                synthesis |= {f"{place}/noise_strength": layer.noise_strength}
                synthesis[f"noise{noises}"] = layer.noise_const[None, None]
                noises += 1
    synthesis["lod"] = torch.zeros(())
    with _importable("dnnlib.tflib.network") as module:

        class Network:
            """Pickles as one of TensorFlow's does: plain attributes."""

            def __init__(self, name: str, variables: Mapping[str, Tensor], **components: Any) -> None:
                arrays = [(key, np.array(value.detach().numpy())) for key, value in variables.items()]
                self.version, self.name, self.static_kwargs, self.components = 4, name, static, components
                self.build_module_src, self.build_func_name = "raise RuntimeError('source text was run')", "G_main"
                self.variables = [(key, array[()] if array.shape == () else array) for key, array in arrays]

        Network.__module__, Network.__qualname__ = "dnnlib.tflib.network", "Network"
        module.Network = Network  # type: ignore[attr-defined]
        parts = {"synthesis": Network("G_synthesis", synthesis), "mapping": Network("G_mapping", dense)}
        averaged = Network("Gs", {"dlatent_avg": generator.w_avg}, **parts)
        path.write_bytes(pickle.dumps((Network("G", {}), Network("D", {}), averaged), protocol=4))


def write_style_encoder(
    encoder: nn.Module, generator: StyleGAN2Generator, path: Path, kind: str, **entries: Any
) -> None:
    """A checkpoint of e4e's or pSp's training: encoder, its generator, options, average code."""
    state = {f"encoder.{key}": value for key, value in encoder.state_dict().items()}
    state |= {f"decoder.{key}": value for key, value in rosinality_names(generator).items()}
    options = {"encoder_type": kind, "stylegan_size": generator.resolution, "start_from_latent_avg": True}
    average = generator.w_avg.expand(generator.num_ws, -1).clone()
    torch.save({"state_dict": state, "opts": options, "latent_avg": average, **entries}, path)


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

    def path(asset: str) -> Path:
        return folder / catalogue.named(asset).file

    arguments = {key: value for key, value in generator_config.items() if key != "rendering_kwargs"}
    generator = TriPlaneGenerator.from_arguments(arguments, generator_config["rendering_kwargs"], 128)
    write_eg3d(recipe.fill(generator, "real-size", "stylegan"), path("eg3d-ffhq"))
    tables = ("relative_coords_table", "relative_position_index", "attn_mask")
    write_goae(recipe.fill(goae.GOAEEncoder(), "real-size", "swin", structural=tables), path("goae"))
    write_shared_real_size(folder, recipe)


def write_shared_real_size(folder: Path, recipe: types.ModuleType) -> None:
    """The required files of losses and judges, which all testbeds of published networks share; as `write_real_size`."""

    def tensors(network: nn.Module, **options: Any) -> dict[str, Tensor]:
        return recipe.fill(network, "real-size", prelu=_slopes(network), **options).state_dict()

    def path(asset: str) -> Path:
        return folder / catalogue.named(asset).file

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


def _rosinality_layer(place: str, layer: nn.Module) -> dict[str, Tensor]:
    """A modulated convolution."""
    affine = {f"{place}.modulation.weight": layer.affine.weight, f"{place}.modulation.bias": layer.affine.bias}
    return {f"{place}.weight": layer.weight[None], **affine}


def write_stylegan2_real_size(folder: Path, recipe: types.ModuleType) -> None:
    """StyleGAN2 at 1024 px and e4e with 18 heads, 1.3 GB, as `write_real_size`."""
    settings = {"mapping_kwargs": {"num_layers": 8}, "synthesis_kwargs": {"channel_base": 32768, "channel_max": 512}}
    generator = recipe.fill(StyleGAN2Generator(512, 0, 512, 1024, **settings), "real-size", "stylegan")
    write_rosinality(generator, folder / catalogue.named("stylegan2-ffhq-pt").file)
    encoder = e4e.StyleEncoder(generator.num_ws, relative=True)
    recipe.fill(encoder, "real-size", prelu=_slopes(encoder))
    for row, head in enumerate(encoder.styles):  # so that codes stay of order 1
        recipe.fill(head.convs, f"real-size/{row}", gain=2**0.5)
        recipe.fill(head.linear, f"real-size/{row}", gain=512**0.5)
    write_style_encoder(encoder, generator, folder / catalogue.named("e4e").file, "Encoder4Editing")


class FixedCrop(FaceDetector):
    """Calls the middle of every image a face."""

    def __init__(self, points: np.ndarray) -> None:
        """points: (5, 2), as shares of the image's side."""
        self.points = points

    def detect(self, image: np.ndarray) -> Detections:
        landmarks = (self.points * image.shape[0]).T.reshape(1, 10)
        return Detections(np.array([[0.0, 0.0, *image.shape[:2], 1.0]]), landmarks.astype(np.float32))


def _slopes(network: nn.Module) -> set[str]:
    """The keys of PReLU slopes."""
    return {f"{name}.weight" for name, part in network.named_modules() if isinstance(part, nn.PReLU)}


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
    with _importable("torch_utils.persistence") as module:
        module._reconstruct_persistent_obj = rebuild  # type: ignore[attr-defined]
        yield rebuild


@contextlib.contextmanager
def _importable(name: str) -> Iterator[types.ModuleType]:
    """An empty module that can be imported by this name, and the packages that it is in."""
    parts = name.split(".")
    names = [".".join(parts[: count + 1]) for count in range(len(parts))]
    before = {name: sys.modules.get(name) for name in names}
    for name in names:
        sys.modules[name] = types.ModuleType(name)
    try:
        yield sys.modules[name]
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
