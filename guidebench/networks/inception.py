"""FID's Inception-v3, with the resize of pytorch-fid, as a torch-fidelity extractor named `inception-v3-pytorch-fid`.

Inception-v3: Szegedy et al., arXiv 1512.00567; FID: Heusel et al., arXiv 1706.08500. FID uses the network that was
released with TensorFlow in 2015, converted to torch as ``pt_inception-2015-12-05-6726825d.pth``. It differs from
torchvision's in two places: average poolings leave the padding out, and the last block pools its pool branch by
maximum. torch-fidelity's own ``inception-v3-compat`` holds the same weights and resizes as TensorFlow 1 did; GUIDE's
numbers were made with pytorch-fid, whose resize is plain bilinear interpolation. The distances differ by some per cent.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from guidebench.errors import BadInput
from guidebench.networks.checkpoints import state_dict
from guidebench.networks.loading import load_strictly
from guidebench.testbed import FeatureSource
from guidebench.torchvision_fix import import_torch_fidelity

NAME = "inception-v3-pytorch-fid"
DIM = 2048
DESCRIPTION = "2048 pooled features of FID's Inception-v3, images resized to 299 x 299 as in pytorch-fid (bilinear)"
SIDE = 299  # pixels per side of the network's input
BATCH_NORM_EPSILON = 1e-3  # of the TensorFlow network
CLASSES = 1008  # of the classifier that the file holds and FID does not use

_registered: list[type[nn.Module]] = []


class Conv(NamedTuple):
    """A convolution with batch norm and ReLU, by the name that it has in the weight file."""

    name: str
    channels: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1  # 2: halves the map and does not pad; 1: pads with zeros to keep its size


class Pool(NamedTuple):
    """A 3x3 pooling that keeps the size of the map, or halves it without padding."""

    kind: str  # "average" (of the pixels inside the map) or "maximum"
    stride: int = 1

    def __call__(self, values: Tensor) -> Tensor:
        padding = 1 if self.stride == 1 else 0
        if self.kind == "maximum":
            return functional.max_pool2d(values, 3, self.stride, padding)
        return functional.avg_pool2d(values, 3, self.stride, padding, count_include_pad=False)


class Fork(NamedTuple):
    """Convolutions of one map whose outputs are put side by side."""

    ends: tuple[Conv, ...]


Branch = Sequence[Conv | Pool | Fork]  # steps one after another


class ConvUnit(nn.Module):
    """Convolution without bias, batch norm with the stored statistics, ReLU.

    The norm is part of the convolution's weights when they are used: next to a batch, they are few.
    """

    def __init__(self, before: int, now: int, kernel: tuple[int, int], *, stride: int = 1, padded: bool = True) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if padded else 0
        self.conv = nn.Conv2d(before, now, kernel, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(now, eps=BATCH_NORM_EPSILON)

    def forward(self, values: Tensor) -> Tensor:
        """(n, before, h, w) -> (n, now, h', w'), not negative."""
        mean, variance = self.bn.get_buffer("running_mean"), self.bn.get_buffer("running_var")
        scale = self.bn.weight * (variance + self.bn.eps).rsqrt()
        weight, bias = self.conv.weight * scale[:, None, None, None], self.bn.bias - mean * scale
        conv = self.conv
        return functional.relu_(functional.conv2d(values, weight, bias, conv.stride, conv.padding))


class Mixed(nn.Module):
    """An Inception block: branches of one map, their outputs put side by side (arXiv 1512.00567, figures 5 to 7)."""

    def __init__(self, channels: int, branches: Sequence[Branch]) -> None:
        super().__init__()
        self.branches = branches
        self.channels = sum(self._build(channels, branch) for branch in branches)

    def _build(self, channels: int, branch: Branch) -> int:
        """Adds the convolutions of a branch under their names; returns how many channels leave it."""
        for step in branch:
            if isinstance(step, Pool):
                continue
            ends = step.ends if isinstance(step, Fork) else (step,)
            for conv in ends:
                unit = ConvUnit(channels, conv.channels, conv.kernel, stride=conv.stride, padded=conv.stride == 1)
                self.add_module(conv.name, unit)
            channels = sum(conv.channels for conv in ends)
        return channels

    def forward(self, values: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, self.channels, h', w')."""
        return torch.cat([self._follow(values, branch) for branch in self.branches], dim=1)

    def _follow(self, values: Tensor, branch: Branch) -> Tensor:
        for step in branch:
            if isinstance(step, Pool):
                values = step(values)
            elif isinstance(step, Fork):
                values = torch.cat([self.get_submodule(conv.name)(values) for conv in step.ends], dim=1)
            else:
                values = self.get_submodule(step.name)(values)
        return values


