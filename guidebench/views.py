"""From where a protocol looks, and how one latent code is rendered from there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from guidebench import seeds
from guidebench.cameras import view_yaws
from guidebench.noise import Noise
from guidebench.protocol import Protocol
from guidebench.testbed import Generator


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
    of_views = noise.split(total)
    parts = []
    for start in range(0, total, batch or total):
        some = cameras[start : start + (batch or total)]
        count = len(some)
        repeated = features.expand(count, *features.shape[1:])
        own = of_views.rows(start, count)
        parts.append(generator.decode(repeated, code.expand(count, *code.shape), some, noise=own))
    return parts[0] if len(parts) == 1 else torch.cat(parts)  # cat may change the layout, and rounding


def evaluation_noise(protocol: Protocol, side: str, purpose: str, indices: Sequence[int]) -> Noise:
    """Constant noise, or under `published` noise of its own for before and after, as in the released evaluation.

    indices: which codes are rendered at once; each has a key of its own, so that batches do not move draws.
    """
    if protocol.conventions == "corrected":
        return Noise.constant()
    names = (protocol.name, protocol.version, "eval/noise", side, purpose)
    return Noise.random(*(seeds.derive(*names, index) for index in indices))
