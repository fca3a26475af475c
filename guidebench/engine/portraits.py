"""Figures of faces: what generators render, from the latent codes of records and the generators that trials kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from guidebench import images, registry
from guidebench.engine.kept_generators import check_generator, kept_generator, refuse_code
from guidebench.environment import resolve_device
from guidebench.errors import BadInput
from guidebench.evidence import Role, Subject
from guidebench.noise import Noise
from guidebench.reporting.plots.faces import Block, Line, grid
from guidebench.reporting.plots.style import GREY
from guidebench.reporting.plots.trials import Trials, chosen_people, evidence_of
from guidebench.reporting.selection import Variant
from guidebench.store.arrays import UnreadableEvidence, opened
from guidebench.store.contents import check_contents
from guidebench.store.folders import StoredRecord, person_folder
from guidebench.testbed import Generator
from guidebench.unlearner import ForgetItem
from guidebench.views import frontal_camera, render_views

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PEOPLE = 2  # in figures that show several pictures of each
_SIDE_BY_SIDE = 4  # people in a figure that shows one of each
_OTHERS = 5  # people who were not forgotten
DISTANCES = (0.0, 15.0, 30.0, 45.0, 60.0)  # d of Eq. 3 in figure-9, as in the suite of that name


@dataclass(frozen=True)
class Studio:
    """The original generator, and those that trials kept."""

    trials: Trials
    device: str = "auto"
    trust_code: bool = False

    @cached_property
    def source(self) -> Generator:
        """The original generator. Raises BadInput if other weights are installed than the records were made with."""
        first = self.trials.stored[0]
        if not self.trust_code:
            refuse_code(first.record, first.path)
        spec = first.record.spec
        kind = registry.testbed_class(first.record.instrument.testbed)
        testbed = kind(device=resolve_device(self.device), conventions=spec.protocol.conventions)
        players = testbed.players()
        if players.digests["generator"] != spec.weights.get("generator"):
            raise BadInput(f"{first.path} was made with other weights of testbed {spec.testbed} than are installed")
        return players.generator

    def face(self, generator: Generator, code: torch.Tensor) -> np.ndarray:
        """(num_ws, w_dim) -> (r, r, 3) uint8, from the front."""
        protocol = self.trials.stored[0].record.spec.protocol
        camera = frontal_camera(protocol, self.source)
        with torch.no_grad():
            render = render_views(generator, code.to(self.source.w_avg.device), camera, Noise.constant())
        picture: np.ndarray = images.to_arrays(render)[0]
        return picture

    def kept(self, item: StoredRecord) -> Generator:
        """The generator that a trial kept. Raises BadInput if it kept none, or code must run that nobody trusts."""
        if not (item.path / "generator").is_dir():
            raise BadInput(
                f"{item.path} kept no generator, which this figure renders; run its trial again with "
                "--keep-generators, or leave its method out with --method"
            )
        check_generator(item.record, item.path)
        if not self.trust_code:
            refuse_code(item.record, item.path)
        return kept_generator(item.path, item.record.spec.method, self.source)

    def target(self, item: StoredRecord, person: str) -> torch.Tensor | None:
        """The code that a method moves a person to, if it has one."""
        if not self.trust_code:
            refuse_code(item.record, item.path)
        try:
            method = item.record.spec.method.build()
        except (TypeError, ValueError) as error:
            raise BadInput(f"{item.path}: the method has no such fields any more: {error}") from None
        return method.target(ForgetItem(person, None, _code_of(item, person)), self.source)


def _codes(item: StoredRecord) -> tuple[list[Subject], torch.Tensor]:
    """Everybody in a trial, and their codes (S, num_ws, w_dim)."""
    path = item.path / "latents.npz"
    try:
        with opened(path) as arrays:
            columns = [arrays[name] for name in ("identity", "role", "photo", "request")]
            codes = torch.from_numpy(np.array(arrays["latents"]))
    except UnreadableEvidence as error:
        raise BadInput(f"{path.parent}: {error}; measure the trial again with --fresh") from None
    subjects = [
        Subject(str(who), str(role), int(photo), int(request))  # type: ignore[arg-type]
        for who, role, photo, request in zip(*columns, strict=True)
    ]
    return subjects, codes


def _code_of(item: StoredRecord, person: str) -> torch.Tensor:
    subjects, codes = _codes(item)
    return next(
        code
        for subject, code in zip(subjects, codes, strict=True)
        if (subject.identity, subject.role) == (person, "forget")
    )


def _by_person(trials: Trials) -> dict[str, dict[Variant, StoredRecord]]:
    """Person -> method -> its trial of the lowest seed, of people whom every method forgot, the worst first."""
    found: dict[str, dict[Variant, StoredRecord]] = {}
    for variant in trials.methods:
        for item in sorted(trials.of(variant), key=lambda item: -item.record.spec.seed):
            for person in item.record.spec.people:
                found.setdefault(person, {})[variant] = item
    everywhere = [person for person, own in found.items() if len(own) == len(trials.methods)]
    if not everywhere:
        raise BadInput(
            f"nobody below {trials.directory} was forgotten by every method; leave out methods with --method"
        )
    return {person: found[person] for person in trials.worst_first(everywhere)}


def _photo(item: StoredRecord, person: str) -> np.ndarray | None:
    """A forgotten photograph as the trial drew it; None: there is none, as under random, or it was changed."""
    name = f"pictures/{person_folder(person)}/photo.png"
    try:
        check_contents(item.record, item.path, [name])
        return np.array(images.open_photo(item.path / name))
    except (OSError, ValueError, BadInput):
        return None


def _ranks(people: Sequence[str]) -> Iterator[tuple[str, str]]:
    """People with what they were chosen for."""
    words = ("worst", "median")
    for place, person in enumerate(people):
        yield person, f"{person} ({words[place]})" if place < len(words) and len(people) > 1 else person


def _colour(trials: Trials, variant: Variant) -> str:
    return trials.looks[variant].colour


# The figures -----------------------------------------------------------------------------------------------------


def unlearned(studio: Studio) -> tuple[Figure, str]:
    """GUIDE's Figure 6: photograph, original, and for each method its target and what it renders afterwards."""
    trials = studio.trials
    found = _by_person(trials)
    people = chosen_people(list(found), _SIDE_BY_SIDE)
    anybody = {person: next(iter(found[person].values())) for person in people}
    lines = [
        Line("photo", [_photo(anybody[person], person) for person in people]),
        Line("original", [studio.face(studio.source, _code_of(anybody[person], person)) for person in people]),
    ]
    for variant in trials.methods:
        own = {person: found[person][variant] for person in people}
        codes = [studio.target(item, person) for person, item in own.items()]
        targets = [None if code is None else studio.face(studio.source, code) for code in codes]
        after = [studio.face(studio.kept(item), _code_of(item, person)) for person, item in own.items()]
        lines += [
            Line(f"target of {variant.label}", targets, GREY),
            Line(variant.label, after, _colour(trials, variant)),
        ]
    lines = [line for line in lines if any(face is not None for face in line.faces)]
    heads = [words.replace(" (", "\n(") for _, words in _ranks(people)]
    return grid([Block(lines, heads)]), (
        "The forgotten photograph, its code rendered by the original generator, and for each method the face that it "
        "aims at and what its generator renders. People: the one with the highest ID, the median one, then the next "
        "highest."
    )


