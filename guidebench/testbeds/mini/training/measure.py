"""Measures the files that ship, on people and latents that no training stage has seen."""

import copy
import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional

from guidebench import files
from guidebench.environment import device_in_words
from guidebench.images import from_uint8, to_uint8
from guidebench.metrics.frechet import fit, frechet_distance
from guidebench.noise import Noise
from guidebench.testbed import Generator, Judges, Players, Recognizer
from guidebench.testbeds.mini.parameters import LATENT_DIM
from guidebench.testbeds.mini.renderer import camera_labels, sample_angles
from guidebench.testbeds.mini.testbed import MiniTestbed
from guidebench.testbeds.mini.training import scales, scrutiny, strangers
from guidebench.testbeds.mini.training.data import load_held_out
from guidebench.testbeds.mini.training.edits import EDITS
from guidebench.testbeds.mini.training.export import weights_folder
from guidebench.testbeds.mini.training.generated import render_codes
from guidebench.testbeds.mini.training.generator import compare_with_renderer
from guidebench.testbeds.mini.training.loop import Settings, rng_for
from guidebench.testbeds.mini.training.presence import faceless_images
from guidebench.testbeds.mini.training.recognition import verification

_log = logging.getLogger(__name__)

Numbers = dict[str, float]

HELD_OUT_SETS = ("validation", "development", "calibration")  # what `measure` takes from the held-out photographs
VIEWS = {"up to 0.25": (0.0, 0.25), "0.25 to 0.5": (0.25, 0.5), "beyond 0.5": (0.5, math.inf)}  # of yaw, in radians


def measure_weights(settings: Settings) -> None:
    """Everything that the model card reports of newly trained weights, into `measure/measured.json`."""
    measured = measure(settings, weights_folder(settings))
    files.write_json(measured, settings.folder("measure") / "measured.json")
    _log.info("measured: %s", json.dumps(measured))


def measure(settings: Settings, weights: Path) -> dict[str, Any]:
    """Everything that the model card reports of a folder of weights; `settings` say where the `HELD_OUT_SETS` are."""
    testbed = MiniTestbed(device=settings.device, weights=weights)
    players, judges = testbed.players(), testbed.judges()
    generator = players.generator
    recognizers: dict[str, Recognizer] = {"recognizer": players.recognizer, **judges.recognizers}
    few = settings.steps is not None
    validation = load_held_out(settings, "validation")
    development = load_held_out(settings, "development")
    plain = ~development["shifted"]
    sets = _embedded_sets(settings, generator, recognizers)
    features = scales.samples(settings, generator, judges, 300 if few else 5_000)
    assert judges.real is not None
    return {
        "generator_vs_renderer": compare_with_renderer(generator, validation),
        "views": _views(generator, validation),
        "verification": {
            name: {key: verification(one.vectors[name], one.person) for key, one in sets.items()}
            for name in recognizers
        },
        "agreement": {
            key: rank_agreement(one.vectors["curricularface"], one.vectors["arcface"], one.person)
            for key, one in sets.items()
        },
        "inversion": _inversion(settings, players, recognizers),
        "presence": _presence(settings, generator, judges, count=64 if few else 2_000),
        "edits": scrutiny.after_edits(recognizers, development["images"][plain][::2]),
        "beyond_the_average": scrutiny.beyond_the_average(generator, recognizers, validation["z"]),
        "accepted": _accepted(settings, players, judges),
        "fid_generator_vs_renderer": frechet_distance(fit([features]), judges.real),
        "fid_floor": scales.fid_floor(features, judges.real),
        "perceptual": scales.perceptual_distances(settings, players, pairs=50 if few else 1_000),
        "local_loss": scales.local_loss(settings, players, development),
        "latents": latents(settings, generator),
        "cpu_seconds": cost(generator, players),
        "device": device_in_words(str(settings.device)),
    }


