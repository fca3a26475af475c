"""Keeps a trial of several requests on disk between them, so that a killed run goes on with the next request.

    OUT/unfinished/PROTOCOL/METHOD/PEOPLE-sSEED-KEY/K/    after request K: state.json, seen.npz, and generator/ of the
                                                          last one alone

Each folder is built aside and renamed. The whole is removed once the trial is recorded; a trial of another key has
another folder, so that whatever decides a trial's numbers decides what it resumes from, too. A method that fails at a
later request leaves it there, and is asked that request again by the next run.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import torch

from guidebench import files
from guidebench.engine.bench import Bench, Renders, Scene
from guidebench.engine.isolation import Change
from guidebench.engine.peak_memory import Peak
from guidebench.engine.trial import Keeper, Stage
from guidebench.engine.unlearning import WEIGHTS, Rows, Runner, Unlearned
from guidebench.engine.wire import tensors_to_bytes
from guidebench.errors import MethodError
from guidebench.evidence import Samples
from guidebench.images import from_uint8, to_uint8
from guidebench.store.arrays import arrays_of, faces_of, opened
from guidebench.store.contents import digests_of
from guidebench.store.folders import UNFINISHED, Store
from guidebench.store.record import TrialSpec

_STATE, _SEEN, _GENERATOR = "state.json", "seen.npz", "generator"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _State:
    """What is kept of a stage besides arrays."""

    key: str  # of the trial
    total: float  # seconds since the trial began
    seconds: float  # of rendering and judging
    seconds_unlearn: float
    change: Change
    memory: Peak
    wrapper: bool
    progress: list[dict[str, int | float]]
    files: dict[str, str]  # SHA-256 of the files beside it, without the generator
    generator: dict[str, str]  # SHA-256 of those of the generator


class Unfinished(Keeper):
    """See the module."""

    def __init__(self, store: Store, spec: TrialSpec, rows: Rows) -> None:
        """rows: gets the progress of the requests that are not made again."""
        self._store, self._spec, self._rows = store, spec, rows
        self._folder = store.path(spec, kind=UNFINISHED)
        self._is_kept = True

    def remove(self) -> None:
        """Removes everything that was kept of the trial, and the folders above that it leaves empty."""
        shutil.rmtree(self._folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # not empty, or never made
            for folder in list(self._folder.parents)[:3]:
                folder.rmdir()

    def resume(self, runner: Runner, scene: Scene, bench: Bench) -> tuple[list[Stage], float]:
        """See `Keeper`. What cannot be read, or renders something else than it did, is said and not used."""
        folders = [self._folder / str(number) for number in range(1, self._spec.protocol.requests + 1)]
        whole = [folder for place, folder in enumerate(folders, 1) if all(map(Path.is_dir, folders[:place]))]
        if not whole:
            return [], 0.0
        try:
            found = [_load(folder, self._spec) for folder in whole]
            state, stage = found[-1]
            _check(digests_of(whole[-1] / _GENERATOR), state.generator)
            generator = runner.resume(whole[-1] / _GENERATOR, wrapper=state.wrapper)
            everybody = len(scene.cast.subjects)  # a method's save() may leave out what earlier requests did
            bench.check_repeats(self._spec.protocol, generator, scene.cast, stage.renders, len(found), count=everybody)
        except (MethodError, ValueError, OSError) as error:  # ValueError: msgspec's, UnreadableEvidence
            _log.warning(
                "%s on %s: what an interrupted run left in %s cannot be continued (%s); the trial starts over",
                *(self._spec.method.label, self._spec.group, self._folder, error),
            )
            self.remove()
            return [], 0.0
        _log.info(
            "%s on %s, seed %d: %d of %d requests are measured already",
            *(self._spec.method.label, self._spec.group, self._spec.seed, len(found), len(folders)),
        )
        stages = [stage for _, stage in found]
        stages[-1] = replace(stage, unlearned=replace(stage.unlearned, generator=generator))
        self._rows += [row for stage in stages for row in stage.unlearned.progress]
        return stages, state.total

    def keep(self, stages: Sequence[Stage], runner: Runner, seconds: float) -> None:
        """See `Keeper`. Of a generator that the method cannot save this is said once, and nothing is kept."""
        if not self._is_kept:
            return
        number, stage = len(stages), stages[-1]
        try:
            with self._store.building(self._folder / str(number)) as folder:
                (folder / _GENERATOR).mkdir()
                _keep_generator(stage.unlearned, runner, folder / _GENERATOR)
                _save(stage, self._spec, seconds, folder)
        except MethodError as error:
            self._is_kept = False
            self.remove()
            _log.warning(
                "%s on %s: if this run is interrupted, the trial starts over instead of going on with the next "
                "request, because its generator cannot be kept: %s",
                *(self._spec.method.label, self._spec.group, error),
            )
            return
        shutil.rmtree(self._folder / str(number - 1) / _GENERATOR, ignore_errors=True)


def _keep_generator(unlearned: Unlearned, runner: Runner, folder: Path) -> None:
    if unlearned.wrapper:
        if reason := runner.keep(folder):
            raise MethodError(reason)
        return
    assert unlearned.generator is not None
    (folder / WEIGHTS).write_bytes(tensors_to_bytes(unlearned.generator.state_dict()))


def _save(stage: Stage, spec: TrialSpec, seconds: float, folder: Path) -> None:
    arrays = {
        "pictures": to_uint8(stage.renders.pictures).cpu().numpy(),
        "judges": np.array(list(stage.renders.faces)),
        "samples": stage.samples.features,
        "public": stage.public.features,
    }
    for judge, faces in stage.renders.faces.items():
        arrays |= arrays_of(faces, f"{judge}/after")
    for judge, faces in (stage.neighbours or {}).items():
        arrays |= arrays_of(faces, f"{judge}/neighbours")
    np.savez(folder / _SEEN, **arrays)  # type: ignore[arg-type]
    answer = stage.unlearned
    generator = digests_of(folder / _GENERATOR)
    state = _State(
        key=spec.key,
        total=seconds,
        seconds=stage.seconds,
        seconds_unlearn=answer.seconds,
        change=answer.change,
        memory=answer.memory,
        wrapper=answer.wrapper,
        progress=list(answer.progress),
        files={name: sha for name, sha in digests_of(folder).items() if not name.startswith(f"{_GENERATOR}/")},
        generator=generator,
    )
    (folder / _STATE).write_bytes(msgspec.json.encode(state))


def _load(folder: Path, spec: TrialSpec) -> tuple[_State, Stage]:
    """What `_save` wrote, without a generator. Raises ValueError or OSError if it is not that, or of another trial."""
    state = msgspec.json.decode(files.read_bytes(folder / _STATE), type=_State)
    if state.key != spec.key:
        raise ValueError(f"{folder} is of another trial")
    found = {name: sha for name, sha in digests_of(folder).items() if not name.startswith(f"{_GENERATOR}/")}
    _check({name: sha for name, sha in found.items() if name != _STATE}, state.files)
    with opened(folder / _SEEN) as arrays:
        judges = [str(judge) for judge in arrays["judges"]]
        faces = {judge: faces_of(arrays, f"{judge}/after") for judge in judges}
        around = {judge: faces_of(arrays, f"{judge}/neighbours") for judge in judges}
        stage = Stage(
            unlearned=Unlearned(
                None, list(state.progress), state.seconds_unlearn, state.change, state.memory, wrapper=state.wrapper
            ),
            renders=Renders(
                {judge: seen for judge, seen in faces.items() if seen is not None},
                from_uint8(torch.from_numpy(arrays["pictures"])),
            ),
            neighbours={judge: seen for judge, seen in around.items() if seen is not None} or None,
            samples=Samples(arrays["samples"]),
            public=Samples(arrays["public"]),
            seconds=state.seconds,
        )
    return state, stage


def _check(found: Mapping[str, str], recorded: Mapping[str, str]) -> None:
    if dict(found) != dict(recorded):
        raise ValueError("its files are not those that were written")
