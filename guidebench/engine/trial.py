"""One trial: invert, render before, unlearn, render after, judge. Everything else is bookkeeping around this file.

The same latent codes, cameras and random samples are rendered by the original and the unlearned generator; judges embed
both sets, the feature extractor featurises both sample sets, and those arrays are the evidence that metrics score.
"""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from guidebench import digest, seeds
from guidebench.cameras import view_yaws
from guidebench.engine.different_people import DifferentPeople, measure_strangers
from guidebench.engine.isolation import (
    blame_the_method,
    call_method,
    changed_parameters,
    check_generator,
    finite,
    frozen,
)
from guidebench.engine.peak_memory import Peak, peak_memory
from guidebench.errors import BadInput, MethodError
from guidebench.evidence import Evidence, Samples, Sight, Subject
from guidebench.images import quantise
from guidebench.noise import Noise, PerCodeNoise, SlicedNoise
from guidebench.protocol import RANDOM, Protocol
from guidebench.seeds import Streams
from guidebench.testbed import Faces, Generator, Judges, Players, Testbed
from guidebench.unlearner import CameraSampler, Context, ForgetItem, Unlearner

NUMERICS_VERSION = 1  # raised when any number of a trial changes for the same inputs
NEIGHBOURHOOD = 15.0  # farthest neighbour of a forgotten code: GUIDE's α_max, over all num_ws × w_dim numbers
_REMEMBERED = 4  # identities whose renders before unlearning are kept in memory

Report = Callable[[int, Mapping[str, float]], None]  # (step, scalars)
Found = tuple[np.ndarray, np.ndarray]  # a judge's vectors, and whether it found a face


@dataclass(frozen=True)
class Cast:
    """Who appears in a trial: the forgotten photograph first, then other photographs of that person, then others."""

    subjects: tuple[Subject, ...]
    latents: Tensor  # (S, num_ws, w_dim)
    photos: Tensor | None  # (S, 3, r, r); None under Random
    neighbours: Tensor  # (k, num_ws, w_dim): codes around the forgotten one, see `neighbours_of`
    file: str = ""  # of the forgotten photograph; "": it was made

    @property
    def forgotten(self) -> ForgetItem:
        """What the method is asked to forget."""
        photo = None if self.photos is None else self.photos[0]
        return ForgetItem(self.subjects[0].identity, photo, self.latents[0])


@dataclass(frozen=True)
class Renders:
    """What one generator shows of a cast, as far as it is kept."""

    embeddings: dict[str, Found]  # judge -> (S, V, d) vectors, (S, V) found
    pictures: Tensor  # (S, P, 3, r, r): the views that picture sheets show


@dataclass(frozen=True)
class Scene:
    """What all methods that forget one identity share."""

    cast: Cast
    photos: dict[str, Found]  # judge -> (S, d) vectors, (S,) found in the photographs; empty under Random
    before: Renders


@dataclass(frozen=True)
class Unlearned:
    """A method's answer, checked."""

    generator: Generator
    progress: list[dict[str, float]]  # one row a progress report: step and the method's scalars
    seconds: float
    trainable: int  # parameters that differ from the original's
    memory: Peak


@dataclass(frozen=True)
class Outcome:
    """Everything that a trial leaves behind."""

    evidence: Evidence
    cast: Cast
    before: Renders
    after: Renders
    target: Tensor | None  # (3, r, r): what the method moves the identity to, if it says so
    unlearned: Unlearned
    seconds: dict[str, float] = field(default_factory=dict)


