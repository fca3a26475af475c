"""Face recognition: IR-SE50 (the training recogniser), CurricularFace's IR-101 (a judge), and what each is shown.

Both are ArcFace's improved residual networks on 112 x 112 faces (Deng et al., arXiv 1801.07698), less the batch norm
between a unit's first convolution and its PReLU, which the published weights do not have. IR-SE50 adds the
squeeze-and-excitation gate (Hu et al., arXiv 1709.01507, §3). IR-101 carries the weights of CurricularFace (Huang et
al., arXiv 2004.00288), whose loss matters in training only. Module names are the keys of the published weight files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from guidebench.evidence import Seen
from guidebench.images import from_uint8, to_arrays
from guidebench.networks import checkpoints
from guidebench.networks.alignment import CROP_SIZE, DegenerateLandmarks, crop_face
from guidebench.networks.loading import load_strictly
from guidebench.networks.mtcnn import FaceDetector
from guidebench.networks.winograd import Convolution
from guidebench.testbed import Recognizer

EMBEDDING_DIM = 512
WIDTHS = (64, 128, 256, 512)  # channels of the four stages; each halves the resolution
IR_50 = (3, 4, 14, 3)  # residual units of the four stages
SQUEEZE = 16  # reduction ratio r of the squeeze-and-excitation gate
DROPOUT = 0.4  # ArcFace's; without effect, since these networks only ever evaluate

# The fixed crop of GUIDE's identity loss (released code): on FFHQ-aligned faces of 256 px it holds the face.
FIXED_CROP_RESIZE = 256
FIXED_CROP_ROWS = slice(35, 223)
FIXED_CROP_COLUMNS = slice(32, 220)


class SqueezeExcitation(nn.Module):
    """Gates each channel by a number in (0, 1), a function of all channels' means (arXiv 1709.01507, eq. 2-4)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // SQUEEZE, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // SQUEEZE, channels, 1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """(n, channels, h, w) -> the same shape."""
        squeeze, excite = self.fc1.weight.flatten(1), self.fc2.weight.flatten(1)
        gates = functional.linear(functional.relu(functional.linear(maps.mean(dim=(2, 3)), squeeze)), excite)
        return maps * torch.sigmoid(gates)[:, :, None, None]


class EveryPixel(nn.Module):
    """Every ``stride``-th pixel of every ``stride``-th row."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, maps: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, h / stride, w / stride)."""
        return maps if self.stride == 1 else maps[:, :, :: self.stride, :: self.stride]


class ResidualUnit(nn.Module):
    """Norm-convolution-PReLU-convolution-norm beside a shortcut; the second convolution has the stride."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, gated: bool) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module
        if inputs == outputs:
            self.shortcut_layer = EveryPixel(stride)
        else:
            projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut_layer = nn.Sequential(projection, nn.BatchNorm2d(outputs))
        layers: list[nn.Module] = [
            nn.BatchNorm2d(inputs),
            Convolution(inputs, outputs, bias=False),
            nn.PReLU(outputs),
            Convolution(outputs, outputs, bias=False)
            if stride == 1
            else nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        self.res_layer = nn.Sequential(*layers, *([SqueezeExcitation(outputs)] if gated else []))

    def forward(self, maps: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, h / stride, w / stride)."""
        return self.res_layer(maps) + self.shortcut_layer(maps)


def trunk(
    units: tuple[int, int, int, int], *, gated: bool, widths: tuple[int, int, int, int] = WIDTHS
) -> tuple[nn.Sequential, nn.Sequential]:
    """The input layer (n, 3, h, w) -> (n, widths[0], h, w), and the body -> (n, widths[-1], h / 16, w / 16).

    units: residual units of each of the four stages. The first of each halves the resolution.
    """
    input_layer = nn.Sequential(
        nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.PReLU(widths[0])
    )
    body = []
    inputs = widths[0]
    for outputs, count in zip(widths, units, strict=True):
        for index in range(count):
            body.append(ResidualUnit(inputs, outputs, stride=2 if index == 0 else 1, gated=gated))
            inputs = outputs
    return input_layer, nn.Sequential(*body)


class ImprovedResidualNetwork(nn.Module):
    """Faces -> unit vectors. ``units``: residual units in each of the four stages.

    Always in evaluation mode: batch norms use the stored statistics, `train()` has no effect.
    """

    def __init__(self, units: tuple[int, int, int, int], *, gated: bool, affine_output: bool) -> None:
        super().__init__()
        self.input_layer, self.body = trunk(units, gated=gated)
        inputs, side = WIDTHS[-1], CROP_SIZE // 2 ** len(WIDTHS)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Dropout(DROPOUT),
            nn.Flatten(),
            nn.Linear(inputs * side * side, EMBEDDING_DIM),
            nn.BatchNorm1d(EMBEDDING_DIM, affine=affine_output),
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's annotations lack it
        self.eval()

    def train(self, mode: bool = True) -> ImprovedResidualNetwork:
        """Stays in evaluation mode: a recogniser's statistics are part of its weights."""
        super().train(False)
        return self

    def forward(self, faces: Tensor) -> Tensor:
        """(n, 3, 112, 112) RGB in [-1, 1] -> (n, 512) unit rows, differentiable."""
        maps = self.body(self.input_layer(faces.contiguous(memory_format=torch.channels_last)))
        return functional.normalize(self.output_layer(maps), dim=1)


