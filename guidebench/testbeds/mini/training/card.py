"""Writes the model card.

`python -m guidebench.testbeds.mini.training.card --out FILE` measures the shipped weights again and writes their card.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from guidebench import files, logs
from guidebench.baselines.guide import Guide
from guidebench.errors import GuidebenchError
from guidebench.store.folders import storage_errors
from guidebench.testbeds.mini import WEIGHTS_VERSION, alignment, sheets
from guidebench.testbeds.mini.features import MEAN_DISTANCE
from guidebench.testbeds.mini.people import SEEDS
from guidebench.testbeds.mini.renderer import RESOLUTION
from guidebench.testbeds.mini.testbed import MiniTestbed
from guidebench.testbeds.mini.training import data, scales
from guidebench.testbeds.mini.training import strangers as strangers_of
from guidebench.testbeds.mini.training.export import weights_folder
from guidebench.testbeds.mini.training.loop import Settings
from guidebench.testbeds.mini.training.measure import HELD_OUT_SETS, measure
from guidebench.testbeds.mini.weights_io import SHIPPED, WeightsFolder
from guidebench.text import markdown_table

COMMAND = "python -m guidebench.testbeds.mini.training.card --out guidebench/testbeds/mini/MODEL_CARD.md"
PICTURES = "../../../docs/mini"  # where the sheets are kept in the repository, seen from the card

LOSSES = {
    "generator-points": "signed distance, lit colour, albedo, masks at surface points; background colour",
    "generator-images": "face-weighted Charbonnier, raw picture, gradients, perceptual; points at half weight",
    "perceptual": "smooth L1 on 35 parameters and 2 angles; scaled afterwards",
    "fid": "smooth L1 on 35 parameters and 2 angles",
    "encoder-parameters": "smooth L1 on 35 parameters and 2 angles",
    "encoder": "latent regression; L1, perceptual, training recogniser's cosine; size of the row offsets",
    "recognizer": "CosFace, margin 0.3; smooth L1 on 2 functions of 24 numbers; opposites",
    "curricularface": "CurricularFace, margin 0.3; smooth L1 on 2 functions of 24 numbers, shift, scale; opposites",
    "arcface": "ArcFace, margin 0.3; smooth L1 on 2 functions of 24 numbers, shift, scale; opposites",
    "presence-curricularface": "binary cross entropy, all but the presence head frozen",
    "presence-arcface": "binary cross entropy, all but the presence head frozen",
}


RECOGNISERS = ("curricularface", "arcface", "recognizer")
BEYOND = {
    "mirrored": "as far beyond the average",
    "extrapolated": "GUIDE's target, d = 30 beyond it",
    "strangers": "other people",
}
LOCAL_TERMS = {
    "features": Guide.local_mse,
    "perceptual": Guide.local_perceptual,
    "identity": Guide.local_identity,
}

# What version 2 of the weights had, measured in the same way.
VERSION_2: dict[str, dict[str, dict[str, float]]] = {
    "edits": {
        "curricularface": {
            "grey": 0.33,
            "contrast 0.75": 0.71,
            "saturation 0.5": 0.58,
            "4 pixels down": 0.81,
            "8 pixels down": 0.5,
            "zoom 0.85": 0.58,
        },
        "arcface": {
            "grey": 0.3,
            "contrast 0.75": 0.61,
            "saturation 0.5": 0.52,
            "4 pixels down": 0.82,
            "8 pixels down": 0.52,
            "zoom 0.85": 0.61,
        },
        "recognizer": {
            "grey": 0.28,
            "contrast 0.75": 0.62,
            "saturation 0.5": 0.5,
            "4 pixels down": 0.8,
            "8 pixels down": 0.48,
            "zoom 0.85": 0.58,
        },
    },
    "beyond": {
        "curricularface": {"mirrored": -0.25, "extrapolated": -0.23, "strangers": 0.01},
        "arcface": {"mirrored": -0.21, "extrapolated": -0.2, "strangers": 0.01},
        "recognizer": {"mirrored": -0.19, "extrapolated": -0.18, "strangers": 0.0},
    },
}


def write_card(settings: Settings) -> None:
    """`MODEL_CARD.md` and `sheets/` of newly trained weights, in the output folder."""
    weights = weights_folder(settings)
    sheets.write_sheets(MiniTestbed(device=settings.device, weights=weights).players(), settings.out / "sheets")
    measured = json.loads((settings.folder("measure") / "measured.json").read_text())
    files.write_text(card(measured, WeightsFolder(weights).manifest), settings.out / "MODEL_CARD.md")


def card(measured: dict[str, Any], manifest: dict[str, Any]) -> str:
    """The model card of weights with this manifest, from what `measure` found."""
    parts = [
        *(_head(manifest), _training(manifest), _quality(measured)),
        *(_judges(measured, manifest), _scales(measured), files_section(manifest), _limits()),
    ]
    return "\n\n".join(parts) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Photograph the held-out people, measure a folder of weights and write its card."""
    command = argparse.ArgumentParser(
        prog="python -m guidebench.testbeds.mini.training.card",
        description="Measures mini's weights, which takes minutes, and writes their model card.",
    )
    command.add_argument("--out", type=Path, required=True, help="file; MODEL_CARD.md beside the shipped weights")
    command.add_argument("--weights", type=Path, default=SHIPPED, help="folder of networks (default: those that ship)")
    options = command.parse_args(arguments)
    logs.show_on_stderr()
    torch.set_num_threads(1)
    try:
        manifest = WeightsFolder(options.weights).manifest
        with storage_errors(options.out), open(options.out, "a"):
            pass  # fail before minutes are spent
        with tempfile.TemporaryDirectory() as folder:
            settings = Settings(out=Path(folder))
            for name in HELD_OUT_SETS:
                data.render_held_out_set(settings, name)
            text = card(measure(settings, options.weights), manifest)
        files.write_text(text, options.out)
    except GuidebenchError as error:
        command.exit(error.exit_code, f"guidebench: {error}\n")


