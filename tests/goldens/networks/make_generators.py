"""Takes eg3d.npz and stylegan2.npz out of the reference arrays: python make_generators.py REFERENCE_FOLDER.

Nothing is computed here: every number was recorded from the released code, run with recipe weights (README.md).
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent


def eg3d(reference: Path) -> dict[str, Any]:
    """What tests/unit/networks/test_eg3d.py compares with."""
    tiny, full = (np.load(reference / f"eg3d_{name}_io.npz") for name in ("tiny128", "full"))
    told, full_told = (json.loads((reference / f"eg3d_{name}.json").read_text()) for name in ("tiny128", "full"))
    keys = json.loads((reference / "eg3d_full_keys.json").read_text())
    return {
        "tiny_config": json.dumps(told["config"]),
        "tiny_salt": told["salt"],
        "tiny_rendering_resolution": told["neural_rendering_resolution"],
        "tiny_seed": told["seeded"]["torch_seed"],
        **{f"tiny_{name}": tiny[name] for name in ("z", "c_cond", "c_cam")},
        "tiny_w": tiny["ws"][:, 0],
        "tiny_w_psi07_cut7": tiny["ws_psi07_cut7"][:, 6:8],
        "tiny_planes": tiny["planes_sub"][:, ::4, ::4, ::4],
        "tiny_planes_std": tiny["planes_std"],
        "tiny_silent_planes_std": tiny["nonoise_planes_std"],
        "tiny_image": tiny["centre_image"][:, :, ::4, ::4],
        "tiny_raw": tiny["centre_image_raw"],
        "tiny_features": tiny["centre_feature_image"][:, ::3, ::4, ::4],
        "tiny_depth": tiny["centre_image_depth"],
        "tiny_opacity": tiny["centre_weight_sum"],
        "tiny_seeded_image": tiny["seeded_image"][:, :, ::4, ::4],
        "tiny_seeded_raw": tiny["seeded_image_raw"][:, :, ::2, ::2],
        "tiny_seednoise_image": tiny["seednoise_image_sub"][:, :, ::2, ::2],
        "tiny_points": tiny["points"][:, ::4],
        "tiny_points_rgb": tiny["points_rgb"][:, ::4],
        "tiny_points_sigma": tiny["points_sigma"][:, ::4],
        "full_config": json.dumps(full_told["config"]),
        "full_salt": full_told["salt"],
        "full_keys": json.dumps(keys["shapes"]),
        **{f"full_{name}": full[name] for name in ("z", "c_cond", "c_cam")},
        "full_w": full["ws"][:, 0],
        "full_planes": full["planes_sub"][:, ::4, ::4, ::4],
        "full_image64": full["centre64_image_sub"][:, :, ::2, ::2],
        "full_raw64": full["centre64_image_raw"][:, :, ::2, ::2],
        "full_depth64": full["centre64_depth"][:, :, ::2, ::2],
    }


def stylegan2(reference: Path) -> dict[str, Any]:
    """What tests/unit/networks/test_stylegan2.py compares with."""
    found: dict[str, Any] = {}
    for name, stride in (("tiny64", 3), ("tiny32_cond", 2)):
        arrays = np.load(reference / f"stylegan2_{name}_io.npz")
        told = json.loads((reference / f"stylegan2_{name}.json").read_text())
        found |= {
            f"{name}_config": json.dumps(told["config"]),
            f"{name}_salt": told["salt"],
            f"{name}_seed": told["seed_random_noise"],
            f"{name}_keys": json.dumps({key: value["shape"] for key, value in told["tensors"].items()}),
            f"{name}_z": arrays["z"],
            f"{name}_c": arrays["c"],
            f"{name}_w": arrays["ws"][:, 0],
            f"{name}_w_psi05_cut4": arrays["ws_psi05_cut4"][:, 3:5],
        }
        for kind in ("image_const", "image_none", "image_random_seeded", "forward_psi07"):
            found[f"{name}_{kind}"] = arrays[kind][:, :, ::stride, ::stride]
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    np.savez_compressed(HERE / "eg3d.npz", **eg3d(folder))
    np.savez_compressed(HERE / "stylegan2.npz", **stylegan2(folder))