def _mixed_35(pooled: int) -> list[Branch]:
    """The blocks at 35 x 35 (figure 5; the paper's two 3x3 for a 5x5 are a 5x5 in the released network)."""
    return [
        [Conv("branch1x1", 64)],
        [Conv("branch5x5_1", 48), Conv("branch5x5_2", 64, (5, 5))],
        [Conv("branch3x3dbl_1", 64), Conv("branch3x3dbl_2", 96, (3, 3)), Conv("branch3x3dbl_3", 96, (3, 3))],
        [Pool("average"), Conv("branch_pool", pooled)],
    ]


def _mixed_17(inner: int) -> list[Branch]:
    """The blocks at 17 x 17: 7x7 as 1x7 and 7x1 (figure 6, n = 7)."""
    row, column = (1, 7), (7, 1)
    return [
        [Conv("branch1x1", 192)],
        [Conv("branch7x7_1", inner), Conv("branch7x7_2", inner, row), Conv("branch7x7_3", 192, column)],
        [
            Conv("branch7x7dbl_1", inner),
            Conv("branch7x7dbl_2", inner, column),
            Conv("branch7x7dbl_3", inner, row),
            Conv("branch7x7dbl_4", inner, column),
            Conv("branch7x7dbl_5", 192, row),
        ],
        [Pool("average"), Conv("branch_pool", 192)],
    ]


def _mixed_8(pooling: str) -> list[Branch]:
    """The blocks at 8 x 8: filter banks that fork (figure 7)."""
    return [
        [Conv("branch1x1", 320)],
        [
            Conv("branch3x3_1", 384),
            Fork((Conv("branch3x3_2a", 384, (1, 3)), Conv("branch3x3_2b", 384, (3, 1)))),
        ],
        [
            Conv("branch3x3dbl_1", 448),
            Conv("branch3x3dbl_2", 384, (3, 3)),
            Fork((Conv("branch3x3dbl_3a", 384, (1, 3)), Conv("branch3x3dbl_3b", 384, (3, 1)))),
        ],
        [Pool(pooling), Conv("branch_pool", 192)],
    ]


MIXED: dict[str, list[Branch]] = {
    "Mixed_5b": _mixed_35(32),
    "Mixed_5c": _mixed_35(64),
    "Mixed_5d": _mixed_35(64),
    "Mixed_6a": [  # 35 x 35 -> 17 x 17
        [Conv("branch3x3", 384, (3, 3), stride=2)],
        [Conv("branch3x3dbl_1", 64), Conv("branch3x3dbl_2", 96, (3, 3)), Conv("branch3x3dbl_3", 96, (3, 3), stride=2)],
        [Pool("maximum", stride=2)],
    ],
    "Mixed_6b": _mixed_17(128),
    "Mixed_6c": _mixed_17(160),
    "Mixed_6d": _mixed_17(160),
    "Mixed_6e": _mixed_17(192),
    "Mixed_7a": [  # 17 x 17 -> 8 x 8
        [Conv("branch3x3_1", 192), Conv("branch3x3_2", 320, (3, 3), stride=2)],
        [
            Conv("branch7x7x3_1", 192),
            Conv("branch7x7x3_2", 192, (1, 7)),
            Conv("branch7x7x3_3", 192, (7, 1)),
            Conv("branch7x7x3_4", 192, (3, 3), stride=2),
        ],
        [Pool("maximum", stride=2)],
    ],
    "Mixed_7b": _mixed_8("average"),
    "Mixed_7c": _mixed_8("maximum"),
}