def _head(manifest: dict[str, Any]) -> str:
    people = sum(len(seeds) for name, seeds in SEEDS.items() if name.startswith("train/"))
    held_out = [
        [name, ", ".join(one.styles), str(len(one.people)), str(one.photos)] for name, one in data.HELD_OUT.items()
    ]
    seeds = sorted({stage["seed"] for stage in manifest["training"].values() if "seed" in stage})
    size = manifest["generator"]["resolution"]
    return f"""# Model card: the networks of testbed `mini`, weights version {WEIGHTS_VERSION}

Written by `{COMMAND}`,
which measures the shipped files; edit the program, not this file.
`python -m guidebench.testbeds.mini.training --out DIR` trains the networks again.

A miniature EG3D, an inversion encoder, a training recogniser, two judges, a perceptual distance and an FID network, all
trained from nothing on faces that this package renders. **Faces are procedurally rendered and all networks are small;
figures made with them are not comparable with published ones.** No photograph of any person was used.

## Data

{people:,} people x {data.PHOTOS_PER_PERSON} photographs of {size} x {size} pixels, each with
{data.POINTS_PER_IMAGE:,} rays (depth, lit colour, albedo, seven masks). Seven of ten photographs are in domain, three
come from a distribution shifted in lighting, expression, background and pose. The generator, the encoder, the
perceptual and the FID network see all of them; the training recogniser and the two judges each see a third of the
people, and no two of them the same. Held-out people:

{markdown_table(["set", "styles", "people", "photographs each"], held_out, left=2)}

Seeds of all people: `guidebench/testbeds/mini/people.py`. Training seed: {", ".join(map(str, seeds))}."""


def _training(manifest: dict[str, Any]) -> str:
    rows = []
    for name, stage in manifest["training"].items():
        loss = LOSSES.get(name, "")
        steps, batch = str(stage.get("steps", "")), str(stage.get("batch", ""))
        rows.append([name, loss, steps, batch, f"{stage['cpu_seconds']:.0f}"])
    trained = [stage for stage in manifest["training"].values() if "threads" in stage]
    machine = (
        f"device `{trained[0]['device']}`, {trained[0]['threads']} thread per process, torch {trained[0]['torch']}"
    )
    total = sum(stage["cpu_seconds"] for stage in manifest["training"].values())
    return f"""## Training

{markdown_table(["stage", "losses", "steps", "batch", "CPU seconds"], rows, left=2)}

{total:,.0f} CPU seconds in all, on {machine}. Every batch is a function of (seed,
stage, step); runs of equal steps on one machine at one thread count have equal digests, interrupted or not."""


