"""Swin Transformer V2 as GOAE's encoder configures it: 256 pixels in, maps of 64, 32, 16 and 8 tokens per side out.

Liu et al., "Swin Transformer V2: Scaling Up Capacity and Resolution", arXiv 2111.09883: post-normalised residuals
(figure 1), scaled cosine attention (eq. 2) and a log-spaced continuous position bias (eqs. 3 and 4). Windows and their
shift are those of arXiv 2103.14030. Names of parameters and buffers are those of the published weights.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

IMAGE_SIDE = 256  # pixels
PATCH = 4  # pixels per side of a token of the first stage
WIDTH = 128  # channels of the first stage; each later stage doubles them
DEPTHS = (2, 2, 18, 2)
HEADS = (4, 8, 16, 32)
WINDOW = 16  # tokens per side; a stage with fewer tokens is one window
PRETRAINED_WINDOWS = (12, 12, 12, 6)  # the windows that position biases were first learned for; they scale offsets
MLP_RATIO = 4
DROP_PATH = 0.2  # of the last block; rises linearly from 0 at the first
BIAS_HIDDEN = 512  # width of the network that turns offsets into position biases
BIAS_LIMIT = 16.0  # position biases are in (0, 16)
LARGEST_SCALE = 100.0  # of a cosine; the paper's temperature is at least 0.01
MASKED = -100.0  # added to the logit of two tokens that were not neighbours before the shift


class Pyramid(NamedTuple):
    """What the backbone saw, from many small tokens to few large ones; (n, tokens, channels), tokens row by row."""

    fine: Tensor  # (n, 4096, 128) embedded patches
    mid: Tensor  # (n, 1024, 256) output of the first stage, merged
    coarse: Tensor  # (n, 256, 512) output of the second stage, merged
    deep: Tensor  # (n, 64, 1024) output of the third stage, merged
    last: Tensor  # (n, 64, 1024) output of the fourth stage, normalised


class SwinV2(nn.Module):
    """The backbone. Without a random stream it is deterministic; see `forward`."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(WIDTH)
        rates = torch.linspace(0, DROP_PATH, sum(DEPTHS)).tolist()
        stages = []
        for place, (depth, heads, pretrained) in enumerate(zip(DEPTHS, HEADS, PRETRAINED_WINDOWS, strict=True)):
            stages.append(
                Stage(
                    WIDTH << place,
                    IMAGE_SIDE // PATCH >> place,
                    heads=heads,
                    pretrained_window=pretrained,
                    rates=[rates.pop(0) for _ in range(depth)],
                    merge=place + 1 < len(DEPTHS),
                )
            )
        self.layers = nn.ModuleList(stages)
        self.norm = nn.LayerNorm(WIDTH << len(DEPTHS) - 1)

    def forward(self, images: Tensor, *, rng: torch.Generator | None = None) -> Pyramid:
        """(n, 3, 256, 256) -> maps of five depths.

        rng: stochastic depth (arXiv 1603.09382) drops whole residual branches, each image's its own, as in training;
        the stream gives two draws per block. None drops nothing.
        """
        tokens = [self.patch_embed(images)]
        for stage in self.layers:
            tokens.append(stage(tokens[-1], rng=rng))
        fine, mid, coarse, deep, last = tokens
        return Pyramid(fine, mid, coarse, deep, self.norm(last))


class PatchEmbedding(nn.Module):
    """Squares of 4 pixels to normalised tokens."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, channels, kernel_size=PATCH, stride=PATCH)
        self.norm = nn.LayerNorm(channels)

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, h/4 * w/4, channels)."""
        return self.norm(self.proj(images).flatten(2).transpose(1, 2))


