"""StyleGAN2: mapping network, modulated synthesis blocks, and the StyleGAN2-ADA generator built from them.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020, arXiv 1912.04958; "Training
Generative Adversarial Networks with Limited Data" (ADA), NeurIPS 2020, arXiv 2006.06676. EG3D's tri-plane backbone and
super-resolution (`guidebench.networks.eg3d`) consist of the same blocks. State-dict keys are those of published
snapshots.

A modulated convolution scales its input channels by the style and its output channels by the demodulation factor around
one convolution that the batch shares (§2.2 and App. B of the StyleGAN2 paper; equal to scaling the weights of every
sample, cheaper for a batch). There are no custom operators; the leaky ReLU's gain of √2 is part of the output scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from guidebench.errors import BadInput
from guidebench.networks import checkpoints, winograd
from guidebench.networks.loading import check_fit, load_strictly
from guidebench.networks.pickles import shown
from guidebench.noise import Noise
from guidebench.text import brief

Architecture = Literal["skip", "orig", "resnet"]
Network = TypeVar("Network", bound=nn.Module)

MOST_LAYERS = 64  # of a mapping network that a file describes; published ones have 2 or 8
_SLOPE = 0.2  # of the leaky ReLU
_ACTIVATION_GAIN = math.sqrt(2)  # keeps the variance through the leaky ReLU
_EPSILON = 1e-8


def fir_kernel() -> Tensor:
    """(4, 4) binomial low-pass [1, 3, 3, 1] ⊗ [1, 3, 3, 1] / 64, the filter of all resampling in StyleGAN2."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) / taps.sum() ** 2


def upsample(images: Tensor, kernel: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, c, 2h, 2w): zeros between the pixels, then the (4, 4) low-pass; zero outside the borders."""
    channels = images.shape[1]
    weight = (kernel * 4).to(images.dtype).expand(channels, 1, 4, 4)
    return functional.conv_transpose2d(images, weight, stride=2, padding=1, groups=channels)


def _upsampling_convolution(x: Tensor, weight: Tensor, kernel: Tensor) -> Tensor:
    """(n, i, h, w), (o, i, 3, 3) -> (n, o, 2h, 2w): zeros between the pixels, the convolution, then the low-pass."""
    channels = weight.shape[0]
    x = functional.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    return functional.conv2d(x, (kernel * 4).to(x.dtype).expand(channels, 1, 4, 4), padding=1, groups=channels)


def normalize_second_moment(x: Tensor) -> Tensor:
    """(n, d) -> rows of mean square 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + _EPSILON).rsqrt()


class FullyConnected(nn.Module):
    """A linear layer whose weights have unit variance and are scaled when used (equalised learning rate).

    ``rate`` multiplies the layer's effective learning rate. Computes in the precision of its input.
    """

    def __init__(self, inputs: int, outputs: int, *, active: bool = False, rate: float = 1.0, bias: float = 0.0):
        """active: leaky ReLU with gain √2 behind it. bias: what the bias starts at."""
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        gain = _ACTIVATION_GAIN if active else 1.0
        self.active, self.weight_gain, self.bias_gain = active, gain * rate / math.sqrt(inputs), gain * rate

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        weight, bias = self.weight.to(x.dtype) * self.weight_gain, self.bias.to(x.dtype) * self.bias_gain
        y = functional.linear(x, weight, bias)
        return functional.leaky_relu(y, _SLOPE) if self.active else y


