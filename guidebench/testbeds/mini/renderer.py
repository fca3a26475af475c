"""A procedural renderer of 3-D faces: the "photographs" that the mini testbed is made of.

A face is a smooth union of ellipsoids (cranium, jaw, nose, ears) that is sphere traced; neck, torso and hair are
ellipsoid shells met in closed form; eyes, brows, mouth, beard and glasses are painted in head coordinates with soft
edges; light is one directional lamp plus an ambient term. Everything is a function of 24 identity parameters,
11 nuisance parameters (expression, light, background, clothes) and a camera, and all parameters are standard normal,
so that a random face is a random normal vector.

Head coordinates: x to the right of the picture, y up, z towards the frontal camera; the head is about 1.5 units high.
Images are computed one at a time on flat lists of rays, which keeps the working set inside the CPU's cache.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

IDENTITY_PARAMETERS = 24
NUISANCE_PARAMETERS = 11
VISIBLE_PARAMETERS = IDENTITY_PARAMETERS + NUISANCE_PARAMETERS
LATENT_DIM = 64

CAMERA_RADIUS = 6.0
HALF_EXTENT = 0.80  # half of what the picture shows at the origin, in head units
VERTICAL_SHIFT = 0.05  # the picture's centre lies this much below the origin, so that chin and hair both fit
FOCAL = CAMERA_RADIUS / (2 * HALF_EXTENT)  # 3.75, in units of the image size
PRINCIPAL_POINT = (0.5, 0.5 - VERTICAL_SHIFT / (2 * HALF_EXTENT))  # (x, y), in units of the image size

POINT_TARGETS = 10  # albedo (3) and the masks eye, iris, brow, lip, mouth interior, glasses, hair
BACKGROUND_DEPTH = 100.0  # what render_points reports where a ray meets nothing

Rgb = tuple[float, float, float]
Paint = Callable[[Tensor, Rgb], None]  # opacity (n,), colour


# --------------------------------------------------------------------------------------------------------------------
# Latents
# --------------------------------------------------------------------------------------------------------------------


def _mixing_matrix() -> Tensor:
    """The fixed orthogonal matrix that hides the face parameters in the latent z: (64, 64), float32."""
    normal = torch.randn(LATENT_DIM, LATENT_DIM, generator=torch.Generator().manual_seed(7))
    return torch.linalg.qr(normal)[0]


MIXING = _mixing_matrix()


def latent_from_parameters(identity: Tensor, nuisance: Tensor, spare: Tensor) -> Tensor:
    """(n, 24), (n, 11) and (n, 29) standard normal numbers to z (n, 64), standard normal again. `spare` is not seen."""
    return torch.cat([identity, nuisance, spare], dim=1) @ MIXING.T.to(identity)


def parameters_from_latent(z: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of latent_from_parameters: z (n, 64) to identity (n, 24) and nuisance (n, 11)."""
    mixed = z @ MIXING.to(z)
    return mixed[:, :IDENTITY_PARAMETERS], mixed[:, IDENTITY_PARAMETERS:VISIBLE_PARAMETERS]


# --------------------------------------------------------------------------------------------------------------------
# Cameras
# --------------------------------------------------------------------------------------------------------------------


def camera_labels(yaw: Tensor, elevation: Tensor) -> Tensor:
    """Angles in radians (n,), (n,) to camera labels (n, 25): cam2world (OpenCV axes) and normalised intrinsics.

    Positive yaw moves the camera to the right of the picture, positive elevation moves it up; the camera stays on a
    sphere of radius CAMERA_RADIUS and looks at the origin.
    """
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)
    cos_yaw, sin_yaw, cos_el, sin_el = yaw.cos(), yaw.sin(), elevation.cos(), elevation.sin()
    right = torch.stack([cos_yaw, zero, -sin_yaw], dim=-1)
    back = torch.stack([sin_yaw * cos_el, sin_el, cos_yaw * cos_el], dim=-1)
    down = torch.cross(right, back, dim=-1)
    pose = torch.stack([right, down, -back, back * CAMERA_RADIUS], dim=-1)
    last_row = torch.stack([zero, zero, zero, one], dim=-1)[:, None]
    focal_x, focal_y = one * FOCAL, one * FOCAL
    x0, y0 = one * PRINCIPAL_POINT[0], one * PRINCIPAL_POINT[1]
    intrinsics = torch.stack([focal_x, zero, x0, zero, focal_y, y0, zero, zero, one], dim=-1)
    return torch.cat([torch.cat([pose, last_row], dim=1).flatten(1), intrinsics], dim=1)


