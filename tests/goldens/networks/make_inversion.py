"""Takes lpips.npz, inception.npz and goae.npz out of the reference arrays: python make_inversion.py REFERENCE_FOLDER.

Nothing is computed here but norms: each number was recorded from the released code, with recipe weights (README.md).
"""

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def lpips(reference: Path) -> dict[str, np.ndarray]:
    """What tests/unit/networks/test_lpips.py compares with."""
    recorded = np.load(reference / "lpips_io.npz")
    arrays = {}
    for size in ("64x64", "96x160"):
        gradient = recorded[f"grad_{size}"]
        arrays |= {
            f"terms_{size}": recorded[f"per_layer_{size}"],
            f"near_{size}": recorded[f"d_near_{size}"],
            f"gradient_{size}": gradient[:, :, ::8, ::8],
            f"gradient_norm_{size}": np.linalg.norm(gradient.astype(np.float64)),
        }
    return arrays


def inception(reference: Path) -> dict[str, np.ndarray]:
    """What tests/unit/networks/test_inception.py compares with."""
    recorded = np.load(reference / "fid_inception_io.npz")
    table = json.loads((reference / "fid_inception.json").read_text())
    digests = table["block_digests_first_two_512"]
    arrays = {"stage_digests_512x512": np.array([digests[f"block{place}"] for place in range(4)])}
    for size in ("512x512", "299x299", "128x128"):
        arrays[f"features_{size}"] = recorded[f"features_{size}"][:, ::8]
        arrays[f"uint8_sum_{size}"] = recorded[f"uint8_sum_{size}"]
    changes = table["relative_feature_change_if"]
    return arrays | {f"change_if_{name}": np.array(changes[name]) for name in ("align_corners_true", "antialias")}


def goae(reference: Path) -> dict[str, np.ndarray]:
    """What tests/unit/networks/test_goae.py compares with."""
    recorded = np.load(reference / "goae_io.npz")
    structure = json.loads((reference / "goae_keys.json").read_text())["structural_digests"]
    arrays = {"w": recorded["w"][:, :, ::8], "w_base": recorded["w_base"][:, 0, ::8]}
    for name in ("base", "query", "coarse", "mid", "fine"):
        arrays[f"{name}_digest"] = recorded[f"swin_{name}_digest"]
    for name in (
        "layers.0.blocks.1.attn_mask",
        "layers.1.blocks.1.attn_mask",
        "layers.2.blocks.17.attn.relative_coords_table",
        "layers.2.blocks.17.attn.relative_position_index",
        "layers.3.blocks.1.attn.relative_coords_table",
        "layers.3.blocks.1.attn.relative_position_index",
    ):
        arrays[name] = np.array(structure[f"swin_model.{name}"])
    return arrays


if __name__ == "__main__":
    for extract in (lpips, inception, goae):
        np.savez_compressed(HERE / f"{extract.__name__}.npz", **extract(Path(sys.argv[1])))