class MappingNetwork(nn.Module):
    """z, and a condition if the model has one, -> latent codes: normalised, joined and passed through an MLP."""

    w_avg: Tensor

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        num_ws: int,
        *,
        num_layers: int = 8,
        embed_features: int | None = None,
        layer_features: int | None = None,
        lr_multiplier: float = 0.01,
    ) -> None:
        """Widths: z ``z_dim``, condition ``c_dim`` (0: none), codes ``w_dim``; ``num_ws`` equal rows per code."""
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim, self.num_ws, self.num_layers = z_dim, c_dim, w_dim, num_ws, num_layers
        embedded = (embed_features or w_dim) if c_dim else 0
        if c_dim:
            self.embed = FullyConnected(c_dim, embedded)
        widths = [z_dim + embedded] + [layer_features or w_dim] * (num_layers - 1) + [w_dim]
        for index in range(num_layers):
            layer = FullyConnected(widths[index], widths[index + 1], active=True, rate=lr_multiplier)
            setattr(self, f"fc{index}", layer)
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self, z: Tensor, condition: Tensor | None = None, *, psi: float = 1.0, cutoff: int | None = None
    ) -> Tensor:
        """(n, z_dim), (n, c_dim) -> (n, num_ws, w_dim) float32.

        psi < 1 moves the first ``cutoff`` rows (None: all) towards the average: w̄ + psi (w - w̄), the truncation trick.
        """
        x = normalize_second_moment(z.to(self.w_avg.dtype))
        if self.c_dim:
            if condition is None:
                raise ValueError(f"this mapping network needs a condition of {self.c_dim} numbers")
            x = torch.cat([x, normalize_second_moment(self.embed(condition.to(self.w_avg.dtype)))], dim=1)
        for index in range(self.num_layers):
            x = getattr(self, f"fc{index}")(x)
        ws = x[:, None].repeat(1, self.num_ws, 1)
        return ws if psi == 1.0 else truncate(ws, self.w_avg, psi, cutoff)