class Bench:
    """A testbed, loaded once a process, with the evidence about its original generator that trials share."""

    def __init__(self, testbed: Testbed) -> None:
        """Raises BadInput if a judge is also a player."""
        self.testbed = testbed
        self.players: Players = testbed.players()
        self.judges: Judges = testbed.judges()
        self.faces: Faces = testbed.faces()  # may be replaced by photographs of one's own
        check_player_is_not_judge(self.players.digests, self.judges.digests)
        self.digests = {**self.players.digests, **self.judges.digests}
        self._scenes: dict[tuple[str, int], Scene] = {}
        self._source_samples: dict[str, Samples] = {}
        self._strangers: dict[str, DifferentPeople] = {}
        self._faceless: set[str] = set()  # people of whom it was said that no face is found in their photograph

    def check_conventions(self, protocol: Protocol) -> None:
        """Raises BadInput if a protocol asks for other conventions than the testbed was built with."""
        if protocol.conventions != self.testbed.conventions:
            raise BadInput(
                f"protocol {protocol.name} asks for {protocol.conventions} conventions, testbed {self.testbed.name} "
                f"was built for {self.testbed.conventions}; give both the same"
            )

    def manifest(self, protocol: Protocol) -> str:
        """Digest of the identities: of the photo set, or of the generator that samples them."""
        if protocol.source == RANDOM:
            return digest.of_data([RANDOM, self.players.digests["generator"]])
        return self.faces.manifest(protocol.source)

    def identity(self, protocol: Protocol, index: int) -> str:
        """The name of the identity at this place of the protocol; raises BadInput if there are not that many."""
        if protocol.source == RANDOM:
            return f"random-{index:04d}"
        return self.faces.people(protocol.source, [index], photos=1)[0].identity

    def scene(self, protocol: Protocol, index: int) -> Scene:
        """What all methods share of one identity; remembered for a few identities."""
        key = (protocol.digest(), index)
        if key not in self._scenes:
            while len(self._scenes) >= _REMEMBERED:
                self._scenes.pop(next(iter(self._scenes)))
            cast = make_cast(self, protocol, index)
            photos = embed_photos(self, cast)
            self._warn_of_no_face(cast, photos)
            before = render_cast(self, protocol, self.players.generator, cast, "before")
            self._scenes[key] = Scene(cast, photos, before)
        return self._scenes[key]

    def strangers(self, protocol: Protocol) -> DifferentPeople:
        """How alike the judges find different people: what the testbed knows, or measured on the photo set, once."""
        if self.judges.strangers or protocol.source == RANDOM:
            return DifferentPeople(self.judges.strangers)
        if protocol.source not in self._strangers:
            self._strangers[protocol.source] = measure_strangers(self.faces, protocol.source, self.judges, self.testbed)
        return self._strangers[protocol.source]

    def _warn_of_no_face(self, cast: Cast, photos: Mapping[str, Found]) -> None:
        identity = cast.subjects[0].identity
        if photos and not any(found[0] for _, found in photos.values()) and identity not in self._faceless:
            self._faceless.add(identity)
            cure = f"crop it as testbed {self.testbed.name} expects"
            if cast.file and self.testbed.eg3d_crops:
                cure = f"put the crop of its original in its place (`guidebench align {shlex.quote(cast.file)} CROPS`)"
            sys.stderr.write(
                f"guidebench: no judge finds a face in {cast.file or 'the photograph'}, by which {identity} is to be "
                f"forgotten; {cure}, or leave this person out\n"
            )

    def source_samples(self, protocol: Protocol) -> Samples:
        """The original generator's samples; remembered."""
        key = protocol.digest()
        if key not in self._source_samples:
            self._source_samples[key] = featurised_samples(self, protocol, self.players.generator, "before")
        return self._source_samples[key]


def check_player_is_not_judge(players: Mapping[str, str], judges: Mapping[str, str]) -> None:
    """Raises BadInput if a judge's weights equal a player's: scores would flatter the method."""
    for judge, weights in judges.items():
        for player, own in players.items():
            if weights == own:
                raise BadInput(
                    f"judge {judge} and player {player} share weights {weights[:12]}…; scores would flatter the "
                    "method. Choose another judge"
                )


def trial_key(
    protocol: Protocol,
    method: Unlearner,
    *,
    source_digest: str,
    fields: Mapping[str, object],
    testbed: str,
    digests: Mapping[str, str],
    manifest: str,
    identity: str,
    seed: int,
    inputs: Mapping[str, str] | None = None,
) -> str:
    """SHA-256 of everything that decides a trial's numbers; commit and device are recorded, not keyed.

    inputs: `Unlearner.inputs`. Methods that read no files have the keys that they had before there were any.
    """
    return digest.of_data(
        {
            "protocol": protocol.measurement(),
            "method": [method.name, type(method).__qualname__],
            "source": source_digest,
            "fields": dict(fields),
            "testbed": testbed,
            "weights": dict(digests),
            "manifest": manifest,
            "identity": identity,
            "seed": seed,
            "precision": "float32",
            "numerics": NUMERICS_VERSION,
        }
        | ({"inputs": dict(inputs)} if inputs else {})
    )


