"""GOAE's encoder: a photograph to a latent code of EG3D, as an offset from the average code.

Yuan et al., "Make Encoder Great Again in 3D GAN Inversion through Geometry and Occlusion-Aware Encoding", ICCV 2023,
arXiv 2303.12326: a Swin V2 backbone, a base code for all rows, and cross attention from row queries to three maps of
the backbone, from coarse to fine. What the paper leaves open (activations, residuals, the order of draws) was settled
with recorded outputs. The paper's refinement of features is not part of it: GUIDE uses the latent code alone.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from guidebench.errors import BadInput
from guidebench.images import from_uint8, to_arrays
from guidebench.networks.checkpoints import read
from guidebench.networks.loading import load_strictly
from guidebench.networks.swin import IMAGE_SIDE, Pyramid, SwinV2
from guidebench.testbed import Inverter

W_DIM = 512
ROWS = {"coarse": 3, "mid": 3, "fine": 7}  # rows of a code that look at each map; row 0 is the base code
NUM_WS = 1 + sum(ROWS.values())
TOKENS = {"coarse": 256, "mid": 1024, "fine": 4096}
DEEP_TOKENS, DEEP_WIDTH = 64, 1024  # of the backbone's two deepest outputs
HEADS = 4
FEEDFORWARD = 1024
DROPOUT = 0.1  # within cross attention; drawn only where a stream is given


class GOAEEncoder(nn.Module):
    """The published encoder, 111 M parameters, with the names of its weights; see `forward`."""

    def __init__(self) -> None:
        super().__init__()
        self.swin_model = SwinV2()
        self.mapper_base_spatial = _two_layers(DEEP_TOKENS, DEEP_TOKENS, 1)
        self.mapper_base_channel = _two_layers(DEEP_WIDTH, DEEP_WIDTH, W_DIM)
        for level, rows in ROWS.items():
            self.add_module(f"mapper_query_spatial_{level}", _two_layers(DEEP_TOKENS, DEEP_TOKENS, rows))
            self.add_module(f"mapper_query_channel_{level}", _two_layers(DEEP_WIDTH, DEEP_WIDTH, W_DIM))
            self.add_module(f"cross_att_{level}", CrossAttention())
        self.mapper_coarse_channel = nn.Sequential(nn.Linear(512, W_DIM), nn.LeakyReLU())
        self.mapper_mid_channel = nn.Sequential(nn.Linear(256, W_DIM), nn.LeakyReLU())
        self.mapper_fine_channel = nn.Sequential(*_two_layers(128, 256, W_DIM), nn.LeakyReLU())
        coarse, mid, fine = TOKENS.values()
        self.mapper_coarse_to_mid_spatial = nn.Sequential(*_two_layers(coarse, 2 * coarse, mid), nn.LeakyReLU())
        self.mapper_mid_to_fine_spatial = nn.Sequential(*_two_layers(mid, 2 * mid, fine), nn.LeakyReLU())
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor, *, rng: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """(n, 3, 256, 256) in [-1, 1] -> offsets from the average code (n, 14, 512), and the base alone (n, 1, 512).

        rng: the encoder as in training, with stochastic depth and dropout drawn from this stream and nothing else;
        None: deterministic, each image on its own. `train` and `eval` make no difference. Raises ValueError on images
        of another size.
        """
        if images.shape[1:] != (3, IMAGE_SIDE, IMAGE_SIDE):
            raise ValueError(
                f"GOAE's encoder takes images (n, 3, {IMAGE_SIDE}, {IMAGE_SIDE}), got {tuple(images.shape)}"
            )
        seen = self.swin_model(images, rng=rng)
        base = _code_rows(seen.last, self.mapper_base_spatial, self.mapper_base_channel)
        rows = [base]
        for level, tokens in self._tokens(seen).items():
            queries = _code_rows(
                seen.deep,
                self.get_submodule(f"mapper_query_spatial_{level}"),
                self.get_submodule(f"mapper_query_channel_{level}"),
            )
            rows.append(base + self.get_submodule(f"cross_att_{level}")(queries, tokens, rng=rng))
        return torch.cat(rows, dim=1), base

    def _tokens(self, seen: Pyramid) -> dict[str, Tensor]:
        """What each level attends to, (n, tokens, 512): its map, plus what the coarser level attends to, spread out."""
        coarse = self.mapper_coarse_channel(seen.coarse)
        mid = self.mapper_mid_channel(seen.mid) + _along_tokens(self.mapper_coarse_to_mid_spatial, coarse)
        fine = self.mapper_fine_channel(seen.fine) + _along_tokens(self.mapper_mid_to_fine_spatial, mid)
        return {"coarse": coarse, "mid": mid, "fine": fine}


class CrossAttention(nn.Module):
    """A transformer decoder's second half (arXiv 1706.03762): attention to other tokens, then two linear layers.

    One normalisation, between the two, without weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self.multihead_attn = nn.MultiheadAttention(W_DIM, HEADS)  # holds weights; `_attend` computes
        self.linear1 = nn.Linear(W_DIM, FEEDFORWARD)
        self.linear2 = nn.Linear(FEEDFORWARD, W_DIM)

    def forward(self, queries: Tensor, tokens: Tensor, *, rng: torch.Generator | None) -> Tensor:
        """(n, k, 512), (n, t, 512) -> (n, k, 512). Four dropouts draw from ``rng``, in the order of the computation."""
        attended = queries + dropout(self._attend(queries, tokens, rng), rng)
        attended = functional.layer_norm(attended, (W_DIM,))
        hidden = dropout(self.linear1(attended).relu(), rng)
        return attended + dropout(self.linear2(hidden), rng)

    def _attend(self, queries: Tensor, tokens: Tensor, rng: torch.Generator | None) -> Tensor:
        attention = self.multihead_attn
        parts = zip(
            (queries, tokens, tokens), attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True
        )
        query, key, value = (
            functional.linear(values, weight, bias).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for values, weight, bias in parts
        )
        shares = (query @ key.transpose(-2, -1) * key.shape[-1] ** -0.5).softmax(dim=-1)
        return attention.out_proj((dropout(shares, rng) @ value).transpose(1, 2).flatten(start_dim=2))


