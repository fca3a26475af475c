"""Renders the training and held-out photographs into shards on disk, once."""

import dataclasses
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from guidebench import files
from guidebench.images import from_uint8, to_uint8
from guidebench.testbeds.mini.people import SEEDS, Photographs, Style, gather, photograph
from guidebench.testbeds.mini.renderer import camera_labels, render_points
from guidebench.testbeds.mini.training.loop import Settings, rng_for

_log = logging.getLogger(__name__)

PEOPLE_PER_SHARD = 200
PHOTOS_PER_PERSON = 5
POINTS_PER_IMAGE = 2_048
TRAINING_SETS = ("recognizer", "curricularface", "arcface")

# The cameras of every protocol that ships, of its views as of its FID samples; a test compares.
PROTOCOL_YAW = math.radians(15.0)  # half range, in radians
PROTOCOL_ELEVATION = math.asin(0.4 / math.pi)  # of the pitch offset -0.2, in radians

# Fields that hold one row of rays per image; the others hold one row per image.
RAY_FIELDS = ("pixels", "depth", "colours", "targets")


def to_bytes(values: Tensor) -> Tensor:
    """[0, 1] to uint8."""
    return (values * 255).round().to(torch.uint8)


def training_style(person: int, number: int) -> Style:
    """Three of ten training photographs come from the shifted distribution."""
    return "shifted" if number == 4 or (number == 3 and person % 2 == 1) else "in_domain"


def people_of(settings: Settings, training_set: str) -> range:
    """The seeds of a training set; a smoke run (`--steps` set) takes the first 4 people."""
    people = SEEDS[f"train/{training_set}"]
    return people[:4] if settings.steps else people


def render_training_set(settings: Settings, training_set: str) -> None:
    """All shards of one training set that are not on disk yet."""
    people = people_of(settings, training_set)
    folder = settings.folder("data") / training_set
    for first in range(0, len(people), PEOPLE_PER_SHARD):
        path = folder / f"{first:05d}.pt"
        if not path.exists():
            started = time.process_time()
            shard = _training_shard(settings, people[first : first + PEOPLE_PER_SHARD])
            with files.written_aside(path, "wb") as stream:
                torch.save(shard, stream)
            rate = len(shard["z"]) / (time.process_time() - started)
            _log.info("data: %s %d at %.0f images per CPU second", training_set, first, rate)


def _training_shard(settings: Settings, people: Sequence[int]) -> dict[str, Tensor]:
    drawn = gather(
        [
            photograph(person, number, training_style(person, number))
            for person in people
            for number in range(PHOTOS_PER_PERSON)
        ]
    )
    rng = rng_for(settings.seed, "data/points", people[0])
    rendered = render_points(drawn.identity, drawn.nuisance, drawn.cameras, points=POINTS_PER_IMAGE, rng=rng)
    return {
        **_fields(drawn),
        "images": to_uint8(rendered.images),
        "person": torch.tensor(people).repeat_interleave(PHOTOS_PER_PERSON),
        "pixels": rendered.pixels.to(torch.int32),
        "depth": rendered.depth.half(),
        "colours": to_bytes(rendered.colours),
        "targets": to_bytes(rendered.targets),
    }


def _fields(drawn: Photographs) -> dict[str, Tensor]:
    return {
        "identity": drawn.identity,
        "nuisance": drawn.nuisance,
        "z": drawn.z,
        "yaw": drawn.yaw,
        "elevation": drawn.elevation,
        "cameras": drawn.cameras,
    }


@dataclass(frozen=True)
class HeldOut:
    """One held-out set: which people, how many photographs of each, in which style."""

    people: range
    photos: int
    styles: tuple[Style, ...]  # the style of photograph i is styles[i % len(styles)]
    protocol_cameras: bool = False  # instead of the styles' own


HELD_OUT = {
    "validation": HeldOut(SEEDS["development"][:400], 1, ("in_domain",)),
    "development": HeldOut(SEEDS["development"][400:600], 10, ("in_domain", "shifted")),
    "calibration": HeldOut(SEEDS["development"][600:], 5, ("in_domain", "shifted")),
    "reals": HeldOut(SEEDS["reals"], 1, ("in_domain",), protocol_cameras=True),
}


def render_validation(settings: Settings) -> None:
    """What the generator's training is watched on."""
    render_held_out_set(settings, "validation")


def render_held_out(settings: Settings) -> None:
    """The other sets that networks are measured and calibrated on."""
    for name in HELD_OUT:
        render_held_out_set(settings, name)