def run_trial(bench: Bench, protocol: Protocol, method: Unlearner, index: int, seed: int, report: Report) -> Outcome:
    """Measures one method on one identity. Raises MethodError if the method misbehaves."""
    started = time.perf_counter()
    bench.check_conventions(protocol)
    scene = bench.scene(protocol, index)
    cast, before = scene.cast, scene.before
    source = bench.source_samples(protocol)  # before any stranger's code runs
    unlearned = unlearn(bench, protocol, method, cast.forgotten, seed, report)
    evaluation = time.perf_counter()
    with blame_the_method("the returned generator cannot be evaluated"):
        after = render_cast(bench, protocol, unlearned.generator, cast, "after")
        neighbours = embed_neighbours(bench, protocol, unlearned.generator, cast)
        samples = featurised_samples(bench, protocol, unlearned.generator, "after")
    with blame_the_method("the method's target() fails"):
        target = target_picture(bench, protocol, method, cast)
    evidence = Evidence(
        subjects=cast.subjects,
        sights=sights(scene, after, neighbours),
        frontal=next(iter(before.embeddings.values()))[1].shape[1] // 2,
        source=source,
        after=samples,
        real=bench.judges.real,
    )
    now = time.perf_counter()
    seconds = {"unlearn": unlearned.seconds, "evaluate": now - evaluation, "total": now - started}
    return Outcome(evidence, cast, before, after, target, unlearned, seconds)


def make_cast(bench: Bench, protocol: Protocol, index: int) -> Cast:
    """Finds the latent codes of everybody in a trial: inverted photographs, or sampled codes under Random.

    Retained people are the last ones of the source's fixed order without the forgotten one, so that they do not depend
    on how many identities are forgotten. Raises BadInput if the source holds too few people or photographs.
    """
    if protocol.source == RANDOM:
        return _sampled_cast(bench, protocol, index)
    total = bench.faces.sources().get(protocol.source, 0)
    others = [place for place in reversed(range(total)) if place != index][: protocol.retain]
    if len(others) < protocol.retain:
        raise BadInput(
            f"protocol {protocol.name} retains {protocol.retain} people besides the forgotten one, but "
            f"'{protocol.source}' holds {total}; lower retain in the protocol file"
        )
    forgotten = bench.faces.people(protocol.source, [index], photos=protocol.photos)[0]
    retained = bench.faces.people(protocol.source, others, photos=1)
    subjects = [
        Subject(forgotten.identity, "forget" if photo == 0 else "probe", photo) for photo in range(protocol.photos)
    ]
    subjects += [Subject(person.identity, "retain", 0) for person in retained]
    photos = torch.cat([forgotten.photos, *[person.photos for person in retained]]).to(bench.testbed.device)
    rng = None
    if protocol.conventions == "published":
        rng = seeds.stream(protocol.name, protocol.version, "eval/inversion", index)
    with torch.no_grad():
        latents = torch.cat([bench.players.inverter.invert(photo[None], rng=rng) for photo in photos])
    neighbours = neighbours_of(bench, protocol, forgotten.identity, latents[0])
    return Cast(tuple(subjects), latents, photos, neighbours, file=next(iter(forgotten.files), ""))


def _sampled_cast(bench: Bench, protocol: Protocol, index: int) -> Cast:
    generator = bench.players.generator
    names = (protocol.name, protocol.version)
    z = torch.cat(
        [
            seeds.normals([index], generator.z_dim, *names, "identity/latent"),
            seeds.normals(range(protocol.retain), generator.z_dim, *names, "retain/latent"),
        ]
    )
    subjects = [Subject(f"random-{index:04d}", "forget", 0)]
    subjects += [Subject(f"random-retain-{place:04d}", "retain", 0) for place in range(protocol.retain)]
    with torch.no_grad():
        latents = generator.map(z.to(bench.testbed.device))
    return Cast(tuple(subjects), latents, None, neighbours_of(bench, protocol, subjects[0].identity, latents[0]))


@torch.no_grad()
def neighbours_of(bench: Bench, protocol: Protocol, identity: str, latent: Tensor) -> Tensor:
    """Codes around the forgotten one, where its person may live on: w_u + α_i · (w_i - w_u) / ‖w_i - w_u‖.

    Form and range of α are those of GUIDE's Eq. 5: α_i = NEIGHBOURHOOD · i/k for i = 1 … k, w_i are random codes of an
    evaluation stream of this identity, the norm is over all num_ws × w_dim numbers.
    latent: (num_ws, w_dim). Returns (k, num_ws, w_dim).
    """
    count, generator = protocol.neighbours, bench.players.generator
    if count == 0:
        return latent.new_empty(0, *latent.shape)
    names = (protocol.name, protocol.version, "eval/neighbour/latent", identity)
    z = seeds.normals(range(1, count + 1), generator.z_dim, *names)
    step = generator.map(z.to(bench.testbed.device)) - latent
    alpha = NEIGHBOURHOOD * torch.arange(1, count + 1, device=step.device) / count
    length = torch.linalg.vector_norm(step, dim=(1, 2)).clamp_min(torch.finfo(step.dtype).tiny)
    return latent + (alpha / length)[:, None, None] * step