def _views(generator: Generator, held_out: dict[str, Tensor]) -> dict[str, Numbers]:
    """PSNR against the renderer by how far a view is turned, where there are photographs of such views."""
    turned = held_out["yaw"].abs()
    found = {}
    for name, (low, high) in VIEWS.items():
        rows = ((turned >= low) & (turned < high)).nonzero()[:, 0]
        if len(rows):
            compared = compare_with_renderer(generator, {key: field[rows] for key, field in held_out.items()})
            found[name] = {"psnr_db": compared["psnr_db"], "n": float(len(rows))}
    return found


@dataclass(frozen=True)
class EmbeddedSet:
    """Images of many people as the recognisers see them."""

    person: Tensor  # (n,) who is shown
    vectors: dict[str, Tensor]  # unit rows (n, 128) by recogniser


@torch.no_grad()
def _embedded_sets(
    settings: Settings, generator: Generator, recognizers: dict[str, Recognizer]
) -> dict[str, EmbeddedSet]:
    """200 people: in-domain photographs, both styles, and the generator's images of the in-domain latents."""
    held_out = load_held_out(settings, "development")
    person, plain = held_out["person"], ~held_out["shifted"]
    ws = generator.map(held_out["z"][plain].to(generator.w_avg))
    generated = render_codes(generator, ws, held_out["cameras"][plain])
    photographs = {name: strangers.embedded(one, held_out["images"]) for name, one in recognizers.items()}
    return {
        "renders": EmbeddedSet(person[plain], {name: vectors[plain] for name, vectors in photographs.items()}),
        "renders_both_styles": EmbeddedSet(person, photographs),
        "generator_images": EmbeddedSet(
            person[plain], {name: strangers.embedded(one, generated) for name, one in recognizers.items()}
        ),
    }


def rank_agreement(first: Tensor, second: Tensor, person: Tensor) -> Numbers:
    """Spearman's rank correlation of two recognisers' cosines over all pairs of images.

    first, second: unit rows (n, d) of the same images, which show `person` (n,). 1 means that both put all pairs in one
    order. Of pairs of one person, of pairs of different people, and of all.
    """
    upper = torch.ones(len(person), len(person), dtype=torch.bool).triu(1)
    same = (person[:, None] == person[None])[upper]
    cosines = [(vectors @ vectors.T)[upper] for vectors in (first, second)]
    kinds = {"same": same, "different": ~same, "all": torch.ones_like(same)}
    return {name: float(spearmanr(*(one[chosen] for one in cosines)).statistic) for name, chosen in kinds.items()}


def _inversion(
    settings: Settings, players: Players, recognizers: dict[str, Recognizer]
) -> dict[str, dict[str, Numbers]]:
    """`inversion` by style, of two photographs per person."""
    held_out = load_held_out(settings, "development")
    result: dict[str, dict[str, Numbers]] = {}
    for style, wanted in (("in_domain", False), ("shifted", True)):
        rows = (held_out["shifted"] == wanted).nonzero()[:, 0]
        rows = rows[torch.arange(len(rows)) % 5 < 2]
        result[style] = inversion(players, recognizers, {name: field[rows] for name, field in held_out.items()})
    return result


@torch.no_grad()
def inversion(players: Players, recognizers: dict[str, Recognizer], held_out: dict[str, Tensor]) -> dict[str, Numbers]:
    """Cosine of a photograph and the render of its inversion, seen by the photograph's own camera, by recogniser."""
    generator, photos, cameras = players.generator, held_out["images"], held_out["cameras"]
    codes = torch.cat([players.inverter.invert(from_uint8(part).to(generator.w_avg)) for part in photos.split(50)])
    rebuilt = render_codes(generator, codes, cameras)
    exact = render_codes(generator, generator.map(held_out["z"].to(generator.w_avg)), cameras)
    result: dict[str, Numbers] = {}
    for name, recognizer in recognizers.items():
        of_photos, of_rebuilt = (strangers.embedded(recognizer, images) for images in (photos, rebuilt))
        cosines = functional.cosine_similarity(of_photos, of_rebuilt)
        others = (of_rebuilt @ of_photos.T)[held_out["person"][:, None] != held_out["person"][None]]
        limit = functional.cosine_similarity(of_photos, strangers.embedded(recognizer, exact))
        result[name] = {
            "mean": float(cosines.mean()),
            "std": float(cosines.std()),
            "true_latent_mean": float(limit.mean()),
            "other_people_mean": float(others.mean()),
            "other_people_std": float(others.std()),
            "n": float(len(cosines)),
        }
    return result


