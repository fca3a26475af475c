"""Takes guide_loop.npz out of the reference arrays: python make_guide_loop.py REFERENCE_FOLDER.

Nothing is computed here. Five optimisation steps of GUIDE were recorded from the released code with constant noise, on
a small EG3D of 128 px; all weights are drawn by name (tests/recipe_weights.py), salts in ``facts``.
"""

import json
import sys
from pathlib import Path

import numpy as np

UNUSED = ("torch_rng_state", "numpy_mt19937_keys", "numpy_mt19937_pos_gauss", "camera_params_front")
SETTINGS = (
    "lr",
    "lambdas",
    "alpha_range",
    "batch",
    "target",
    "target_d",
    "salts",
    "config",
    "neural_rendering_resolution",
)
FINDINGS = ("trainable", "grad_norm_step1", "final", "loss_dtype", "image_dtypes")


def guide_loop(reference: Path) -> dict[str, np.ndarray | str]:
    """What tests/unit/baselines/test_guide_loop.py compares with."""
    arrays = np.load(reference / "guide_loop_const_io.npz")
    facts = json.loads((reference / "guide_loop_const.json").read_text())
    config = json.loads((reference / "eg3d_tiny128.json").read_text())["config"]
    kept = {name: facts[name] for name in (*SETTINGS, *FINDINGS)} | {"config": config}
    return {name: arrays[name] for name in arrays.files if name not in UNUSED} | {"facts": json.dumps(kept)}


if __name__ == "__main__":
    np.savez_compressed(Path(__file__).parent / "guide_loop.npz", **guide_loop(Path(sys.argv[1])))