def unlearn(
    bench: Bench, protocol: Protocol, method: Unlearner, item: ForgetItem, seed: int, report: Report
) -> Unlearned:
    """Runs a method on a private copy of the generator and checks what it hands back. Raises MethodError."""
    rows: list[dict[str, float]] = []

    def progress(step: int, **scalars: float) -> None:
        values = {name: float(value) for name, value in scalars.items()}
        if not 0 <= int(step) < 2**53:
            raise MethodError(f"progress() was given step {step}; count steps from 1")
        rows.append({"step": int(step), **values})
        wrong = [name for name, value in values.items() if not math.isfinite(value)]
        if wrong:
            raise MethodError(
                f"diverged: {wrong[0]} = {values[wrong[0]]} at step {step}; lower the learning rate (--set lr=…)"
            )
        report(step, values)

    context = make_context(bench, protocol, item, seed, progress)
    started = time.perf_counter()
    with peak_memory(bench.testbed.device) as memory:
        result, changed = call_method(method, bench.players.generator, item, context)
    elapsed = time.perf_counter() - started
    if changed:
        raise MethodError(
            f"the method changed the {', '.join(changed)}; change only the generator that is passed to unlearn()"
        )
    source = bench.players.generator
    generator = check_generator(result, source, item, protocol_cameras(protocol, source))
    return Unlearned(generator, rows, elapsed, changed_parameters(generator, source), memory)


def make_context(
    bench: Bench, protocol: Protocol, item: ForgetItem, seed: int, progress: Callable[..., None]
) -> Context:
    """What a method sees: copies of the players and streams of this identity and seed, no judge, no probe photograph.

    The players are copies, so that nothing a method does to them reaches another trial. The streams do not depend on
    the method, so that methods which draw alike see the same numbers.
    """
    players = bench.players
    source = frozen(players.generator)
    return Context(
        source=source,
        inverter=frozen(players.inverter),
        recognizer=frozen(players.recognizer),
        perceptual=frozen(players.perceptual),
        cameras=CameraSampler(source, protocol.yaw, protocol.pitch),
        streams=Streams((protocol.name, protocol.version, item.identity, seed)),
        device=bench.testbed.device,
        progress=progress,
    )


def protocol_cameras(protocol: Protocol, generator: Generator) -> Tensor | None:
    """(views, 25) labels of the protocol's views, or None for a 2-D generator, which has one view."""
    if generator.rig is None:
        return None
    labels = generator.rig.look_at(view_yaws(protocol.views, protocol.yaw), protocol.pitch)
    return labels.to(generator.w_avg.device)


