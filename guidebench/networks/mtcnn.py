"""MTCNN, the three-stage face detector of the evaluation (Zhang et al., arXiv 1604.02878).

P-Net looks at every 12 x 12 window of an image pyramid and proposes boxes, R-Net rejects most of them, O-Net keeps the
faces and finds five landmarks. Between the stages, boxes are moved by the network's offsets, thinned out by non-maximum
suppression, made square and cut out of the image. Module names are the keys of the published weight files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from guidebench.networks import checkpoints
from guidebench.networks.loading import load_strictly

CELL = 12  # pixels per side of the window that one output of P-Net sees
STRIDE = 2  # pixels between neighbouring windows
SIZES = (24, 48)  # pixels per side of the inputs of R-Net and O-Net
BATCH = 256  # windows that R-Net and O-Net look at together

Convention = Literal["published", "corrected"]


@dataclass(frozen=True)
class Settings:
    """What a detection depends on besides the weights."""

    softmax_over: Literal["classes", "width"]  # axis of P-Net's softmax; R-Net and O-Net have only the classes
    thresholds: tuple[float, float, float]  # smallest face probability that passes P-Net, R-Net, O-Net
    clips_boxes: bool  # a box over the border is shortened to the image once a network has seen it, padding and all
    min_face: int = 20  # pixels; smallest face that the pyramid can show to P-Net
    factor: float = 0.707  # scale between levels of the pyramid: half the area
    overlap_in_level: float = 0.5  # largest overlap of boxes that survives within a level of the pyramid
    overlaps: tuple[float, float, float] = (0.7, 0.7, 0.7)  # and after P-Net, R-Net and O-Net


# "published": the released evaluation normalises P-Net's outputs over the width of the image instead of over face and
# non-face, and lowers all thresholds to live with that. It also applies offsets and landmarks, fractions of the padded
# square that a network saw, to the part of that square inside the image; one of the five recorded photographs shows
# it. "corrected": the paper's softmax, the customary thresholds, whole boxes.
CONVENTIONS: Mapping[Convention, Settings] = {
    "published": Settings(softmax_over="width", thresholds=(0.15, 0.25, 0.35), clips_boxes=True),
    "corrected": Settings(softmax_over="classes", thresholds=(0.6, 0.7, 0.8), clips_boxes=False),
}


@dataclass(frozen=True)
class Detections:
    """The faces of one image, the surest first."""

    boxes: np.ndarray  # (k, 5) float64: left, top, right, bottom in pixels, probability
    landmarks: np.ndarray  # (k, 10) float32: x of left eye, right eye, nose, mouth corners, then their y, in pixels

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.boxes)

    def points(self, face: int) -> np.ndarray:
        """Landmarks of one face as (5, 2) points (x, y)."""
        return self.landmarks[face].reshape(2, 5).T


class FaceDetector(ABC):
    """Finds faces and five landmarks of each."""

    @abstractmethod
    def detect(self, image: np.ndarray) -> Detections:
        """(h, w, 3) uint8 RGB -> the faces. Finding none is not an error."""


def _convolutions(*shapes: tuple[int, int, int], pools: tuple[tuple[int, int], ...]) -> OrderedDict[str, nn.Module]:
    """Convolutions (inputs, outputs, kernel) with PReLU; max pools (kernel, stride) follow the first ones."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for index, (inputs, outputs, kernel) in enumerate(shapes, start=1):
        layers[f"conv{index}"] = nn.Conv2d(inputs, outputs, kernel)
        layers[f"prelu{index}"] = nn.PReLU(outputs)
        if index <= len(pools):
            layers[f"pool{index}"] = nn.MaxPool2d(*pools[index - 1], ceil_mode=True)
    return layers