class Stage(nn.Module):
    """Blocks at one resolution, every other one with shifted windows, then a merge of two by two tokens."""

    def __init__(
        self, channels: int, side: int, *, heads: int, pretrained_window: int, rates: list[float], merge: bool
    ) -> None:
        super().__init__()
        window = min(WINDOW, side)
        self.blocks = nn.ModuleList(
            Block(
                channels,
                side,
                heads=heads,
                window=window,
                shift=window // 2 if place % 2 and window < side else 0,
                pretrained_window=pretrained_window,
                rate=rate,
            )
            for place, rate in enumerate(rates)
        )
        self.downsample = Merge(channels, side) if merge else None

    def forward(self, tokens: Tensor, *, rng: torch.Generator | None) -> Tensor:
        """(n, side², c) -> (n, side²/4, 2c), or as it came for the last stage."""
        for block in self.blocks:
            tokens = block(tokens, rng=rng)
        return tokens if self.downsample is None else self.downsample(tokens)


class Block(nn.Module):
    """Attention within windows, then two linear layers; each normalised before it is added."""

    attn_mask: Tensor | None

    def __init__(
        self, channels: int, side: int, *, heads: int, window: int, shift: int, pretrained_window: int, rate: float
    ) -> None:
        super().__init__()
        self.side, self.window, self.shift, self.rate = side, window, shift, rate
        self.attn = WindowAttention(channels, heads=heads, window=window, pretrained_window=pretrained_window)
        self.norm1 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels)
        self.norm2 = nn.LayerNorm(channels)
        self.register_buffer("attn_mask", shift_mask(side, window, shift) if shift else None)

    def forward(self, tokens: Tensor, *, rng: torch.Generator | None) -> Tensor:
        """(n, side², c) -> the same shape."""
        tokens = tokens + drop_path(self.norm1(self._attend(tokens)), self.rate, rng)
        return tokens + drop_path(self.norm2(self.mlp(tokens)), self.rate, rng)

    def _attend(self, tokens: Tensor) -> Tensor:
        count, _, channels = tokens.shape
        maps = tokens.view(count, self.side, self.side, channels)
        maps = maps.roll((-self.shift, -self.shift), dims=(1, 2))
        windows = self.attn(to_windows(maps, self.window), mask=self.attn_mask)
        maps = from_windows(windows, self.window, self.side)
        return maps.roll((self.shift, self.shift), dims=(1, 2)).reshape(count, -1, channels)