def frontal_camera(protocol: Protocol, generator: Generator) -> Tensor | None:
    """(1, 25) label of the protocol's middle view, or None for a 2-D generator."""
    cameras = protocol_cameras(protocol, generator)
    return None if cameras is None else cameras[protocol.views // 2 : protocol.views // 2 + 1]


def picture_views(protocol: Protocol) -> list[int]:
    """The views that picture sheets show: leftmost, frontal, rightmost."""
    return sorted({0, protocol.views // 2, protocol.views - 1})


@torch.no_grad()
def render_cast(bench: Bench, protocol: Protocol, generator: Generator, cast: Cast, side: str) -> Renders:
    """Renders everybody from all views and embeds the renders with every judge."""
    cameras = protocol_cameras(protocol, bench.players.generator)
    shown = picture_views(protocol)
    pictures = []
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {judge: [] for judge in bench.judges.recognizers}
    for place, code in enumerate(cast.latents):
        noise = evaluation_noise(protocol, side, "views", [place])
        images = quantise(finite(render_views(generator, code, cameras, noise, batch=bench.testbed.batch)))
        pictures.append(images[shown] if len(images) > 1 else images)
        for judge, recognizer in bench.judges.recognizers.items():
            embeddings = recognizer.embed(images)
            found[judge].append((embeddings.vectors.cpu().numpy(), embeddings.found.cpu().numpy()))
    embedded = {
        judge: (np.stack([vectors for vectors, _ in rows]), np.stack([mask for _, mask in rows]))
        for judge, rows in found.items()
    }
    return Renders(embedded, torch.stack(pictures).cpu())


@torch.no_grad()
def embed_neighbours(bench: Bench, protocol: Protocol, generator: Generator, cast: Cast) -> dict[str, Found] | None:
    """Judge -> (k, d) vectors and (k,) found of the neighbours' frontal renders; None if the protocol asks for none."""
    if len(cast.neighbours) == 0:
        return None
    view = frontal_camera(protocol, bench.players.generator)
    renders = []
    for place, code in enumerate(cast.neighbours):
        noise = evaluation_noise(protocol, "after", "neighbours", [place])
        renders.append(quantise(finite(render_views(generator, code, view, noise))))
    return _embedded(bench, torch.cat(renders))


@torch.no_grad()
def embed_photos(bench: Bench, cast: Cast) -> dict[str, Found]:
    """Judge -> (S, d) vectors and (S,) found of a cast's photographs; empty if it has none."""
    if cast.photos is None:
        return {}
    return _embedded(bench, quantise(cast.photos))


def _embedded(bench: Bench, images: Tensor) -> dict[str, Found]:
    embedded = {judge: recognizer.embed(images) for judge, recognizer in bench.judges.recognizers.items()}
    return {judge: (found.vectors.cpu().numpy(), found.found.cpu().numpy()) for judge, found in embedded.items()}


def render_views(
    generator: Generator, code: Tensor, cameras: Tensor | None, noise: Noise, *, batch: int | None = None
) -> Tensor:
    """One latent code (num_ws, w_dim) from all cameras (V, 25) -> (V, 3, r, r); features are synthesised once.

    batch: views that are decoded at once (None: all); draws do not depend on it.
    """
    features = generator.synthesize(code[None], noise=noise)
    if cameras is None:
        return generator.decode(features, code[None], None, noise=noise)
    total = len(cameras)
    sliced = SlicedNoise(noise, total)
    parts = []
    for start in range(0, total, batch or total):
        some = cameras[start : start + (batch or total)]
        count = len(some)
        repeated = features.expand(count, *features.shape[1:])
        own = sliced.rows(start, count) if count < total else noise
        parts.append(generator.decode(repeated, code.expand(count, *code.shape), some, noise=own))
    return parts[0] if len(parts) == 1 else torch.cat(parts)  # cat may change the layout, and rounding


def evaluation_noise(protocol: Protocol, side: str, purpose: str, indices: Sequence[int]) -> Noise:
    """Constant noise, or under `published` noise of its own for before and after, as in the released evaluation.

    indices: which codes are rendered at once; each has a stream of its own, so that batches do not move draws.
    """
    if protocol.conventions == "corrected":
        return Noise.constant()
    names = (protocol.name, protocol.version, "eval/noise", side, purpose)
    return PerCodeNoise([seeds.stream(*names, index) for index in indices])


@torch.no_grad()
def featurised_samples(bench: Bench, protocol: Protocol, generator: Generator, side: str) -> Samples:
    """Features of random samples: the same z for every generator, each mapped by its own mapping network; yaw uniform.

    (The methods of the field leave the mapping as it is, so that their latent codes are the same, too.)
    """
    batches = (bench.judges.features.features(images) for images in _samples(bench, protocol, generator, side))
    return Samples(np.concatenate(list(batches)).astype(np.float32))


def _samples(bench: Bench, protocol: Protocol, generator: Generator, side: str) -> Iterator[Tensor]:
    names = (protocol.name, protocol.version)
    device = bench.testbed.device
    for start in range(0, protocol.samples, bench.testbed.batch):
        indices = range(start, min(start + bench.testbed.batch, protocol.samples))
        original = bench.players.generator
        z = seeds.normals(indices, original.z_dim, *names, "fid/latent").to(device)
        cameras = None
        if original.rig is not None:
            yaw = seeds.uniforms(indices, -protocol.yaw, protocol.yaw, *names, "fid/yaw")
            cameras = original.rig.look_at(yaw, protocol.pitch).to(device)
        noise = evaluation_noise(protocol, side, "fid", indices)
        yield finite(generator.render(generator.map(z), cameras, noise=noise))


def sights(scene: Scene, after: Renders, neighbours: Mapping[str, Found] | None) -> dict[str, Sight]:
    """Puts together what each judge saw of renders and photographs."""
    result = {}
    for judge, before in scene.before.embeddings.items():
        photo, photo_found = scene.photos.get(judge, (None, None))
        around, around_found = (None, None) if neighbours is None else neighbours[judge]
        result[judge] = Sight(
            *before,
            *after.embeddings[judge],
            photo=photo,
            photo_found=photo_found,
            neighbours=around,
            neighbours_found=around_found,
        )
    return result


def target_picture(bench: Bench, protocol: Protocol, method: Unlearner, cast: Cast) -> Tensor | None:
    """The original generator's frontal render of the code that the method moves the identity to, if it names one."""
    code = method.target(cast.forgotten, bench.players.generator)
    if code is None:
        return None
    view = frontal_camera(protocol, bench.players.generator)
    with torch.no_grad():
        image = bench.players.generator.render(code.detach()[None], view, noise=Noise.constant())
    return quantise(image)[0].cpu()
