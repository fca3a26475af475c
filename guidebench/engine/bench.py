"""A testbed, loaded once per process, with what all trials on it share."""

from __future__ import annotations

import itertools
import logging
import secrets
import shlex
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from guidebench import digest, room, seeds
from guidebench.engine.cast import Cast, group_at, make_cast, request_of, sampled_name
from guidebench.engine.different_people import measure_different_people
from guidebench.engine.hosted import Hosted
from guidebench.engine.isolation import check_images, require_sound, sound, soundness
from guidebench.engine.lookalikes import Pool, pool_of
from guidebench.engine.remembered import Remembered, Value
from guidebench.errors import BadInput, MethodError
from guidebench.evidence import DifferentPeople, Samples, Seen, SeenFaces
from guidebench.images import from_uint8, quantise, to_uint8
from guidebench.noise import Noise
from guidebench.protocol import RANDOM, Protocol
from guidebench.testbed import Faces, Generator, Inverter, Judges, Players, Recognizer, Testbed
from guidebench.views import (
    evaluation_noise,
    frontal_camera,
    picture_views,
    protocol_cameras,
    render_views,
    view_noises,
)

if TYPE_CHECKING:
    from guidebench.store.originals import Originals

PUBLIC = 32  # samples of codes that everybody may know, beside those that the salt decides
_UNCHECKED = 16  # batches of samples between two looks at whether they are sound, for which a GPU must be waited
_NAMED = 5  # people in whose photographs no face is found and who are named
_REPEATED = 6  # renders that are asked for a second time
_ROUNDING = 1e-3  # of the largest feature: what devices and versions may differ by
_SAME = 0.5 / 127.5  # mean difference of two renders of one code, half a grey level of a PNG
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Renders:
    """What one generator shows of a cast, as far as it is kept."""

    faces: Mapping[str, SeenFaces]  # by judge, (S, V)
    pictures: Tensor  # (S, P, 3, r, r): the views that picture sheets show


@dataclass(frozen=True)
class Look:
    """What one generator shows of one latent code, as far as it is kept."""

    faces: Mapping[str, SeenFaces]  # by judge, (V,)
    pictures: Tensor  # (P, 3, r, r) uint8 on the CPU: the views that picture sheets show


@dataclass(frozen=True)
class Scene:
    """What all methods that forget the same people share."""

    cast: Cast
    photos: Mapping[str, SeenFaces]  # by judge, (S,): the photographs; empty under Random
    before: Renders


