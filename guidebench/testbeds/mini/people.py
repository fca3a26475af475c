"""Who is who on mini: every person and every photograph is a function of an integer seed.

A person is 24 identity numbers. A photograph of a person adds 11 nuisance numbers (expression, light, background,
clothes) and a camera, in one of two styles: `in_domain`, the distribution that the generator was trained on, and
`shifted`, a distribution moved in lighting, expression, background and pose.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from guidebench.testbeds.mini.parameters import (
    IDENTITY_PARAMETERS,
    LATENT_DIM,
    NUISANCE_PARAMETERS,
    VISIBLE_PARAMETERS,
    latent_from_parameters,
)
from guidebench.testbeds.mini.renderer import camera_labels, render, sample_angles

Style = Literal["in_domain", "shifted"]

# The seeds of all people. The ranges never overlap, so nobody whom a protocol names was seen in training, no two of
# the three recognisers share a training identity, and whatever is tuned or calibrated is tuned on development people.
SEEDS: dict[str, range] = {
    "train/recognizer": range(0, 2_200),
    "train/curricularface": range(10_000, 12_200),
    "train/arcface": range(20_000, 22_200),
    "development": range(30_000, 31_000),
    "reals": range(40_000, 46_000),
    "ffhq": range(50_000, 50_500),
    "celebahq": range(60_000, 60_500),
}

_DRAWS_PER_PERSON = 1_000  # photographs are numbered 0 to 998; draw 999 is the person


@dataclass(frozen=True)
class Photographs:
    """What was drawn for n photographs; row i belongs to photograph i."""

    identity: Tensor  # (n, 24)
    nuisance: Tensor  # (n, 11)
    z: Tensor  # (n, 64), the latent that a perfect generator would need
    yaw: Tensor  # (n,) radians
    elevation: Tensor  # (n,) radians

    @property
    def cameras(self) -> Tensor:
        """(n, 25) camera labels."""
        return camera_labels(self.yaw, self.elevation)

    def render(self) -> Tensor:
        """(n, 3, RESOLUTION, RESOLUTION) in [-1, 1]."""
        return render(self.identity, self.nuisance, self.cameras)


def _generator(person: int, draw: int) -> torch.Generator:
    return torch.Generator().manual_seed(person * _DRAWS_PER_PERSON + draw)


def identity_of(person: int) -> Tensor:
    """The 24 identity numbers of a person's seed."""
    return torch.randn(IDENTITY_PARAMETERS, generator=_generator(person, _DRAWS_PER_PERSON - 1))


def photograph(person: int, number: int, style: Style) -> Photographs:
    """Draw one photograph of a person; `number` (0 to 998) distinguishes a person's photographs."""
    if not 0 <= number < _DRAWS_PER_PERSON - 1:
        raise ValueError(f"photograph {number} asked for; a person has photographs 0 to {_DRAWS_PER_PERSON - 2}")
    rng = _generator(person, number)
    nuisance = torch.randn(1, NUISANCE_PARAMETERS, generator=rng)
    spare = torch.randn(1, LATENT_DIM - VISIBLE_PARAMETERS, generator=rng)
    if style == "in_domain":
        yaw, elevation = sample_angles(1, rng)
    else:
        nuisance = _shift(nuisance)
        yaw, elevation = sample_angles(1, rng, yaw_std=0.40, elevation_std=0.14)
        elevation = (elevation + 0.05).clamp(-0.3, 0.3)
    identity = identity_of(person)[None]
    return Photographs(identity, nuisance, latent_from_parameters(identity, nuisance, spare), yaw, elevation)


def _shift(nuisance: Tensor) -> Tensor:
    """Move standard normal nuisances: mouths open and smile, light comes hard from one side, colours are vivid."""
    shifted = nuisance.clone()
    shifted[:, 0] = 0.9 * nuisance[:, 0] + 0.8  # mouth opening
    shifted[:, 1] = nuisance[:, 1] + 0.7  # smile
    shifted[:, 3] = nuisance[:, 3].sign() * (0.8 + 0.5 * nuisance[:, 3].abs())  # light azimuth
    shifted[:, 5] = nuisance[:, 5] + 0.5  # light strength
    shifted[:, 6] = nuisance[:, 6] - 0.4  # ambient light
    shifted[:, 7:10] = nuisance[:, 7:10] * 1.6  # background
    return shifted


def gather(photographs: list[Photographs]) -> Photographs:
    """Join photographs into one batch, in order."""
    return Photographs(
        identity=torch.cat([one.identity for one in photographs]),
        nuisance=torch.cat([one.nuisance for one in photographs]),
        z=torch.cat([one.z for one in photographs]),
        yaw=torch.cat([one.yaw for one in photographs]),
        elevation=torch.cat([one.elevation for one in photographs]),
    )
