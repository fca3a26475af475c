"""From where a protocol looks, and how one latent code is rendered from there."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from guidebench import room, seeds
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


def picture_views(count: int) -> list[int]:
    """Which of a code's renders picture sheets show: leftmost, frontal, rightmost.

    >>> picture_views(11), picture_views(1)
    ([0, 5, 10], [0])
    """
    return sorted({0, count // 2, count - 1})


def render_views(
    generator: Generator, code: Tensor, cameras: Tensor | None, noise: Noise, *, batch: int | None = None
) -> Tensor:
    """One latent code (num_ws, w_dim) from all cameras (V, 25) -> (V, 3, r, r); features are synthesised once.

    batch: views that are decoded at once (None: all); draws do not depend on it.
    """
    (features,) = room.in_parts(room.VIEWS, 1, lambda _: generator.synthesize(code[None], noise=noise))
    if cameras is None:
        (image,) = room.in_parts(room.VIEWS, 1, lambda _: generator.decode(features, code[None], None, noise=noise))
        return image
    total = len(cameras)
    of_views = noise.split(total)

    def decoded(rows: range) -> Tensor:
        count = len(rows)
        repeated = features.expand(count, *features.shape[1:])
        own = of_views.rows(rows.start, count)
        return generator.decode(repeated, code.expand(count, *code.shape), cameras[rows.start : rows.stop], noise=own)

    return room.joined(room.in_parts(room.VIEWS, total, decoded, most=batch))


def evaluation_noise(protocol: Protocol, side: str, purpose: str, indices: Sequence[int]) -> Noise:
    """Constant noise, or under `published` noise of its own for before and after, as in the released evaluation.

    indices: which codes are rendered at once; each has a key of its own, so that batches do not move draws.
    """
    if protocol.conventions == "corrected":
        return Noise.constant()
    names = (protocol.name, protocol.version, "eval/noise", side, purpose)
    return Noise.random(*(seeds.derive(*names, index) for index in indices))


def view_noises(protocol: Protocol, generator: Generator, side: str, place: int) -> list[Noise]:
    """The noise of a code's renders: one for all views, or, of a generator without cameras, as many as are drawn.

    The middle one is the usual one. The others are the same for everybody and, unless under `published`, before and
    after. place: of the code in its cast.
    """
    usual = evaluation_noise(protocol, side, "views", [place])
    if generator.rig is not None or protocol.noise_draws == 1:
        return [usual]
    own = () if protocol.conventions == "corrected" else (side, place)
    names = (protocol.name, protocol.version, "eval/noise draw", *own)
    noises = [Noise.random(seeds.derive(*names, number)) for number in range(protocol.noise_draws)]
    noises[len(noises) // 2] = usual
    return noises