class WindowAttention(nn.Module):
    """Scaled cosine attention with a continuous position bias (arXiv 2111.09883, eqs. 2 to 4)."""

    relative_coords_table: Tensor
    relative_position_index: Tensor

    def __init__(self, channels: int, *, heads: int, window: int, pretrained_window: int) -> None:
        super().__init__()
        self.heads = heads
        self.logit_scale = nn.Parameter(torch.full((heads, 1, 1), math.log(10)))
        self.cpb_mlp = nn.Sequential(
            nn.Linear(2, BIAS_HIDDEN), nn.ReLU(inplace=True), nn.Linear(BIAS_HIDDEN, heads, bias=False)
        )
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(channels))  # a key's bias would not change a cosine's ranking: none
        self.v_bias = nn.Parameter(torch.zeros(channels))
        self.proj = nn.Linear(channels, channels)
        self.register_buffer("relative_coords_table", offset_table(window, pretrained_window))
        self.register_buffer("relative_position_index", offset_index(window))

    def forward(self, windows: Tensor, *, mask: Tensor | None) -> Tensor:
        """windows: (m, window², c); mask: (k, window², window²) for k windows of an image, m a multiple of k."""
        count, size, channels = windows.shape
        bias = torch.cat([self.q_bias, torch.zeros_like(self.v_bias), self.v_bias])
        packed = functional.linear(windows, self.qkv.weight, bias)
        query, key, value = packed.view(count, size, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        cosine = functional.normalize(query, dim=-1) @ functional.normalize(key, dim=-1).transpose(-2, -1)
        logits = cosine * self.logit_scale.clamp(max=math.log(LARGEST_SCALE)).exp() + self.position_bias()
        if mask is not None:
            logits = (logits.view(-1, len(mask), self.heads, size, size) + mask[:, None]).view_as(logits)
        mixed = logits.softmax(dim=-1) @ value
        return self.proj(mixed.transpose(1, 2).reshape(count, size, channels))

    def position_bias(self) -> Tensor:
        """(heads, window², window²), in (0, 16)."""
        biases = self.cpb_mlp(self.relative_coords_table).view(-1, self.heads)
        return BIAS_LIMIT * biases[self.relative_position_index].permute(2, 0, 1).sigmoid()


class Mlp(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, MLP_RATIO * channels)
        self.fc2 = nn.Linear(MLP_RATIO * channels, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, t, c) -> (n, t, c)."""
        return self.fc2(functional.gelu(self.fc1(tokens)))


class Merge(nn.Module):
    """Two by two tokens to one of twice the channels, normalised after the linear layer."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)
        self.norm = nn.LayerNorm(2 * channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, side², c) -> (n, side²/4, 2c). The four are stacked column by column."""
        count, _, channels = tokens.shape
        half = self.side // 2
        squares = tokens.view(count, half, 2, half, 2, channels).permute(0, 1, 3, 4, 2, 5)
        return self.norm(self.reduction(squares.reshape(count, half * half, 4 * channels)))


def drop_path(branch: Tensor, rate: float, rng: torch.Generator | None) -> Tensor:
    """(n, t, c) -> each image's branch is zero with probability ``rate``, else scaled so that the mean stays.

    One Bernoulli draw an image from ``rng``; None, or a rate of 0, draws nothing and changes nothing.
    """
    if rng is None or rate == 0:
        return branch
    kept = torch.empty(len(branch), 1, 1, device=rng.device).bernoulli_(1 - rate, generator=rng)
    return branch * (kept / (1 - rate)).to(branch.device)


def to_windows(maps: Tensor, window: int) -> Tensor:
    """(n, h, w, c) -> (n * windows, window², c), windows row by row."""
    count, height, width, channels = maps.shape
    squares = maps.view(count, height // window, window, width // window, window, channels)
    return squares.transpose(2, 3).reshape(-1, window * window, channels)


def from_windows(windows: Tensor, window: int, side: int) -> Tensor:
    """Inverse of `to_windows` for square maps: (n * windows, window², c) -> (n, side, side, c)."""
    across = side // window
    squares = windows.view(-1, across, across, window, window, windows.shape[-1])
    return squares.transpose(2, 3).reshape(-1, side, side, windows.shape[-1])


def shift_mask(side: int, window: int, shift: int) -> Tensor:
    """(windows, window², window²): 0 where two tokens of a shifted window were neighbours before, -100 elsewhere.

    A cyclic shift brings opposite edges of the map into one window; each of the nine regions attends to itself.
    """
    places = torch.arange(side)
    band = (places >= side - window).long() + (places >= side - shift).long()
    regions = to_windows((3 * band[:, None] + band)[None, :, :, None].float(), window).squeeze(-1)
    return torch.where(regions[:, :, None] == regions[:, None, :], 0.0, MASKED)


def offset_table(window: int, pretrained_window: int) -> Tensor:
    """(1, 2w - 1, 2w - 1, 2): offsets (rows, columns) of two tokens in a window, log-spaced (eq. 4).

    sign(x) log2(1 + |8x|) / log2(8), x the offset in units of the largest one in the window of the pre-training.
    """
    offsets = 8 * torch.arange(1 - window, window, dtype=torch.float32) / (pretrained_window - 1)
    spaced = offsets.sign() * torch.log2(1 + offsets.abs()) / math.log2(8)
    return torch.stack(torch.meshgrid(spaced, spaced, indexing="ij"), dim=-1)[None]


def offset_index(window: int) -> Tensor:
    """(window², window²) int64: for each pair of tokens, the row of the flattened `offset_table`."""
    rows, columns = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    down = rows.flatten()[:, None] - rows.flatten()
    right = columns.flatten()[:, None] - columns.flatten()
    return (down + window - 1) * (2 * window - 1) + right + window - 1
