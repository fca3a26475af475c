"""Takes irse.npz, a few kB, out of the reference arrays: python make_irse.py REFERENCE_FOLDER.

Nothing is computed here: every number was recorded from the released code, run with recipe weights (README.md).
"""

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
STAGES = ("input_layer", "body.0", "body.3", "body.7", "body.21", "body.23")


def extract(reference: Path) -> dict[str, np.ndarray]:
    """What tests/unit/networks/test_irse.py compares with."""
    recorded = np.load(reference / "arcface_io.npz")
    digests = json.loads((reference / "arcface.json").read_text())["ir_se50_intermediate_digest_first_image"]
    return {
        "ir_se50": recorded["emb_ir_se50"],
        "ir_101": recorded["emb_ir_101"],
        "stage_digests": np.array([digests[stage] for stage in STAGES]),
        "pooled_128": recorded["idloss_pooled_a_128"][:, :, ::8, ::8],
        "loss_128": recorded["idloss_128"],
        "loss_single_256": recorded["idloss_single_256"],
        "gradient_256": recorded["idloss_grad_256"][:, :, ::4, ::4],  # of every 4th pixel, every 4th: every 16th
        "gradient_256_mean": recorded["idloss_grad_absmean_256"],
    }


if __name__ == "__main__":
    np.savez_compressed(HERE / "irse.npz", **extract(Path(sys.argv[1])))