def _quality(measured: dict[str, Any]) -> str:
    compared = measured["generator_vs_renderer"]
    generator = [
        ["PSNR against the renderer, same latent and camera (400 held-out images)", f"{compared['psnr_db']:.2f} dB"],
        ["the same within the face window", f"{compared['face_psnr_db']:.2f} dB"],
        ["L1 on [0, 1]", f"{compared['l1']:.4f}"],
        ["horizontal gradient error / renderer's gradient", f"{compared['gradient_error']:.2f}"],
        [
            "FID, 5,000 images under the protocols' cameras against the real images",
            f"{measured['fid_generator_vs_renderer']:.2f} % of variance",
        ],
        ["mean norm of w - w_avg over all rows", f"{measured['latents']['mean_norm']:.2f}"],
        ["one image, one thread", f"{1000 * measured['cpu_seconds']['image']:.1f} CPU ms"],
        ["one step like GUIDE's, five images", f"{1000 * measured['cpu_seconds']['guide_like_step']:.0f} CPU ms"],
    ]
    views = [[name, f"{view['psnr_db']:.2f} dB", f"{view['n']:.0f}"] for name, view in measured["views"].items()]
    verification = [
        [
            name,
            *(f"{100 * sets[key]['eer']:.2f} %" for key in ("renders", "renders_both_styles", "generator_images")),
            f"{sets['renders']['same_mean']:.3f}",
            f"{sets['renders']['different_mean']:.3f} ± {sets['renders']['different_std']:.3f}",
            f"{sets['generator_images']['different_mean']:.3f}",
        ]
        for name, sets in measured["verification"].items()
    ]
    inversion = [
        [
            name,
            *(
                f"{measured['inversion'][style][name]['mean']:.3f} ± {measured['inversion'][style][name]['std']:.3f}"
                f" ({measured['inversion'][style][name]['true_latent_mean']:.3f})"
                for style in ("in_domain", "shifted")
            ),
        ]
        for name in measured["verification"]
    ]
    judges = list(measured["presence"])
    shown = {"renders": "photographs", "renders_both_styles": "both styles", "generator_images": "generator images"}
    agreement = [
        [words, *(f"{measured['agreement'][key][pairs]:.3f}" for pairs in ("same", "different", "all"))]
        for key, words in shown.items()
    ]
    presence = [
        [key, *(f"{100 * measured['presence'][judge][key]:.2f} %" for judge in judges)]
        for key in measured["presence"][judges[0]]
    ]
    pictures = "; ".join(f"[{name}]({PICTURES}/{name}.jpg) ({what})" for name, (_, what) in sheets.SHEETS.items())
    columns = ["recogniser", "photographs", "both styles", "generator images", "same", "different"]
    columns.append("different, generator")
    return f"""## Measured on the files that ship

{markdown_table(["generator", "value"], generator)}

CPU times on {measured["device"]}.

The first of these by yaw, in radians to either side:

{markdown_table(["yaw", "PSNR", "images"], views)}

Verification on all pairs of 200 held-out people (equal error rate, mean cosines):

{markdown_table(columns, verification)}

Agreement of the judges, {" and ".join(judges)}: Spearman's rank correlation of their cosines over the same pairs:

{markdown_table(["images", "one person", "different people", "all pairs"], agreement)}

Cosine of a photograph and the render of its inversion under the photograph's camera (in brackets: the generator at the
true latent):

{markdown_table(["recogniser", "in domain", "shifted"], inversion)}

Face presence, share of held-out images (faces missed; faceless images refused):

{markdown_table(["images", *judges], presence)}

Sheets, by `python -m guidebench.testbeds.mini.sheets --out docs/mini`: {pictures}."""