class FidInception(nn.Module):
    """Inception-v3 with the keys of ``pt_inception-2015-12-05-6726825d.pth``, its unused classifier included."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = ConvUnit(3, 32, (3, 3), stride=2, padded=False)
        self.Conv2d_2a_3x3 = ConvUnit(32, 32, (3, 3), padded=False)
        self.Conv2d_2b_3x3 = ConvUnit(32, 64, (3, 3))
        self.Conv2d_3b_1x1 = ConvUnit(64, 80, (1, 1))
        self.Conv2d_4a_3x3 = ConvUnit(80, 192, (3, 3), padded=False)
        channels = 192
        for name, branches in MIXED.items():
            block = Mixed(channels, branches)
            self.add_module(name, block)
            channels = block.channels
        self.fc = nn.Linear(channels, CLASSES)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's annotations lack it
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, 299, 299) in [-1, 1] -> (n, 2048) features, the means of the last maps; never negative."""
        return self.stages(images)[-1].flatten(start_dim=1)

    def stages(self, images: Tensor) -> list[Tensor]:
        """The maps behind the first and second pooling, behind the 17 x 17 blocks, and the mean of the last maps.

        Shapes (n, 64, 73, 73), (n, 192, 35, 35), (n, 768, 17, 17) and (n, 2048, 1, 1) for 299 x 299 pixels.
        """
        halve = Pool("maximum", stride=2)
        images = images.contiguous(memory_format=torch.channels_last)
        first = halve(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(images))))
        second = halve(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(first)))
        third = self._through(second, "Mixed_5b", "Mixed_6e")
        last = self._through(third, "Mixed_7a", "Mixed_7c")
        return [first, second, third, last.mean(dim=(2, 3), keepdim=True)]

    def _through(self, values: Tensor, first: str, last: str) -> Tensor:
        """Through the blocks from one name to another, both included."""
        for name in MIXED:
            if first <= name <= last:
                values = self.get_submodule(name)(values)
        return values


def prepare(images: Tensor) -> Tensor:
    """uint8 (n, 3, h, w) -> float32 (n, 3, 299, 299) in [-1, 1], resized bilinearly without antialiasing."""
    values = images.to(torch.float32) / 255
    return 2 * functional.interpolate(values, size=(SIDE, SIDE), mode="bilinear", align_corners=False) - 1


def load(path: str | Path, *, digest: str | None = None) -> FidInception:
    """The network with the weights of a file, in eval mode, without executing anything in it.

    digest: SHA-256 that the file must have, None: any. torch-fidelity's copy of the file fits, too. Raises
    `guidebench.errors.BadInput` in one line.
    """
    return load_strictly(FidInception(), state_dict(path, digest=digest), path)


class Extractor(nn.Module):
    """What a testbed's features come from; it needs nothing of torch-fidelity, which takes long to import."""

    def __init__(self, network: FidInception) -> None:
        super().__init__()
        self.network = network

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor]:
        """uint8 (n, 3, h, w) -> ((n, 2048),)."""
        return (self.network(prepare(images)),)


def register() -> type[nn.Module]:
    """Make `feature_extractor="inception-v3-pytorch-fid"` known to torch-fidelity; returns the extractor's class."""
    if _registered:
        return _registered[0]
    import_torch_fidelity()
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase
    from torch_fidelity.registry import register_feature_extractor

    class InceptionPytorchFid(FeatureExtractorBase):
        """See the module. torch-fidelity passes its own options on, of which only the path of the weights applies."""

        def __init__(
            self,
            name: str = NAME,
            features_list: Any = (str(DIM),),
            feature_extractor_weights_path: str | Path | None = None,
            network: FidInception | None = None,
            **_: Any,
        ) -> None:
            super().__init__(name, features_list)
            if network is None and feature_extractor_weights_path is None:
                raise BadInput(
                    f"{NAME} comes without weights; name the file pt_inception-2015-12-05-6726825d.pth "
                    "in feature_extractor_weights_path"
                )
            self.extractor = Extractor(network or load(str(feature_extractor_weights_path)))

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return (str(DIM),)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return str(DIM)

        @staticmethod
        def can_be_compiled() -> bool:
            return True

        @staticmethod
        def get_dummy_input_for_compile() -> Tensor:
            return torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8)

        def forward(self, images: Tensor) -> tuple[Tensor]:
            """See `Extractor`."""
            return self.extractor(images)

    register_feature_extractor(NAME, InceptionPytorchFid)
    _registered.append(InceptionPytorchFid)
    return InceptionPytorchFid


def feature_source(path: str | Path, *, device: torch.device | str = "cpu", digest: str | None = None) -> FeatureSource:
    """FID features for a testbed's judges, with the weights of a file on ``device``. Errors as `load`."""
    extractor = Extractor(load(path, digest=digest)).to(device).eval()
    return FeatureSource(name=NAME, extractor=extractor, dim=DIM, description=DESCRIPTION)
