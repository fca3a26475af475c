"""Draws what mini's networks do: `python -m guidebench.testbeds.mini.sheets --out docs/mini`.

It needs nothing but the shipped weights; the renderer photographs held-out people on the way.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from guidebench import logs
from guidebench.errors import GuidebenchError
from guidebench.images import from_uint8, to_uint8
from guidebench.seeds import stream
from guidebench.store.folders import storage_errors
from guidebench.testbed import Generator, Players
from guidebench.testbeds.mini.parameters import face_from_parameters
from guidebench.testbeds.mini.people import Photographs, Style, gather, photograph
from guidebench.testbeds.mini.renderer import camera_labels, render
from guidebench.testbeds.mini.testbed import MiniTestbed
from guidebench.testbeds.mini.training.data import HELD_OUT
from guidebench.testbeds.mini.training.generated import render_codes
from guidebench.testbeds.mini.training.presence import faceless_images
from guidebench.testbeds.mini.weights_io import SHIPPED

COLUMNS = 8
YAWS = torch.linspace(-0.75, 0.75, 9)  # radians, as far as photographs are taken: 43 degrees to either side
STEPS = torch.linspace(0, 1, 7)  # of an interpolation
QUALITY = 92  # of the JPEG files; lossless, they would be three times as large

Rows = Iterator[Tensor]  # uint8 images (columns, 3, r, r) each


def photographs(held_out: str, number: int, style: Style, count: int) -> Photographs:
    """Photograph `number` of each of the first `count` people of a held-out set."""
    return gather([photograph(person, number, style) for person in HELD_OUT[held_out].people[:count]])


def developed(drawn: Photographs, generator: Generator) -> Tensor:
    """The photographs, uint8 (n, 3, r, r), at the generator's resolution."""
    return to_uint8(render(drawn.identity, drawn.nuisance, drawn.cameras, resolution=generator.resolution))


@torch.no_grad()
def codes(drawn: Photographs, generator: Generator) -> Tensor:
    """The photographs' true codes (n, num_ws, w_dim)."""
    return generator.map(drawn.z.to(generator.w_avg))


# --------------------------------------------------------------------------------------------------------------------
# Sheets
# --------------------------------------------------------------------------------------------------------------------


def generator_rows(players: Players) -> Rows:
    """Renderer above generator."""
    generator, drawn = players.generator, photographs("validation", 0, "in_domain", 4 * COLUMNS)
    drawings = render_codes(generator, codes(drawn, generator), drawn.cameras)
    for pair in zip(developed(drawn, generator).split(COLUMNS), drawings.split(COLUMNS), strict=True):
        yield from pair


def yaw_rows(players: Players) -> Rows:
    """Renderer above generator, from the left to the right."""
    generator, drawn = players.generator, photographs("validation", 0, "in_domain", 100)
    cameras = camera_labels(YAWS, torch.zeros_like(YAWS))
    for place in _looks(drawn):
        identity, nuisance = (numbers[place].expand(len(YAWS), -1) for numbers in (drawn.identity, drawn.nuisance))
        yield to_uint8(render(identity, nuisance, cameras, resolution=generator.resolution))
        yield render_codes(generator, codes(drawn, generator)[place].expand(len(YAWS), -1, -1), cameras)


def _looks(drawn: Photographs) -> list[int]:
    """The first person with long hair only, with glasses only, with both, with neither."""
    faces = [face_from_parameters(*row) for row in zip(drawn.identity.tolist(), drawn.nuisance.tolist(), strict=True)]
    looks = [(face.hair_ends < -0.6, face.glasses > 0.5) for face in faces]
    return [looks.index(wanted) for wanted in ((True, False), (False, True), (True, True), (False, False))]


