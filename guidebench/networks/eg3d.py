"""EG3D: a face generator that draws tri-planes and renders them from any camera.

Chan et al., "Efficient Geometry-aware 3D Generative Adversarial Networks", CVPR 2022, arXiv 2112.07945. A StyleGAN2
backbone turns a latent code into three feature planes (§4.1), a small decoder turns features at points into density and
colour, rays are integrated (§4.2), and modulated convolutions enlarge the rendered features (§4.3). State-dict keys
and constructor arguments are those of published snapshots such as ffhqrebalanced512-128.

Random numbers come from the passed `Noise`: a map for each noise layer of the backbone, then the jitter of the
stratified depths (n, rays, s, 1), then the positions of the importance samples (n * rays, s'), in this order.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from guidebench.cameras import LABEL_WIDTH, CameraRig
from guidebench.errors import BadInput
from guidebench.networks import checkpoints, volume_rendering
from guidebench.networks.stylegan2 import (
    FullyConnected,
    MappingNetwork,
    SynthesisBlock,
    SynthesisNetwork,
    constructor_arguments,
    fir_kernel,
    loaded,
    mapping_settings,
    noise_maps,
    stored_network,
    synthesis_settings,
)
from guidebench.noise import Noise
from guidebench.testbed import Generator
from guidebench.text import brief

PLANE_RESOLUTION = 256
PLANE_CHANNELS = 32
RAYS_AT_ONCE = {"cpu": 1024}  # rays of a code that are rendered together: on a CPU, few enough for its caches
BYTES_A_SAMPLE = 1200  # that a sample on a ray keeps for the backward pass: about 300 numbers
MOST_KEPT = {"cpu": 2**30, "cuda": 12 * 2**30}  # bytes of samples that are kept rather than rendered again, by device
MOST_RAYS_A_SIDE = 1024  # that a file may ask for; published models render at most 128
MOST_SAMPLES = 1024  # along a ray, that a file may ask for; published models take 48 twice
FOV_DEGREES = 18.837  # of EG3D's face models

_LONGEST_LIST = 16  # in stored arguments that are kept; published ones have up to 4 entries
_METADATA = "guidebench.eg3d"  # key of the arguments in a saved file
# Stored with some snapshots, read by none.
_UNUSED_BUFFERS = frozenset({"dataset_label_std", "superresolution.resample_filter"})


@dataclass(frozen=True)
class SuperResolutionClass:
    """What distinguishes the published super-resolution modules."""

    resolution: int  # of the image
    expects: int  # resolution of its input
    channels: tuple[int, int]  # of its two blocks
    first_enlarges: bool  # the first block doubles the resolution too
    shrinks_input: bool = True  # a larger input is resized, not only a smaller one


SUPER_RESOLUTIONS = {
    "SuperresolutionHybrid2X": SuperResolutionClass(128, 64, (128, 64), first_enlarges=False),
    "SuperresolutionHybrid4X": SuperResolutionClass(256, 128, (128, 64), first_enlarges=False, shrinks_input=False),
    "SuperresolutionHybrid8X": SuperResolutionClass(512, 128, (128, 64), first_enlarges=True),
    "SuperresolutionHybrid8XDC": SuperResolutionClass(512, 128, (256, 128), first_enlarges=True),
}


@dataclass(frozen=True)
class RenderingOptions:
    """The stored ``rendering_kwargs`` that rendering reads; the rest concern training."""

    depth_resolution: int
    depth_resolution_importance: int
    ray_start: float
    ray_end: float
    box_warp: float
    superresolution_module: str
    superresolution_noise_mode: Literal["none", "const", "random"] = "none"
    sr_antialias: bool = True
    disparity_space_sampling: bool = False
    white_back: bool = False
    c_gen_conditioning_zero: bool = False
    c_scale: float = 1.0
    decoder_lr_mul: float = 1.0
    avg_camera_radius: float = 2.7
    avg_camera_pivot: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> RenderingOptions:
        """Reads and checks a stored mapping. Raises `BadInput` if an entry is missing or not supported."""
        if stored.get("clamp_mode", "softplus") != "softplus":
            raise BadInput(f"rendering clamp_mode {brief(stored['clamp_mode'])} is not supported, only 'softplus'")
        if stored.get("density_noise"):
            raise BadInput(f"rendering density_noise {brief(stored['density_noise'])} is not supported, only 0")
        needed = ("depth_resolution", "depth_resolution_importance", "ray_start", "ray_end", "box_warp")
        missing = [name for name in (*needed, "superresolution_module") if name not in stored]
        if missing:
            raise BadInput(f"the generator's rendering_kwargs lack {', '.join(missing)}; it is not an EG3D face model")
        for name in needed:
            if not isinstance(stored[name], (int, float)):
                raise BadInput(f"rendering {name} {brief(stored[name])} is not supported, only a number")
            if name.startswith("depth_") and not 0 <= stored[name] <= MOST_SAMPLES:
                raise BadInput(f"rendering {name} {brief(stored[name])} is not supported, only up to {MOST_SAMPLES}")
        module = stored["superresolution_module"]
        module = module.rpartition(".")[2] if isinstance(module, str) else module
        if not isinstance(module, str) or module not in SUPER_RESOLUTIONS:
            raise BadInput(f"unknown super-resolution {brief(module)}; known are {', '.join(SUPER_RESOLUTIONS)}")
        mode = stored.get("superresolution_noise_mode", "none")
        if mode not in ("none", "const", "random"):
            raise BadInput(f"unknown superresolution_noise_mode {brief(mode)}; known are none, const, random")
        known = {name: stored[name] for name in cls.__dataclass_fields__ if name in stored}
        known["superresolution_module"] = module
        if "avg_camera_pivot" in known:
            known["avg_camera_pivot"] = tuple(float(value) for value in known["avg_camera_pivot"])
        return cls(**known)


@dataclass(frozen=True)
class Rendering:
    """Everything that one look at tri-planes gives; r is the image resolution, q the neural rendering resolution."""

    image: Tensor  # (n, 3, r, r) float32, about [-1, 1]
    image_raw: Tensor  # (n, 3, q, q) colours before super-resolution, about [-1, 1]
    features: Tensor  # (n, 32, q, q) rendered features, the first three are `image_raw`
    depth: Tensor  # (n, 1, q, q) scene units, clamped to the nearest and farthest sample of the whole call
    opacity: Tensor  # (n, 1, q, q) sum of the ray's weights, in [0, 1]


def focal_length(fov_degrees: float) -> float:
    """Focal length in units of the image size, with the truncated constants of EG3D's camera helper.

    18.837 degrees give 4.263391, where FFHQ's labels hold 4.2647.
    """
    return 1 / (math.tan(fov_degrees * 3.14159 / 360) * 1.414)


def _flat(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers, texts and short lists of them in stored arguments; no argument that anything reads is another."""

    def is_plain(value: Any) -> bool:
        return value is None or isinstance(value, bool | int | float | str)

    def is_short(value: Any) -> bool:
        return isinstance(value, list | tuple) and len(value) <= _LONGEST_LIST and all(map(is_plain, value))

    return {name: value for name, value in stored.items() if is_plain(value) or is_short(value)}


