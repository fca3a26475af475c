"""The pictures to learn from, by mini's generator, and held-out photographs by the renderer, on disk, once."""

import torch
from torch import Tensor

from guidebench import files
from guidebench.images import to_uint8
from guidebench.testbeds.mini.generator import MiniGenerator
from guidebench.testbeds.mini.people import SEEDS, Photographs, Style, gather, photograph
from guidebench.testbeds.mini.training.data import TRAINING_SETS, training_style
from guidebench.testbeds.mini.training.generated import render_codes
from guidebench.testbeds.mini.training.loop import Settings
from guidebench.testbeds.mini.weights_io import WeightsFolder
from guidebench.testbeds.mini_2d.generator import latent_with_pose

PICTURE_NUMBERS = (0, 1, 4)  # of a person's training photographs; the last is from the shifted distribution
PEOPLE_PER_SHARD = 1_100
STYLES: tuple[Style, ...] = ("in_domain", "shifted")  # of the two photographs of each held-out person
VALIDATION = SEEDS["development"][:400]  # one photograph each: generator against renderer
HELD_OUT = SEEDS["development"][400:500]  # inversions


def fields(drawn: Photographs) -> dict[str, Tensor]:
    """What was drawn, with the pose inside z."""
    return {"z": latent_with_pose(drawn.z, drawn.yaw, drawn.elevation), "cameras": drawn.cameras}


def render_pictures(settings: Settings) -> None:
    """Pictures of mini's training people by mini's generator; a smoke run (`--steps` set) takes the first 8 people."""
    generator = WeightsFolder().load_into(MiniGenerator(), "generator").to(settings.device)
    people = [person for name in TRAINING_SETS for person in SEEDS[f"train/{name}"]]
    people = people[:8] if settings.steps else people
    for first in range(0, len(people), PEOPLE_PER_SHARD):
        path = settings.folder("pictures") / f"{first:05d}.pt"
        if path.exists():
            continue
        drawn = gather(
            [
                photograph(person, number, training_style(person, number))
                for person in people[first : first + PEOPLE_PER_SHARD]
                for number in PICTURE_NUMBERS
            ]
        )
        with torch.no_grad():
            ws = generator.map(drawn.z.to(settings.device)).cpu()
        shard = {**fields(drawn), "images": render_codes(generator, ws, drawn.cameras)}
        with files.written_aside(path, "wb") as stream:
            torch.save(shard, stream)


def load_pictures(settings: Settings) -> dict[str, Tensor]:
    """z (n, 64) with the pose, cameras (n, 25), and uint8 images (n, 3, 96, 96)."""
    paths = sorted(settings.folder("pictures").glob("*.pt"))
    shards = [torch.load(path, weights_only=True, mmap=True) for path in paths]
    return {name: torch.cat([shard[name] for shard in shards]) for name in shards[0]}


def render_photographs(settings: Settings) -> None:
    """Photographs of development people by the renderer: `validation` and `held-out`, for `load_held_out`."""
    sets = {
        "validation": [(person, 0, STYLES[0]) for person in VALIDATION],
        "held-out": [(person, number, style) for person in HELD_OUT for number, style in enumerate(STYLES)],
    }
    for name, wanted in sets.items():
        path = settings.folder("data") / f"{name}.pt"
        if path.exists():
            continue
        wanted = wanted[:8] if settings.steps else wanted
        drawn = gather([photograph(person, number, style) for person, number, style in wanted])
        shard = {
            **fields(drawn),
            "images": to_uint8(drawn.render()),
            "person": torch.tensor([person for person, _number, _style in wanted]),
            "shifted": torch.tensor([style == "shifted" for _person, _number, style in wanted]),
        }
        with files.written_aside(path, "wb") as stream:
            torch.save(shard, stream)