def truncate(ws: Tensor, average: Tensor, psi: float, cutoff: int | None) -> Tensor:
    """(n, num_ws, w_dim) with the first ``cutoff`` rows (None: all) moved towards ``average`` (w_dim,)."""
    cutoff = ws.shape[1] if cutoff is None else cutoff
    return torch.cat([average.lerp(ws[:, :cutoff], psi), ws[:, cutoff:]], dim=1)


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution, noise, bias and leaky ReLU (Fig. 2c of the StyleGAN2 paper)."""

    noise_const: Tensor
    resample_filter: Tensor

    def __init__(
        self, inputs: int, outputs: int, w_dim: int, resolution: int, *, up: bool = False, clamp: float | None = None
    ) -> None:
        """resolution: of the output. up: doubles the input's. clamp: largest magnitude of an output (None: any)."""
        super().__init__()
        self.resolution, self.up, self.clamp = resolution, up, clamp
        self.affine = FullyConnected(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("resample_filter", fir_kernel())

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None = None, gain: float = 1.0) -> Tensor:
        """(n, inputs, r, r), (n, w_dim) -> (n, outputs, resolution, resolution), times ``gain``.

        noise: (n or 1, 1, resolution, resolution), None for none.
        """
        style = self.affine(w).to(self.weight.dtype)
        weight: Tensor = self.weight
        if x.dtype == torch.float16:
            # Demodulation cancels both scales; without them sums of inputs * 3 * 3 products would overflow.
            style = style / style.abs().amax(dim=1, keepdim=True)
            weight = weight / (weight.abs().amax(dim=(1, 2, 3), keepdim=True) * math.sqrt(weight[0].numel()))
        gain = gain * _ACTIVATION_GAIN
        scale = gain * (style.square() @ weight.square().sum(dim=(2, 3)).T + _EPSILON).rsqrt()
        weight, shift = weight.to(x.dtype), (self.bias * gain).to(x.dtype)[:, None, None]
        x = x * style.to(x.dtype)[:, :, None, None]
        if self.up:
            x = _upsampling_convolution(x, weight, self.resample_filter)
        elif winograd.pays(x, self.weight, kept=False):
            x = winograd.convolve(x, winograd.transformed(self.weight))
        else:
            x = functional.conv2d(x, weight, padding=1)
        # In place, since fresh memory costs more than the arithmetic; no convolution keeps its output for its gradient.
        x.mul_(scale.to(x.dtype)[:, :, None, None])
        if noise is not None:
            x.add_((noise.to(self.weight.dtype) * (self.noise_strength * gain)).to(x.dtype))
        x = functional.leaky_relu_(x.add_(shift), _SLOPE)
        if self.clamp is None:
            return x
        limit = self.clamp * gain / _ACTIVATION_GAIN
        return x.clamp(-limit, limit) if x.requires_grad else x.clamp_(-limit, limit)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution without demodulation: features -> picture channels."""

    def __init__(self, inputs: int, outputs: int, w_dim: int, *, clamp: float | None = None) -> None:
        super().__init__()
        self.affine = FullyConnected(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.clamp, self.weight_gain = clamp, 1 / math.sqrt(inputs)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """(n, inputs, r, r), (n, w_dim) -> (n, outputs, r, r) in the precision of ``x``.

        A product of pixel rows with a matrix for each code: in memory, the channels of a pixel lie side by side.
        """
        style = self.affine(w) * self.weight_gain
        matrices = (style[:, :, None] * self.weight[:, :, 0, 0].T).to(x.dtype)
        y = torch.baddbmm(self.bias.to(x.dtype), x.permute(0, 2, 3, 1).flatten(1, 2), matrices)
        y = y.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
        return y if self.clamp is None else y.clamp(-self.clamp, self.clamp)


class ResidualSkip(nn.Module):
    """The bypass of a "resnet" block: a plain 1x1 convolution without bias, then upsampling."""

    resample_filter: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1))
        self.register_buffer("resample_filter", fir_kernel())
        self.weight_gain = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """(n, inputs, r, r) -> (n, outputs, 2r, 2r), times ``gain``."""
        weight = (self.weight * (self.weight_gain * gain)).to(x.dtype)
        return upsample(functional.conv2d(x, weight), self.resample_filter)


class SynthesisBlock(nn.Module):
    """The layers of one resolution: one convolution at the constant, two after it, and the way out to the picture."""

    resample_filter: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        w_dim: int,
        resolution: int,
        channels: int,
        *,
        is_last: bool = False,
        architecture: Architecture = "skip",
        up: bool = True,
        half: bool = False,
        clamp: float | None = None,
    ) -> None:
        """inputs: 0 for the first block, which starts from a learned constant. channels: of the picture.

        half: compute in float16 on CUDA devices. up: the first convolution doubles the resolution.
        """
        super().__init__()
        self.half_on_cuda, self.up = half, up
        self.register_buffer("resample_filter", fir_kernel())
        if inputs == 0:
            self.const = nn.Parameter(torch.randn(outputs, resolution, resolution))
        else:
            self.conv0 = SynthesisLayer(inputs, outputs, w_dim, resolution, up=up, clamp=clamp)
        self.conv1 = SynthesisLayer(outputs, outputs, w_dim, resolution, clamp=clamp)
        self.has_rgb = is_last or architecture == "skip"
        self.has_skip = inputs != 0 and architecture == "resnet"
        if self.has_rgb:
            self.torgb = ToRGB(outputs, channels, w_dim, clamp=clamp)
        if self.has_skip:
            self.skip = ResidualSkip(inputs, outputs)
        self.starts, self.num_conv = inputs == 0, 1 if inputs == 0 else 2

    def layers(self) -> list[SynthesisLayer]:
        """The convolutions that take noise, in order."""
        return [self.conv1] if self.starts else [self.conv0, self.conv1]

    def forward(
        self, x: Tensor | None, image: Tensor | None, ws: Tensor, noise: Sequence[Tensor | None]
    ) -> tuple[Tensor, Tensor | None]:
        """Features and picture of the block before -> features and picture of this one.

        x: (n, inputs, r, r), None for the first block. image: (n, channels, r, r) or None. ws: (n, num_conv + 1,
        w_dim), the last for the way out. noise: one map or None for each of `layers`.
        """
        full = self.conv1.weight.dtype
        dtype = torch.float16 if self.half_on_cuda and ws.is_cuda else full
        if x is None:
            x = self.const.to(dtype).expand(len(ws), -1, -1, -1).contiguous(memory_format=torch.channels_last)
            x = self.conv1(x, ws[:, 0], noise[0])
        else:
            x = x.to(dtype=dtype, memory_format=torch.channels_last)
            gain = math.sqrt(0.5) if self.has_skip else 1.0  # the sum of two equal variances keeps its size
            bypass = self.skip(x, gain=gain) if self.has_skip else None
            x = self.conv1(self.conv0(x, ws[:, 0], noise[0]), ws[:, 1], noise[1], gain=gain)
            x = x if bypass is None else x + bypass
        if image is not None and self.up:
            image = upsample(image, self.resample_filter)
        if self.has_rgb:
            out = self.torgb(x, ws[:, self.num_conv]).to(full)
            image = out if image is None else image + out
        return x, image


class SynthesisNetwork(nn.Module):
    """Latent codes -> picture, from 4x4 up, doubling the resolution with every block."""

    def __init__(
        self,
        w_dim: int,
        resolution: int,
        channels: int,
        *,
        channel_base: int = 32768,
        channel_max: int = 512,
        num_fp16_res: int = 0,
        conv_clamp: float | None = None,
        architecture: Architecture = "skip",
    ) -> None:
        """resolution: of the output, a power of two. The block at r has min(channel_base / r, channel_max) channels.

        num_fp16_res: how many of the highest resolutions compute in float16 on CUDA devices.
        """
        super().__init__()
        self.resolutions = [2**level for level in range(2, resolution.bit_length())]
        first_half = max(2 * resolution >> num_fp16_res, 8)
        widths = {size: min(channel_base // size, channel_max) for size in self.resolutions}
        for size in self.resolutions:
            block = SynthesisBlock(
                widths[size // 2] if size > 4 else 0,
                widths[size],
                w_dim,
                size,
                channels,
                is_last=size == resolution,
                architecture=architecture,
                half=size >= first_half,
                clamp=conv_clamp,
            )
            setattr(self, f"b{size}", block)
        self.num_ws = sum(block.num_conv for block in self.blocks()) + 1

    def blocks(self) -> list[SynthesisBlock]:
        """From 4x4 to the full resolution."""
        return [getattr(self, f"b{size}") for size in self.resolutions]

    def layers(self) -> list[SynthesisLayer]:
        """All convolutions that take noise, in order."""
        return [layer for block in self.blocks() for layer in block.layers()]

    def forward(self, ws: Tensor, noise: Sequence[Tensor | None]) -> Tensor:
        """(n, num_ws, w_dim), a noise map or None for each layer -> (n, channels, resolution, resolution) float32."""
        ws = ws.to(self.blocks()[0].const.dtype)
        x: Tensor | None = None
        image: Tensor | None = None
        row = map_index = 0
        for block in self.blocks():
            stop = map_index + block.num_conv
            x, image = block(x, image, ws[:, row : row + block.num_conv + 1], noise[map_index:stop])
            row, map_index = row + block.num_conv, stop
        assert image is not None
        return image


def noise_maps(layers: Sequence[SynthesisLayer], count: int, noise: Noise | None) -> list[Tensor | None]:
    """One noise map for each layer: drawn (count, 1, r, r), the stored (1, 1, r, r), or None if ``noise`` is None.

    Draws are taken in the order of the layers, whatever the noise strengths.
    """
    if noise is None or noise.is_constant:
        return [None if noise is None else layer.noise_const[None, None] for layer in layers]
    shapes = [(count, 1, layer.resolution, layer.resolution) for layer in layers]
    return [*noise.normals(shapes, layers[0].weight.device)]


class StyleGAN2Generator(nn.Module):
    """The generator of StyleGAN2-ADA: z -> latent code -> picture."""

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        img_resolution: int,
        img_channels: int = 3,
        *,
        mapping_kwargs: Mapping[str, Any] | None = None,
        synthesis_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        """Arguments as snapshots store them. c_dim: width of the class or condition, 0 for none."""
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim, self.resolution = z_dim, c_dim, w_dim, img_resolution
        self.synthesis = SynthesisNetwork(
            w_dim, img_resolution, img_channels, **synthesis_settings(synthesis_kwargs or {})
        )
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(z_dim, c_dim, w_dim, self.num_ws, **mapping_settings(mapping_kwargs or {}))

    @property
    def w_avg(self) -> Tensor:
        """(w_dim,) the average latent code."""
        return self.mapping.w_avg

    def map(self, z: Tensor, *, condition: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """(n, z_dim), (n, c_dim) -> latent codes (n, num_ws, w_dim)."""
        return self.mapping(z, condition, psi=psi, cutoff=cutoff)

    def synthesize(self, ws: Tensor, *, noise: Noise | None) -> Tensor:
        """(n, num_ws, w_dim) -> (n, channels, resolution, resolution), about [-1, 1]. noise None: no noise at all."""
        return self.synthesis(ws, noise_maps(self.synthesis.layers(), len(ws), noise))


def mapping_settings(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The stored ``mapping_kwargs`` as arguments of `MappingNetwork`; `BadInput` if one asks for something unknown."""
    known = {"num_layers", "embed_features", "layer_features", "lr_multiplier"}
    layers = stored.get("num_layers", 8)
    if type(layers) is not int or not 0 < layers <= MOST_LAYERS:
        raise BadInput(f"a mapping network of {brief(layers)} layers is not supported, only of 1 to {MOST_LAYERS}")
    return _settings("mapping", stored, known, {"activation": ("lrelu",), "w_avg_beta": None})