def _judges(measured: dict[str, Any], manifest: dict[str, Any]) -> str:
    edits = [
        [name, *(_with_version_2(measured["edits"], VERSION_2["edits"], judge, name, ".2f") for judge in RECOGNISERS)]
        for name in measured["edits"]["curricularface"]
    ]
    beyond = [
        [
            words,
            *(
                _with_version_2(measured["beyond_the_average"], VERSION_2["beyond"], judge, key, ".2f")
                for judge in RECOGNISERS
            ),
        ]
        for key, words in BEYOND.items()
    ]
    strangers = [
        [
            judge,
            f"{known['mean']:.3f} ± {known['std']:.3f}",
            f"{known['pairs']:,}",
            f"{known['threshold']:.3f}",
            "{:.3f} to {:.3f}".format(*known["threshold_interval"]),
            f"{100 * measured['accepted'][judge]:.2f} %",
        ]
        for judge, known in manifest["different_people"].items()
    ]
    size, seen = RESOLUTION, alignment.THUMBNAIL
    people, others = (len(data.HELD_OUT[name].people) for name in ("validation", "calibration"))
    odds, some, views = round(1 / strangers_of.FALSE_MATCHES), strangers_of.VIEWS_EACH, strangers_of.VIEWS
    return f"""## What judges overlook

A judge finds and aligns a face before it looks at it, as recognisers of photographs do: a localiser reads a grey
thumbnail of {seen} x {seen} pixels, without its brightness and contrast, and names shift and scale; the picture is
resampled accordingly. Localiser and judge are trained on photographs that are moved, zoomed and changed in contrast,
exposure and saturation. Mean cosine of a photograph and the edited photograph, 500 in-domain photographs of 200
held-out people (in brackets: version 2; the training recogniser, which aligns nothing, is there to compare):

{markdown_table(["edit", *RECOGNISERS], edits)}

Grey is the luminance (0.299, 0.587, 0.114) in all channels; saturation multiplies the distance to it; contrast
multiplies the distance to the picture's mean luminance; pixels are those of a photograph, {size} x {size}; zoom is
about the middle. Pictures are moved bilinearly, and what comes in from outside repeats the border pixel.

Recognisers are also trained to read off the 24 identity numbers. If they read off the numbers alone, opposite numbers
would have opposite embeddings, and who is mirrored through the average code would be an anti-person. They read off two
uncorrelated functions of each number, one odd and one even: the first two Legendre polynomials of its rank. In the
second half of their training, people of a batch with opposite numbers are also kept from having cosines below those of
other people. The generator's mapping is what it was; in StyleGAN, too, mirrored codes are opposite faces. Mean cosine
of a generated person and of who is beyond the average, {people} people from the front (in brackets: version 2):

{markdown_table(["who", *RECOGNISERS], beyond)}

## Different people

Two photographs of each of the {others} people of set calibration, one of either style, were inverted, and each code was
rendered from {some} of the {views} views of protocols; two other photographs are there as they are. Pairs are all those
of different people of which at least one is a render. The threshold is the cosine that one of {odds:,} such
pairs exceeds; its interval is a 95 % bootstrap over people. Accepted: share of pairs of a render and another photograph
of the same person above it.

{markdown_table(["judge", "mean ± std", "pairs", "threshold", "interval", "accepted"], strangers)}"""


def _with_version_2(now: dict[str, Any], before: dict[str, Any], recogniser: str, key: str, digits: str) -> str:
    """A number, and what it was in version 2."""
    return f"{now[recogniser][key]:{digits}} ({before[recogniser][key]:{digits}})"


def _scales(measured: dict[str, Any]) -> str:
    floors = [
        [f"{int(count):,}", f"{one['generator']:.2f}", f"{one['gaussian']:.2f}"]
        for count, one in measured["fid_floor"].items()
    ]
    perceptual = measured["perceptual"]
    mean = f"{perceptual['mean']:.2f} ± {perceptual['std']:.2f}"
    reals = len(data.HELD_OUT["reals"].people)
    return f"""## Scales

Real images are {reals:,} in-domain photographs, one each of people whom nothing else shows, from the protocols'
cameras: yaw uniform within ±15°, 7.3° above eye level. FID against them of few images that are as good as they can be,
in % of variance: of the original generator's under the same cameras, and of draws from the real images' own Gaussian,
which is bias alone.

{markdown_table(["images", "generator", "Gaussian"], floors)}

The perceptual distance is scaled such that photographs of two people are {MEAN_DISTANCE} apart on average; two random
generated faces under one of the protocols' cameras are {mean} apart. The terms of GUIDE's local loss
before its first step, with the paper's weights, means of {scales.PEOPLE} development people:

{local_terms(measured["local_loss"])}"""


def local_terms(terms: dict[str, float]) -> str:
    """The weighted terms of GUIDE's local loss as a table."""
    total = sum(terms.values())
    rows = [
        [name, f"{weight:g}", f"{terms[name]:.3f}", f"{100 * terms[name] / total:.0f} %"]
        for name, weight in LOCAL_TERMS.items()
    ]
    return markdown_table(["term", "weight", "weighted", "share"], rows)


def files_section(manifest: dict[str, Any]) -> str:
    """The weights with their sizes."""
    rows = [
        [name, f"{file['bytes'] / 2**20:.2f}", f"`{file['sha256'][:16]}`"] for name, file in manifest["files"].items()
    ]
    total = sum(file["bytes"] for file in manifest["files"].values()) / 2**20
    return f"""## Files

{markdown_table(["file", "MiB", "SHA-256 begins"], rows)}

{total:.2f} MiB in all. Matrices are stored as float16 and used as float32. The SHA-256 of every file is checked when
it is loaded."""


def _limits() -> str:
    return """## Limits

Everybody lives in one family of shapes with 24 numbers per identity: recognition is far easier than on photographs of
people, and an erased face is more obvious. The judges' architectures, seeds, losses and training people differ from the
training recogniser's, but all of them saw renders of one program. FID is a figure of 128 self-trained features in per
cent of the variance among renders."""


if __name__ == "__main__":
    main()
