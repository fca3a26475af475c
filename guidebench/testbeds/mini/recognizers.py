"""Mini's three recognisers: one for methods to train with, two judges of other architecture, seed and people.

All give 128 numbers whose cosine shows whether two pictures are of one person. The judges look at what a PNG would
hold, resized to 112 x 112, align it first, and have a second head that detects whether there is a face at all.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from guidebench.evidence import Seen
from guidebench.images import from_uint8, to_uint8
from guidebench.networks import arcface
from guidebench.repairs import REPAIR_ONNXRUNTIME
from guidebench.testbed import Recognizer
from guidebench.testbeds.mini.alignment import Localiser, resample
from guidebench.testbeds.mini.layers import ResidualBlock, as_seen, conv_block, residual_pyramid

_log = logging.getLogger(__name__)

EMBEDDING_DIM = 128
JUDGE_SIZE = 112


def judge_input(images: Tensor) -> Tensor:
    """What both judges see: images (n, 3, h, w) in [-1, 1] as uint8, resized (bilinear) to uint8 (n, 3, 112, 112)."""
    pixels = to_uint8(images).float()
    resized = functional.interpolate(pixels, size=(JUDGE_SIZE, JUDGE_SIZE), mode="bilinear", align_corners=False)
    return resized.round().to(torch.uint8)


class TrainingRecognizer(Recognizer):
    """A small residual network on 64 x 64 pixels, trained with the CosFace loss; differentiable."""

    def __init__(self) -> None:
        super().__init__()
        widths = (24, 48, 80, 112)
        self.body = nn.Sequential(*residual_pyramid(widths), nn.Flatten())
        self.project = nn.Sequential(nn.Linear(widths[3] * 16, EMBEDDING_DIM), nn.BatchNorm1d(EMBEDDING_DIM))

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) in [-1, 1] -> (n, 128) unit rows; other sizes than 64 are resized."""
        return functional.normalize(self.project(self.body(as_seen(images))), dim=1)

    @torch.no_grad()
    def embed(self, images: Tensor) -> Seen[Tensor]:
        """Every image counts as a face: this recogniser does not detect."""
        return Seen(self(images), torch.ones(len(images), dtype=torch.bool, device=images.device))