class FlattenByColumns(nn.Module):
    """(n, c, h, w) -> (n, c w h): the order of the weights, which were trained where arrays are stored by columns."""

    def forward(self, maps: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c w h)."""
        return maps.transpose(2, 3).flatten(1)


class PNet(nn.Module):
    """The proposal network, fully convolutional."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(_convolutions((3, 10, 3), (10, 16, 3), (16, 32, 3), pools=((2, 2),)))
        self.conv4_1 = nn.Conv2d(32, 2, 1)
        self.conv4_2 = nn.Conv2d(32, 4, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 3, h, w) -> box offsets (n, 4, h', w') and class scores (n, 2, h', w') before the softmax.

        h' = ⌈h / 2⌉ - 5, and so for the width.
        """
        maps = self.features(images)
        return self.conv4_2(maps), self.conv4_1(maps)


class RNet(nn.Module):
    """The refinement network."""

    def __init__(self) -> None:
        super().__init__()
        layers = _convolutions((3, 28, 3), (28, 48, 3), (48, 64, 2), pools=((3, 2), (3, 2)))
        layers["flatten"] = FlattenByColumns()
        layers["conv4"] = nn.Linear(576, 128)
        layers["prelu4"] = nn.PReLU(128)
        self.features = nn.Sequential(layers)
        self.conv5_1 = nn.Linear(128, 2)
        self.conv5_2 = nn.Linear(128, 4)

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 3, 24, 24) -> box offsets (n, 4) and class scores (n, 2) before the softmax."""
        features = self.features(windows)
        return self.conv5_2(features), self.conv5_1(features)


class ONet(nn.Module):
    """The output network."""

    def __init__(self) -> None:
        super().__init__()
        layers = _convolutions((3, 32, 3), (32, 64, 3), (64, 64, 3), (64, 128, 2), pools=((3, 2), (3, 2), (2, 2)))
        layers["flatten"] = FlattenByColumns()
        layers["conv5"] = nn.Linear(1152, 256)
        layers["prelu5"] = nn.PReLU(256)
        self.features = nn.Sequential(layers)
        self.conv6_1 = nn.Linear(256, 2)
        self.conv6_2 = nn.Linear(256, 4)
        self.conv6_3 = nn.Linear(256, 10)

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(n, 3, 48, 48) -> landmarks (n, 10), box offsets (n, 4), class scores (n, 2) before the softmax.

        Landmarks are fractions of the box's width (five x) and height (five y).
        """
        features = self.features(windows)
        return self.conv6_3(features), self.conv6_2(features), self.conv6_1(features)


class Mtcnn(nn.Module, FaceDetector):
    """The detector: three networks and the settings of a convention."""

    def __init__(self, pnet: PNet, rnet: RNet, onet: ONet, settings: Settings) -> None:
        super().__init__()
        self.pnet, self.rnet, self.onet = pnet, rnet, onet
        self.settings = settings

    @torch.no_grad()
    def detect(self, image: np.ndarray) -> Detections:
        """(h, w, 3) uint8 RGB -> the faces of at least ``settings.min_face`` pixels. Finding none is not an error.

        An image that no such face fits into has none. Raises ValueError if the image is grey, has an alpha channel or
        holds other numbers than uint8.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"a face is looked for in uint8 (h, w, 3) RGB, not in {image.dtype} {image.shape}")
        boxes = self._propose(image)
        boxes = self._refine(image, boxes)
        return self._finish(image, boxes)

    def face_probability(self, maps: Tensor) -> Tensor:
        """P-Net's class scores (n, 2, h, w) -> what its threshold is compared with (n, h, w)."""
        axis = {"classes": 1, "width": -1}[self.settings.softmax_over]
        return maps.softmax(dim=axis)[:, 1]

    def _propose(self, image: np.ndarray) -> np.ndarray:
        """Boxes (k, 5) that P-Net finds at any level of the pyramid, moved by its offsets and square."""
        height, width = image.shape[:2]
        picture = Image.fromarray(image)
        found = [np.zeros((0, 9))]
        for scale in pyramid_scales(min(height, width), self.settings):
            size = int(np.ceil(width * scale)), int(np.ceil(height * scale))
            level = picture.resize(size, Image.Resampling.BILINEAR)
            offsets, scores = self.pnet(self._input([level]))
            probability = _array(self.face_probability(scores))[0]
            boxes = windows_above(probability, _array(offsets)[0], scale, self.settings.thresholds[0])
            found.append(boxes[suppress(boxes[:, :5], self.settings.overlap_in_level)])
        boxes = np.concatenate(found)
        boxes = boxes[suppress(boxes[:, :5], self.settings.overlaps[0])]
        return within(square(move(boxes[:, :5], boxes[:, 5:])), image)

    def _refine(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """The boxes (k, 5) that R-Net keeps, moved by its offsets and square."""
        if not len(boxes):
            return boxes
        offsets, scores = self._look(self.rnet, image, boxes, SIZES[0])
        boxes = self._seen(boxes, image)
        boxes, offsets = _keep_faces(boxes, scores, self.settings.thresholds[1], offsets)
        kept = suppress(boxes, self.settings.overlaps[1])
        return within(square(move(boxes[kept], offsets[kept])), image)

    def _finish(self, image: np.ndarray, boxes: np.ndarray) -> Detections:
        """The faces among boxes (k, 5), with landmarks."""
        if not len(boxes):
            return Detections(np.zeros((0, 5)), np.zeros((0, 10), dtype=np.float32))
        landmarks, offsets, scores = self._look(self.onet, image, boxes, SIZES[1])
        boxes = self._seen(boxes, image)
        boxes, offsets, landmarks = _keep_faces(boxes, scores, self.settings.thresholds[2], offsets, landmarks)
        sides = boxes[:, 2:4] - boxes[:, 0:2] + 1  # (k, 2): a box holds its last pixel, too
        pixels = np.repeat(boxes[:, 0:2], 5, axis=1) + np.repeat(sides, 5, axis=1) * landmarks
        boxes = move(boxes, offsets)
        kept = suppress(boxes, self.settings.overlaps[2], relative_to="smaller")
        return Detections(boxes[kept], pixels[kept].astype(np.float32))

    def _look(self, network: nn.Module, image: np.ndarray, boxes: np.ndarray, size: int) -> list[np.ndarray]:
        """What a network says about each box."""
        parts = [
            network(self._input([cut(image, box, size) for box in boxes[start : start + BATCH]]))
            for start in range(0, len(boxes), BATCH)
        ]
        return [_array(torch.cat(outputs)) for outputs in zip(*parts, strict=True)]

    def _seen(self, boxes: np.ndarray, image: np.ndarray) -> np.ndarray:
        """The boxes that a network's offsets and landmarks are taken to refer to."""
        return clip(boxes, image) if self.settings.clips_boxes else boxes

    def _input(self, pictures: list[Image.Image]) -> Tensor:
        """Pictures of one size -> (n, 3, h, w) about [-1, 1]. The divisor 128 is the detector's own."""
        stacked = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).permute(0, 3, 1, 2)
        device = next(self.parameters()).device
        return (stacked.to(device, torch.float32) - 127.5) / 128