class TriPlaneBackbone(nn.Module):
    """Mapping and synthesis networks under the names of the snapshots."""

    def __init__(self, mapping: MappingNetwork, synthesis: SynthesisNetwork) -> None:
        super().__init__()
        self.synthesis, self.mapping = synthesis, mapping


class PointDecoder(nn.Module):
    """Plane features of a point -> density and colour features: one hidden layer of 64 (EG3D §4.2)."""

    def __init__(self, *, rate: float = 1.0) -> None:
        super().__init__()
        self.net = nn.Sequential(
            FullyConnected(PLANE_CHANNELS, 64, rate=rate),
            nn.Softplus(),
            FullyConnected(64, 1 + PLANE_CHANNELS, rate=rate),
        )

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean features of the planes (n, m, 32) -> colours (n, m, 32) in [-0.001, 1.001], densities (n, m)."""
        out = self.net(features)
        # Sigmoids that reach a little beyond [0, 1] do not saturate there (Mip-NeRF, arXiv 2103.13415, App. A).
        return torch.sigmoid(out[..., 1:]) * 1.002 - 0.001, out[..., 0]


class SuperResolution(nn.Module):
    """Two synthesis blocks that enlarge rendered features; every layer takes the last row of the latent code."""

    def __init__(self, kind: SuperResolutionClass, w_dim: int, *, half: bool, antialias: bool) -> None:
        """half: float16 on CUDA devices; outputs are then clamped to ±256 on every device."""
        super().__init__()
        self.kind, self.antialias = kind, antialias
        clamp = 256.0 if half else None
        first, second = kind.channels
        self.block0 = SynthesisBlock(
            PLANE_CHANNELS, first, w_dim, kind.resolution // 2, 3, up=kind.first_enlarges, half=half, clamp=clamp
        )
        self.block1 = SynthesisBlock(first, second, w_dim, kind.resolution, 3, half=half, clamp=clamp)
        if not kind.first_enlarges:
            self.register_buffer("resample_filter", fir_kernel())  # stored with these classes, used by none

    def forward(self, features: Tensor, ws: Tensor, noise: list[Tensor | None]) -> Tensor:
        """(n, 32, q, q), (n, num_ws, w_dim), four noise maps or None -> (n, 3, resolution, resolution) float32."""
        size = features.shape[-1]
        if size < self.kind.expects or (size > self.kind.expects and self.kind.shrinks_input):
            size = self.kind.expects
            features = functional.interpolate(
                features, size=(size, size), mode="bilinear", align_corners=False, antialias=self.antialias
            )
        rows = ws[:, -1:].expand(-1, 3, -1)
        x, image = self.block0(features, features[:, :3], rows, noise[:2])
        _, image = self.block1(x, image, rows, noise[2:])
        return image


class TriPlaneGenerator(Generator):
    """EG3D's generator; features are tri-planes (n, 96, 256, 256), cameras are labels (n, 25)."""

    frontal: Tensor

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        img_resolution: int,
        img_channels: int = 3,
        *,
        rendering_kwargs: Mapping[str, Any],
        sr_num_fp16_res: int = 0,
        mapping_kwargs: Mapping[str, Any] | None = None,
        sr_kwargs: Mapping[str, Any] | None = None,
        neural_rendering_resolution: int = 64,
        **synthesis_kwargs: Any,
    ) -> None:
        """Arguments as snapshots store them, and the resolution that rays are rendered at.

        Raises `BadInput` if the arguments describe another model.
        """
        super().__init__()
        options = RenderingOptions.from_stored(rendering_kwargs)
        kind = SUPER_RESOLUTIONS[options.superresolution_module]
        if type(neural_rendering_resolution) is not int or not 0 < neural_rendering_resolution <= MOST_RAYS_A_SIDE:
            raise BadInput(
                f"a neural_rendering_resolution of {brief(neural_rendering_resolution)} is not supported, only 1 to "
                f"{MOST_RAYS_A_SIDE}"
            )
        if c_dim != LABEL_WIDTH or img_channels != 3 or kind.resolution != img_resolution:
            raise BadInput(
                f"c_dim = {brief(c_dim)}, img_channels = {brief(img_channels)} and img_resolution = "
                f"{brief(img_resolution)} do not fit EG3D with {options.superresolution_module}: {LABEL_WIDTH}, 3 and "
                f"{kind.resolution}"
            )
        self.arguments = {
            "init_kwargs": {
                "z_dim": z_dim,
                "c_dim": c_dim,
                "w_dim": w_dim,
                "img_resolution": img_resolution,
                "img_channels": img_channels,
                "sr_num_fp16_res": sr_num_fp16_res,
                "mapping_kwargs": _flat(mapping_kwargs or {}),
                "sr_kwargs": _flat(sr_kwargs or {}),
                **_flat(synthesis_kwargs),
            },
            "rendering_kwargs": _flat(rendering_kwargs),
        }
        self.options = options
        self.neural_rendering_resolution = neural_rendering_resolution
        self.rays_at_once: int | None = None  # None: RAYS_AT_ONCE of the device, or all
        # With gradients: render rays again in the backward pass instead of keeping their samples; None: if those of a
        # batch would take more than MOST_KEPT. The numbers are the same.
        self.recompute: bool | None = None

        synthesis = SynthesisNetwork(
            w_dim, PLANE_RESOLUTION, 3 * PLANE_CHANNELS, **synthesis_settings(synthesis_kwargs)
        )
        self.z_dim, self.num_ws, self.w_dim = z_dim, synthesis.num_ws, w_dim
        self.resolution = img_resolution
        self.rig = CameraRig(options.avg_camera_radius, options.avg_camera_pivot, focal_length(FOV_DEGREES))
        mapping = MappingNetwork(z_dim, c_dim, w_dim, self.num_ws, **mapping_settings(mapping_kwargs or {}))
        self.superresolution = SuperResolution(kind, w_dim, half=sr_num_fp16_res > 0, antialias=options.sr_antialias)
        self.backbone = TriPlaneBackbone(mapping, synthesis)
        self.decoder = PointDecoder(rate=options.decoder_lr_mul)
        self.register_buffer("frontal", self.rig.look_at(0.0, 0.0), persistent=False)

    @classmethod
    def from_arguments(
        cls, init_kwargs: Mapping[str, Any], rendering_kwargs: Mapping[str, Any], neural_rendering_resolution: int
    ) -> TriPlaneGenerator:
        """A generator with random weights. What the stored object says wins over what it was constructed with.

        init_kwargs: constructor arguments of a snapshot. rendering_kwargs, neural_rendering_resolution: attributes of
        the stored object.
        """
        own = {**init_kwargs, "rendering_kwargs": rendering_kwargs}
        return cls(**own, neural_rendering_resolution=neural_rendering_resolution)

    @property
    def w_avg(self) -> Tensor:  # type: ignore[override]  # no second tensor: the mapping network's own
        """(w_dim,) the average latent code."""
        return self.backbone.mapping.w_avg

    def parts(self) -> Mapping[str, nn.Module]:
        """The backbone is the synthesis network alone: exactly what GUIDE trains."""
        return {
            "mapping": self.backbone.mapping,
            "backbone": self.backbone.synthesis,
            "decoder": self.decoder,
            "super_resolution": self.superresolution,
        }

    def blocks(self) -> Mapping[str, tuple[nn.Module, int]]:
        """The last convolution of each resolution, by resolution; the way out to the planes comes after it."""
        found: dict[str, tuple[nn.Module, int]] = {}
        for block in self.backbone.synthesis.blocks():
            found[f"b{block.conv1.resolution}"] = (block.conv1, len(block.conv1.bias))
        return found

    def map(self, z: Tensor, *, condition: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """(n, z_dim), (n, 25) -> latent codes (n, 14, w_dim) float32."""
        if condition is None:
            condition = self.frontal.expand(len(z), -1)
        scale = 0.0 if self.options.c_gen_conditioning_zero else self.options.c_scale
        return self.backbone.mapping(z, condition * scale, psi=psi, cutoff=cutoff)

    def synthesize(self, ws: Tensor, *, noise: Noise | None) -> Tensor:
        """(n, 14, w_dim) -> tri-planes (n, 96, 256, 256) float32. noise None: no backbone noise at all."""
        synthesis = self.backbone.synthesis
        return synthesis(ws, noise_maps(synthesis.layers(), len(ws), noise))

    def decode(self, features: Tensor, ws: Tensor, cameras: Tensor | None = None, *, noise: Noise) -> Tensor:
        """Tri-planes seen from camera labels (None: from the front) -> (n, 3, resolution, resolution)."""
        return self.decode_all(features, ws, cameras, noise=noise).image

    def decode_all(self, features: Tensor, ws: Tensor, cameras: Tensor | None = None, *, noise: Noise) -> Rendering:
        """As `decode`, with everything that is found on the way."""
        if cameras is None:
            cameras = self.frontal.expand(len(ws), -1)
        size, options = self.neural_rendering_resolution, self.options
        jitter, positions = (drawn.to(features) for drawn in self._sample_noise(len(ws), size * size, noise))
        origins, directions = volume_rendering.rays_from_labels(cameras.to(features), size)
        depths = volume_rendering.stratified_depths(
            options.ray_start, options.ray_end, jitter, disparity=options.disparity_space_sampling
        )
        colours, depth, opacity = self._render_rays(features, origins, directions, depths, positions)
        picture = colours.transpose(1, 2).unflatten(2, (size, size)).contiguous()

        blocks = (self.superresolution.block0, self.superresolution.block1)
        layers = [layer for block in blocks for layer in block.layers()]
        mode = options.superresolution_noise_mode
        source = {"none": None, "const": Noise.constant(), "random": noise}[mode]
        image = self.superresolution(picture, ws, noise_maps(layers, len(ws), source))
        shape = (len(ws), 1, size, size)
        return Rendering(image, picture[:, :3], picture, depth.view(shape), opacity.view(shape))

    def query(self, features: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """What is at points (n, m, 3) in space: colour features (n, m, 32) and densities before softplus (n, m)."""
        planes = features.unflatten(1, (3, PLANE_CHANNELS))
        return self.decoder(volume_rendering.mean_features(planes, points, box_warp=self.options.box_warp))

    def _sample_noise(self, count: int, rays: int, noise: Noise) -> tuple[Tensor, Tensor]:
        """Jitter (n, rays, s) and importance positions (n, rays, s'); constant noise spreads the latter evenly."""
        first, second = self.options.depth_resolution, self.options.depth_resolution_importance
        device = self.w_avg.device
        jitter = noise.uniform((count, rays, first, 1), device)[..., 0]
        if noise.is_constant:
            even = (torch.arange(second, dtype=self.w_avg.dtype, device=device) + 0.5) / max(second, 1)
            return jitter, even.expand(count, rays, -1)
        return jitter, noise.uniform((count * rays, second), device).view(count, rays, second)

    def _render_rays(
        self, features: Tensor, origins: Tensor, directions: Tensor, depths: Tensor, positions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """All rays (n, k, ...) -> colours (n, k, 32) in about [-1, 1], depth (n, k), opacity (n, k).

        Code by code and chunk by chunk, so that neither memory nor a code's numbers depend on the batch.
        """
        recompute = torch.is_grad_enabled() and self._recomputes(features.device, depths.numel() + positions.numel())
        many = self.rays_at_once or RAYS_AT_ONCE.get(features.device.type, origins.shape[1])
        parts = []
        # unbind: slices would each write a gradient as large as the batch. Channels last, as the backbone makes them.
        codes = [pixels.permute(2, 0, 1) for pixels in features.permute(0, 2, 3, 1).unbind(0)]
        for planes, *rays in zip(codes, origins, directions, depths, positions, strict=True):
            for chunk in zip(*(tensor.split(many) for tensor in rays), strict=True):
                if recompute:
                    part = checkpoint(self._render_chunk, planes, *chunk, use_reentrant=False, preserve_rng_state=False)
                else:
                    part = self._render_chunk(planes, *chunk)
                parts.append(part)
        colours, depth, opacity, near, far = (torch.cat(column) for column in zip(*parts, strict=True))
        depth = depth.clamp(near.min(), far.max())
        if self.options.white_back:
            colours = colours + 1 - opacity[:, None]
        shape = origins.shape[:2]
        return (colours * 2 - 1).view(*shape, -1), depth.view(shape), opacity.view(shape)

    def _recomputes(self, device: torch.device, samples: int) -> bool:
        """Whether the samples of a batch are rendered again in its backward pass."""
        if self.recompute is not None:
            return self.recompute
        return samples * BYTES_A_SAMPLE > MOST_KEPT.get(device.type, MOST_KEPT["cpu"])

    def _render_chunk(
        self, planes: Tensor, origins: Tensor, directions: Tensor, depths: Tensor, positions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Rays (k, ...) through one code's planes -> colours (k, 32), depth, opacity, nearest and farthest sample."""
        colours, densities = self._along_rays(planes, origins, directions, depths)
        if positions.shape[1]:
            with torch.no_grad():
                segments = volume_rendering.segment_weights(densities, depths)
                second = volume_rendering.importance_depths(depths, segments, positions)
            more_colours, more_densities = self._along_rays(planes, origins, directions, second)
            colours = torch.cat([colours, more_colours], dim=1)
            densities, depths = torch.cat([densities, more_densities], dim=1), torch.cat([depths, second], dim=1)
        marched = volume_rendering.march(colours, densities, depths)
        return marched.colours, marched.depth, marched.opacity, depths.amin(dim=1), depths.amax(dim=1)

    def _along_rays(self, planes: Tensor, origins: Tensor, directions: Tensor, depths: Tensor) -> tuple[Tensor, Tensor]:
        """Samples at depths (k, s) of rays (k, 3) -> colours (k, s, 32), densities (k, s)."""
        points = origins[:, None] + depths[..., None] * directions[:, None]
        colours, densities = self.query(planes[None], points.flatten(0, 1)[None])
        return colours.view(*depths.shape, -1), densities.view(depths.shape)


def load(path: str | Path, *, digest: str | None = None) -> TriPlaneGenerator:
    """The generator of an EG3D or GUIDE snapshot, or of a file that `save` wrote, frozen and in eval mode.

    A snapshot's "G_ema" is taken, with the rendering settings that the stored object holds. digest: the SHA-256 that
    the file must have. Raises `BadInput`, naming the file and the first wrong keys, if it holds anything else.
    """
    content = checkpoints.read(path, digest=digest)
    if isinstance(content, dict) and content and all(isinstance(value, Tensor) for value in content.values()):
        arguments, tensors = _saved_arguments(path), content
    else:
        stored = stored_network(content, path, entry="G_ema", class_name="TriPlaneGenerator")
        names = ("rendering_kwargs", "neural_rendering_resolution")
        arguments = {name: checkpoints.attribute(stored, name) for name in names}
        arguments["init_kwargs"] = constructor_arguments(stored)
        tensors = checkpoints.tensors(stored)
    return loaded(path, lambda: TriPlaneGenerator.from_arguments(**arguments), tensors, unused=_UNUSED_BUFFERS)


def save(generator: TriPlaneGenerator, path: str | Path) -> None:
    """Writes a safetensors file that `load` reads: the state dict, and the arguments as JSON in the metadata."""
    arguments = {**generator.arguments, "neural_rendering_resolution": generator.neural_rendering_resolution}
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in generator.state_dict().items()}
    save_file(tensors, path, metadata={_METADATA: json.dumps(arguments)})


def _saved_arguments(path: str | Path) -> dict[str, Any]:
    """The arguments that `save` wrote. Raises `BadInput` if the file has none."""
    try:
        with safe_open(path, framework="pt") as file:
            return dict(json.loads((file.metadata() or {})[_METADATA]))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError):
        raise BadInput(
            f"{path} holds tensors without the arguments of an EG3D generator; give a snapshot or a saved generator"
        ) from None
