"""People who look like a forgotten one: who is most likely to be forgotten along with somebody?

HUB (arXiv 2410.05664) and EraseBench (arXiv 2501.09833) measure retention on what is close to a forgotten concept. Who
is alike is for a player to say, the training recogniser, never for a judge.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guidebench import room, seeds
from guidebench.noise import Noise
from guidebench.protocol import RANDOM, Protocol
from guidebench.testbed import Faces, Players
from guidebench.views import frontal_camera

POOL = 100  # people among whom those who look alike are sought
_BATCH = 16


@dataclass(frozen=True)
class Pool:
    """Strangers, drawn by the salt, as the training recogniser sees them."""

    places: tuple[int, ...]  # in the source's fixed order; under Random, indices of sampled codes
    vectors: Tensor  # (n, d) unit rows

    def nearest(self, wanted: Tensor, count: int, taken: Collection[int]) -> list[int]:
        """The places of those who are most like somebody, best first. wanted: (d,) unit. taken: who is out of it."""
        order = (self.vectors @ wanted).argsort(descending=True).tolist()
        return [self.places[row] for row in order if self.places[row] not in taken][:count]


@torch.no_grad()
def pool_of(players: Players, faces: Faces, protocol: Protocol, salt: int, device: torch.device) -> Pool:
    """The strangers of a protocol under a salt."""
    if protocol.source == RANDOM:
        codes = sampled_codes(players, protocol, range(POOL), salt, device)
        return Pool(tuple(range(POOL)), seen_by_player(players, frontal_renders(players, protocol, codes)))
    total = faces.sources().get(protocol.source, 0)
    rng = seeds.stream(protocol.name, protocol.version, salt, "eval/lookalikes")
    places = torch.randperm(total, generator=rng)[:POOL].tolist()
    photos = torch.cat([person.photos for person in faces.people(protocol.source, places, photos=1)])
    return Pool(tuple(places), seen_by_player(players, photos.to(device)))


@torch.no_grad()
def sampled_codes(
    players: Players, protocol: Protocol, indices: Sequence[int], salt: int, device: torch.device
) -> Tensor:
    """The codes (n, num_ws, w_dim) of sampled strangers."""
    names = (protocol.name, protocol.version, salt, "lookalike/latent")
    return players.generator.map(seeds.normals(indices, players.generator.z_dim, *names).to(device))


def frontal_renders(players: Players, protocol: Protocol, codes: Tensor) -> Tensor:
    """(n, 3, r, r): what stands in for photographs of sampled people."""
    view = frontal_camera(protocol, players.generator)

    def rendered(rows: range) -> Tensor:
        cameras = None if view is None else view.expand(len(rows), -1)
        return players.generator.render(codes[rows.start : rows.stop], cameras, noise=Noise.constant())

    return torch.cat(room.in_parts(room.FACES, len(codes), rendered, most=_BATCH))


@torch.no_grad()
def seen_by_player(players: Players, photos: Tensor) -> Tensor:
    """(n, d) unit rows: what the training recogniser makes of photographs."""

    def seen(rows: range) -> Tensor:
        return players.recognizer(photos[rows.start : rows.stop])

    return torch.cat(room.in_parts("faces in the training recogniser", len(photos), seen, most=_BATCH))
