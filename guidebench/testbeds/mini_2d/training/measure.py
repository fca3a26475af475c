"""Measures the files that ship, on people and latents that no training stage has seen."""

import json
import logging
from typing import Any

import torch

from guidebench import files
from guidebench.environment import device_in_words
from guidebench.images import from_uint8
from guidebench.metrics.frechet import fit, frechet_distance
from guidebench.testbed import Generator, Judges, Recognizer
from guidebench.testbeds.mini.parameters import LATENT_DIM
from guidebench.testbeds.mini.training import scales
from guidebench.testbeds.mini.training.data import load_held_out, protocol_cameras
from guidebench.testbeds.mini.training.export import weights_folder
from guidebench.testbeds.mini.training.generated import render_codes
from guidebench.testbeds.mini.training.generator import compare_with_renderer
from guidebench.testbeds.mini.training.loop import Settings, rng_for
from guidebench.testbeds.mini.training.measure import cost, inversion, latents
from guidebench.testbeds.mini_2d.testbed import Mini2DTestbed

_log = logging.getLogger(__name__)


def measure_weights(settings: Settings) -> None:
    """Everything that the model card reports of newly trained weights, into `measure/measured.json`."""
    measured = measure(settings)
    files.write_json(measured, settings.folder("measure") / "measured.json")
    _log.info("measured: %s", json.dumps(measured))


def measure(settings: Settings) -> dict[str, Any]:
    """What the model card reports of the exported weights."""
    testbed = Mini2DTestbed(device=settings.device, own_weights=weights_folder(settings))
    players, judges = testbed.players(), testbed.judges()
    generator, held_out = players.generator, load_held_out(settings, "held-out")
    recognizers: dict[str, Recognizer] = {"recognizer": players.recognizer, **judges.recognizers}
    few = settings.steps is not None
    features = scales.samples(settings, generator, judges, 300 if few else 5_000)
    assert judges.real is not None
    styles = {"in_domain": ~held_out["shifted"], "shifted": held_out["shifted"]}
    return {
        "generator_vs_renderer": compare_with_renderer(generator, load_held_out(settings, "validation")),
        "inversion": {
            style: inversion(players, recognizers, {name: field[rows] for name, field in held_out.items()})
            for style, rows in styles.items()
        },
        "faces_missed": _faces_missed(settings, generator, judges, 64 if few else 1_000),
        "fid_generator_vs_renderer": frechet_distance(fit([features]), judges.real),
        "fid_floor": scales.fid_floor(features, judges.real),
        "perceptual": scales.perceptual_distances(settings, players, pairs=50 if few else 1_000),
        "local_loss": scales.local_loss(settings, players, held_out),
        "latents": latents(settings, generator),
        "cpu_seconds": cost(generator, players),
        "device": device_in_words(str(settings.device)),
    }


@torch.no_grad()
def _faces_missed(settings: Settings, generator: Generator, judges: Judges, count: int) -> dict[str, float]:
    """Share of random faces in which a judge finds none."""
    rng = rng_for(settings.seed, "measure/presence", 0)
    ws = generator.map(torch.randn(count, LATENT_DIM, generator=rng).to(generator.w_avg))
    images = render_codes(generator, ws, protocol_cameras(count, rng))
    return {
        name: 1 - float(torch.cat([judge.embed(from_uint8(part)).found for part in images.split(100)]).float().mean())
        for name, judge in judges.recognizers.items()
    }