def synthesis_settings(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The stored synthesis arguments as arguments of `SynthesisNetwork`; `BadInput` if one is unknown."""
    architecture = stored.get("architecture", "skip")
    if architecture not in get_args(Architecture):
        raise BadInput(f"unknown architecture {brief(architecture)}; known are {', '.join(get_args(Architecture))}")
    known = {"channel_base", "channel_max", "num_fp16_res", "conv_clamp", "architecture"}
    only = {
        "activation": ("lrelu",),
        "resample_filter": ([1, 3, 3, 1],),
        "use_noise": (True,),
        "fused_modconv_default": None,
        "fp16_channels_last": None,
    }
    return _settings("synthesis", stored, known, only)


def _settings(
    what: str, stored: Mapping[str, Any], known: set[str], only: Mapping[str, tuple[Any, ...] | None]
) -> dict[str, Any]:
    """Splits stored arguments into those that are passed on and those with one legal value (None: without effect)."""
    for name, value in stored.items():
        given = f"{shown(str(name))} = {brief(value)}"
        if name not in known and name not in only:
            raise BadInput(f"the generator has an unknown {what} argument {given}; it is not a plain StyleGAN2")
        allowed = only.get(name)
        if allowed is not None and value not in allowed:
            raise BadInput(f"the generator's {what} argument {given} is not supported, only {allowed[0]!r}")
    return {name: value for name, value in stored.items() if name in known}


def load(path: str | Path, *, entry: str = "G_ema", digest: str | None = None) -> StyleGAN2Generator:
    """The generator of a StyleGAN2-ADA snapshot, frozen and in eval mode.

    entry: "G_ema" is the averaged generator that samples are drawn from, "G" the one in training. digest: the SHA-256
    that the file must have. Raises `BadInput`, naming the file, if it holds anything else.
    """
    stored = stored_network(checkpoints.read(path, digest=digest), path, entry=entry, class_name="Generator")
    arguments, tensors = constructor_arguments(stored), checkpoints.tensors(stored)
    return loaded(path, lambda: StyleGAN2Generator(**arguments), tensors)


def stored_network(content: Any, path: str | Path, *, entry: str, class_name: str) -> checkpoints.StandIn:
    """The object of that class under ``entry`` of a snapshot. Raises `BadInput` if it is not there or another one."""
    entries = content if isinstance(content, dict) else {}
    stored = entries.get(entry)
    if not isinstance(stored, checkpoints.StandIn):
        held = checkpoints.listed(entries)
        raise BadInput(f"{path} is not a snapshot with a network '{entry}' (its entries: {held}); give another file")
    if stored.name.rpartition(".")[2] != class_name:
        raise BadInput(f"{path} holds {shown(stored.name)} under '{entry}' instead of {class_name}; give another file")
    return stored


def constructor_arguments(stored: checkpoints.StandIn) -> dict[str, Any]:
    """What a stored generator was constructed with, by name; the published classes share the first five."""
    positional, by_name = checkpoints.init_arguments(stored)
    names = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
    return {**dict(zip(names, positional, strict=False)), **by_name}


def loaded(
    path: str | Path,
    construct: Callable[[], Network],
    tensors: Mapping[str, Tensor],
    *,
    unused: frozenset[str] = frozenset(),
) -> Network:
    """``construct()`` with the ``tensors`` of a file, frozen and in eval mode; those in ``unused`` need have no place.

    Raises `BadInput`, naming the file, if arguments or tensors do not fit. That is seen on a network without memory
    first, so that arguments of absurd sizes allocate nothing.
    """
    try:
        with torch.device("meta"):
            outline = construct()
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    except (TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        reason = shown(str(error).partition("\n")[0])
        raise BadInput(f"{path} was made with arguments that do not fit this network: {reason}") from None
    wanted = outline.state_dict().keys()
    tensors = {key: tensor for key, tensor in tensors.items() if key in wanted or key not in unused}
    check_fit(outline, tensors, path)
    return load_strictly(construct(), tensors, path).eval().requires_grad_(False)
