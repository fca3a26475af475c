"""Measures what a recogniser is asked to overlook, and what it must not take for the opposite of a person."""

from collections.abc import Mapping

import torch
from torch import Tensor

from guidebench.baselines.guide import extrapolated_target
from guidebench.images import from_uint8, to_uint8
from guidebench.testbed import Generator, Recognizer
from guidebench.testbeds.mini.renderer import camera_labels
from guidebench.testbeds.mini.training.data import PROTOCOL_ELEVATION
from guidebench.testbeds.mini.training.edits import EDITS
from guidebench.testbeds.mini.training.generated import render_codes
from guidebench.testbeds.mini.training.strangers import embedded

Numbers = dict[str, float]
DISTANCE = 30.0  # GUIDE's d


def after_edits(recognizers: Mapping[str, Recognizer], photos: Tensor) -> dict[str, Numbers]:
    """Mean cosine of photographs (uint8) and what each of `EDITS` makes of them, by recogniser and edit."""
    edited = {
        name: torch.cat([to_uint8(edit(from_uint8(part))) for part in photos.split(100)])
        for name, edit in EDITS.items()
    }
    found = {}
    for name, recognizer in recognizers.items():
        before = embedded(recognizer, photos)
        found[name] = {
            edit: float((before * embedded(recognizer, images)).sum(dim=1).mean()) for edit, images in edited.items()
        }
    return found


@torch.no_grad()
def beyond_the_average(generator: Generator, recognizers: Mapping[str, Recognizer], z: Tensor) -> dict[str, Numbers]:
    """Mean cosine of a person and of who is on the far side of the average code, from the front, by recogniser.

    z (n, z_dim): the people. `mirrored` is as far beyond the average, `extrapolated` is GUIDE's target; `strangers` are
    the others of these people.
    """
    ws = generator.map(z.to(generator.w_avg))
    zero = torch.zeros(len(ws))
    cameras = camera_labels(zero, zero + PROTOCOL_ELEVATION)
    codes = {
        "person": ws,
        "mirrored": 2 * generator.w_avg - ws,
        "extrapolated": torch.cat([extrapolated_target(one[None], generator.w_avg, DISTANCE) for one in ws]),
    }
    images = {name: render_codes(generator, some, cameras) for name, some in codes.items()}
    result: dict[str, Numbers] = {}
    for name, recognizer in recognizers.items():
        rows = {who: embedded(recognizer, shown) for who, shown in images.items()}
        person = rows.pop("person")
        similarity = person @ person.T
        others = similarity[~torch.eye(len(person), dtype=torch.bool)]
        result[name] = {who: float((person * row).sum(dim=1).mean()) for who, row in rows.items()}
        result[name] |= {"strangers": float(others.mean()), "strangers_std": float(others.std())}
    return result