def probes(studio: Studio) -> tuple[Figure, str]:
    """GUIDE's Figure 7: other photographs of the forgotten person, before and after each method."""
    return _before_and_after(
        studio,
        ("forget", "probe"),
        "Renders of the forgotten photograph (first) and of other photographs of the same person",
        "have no other photographs of the people they forget; a protocol such as celebahq-multi has them",
    )


def others(studio: Studio) -> tuple[Figure, str]:
    """GUIDE's Figure 8: people who were not forgotten, before and after each method."""
    return _before_and_after(
        studio,
        ("lookalike", "named", "retain"),
        "Renders of people who were not forgotten, those whom methods harmed most first",
        "have nobody who must survive",
    )


def distances(studio: Studio) -> tuple[Figure, str]:
    """GUIDE's Figure 9: what the original generator renders on the way from a face through the average beyond it."""
    trials = studio.trials
    everybody = {person: item for item in trials.stored for person in item.record.spec.people}
    people = chosen_people(trials.worst_first(everybody), _SIDE_BY_SIDE)
    average = studio.source.w_avg
    guide: Any = registry.load_method("guide")
    aims = [replace(guide, target_distance=distance) for distance in DISTANCES]
    lines = []
    for person, words in _ranks(people):
        code = _code_of(everybody[person], person).to(average.device)
        codes = [code, (code + average) / 2]
        codes += [method.target(ForgetItem(person, None, code), studio.source) for method in aims]
        faces = [studio.face(studio.source, one) for one in codes]
        lines.append(Line(words, [_photo(everybody[person], person), *faces]))
    heads = ["photo", "code", "midpoint", "mean", *(f"d = {distance:g}" for distance in DISTANCES[1:])]
    if all(line.faces[0] is None for line in lines):
        lines = [Line(line.label, line.faces[1:]) for line in lines]
        heads = heads[1:]
    return grid([Block(lines, heads)]), (
        "The original generator along the line from a person's code through the mean latent (d = 0) and beyond: the "
        "targets of GUIDE, which takes d = 30. Midpoint: half-way from the code to the mean."
    )