class IRSE50(ImprovedResidualNetwork):
    """The 50-layer gated network that GUIDE's identity loss looks through (InsightFace_Pytorch's model_ir_se50)."""

    def __init__(self) -> None:
        super().__init__(IR_50, gated=True, affine_output=True)


class IR101(ImprovedResidualNetwork):
    """CurricularFace's 101-layer network, which scores identity in GUIDE's evaluation. Its last norm has no scale."""

    def __init__(self) -> None:
        super().__init__((3, 13, 30, 3), gated=False, affine_output=False)


def load_ir_se50(path: str | Path, *, digest: str | None = None) -> IRSE50:
    """IR-SE50 with the weights of a file, frozen, in evaluation mode, on the CPU.

    digest: the SHA-256 that the file must have, None: any. Raises `guidebench.errors.BadInput` if the file cannot be
    read or holds other tensors.
    """
    return load_strictly(IRSE50(), checkpoints.state_dict(path, digest=digest), path).requires_grad_(False)


def load_ir_101(path: str | Path, *, digest: str | None = None) -> IR101:
    """CurricularFace's IR-101 with the weights of a file; else as `load_ir_se50`."""
    return load_strictly(IR101(), checkpoints.state_dict(path, digest=digest), path).requires_grad_(False)


def fixed_crop(images: Tensor) -> Tensor:
    """The face of an FFHQ-aligned image without looking for it: (n, 3, h, w) -> (n, 3, 112, 112), differentiable.

    Bilinear resize to 256 x 256 without antialiasing (done for every size), rows 35 to 222, columns 32 to 219, adaptive
    average pooling: what the identity loss of GUIDE's released code does.
    """
    size = (FIXED_CROP_RESIZE, FIXED_CROP_RESIZE)
    resized = functional.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=False)
    return functional.adaptive_avg_pool2d(resized[:, :, FIXED_CROP_ROWS, FIXED_CROP_COLUMNS], CROP_SIZE)


class FixedCropRecognizer(Recognizer):
    """The training recogniser: a network behind the fixed crop, differentiable, no detector."""

    def __init__(self, network: nn.Module) -> None:
        """network: (n, 3, 112, 112) in [-1, 1] -> (n, d) unit rows, such as `IRSE50`."""
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) in about [-1, 1], of any size -> (n, d) unit rows."""
        rows: Tensor = self.network(fixed_crop(images))
        return rows

    @torch.no_grad()
    def embed(self, images: Tensor) -> Seen[Tensor]:
        """Every image counts as a face: the crop is fixed."""
        return Seen(self(images), torch.ones(len(images), dtype=torch.bool, device=images.device))


class AlignedRecognizer(Recognizer):
    """A judge: finds the face in the image as a PNG holds it, aligns it by its five landmarks and embeds the crop."""

    def __init__(
        self, detector: FaceDetector, network: nn.Module, *, residual_in: Literal["image", "template"] = "image"
    ) -> None:
        """network: (n, 3, 112, 112) in [-1, 1] -> (n, 512) unit rows, such as `IR101`, on the device of the images.

        residual_in: how landmarks are fitted, see `guidebench.networks.alignment.similarity_transform`.
        """
        super().__init__()
        self.detector = detector
        self.network = network
        self.residual_in: Literal["image", "template"] = residual_in

    @torch.no_grad()
    def embed(self, images: Tensor) -> Seen[Tensor]:
        """(n, 3, h, w) in about [-1, 1] -> unit rows and found-face mask, on the images' device.

        The face that the detector is surest of counts. Rows without a face are zero and marked as not found.
        """
        crops = [self.face(picture) for picture in to_arrays(images)]
        found = torch.tensor([crop is not None for crop in crops], dtype=torch.bool, device=images.device)
        vectors = torch.zeros(len(images), EMBEDDING_DIM, device=images.device)
        if found.any():
            faces = torch.from_numpy(np.stack([crop for crop in crops if crop is not None])).permute(0, 3, 1, 2)
            vectors[found] = self.network(from_uint8(faces).to(images.device))
        return Seen(vectors, found)

    def face(self, picture: np.ndarray) -> np.ndarray | None:
        """(h, w, 3) uint8 RGB -> the aligned face (112, 112, 3) uint8 that the network is shown; None: no face."""
        detections = self.detector.detect(picture)
        if not len(detections):
            return None
        try:
            return crop_face(picture, detections.points(0), residual_in=self.residual_in)
        except DegenerateLandmarks:
            return None
