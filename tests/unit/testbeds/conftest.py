"""The paper's testbed with tiny networks in the places of the published ones."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from guidebench import seeds
from guidebench.assets import catalogue
from guidebench.networks import goae, inception, irse, lpips, mtcnn
from guidebench.networks.eg3d import TriPlaneGenerator
from guidebench.networks.mtcnn import Detections, FaceDetector
from guidebench.testbed import FeatureSource, PerceptualDistance
from guidebench.testbeds import eg3d as testbed_module
from guidebench.testbeds.eg3d import EG3DTestbed

RENDERING = {
    "depth_resolution": 6,
    "depth_resolution_importance": 6,
    "ray_start": 2.25,
    "ray_end": 3.3,
    "box_warp": 1,
    "superresolution_module": "training.superresolution.SuperresolutionHybrid2X",
    "avg_camera_radius": 2.7,
    "avg_camera_pivot": [0, 0, 0.2],
}
ARGUMENTS = {
    "z_dim": 16,
    "c_dim": 25,
    "w_dim": 16,
    "img_resolution": 128,
    "mapping_kwargs": {"num_layers": 2},
    "channel_base": 512,
    "channel_max": 4,
}
SIZES = {"resolution": 128, "neural_rendering_resolution": 16, "num_ws": 14, "w_dim": 16}
TORCH_FILES = ("goae", "ir-se50", "curricularface", "vgg16", "lpips-lin", "fid-inception")


class TinyEncoder(nn.Module):
    """In the place of GOAE: the average code and twelve pooled pixels, and noise where a stream is given."""

    def __init__(self, w_avg: Tensor) -> None:
        super().__init__()
        self.register_buffer("w_avg", w_avg.clone())

    def invert(self, photos: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        assert photos.shape[1:] == (3, 256, 256)
        pooled = functional.adaptive_avg_pool2d(photos, 2).flatten(1)
        offset = functional.pad(pooled, (0, 4))[:, None].repeat(1, 14, 1)
        if rng is not None:
            offset = offset + 0.1 * torch.randn(offset.shape, generator=rng)
        return self.w_avg + offset


class TinyNetwork(nn.Module):
    """In the place of IR-SE50 and IR-101: a random projection of pooled pixels."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.randn(3 * 49, 512, generator=seeds.stream(name)))

    def forward(self, faces: Tensor) -> Tensor:
        return functional.normalize(functional.adaptive_avg_pool2d(faces, 7).flatten(1) @ self.matrix, dim=1)


class TinyPerceptual(PerceptualDistance):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return functional.avg_pool2d(a - b, 4).square().mean(dim=(1, 2, 3))


class TinyFeatures(nn.Module):
    def forward(self, pictures: Tensor) -> tuple[Tensor]:
        return (functional.adaptive_avg_pool2d(pictures.float() / 25, 2).flatten(1)[:, :4],)


class MiddleFace(FaceDetector):
    """A face in the middle of every image that is not black; the conventions differ by two pixels."""

    def __init__(self, convention: str) -> None:
        self.shift = 2.0 if convention == "published" else 0.0

    def detect(self, image: np.ndarray) -> Detections:
        count = int(image.max() > 0)
        x = np.array([45, 83, 64, 48, 80]) * image.shape[1] / 128 + self.shift
        y = np.array([50, 50, 72, 94, 94]) * image.shape[0] / 128
        boxes = np.array([[24, 24, 104, 104, 0.9]])
        return Detections(boxes[:count], np.concatenate([x, y])[None][:count].astype(np.float32))


def tiny_features(path: Path, *, device: torch.device | str = "cpu") -> FeatureSource:
    return FeatureSource("tiny", TinyFeatures(), 4, "four pooled pixels")


@pytest.fixture(scope="module")
def small(recipe: ModuleType) -> TriPlaneGenerator:
    generator = TriPlaneGenerator.from_arguments(ARGUMENTS, RENDERING, 16)
    return recipe.fill(generator, "small", "stylegan")


@pytest.fixture(scope="module")
def files(tmp_path_factory, small, published_files) -> Path:
    """Every required file: tiny where a tiny one can be read, else a state dict that no network fits."""
    folder = tmp_path_factory.mktemp("assets")
    published_files.write_eg3d(small, folder / catalogue.named("eg3d-ffhq").file)
    for place, asset in enumerate(TORCH_FILES):
        published_files.write_torch({"stands.in": torch.full((2,), float(place))}, folder / catalogue.named(asset).file)
    published_files.write_mtcnn(folder)
    pack = catalogue.named("arcface-buffalo_l")
    published_files.write_arcface_pack(folder / pack.file, *pack.members)
    return folder


@pytest.fixture
def folder(files, tmp_path, monkeypatch) -> Path:
    """A private copy of the files as the assets folder, with no digests published."""
    own = tmp_path / "assets"
    shutil.copytree(files, own)
    monkeypatch.setenv("GUIDEBENCH_ASSETS", str(own))
    monkeypatch.setenv("GUIDEBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(catalogue, "ASSETS", tuple(dataclasses.replace(asset, sha256="") for asset in catalogue.ASSETS))
    return own


@pytest.fixture
def tiny(folder, monkeypatch) -> Iterator[SimpleNamespace]:
    """The loaders give tiny networks, trials run in this process; holds the loaders that were replaced."""
    monkeypatch.setattr(testbed_module, "SIZES", SIZES)
    monkeypatch.setattr(EG3DTestbed, "instant", True)
    replaced = {
        goae: ("load", lambda path, w_avg: TinyEncoder(w_avg)),
        lpips: ("load", lambda vgg, lin: TinyPerceptual()),
        mtcnn: ("load", lambda folder, *, convention: MiddleFace(convention)),
        inception: ("feature_source", tiny_features),
    }
    kept = SimpleNamespace(
        **{module.__name__.rpartition(".")[2]: vars(module)[name] for module, (name, _) in replaced.items()}
    )
    kept.irse = SimpleNamespace(load_ir_se50=irse.load_ir_se50, load_ir_101=irse.load_ir_101)
    for module, (name, stand_in) in replaced.items():
        monkeypatch.setattr(module, name, stand_in)
    for name in ("load_ir_se50", "load_ir_101"):
        monkeypatch.setattr(irse, name, lambda path, name=name: TinyNetwork(name))
    yield kept