def _before_and_after(studio: Studio, roles: Sequence[Role], what: str, lacking: str) -> tuple[Figure, str]:
    """A block per person: the original's renders of subjects of these roles, and each method's."""
    trials = studio.trials
    found = _by_person(trials)
    blocks = []
    for person, words in _ranks(chosen_people(list(found), _PEOPLE)):
        own = found[person]
        first = next(iter(own.values()))
        subjects, codes = _codes(first)
        places = [place for place, one in enumerate(subjects) if one.role in roles]
        if "forget" in roles:
            places = [place for place in places if subjects[place].identity == person]
        else:
            places = _most_harmed(trials, own, subjects, places)[:_OTHERS]
        if len(places) < 2:
            raise BadInput(f"the trials below {trials.directory} {lacking}")
        lines = [Line("original", [studio.face(studio.source, codes[place]) for place in places])]
        for variant, item in own.items():
            theirs = dict(zip(*_codes(item), strict=True))
            generator = studio.kept(item)
            after = [
                studio.face(generator, theirs[one]) if one in theirs else None
                for one in map(subjects.__getitem__, places)
            ]
            lines.append(Line(variant.label, after, _colour(trials, variant)))
        names = {"forget": "forgotten", "probe": "probe", "lookalike": "look-alike", "named": "told", "retain": "kept"}
        heads = [names[subjects[place].role] for place in places]
        blocks.append(Block(lines, heads, words))
    return grid(blocks), (
        f"{what}, by the original generator and after each method. People: the one with the highest ID, and the median "
        "one."
    )


def _most_harmed(
    trials: Trials, own: dict[Variant, StoredRecord], subjects: Sequence[Subject], places: Sequence[int]
) -> list[int]:
    """Places by how little is left of people, mean over methods and views; those whom every method's trial has."""
    left: dict[int, list[float]] = {place: [] for place in places}
    for item in own.values():
        evidence = evidence_of(item)
        sight = evidence.sights.get(trials.judge)
        for place in places if sight else []:
            if subjects[place] in evidence.subjects:
                row = evidence.subjects.index(subjects[place])
                both = sight.before.found[row] & sight.after.found[-1, row]  # type: ignore[union-attr]
                cosines = (sight.before.vectors[row] * sight.after.vectors[-1, row]).sum(axis=-1)  # type: ignore[union-attr]
                left[place].append(float(cosines[both].mean()) if both.any() else -1.0)
    everywhere = [place for place in places if len(left[place]) == len(own)]
    return sorted(everywhere, key=lambda place: (float(np.mean(left[place])), place))
