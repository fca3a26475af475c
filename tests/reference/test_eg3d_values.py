"""EG3D against every recorded array: two small generators from their snapshots, the real size from drawn weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_noise import TorchNoise

from guidebench.errors import BadInput
from guidebench.networks import checkpoints, eg3d
from guidebench.networks.eg3d import Rendering, TriPlaneGenerator
from guidebench.noise import Noise

pytestmark = pytest.mark.reference

# As recommended: 1e-6 cameras, 1e-5 codes, 1e-4 of the largest plane sample, 1e-4 colours and depth, 2e-4 image.
# Where a sample falls between two bins, the last bits of the planes decide, and a pixel moves by up to 1e-4.
CAMERAS, CODES, PLANES, COLOURS, IMAGE = 1e-6, 1e-5, 1e-4, 1e-4, 2e-4


class Recorded:
    """The arrays of one model; notes which were compared."""

    def __init__(self, folder: Path, name: str) -> None:
        with np.load(folder / f"{name}_io.npz") as arrays:
            self.arrays = dict(arrays)
        self.told: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
        self.unseen = set(self.arrays)

    def input(self, name: str) -> Tensor:
        self.unseen.discard(name)
        return torch.from_numpy(self.arrays[name])

    def compare(self, name: str, found: Tensor, tolerance: float) -> None:
        self.unseen.discard(name)
        np.testing.assert_allclose(found.numpy(), self.arrays[name], atol=tolerance, rtol=0, err_msg=name)


class Watched(TorchNoise):
    """A stream that writes down its draws, by the names and shapes of the calls that were recorded."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.draws: list[list[Any]] = []

    def normal(self, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
        self.draws.append(["randn", list(shape)])
        return super().normal(shape, device)

    def uniform(self, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
        self.draws.append(["rand_like" if len(shape) == 4 else "rand", list(shape)])
        return super().uniform(shape, device)


def compare_digest(recipe: ModuleType, image: Tensor, expected: list[float]) -> None:
    """Mean, spread, largest magnitude and the sum of eight numbers of a whole image, of which every nth is stored."""
    np.testing.assert_allclose(recipe.digest(image.numpy())[:3], expected[:3], atol=IMAGE, rtol=0)
    np.testing.assert_allclose(recipe.digest(image.numpy())[3], expected[3], atol=8 * IMAGE, rtol=0)


def compare_cameras(generator: TriPlaneGenerator, recorded: Recorded) -> None:
    """Yaws and pitches in radians give the rendering cameras; codes are conditioned on the frontal one."""
    angles = recorded.input("yaw_pitch")
    labels = [generator.rig.look_at(yaw, pitch) for yaw, pitch in angles.tolist()]
    recorded.compare("c_cam", torch.cat(labels), CAMERAS)
    recorded.compare("c_cond", generator.frontal.expand(len(angles), -1), CAMERAS)


def compare_codes(generator: TriPlaneGenerator, recorded: Recorded) -> None:
    z, condition = recorded.input("z"), recorded.input("c_cond")
    recorded.compare("ws", generator.map(z, condition=condition), CODES)
    recorded.compare("ws", generator.map(z), CODES)
    recorded.compare("ws_psi07_cut14", generator.map(z, condition=condition, psi=0.7, cutoff=14), CODES)
    if "ws_psi07_cut7" in recorded.arrays:
        recorded.compare("ws_psi07_cut7", generator.map(z, condition=condition, psi=0.7, cutoff=7), CODES)


def compare_planes(generator: TriPlaneGenerator, recorded: Recorded, channels: slice = slice(None)) -> Tensor:
    ws = recorded.input("ws")
    planes = generator.synthesize(ws, noise=Noise.constant())
    tolerance = PLANES * float(np.abs(recorded.arrays["planes_sub"]).max())
    recorded.compare("planes_sub", planes[:, channels, 3::8, 5::8], tolerance)
    for prefix in ("", "nonoise_"):
        if f"{prefix}planes_mean" in recorded.arrays:
            found = (planes if not prefix else generator.synthesize(ws, noise=None)).double()
            recorded.compare(f"{prefix}planes_mean", found.mean(dim=(2, 3)), 1e-5)
            recorded.compare(f"{prefix}planes_std", found.std(dim=(2, 3), correction=0), 1e-5)
    return planes


def compare_rendering(seen: Rendering, recorded: Recorded, prefix: str) -> None:
    """Whatever was recorded of one variant; large arrays hold every 4th or 16th number."""
    opacity = seen.opacity.flatten(2).transpose(1, 2)
    found: dict[str, tuple[Callable[[], Tensor], float]] = {
        "image": (lambda: seen.image[: len(recorded.arrays[f"{prefix}_image"])], IMAGE),
        "image_sub": (lambda: seen.image[:, :, 1::4, 2::4], IMAGE),
        "image_raw": (lambda: seen.image_raw, COLOURS),
        "image_depth": (lambda: seen.depth, COLOURS),
        "feature_image": (
            lambda: seen.features if seen.features.shape[-1] < 128 else seen.features[:, :, 1::4, 2::4],
            COLOURS,
        ),
        "weight_sum": (lambda: opacity if opacity.shape[1] < 16384 else opacity[:, ::16], COLOURS),
    }
    for name, (value, tolerance) in found.items():
        if f"{prefix}_{name}" in recorded.arrays:
            recorded.compare(f"{prefix}_{name}", value(), tolerance)


@pytest.mark.parametrize("name", ["eg3d_tiny128", "eg3d_tiny512"])
def test_small_snapshots_give_the_recorded_numbers(reference: Path, recipe: ModuleType, name: str):
    recorded, generator = Recorded(reference, name), eg3d.load(reference / f"{name}.pkl")
    told = recorded.told
    assert generator.neural_rendering_resolution == told["neural_rendering_resolution"]
    assert sum(weight.numel() for weight in generator.parameters()) == told["n_params"]
    for key, tensor in generator.state_dict().items():
        digest = hashlib.sha256(tensor.numpy().tobytes()).hexdigest()[:16]
        assert digest == told["tensors"][key]["sha256"], key
    dropped = told["tensors"].keys() - generator.state_dict().keys()
    assert dropped <= json.loads((reference / "eg3d_full_keys.json").read_text())["extra_in_training_snapshot"].keys()
    ws, cameras = recorded.input("ws"), recorded.input("c_cam")
    compare_cameras(generator, recorded)
    compare_codes(generator, recorded)
    planes = compare_planes(generator, recorded)
    seen = generator.decode_all(planes, ws, cameras, noise=Noise.constant())
    compare_rendering(seen, recorded, "centre")
    compare_digest(recipe, seen.image, told["centre_image_stats"])

    rays = Watched(told["seeded"]["torch_seed"])
    seen = generator.decode_all(planes, ws, cameras, noise=rays)
    compare_rendering(seen, recorded, "seeded")
    compare_digest(recipe, seen.image, told["seeded_image_stats"])
    assert rays.draws == told["seeded"]["draws_in_order"]

    everything = Watched(told["seednoise"]["torch_seed"])
    drawn = generator.synthesize(ws, noise=everything)
    compare_rendering(generator.decode_all(drawn, ws, cameras, noise=everything), recorded, "seednoise")
    assert everything.draws == told["seednoise"]["draws_in_order"]
    colours, densities = generator.query(planes, recorded.input("points"))
    recorded.compare("points_rgb", colours, COLOURS)
    recorded.compare("points_sigma", densities[..., None], COLOURS)
    assert not recorded.unseen


def test_the_real_size_gives_the_recorded_numbers(reference: Path, recipe: ModuleType):
    recorded = Recorded(reference, "eg3d_full")
    keys = json.loads((reference / "eg3d_full_keys.json").read_text())
    config = dict(recorded.told["config"])
    generator = TriPlaneGenerator.from_arguments(config, config.pop("rendering_kwargs"), 64)
    state = generator.state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == keys["shapes"]
    assert (len(state), sum(value.numel() for value in state.values())) == (keys["n_tensors"], keys["n_values"])
    assert {name for name, _ in generator.named_parameters()} == set(keys["parameters"])
    assert sum(weight.numel() for weight in generator.parameters()) == keys["n_params"]
    recipe.fill(generator, recorded.told["salt"], "stylegan")
    compare_codes(generator, recorded)
    planes = compare_planes(generator, recorded, slice(None, None, 3))
    cameras = recorded.input("c_cam")
    for resolution in (64, 128):
        generator.neural_rendering_resolution = resolution
        seen = generator.decode_all(planes, recorded.input("ws"), cameras, noise=Noise.constant())
        compare_digest(recipe, seen.image, recorded.told[f"centre{resolution}_stats"])
        recorded.compare(f"centre{resolution}_image_sub", seen.image[:, :, 1::8, 2::8], IMAGE)
        recorded.compare(f"centre{resolution}_image_raw", seen.image_raw, COLOURS)
        recorded.compare(f"centre{resolution}_depth", seen.depth, COLOURS)
        recorded.compare(f"centre{resolution}_feature_sub", seen.features[:, :, 1::4, 2::4], COLOURS)
    assert not recorded.unseen


def test_the_safetensors_twin_holds_the_same_numbers(reference: Path):
    """Its scalars have one axis, those of the snapshot none."""
    tensors = checkpoints.state_dict(reference / "eg3d_tiny128.safetensors")
    state = eg3d.load(reference / "eg3d_tiny128.pkl").state_dict()
    assert tensors.keys() == state.keys()
    assert all(torch.equal(tensors[key].view_as(state[key]), state[key]) for key in state)


def test_a_wrong_digest_or_another_model_is_refused(reference: Path):
    with pytest.raises(BadInput, match=r"eg3d_tiny128\.pkl .*SHA-256 .*000000000000"):
        eg3d.load(reference / "eg3d_tiny128.pkl", digest="0" * 64)
    with pytest.raises(BadInput, match=r"\bGenerator .*'G_ema'.* TriPlaneGenerator"):
        eg3d.load(reference / "stylegan2_tiny64.pkl")
