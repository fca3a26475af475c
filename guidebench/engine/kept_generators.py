"""Renders people with an unlearned generator that a trial kept: the command that users of such models ask for."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Sequence
from pathlib import Path

import torch

from guidebench import images, registry, sources
from guidebench.chosen import ChosenMethod
from guidebench.engine.isolation import blame_the_method
from guidebench.environment import resolve_device
from guidebench.errors import BadInput, MethodError
from guidebench.noise import Noise
from guidebench.reporting.figures import Cell, Row, sheet
from guidebench.store import folders
from guidebench.store.arrays import UnreadableEvidence, opened
from guidebench.store.contents import NO_GENERATOR, check_contents
from guidebench.store.record import Record
from guidebench.testbed import Generator
from guidebench.views import render_views

_log = logging.getLogger(__name__)


def render_trial(
    trial: str | Path,
    *,
    photo: str | Path | None,
    person: str | None,
    yaws: Sequence[float],
    pitch: float | None,
    out: str | Path,
    device: str,
    trust_code: bool = False,
) -> Path:
    """Writes a sheet with the original's and the unlearned generator's renders of one person.

    photo: a photograph to invert; None: the latent code of the forgotten person, or of ``person`` among several.
    yaws: degrees. pitch: radians as in protocols, None: the protocol's. trust_code: run code that the record names and
    that does not come with an installed package. Raises BadInput if it would have to and may not, if the trial kept no
    generator, forgot nobody of that name, or has other weights than the testbed.
    """
    folder = Path(trial)
    try:
        record = folders.read(folder)
    except (OSError, ValueError) as error:
        raise BadInput(f"{folder} is not a record as a run wrote it: {error}; give one below OUT/records/") from None
    if not (folder / "generator").is_dir():
        tried = (folder / NO_GENERATOR).is_file()
        fresh = f" --fresh; {NO_GENERATOR} there says why it could not be saved" if tried else ""
        raise BadInput(f"{folder} kept no generator; run it again with --keep-generators{fresh}")
    check_generator(record, folder)
    if not trust_code:
        refuse_code(record, folder)
    spec = record.spec
    kind = registry.testbed_class(record.instrument.testbed)
    testbed = kind(device=resolve_device(device), conventions=spec.protocol.conventions)
    players = testbed.players()
    if players.digests["generator"] != spec.weights.get("generator"):
        raise BadInput(f"{folder} was made with other weights of testbed {spec.testbed} than are installed")
    _check_angles(yaws, pitch)
    generator = kept_generator(folder, spec.method, players.generator)
    rig = players.generator.rig
    pitch = spec.protocol.pitch if pitch is None else pitch
    cameras = None
    if rig is not None:
        cameras = rig.look_at(torch.tensor([math.radians(yaw) for yaw in yaws]), pitch).to(testbed.device)
    with torch.no_grad():
        if photo is None:
            code = _forgotten_code(folder, person or spec.people[0]).to(testbed.device)
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
    for title, views in zip(("original", f"after {spec.method.label}"), renders, strict=True):
        cells = [Cell(array, caption) for array, caption in zip(images.to_arrays(views), captions, strict=False)]
        rows.append(Row(title, cells))
    with folders.storage_errors(Path(out)):
        sheet(rows, out)
    return Path(out)


def check_generator(record: Record, folder: Path) -> None:
    """Raises BadInput if what the trial kept is not what lies there."""
    kept = [path.relative_to(folder).as_posix() for path in sorted((folder / "generator").rglob("*")) if path.is_file()]
    try:
        check_contents(record, folder, [name for name in kept if "/." not in name])
    except (OSError, ValueError) as error:
        raise BadInput(f"{folder}: {error}; measure the trial again with --keep-generators --fresh") from None


def refuse_code(record: Record, folder: Path) -> None:
    """Raises BadInput if rendering would run Python that the record names by file or module: anybody can write that."""
    method = record.spec.method
    named = {"testbed": record.instrument.testbed, "method": method.spec}
    code = [f"{what} {spec}" for what, spec in named.items() if registry.is_direct(spec)]
    code += [
        f"{name} {value}"
        for name, value in method.fields.items()
        if isinstance(value, str) and registry.is_file_spec(value)
    ]
    if code:
        raise BadInput(
            f"{folder} names code that would be run: {', '.join(code)}; give --trust-code if you know whose it is"
        )


def _check_angles(yaws: Sequence[float], pitch: float | None) -> None:
    if not all(math.isfinite(yaw) and abs(yaw) <= 180 for yaw in yaws):
        raise BadInput(f"--yaw {max(yaws, key=abs)}: give degrees between -180 and 180")
    if pitch is not None and not abs(pitch) < 1.5:
        raise BadInput(f"--pitch {pitch}: give radians between -1.5 and 1.5")


def kept_generator(folder: Path, recorded: ChosenMethod, source: Generator) -> Generator:
    """The generator that a record kept, frozen. source: the original. Raises BadInput if it cannot be loaded."""
    try:
        method = recorded.build()
    except (TypeError, ValueError) as error:
        raise BadInput(f"{folder}: the method has no such fields any more: {error}") from None
    if sources.source_digest(method) != recorded.source_digest:
        _log.warning("the code of %s has changed since %s was recorded", recorded.name, folder)
    try:
        with blame_the_method("its generator cannot be loaded"):
            return method.load(copy.deepcopy(source), folder / "generator").eval().requires_grad_(False)
    except MethodError as error:
        raise BadInput(f"{folder}: {error}") from None


def _forgotten_code(folder: Path, person: str) -> torch.Tensor:
    try:
        with opened(folder / "latents.npz") as arrays:
            forgotten = [str(name) for name in arrays["identity"][arrays["role"] == "forget"]]
            codes = arrays["latents"][arrays["role"] == "forget"]
    except UnreadableEvidence as error:
        raise BadInput(f"{folder}: {error}; give a --photo instead") from None
    if person not in forgotten:
        raise BadInput(f"{folder} forgot nobody called '{person}'; it forgot {', '.join(forgotten)}")
    return torch.from_numpy(codes[forgotten.index(person)])