class Bench:
    """A testbed, loaded once, with the evidence about its original generator that trials share."""

    def __init__(self, testbed: Testbed, players: Players | None = None, *, salt: int = 0) -> None:
        """players: the testbed's, if they are loaded already. salt: see `TrialSpec.salt`.

        Raises BadInput if a judge is also a player.
        """
        self.testbed, self.salt = testbed, salt
        self.players: Players = players or testbed.players()
        self.judges: Judges = testbed.judges()
        self.faces: Faces = testbed.faces()  # may be replaced by the user's photographs
        check_player_is_not_judge(self.players.digests, self.judges.digests)
        self.digests = {**self.players.digests, **self.judges.digests}
        self._remembered = Remembered()
        self._source_samples: dict[str, Samples] = {}
        self.originals: Originals | None = None  # where they are kept for the next run; None: nowhere
        self._kept: dict[str, np.ndarray | None] = {}
        self._different_people: dict[str, Mapping[str, DifferentPeople]] = {}
        self._faceless: set[str] = set()  # people in whose photograph no face is found, and of whom that was said

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

    def group(self, protocol: Protocol, index: int) -> tuple[tuple[str, ...], ...]:
        """The names of the people that trial ``index`` forgets, by request. Raises BadInput if there are too few."""
        requests: list[list[str]] = [[] for _ in range(protocol.requests)]
        for place in group_at(protocol, index):
            requests[request_of(protocol, place) - 1].append(self._identity(protocol, place))
        return tuple(map(tuple, requests))

    def _identity(self, protocol: Protocol, place: int) -> str:
        if protocol.source == RANDOM:
            return sampled_name(place)
        return self.faces.people(protocol.source, [place], photos=1)[0].identity

    def cast(self, protocol: Protocol, index: int) -> Cast:
        """Everybody in trial ``index``; see `guidebench.engine.cast.make_cast`."""
        device = self.testbed.device

        def pool() -> Pool:
            return self._remembered.recall(
                ("pool", protocol.digest()), lambda: pool_of(self.players, self.faces, protocol, self.salt, device)
            )

        return make_cast(self.players, self.faces, protocol, index, device, self._codes_of, pool, salt=self.salt)

    def _codes_of(self, photos: Tensor) -> Tensor:
        """Latent codes (k, num_ws, w_dim) of one person's photographs; remembered, since people are in many casts."""
        inverter, batch = self.players.inverter, self.testbed.batch
        return self._remembered.recall(
            ("codes", digest.of_tensors({"photos": photos})),
            lambda: torch.cat([part for some in photos.split(batch) for part in _inverted(inverter, some)]),
        )

    def scene(self, protocol: Protocol, index: int) -> Scene:
        """What all methods share that forget the people of trial ``index``; remembered."""
        return self._remembered.recall(("scene", protocol.digest(), index), lambda: self._make_scene(protocol, index))

    def _make_scene(self, protocol: Protocol, index: int) -> Scene:
        cast = self.cast(protocol, index)
        photos = self._photos_of(cast)
        self._warn_of_no_face(cast, photos)
        return Scene(cast, photos, self.renders(protocol, self.players.generator, cast, "before"))

    def different_people(self, protocol: Protocol) -> Mapping[str, DifferentPeople]:
        """How alike each judge finds different people: what the testbed knows, or measured on the photo set, once."""
        if self.judges.different_people or protocol.source == RANDOM:
            return self.judges.different_people
        if protocol.source not in self._different_people:
            found = measure_different_people(self.faces, protocol.source, self.judges, self.testbed)
            self._different_people[protocol.source] = found
        return self._different_people[protocol.source]

    def source_samples(self, protocol: Protocol) -> Samples:
        """The original generator's samples; computed once, here or by several workers (`share_source_samples`)."""
        key = protocol.digest()
        if key not in self._source_samples:
            whole = self.source_features(protocol, range(protocol.samples))
            self.share_source_samples(protocol, whole)
        return self._source_samples[key]

    def _kept_samples(self, protocol: Protocol) -> np.ndarray | None:
        """The features of the original's samples from an earlier run, if some of them are what they are now, too."""
        key = protocol.digest()
        if key not in self._kept:
            kept = self.originals.get(protocol) if self.originals else None
            if kept is not None and not self._is_like(kept, protocol):
                _log.warning("kept samples of the original generator are not what it renders now; rendering them again")
                kept = None
            self._kept[key] = kept
        return self._kept[key]

    def _is_like(self, kept: np.ndarray, protocol: Protocol) -> bool:
        """Whether a batch of samples that nobody could foresee, rendered now, has the kept features."""
        batch = self.testbed.batch
        start = batch * secrets.randbelow(-(-protocol.samples // batch))
        some = range(start, min(start + batch, protocol.samples))
        now, before = self._of_original(protocol, some, public=False), kept[some.start : some.stop]
        return now.shape == before.shape and float(np.abs(now - before).max()) <= _ROUNDING * float(np.abs(now).max())

    def source_features(self, protocol: Protocol, indices: range) -> np.ndarray:
        """Features (len(indices), d) of some of the original generator's samples.

        indices: from a multiple of the testbed's batch, so that batches are those of the whole. Raises BadInput if a
        sample is not sound.
        """
        kept = self._kept_samples(protocol)
        if kept is not None:
            return kept[indices.start : indices.stop]
        return self._of_original(protocol, indices, public=False)

    def _of_original(self, protocol: Protocol, indices: range, *, public: bool) -> np.ndarray:
        try:
            return self._features(protocol, self.players.generator, "before", indices, public=public)
        except MethodError as error:
            text = str(error).replace("the returned generator", f"the generator of testbed {self.testbed.name}")
            raise BadInput(text.partition(";")[0]) from None

    def share_source_samples(self, protocol: Protocol, features: np.ndarray) -> None:
        """Takes the features of all of the original generator's samples, (n, d), in order."""
        self._source_samples[protocol.digest()] = Samples(features)
        if self.originals and self._kept.get(protocol.digest()) is None:
            self.originals.put(protocol, features)

    def public_source(self, protocol: Protocol) -> Samples:
        """The original generator's samples of the public codes; remembered."""
        return self._remembered.recall(
            ("public", protocol.digest()),
            lambda: Samples(self._of_original(protocol, range(min(PUBLIC, protocol.samples)), public=True)),
        )

    @torch.no_grad()
    def renders(
        self, protocol: Protocol, generator: Generator, cast: Cast, side: str, request: int | None = None
    ) -> Renders:
        """Renders everybody from all views, as every judge sees them, in an order that the salt decides.

        request: after which people are looked at; those whom a later one forgets are not. None: everybody is.
        """
        order = self.shuffled(protocol, len(cast.latents), "order", cast.subjects[0].identity)
        wanted = {*cast.shown_after(request)}
        found = {
            place: self._look(protocol, generator, cast.latents[place], place, side)
            for place in order
            if place in wanted
        }
        nobody = _nobody(next(iter(found.values())))
        looks = [found.get(place, nobody) for place in range(len(order))]
        return Renders(
            {judge: Seen.stack([look.faces[judge] for look in looks]) for judge in self.judges.recognizers},
            from_uint8(torch.stack([look.pictures for look in looks])),
        )

    def _look(self, protocol: Protocol, generator: Generator, code: Tensor, place: int, side: str) -> Look:
        """One code (num_ws, w_dim) from all views; the original's look is remembered: people are in many casts."""
        make = partial(self._make_look, protocol, generator, code, place, side)
        if side != "before" or generator is not self.players.generator:
            return make()
        noise = None if protocol.conventions == "corrected" else place  # constant noise is the same at all places
        return self._remembered.recall(("look", protocol.digest(), noise, digest.of_tensors({"code": code})), make)

    def _make_look(self, protocol: Protocol, generator: Generator, code: Tensor, place: int, side: str) -> Look:
        cameras = protocol_cameras(protocol, self.players.generator)
        noises = view_noises(protocol, self.players.generator, side, place)
        renders = [to_uint8(self._views(generator, code, cameras, noise)) for noise in noises]
        images = renders[0] if len(renders) == 1 else torch.cat(renders)
        shown = picture_views(len(images))
        return Look(self._seen(from_uint8(images)), (images[shown] if len(images) > 1 else images).cpu())

    def _views(self, generator: Generator, code: Tensor, cameras: Tensor | None, noise: Noise) -> Tensor:
        """One code (num_ws, w_dim) from all cameras (V, 25): sound images (V, 3, r, r)."""
        code = code.clone()  # somebody else's generator may write to it
        render = generator.views if isinstance(generator, Hosted) else partial(render_views, generator)
        rendered = render(code, cameras, noise, batch=self.testbed.batch)
        return sound(rendered, 1 if cameras is None else len(cameras), self.players.generator.resolution)

    @torch.no_grad()
    def seen_from(self, generator: Generator, code: Tensor, cameras: Tensor | None) -> Mapping[str, SeenFaces]:
        """By judge, (V,): one code (num_ws, w_dim) from cameras (V, 25), None for a 2-D generator, constant noise."""
        rendered = self._views(generator, code, cameras, Noise.constant())
        return self._seen(from_uint8(to_uint8(rendered)))

    def original_seen_from(self, code: Tensor, cameras: Tensor | None) -> Mapping[str, SeenFaces]:
        """The same of the original generator; remembered."""
        tensors = {"code": code} if cameras is None else {"code": code, "cameras": cameras}
        key = ("seen from", digest.of_tensors(tensors))
        return self._remembered.recall(key, lambda: self.seen_from(self.players.generator, code, cameras))

    def recall(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """What was computed before under a key, or is computed now."""
        return self._remembered.recall(key, make)

    @torch.no_grad()
    def neighbours(
        self, protocol: Protocol, generator: Generator, cast: Cast, request: int | None = None
    ) -> Mapping[str, SeenFaces] | None:
        """By judge, (F, k): the neighbours' frontal renders; None if the protocol asks for none.

        request: see `renders`.
        """
        people, count = cast.neighbours.shape[:2]
        if count == 0:
            return None
        view = frontal_camera(protocol, self.players.generator)
        asked = sum(cast.subjects[place].role == "forget" for place in cast.shown_after(request))  # in that order
        codes, batch = cast.neighbours[:asked].flatten(0, 1), self.testbed.batch
        order = self.shuffled(protocol, len(codes), "neighbours", cast.subjects[0].identity)
        rendered = torch.cat(
            [
                self._render(generator, codes[some], view, evaluation_noise(protocol, "after", "neighbours", some))
                for some in (order[start : start + batch] for start in range(0, len(order), batch))
            ]
        )
        seen = self._seen(quantise(rendered[torch.tensor(order).argsort().to(rendered.device)]))
        return {
            judge: _filled(Seen(faces.vectors.reshape(asked, count, -1), faces.found.reshape(asked, count)), people)
            for judge, faces in seen.items()
        }

    def _render(self, generator: Generator, codes: Tensor, view: Tensor | None, noise: Noise) -> Tensor:
        """Codes (n, num_ws, w_dim) from one camera (1, 25): sound images (n, 3, r, r)."""

        def rendered(rows: range) -> Tensor:
            some = codes[rows.start : rows.stop].clone()
            cameras = None if view is None else view.expand(len(some), -1)
            images = generator.render(some, cameras, noise=noise.rows(rows.start, len(rows)))
            return sound(images, len(some), self.players.generator.resolution)

        return room.joined(room.in_parts(room.FACES, len(codes), rendered))

    def shuffled(self, protocol: Protocol, count: int, *names: str) -> list[int]:
        """The numbers below ``count`` in an order that nobody knows who does not know the salt."""
        rng = seeds.stream(protocol.name, protocol.version, self.salt, "eval/order", *names)
        return torch.randperm(count, generator=rng).tolist()

    @torch.no_grad()
    def check_repeats(
        self,
        protocol: Protocol,
        generator: Generator,
        cast: Cast,
        renders: Renders,
        request: int | None = None,
        *,
        count: int = _REPEATED,
    ) -> None:
        """Renders some codes once more, among others and in another order.

        request: see `renders`. count: how many codes. Raises MethodError unless they look as they did: a generator must
        not know what it is asked for.
        """
        order = self.shuffled(protocol, len(cast.latents), "again", cast.subjects[0].identity)
        order = [place for place in order if place in cast.shown_after(request)]
        forgotten = cast.subjects.index(cast.forgotten[0])
        places = sorted(order, key=lambda place: place != forgotten)[:count]  # stable
        if protocol.conventions == "corrected":
            view = frontal_camera(protocol, self.players.generator)
            again = quantise(self._render(generator, cast.latents[places], view, Noise.constant()))
        else:  # noise belongs to a place and all its views
            places = places[:1]
            look = self._make_look(protocol, generator, cast.latents[forgotten], forgotten, "after")
            again = from_uint8(look.pictures[len(look.pictures) // 2][None])
        shown = renders.pictures[places, renders.pictures.shape[1] // 2]
        if not float((again.cpu() - shown.cpu()).abs().mean(dim=(1, 2, 3)).max()) <= _SAME:
            raise MethodError(
                "the returned generator answers a code differently the second time, or among other codes; its images "
                "must depend on codes, cameras and noise alone"
            )

    @torch.no_grad()
    def samples(
        self, protocol: Protocol, generator: Generator, side: str, *, public: bool = False, count: int | None = None
    ) -> Samples:
        """Features of random samples: the same z for every generator, each mapped by its own mapping network.

        Yaw is uniform. (The methods of the field leave the mapping as it is, so that the latent codes are the same.)
        public: PUBLIC samples of codes that do not depend on the salt. count: only so many, the first ones; None: all.
        """
        most = min(PUBLIC, protocol.samples) if public else protocol.samples
        indices = range(most if count is None else min(count, most))
        return Samples(self._features(protocol, generator, side, indices, public=public))

    @torch.no_grad()
    def _features(
        self, protocol: Protocol, generator: Generator, side: str, samples: range, *, public: bool
    ) -> np.ndarray:
        """Features (len(samples), d) float32, kept on the device until all are there."""
        rows, unread = [], []
        for images in self._sampled(protocol, generator, side, samples, public):
            rows += room.in_parts("images in the feature extractor", len(images), partial(self._rows, images))
            unread.append(soundness(images))
            if len(unread) == _UNCHECKED:
                require_sound(unread)
                unread = []
        require_sound(unread)
        return torch.cat(rows).to(torch.float32).cpu().numpy()

    def _rows(self, images: Tensor, some: range) -> Tensor:
        return self.judges.features.rows(images[some.start : some.stop])

    def _sampled(
        self, protocol: Protocol, generator: Generator, side: str, samples: range, public: bool
    ) -> Iterator[Tensor]:
        names = (protocol.name, protocol.version, *(() if public else (self.salt,)))
        device, original = self.testbed.device, self.players.generator

        def rendered(indices: range, z: Tensor, cameras: Tensor | None, rows: range) -> Tensor:
            own, cut = indices[rows.start : rows.stop], slice(rows.start, rows.stop)
            noise = evaluation_noise(protocol, side, "fid", own)
            images = generator.render(generator.map(z[cut]), None if cameras is None else cameras[cut], noise=noise)
            return check_images(images, len(own), original.resolution)

        for start in samples[:: self.testbed.batch]:
            indices = range(start, min(start + self.testbed.batch, samples.stop))
            z = seeds.normals(indices, original.z_dim, *names, "fid/latent", device=device)
            cameras = None
            if original.rig is not None:
                yaw = seeds.uniforms(indices, -protocol.yaw, protocol.yaw, *names, "fid/yaw", device=device)
                cameras = original.rig.look_at(yaw, protocol.pitch)
            yield room.joined(room.in_parts("samples", len(indices), partial(rendered, indices, z, cameras)))

    def frontal(self, protocol: Protocol, codes: Sequence[Tensor]) -> list[Tensor]:
        """The original generator's frontal renders of codes (num_ws, w_dim), each (3, r, r) on the CPU."""
        view, generator = frontal_camera(protocol, self.players.generator), self.players.generator
        with torch.no_grad():
            return [
                quantise(generator.render(code.detach()[None], view, noise=Noise.constant()))[0].cpu() for code in codes
            ]

    @torch.no_grad()
    def _photos_of(self, cast: Cast) -> Mapping[str, SeenFaces]:
        if cast.photos is None:
            return {}
        identities = [subject.identity for subject in cast.subjects]
        counts = [len(list(own)) for _, own in itertools.groupby(identities)]
        people = [self._photographed(photos) for photos in cast.photos.split(counts)]
        return {judge: Seen.cat([person[judge] for person in people]) for judge in self.judges.recognizers}

    def _photographed(self, photos: Tensor) -> Mapping[str, SeenFaces]:
        """What judges say about one person's photographs (k, 3, r, r); remembered."""
        key = ("photographed", digest.of_tensors({"photos": photos}))
        return self._remembered.recall(key, lambda: self._seen(quantise(photos)))

    def _seen(self, images: Tensor) -> dict[str, SeenFaces]:
        return {judge: _embedded(recognizer, images) for judge, recognizer in self.judges.recognizers.items()}

    def _warn_of_no_face(self, cast: Cast, photos: Mapping[str, SeenFaces]) -> None:
        if not photos:
            return
        for number, subject in enumerate(cast.forgotten):
            place, identity = cast.subjects.index(subject), subject.identity
            if identity in self._faceless or any(faces.found[place] for faces in photos.values()):
                continue
            self._faceless.add(identity)
            if len(self._faceless) > _NAMED:
                if len(self._faceless) == _NAMED + 1:
                    _log.warning("no judge finds a face in further photographs either; they are not named here")
                continue
            file = cast.files[number] if cast.files else ""
            cure = f"crop it as testbed {self.testbed.name} expects"
            if file and self.testbed.eg3d_crops:
                cure = f"replace it by a crop of its original (`guidebench align {shlex.quote(file)} CROPS`)"
            _log.warning(
                "no judge finds a face in %s, by which %s is to be forgotten; %s, or leave this person out",
                file or "the photograph",
                identity,
                cure,
            )


def _inverted(inverter: Inverter, photos: Tensor) -> list[Tensor]:
    return room.in_parts(
        "photographs in the inverter", len(photos), lambda rows: inverter.invert(photos[rows.start : rows.stop])
    )


def _embedded(recognizer: Recognizer, images: Tensor) -> SeenFaces:
    parts = room.in_parts(
        "images in a judge", len(images), lambda rows: recognizer.embed(images[rows.start : rows.stop]).numpy()
    )
    return parts[0] if len(parts) == 1 else Seen.cat(parts)


def _nobody(look: Look) -> Look:
    """What is kept of a code that is not looked at."""
    faces = {judge: Seen(np.zeros_like(seen.vectors), np.zeros_like(seen.found)) for judge, seen in look.faces.items()}
    return Look(faces, torch.zeros_like(look.pictures))


def _filled(faces: SeenFaces, people: int) -> SeenFaces:
    """Faces (n, k) as those of so many people, (people, k), of whom the others are not looked at."""
    more = ((0, people - len(faces.found)), (0, 0))
    return Seen(np.pad(faces.vectors, (*more, (0, 0))), np.pad(faces.found, more))


def check_player_is_not_judge(players: Mapping[str, str], judges: Mapping[str, str]) -> None:
    """Raises BadInput if a judge's weights equal a player's: scores would flatter the method."""
    for judge, weights in judges.items():
        for player, own in players.items():
            if weights == own:
                raise BadInput(
                    f"judge {judge} and player {player} share weights {weights[:12]}…; scores would flatter the "
                    "method. Choose another judge"
                )
