"""Writes the model card of mini-2d's networks, and two sheets of pictures."""

import json
from typing import Any

import torch
from torch import Tensor

from guidebench import files
from guidebench.images import from_uint8
from guidebench.testbed import Players
from guidebench.testbeds.mini.people import SEEDS
from guidebench.testbeds.mini.renderer import RESOLUTION
from guidebench.testbeds.mini.sheets import COLUMNS, save_sheet
from guidebench.testbeds.mini.training import scales
from guidebench.testbeds.mini.training.card import files_section, local_terms
from guidebench.testbeds.mini.training.data import TRAINING_SETS, load_held_out
from guidebench.testbeds.mini.training.export import weights_folder
from guidebench.testbeds.mini.training.generated import render_codes
from guidebench.testbeds.mini.training.loop import Settings
from guidebench.testbeds.mini_2d import WEIGHTS_VERSION
from guidebench.testbeds.mini_2d.testbed import Mini2DTestbed, weights_in
from guidebench.testbeds.mini_2d.training.data import PICTURE_NUMBERS
from guidebench.text import markdown_table

SHOWN = 4 * COLUMNS  # photographs on a sheet, each above what the networks make of it
LOSSES = {
    "generator": "face-weighted Charbonnier, gradients, perceptual; the first 40 % of the steps at 48 x 48",
    "encoder": "latent regression; L1, perceptual, training recogniser's cosine; size of the row offsets",
}


def write_card(settings: Settings) -> None:
    """`MODEL_CARD.md` and `sheets/` of newly trained weights, in the output folder."""
    folder = weights_folder(settings)
    players = Mini2DTestbed(device=settings.device, own_weights=folder).players()
    measured = json.loads((settings.folder("measure") / "measured.json").read_text())
    sheets = settings.folder("sheets")
    sheets.mkdir(parents=True, exist_ok=True)
    for name, images in _pictures(players, settings).items():
        save_sheet(images, sheets / f"{name}.jpg")
    files.write_text(card(measured, weights_in(folder).manifest), settings.out / "MODEL_CARD.md")


@torch.no_grad()
def _pictures(players: Players, settings: Settings) -> dict[str, list[Tensor]]:
    """Rows of photographs, each above a row by the generator: of the true z, and of the encoder's codes."""
    generator, found = players.generator, {}
    for name, held_out_set in (("generator", "validation"), ("inversions", "held-out")):
        held_out = load_held_out(settings, held_out_set)
        photos, cameras = held_out["images"][:SHOWN], held_out["cameras"][:SHOWN]
        if name == "generator":
            ws = generator.map(held_out["z"][:SHOWN].to(generator.w_avg))
        else:
            ws = players.inverter.invert(from_uint8(photos).to(generator.w_avg))
        made = render_codes(generator, ws, cameras)
        found[name] = [row for pair in zip(photos.split(COLUMNS), made.split(COLUMNS), strict=True) for row in pair]
    return found


def card(measured: dict[str, Any], manifest: dict[str, Any]) -> str:
    """The model card of weights with this manifest, from what `measure` found."""
    parts = [_head(), _training(manifest), _quality(measured), _scales(measured), files_section(manifest), _limits()]
    return "\n\n".join(parts) + "\n"


def _head() -> str:
    people = sum(len(SEEDS[f"train/{name}"]) for name in TRAINING_SETS)
    return f"""# Model card: the networks of testbed `mini-2d`, weights version {WEIGHTS_VERSION}

Written by `python -m guidebench.testbeds.mini_2d.training --out DIR`, which trains the two networks, measures them and
writes this card; edit the program, not this file.

A small StyleGAN2 without cameras, and an encoder for it. Everything else is that of testbed `mini`, whose
[model card](../mini/MODEL_CARD.md) describes it: the renderer, the training recogniser, the perceptual distance, both
judges, the FID network with its real images. **Faces are procedurally rendered and all networks are small; figures made
with them are not comparable with published ones, nor with those on mini.** No photograph of any person was used.

## Data

{len(PICTURE_NUMBERS)} pictures each of mini's {people:,} training people, {RESOLUTION} x {RESOLUTION} pixels; one of
them is from the distribution shifted in lighting, expression, background and pose. They are drawn by mini's generator,
which is 30 dB close to the renderer and six times as fast: it is mini's generator that is distilled. Two numbers of z
that nothing shows on mini are yaw and elevation here. A random face is turned as the protocols' cameras turn it, on
average; photographs from farther aside have codes farther out. What follows is measured on the renderer's photographs
of people of mini's development set, whom no stage has seen."""