def interpolation_rows(players: Players) -> Rows:
    """Through the average code to the far side, where extrapolating methods end up; then from face to face."""
    generator, drawn = players.generator, photographs("validation", 0, "in_domain", 12)
    frontal = camera_labels(torch.zeros_like(STEPS), torch.zeros_like(STEPS))
    share = STEPS.view(-1, 1, 1).to(generator.w_avg)
    ws, average = codes(drawn, generator), generator.w_avg
    for place in range(4):
        yield render_codes(generator, average + (1 - 1.5 * share) * (ws[place] - average), frontal)
    for place in range(4, 12, 2):
        yield render_codes(generator, torch.lerp(ws[place], ws[place + 1], share), frontal)


def inversion_rows(players: Players) -> Rows:
    """Photograph above inversion, seen by the photograph's camera."""
    generator = players.generator
    styles: list[tuple[int, Style]] = [(0, "in_domain"), (1, "shifted")]
    for number, style in styles:
        drawn = photographs("development", number, style, 2 * COLUMNS)
        photos = developed(drawn, generator)
        inverted = players.inverter.invert(from_uint8(photos).to(generator.w_avg))
        rebuilt = render_codes(generator, inverted, drawn.cameras)
        for pair in zip(photos.split(COLUMNS), rebuilt.split(COLUMNS), strict=True):
            yield from pair


def faceless_rows(players: Players) -> Rows:
    """Images without a face: three rows of scrambled generators, one of each other kind."""
    photos = developed(photographs("development", 0, "in_domain", 4 * COLUMNS), players.generator)
    kinds = faceless_images(players.generator, photos, 256, stream("mini/sheets", "faceless"))
    for name, images in kinds.items():
        yield from images[: COLUMNS * (3 if name == "scrambled" else 1)].split(COLUMNS)


SHEETS: dict[str, tuple[Callable[[Players], Rows], str]] = {
    "generator": (generator_rows, "32 held-out people, row pairs renderer and generator"),
    "yaw": (yaw_rows, "four of them from 43° left to 43° right, row pairs renderer and generator"),
    "interpolations": (
        interpolation_rows,
        "four rows from a face through the average to the far side, as far beyond it as GUIDE's d = 30; four from face "
        "to face",
    ),
    "inversions": (inversion_rows, "row pairs photograph and inversion, in domain above, shifted below"),
    "faceless": (faceless_rows, "what the presence heads must refuse; three rows of scrambled generators"),
}


# --------------------------------------------------------------------------------------------------------------------
# Files
# --------------------------------------------------------------------------------------------------------------------


def write_sheets(players: Players, folder: Path) -> None:
    """NAME.jpg for each of `SHEETS`. Raises StorageError if the folder cannot be written."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, (rows, _) in SHEETS.items():
            save_sheet(list(rows(players)), folder / f"{name}.jpg")


def save_sheet(rows: Sequence[Tensor], path: Path) -> None:
    """Rows of uint8 images (n, 3, r, r), the shorter ones filled with white, as a JPEG file."""
    columns, size = max(map(len, rows)), rows[0].shape[-1]
    canvas = torch.full((3, len(rows) * size, columns * size), 255, dtype=torch.uint8)
    for line, row in enumerate(rows):
        canvas[:, line * size : (line + 1) * size, : len(row) * size] = torch.cat(list(row), dim=2)
    Image.fromarray(canvas.permute(1, 2, 0).numpy()).save(path, quality=QUALITY, subsampling=0, optimize=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw all sheets."""
    command = argparse.ArgumentParser(prog="python -m guidebench.testbeds.mini.sheets", description=__doc__)
    command.add_argument("--out", type=Path, required=True, help="folder for the pictures; docs/mini in the repository")
    command.add_argument("--weights", type=Path, default=SHIPPED, help="folder of networks (default: those that ship)")
    options = command.parse_args(arguments)
    logs.show_on_stderr()
    torch.set_num_threads(1)
    try:
        write_sheets(MiniTestbed(weights=options.weights).players(), options.out)
    except GuidebenchError as error:
        command.exit(error.exit_code, f"guidebench: {error}\n")


if __name__ == "__main__":
    main()
