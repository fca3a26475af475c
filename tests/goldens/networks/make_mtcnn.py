"""Runs the detector with recipe weights and keeps what it finds in mtcnn.npz: python make_mtcnn.py.

The numbers are guidebench's own. They are worth keeping because the same code, with the published weights, gives the
boxes, landmarks and crops recorded from the released code (tests/reference/test_mtcnn_values.py); after a change that
breaks those, regenerating this file would hide it.
"""

import dataclasses
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import nn

from guidebench.networks.mtcnn import CONVENTIONS, Mtcnn, ONet, PNet, RNet

HERE = Path(__file__).parent
SALT = "guidebench-mtcnn9"  # of the first dozen numbers, one whose random networks let boxes through every stage
GAIN = 1.4
OFFSET_HEADS = ("conv4_2", "conv5_2", "conv6_2")
OFFSET_GAIN = np.float32(0.1)  # a trained detector moves edges by about a tenth of a box
THRESHOLDS = {"published": CONVENTIONS["published"].thresholds, "corrected": (0.55, 0.3, 0.3)}  # random nets are unsure


def networks(recipe: ModuleType) -> tuple[PNet, RNet, ONet]:
    """The three networks with recipe weights."""
    nets = PNet(), RNet(), ONet()
    for net in nets:
        slopes = {f"{name}.weight" for name, part in net.named_modules() if isinstance(part, nn.PReLU)}
        for key, value in net.state_dict().items():
            drawn = recipe.recipe_tensor(key, value.shape, f"{SALT}-{type(net).__name__}", gain=GAIN, prelu=slopes)
            value.copy_(torch.from_numpy(drawn * (OFFSET_GAIN if key.startswith(OFFSET_HEADS) else 1)))
    return nets


def picture(recipe: ModuleType) -> np.ndarray:
    """(96, 120, 3) uint8; smooth, coloured, no face."""
    drawn = recipe.recipe_image("mtcnn", (1, 3, 96, 120), "guidebench")
    return np.round((drawn[0].transpose(1, 2, 0) + 1) * 127.5).astype(np.uint8)


@torch.no_grad()
def measure(recipe: ModuleType) -> dict[str, np.ndarray]:
    """Raw outputs of each network for one input, and all detections under both conventions."""
    pnet, rnet, onet = networks(recipe)
    found = {}
    for net, size in ((pnet, (1, 3, 20, 31)), (rnet, (2, 3, 24, 24)), (onet, (2, 3, 48, 48))):
        inputs = torch.from_numpy(recipe.recipe_image(type(net).__name__, size, "guidebench", smooth=4))
        for index, output in enumerate(net(inputs)):
            found[f"{type(net).__name__}_{index}"] = output.numpy()
    for name, thresholds in THRESHOLDS.items():
        settings = dataclasses.replace(CONVENTIONS[name], thresholds=thresholds)
        detections = Mtcnn(pnet, rnet, onet, settings).detect(picture(recipe))
        found[f"{name}_boxes"], found[f"{name}_landmarks"] = detections.boxes, detections.landmarks
    return found


if __name__ == "__main__":
    spec = importlib.util.spec_from_file_location("recipe_weights", HERE.parents[1] / "recipe_weights.py")
    assert spec is not None and spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    recipe.self_check()
    np.savez_compressed(HERE / "mtcnn.npz", **measure(recipe))
