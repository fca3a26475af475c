"""How alike the judges find people who have nothing to do with each other, and where a person counts as recognised."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from guidebench.cameras import view_yaws
from guidebench.images import from_uint8
from guidebench.testbed import Generator, Inverter, Recognizer
from guidebench.testbeds.mini.renderer import camera_labels
from guidebench.testbeds.mini.training.data import PROTOCOL_ELEVATION, PROTOCOL_YAW, load_held_out
from guidebench.testbeds.mini.training.generated import render_codes
from guidebench.testbeds.mini.training.loop import Settings, rng_for

FALSE_MATCHES = 1e-3  # the share of pairs of different people whose cosine exceeds the threshold
RESAMPLES = 2_000
VIEWS = 11  # of a protocol
VIEWS_EACH = 2  # of these that a code is seen from
LEVEL = 0.95  # of the interval


@dataclass(frozen=True)
class Lineup:
    """Faces of unseen people as protocols show them.

    Two photographs of each person, one of either style, were inverted, and each code is rendered from VIEWS_EACH of a
    protocol's views; two other photographs are there as they are.
    """

    images: Tensor  # (n, 3, r, r) uint8
    person: Tensor  # (n,) from 0
    photograph: Tensor  # (n,) bool: not a render


@torch.no_grad()
def lineup(settings: Settings, generator: Generator, inverter: Inverter) -> Lineup:
    """Of the people of the `calibration` set."""
    held_out = load_held_out(settings, "calibration")
    people, person = held_out["person"].unique(return_inverse=True)
    place = torch.arange(len(person)) % (len(person) // len(people))
    inverted, photographs = place < 2, (place >= 2) & (place < 4)
    codes = torch.cat(
        [inverter.invert(from_uint8(part).to(generator.w_avg)) for part in held_out["images"][inverted].split(50)]
    ).repeat_interleave(VIEWS_EACH, dim=0)
    chosen = torch.randint(VIEWS, (len(codes),), generator=rng_for(settings.seed, "strangers/views", 0))
    yaw = view_yaws(VIEWS, PROTOCOL_YAW)[chosen]
    renders = render_codes(generator, codes, camera_labels(yaw, torch.full_like(yaw, PROTOCOL_ELEVATION)))
    return Lineup(
        images=torch.cat([renders, held_out["images"][photographs]]),
        person=torch.cat([person[inverted].repeat_interleave(VIEWS_EACH), person[photographs]]),
        photograph=torch.arange(len(renders) + int(photographs.sum())) >= len(renders),
    )


@torch.no_grad()
def embedded(recognizer: Recognizer, images: Tensor) -> Tensor:
    """Unit rows of uint8 images (n, 3, h, w)."""
    return torch.cat([recognizer.embed(from_uint8(part)).vectors.cpu() for part in images.split(100)])


def _pairs(faces: Lineup) -> Tensor:
    """(n, n) bool: each pair once, of which at least one is a render."""
    some_render = ~(faces.photograph[:, None] & faces.photograph[None])
    return some_render.triu(1)


def different_people(vectors: Tensor, faces: Lineup, rng: torch.Generator) -> dict[str, Any]:
    """Mean, standard deviation, number of pairs, threshold and its interval, of all pairs of different people.

    The interval resamples people, not pairs: pairs that share a person are not independent.
    """
    chosen = _pairs(faces) & (faces.person[:, None] != faces.person[None])
    rows, columns = chosen.nonzero(as_tuple=True)
    cosines = (vectors @ vectors.T)[chosen].double()
    tail = cosines.topk(max(1, int(20 * FALSE_MATCHES * len(cosines))))  # all that thresholds can lie in
    first, second = faces.person[rows[tail.indices]], faces.person[columns[tail.indices]]
    count = int(faces.person.max()) + 1
    blocks = torch.zeros(count, count, dtype=torch.float64)
    blocks.index_put_((faces.person[rows], faces.person[columns]), torch.ones(len(rows)).double(), accumulate=True)

    def threshold(times: Tensor) -> float:
        """Where each person is there so many times."""
        above = (times[first] * times[second]).cumsum(0)
        wanted = FALSE_MATCHES * (times @ blocks @ times)
        return float(tail.values[min(int(torch.searchsorted(above, wanted)), len(above) - 1)])

    draws = torch.randint(count, (RESAMPLES, count), generator=rng)
    resampled = torch.tensor([threshold(draw.bincount(minlength=count).double()) for draw in draws])
    low, high = resampled.quantile(torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2])).tolist()
    return {
        "mean": round(float(cosines.mean()), 4),
        "std": round(float(cosines.std()), 4),
        "pairs": len(cosines),
        "threshold": round(threshold(torch.ones(count).double()), 4),
        "threshold_interval": [round(low, 4), round(high, 4)],
    }


def accepted(vectors: Tensor, faces: Lineup, threshold: float) -> float:
    """Share of pairs of a render and another photograph of the same person whose cosine exceeds the threshold."""
    one_photograph = faces.photograph[:, None] ^ faces.photograph[None]
    chosen = one_photograph.triu(1) & (faces.person[:, None] == faces.person[None])
    return float(((vectors @ vectors.T)[chosen] > threshold).double().mean())
