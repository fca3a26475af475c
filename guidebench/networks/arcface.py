"""ArcFace as insightface's model packs hold it: a face detector (SCRFD) and a recogniser, both ONNX files on disk.

Deng et al., arXiv 1801.07698; Guo et al., "Sample and Computation Redistribution for Efficient Face Detection", arXiv
2105.04714. insightface's classes read the files and onnxruntime runs them. Nothing is downloaded. A session that
onnxruntime silently put on the CPU although CUDA was asked for is refused (docs/dependencies.md).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from guidebench.errors import BadInput, MissingAsset, in_one_line
from guidebench.files import open_regular
from guidebench.images import to_arrays
from guidebench.networks.irse import EMBEDDING_DIM, AlignedRecognizer
from guidebench.networks.mtcnn import Detections, FaceDetector
from guidebench.repairs import REPAIR_ONNXRUNTIME

DETECTOR_SIDE = 640  # pixels per side that the detector sees: insightface's default; images are resized to it
# What the detector is shown, the convention "padded": the image in the middle of a black one of twice its sides.
# SCRFD loses faces that fill more than about 0.4 of a square picture, and in EG3D's crops they fill 0.8 of its height.
PADDING = 0.5  # of an image's sides, on each side
DETECTOR_THRESHOLD = 0.5  # smallest face probability: insightface's default
BATCH = 64  # crops that the recogniser looks at together
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class ScrfdDetector(FaceDetector):
    """insightface's SCRFD, on images with a black border."""

    def __init__(self, model: Any, *, padding: float = PADDING) -> None:
        """model: prepared, with landmarks. padding: the border, in sides of the image; 0 is insightface's default."""
        self.model = model
        self.padding = padding

    def detect(self, image: np.ndarray) -> Detections:
        """(h, w, 3) uint8 RGB -> faces, the surest first, in pixels of the image. Finding none is not an error."""
        down, across = (round(self.padding * side) for side in image.shape[:2])
        padded = np.pad(image[..., ::-1], ((down, down), (across, across), (0, 0)))  # takes BGR
        boxes, points = self.model.detect(padded)
        landmarks = (points - [across, down]).transpose(0, 2, 1).reshape(len(points), 10)
        return Detections(boxes - [across, down, across, down, 0.0], landmarks.astype(np.float32))


class OnnxRecognizer(nn.Module):
    """A recognition file of insightface as a network of aligned faces."""

    def __init__(self, model: Any) -> None:
        """model: insightface's ArcFaceONNX."""
        super().__init__()
        self.model = model
        fixed = model.input_shape[0]
        self.batch = fixed if isinstance(fixed, int) else BATCH  # some files take one face at a time

    def forward(self, faces: Tensor) -> Tensor:
        """(n, 3, 112, 112) in [-1, 1], as PNGs hold them -> (n, 512) unit rows on the same device."""
        pictures = [np.ascontiguousarray(picture[..., ::-1]) for picture in to_arrays(faces)]  # takes BGR uint8
        batches = [pictures[start : start + self.batch] for start in range(0, len(pictures), self.batch)]
        rows = np.concatenate([self.model.get_feat(batch) for batch in batches])
        return functional.normalize(torch.from_numpy(rows).to(faces.device, torch.float32), dim=1)


def load(detector: str | Path, recogniser: str | Path, *, device: torch.device | str = "cpu") -> AlignedRecognizer:
    """A judge of identity from two ONNX files, its sessions on ``device``.

    Faces are aligned as insightface does (`residual_in="template"`). Raises `guidebench.errors.BadInput`, naming the
    file, if one is not what it should be, and MissingAsset if onnxruntime cannot use CUDA and ``device`` is CUDA.
    """
    finder = load_detector(detector, device=device)
    network = read_model(recogniser, "ArcFaceONNX", device=device)
    if network.output_shape[-1] != EMBEDDING_DIM:
        raise BadInput(f"{recogniser} gives {network.output_shape[-1]} numbers per face instead of {EMBEDDING_DIM}")
    return AlignedRecognizer(finder, OnnxRecognizer(network), residual_in="template")


def load_detector(path: str | Path, *, device: torch.device | str = "cpu") -> ScrfdDetector:
    """The face detector of a pack on padded images, else with insightface's defaults, its session on ``device``.

    Raises as `load`.
    """
    model = read_model(path, "SCRFD", device=device)
    if not model.use_kps:
        raise BadInput(f"{path} finds faces without landmarks; give the detector of a pack such as buffalo_l")
    model.prepare(0, input_size=(DETECTOR_SIDE, DETECTOR_SIDE), det_thresh=DETECTOR_THRESHOLD)  # 0: as it was read
    return ScrfdDetector(model)


def read_model(path: str | Path, kind: str, *, device: torch.device | str = "cpu", strictly: bool = True) -> Any:
    """insightface's model of an ONNX file: SCRFD or ArcFaceONNX, which it recognises by the shapes of the graph.

    strictly: raise MissingAsset if onnxruntime runs the file on the CPU although ``device`` is CUDA. Raises BadInput,
    naming the file, if it cannot be read or is of another kind.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before onnxruntime is imported
    import onnxruntime
    from insightface.model_zoo import get_model

    on_cuda = torch.device(device).type == "cuda"
    cuda = (CUDA, {"device_id": torch.device(device).index or 0})
    providers = [cuda, CPU] if on_cuda and CUDA in onnxruntime.get_available_providers() else [CPU]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        if _needs_other_files(path):
            raise BadInput(f"{path} takes numbers from other files, which no pack does; add the pack again")
        model = get_model(str(path), providers=providers, sess_options=options)
    except BadInput:
        raise
    except Exception as error:  # onnxruntime and onnx raise classes of their own for every kind of damage
        reason = in_one_line(error)[:200]
        raise BadInput(f"{path} cannot be read as an ONNX model ({reason}); add the pack again") from None
    found = "another kind of model" if model is None else type(model).__name__
    if found != kind:
        raise BadInput(f"{path} should be {kind}, insightface reads it as {found}; add the pack again")
    if on_cuda and strictly and not runs_on_cuda(model):
        raise MissingAsset(
            f"onnxruntime runs {path} on the CPU although {device} was asked for; `{REPAIR_ONNXRUNTIME}` restores its "
            "GPU build, --device cpu runs everything on the CPU"
        )
    return model


def _needs_other_files(path: str | Path) -> bool:
    """Whether an ONNX file names files that hold some of its numbers; onnxruntime would open them anywhere."""
    import onnx

    with open_regular(path) as stream:
        model = onnx.load(stream, load_external_data=False)
    return any(tensor.external_data or tensor.data_location == tensor.EXTERNAL for tensor in _tensors(model))


def _tensors(message: Any) -> Iterator[Any]:
    """Every tensor of an ONNX message: in graphs, in the attributes of their nodes, in functions."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if hasattr(value, "DESCRIPTOR") else value:
                yield from _tensors(part)


def runs_on_cuda(model: Any) -> bool:
    """Whether onnxruntime runs a model on CUDA. It never raises when it cannot, it only becomes slow."""
    return bool(model.session.get_providers()[0] == CUDA)