def sample_angles(
    count: int, rng: torch.Generator, yaw_std: float = 0.28, elevation_std: float = 0.10
) -> tuple[Tensor, Tensor]:
    """In-domain camera angles in radians: two (count,) tensors, normal, clamped to +-0.75 and +-0.3."""
    yaw = (torch.randn(count, generator=rng) * yaw_std).clamp(-0.75, 0.75)
    elevation = (torch.randn(count, generator=rng) * elevation_std).clamp(-0.3, 0.3)
    return yaw, elevation


def pixel_centres(resolution: int, device: torch.device | str = "cpu") -> Tensor:
    """Normalised (x, y) of every pixel, row by row from the top left: (resolution ** 2, 2), in (0, 1)."""
    centre = (torch.arange(resolution, dtype=torch.float32, device=device) + 0.5) / resolution
    y, x = torch.meshgrid(centre, centre, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=-1)


def rays_from_labels(cameras: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Camera labels (n, 25) and normalised image positions (m, 2) or (n, m, 2) to rays.

    Returns origins (n, 3) and unit directions (n, m, 3) in head coordinates.
    """
    pose = cameras[:, :16].view(-1, 4, 4)
    intrinsics = cameras[:, 16:].view(-1, 3, 3)
    if positions.dim() == 2:
        positions = positions.expand(cameras.shape[0], -1, -1)
    x = (positions[..., 0] - intrinsics[:, 0, 2, None]) / intrinsics[:, 0, 0, None]
    y = (positions[..., 1] - intrinsics[:, 1, 2, None]) / intrinsics[:, 1, 1, None]
    directions = torch.stack([x, y, torch.ones_like(x)], dim=-1)
    directions = directions / directions.norm(dim=-1, keepdim=True)
    return pose[:, :3, 3], torch.einsum("nij,nmj->nmi", pose[:, :3, :3], directions)


# --------------------------------------------------------------------------------------------------------------------
# What the parameters mean
# --------------------------------------------------------------------------------------------------------------------

SKIN_TONES: Sequence[Rgb] = (
    (0.30, 0.18, 0.11), (0.50, 0.32, 0.21), (0.72, 0.51, 0.37), (0.88, 0.69, 0.55), (0.97, 0.83, 0.72),
)  # fmt: skip
HAIR_COLOURS: Sequence[Rgb] = (
    (0.05, 0.04, 0.04), (0.22, 0.12, 0.06), (0.45, 0.20, 0.07),
    (0.70, 0.52, 0.25), (0.92, 0.82, 0.55), (0.75, 0.75, 0.76),
)  # fmt: skip
IRIS_COLOURS: Sequence[Rgb] = (
    (0.15, 0.08, 0.04), (0.38, 0.22, 0.10), (0.30, 0.45, 0.20), (0.20, 0.45, 0.70), (0.55, 0.65, 0.72),
)  # fmt: skip
CLOTH_COLOURS: Sequence[Rgb] = (
    (0.10, 0.10, 0.15), (0.15, 0.25, 0.50), (0.50, 0.12, 0.12), (0.20, 0.45, 0.25), (0.80, 0.80, 0.78),
)  # fmt: skip


@dataclass(frozen=True)
class Face:
    """One face in words. Lengths in head units, colours in [0, 1]."""

    head_width: float
    head_height: float
    jaw_width: float  # relative to the head's
    chin: float
    skin: Rgb
    hair: Rgb
    hair_length: float
    hair_volume: float
    hairline: float
    fringe: float
    iris: Rgb
    eye_size: float
    eye_x: float
    eye_y: float
    brow_thickness: float
    brow_tilt: float
    nose_length: float
    nose_width: float
    mouth_width: float
    lip: float
    beard: float  # opacity, 0 or 1 but for a narrow band
    glasses: float  # opacity, 0 or 1 but for a narrow band
    mouth_open: float
    smile: float
    eye_open: float
    light: Rgb  # unit vector towards the lamp
    light_strength: float
    ambient: float
    background: Rgb
    cloth: Rgb

    @property
    def mouth_y(self) -> float:
        return -0.30 - 0.35 * (self.chin - 0.4) - self.nose_length * 0.25


def face_from_parameters(identity: Sequence[float], nuisance: Sequence[float]) -> Face:
    """Interpret 24 + 11 standard normal numbers."""
    u = [_normal_cdf(value) for value in identity]
    v = [_normal_cdf(value) for value in nuisance]

    skin = _palette(u[4], SKIN_TONES)
    warmth = u[5] - 0.5
    skin = _rgb(skin[0] + 0.06 * warmth, skin[1] - 0.03 * warmth, skin[2] - 0.10 * warmth)
    gloss = _mix(u[7], 0.75, 1.15)
    hair = _palette(u[6], HAIR_COLOURS)

    azimuth, height = (v[3] - 0.5) * 2.4, _mix(v[4], -0.1, 0.9)
    light = (math.sin(azimuth) * math.cos(height), math.sin(height), math.cos(azimuth) * math.cos(height))
    vivid = [0.8 * value + 0.1 for value in v[7:10]]
    grey = sum(vivid) / 3

    return Face(
        head_width=_mix(u[0], 0.47, 0.62),
        head_height=_mix(u[1], 0.62, 0.76),
        jaw_width=_mix(u[2], 0.62, 0.98),
        chin=_mix(u[3], 0.40, 0.62),
        skin=skin,
        hair=(hair[0] * gloss, hair[1] * gloss, hair[2] * gloss),
        hair_length=u[8],
        hair_volume=_mix(u[9], 0.03, 0.17),
        hairline=_mix(u[10], 0.30, 0.52),
        fringe=(u[11] - 0.5) * 0.7,
        iris=_palette(u[12], IRIS_COLOURS),
        eye_size=_mix(u[13], 0.08, 0.14),
        eye_x=_mix(u[14], 0.18, 0.28),
        eye_y=_mix(u[15], 0.0, 0.15),
        brow_thickness=_mix(u[16], 0.012, 0.06),
        brow_tilt=(u[17] - 0.5) * 1.5,
        nose_length=_mix(u[18], 0.10, 0.27),
        nose_width=_mix(u[19], 0.05, 0.17),
        mouth_width=_mix(u[20], 0.11, 0.28),
        lip=_mix(u[21], 0.02, 0.085),
        beard=_logistic(9 * (identity[22] - 0.3)),
        glasses=_logistic(12 * (identity[23] - 0.3)),
        mouth_open=min(max(nuisance[0] - 0.2, 0.0) * 0.075, 0.14),
        smile=(v[1] - 0.4) * 1.6,
        eye_open=_mix(v[2], 0.45, 1.0),
        light=light,
        light_strength=_mix(v[5], 0.45, 0.85),
        ambient=_mix(v[6], 0.35, 0.6),
        background=_rgb(*(0.55 * value + 0.45 * grey for value in vivid)),
        cloth=_palette(v[10], CLOTH_COLOURS),
    )


def _normal_cdf(value: float) -> float:
    return 0.5 * (1 + math.erf(value / math.sqrt(2)))


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-max(min(value, 60.0), -60.0)))


def _mix(share: float, low: float, high: float) -> float:
    return low + (high - low) * share


def _rgb(red: float, green: float, blue: float) -> Rgb:
    return min(max(red, 0.0), 1.0), min(max(green, 0.0), 1.0), min(max(blue, 0.0), 1.0)


def _palette(share: float, stops: Sequence[Rgb]) -> Rgb:
    """Piecewise linear path through `stops` at `share` in [0, 1]."""
    position = min(max(share * (len(stops) - 1), 0.0), len(stops) - 1 - 1e-4)
    first = int(position)
    low, high, part = stops[first], stops[first + 1], position - first
    return _mix(part, low[0], high[0]), _mix(part, low[1], high[1]), _mix(part, low[2], high[2])


# --------------------------------------------------------------------------------------------------------------------
# Geometry
# --------------------------------------------------------------------------------------------------------------------

_SMOOTHNESS = 28.0  # of the union of the head's ellipsoids; larger is sharper
_TRACE_STEPS = 5


@dataclass
class _Canvas:
    """What each ray of one picture has met so far."""

    origin: tuple[float, float, float]
    direction: Tensor  # (3, rays)
    depth: Tensor  # (rays,), infinite where nothing was met
    albedo: Tensor  # (rays, 3)
    normal: Tensor  # (rays, 3)
    masks: Tensor  # (rays, 7): eye, iris, brow, lip, mouth interior, glasses, hair
    on_head: Tensor  # (rays,) bool

    @classmethod
    def blank(cls, origin: Tensor, directions: Tensor, background: Rgb) -> "_Canvas":
        rays = directions.shape[0]
        return cls(
            origin=tuple(origin.tolist()),
            direction=directions.T.contiguous(),
            depth=torch.full((rays,), math.inf),
            albedo=torch.tensor(background).repeat(rays, 1),
            normal=torch.zeros(rays, 3),
            masks=torch.zeros(rays, 7),
            on_head=torch.zeros(rays, dtype=torch.bool),
        )


def _head_ellipsoids(face: Face) -> tuple[Tensor, Tensor]:
    """Centres and radii of cranium, jaw, nose bridge, nose tip and the two ears: (6, 3) each."""
    width, nose, chin = face.head_width, face.nose_length, face.chin
    centres = [
        (0.0, 0.12, -0.06),
        (0.0, -0.16 - 0.12 * (chin - 0.4), 0.08),
        (0.0, 0.02 - nose / 2, 0.55),
        (0.0, -0.02 - nose, 0.58),
        (-width * 0.98, 0.0, -0.05),
        (width * 0.98, 0.0, -0.05),
    ]
    radii = [
        (width, face.head_height - 0.06, 0.60),
        (width * face.jaw_width, chin, 0.50),
        (face.nose_width * 0.55, nose * 0.75 + 0.05, 0.10),
        (face.nose_width, 0.065, 0.12),
        (0.07, 0.14, 0.10),
        (0.07, 0.14, 0.10),
    ]
    return torch.tensor(centres), torch.tensor(radii)


def _ellipsoid_distances(points: Tensor, centres: Tensor, radii: Tensor) -> tuple[Tensor, Tensor]:
    """First-order distances (6, n) of points (3, n) to the ellipsoids, and their gradients (3, 6, n)."""
    scaled = [(points[axis] - centres[:, axis, None]) / radii[:, axis, None] for axis in range(3)]
    slopes = [scaled[axis] / radii[:, axis, None] for axis in range(3)]
    length = (scaled[0] ** 2 + scaled[1] ** 2 + scaled[2] ** 2).sqrt()
    slope = (slopes[0] ** 2 + slopes[1] ** 2 + slopes[2] ** 2).sqrt() + 1e-6
    return length * (length - 1) / slope, torch.stack(slopes) / slope


def _meet_ellipsoid(canvas: _Canvas, centre: Rgb, radii: Rgb) -> tuple[Tensor, Tensor, Tensor]:
    """Indices (m,) of the rays that meet an ellipsoid, and the distances at which they enter and leave it."""
    a = torch.zeros_like(canvas.depth)
    b = torch.zeros_like(canvas.depth)
    c = -1.0
    for axis in range(3):
        start = (canvas.origin[axis] - centre[axis]) / radii[axis]
        direction = canvas.direction[axis] / radii[axis]
        a = a + direction * direction
        b = b + direction * start
        c = c + start * start
    discriminant = b * b - a * c
    met = (discriminant > 0).nonzero()[:, 0]
    a, b, root = a[met], b[met], discriminant[met].sqrt()
    return met, (-b - root) / a, (-b + root) / a


def _points_at(canvas: _Canvas, rays: Tensor, depth: Tensor) -> Tensor:
    """Positions (3, m) on the given rays."""
    origin = torch.tensor(canvas.origin)[:, None]
    return origin + depth * canvas.direction[:, rays]


def _draw_head(canvas: _Canvas, face: Face) -> None:
    """Sphere trace the head from its bounding ellipsoid, and paint it."""
    bounds = (face.head_width + 0.16, 0.98, 0.80)
    rays, depth, far = _meet_ellipsoid(canvas, (0.0, -0.06, 0.0), bounds)
    centres, radii = _head_ellipsoids(face)
    for _ in range(_TRACE_STEPS):
        distances, _gradients = _ellipsoid_distances(_points_at(canvas, rays, depth), centres, radii)
        depth = depth - 1.1 * torch.logsumexp(-_SMOOTHNESS * distances, dim=0) / _SMOOTHNESS
    distances, gradients = _ellipsoid_distances(_points_at(canvas, rays, depth), centres, radii)
    distance = -torch.logsumexp(-_SMOOTHNESS * distances, dim=0) / _SMOOTHNESS
    hit = (distance < 0.03) & (depth < far)
    rays, depth = rays[hit], depth[hit]
    share = torch.softmax(-_SMOOTHNESS * distances[:, hit], dim=0)
    points = _points_at(canvas, rays, depth)
    albedo, masks = _paint_face(points, face)
    canvas.depth[rays] = depth
    canvas.normal[rays] = (share * gradients[:, :, hit]).sum(dim=1).T
    canvas.albedo[rays] = albedo
    canvas.masks[rays, :6] = masks
    canvas.on_head[rays] = True


def _draw_body(canvas: _Canvas, centre: Rgb, radii: Rgb, colour: Rgb) -> None:
    """A solid ellipsoid: neck or torso."""
    rays, near, _far = _meet_ellipsoid(canvas, centre, radii)
    _cover(canvas, rays, near, centre, radii, torch.tensor(colour).expand(len(rays), 3), inside=False, hair=False)


def _draw_hair(canvas: _Canvas, centre: Rgb, radii: Rgb, face: Face, long_hair: bool) -> None:
    """A shell of hair, seen from outside and, through its opening, from inside."""
    rays, near, far = _meet_ellipsoid(canvas, centre, radii)
    for depth, inside in ((near, False), (far, True)):
        x, y, z = _points_at(canvas, rays, depth)
        if long_hair:
            kept = (z < 0.10) & (y < 0.35)
        else:
            hairline = face.hairline + face.fringe * x - 0.35 * (x / face.head_width) ** 2 * face.hair_length
            behind_temples = (z < 0.12 - 0.5 * (y < 0.1)) & (y > -0.30)
            kept = (y > hairline) | behind_temples
        strands = 1 + 0.12 * torch.sin(33 * x + 9 * z + 8 * y) * torch.sin(11 * x + 2.0 + 5 * z)
        colour = torch.tensor(face.hair) * strands[:, None]
        _cover(canvas, rays[kept], depth[kept], centre, radii, colour[kept], inside=inside, hair=True)


def _cover(
    canvas: _Canvas, rays: Tensor, depth: Tensor, centre: Rgb, radii: Rgb, colour: Tensor, *, inside: bool, hair: bool
) -> None:
    """Put an ellipsoid's surface where it is nearer than what was drawn before."""
    nearer = depth < canvas.depth[rays]
    rays, depth, colour = rays[nearer], depth[nearer], colour[nearer]
    normal = (_points_at(canvas, rays, depth).T - torch.tensor(centre)) / torch.tensor(radii) ** 2
    normal = normal / (normal.norm(dim=-1, keepdim=True) + 1e-6)
    canvas.depth[rays] = depth
    canvas.normal[rays] = -normal if inside else normal
    canvas.albedo[rays] = colour
    canvas.masks[rays] = 0.0
    canvas.masks[rays, 6] = float(hair)
    canvas.on_head[rays] = False


# --------------------------------------------------------------------------------------------------------------------
# Paint
# --------------------------------------------------------------------------------------------------------------------


def _edge(distance: Tensor, width: float) -> Tensor:
    """A soft step: 0 where distance is well below zero, 1 well above, over about `width`."""
    return torch.sigmoid(distance * (4 / width))


def _paint_face(points: Tensor, face: Face) -> tuple[Tensor, Tensor]:
    """Colours (n, 3) and masks (n, 6: eye, iris, brow, lip, mouth interior, glasses) of head points (3, n)."""
    x, y, z = points
    side = x.abs()
    front = _edge(z - 0.15, 0.2)
    colour = torch.tensor(face.skin).repeat(points.shape[1], 1)

    def paint(opacity: Tensor, over: Rgb) -> None:
        colour.lerp_(torch.tensor(over).expand_as(colour), opacity[:, None])

    skin_red, skin_green, skin_blue = face.skin
    cheek = torch.exp(-(((side - 0.30) / 0.14) ** 2 + ((y + 0.14) / 0.11) ** 2)) * 0.25 * front
    paint(cheek, (skin_red * 1.05, skin_green * 0.75, skin_blue * 0.72))

    if face.beard > 1e-3:
        chin_beard = _edge(face.mouth_y + 0.10 - y, 0.06) * _edge(z, 0.15)
        jaw = face.head_width * face.jaw_width * 0.78
        sideburns = _edge(side - jaw, 0.06) * _edge(0.05 - y, 0.1) * _edge(z, 0.1)
        paint((chin_beard + sideburns).clamp(0, 1) * (0.85 * face.beard), _scaled(face.hair, 0.85))

    lip, mouth = _paint_mouth(paint, x, y, front, face)
    eye, iris, brow = _paint_eyes(paint, side, y, front, face)

    nostril = ((side - face.nose_width * 0.5) / 0.025) ** 2 + ((y + 0.06 + face.nose_length) / 0.018) ** 2
    paint(torch.exp(-nostril) * _edge(z - 0.5, 0.1) * 0.7, _scaled(face.skin, 0.3))

    glasses = torch.zeros_like(x)
    if face.glasses > 1e-3:
        glasses = _glasses_mask(side, y, z, face) * face.glasses
        paint(glasses, (0.06, 0.05, 0.07))
    return colour.clamp_(0, 1), torch.stack([eye, iris, brow, lip, mouth, glasses], dim=-1)


def _scaled(colour: Rgb, factor: float) -> Rgb:
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def _paint_mouth(paint: Paint, x: Tensor, y: Tensor, front: Tensor, face: Face) -> tuple[Tensor, Tensor]:
    """Lips, the dark inside and the upper teeth; returns the masks of lips and inside."""
    centre_y = face.mouth_y + face.smile * (x / 0.2) ** 2 * 0.05
    height = face.lip + face.mouth_open
    outer = ((x / (face.mouth_width * (1 + 0.15 * face.smile))) ** 2 + ((y - centre_y) / height) ** 2).sqrt() - 1
    lip = _edge(-outer * height, 0.016) * front
    red, green, blue = face.skin
    paint(lip, (red * 0.88 + 0.08, green * 0.50, blue * 0.50 + 0.02))
    gap = face.mouth_open + 0.006
    inner = ((x / (face.mouth_width * 0.8)) ** 2 + ((y - centre_y) / gap) ** 2).sqrt() - 1
    inside = _edge(-inner * gap, 0.014) * front
    paint(inside, (0.18, 0.04, 0.05))
    teeth = _edge(-inner * face.mouth_open, 0.012) * _edge(y - (centre_y + face.mouth_open * 0.25), 0.012) * front
    paint(teeth * 0.95, (0.95, 0.93, 0.88))
    return lip, inside


def _paint_eyes(paint: Paint, side: Tensor, y: Tensor, front: Tensor, face: Face) -> tuple[Tensor, Tensor, Tensor]:
    """Sockets, eyeballs, irises, pupils and brows; returns the masks of eyeballs, irises and brows."""
    size, dx, dy = face.eye_size, side - face.eye_x, y - face.eye_y
    lid = ((dx / (size * 1.25)) ** 2 + (dy / (size * 0.72 * face.eye_open)) ** 2).sqrt() - 1
    eye = _edge(-lid * size * 0.7, 0.014) * front
    paint(_edge(-(lid - 0.22) * size * 0.7, 0.02) * front * 0.55, _scaled(face.skin, 0.45))
    paint(eye, (0.96, 0.96, 0.95))
    radius, iris_radius = (dx * dx + dy * dy).sqrt(), size * 0.58
    iris = eye * _edge(iris_radius - radius, 0.012)
    paint(iris, face.iris)
    paint(eye * _edge(iris_radius * 0.48 - radius, 0.012), (0.02, 0.02, 0.02))
    arch = dy - (size * 1.25 + 0.05) - face.brow_tilt * dx * 0.5 + dx * dx * 1.2
    brow = _edge(face.brow_thickness - arch.abs(), 0.016) * _edge(size * 1.45 - dx.abs(), 0.03) * front * 0.95
    paint(brow, _scaled(face.hair, 0.7))
    return eye, iris, brow


def _glasses_mask(side: Tensor, y: Tensor, z: Tensor, face: Face) -> Tensor:
    """Two round rims, a bridge between them and the temples along the head."""
    dx, dy, rim_radius = side - face.eye_x, y - face.eye_y, face.eye_size * 1.9
    rim = _edge(0.027 - ((dx * dx + (dy * 1.1) ** 2).sqrt() - rim_radius).abs(), 0.014)
    bar = _edge(0.024 - dy.abs(), 0.014)
    bridge = bar * _edge(face.eye_x - rim_radius - side, 0.02)
    temples = bar * _edge(side - face.eye_x - rim_radius, 0.02) * _edge(z + 0.1, 0.1)
    return torch.maximum(torch.maximum(rim, bridge) * _edge(z - 0.1, 0.15), temples)


# --------------------------------------------------------------------------------------------------------------------
# Pictures
# --------------------------------------------------------------------------------------------------------------------


def _draw(face: Face, camera: Tensor, resolution: int) -> tuple[_Canvas, Tensor]:
    """Everything that the rays of one picture meet, and their lit colours (rays, 3) in [0, 1]."""
    origin, directions = rays_from_labels(camera[None].float(), pixel_centres(resolution))
    canvas = _Canvas.blank(origin[0], directions[0], face.background)
    _draw_head(canvas, face)
    _draw_body(canvas, (0.0, -0.75, -0.12), (face.head_width * 0.62, 0.55, 0.30), _scaled(face.skin, 0.93))
    _draw_body(canvas, (0.0, -1.36, -0.15), (1.05, 0.52, 0.50), face.cloth)
    width, volume = face.head_width, face.hair_volume
    cap_radii = (width + volume + 0.01, face.head_height + volume - 0.03, 0.60 + volume)
    _draw_hair(canvas, (0.0, 0.12, -0.08), cap_radii, face, long_hair=False)
    length = min(max((face.hair_length - 0.3) / 0.6, 0.0), 1.0)
    long_radii = (width - 0.05 + (volume + 0.12) * length, 0.55 + 0.45 * length, 0.42)
    _draw_hair(canvas, (0.0, -0.10 - 0.35 * length, -0.16), long_radii, face, long_hair=True)

    facing = canvas.normal @ torch.tensor(face.light)
    light = face.ambient + face.light_strength * (facing * 0.8 + 0.2).clamp_min(0)
    lit = torch.where(canvas.depth.isfinite(), light, torch.ones_like(light))
    return canvas, (canvas.albedo * lit[:, None]).clamp_(0, 1)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """One picture is too small to share: where other processes keep a core busy, threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _picture(colours: Tensor, supersampled: int, supersampling: int) -> Tensor:
    """Ray colours (rays, 3) in [0, 1] to one image (3, r, r) in [-1, 1]."""
    image = colours.T.reshape(1, 3, supersampled, supersampled)
    return functional.avg_pool2d(image, supersampling)[0] * 2 - 1


@torch.no_grad()
def render(
    identity: Tensor, nuisance: Tensor, cameras: Tensor, *, resolution: int = 64, supersampling: int = 2
) -> Tensor:
    """Photograph faces: identity (n, 24), nuisance (n, 11), camera labels (n, 25) to images (n, 3, r, r) in [-1, 1]."""
    size = resolution * supersampling
    images = []
    with _one_thread():
        for face, camera in zip(_faces(identity, nuisance), cameras.cpu(), strict=True):
            _canvas, colours = _draw(face, camera, size)
            images.append(_picture(colours, size, supersampling))
    return torch.stack(images)


def _faces(identity: Tensor, nuisance: Tensor) -> list[Face]:
    return [face_from_parameters(*row) for row in zip(identity.tolist(), nuisance.tolist(), strict=True)]


@dataclass(frozen=True)
class RenderedPoints:
    """An image together with what some of its rays met; k rays an image, on a grid of 2r x 2r."""

    images: Tensor  # (n, 3, r, r) in [-1, 1]
    pixels: Tensor  # (n, k) int64, index into the row-major 2r x 2r grid
    depth: Tensor  # (n, k), distance from the camera; BACKGROUND_DEPTH where nothing was met
    colours: Tensor  # (n, k, 3) lit colour in [0, 1]
    targets: Tensor  # (n, k, POINT_TARGETS) in [0, 1]


@torch.no_grad()
def render_points(
    identity: Tensor, nuisance: Tensor, cameras: Tensor, *, points: int, rng: torch.Generator, resolution: int = 64
) -> RenderedPoints:
    """Photograph faces and report `points` random rays of each, more of them on the face and on thin features."""
    size = resolution * 2
    position = pixel_centres(size) * 2 - 1
    on_centre = torch.exp(-((position[:, 0] / 0.5) ** 4 + ((position[:, 1] - 0.1) / 0.5) ** 4))
    images, pixels, depths, lit, targets = [], [], [], [], []
    with _one_thread():
        for face, camera in zip(_faces(identity, nuisance), cameras.cpu(), strict=True):
            canvas, colours = _draw(face, camera, size)
            thin = canvas.masks[:, [0, 2, 3, 5]].amax(dim=-1)
            weight = 0.35 + 0.65 * canvas.depth.isfinite() + 2.5 * on_centre * canvas.on_head + 2.5 * thin
            # multinomial returns its draws in order of weight; shuffled, any slice of them is a fair sample
            chosen = torch.multinomial(weight, points, generator=rng)[torch.randperm(points, generator=rng)]
            images.append(_picture(colours, size, 2))
            pixels.append(chosen)
            depths.append(canvas.depth[chosen].clamp_max(BACKGROUND_DEPTH))
            lit.append(colours[chosen])
            targets.append(torch.cat([canvas.albedo[chosen].clamp(0, 1), canvas.masks[chosen]], dim=-1))
    return RenderedPoints(*(torch.stack(part) for part in (images, pixels, depths, lit, targets)))
