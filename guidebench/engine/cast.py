"""Who appears in a trial, and the latent codes of everybody: inverted photographs, or sampled codes under Random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guidebench import seeds
from guidebench.engine.lookalikes import Pool, frontal_renders, sampled_codes, seen_by_player
from guidebench.errors import BadInput
from guidebench.evidence import Subject
from guidebench.protocol import RANDOM, Protocol
from guidebench.testbed import Faces, Players
from guidebench.unlearner import ForgetItem, ForgetRequest

NEIGHBOURHOOD = 15.0  # farthest neighbour of a forgotten code: GUIDE's α_max, over all num_ws × w_dim numbers


@dataclass(frozen=True)
class Cast:
    """Everybody in a trial: each forgotten photograph and that person's others, people to keep, and look-alikes."""

    subjects: tuple[Subject, ...]
    latents: Tensor  # (S, num_ws, w_dim)
    photos: Tensor | None  # (S, 3, r, r); None under Random
    neighbours: Tensor  # (F, k, num_ws, w_dim): codes around each forgotten one, see `neighbours_of`
    files: tuple[str, ...] = ()  # of the forgotten photographs; (): they were made

    @property
    def forgotten(self) -> list[Subject]:
        """The photographs by which people are forgotten, in the order of requests."""
        return [subject for subject in self.subjects if subject.role == "forget"]

    @property
    def requests(self) -> list[ForgetRequest]:
        """What the method is asked, request by request."""
        keep = tuple(self._item(place) for place, subject in enumerate(self.subjects) if subject.role == "named")
        asked: dict[int, list[ForgetItem]] = {}
        for place, subject in enumerate(self.subjects):
            if subject.role == "forget":
                asked.setdefault(subject.request, []).append(self._item(place))
        return [
            ForgetRequest(tuple(items), keep, tuple(item for before in range(1, number) for item in asked[before]))
            for number, items in sorted(asked.items())
        ]

    def shown_after(self, request: int | None) -> list[int]:
        """The places of those who are looked at after a request: not of people whom a later one forgets.

        None: before the first one, when everybody is.
        """
        return [place for place, subject in enumerate(self.subjects) if request is None or subject.request <= request]

    def _item(self, place: int) -> ForgetItem:
        photo = None if self.photos is None else self.photos[place]
        return ForgetItem(self.subjects[place].identity, photo, self.latents[place])


def group_at(protocol: Protocol, index: int) -> list[int]:
    """The places of the people that trial ``index`` forgets: disjoint parts of the source's fixed order."""
    return list(range(index * protocol.people, (index + 1) * protocol.people))


def request_of(protocol: Protocol, place: int) -> int:
    """The request, counted from 1, that forgets the person at a place of the fixed order."""
    return place % protocol.people // protocol.forget + 1


def make_cast(
    players: Players,
    faces: Faces,
    protocol: Protocol,
    index: int,
    device: torch.device,
    codes_of: Callable[[Tensor], Tensor],
    pool: Callable[[], Pool],
    *,
    salt: int,
) -> Cast:
    """The people of trial ``index`` with their latent codes.

    codes_of: inverts one person's photographs (k, 3, r, r); not called under `published`, where the inverter may draw.
    pool: strangers among whom look-alikes are sought; called if the protocol asks for some.
    salt: decides whom the method does not know in advance, see `_places_to_keep`. Raises BadInput if the source holds
    too few people or photographs.
    """
    if protocol.source == RANDOM:
        return _sampled_cast(players, protocol, index, device, pool, salt)
    places = group_at(protocol, index)
    forgotten = faces.people(protocol.source, places, photos=protocol.photos)
    kept, told = _places_to_keep(faces, protocol, index, salt)
    taken = (*places, *kept, *told)
    alike = _alike(players, protocol, [person.photos[0] for person in forgotten], taken, pool, device)
    unseen, named, strangers = (faces.people(protocol.source, some, photos=1) for some in (kept, told, alike))
    subjects = [
        Subject(person.identity, "forget" if photo == 0 else "probe", photo, request_of(protocol, place))
        for place, person in zip(places, forgotten, strict=True)
        for photo in range(protocol.photos)
    ]
    subjects += [Subject(person.identity, "named", 0) for person in named]
    subjects += [Subject(person.identity, "retain", 0) for person in unseen]
    subjects += [Subject(person.identity, "lookalike", 0) for person in strangers]
    people = [person.photos.to(device) for person in (*forgotten, *named, *unseen, *strangers)]
    photos = torch.cat(people)
    with torch.no_grad():
        if protocol.conventions == "published":
            rng = seeds.stream(protocol.name, protocol.version, "eval/inversion", index)
            codes = [players.inverter.invert(photo[None], rng=rng) for photo in photos]
        else:
            codes = [codes_of(own) for own in people]
    latents = torch.cat(codes)
    files = tuple(person.files[0] for person in forgotten if person.files)
    return _complete(players, protocol, subjects, latents, photos, files, salt)