def load(folder: str | Path, *, convention: Convention) -> Mtcnn:
    """The detector with the weights ``pnet.npy``, ``rnet.npy``, ``onet.npy`` of a folder, frozen, on the CPU.

    Raises `guidebench.errors.BadInput` if a file is absent, unreadable or holds other tensors.
    """
    networks = PNet(), RNet(), ONet()
    for network, name in zip(networks, ("pnet", "rnet", "onet"), strict=True):
        path = Path(folder) / f"{name}.npy"
        load_strictly(network, checkpoints.state_dict(path), path)
    return Mtcnn(*networks, CONVENTIONS[convention]).eval().requires_grad_(False)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy()


def _keep_faces(boxes: np.ndarray, scores: np.ndarray, threshold: float, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """Boxes (k, 5) whose face probability passes, with that probability, and the same rows of other arrays."""
    probability = torch.from_numpy(scores).softmax(dim=1)[:, 1].numpy()
    kept = probability > threshold
    rescored = np.column_stack([boxes[kept, :4], probability[kept]])
    return rescored, *(other[kept] for other in others)


def pyramid_scales(shorter_side: int, settings: Settings) -> list[float]:
    """Scales at which P-Net looks at an image, largest first.

    The first shows faces of ``min_face`` pixels as one window; levels follow while one window fits. Empty if none does.
    """
    scale, scales = CELL / settings.min_face, []
    while shorter_side * scale > CELL:
        scales.append(scale)
        scale *= settings.factor
    return scales


def windows_above(probability: np.ndarray, offsets: np.ndarray, scale: float, threshold: float) -> np.ndarray:
    """P-Net's windows with a face probability above the threshold, in pixels of the image.

    probability: (h, w), offsets: (4, h, w). Returns (k, 9): left, top, right, bottom in whole pixels, probability,
    offsets.
    """
    rows, columns = np.nonzero(probability > threshold)
    corners = STRIDE * np.column_stack([columns, rows]) + 1
    edges = np.round(np.hstack([corners, corners + CELL]) / scale)
    return np.column_stack([edges, probability[rows, columns], offsets[:, rows, columns].T]).astype(np.float64)


def suppress(
    boxes: np.ndarray, largest_overlap: float, *, relative_to: Literal["union", "smaller"] = "union"
) -> np.ndarray:
    """Greedy non-maximum suppression: indices of the boxes (k, 5) that stay, the surest first.

    A box stays if its overlap with every surer one that stays is at most ``largest_overlap``. The overlap is the common
    area over that of the union, or of the smaller box. Boxes hold their last pixel.
    """
    order = np.argsort(-boxes[:, 4], kind="stable")
    low, high = boxes[:, 0:2], boxes[:, 2:4] + 1
    areas = (high - low).prod(axis=1)
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        sides = np.minimum(high[best], high[order]) - np.maximum(low[best], low[order])
        common = sides.clip(min=0).prod(axis=1)
        if relative_to == "union":
            overlap = common / (areas[best] + areas[order] - common)
        else:
            overlap = common / np.minimum(areas[best], areas[order])
        order = order[overlap <= largest_overlap]
    return np.array(kept, dtype=np.int64)


def move(boxes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Boxes (k, 5) with each edge moved by its offset (k, 4), a fraction of the box's width or height."""
    sides = boxes[:, 2:4] - boxes[:, 0:2] + 1
    edges = boxes[:, :4] + np.hstack([sides, sides]) * offsets
    return np.column_stack([edges, boxes[:, 4]])


def square(boxes: np.ndarray) -> np.ndarray:
    """Boxes (k, 5) grown to squares about their centres, edges rounded to whole pixels."""
    sides = boxes[:, 2:4] - boxes[:, 0:2] + 1
    side = sides.max(axis=1, keepdims=True)
    corner = boxes[:, 0:2] + sides / 2 - side / 2
    return np.column_stack([np.round(np.hstack([corner, corner + side - 1])), boxes[:, 4]])


def within(boxes: np.ndarray, image: np.ndarray) -> np.ndarray:
    """The boxes (k, 5) that hold at least one pixel of the image; offsets can push a box out of it or turn it over."""
    shortened = clip(boxes, image)
    return boxes[(shortened[:, 2:4] >= shortened[:, 0:2]).all(axis=1)]


def clip(boxes: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Boxes (k, 5) shortened to the image: left and top at least 0, right and bottom at most the last pixel."""
    height, width = image.shape[:2]
    left_top, right_bottom = np.maximum(boxes[:, 0:2], 0), np.minimum(boxes[:, 2:4], [width - 1, height - 1])
    return np.column_stack([left_top, right_bottom, boxes[:, 4]])


def cut(image: np.ndarray, box: np.ndarray, size: int) -> Image.Image:
    """The pixels of a box (left, top, right, bottom, ...), black outside the image, resized to ``size`` x ``size``.

    The box has whole edges and holds at least one pixel of the image.
    """
    left, top, right, bottom = (int(edge) for edge in box[:4])
    height, width = image.shape[:2]
    window = np.zeros((bottom - top + 1, right - left + 1, 3), dtype=np.uint8)
    inside = image[max(top, 0) : min(bottom + 1, height), max(left, 0) : min(right + 1, width)]
    row, column = max(-top, 0), max(-left, 0)
    window[row : row + inside.shape[0], column : column + inside.shape[1]] = inside
    return Image.fromarray(window).resize((size, size), Image.Resampling.BILINEAR)
