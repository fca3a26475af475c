"""Writes the model card and the picture sheets from what the other stages left behind."""

import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from guidebench.images import from_uint8, to_uint8
from guidebench.testbed import Noise
from guidebench.testbeds.mini.people import SEEDS
from guidebench.testbeds.mini.renderer import camera_labels
from guidebench.testbeds.mini.testbed import MiniTestbed
from guidebench.testbeds.mini.training.data import HELD_OUT, PHOTOS_PER_PERSON, POINTS_PER_IMAGE, load_held_out
from guidebench.testbeds.mini.training.export import weights_folder
from guidebench.testbeds.mini.training.generated import render_codes
from guidebench.testbeds.mini.training.loop import Settings, rng_for
from guidebench.testbeds.mini.training.presence import faceless_images

SHEETS = "../../../docs/mini"  # where the sheets are kept in the repository, seen from the card


# --------------------------------------------------------------------------------------------------------------------
# Sheets
# --------------------------------------------------------------------------------------------------------------------


def sheet(images: Tensor, columns: int, path: Path) -> None:
    """uint8 images (n, 3, h, w), row by row, as a palette PNG at twice the size."""
    count, _, height, width = images.shape
    rows = -(-count // columns)
    canvas = torch.full((3, rows * height, columns * width), 255, dtype=torch.uint8)
    for place, image in enumerate(images):
        top, left = place // columns * height, place % columns * width
        canvas[:, top : top + height, left : left + width] = image
    picture = Image.fromarray(canvas.permute(1, 2, 0).numpy())
    picture = picture.resize((picture.width * 2, picture.height * 2), Image.Resampling.NEAREST)
    picture.quantize(192, dither=Image.Dither.NONE).save(path, optimize=True)


def write_sheets(settings: Settings, folder: Path) -> None:
    """generator.png, inversions.png, faceless.png."""
    folder.mkdir(parents=True, exist_ok=True)
    players = MiniTestbed(device=settings.device, weights=weights_folder(settings)).players()
    generator = players.generator
    held_out = load_held_out(settings, "validation")
    device = generator.w_avg.device

    def view(ws: Tensor, yaw: Tensor) -> Tensor:
        with torch.no_grad():
            cameras = camera_labels(yaw, torch.zeros_like(yaw)).to(device)
            return to_uint8(generator.render(ws, cameras, noise=Noise.constant())).cpu()

    rows = []
    for first in range(0, min(32, len(held_out["z"])), 8):
        part = slice(first, first + 8)
        with torch.no_grad():
            ws = generator.map(held_out["z"][part].to(device))
        rows += [held_out["images"][part], render_codes(generator, ws, held_out["cameras"][part])]
    with torch.no_grad():
        codes = generator.map(held_out["z"][:16].to(device))
    sweep = torch.linspace(-0.6, 0.6, 8)
    rows += [view(codes[place].expand(8, -1, -1), sweep) for place in (4, 7)]
    share = torch.linspace(0, 1, 8).view(8, 1, 1).to(device)
    rows.append(view(codes[5] + share * (codes[6] - codes[5]), torch.zeros(8)))
    through = 1 - 1.5 * share  # from a face through the average to the far side, as extrapolating methods do
    rows.append(view(generator.w_avg + through * (codes[10] - generator.w_avg), torch.zeros(8)))
    sheet(torch.cat(rows), 8, folder / "generator.png")

    rows = []
    development = load_held_out(settings, "development")
    for shifted in (False, True):
        chosen = (development["shifted"] == shifted).nonzero()[:, 0][::5][:16]
        photos, cameras = development["images"][chosen], development["cameras"][chosen]
        rebuilt = render_codes(generator, players.inverter.invert(from_uint8(photos).to(device)), cameras)
        for first in range(0, len(chosen), 8):
            rows += [photos[first : first + 8], rebuilt[first : first + 8]]
    sheet(torch.cat(rows), 8, folder / "inversions.png")

    photos = development["images"][:200]
    kinds = faceless_images(settings, photos, 256, rng_for(settings.seed, "card/faceless", 0))
    sheet(
        torch.cat([images[: 24 if name == "scrambled" else 8] for name, images in kinds.items()]),
        8,
        folder / "faceless.png",
    )


# --------------------------------------------------------------------------------------------------------------------
# Text
# --------------------------------------------------------------------------------------------------------------------

LOSSES = {
    "generator-points": "signed distance, lit colour, albedo, masks at surface points; background colour",
    "generator-images": "face-weighted Charbonnier, raw picture, gradients, perceptual; points at half weight",
    "perceptual": "smooth L1 on 35 parameters and 2 angles",
    "fid": "smooth L1 on 35 parameters and 2 angles",
    "encoder-parameters": "smooth L1 on 35 parameters and 2 angles",
    "encoder": "latent regression; L1, perceptual, training recogniser's cosine; size of the row offsets",
    "recognizer": "CosFace, margin 0.3; smooth L1 on 24 identity numbers",
    "curricularface": "CurricularFace, margin 0.3; smooth L1 on 24 identity numbers",
    "arcface": "ArcFace, margin 0.3; smooth L1 on 24 identity numbers",
    "presence-curricularface": "binary cross entropy, all but the presence head frozen",
    "presence-arcface": "binary cross entropy, all but the presence head frozen",
}


def write_card(settings: Settings) -> None:
    """`MODEL_CARD.md` and `sheets/` in the output folder."""
    write_sheets(settings, settings.out / "sheets")
    measured = json.loads((settings.folder("measure") / "measured.json").read_text())
    manifest = json.loads((weights_folder(settings) / "manifest.json").read_text())
    text = "\n\n".join(
        [_head(settings), _training(manifest), _quality(measured, manifest), _files(manifest), _limits()]
    )
    (settings.out / "MODEL_CARD.md").write_text(text + "\n")


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _head(settings: Settings) -> str:
    people = sum(len(seeds) for name, seeds in SEEDS.items() if name.startswith("train/"))
    held_out = [[name, str(len(one.people)), str(one.photos), ", ".join(one.styles)] for name, one in HELD_OUT.items()]
    return f"""# Model card: the networks of testbed `mini`

Written by `python -m guidebench.testbeds.mini.training`; edit the program, not this file.

A miniature EG3D, an inversion encoder, a training recogniser, two judges, a perceptual distance and an FID network, all
trained from nothing on faces that this package renders. **Faces are procedurally rendered and all networks are small;
figures made with them are not comparable with published ones.** No photograph of any person was used.

## Data

{people:,} people x {PHOTOS_PER_PERSON} photographs of 64 x 64 pixels, each with {POINTS_PER_IMAGE:,} rays
(depth, lit colour, albedo, seven masks). Seven of ten photographs are in domain, three come from a distribution shifted
in lighting, expression, background and pose. The generator, the encoder, the perceptual and the FID network see all of
them; the training recogniser and the two judges each see a third of the people, and no two of them the same. Held-out
people:

{_table(["set", "people", "photographs each", "styles"], held_out)}

Seeds of all people: `guidebench/testbeds/mini/people.py`. Training seed: {settings.seed}."""


def _training(manifest: dict[str, Any]) -> str:
    rows = []
    for name, stage in manifest["training"].items():
        loss = LOSSES.get(name, "")
        steps, batch = str(stage.get("steps", "")), str(stage.get("batch", ""))
        rows.append([name, steps, batch, f"{stage['cpu_seconds']:.0f}", loss])
    trained = [stage for stage in manifest["training"].values() if "threads" in stage]
    machine = f"device `{trained[0]['device']}`, {trained[0]['threads']} thread a process, torch {trained[0]['torch']}"
    total = sum(stage["cpu_seconds"] for stage in manifest["training"].values())
    return f"""## Training

{_table(["stage", "steps", "batch", "CPU seconds", "losses"], rows)}

{total:,.0f} CPU seconds in all, on {machine}. Every batch is a function of (seed,
stage, step); runs of equal steps on one machine at one thread count have equal digests, interrupted or not."""


def _quality(measured: dict[str, Any], manifest: dict[str, Any]) -> str:
    compared = measured["generator_vs_renderer"]
    generator = [
        ["PSNR against the renderer, same latent and camera (400 held-out images)", f"{compared['psnr_db']:.2f} dB"],
        ["the same within the face window", f"{compared['face_psnr_db']:.2f} dB"],
        ["L1 on [0, 1]", f"{compared['l1']:.4f}"],
        ["horizontal gradient error / renderer's gradient", f"{compared['gradient_error']:.2f}"],
        [
            "FID, 5,000 images against the shipped statistics",
            f"{measured['fid_generator_vs_renderer']:.2f} % of variance",
        ],
        ["mean norm of w - w_avg over all rows", f"{measured['latents']['mean_norm']:.2f}"],
        ["one image, one thread", f"{1000 * measured['cpu_seconds']['image']:.1f} CPU ms"],
        ["one step like GUIDE's, five images", f"{1000 * measured['cpu_seconds']['guide_like_step']:.0f} CPU ms"],
    ]
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
    presence = [
        [key, *(f"{100 * measured['presence'][judge][key]:.2f} %" for judge in judges)]
        for key in measured["presence"][judges[0]]
    ]
    strangers = ", ".join(f"{name} {mean:.3f} ± {std:.3f}" for name, (mean, std) in manifest["strangers"].items())
    columns = ["recogniser", "photographs", "both styles", "generator images", "same", "different"]
    columns.append("different, generator")
    return f"""## Measured on the files that ship

{_table(["generator", "value"], generator)}

Verification on all pairs of 200 held-out people (equal error rate, mean cosines):

{_table(columns, verification)}

Cosine of a photograph and the render of its inversion under the photograph's camera (in brackets: the generator at the
true latent):

{_table(["recogniser", "in domain", "shifted"], inversion)}

Face presence, share of held-out images (photographs and generator images missed; faceless images refused):

{_table(["images", *judges], presence)}

Different people, both styles, as tables print it: {strangers}.

Sheets: [generator]({SHEETS}/generator.png) (row pairs renderer and generator, two yaw sweeps, one interpolation, one
line from a face through the average to the far side), [inversions]({SHEETS}/inversions.png) (row pairs photograph and
inversion, in domain above, shifted below), [faceless]({SHEETS}/faceless.png) (what the presence heads must refuse;
three rows of scrambled generators)."""


def _files(manifest: dict[str, Any]) -> str:
    rows = [
        [name, f"{file['bytes'] / 2**20:.2f}", f"`{file['sha256'][:16]}`"] for name, file in manifest["files"].items()
    ]
    total = sum(file["bytes"] for file in manifest["files"].values()) / 2**20
    return f"""## Files

{_table(["file", "MiB", "SHA-256 begins"], rows)}

{total:.2f} MiB in all. Matrices are stored as float16 and used as float32. The SHA-256 of every file is checked when
it is loaded."""


def _limits() -> str:
    return """## Limits

Everybody lives in one family of shapes with 24 numbers an identity: recognition is far easier than on photographs of
people, and an erased face is more obvious. The judges' architectures, seeds, losses and training people differ from the
training recogniser's, but all of them saw renders of one program. FID is a figure of 128 self-trained features in per
cent of the variance among renders."""