class JudgeNetwork(nn.Module):
    """Embedding and face presence from (n, 3, 112, 112) in [-1, 1].

    `localiser` finds the face, and the picture is resampled to where photographs have it. `stages` turn it into maps of
    falling resolution; subclasses define them. The presence head reads their means and spreads, the last one's rows,
    which tell up from down, and the embedding; it is trained last, with all else frozen.
    """

    stages: nn.ModuleList
    project: nn.Module

    def __init__(self) -> None:
        super().__init__()
        self.localiser = Localiser()

    def _add_presence(self, widths: tuple[int, ...], rows: int) -> None:
        """widths: channels of the stages' maps; rows: of the last map."""
        inputs = 2 * sum(widths) + widths[-1] * rows + EMBEDDING_DIM
        self.presence_norm = nn.BatchNorm1d(inputs)
        self.presence = nn.Sequential(nn.Linear(inputs, 64), nn.LeakyReLU(0.1), nn.Linear(64, 1))

    def look(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Raw embeddings (n, 128) and what the presence head reads (n, inputs)."""
        return self.look_at(images, self.localiser(images))

    def look_at(self, images: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """`look`, with the face where `frames` (n, 3) say, as `resample` takes them."""
        statistics = []
        maps = resample(images, frames)
        for stage in self.stages:
            maps = stage(maps)
            mean = maps.mean(dim=(2, 3), keepdim=True)
            spread = ((maps - mean) ** 2).mean(dim=(2, 3)) + 1e-6
            statistics += [mean[:, :, 0, 0], torch.sqrt(spread)]
        raw = self.project(maps)
        return raw, torch.cat([*statistics, maps.mean(dim=3).flatten(1), raw], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, 112, 112) -> (n, 128 + 1): unit embedding, presence logit (a face is there where it is positive)."""
        raw, evidence = self.look(images)
        length = torch.sqrt((raw * raw).sum(dim=1, keepdim=True) + 1e-12)
        return torch.cat([raw / length, self.presence(self.presence_norm(evidence))], dim=1)

    def unit(self, images: Tensor) -> Tensor:
        """(n, 3, 112, 112) -> unit embeddings (n, 128), without the presence head."""
        return functional.normalize(self.look(images)[0], dim=1)


class CurricularFaceNetwork(JudgeNetwork):
    """Residual, PReLU, coarse stem."""

    def __init__(self) -> None:
        super().__init__()
        widths = (32, 64, 112, 128)
        self.stages = nn.ModuleList(
            [
                nn.Sequential(conv_block(3, widths[0], kernel=7, stride=4), ResidualBlock(widths[0])),
                nn.Sequential(conv_block(widths[0], widths[1], stride=2), ResidualBlock(widths[1])),
                nn.Sequential(conv_block(widths[1], widths[2], stride=2), ResidualBlock(widths[2])),
                conv_block(widths[2], widths[3], stride=2),
            ]
        )
        flat = nn.Linear(widths[3] * 16, EMBEDDING_DIM)
        self.project = nn.Sequential(nn.Flatten(), flat, nn.BatchNorm1d(EMBEDDING_DIM))
        self._add_presence(widths, rows=4)


def _plain(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, leaky ReLU."""
    padding = 2 if kernel == 8 else kernel // 2
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.1))


class ArcFaceNetwork(JudgeNetwork):
    """Plain (no shortcuts), leaky ReLU, other widths; shipped as ONNX."""

    def __init__(self) -> None:
        super().__init__()
        widths = (40, 80, 120, 48)
        self.stages = nn.ModuleList(
            [
                nn.Sequential(_plain(3, widths[0], kernel=8, stride=4), _plain(widths[0], widths[0])),
                nn.Sequential(_plain(widths[0], widths[1], stride=2), _plain(widths[1], widths[1])),
                nn.Sequential(_plain(widths[1], widths[2], stride=2), _plain(widths[2], widths[2])),
                _plain(widths[2], widths[3], kernel=1),
            ]
        )
        flat = nn.Linear(widths[3] * 49, EMBEDDING_DIM)
        self.project = nn.Sequential(nn.Flatten(), flat, nn.BatchNorm1d(EMBEDDING_DIM))
        self._add_presence(widths, rows=7)


def _split(output: Tensor) -> Seen[Tensor]:
    vectors = functional.normalize(output[:, :EMBEDDING_DIM].float(), dim=1)
    return Seen(vectors, output[:, EMBEDDING_DIM] > 0)


class CurricularFaceJudge(Recognizer):
    """The first judge, a PyTorch network."""

    BATCH = 64

    def __init__(self, network: CurricularFaceNetwork) -> None:
        super().__init__()
        self.network = network

    @torch.no_grad()
    def embed(self, images: Tensor) -> Seen[Tensor]:
        """(n, 3, h, w) in about [-1, 1] -> unit rows (n, 128) and found-face mask."""
        parts = [self.network(from_uint8(judge_input(part))) for part in images.split(self.BATCH)]
        return _split(torch.cat(parts))


class ArcFaceJudge(Recognizer):
    """The second judge, an ONNX file run by insightface's recognition class on onnxruntime."""

    BATCH = 64

    def __init__(self, path: Path, *, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.model: Any = _insightface_model(path, torch.device(device))

    @torch.no_grad()
    def embed(self, images: Tensor) -> Seen[Tensor]:
        """(n, 3, h, w) in about [-1, 1] -> unit rows (n, 128) and found-face mask, on the images' device."""
        outputs = []
        for part in images.split(self.BATCH):
            rgb = judge_input(part).permute(0, 2, 3, 1).cpu().numpy()
            outputs.append(self.model.get_feat([np.ascontiguousarray(one[..., ::-1]) for one in rgb]))  # takes BGR
        return _split(torch.from_numpy(np.concatenate(outputs)).to(images.device))


def _insightface_model(path: Path, device: torch.device) -> Any:
    """insightface's reader of a recognition file; it picks the class by input shape, 112 x 112 being ArcFace."""
    model = arcface.read_model(path, "ArcFaceONNX", device=device, strictly=False)
    if device.type == "cuda" and not arcface.runs_on_cuda(model):
        # onnxruntime never raises when CUDA cannot be loaded, it only becomes slow
        _log.warning("onnxruntime runs mini's second judge on the CPU; `%s` restores its GPU build", REPAIR_ONNXRUNTIME)
    return model
