"""Measures what figures in units of mini's own mean: distances to the real images, and the terms of GUIDE's loss."""

import numpy as np
import torch
from torch import Tensor

from guidebench import losses
from guidebench.baselines.guide import Guide, extrapolated_target
from guidebench.evidence import FrechetStatistics
from guidebench.images import from_uint8
from guidebench.metrics.frechet import fit, frechet_distance
from guidebench.noise import Noise
from guidebench.testbed import Generator, Judges, Players
from guidebench.testbeds.mini.parameters import LATENT_DIM
from guidebench.testbeds.mini.training.data import protocol_cameras
from guidebench.testbeds.mini.training.generated import render_codes
from guidebench.testbeds.mini.training.loop import Settings, rng_for

Numbers = dict[str, float]

FLOOR_COUNTS = (300, 1_000)  # images of a generator, as protocols have them
GAUSSIAN_REPEATS = 20
PEOPLE = 20  # for the terms of the local loss


@torch.no_grad()
def samples(settings: Settings, generator: Generator, judges: Judges, count: int) -> np.ndarray:
    """FID features (count, d) of random latents under the protocols' cameras."""
    rng = rng_for(settings.seed, "measure/fid", 0)
    z = torch.randn(count, LATENT_DIM, generator=rng).to(generator.w_avg)
    images = render_codes(generator, generator.map(z), protocol_cameras(count, rng))
    return np.concatenate([judges.features.features(from_uint8(part)) for part in images.split(100)])


def fid_floor(features: np.ndarray, real: FrechetStatistics) -> dict[str, Numbers]:
    """What FID reads of so few images that are as good as they can be, by their number.

    `generator`: the mean over disjoint parts of `features`, the generator's own. `gaussian`: the mean over draws from
    the Gaussian of the real images, whose distance is bias alone.
    """
    found = {}
    for count in (count for count in FLOOR_COUNTS if count <= len(features)):
        parts = [features[first : first + count] for first in range(0, len(features) - count + 1, count)]
        draws = np.random.default_rng(0).multivariate_normal(
            real.mean, real.covariance, (GAUSSIAN_REPEATS, count), method="eigh"
        )
        found[str(count)] = {
            "generator": float(np.mean([frechet_distance(fit([part]), real) for part in parts])),
            "gaussian": float(np.mean([frechet_distance(fit([part]), real) for part in draws])),
        }
    return found


@torch.no_grad()
def perceptual_distances(settings: Settings, players: Players, pairs: int) -> Numbers:
    """Mean and standard deviation of the perceptual distance of random generated faces under one protocol camera."""
    rng = rng_for(settings.seed, "measure/perceptual", 0)
    generator = players.generator
    ws = generator.map(torch.randn(2 * pairs, LATENT_DIM, generator=rng).to(generator.w_avg))
    cameras = protocol_cameras(pairs, rng).repeat(2, 1)
    images = from_uint8(render_codes(generator, ws, cameras)).to(generator.w_avg)
    distances = torch.cat(
        [players.perceptual(*pair) for pair in zip(images[:pairs].split(50), images[pairs:].split(50), strict=True)]
    )
    return {"mean": float(distances.mean()), "std": float(distances.std()), "pairs": float(pairs)}


@torch.no_grad()
def local_loss(settings: Settings, players: Players, held_out: dict[str, Tensor]) -> Numbers:
    """The weighted terms of GUIDE's local loss before the first step: from inverted people to their targets, means."""
    generator, guide = players.generator, Guide()
    photos = _one_each(held_out)
    codes = players.inverter.invert(from_uint8(photos).to(generator.w_avg))
    targets = torch.cat([extrapolated_target(code[None], generator.w_avg, guide.target_distance) for code in codes])
    cameras = None
    if generator.rig is not None:
        cameras = protocol_cameras(len(codes), rng_for(settings.seed, "measure/local", 0)).to(generator.w_avg)
    noise = Noise.constant()
    features, wanted_features = (generator.synthesize(some, noise=noise) for some in (codes, targets))
    images = generator.decode(features, codes, cameras, noise=noise)
    wanted = generator.decode(wanted_features, targets, cameras, noise=noise)
    terms = {
        "features": guide.local_mse * losses.feature_distance(features, wanted_features),
        "perceptual": guide.local_perceptual * losses.perceptual(players.perceptual, images, wanted),
        "identity": guide.local_identity * losses.identity(players.recognizer, images, wanted),
    }
    return {name: float(term.mean()) for name, term in terms.items()}


def _one_each(held_out: dict[str, Tensor]) -> Tensor:
    """The first shifted photograph of each of PEOPLE people, uint8, as the development protocol has them."""
    shifted = held_out["shifted"]
    first = {int(person): place for place, person in reversed(list(enumerate(held_out["person"]))) if shifted[place]}
    return held_out["images"][sorted(first.values())[:PEOPLE]]