def _training(manifest: dict[str, Any]) -> str:
    stages = manifest["training"]
    rows = [
        [
            name,
            LOSSES.get(name, ""),
            str(stage.get("steps", "")),
            str(stage.get("batch", "")),
            f"{stage['cpu_seconds']:.0f}",
        ]
        for name, stage in stages.items()
    ]
    trained, total = stages["generator"], sum(stage["cpu_seconds"] for stage in stages.values())
    return f"""## Training

{markdown_table(["stage", "losses", "steps", "batch", "CPU seconds"], rows, left=2)}

{total:,.0f} CPU seconds in all, on device `{trained["device"]}`, {trained["threads"]} thread, torch {trained["torch"]}.
The encoder's trunk starts as that of mini's encoder. Every batch is a function of (seed, stage, step); runs of equal
steps on one machine at one thread count have equal digests, interrupted or not."""


def _quality(measured: dict[str, Any]) -> str:
    compared, seconds = measured["generator_vs_renderer"], measured["cpu_seconds"]
    missed = ", ".join(f"{100 * share:.1f} % ({judge})" for judge, share in measured["faces_missed"].items())
    generator = [
        ["PSNR against the renderer, same latent and pose (400 held-out images)", f"{compared['psnr_db']:.2f} dB"],
        ["the same within the face window", f"{compared['face_psnr_db']:.2f} dB"],
        ["L1 on [0, 1]", f"{compared['l1']:.4f}"],
        ["horizontal gradient error / renderer's gradient", f"{compared['gradient_error']:.2f}"],
        [
            "FID, 5,000 random faces against mini's real images",
            f"{measured['fid_generator_vs_renderer']:.2f} % of variance",
        ],
        ["random faces in which a judge finds none", missed],
        ["mean norm of w - w_avg over all rows", f"{measured['latents']['mean_norm']:.2f}"],
        ["one image, one thread", f"{1000 * seconds['image']:.1f} CPU ms"],
        ["one step like GUIDE's, five images", f"{1000 * seconds['guide_like_step']:.0f} CPU ms"],
    ]
    styles = {"in_domain": "in domain", "shifted": "shifted"}
    inversion = [
        [
            name,
            words,
            f"{one['mean']:.3f} ± {one['std']:.3f}",
            f"{one['true_latent_mean']:.3f}",
            f"{one['other_people_mean']:.3f} ± {one['other_people_std']:.3f}",
        ]
        for style, words in styles.items()
        for name, one in measured["inversion"][style].items()
    ]
    return f"""## Measured on the files that ship

{markdown_table(["generator", "value"], generator)}

CPU times on {measured["device"]}.

Cosine of a photograph and the render of its inversion, of a photograph and the generator's picture of its true latent,
and of the inversion and photographs of other people; 100 held-out people, one photograph of either style:

{markdown_table(["recogniser", "photographs", "inversion", "true latent", "other people"], inversion, left=2)}

Sheets: [generator](../../../docs/mini-2d/generator.jpg) (32 held-out people, row pairs renderer and generator);
[inversions](../../../docs/mini-2d/inversions.jpg) (row pairs photograph and inversion; photographs in domain and
shifted take turns)."""


def _scales(measured: dict[str, Any]) -> str:
    floors = [
        [f"{int(count):,}", f"{one['generator']:.2f}", f"{one['gaussian']:.2f}"]
        for count, one in measured["fid_floor"].items()
    ]
    perceptual = measured["perceptual"]
    return f"""## Scales

FID against mini's real images of few images of the original generator, and of draws from the real images' own Gaussian,
which is bias alone, in % of variance:

{markdown_table(["images", "generator", "Gaussian"], floors)}

Two random faces are {perceptual["mean"]:.2f} ± {perceptual["std"]:.2f} apart in the perceptual distance. The terms of
GUIDE's local loss before its first step, with the paper's weights, means of {scales.PEOPLE} people:

{local_terms(measured["local_loss"])}"""


def _limits() -> str:
    return """## Limits

Training took less than an hour of one core and ended while pictures were still getting sharper. Pose is part of the
face: there are no views, and a code that is extrapolated turns the head as well. The thresholds above which judges take
two faces for one person were measured on mini's generator and are used as they are."""