class GoaeInverter(Inverter):
    """Photographs to absolute latent codes: the encoder's offset plus the average code."""

    w_avg: Tensor

    def __init__(self, encoder: nn.Module, w_avg: Tensor) -> None:
        """encoder: maps as `GOAEEncoder`. w_avg: the average code, (512,), (1, 512), (14, 512) or (1, 14, 512).

        Raises ValueError on other shapes.
        """
        super().__init__()
        if w_avg.numel() not in (W_DIM, NUM_WS * W_DIM) or w_avg.shape[-1] != W_DIM:
            raise ValueError(f"an average code has shape ({W_DIM},) or ({NUM_WS}, {W_DIM}), got {tuple(w_avg.shape)}")
        self.encoder = encoder
        self.register_buffer("w_avg", w_avg.detach().to(torch.float32).reshape(-1, W_DIM).expand(NUM_WS, -1).clone())

    @torch.no_grad()
    def invert(self, images: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """(n, 3, h, w) in [-1, 1] -> absolute codes (n, 14, 512). What is not 256 x 256 passes `prepare`, as uint8.

        rng: as GUIDE runs the encoder, which it never switches to evaluation: stochastic depth and dropout are drawn
        from this stream, so that the codes are a function of its state and of the whole batch; None: evaluation mode.
        """
        if images.shape[-2:] != (IMAGE_SIDE, IMAGE_SIDE):
            images = torch.cat([prepare(photo) for photo in to_arrays(images)]).to(images.device)
        offsets, _ = self.encoder(images, rng=rng)
        return offsets + self.w_avg


def prepare(photo: np.ndarray) -> Tensor:
    """(h, w, 3) uint8 RGB, aligned as EG3D's training faces -> (1, 3, 256, 256) in [-1, 1].

    PIL's bicubic filter, which averages where it shrinks. Raises ValueError if ``photo`` is not such an array.
    """
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        raise ValueError(f"a photograph is uint8 (h, w, 3), got {photo.dtype} {photo.shape}")
    resized = Image.fromarray(photo).resize((IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.BICUBIC)
    return from_uint8(torch.from_numpy(np.array(resized)).permute(2, 0, 1)[None])


def load(path: str | Path, w_avg: Tensor, *, digest: str | None = None) -> GoaeInverter:
    """The inverter with the encoder weights of a file, without executing anything in it.

    path: the published ``.pt``, which holds command-line options beside the entry ``state_dict``, or a file of the
    weights alone; names may begin with ``encoder.``. w_avg: the generator's average code. digest: SHA-256 that the
    file must have, None: any. Raises `guidebench.errors.BadInput` in one line.
    """
    tensors = encoder_tensors(read(path, digest=digest), path)
    return GoaeInverter(load_strictly(GOAEEncoder(), tensors, path), w_avg)


def encoder_tensors(content: object, path: str | Path) -> dict[str, Tensor]:
    """The encoder's tensors in what a file holds, without a leading ``encoder.``; tensors of other parts are dropped.

    The file for cats calls the backbone ``swin_base``, that for faces ``swin_model``. Raises
    `guidebench.errors.BadInput`, naming ``path``, if the content neither is nor holds a state dict.
    """
    if isinstance(content, dict):
        content = content.get("state_dict", content)
    if not isinstance(content, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise BadInput(f"{path} holds no weights of GOAE's encoder; give its .pt file, or its state dict alone")
    prefixed = {key.removeprefix("encoder."): value for key, value in content.items() if key.startswith("encoder.")}
    return {re.sub(r"^swin_base\.", "swin_model.", key): value for key, value in (prefixed or content).items()}


def dropout(values: Tensor, rng: torch.Generator | None) -> Tensor:
    """Zeroes a tenth of the values and scales the rest; one Bernoulli draw each from ``rng``, None: no change."""
    if rng is None:
        return values
    kept = torch.empty(values.shape, device=rng.device).bernoulli_(1 - DROPOUT, generator=rng)
    return values * (kept / (1 - DROPOUT)).to(values.device)


def _two_layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.LeakyReLU(), nn.Linear(hidden, outputs))


def _along_tokens(mapper: nn.Module, tokens: Tensor) -> Tensor:
    """Applies a mapper of token counts: (n, t, c) -> (n, t', c)."""
    return mapper(tokens.transpose(1, 2)).transpose(1, 2)


def _code_rows(tokens: Tensor, spatial: nn.Module, channel: nn.Module) -> Tensor:
    """(n, 64, 1024) -> rows of a code (n, k, 512): each a mixture of tokens added to their maximum, then mapped."""
    return channel(_along_tokens(spatial, tokens) + tokens.amax(dim=1, keepdim=True))


def average_code(path: str | Path, width: int) -> Tensor:
    """(width,): the average latent code in a file as GUIDE's script loads it, whose rows are alike up to rounding.

    Raises BadInput, naming the file, if it holds anything else.
    """
    stored = read(path)
    if not isinstance(stored, Tensor) or stored.shape[-1:] != (width,):
        raise BadInput(f"{path} holds no average code (14, {width}); remove it, and the generator's own is used")
    rows = stored.reshape(-1, width).to(torch.float32)
    mean = rows.mean(dim=0)
    if not torch.allclose(rows, mean.expand_as(rows), atol=1e-3):  # numbers are of order 1
        raise BadInput(f"{path} holds rows that differ, the average code has one; remove it to use the generator's own")
    return mean
