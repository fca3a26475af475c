"""Renders people with an unlearned generator that a trial kept: the command that users of such models ask for."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from guidebench import chosen, images, registry, sources
from guidebench.engine.isolation import blame_the_method
from guidebench.engine.trial import render_views
from guidebench.engine.workers import resolve_device
from guidebench.errors import BadInput, MethodError
from guidebench.noise import Noise
from guidebench.reporting.figures import Cell, Row, sheet
from guidebench.store import folders
from guidebench.testbed import Generator


def render_trial(
    trial: str | Path,
    *,
    photo: str | Path | None,
    yaws: Sequence[float],
    pitch: float | None,
    out: str | Path,
    device: str,
) -> Path:
    """Writes a sheet with the original's and the unlearned generator's renders of one person.

    photo: a photograph to invert, None: the forgotten latent code. yaws: degrees. pitch: radians as in protocols, None:
    the protocol's. Raises BadInput if the trial kept no generator or its weights are not the testbed's.
    """
    folder = Path(trial)
    try:
        record = folders.read(folder)
    except (OSError, ValueError) as error:
        raise BadInput(f"{folder} is no record: {error}; give a folder below OUT/records/") from None
    if not (folder / "generator").is_dir():
        raise BadInput(f"{folder} kept no generator; run it again with --keep-generators --fresh")
    kind = registry.testbed_class(record.testbed)
    testbed = kind(device=resolve_device(device), conventions=record.conventions)
    players = testbed.players()
    if players.digests["generator"] != record.digests.get("generator"):
        raise BadInput(f"{folder} was made with other weights of testbed {record.testbed} than are installed")
    _check_angles(yaws, pitch)
    generator = _kept_generator(folder, record, players.generator)
    rig = players.generator.rig
    pitch = float(record.protocol.get("pitch", 0.0)) if pitch is None else pitch
    cameras = None
    if rig is not None:
        cameras = rig.look_at(torch.tensor([math.radians(yaw) for yaw in yaws]), pitch).to(testbed.device)
    with torch.no_grad():
        if photo is None:
            code = _forgotten_code(folder).to(testbed.device)
        else:
            code = players.inverter.invert(images.load(photo, generator.resolution)[None].to(testbed.device))[0]
        renders = [
            render_views(model, code, cameras, Noise.constant(), batch=testbed.batch)
            for model in (players.generator, generator)
        ]
    captions = [f"yaw {yaw:g}°" for yaw in yaws]
    rows = []
    if photo is not None:
        picture = images.to_arrays(images.load(photo, generator.resolution)[None])[0]
        rows.append(Row("photo", [Cell(picture, Path(photo).name)]))
    for title, views in zip(("original", f"after {record.label}"), renders, strict=True):
        cells = [Cell(array, caption) for array, caption in zip(images.to_arrays(views), captions, strict=False)]
        rows.append(Row(title, cells))
    with folders.storage_errors(Path(out)):
        sheet(rows, out)
    return Path(out)


def _check_angles(yaws: Sequence[float], pitch: float | None) -> None:
    if not all(math.isfinite(yaw) and abs(yaw) <= 180 for yaw in yaws):
        raise BadInput(f"--yaw {max(yaws, key=abs)}: give degrees between -180 and 180")
    if pitch is not None and not abs(pitch) < 1.5:
        raise BadInput(f"--pitch {pitch}: give radians between -1.5 and 1.5")


def _kept_generator(folder: Path, record: folders.Record, source: Generator) -> Generator:
    try:
        method = registry.load_method(record.notes.get("method_spec", record.method))
        method = chosen.with_fields(method, record.fields)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{folder}: the method has no such fields any more: {error}") from None
    if sources.source_digest(method) != record.source_digest:
        sys.stderr.write(f"guidebench: the code of {record.method} has changed since {folder} was recorded\n")
    try:
        with blame_the_method("its generator cannot be loaded"):
            return method.load(copy.deepcopy(source), folder / "generator").eval().requires_grad_(False)
    except MethodError as error:
        raise BadInput(f"{folder}: {error}") from None


def _forgotten_code(folder: Path) -> torch.Tensor:
    try:
        with np.load(folder / "latents.npz", allow_pickle=False) as arrays:
            return torch.from_numpy(arrays["latents"][0])
    except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, BadZipFile) as error:
        raise BadInput(f"{folder}/latents.npz cannot be read: {error}; give a --photo instead") from None