@torch.no_grad()
def _presence(settings: Settings, generator: Generator, judges: Judges, count: int) -> dict[str, Numbers]:
    """Shares of faces missed and of faceless images refused, by judge."""
    rng = rng_for(settings.seed, "measure/presence", 0)
    photos = load_held_out(settings, "development")["images"][:count]
    z = torch.randn(count, LATENT_DIM, generator=rng).to(generator.w_avg)
    generated = render_codes(generator, generator.map(z), camera_labels(*sample_angles(count, rng)))
    kinds = faceless_images(generator, photos, count, rng)
    edited = torch.cat(
        [to_uint8(edit(from_uint8(part))) for edit, part in zip(EDITS.values(), photos.chunk(len(EDITS)), strict=True)]
    )
    result: dict[str, Numbers] = {}
    for name, judge in judges.recognizers.items():

        def found(images: Tensor, judge: Recognizer = judge) -> float:
            seen = torch.cat([judge.embed(from_uint8(part)).found for part in images.split(100)])
            return float(seen.float().mean())

        faces = {"photographs": photos, "edited_photographs": edited, "generator_images": generated}
        result[name] = {f"{kind}_missed": 1 - found(images) for kind, images in faces.items()}
        result[name] |= {f"refused: {kind}": 1 - found(images) for kind, images in kinds.items()}
    return result


def _accepted(settings: Settings, players: Players, judges: Judges) -> dict[str, float]:
    """Share of pairs of one person above the manifest's threshold, by judge."""
    faces = strangers.lineup(settings, players.generator, players.inverter)
    found = {}
    for name, judge in judges.recognizers.items():
        threshold = judges.different_people[name].threshold
        assert threshold is not None
        found[name] = strangers.accepted(strangers.embedded(judge, faces.images), faces, threshold)
    return found


@torch.no_grad()
def latents(settings: Settings, generator: Generator) -> Numbers:
    """Norm of w - w_avg over all rows."""
    z = torch.randn(10_000, LATENT_DIM, generator=rng_for(settings.seed, "measure/latents", 0)).to(generator.w_avg)
    norms = (generator.map(z) - generator.w_avg).flatten(1).norm(dim=1)
    return {"mean_norm": float(norms.mean()), "std_norm": float(norms.std())}


def cost(generator: Generator, players: Players) -> Numbers:
    """CPU seconds of this process: one image, one step like GUIDE's (five images, forwards twice, backwards once)."""
    ws = generator.map(torch.randn(5, LATENT_DIM, generator=rng_for(0, "measure/cost", 0)).to(generator.w_avg))
    trained = copy.deepcopy(generator)
    trained.parts()["backbone"].requires_grad_(True)
    noise = Noise.constant()

    def image() -> None:
        with torch.no_grad():
            generator.render(ws[:1], noise=noise)

    def step() -> None:
        with torch.no_grad():
            target_features = generator.synthesize(ws, noise=noise)
            target = generator.decode(target_features, ws, noise=noise)
        features = trained.synthesize(ws, noise=noise)
        images = trained.decode(features, ws, noise=noise)
        loss = 1e-2 * (features - target_features).square().mean() + players.perceptual(images, target).mean()
        loss = loss + 0.1 * (1 - (players.recognizer(images) * players.recognizer(target)).sum(dim=1)).mean()
        loss.backward()

    return {"image": _seconds(image, 20), "guide_like_step": _seconds(step, 10)}


def _seconds(work: Callable[[], None], repeats: int) -> float:
    work()
    started = time.process_time()
    for _ in range(repeats):
        work()
    return (time.process_time() - started) / repeats