def render_held_out_set(settings: Settings, name: str) -> None:
    """One of `HELD_OUT`, unless it is on disk."""
    path, held_out = settings.folder("data") / f"{name}.pt", HELD_OUT[name]
    if path.exists():
        return
    people = held_out.people[:6] if settings.steps else held_out.people
    drawn = gather(
        [
            photograph(person, number, held_out.styles[number % len(held_out.styles)])
            for person in people
            for number in range(held_out.photos)
        ]
    )
    if held_out.protocol_cameras:
        drawn = seen_by_protocols(drawn, rng_for(settings.seed, f"data/{name}", 0))
    images = to_uint8(drawn.render())
    shifted = torch.tensor([held_out.styles[n % len(held_out.styles)] == "shifted" for n in range(held_out.photos)])
    shard = {
        **_fields(drawn),
        "images": images,
        "person": torch.tensor(people).repeat_interleave(held_out.photos),
        "shifted": shifted.repeat(len(people)),
    }
    with files.written_aside(path, "wb") as stream:
        torch.save(shard, stream)
    _log.info("data: %s has %d images", name, len(images))


def protocol_angles(count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Yaw (count,), uniform, and elevation (count,), constant, of the cameras of protocols' FID samples, in radians."""
    yaw = (2 * torch.rand(count, generator=rng) - 1) * PROTOCOL_YAW
    return yaw, torch.full((count,), PROTOCOL_ELEVATION)


def protocol_cameras(count: int, rng: torch.Generator) -> Tensor:
    """Labels (count, 25) of `protocol_angles`."""
    return camera_labels(*protocol_angles(count, rng))


def seen_by_protocols(drawn: Photographs, rng: torch.Generator) -> Photographs:
    """The same people in the same light, seen by `protocol_angles`."""
    yaw, elevation = protocol_angles(len(drawn.z), rng)
    return dataclasses.replace(drawn, yaw=yaw, elevation=elevation)


def render_recognizer_set(settings: Settings) -> None:
    """Photographs of the training recogniser's people."""
    render_training_set(settings, "recognizer")


def render_curricularface_set(settings: Settings) -> None:
    """Photographs of the first judge's people."""
    render_training_set(settings, "curricularface")


def render_arcface_set(settings: Settings) -> None:
    """Photographs of the second judge's people."""
    render_training_set(settings, "arcface")


# --------------------------------------------------------------------------------------------------------------------
# Reading
# --------------------------------------------------------------------------------------------------------------------


def load_held_out(settings: Settings, name: str) -> dict[str, Tensor]:
    """One held-out set; its images are uint8."""
    return torch.load(settings.folder("data") / f"{name}.pt", weights_only=True, mmap=True)


def load_training_images(settings: Settings, training_sets: Sequence[str]) -> dict[str, Tensor]:
    """All images of some training sets, without rays, joined in order."""
    shards = [torch.load(path, weights_only=True, mmap=True) for path in _shards(settings, training_sets)]
    names = [name for name in shards[0] if name not in RAY_FIELDS]
    return {name: torch.cat([shard[name] for shard in shards]) for name in names}


def _shards(settings: Settings, training_sets: Sequence[str]) -> list[Path]:
    return [path for name in training_sets for path in sorted((settings.folder("data") / name).glob("*.pt"))]


class PointBatches:
    """Random batches of images with their rays; shards stay mapped on disk."""

    SHARDS_PER_BATCH = 4

    def __init__(self, settings: Settings, training_sets: Sequence[str] = TRAINING_SETS) -> None:
        paths = _shards(settings, training_sets)
        self.shards = [torch.load(path, weights_only=True, mmap=True) for path in paths]
        self.device = settings.device

    def draw(self, batch: int, rays: int, rng: torch.Generator) -> dict[str, Tensor]:
        """`batch` images from four shards, with `rays` consecutive entries of each image's shuffled rays."""
        share = -(-batch // self.SHARDS_PER_BATCH)
        parts = []
        for _ in range(min(self.SHARDS_PER_BATCH, batch)):
            shard = self.shards[int(torch.randint(len(self.shards), (), generator=rng))]
            rows = torch.randint(len(shard["z"]), (share,), generator=rng)
            first = int(torch.randint(POINTS_PER_IMAGE + 1 - rays, (), generator=rng))
            parts.append(
                {
                    name: field[rows, first : first + rays] if name in RAY_FIELDS else field[rows]
                    for name, field in shard.items()
                }
            )
        joined = {name: torch.cat([part[name] for part in parts])[:batch].to(self.device) for name in parts[0]}
        joined["images"] = from_uint8(joined["images"])
        return joined