def _alike(
    players: Players,
    protocol: Protocol,
    faces: Sequence[Tensor],
    taken: Sequence[int],
    pool: Callable[[], Pool],
    device: torch.device,
) -> list[int]:
    """The places of the nearest strangers of each forgotten face (3, r, r), nobody twice. taken: who has a role."""
    found: list[int] = []
    if protocol.lookalikes:
        strangers = pool()
        for wanted in seen_by_player(players, torch.stack(list(faces)).to(device)):
            found += strangers.nearest(wanted, protocol.lookalikes, {*taken, *found})
    return found


def _places_to_keep(faces: Faces, protocol: Protocol, index: int, salt: int) -> tuple[list[int], list[int]]:
    """The places of people unseen by the method, and of people named to it, in trial ``index``.

    Named ones are the last of the source's fixed order without the forgotten ones. Unseen ones come from all others, in
    an order that the salt decides, and change from trial to trial: no two trials share one before everybody has had a
    turn, so that a mean over trials is not about a few faces.
    """
    places = group_at(protocol, index)
    total = faces.sources().get(protocol.source, 0)
    wanted = protocol.retain + protocol.retain_named
    others = [place for place in reversed(range(total)) if place not in places]
    if len(others) < wanted:
        raise BadInput(
            f"protocol {protocol.name} keeps {wanted} people besides the {protocol.people} forgotten ones, but "
            f"'{protocol.source}' holds {total}; lower retain in the protocol file"
        )
    named = others[: protocol.retain_named]
    rng = seeds.stream(protocol.name, protocol.version, salt, "eval/retain")
    order = torch.randperm(total, generator=rng).tolist()
    start = index * protocol.retain % total
    turns = [place for place in (*order[start:], *order[:start]) if place not in (*places, *named)]
    return turns[: protocol.retain], named


def _sampled_cast(
    players: Players, protocol: Protocol, index: int, device: torch.device, pool: Callable[[], Pool], salt: int
) -> Cast:
    generator = players.generator
    names = (protocol.name, protocol.version)
    places = group_at(protocol, index)
    turns = range(index * protocol.retain, (index + 1) * protocol.retain)
    z = torch.cat(
        [
            seeds.normals(places, generator.z_dim, *names, "identity/latent"),
            seeds.normals(range(protocol.retain_named), generator.z_dim, *names, "named/latent"),
            seeds.normals(turns, generator.z_dim, *names, salt, "retain/latent"),
        ]
    )
    subjects = [Subject(sampled_name(place), "forget", 0, request_of(protocol, place)) for place in places]
    subjects += [Subject(f"random-named-{place:04d}", "named", 0) for place in range(protocol.retain_named)]
    subjects += [Subject(f"random-retain-{place:04d}", "retain", 0) for place in turns]
    with torch.no_grad():
        latents = generator.map(z.to(device))
        if protocol.lookalikes:
            faces = list(frontal_renders(players, protocol, latents[: len(places)]))
            alike = _alike(players, protocol, faces, (), pool, device)
            subjects += [Subject(f"random-lookalike-{place:04d}", "lookalike", 0) for place in alike]
            latents = torch.cat([latents, sampled_codes(players, protocol, alike, salt, device)])
    return _complete(players, protocol, subjects, latents, None, (), salt)


def sampled_name(place: int) -> str:
    """What a sampled identity is called."""
    return f"random-{place:04d}"


def _complete(
    players: Players,
    protocol: Protocol,
    subjects: Sequence[Subject],
    latents: Tensor,
    photos: Tensor | None,
    files: tuple[str, ...],
    salt: int,
) -> Cast:
    around = [
        neighbours_of(players, protocol, subject.identity, latents[place], salt)
        for place, subject in enumerate(subjects)
        if subject.role == "forget"
    ]
    return Cast(tuple(subjects), latents, photos, torch.stack(around), files)


@torch.no_grad()
def neighbours_of(players: Players, protocol: Protocol, identity: str, latent: Tensor, salt: int) -> Tensor:
    """Codes around the forgotten one, where its person may live on: w_u + α_i · (w_i - w_u) / ‖w_i - w_u‖.

    Form and range of α are those of GUIDE's Eq. 5: α_i = NEIGHBOURHOOD · i/k for i = 1 … k, w_i are random codes of an
    evaluation stream of this identity and salt, the norm is over all num_ws × w_dim numbers.
    latent: (num_ws, w_dim). Returns (k, num_ws, w_dim).
    """
    count, generator = protocol.neighbours, players.generator
    if count == 0:
        return latent.new_empty(0, *latent.shape)
    names = (protocol.name, protocol.version, salt, "eval/neighbour/latent", identity)
    z = seeds.normals(range(1, count + 1), generator.z_dim, *names)
    step = generator.map(z.to(latent.device)) - latent
    alpha = NEIGHBOURHOOD * torch.arange(1, count + 1, device=step.device) / count
    least = torch.finfo(step.dtype).tiny ** 0.5  # of a step without a direction: alpha / least must not overflow
    length = torch.linalg.vector_norm(step, dim=(1, 2)).clamp_min(least)
    return latent + (alpha / length)[:, None, None] * step
