"""What is painted on head and hair: skin, eyes, brows, mouth, beard, glasses, strands; with soft edges.

Everything is a function of points in head coordinates and a face; see `guidebench.testbeds.mini.renderer`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from guidebench.testbeds.mini.parameters import Face, Rgb, blend, scaled

Paint = Callable[[Tensor, Rgb], None]  # opacity (n,), colour


def edge(distance: Tensor, width: float) -> Tensor:
    """A soft step: 0 where distance is well below zero, 1 well above, over about `width`."""
    return torch.sigmoid(distance * (4 / width))


def _blob(x: Tensor, y: Tensor, width: float, height: float) -> Tensor:
    """A soft spot around the origin."""
    return torch.exp(-((x / width) ** 2 + (y / height) ** 2))


def paint_hair(points: Tensor, face: Face) -> Tensor:
    """Colours (n, 3) of hair points (3, n): broad strands and a sheen around the crown."""
    x, y, z = points
    strands = 1 + 0.05 * torch.sin(16 * x + 5 * z + 3 * y)
    sheen = 0.12 * torch.exp(-(((y - face.head_height + 0.10 - 0.15 * z) / 0.10) ** 2))
    return (torch.tensor(face.hair) * strands[:, None] + sheen[:, None] * torch.tensor((1.0, 0.9, 0.8))).clamp_(0, 1)


def paint_face(points: Tensor, to_hair: Tensor, face: Face) -> tuple[Tensor, Tensor]:
    """Colours (n, 3) and masks (n, 6: eye, iris, brow, lip, mouth interior, glasses) of head points (3, n).

    `to_hair` (n,) is the distance to the hair, whose soft shadow falls on the skin.
    """
    x, y, z = points
    side = x.abs()
    front = edge(z - 0.15, 0.2)
    colour = torch.tensor(face.skin).repeat(points.shape[1], 1)

    def paint(opacity: Tensor, over: Rgb) -> None:
        colour.lerp_(torch.tensor(over).expand_as(colour), opacity[:, None])

    red, green, blue = face.skin
    blush = (red * 1.02, green * 0.72, blue * 0.68)
    paint(_blob(side - 0.29, y + 0.15, 0.13, 0.10) * front * 0.45, blush)
    tip_y = y - 0.02 + face.nose_length
    paint(_blob(x, tip_y, face.nose_width * 1.1, 0.09) * edge(z - 0.5, 0.1) * 0.7, blush)
    wings = _blob(side - face.nose_width - 0.02, tip_y, 0.04, 0.06)
    paint(wings * edge(z - 0.45, 0.1) * 0.5, scaled(face.skin, 0.5))
    nostrils = _blob(side - face.nose_width * 0.5, tip_y + 0.055, 0.02 + face.nose_width * 0.12, 0.016)
    paint(nostrils * edge(z - 0.5, 0.1) * 0.75, scaled(face.skin, 0.40))

    if face.beard > 1e-3:
        paint(_beard_mask(side, y, z, face) * (0.9 * face.beard), scaled(face.hair, 0.85))
    lip, mouth = _paint_mouth(paint, x, y, front, face)
    eye, iris, brow = _paint_eyes(paint, x, y, front, face)

    glasses = torch.zeros_like(x)
    if face.glasses > 1e-3:
        glasses = _glasses_mask(side, y, z, face) * face.glasses
        paint(glasses, (0.10, 0.08, 0.10))
    colour *= (1 - 0.38 * torch.exp(-to_hair.clamp_min(0) / 0.05))[:, None]
    return colour.clamp_(0, 1), torch.stack([eye, iris, brow, lip, mouth, glasses], dim=-1)


def _beard_mask(side: Tensor, y: Tensor, z: Tensor, face: Face) -> Tensor:
    """A full beard up to a line that sweeps from the lips to the ears, and a moustache."""
    cheek_line = face.mouth_y - 0.03 + 1.7 * side**2
    beard = edge(cheek_line - y, 0.12) * edge(z + 0.02, 0.12)
    drop = y - face.mouth_y - face.lip - face.mouth_open - 0.025 + 0.9 * side**2 / face.mouth_width * 0.5
    moustache = edge(0.035 - drop.abs(), 0.03) * edge(face.mouth_width * 1.05 - side, 0.06) * edge(z - 0.2, 0.1)
    return torch.maximum(beard, moustache)


def _paint_mouth(paint: Paint, x: Tensor, y: Tensor, front: Tensor, face: Face) -> tuple[Tensor, Tensor]:
    """Lips, the dark inside, tongue and upper teeth; returns the masks of lips and inside."""
    across = x / (face.mouth_width * (1 + 0.10 * face.smile))
    taper = (1 - across**2).clamp_min(-1)
    dy = y - (face.mouth_y + face.smile * 0.06 * (across**2 - 0.4))
    lip = edge((face.lip + face.mouth_open) * taper - dy.abs(), 0.016) * edge(1.02 - across.abs(), 0.08) * front
    red, green, blue = face.skin
    rose = (red * 0.80 + 0.06, green * 0.50, blue * 0.53 + 0.02)
    paint(lip, rose)
    paint(lip * edge(dy, 0.02) * 0.35, scaled(rose, 0.72))
    inner_taper = (1 - (across * 1.15) ** 2).clamp_min(-1)
    opening = face.mouth_open * inner_taper
    inside = edge(opening + 0.007 - dy.abs(), 0.014) * edge(0.95 - across.abs(), 0.15) * front
    paint(inside, blend(scaled(rose, 0.35), (0.25, 0.07, 0.08), 0.5))
    if face.mouth_open > 0.01:
        within = edge(opening - 0.006 - dy.abs(), 0.014) * front
        paint(within * edge(-dy - face.mouth_open * 0.35, 0.03) * 0.8, (0.74, 0.36, 0.36))
        paint(within * edge(dy - face.mouth_open * 0.15, 0.014), (0.97, 0.95, 0.92))
    return lip, inside


def _paint_eyes(paint: Paint, x: Tensor, y: Tensor, front: Tensor, face: Face) -> tuple[Tensor, Tensor, Tensor]:
    """Sockets, eyeballs, irises, pupils, lid lines and brows; returns the masks of eyeballs, irises and brows."""
    size, dx, dy = face.eye_size, x.abs() - face.eye_x, y - face.eye_y
    paint(_blob(dx, dy - size * 0.25, size * 1.6, size * 1.15) * front * 0.35, scaled(face.skin, 0.62))
    taper = (1 - (dx / (size * 1.3)) ** 2).clamp_min(-1)
    upper, lower = size * 0.88 * face.eye_open * taper - dy, dy + size * 0.62 * face.eye_open * taper
    eye = edge(torch.minimum(upper, lower), 0.014) * front
    paint(eye, (0.97, 0.97, 0.96))
    radius, iris_radius = (dx * dx + dy * dy).sqrt(), size * 0.68
    iris = eye * edge(iris_radius - radius, 0.014)
    paint(iris, scaled(face.iris, 0.40))
    paint(eye * edge(iris_radius * 0.80 - radius, 0.018), face.iris)
    paint(eye * edge(iris_radius * 0.42 - radius, 0.014), (0.03, 0.03, 0.04))
    glint = x - x.sign() * face.eye_x - 0.32 * iris_radius
    paint(iris * edge(iris_radius * 0.24 - (glint**2 + (dy - 0.34 * iris_radius) ** 2).sqrt(), 0.012), (1.0, 1.0, 1.0))
    lid = edge(0.014 - upper.abs(), 0.014) * edge(size * 1.32 - dx.abs(), 0.02) * edge(dy + size * 0.1, 0.03)
    paint(lid * front * 0.9, blend(scaled(face.skin, 0.25), (0.08, 0.05, 0.05), 0.6))
    arch = dy - (size * 0.88 + 0.09) - face.brow_tilt * dx + dx * dx * 1.2
    brow = edge(face.brow_thickness - arch.abs(), 0.018) * edge(size * 1.35 - dx.abs(), 0.035) * front
    brow = brow * edge(x.abs() - 0.045, 0.03) * 0.95
    paint(brow, blend(scaled(face.hair, 0.6), scaled(face.skin, 0.3), 0.3))
    return eye, iris, brow


def _glasses_mask(side: Tensor, y: Tensor, z: Tensor, face: Face) -> Tensor:
    """Two round rims, a bridge between them and the temples along the head."""
    dx, dy, rim_radius = side - face.eye_x, y - face.eye_y, min(face.eye_size * 1.65, face.eye_x - 0.04)
    rim = edge(0.020 - ((dx * dx + (dy * 1.05) ** 2).sqrt() - rim_radius).abs(), 0.014)
    bar = edge(0.018 - (dy - 0.02).abs(), 0.014)
    bridge = bar * edge(face.eye_x - rim_radius - side, 0.02)
    temples = bar * edge(side - face.eye_x - rim_radius, 0.02) * edge(z + 0.1, 0.1)
    return torch.maximum(torch.maximum(rim, bridge) * edge(z - 0.1, 0.15), temples)
