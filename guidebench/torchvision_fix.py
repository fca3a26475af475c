"""Work-arounds for packages that do not import beside each other; see docs/dependencies.md."""

from __future__ import annotations

import sys
from types import ModuleType

_kept: list[object] = []  # torch operator libraries vanish when their handle is collected


def import_torchvision() -> ModuleType:
    """torchvision, also where PyPI's CUDA build of it is installed beside a CPU build of torch.

    That pair fails at import because the operator ``torchvision::nms`` is not registered; declaring the two operators
    that it looks for is enough for everything that guidebench's dependencies use. A healthy pair is left alone.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        import torch

        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        _kept.append(library)
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision
    return torchvision


def import_torch_fidelity() -> ModuleType:
    """torch_fidelity, which imports torchvision at module level."""
    import_torchvision()
    import torch_fidelity

    return torch_fidelity
