"""A procedural renderer of 3-D faces: the "photographs" that the mini testbed is made of.

Head and hair are two solids, sphere traced together: the head is a smooth union of ellipsoids (cranium, jaw, nose,
ears), the hair a smooth union of two ellipsoids with an arch for the face and everything below its ends carved away,
both with a rounded rim. Neck and torso are ellipsoids met in closed form; eyes, brows, mouth, beard and glasses are
painted in head coordinates with soft edges; light is one directional lamp plus an ambient term. Everything is a
function of 24 identity parameters, 11 nuisance parameters (expression, light, background, clothes) and a camera, and
all parameters are standard normal, so that a random face is a random normal vector.

Head coordinates: x to the right of the picture, y up, z towards the frontal camera; the head is about 1.3 units high.
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
RESOLUTION = 96  # of photographs, in pixels per side

CAMERA_RADIUS = 6.0
HALF_EXTENT = 0.80  # half of what the picture shows at the origin, in head units
VERTICAL_SHIFT = 0.05  # the picture's centre is this far below the origin, so that chin and hair both fit
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
    (0.45, 0.26, 0.15), (0.63, 0.39, 0.24), (0.80, 0.55, 0.38), (0.93, 0.70, 0.54), (0.98, 0.82, 0.70),
)  # fmt: skip
HAIR_COLOURS: Sequence[Rgb] = (
    (0.09, 0.07, 0.08), (0.28, 0.16, 0.09), (0.55, 0.25, 0.10),
    (0.76, 0.55, 0.26), (0.93, 0.80, 0.50), (0.78, 0.78, 0.80),
)  # fmt: skip
IRIS_COLOURS: Sequence[Rgb] = (
    (0.26, 0.14, 0.07), (0.52, 0.31, 0.12), (0.36, 0.56, 0.25), (0.22, 0.52, 0.80), (0.58, 0.70, 0.80),
)  # fmt: skip
CLOTH_COLOURS: Sequence[Rgb] = (
    (0.16, 0.17, 0.24), (0.18, 0.32, 0.58), (0.62, 0.20, 0.20), (0.24, 0.52, 0.36), (0.86, 0.85, 0.82),
)  # fmt: skip


@dataclass(frozen=True)
class Face:
    """One face in words. Lengths in head units, colours in [0, 1]."""

    head_width: float
    head_height: float  # of the skull's top above the origin
    jaw_width: float  # relative to the head's
    chin: float
    skin: Rgb
    hair: Rgb
    hair_ends: float  # the height y at which the hair ends beside the ears
    hair_volume: float
    hairline: float  # the height y of the middle of the forehead's hairline
    fringe: float  # slope of the hairline
    iris: Rgb
    eye_size: float
    eye_x: float
    eye_y: float
    brow_thickness: float
    brow_tilt: float  # slope; positive is high outside
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
        return -0.28 - 0.35 * (self.chin - 0.4) - self.nose_length * 0.25

    @property
    def jaw_y(self) -> float:
        """Height of the jaw ellipsoid's centre."""
        return -0.16 - 0.12 * (self.chin - 0.4)


def face_from_parameters(identity: Sequence[float], nuisance: Sequence[float]) -> Face:
    """Interpret 24 + 11 standard normal numbers."""
    u = [_normal_cdf(value) for value in identity]
    v = [_normal_cdf(value) for value in nuisance]

    skin = _palette(u[4], SKIN_TONES)
    warmth = u[5] - 0.35
    skin = _rgb(skin[0] * (1 + 0.10 * warmth), skin[1] * (1 - 0.05 * warmth), skin[2] * (1 - 0.28 * warmth))
    gloss = _mix(u[7], 0.70, 1.20)
    head_width, head_height = _mix(u[0], 0.42, 0.56), _mix(u[1], 0.49, 0.62)
    eye_size = _mix(u[13], 0.080, 0.134)
    eyes_meet, eyes_reach_the_hair = eye_size * 1.3 + 0.03, head_width * 0.94 - eye_size * 1.3

    azimuth, height = (v[3] - 0.5) * 2.2, _mix(v[4], -0.05, 0.85)
    light = (math.sin(azimuth) * math.cos(height), math.sin(height), math.cos(azimuth) * math.cos(height))
    vivid = [0.70 * value + 0.22 for value in v[7:10]]
    grey = sum(vivid) / 3

    return Face(
        head_width=head_width,
        head_height=head_height,
        jaw_width=_mix(u[2], 0.66, 1.0),
        chin=_mix(u[3], 0.37, 0.57),
        skin=skin,
        hair=_rgb(*_scaled(_palette(u[6], HAIR_COLOURS), gloss)),
        hair_ends=_mix(u[8] ** 1.4, 0.13, -1.0),
        hair_volume=_mix(u[9], 0.06, 0.17),
        hairline=head_height - _mix(u[10], 0.28, 0.06),
        fringe=(u[11] - 0.5) * 0.9,
        iris=_palette(u[12], IRIS_COLOURS),
        eye_size=eye_size,
        eye_x=_mix(u[14], eyes_meet, min(eyes_reach_the_hair, eyes_meet + 0.12)),
        eye_y=_mix(u[15], -0.03, 0.11),
        brow_thickness=_mix(u[16], 0.010, 0.062),
        brow_tilt=(0.43 - u[17]) * 1.45,
        nose_length=_mix(u[18], 0.09, 0.25),
        nose_width=_mix(u[19], 0.035, 0.165),
        mouth_width=_mix(u[20], 0.10, 0.25),
        lip=_mix(u[21], 0.012, 0.088),
        beard=_logistic(24 * (identity[22] - 0.3)),
        glasses=_logistic(40 * (identity[23] - 0.3)),
        mouth_open=min(max(nuisance[0] - 0.2, 0.0) * 0.06, 0.11),
        smile=(v[1] - 0.18) * 1.5,
        eye_open=_mix(v[2], 0.60, 1.0),
        light=light,
        light_strength=_mix(v[5], 0.40, 0.66),
        ambient=_mix(v[6], 0.44, 0.60),
        background=_rgb(*(0.6 * value + 0.4 * grey for value in vivid)),
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


def _scaled(colour: Rgb, factor: float) -> Rgb:
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def _blend(colour: Rgb, other: Rgb, share: float) -> Rgb:
    return _mix(share, colour[0], other[0]), _mix(share, colour[1], other[1]), _mix(share, colour[2], other[2])


def _palette(share: float, stops: Sequence[Rgb]) -> Rgb:
    """Piecewise linear path through `stops` at `share` in [0, 1]."""
    position = min(max(share * (len(stops) - 1), 0.0), len(stops) - 1 - 1e-4)
    first = int(position)
    return _blend(stops[first], stops[first + 1], position - first)


# --------------------------------------------------------------------------------------------------------------------
# Geometry
# --------------------------------------------------------------------------------------------------------------------

_SMOOTHNESS = 28.0  # of the union of the head's ellipsoids; larger is sharper
_RIM = 0.09  # over which the hair's edges are rounded, in head units


class _Solids:
    """Signed distances (negative inside) of one face's head and hair, to first order."""

    HEAD_PARTS = 5  # cranium, jaw, nose bridge, nose tip, ear; then the hair's cap and back

    def __init__(self, face: Face) -> None:
        width, nose, volume = face.head_width, face.nose_length, face.hair_volume
        nose_y = 0.02 - nose
        centres = torch.tensor([
            (0.0, 0.06, -0.06),
            (0.0, face.jaw_y, 0.08),
            (0.0, 0.05 - nose / 2, 0.53),
            (0.0, nose_y, 0.57),
            (width * 0.98, 0.0, -0.05),
            (0.0, 0.07, -0.07),
            (0.0, -0.30, -0.22),
        ])  # fmt: skip
        radii = torch.tensor([
            (width, face.head_height - 0.06, 0.60),
            (width * face.jaw_width, face.chin, 0.50),
            (0.035 + face.nose_width * 0.3, nose * 0.75 + 0.05, 0.10),
            (face.nose_width, 0.055 + 0.1 * face.nose_width, 0.11),
            (0.08, 0.14, 0.10),
            (width + volume, face.head_height - 0.06 + volume, 0.62 + 0.8 * volume),
            (width + 0.8 * volume + 0.02, 0.95, 0.40 + 0.8 * volume),
        ])  # fmt: skip
        # |(p - c) / r|^2 and |(p - c) / r^2|^2 are linear in (x^2, y^2, z^2, |x|, y, z, 1)
        self._lengths = self._quadric(centres, radii**-2)
        self._slopes = self._quadric(centres, radii**-4)
        self._fringe, self._ends = face.fringe, face.hair_ends
        self._arch_width, self._arch_height = width * 0.88, 0.42
        self._arch_y = face.hairline - self._arch_height

    @staticmethod
    def _quadric(centres: Tensor, weights: Tensor) -> Tensor:
        return torch.cat([weights, -2 * centres * weights, (centres**2 * weights).sum(1, keepdim=True)], dim=1)

    def _ellipsoids(self, points: Tensor, parts: slice) -> Tensor:
        """Distances (parts, n) of points (3, n) to the chosen ellipsoids and, by symmetry, to the other ear."""
        mirrored = torch.cat([points[:1].abs(), points[1:], torch.ones_like(points[:1])])
        terms = torch.cat([mirrored[:3] ** 2, mirrored])
        length = (self._lengths[parts] @ terms).clamp_min_(1e-4).sqrt_()
        slope = (self._slopes[parts] @ terms).clamp_min_(1e-4).sqrt_()
        return (length - 1).mul_(length).div_(slope)

    def head(self, points: Tensor) -> Tensor:
        """Distances (n,) of points (3, n) to the head."""
        return self._head(self._ellipsoids(points, slice(0, self.HEAD_PARTS)))

    def hair(self, points: Tensor) -> Tensor:
        """Distances (n,) of points (3, n) to the hair."""
        return self._hair(points, self._ellipsoids(points, slice(self.HEAD_PARTS, None)))

    def both(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """`head` and `hair` at once."""
        parts = self._ellipsoids(points, slice(None))
        return self._head(parts[: self.HEAD_PARTS]), self._hair(points, parts[self.HEAD_PARTS :])

    @staticmethod
    def _head(parts: Tensor) -> Tensor:
        return (parts * -_SMOOTHNESS).exp_().sum(0).clamp_min_(1e-30).log_().div_(-_SMOOTHNESS)

    def _hair(self, points: Tensor, parts: Tensor) -> Tensor:
        x, y, z = points
        solid = -_smooth_maximum(-parts[0], -parts[1], 0.12)
        above = (y - self._arch_y - self._fringe * x).clamp_min_(0).mul_(self._arch_width / self._arch_height)
        outside_arch = (x * x + above * above).sqrt_() - self._arch_width  # of the face's arch, open below
        behind_face = 0.02 + 0.12 * y - z
        below_ends = self._ends + 0.45 * z - y
        kept = _smooth_maximum(solid, -_smooth_maximum(outside_arch, behind_face, _RIM), _RIM)
        return _smooth_maximum(kept, below_ends.mul_(0.91), _RIM)


def _smooth_maximum(a: Tensor, b: Tensor, width: float) -> Tensor:
    """The larger of both, the corner between them rounded where they differ by less than `width`."""
    overlap = (a - b).abs_().neg_().add_(width).clamp_min_(0)
    return torch.maximum(a, b).addcmul_(overlap, overlap, value=0.25 / width)


@dataclass
class _Canvas:
    """What each ray of one picture has met so far."""

    origin: Tensor  # (3, 1)
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
            origin=origin[:, None],
            direction=directions.T.contiguous(),
            depth=torch.full((rays,), math.inf),
            albedo=torch.tensor(background).repeat(rays, 1),
            normal=torch.zeros(rays, 3),
            masks=torch.zeros(rays, 7),
            on_head=torch.zeros(rays, dtype=torch.bool),
        )


# --------------------------------------------------------------------------------------------------------------------
# Rays
# --------------------------------------------------------------------------------------------------------------------

_CELL = 4  # rays per side of a bundle that is traced together at first
_START, _END = CAMERA_RADIUS - 1.0, CAMERA_RADIUS + 1.0  # where rays are traced, as distance from the camera
_BUNDLE_STEPS = 16
_RAY_STEPS = (2, 2, 4, 8, 16, 24)  # between these rounds, rays that have arrived are dropped
_ARRIVED = 0.0015  # distance at which a ray is taken to have met the surface
_NORMAL_STEP = 0.004


def _trace(camera: Tensor, canvas: _Canvas, solids: _Solids, size: int) -> tuple[Tensor, Tensor]:
    """The rays (m,) that meet head or hair and their depths (m,).

    Bundles of _CELL x _CELL rays advance together while the surface is out of their reach; then single rays do.
    """
    rays, depth = _trace_bundles(camera, canvas, solids, size)
    active = torch.arange(len(rays))
    distance = torch.empty_like(depth)
    for steps in _RAY_STEPS:
        origin, direction, near = canvas.origin, canvas.direction[:, rays[active]], depth[active]
        for _ in range(steps):
            head, hair = solids.both(origin + near * direction)
            left = torch.minimum(head, hair)
            near = near + 0.95 * left + _ARRIVED  # which also hurries rays past what they graze
        depth[active], distance[active] = near, left
        active = active[(left > _ARRIVED) & (near < _END)]
    met = (distance < 5 * _ARRIVED) & (depth < _END)
    return rays[met], depth[met]


def _trace_bundles(camera: Tensor, canvas: _Canvas, solids: _Solids, size: int) -> tuple[Tensor, Tensor]:
    """The rays (m,) that may meet head or hair, and depths (m,) up to which they meet nothing."""
    cells = -(-size // _CELL)
    middles = pixel_centres(cells) * (cells * _CELL / size)
    direction = rays_from_labels(camera[None].float(), middles)[1][0].T.contiguous()
    reach = 0.75 * _CELL * CAMERA_RADIUS / (FOCAL * size)  # half the diagonal of a bundle, and a little
    depth = torch.full((cells * cells,), _START)
    for _ in range(_BUNDLE_STEPS):
        head, hair = solids.both(canvas.origin + depth * direction)
        left = torch.minimum(head, hair) - reach
        depth = depth + 0.95 * left.clamp_min(0)
    depth[depth > _END] = math.inf
    rows = torch.arange(size) // _CELL
    spread = depth.view(cells, cells)[rows][:, rows].flatten()
    rays = spread.isfinite().nonzero()[:, 0]
    return rays, spread[rays]


def _normals(distance: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """Unit gradients (n, 3) of a distance at surface points (3, n), by differences over a tetrahedron's corners."""
    gradient = torch.zeros_like(points)
    for corner in ((1.0, -1.0, -1.0), (-1.0, -1.0, 1.0), (-1.0, 1.0, -1.0), (1.0, 1.0, 1.0)):
        towards = torch.tensor(corner)[:, None]
        gradient += towards * distance(points + _NORMAL_STEP * towards)
    return functional.normalize(gradient, dim=0).T


def _draw_head(canvas: _Canvas, face: Face, camera: Tensor, size: int) -> None:
    """Trace head and hair, and paint them."""
    solids = _Solids(face)
    rays, depth = _trace(camera, canvas, solids, size)
    points = canvas.origin + depth * canvas.direction[:, rays]
    canvas.depth[rays] = depth
    head, hair = solids.both(points)
    is_hair = hair < head
    for part, distance in ((~is_hair, solids.head), (is_hair, solids.hair)):
        canvas.normal[rays[part]] = _normals(distance, points[:, part])
    skin = rays[~is_hair]
    canvas.albedo[skin], canvas.masks[skin, :6] = _paint_face(points[:, ~is_hair], hair[~is_hair], face)
    canvas.on_head[skin] = True
    canvas.albedo[rays[is_hair]] = _paint_hair(points[:, is_hair], face)
    canvas.masks[rays[is_hair], 6] = 1.0


def _draw_body(canvas: _Canvas, centre: Rgb, radii: Rgb, colour: Rgb, shade_above: float) -> None:
    """A solid ellipsoid, neck or torso, where it is nearer than what was drawn before; the chin's shadow on top."""
    middle, inverse = torch.tensor(centre)[:, None], 1 / torch.tensor(radii)[:, None]
    start, direction = (canvas.origin - middle) * inverse, canvas.direction * inverse
    a = (direction * direction).sum(0)
    b = (direction * start).sum(0)
    discriminant = b * b - a * ((start * start).sum() - 1)
    rays = (discriminant > 0).nonzero()[:, 0]
    depth = (-b[rays] - discriminant[rays].sqrt()) / a[rays]
    nearer = depth < canvas.depth[rays]
    rays, depth = rays[nearer], depth[nearer]
    points = canvas.origin + depth * canvas.direction[:, rays]
    shade = 1 - 0.35 * _edge(points[1] - shade_above, 0.25)
    canvas.depth[rays] = depth
    canvas.normal[rays] = functional.normalize((points - middle) * inverse**2, dim=0).T
    canvas.albedo[rays] = torch.tensor(colour) * shade[:, None]
    canvas.masks[rays] = 0.0
    canvas.on_head[rays] = False


# --------------------------------------------------------------------------------------------------------------------
# Paint
# --------------------------------------------------------------------------------------------------------------------


def _edge(distance: Tensor, width: float) -> Tensor:
    """A soft step: 0 where distance is well below zero, 1 well above, over about `width`."""
    return torch.sigmoid(distance * (4 / width))


def _blob(x: Tensor, y: Tensor, width: float, height: float) -> Tensor:
    """A soft spot around the origin."""
    return torch.exp(-((x / width) ** 2 + (y / height) ** 2))


def _paint_hair(points: Tensor, face: Face) -> Tensor:
    """Colours (n, 3) of hair points (3, n): broad strands and a sheen around the crown."""
    x, y, z = points
    strands = 1 + 0.05 * torch.sin(16 * x + 5 * z + 3 * y)
    sheen = 0.12 * torch.exp(-(((y - face.head_height + 0.10 - 0.15 * z) / 0.10) ** 2))
    return (torch.tensor(face.hair) * strands[:, None] + sheen[:, None] * torch.tensor((1.0, 0.9, 0.8))).clamp_(0, 1)


def _paint_face(points: Tensor, to_hair: Tensor, face: Face) -> tuple[Tensor, Tensor]:
    """Colours (n, 3) and masks (n, 6: eye, iris, brow, lip, mouth interior, glasses) of head points (3, n).

    `to_hair` (n,) is the distance to the hair, whose soft shadow falls on the skin.
    """
    x, y, z = points
    side = x.abs()
    front = _edge(z - 0.15, 0.2)
    colour = torch.tensor(face.skin).repeat(points.shape[1], 1)

    def paint(opacity: Tensor, over: Rgb) -> None:
        colour.lerp_(torch.tensor(over).expand_as(colour), opacity[:, None])

    red, green, blue = face.skin
    blush = (red * 1.02, green * 0.72, blue * 0.68)
    paint(_blob(side - 0.29, y + 0.15, 0.13, 0.10) * front * 0.45, blush)
    tip_y = y - 0.02 + face.nose_length
    paint(_blob(x, tip_y, face.nose_width * 1.1, 0.09) * _edge(z - 0.5, 0.1) * 0.7, blush)
    wings = _blob(side - face.nose_width - 0.02, tip_y, 0.04, 0.06)
    paint(wings * _edge(z - 0.45, 0.1) * 0.5, _scaled(face.skin, 0.5))
    nostrils = _blob(side - face.nose_width * 0.5, tip_y + 0.055, 0.02 + face.nose_width * 0.12, 0.016)
    paint(nostrils * _edge(z - 0.5, 0.1) * 0.75, _scaled(face.skin, 0.40))

    if face.beard > 1e-3:
        paint(_beard_mask(side, y, z, face) * (0.9 * face.beard), _scaled(face.hair, 0.85))
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
    beard = _edge(cheek_line - y, 0.12) * _edge(z + 0.02, 0.12)
    drop = y - face.mouth_y - face.lip - face.mouth_open - 0.025 + 0.9 * side**2 / face.mouth_width * 0.5
    moustache = _edge(0.035 - drop.abs(), 0.03) * _edge(face.mouth_width * 1.05 - side, 0.06) * _edge(z - 0.2, 0.1)
    return torch.maximum(beard, moustache)


def _paint_mouth(paint: Paint, x: Tensor, y: Tensor, front: Tensor, face: Face) -> tuple[Tensor, Tensor]:
    """Lips, the dark inside, tongue and upper teeth; returns the masks of lips and inside."""
    across = x / (face.mouth_width * (1 + 0.10 * face.smile))
    taper = (1 - across**2).clamp_min(-1)
    dy = y - (face.mouth_y + face.smile * 0.06 * (across**2 - 0.4))
    lip = _edge((face.lip + face.mouth_open) * taper - dy.abs(), 0.016) * _edge(1.02 - across.abs(), 0.08) * front
    red, green, blue = face.skin
    rose = (red * 0.80 + 0.06, green * 0.50, blue * 0.53 + 0.02)
    paint(lip, rose)
    paint(lip * _edge(dy, 0.02) * 0.35, _scaled(rose, 0.72))
    inner_taper = (1 - (across * 1.15) ** 2).clamp_min(-1)
    opening = face.mouth_open * inner_taper
    inside = _edge(opening + 0.007 - dy.abs(), 0.014) * _edge(0.95 - across.abs(), 0.15) * front
    paint(inside, _blend(_scaled(rose, 0.35), (0.25, 0.07, 0.08), 0.5))
    if face.mouth_open > 0.01:
        within = _edge(opening - 0.006 - dy.abs(), 0.014) * front
        paint(within * _edge(-dy - face.mouth_open * 0.35, 0.03) * 0.8, (0.74, 0.36, 0.36))
        paint(within * _edge(dy - face.mouth_open * 0.15, 0.014), (0.97, 0.95, 0.92))
    return lip, inside


def _paint_eyes(paint: Paint, x: Tensor, y: Tensor, front: Tensor, face: Face) -> tuple[Tensor, Tensor, Tensor]:
    """Sockets, eyeballs, irises, pupils, lid lines and brows; returns the masks of eyeballs, irises and brows."""
    size, dx, dy = face.eye_size, x.abs() - face.eye_x, y - face.eye_y
    paint(_blob(dx, dy - size * 0.25, size * 1.6, size * 1.15) * front * 0.35, _scaled(face.skin, 0.62))
    taper = (1 - (dx / (size * 1.3)) ** 2).clamp_min(-1)
    upper, lower = size * 0.88 * face.eye_open * taper - dy, dy + size * 0.62 * face.eye_open * taper
    eye = _edge(torch.minimum(upper, lower), 0.014) * front
    paint(eye, (0.97, 0.97, 0.96))
    radius, iris_radius = (dx * dx + dy * dy).sqrt(), size * 0.68
    iris = eye * _edge(iris_radius - radius, 0.014)
    paint(iris, _scaled(face.iris, 0.40))
    paint(eye * _edge(iris_radius * 0.80 - radius, 0.018), face.iris)
    paint(eye * _edge(iris_radius * 0.42 - radius, 0.014), (0.03, 0.03, 0.04))
    glint = x - x.sign() * face.eye_x - 0.32 * iris_radius
    paint(iris * _edge(iris_radius * 0.24 - (glint**2 + (dy - 0.34 * iris_radius) ** 2).sqrt(), 0.012), (1.0, 1.0, 1.0))
    lid = _edge(0.014 - upper.abs(), 0.014) * _edge(size * 1.32 - dx.abs(), 0.02) * _edge(dy + size * 0.1, 0.03)
    paint(lid * front * 0.9, _blend(_scaled(face.skin, 0.25), (0.08, 0.05, 0.05), 0.6))
    arch = dy - (size * 0.88 + 0.09) - face.brow_tilt * dx + dx * dx * 1.2
    brow = _edge(face.brow_thickness - arch.abs(), 0.018) * _edge(size * 1.35 - dx.abs(), 0.035) * front
    brow = brow * _edge(x.abs() - 0.045, 0.03) * 0.95
    paint(brow, _blend(_scaled(face.hair, 0.6), _scaled(face.skin, 0.3), 0.3))
    return eye, iris, brow


def _glasses_mask(side: Tensor, y: Tensor, z: Tensor, face: Face) -> Tensor:
    """Two round rims, a bridge between them and the temples along the head."""
    dx, dy, rim_radius = side - face.eye_x, y - face.eye_y, min(face.eye_size * 1.65, face.eye_x - 0.04)
    rim = _edge(0.020 - ((dx * dx + (dy * 1.05) ** 2).sqrt() - rim_radius).abs(), 0.014)
    bar = _edge(0.018 - (dy - 0.02).abs(), 0.014)
    bridge = bar * _edge(face.eye_x - rim_radius - side, 0.02)
    temples = bar * _edge(side - face.eye_x - rim_radius, 0.02) * _edge(z + 0.1, 0.1)
    return torch.maximum(torch.maximum(rim, bridge) * _edge(z - 0.1, 0.15), temples)


# --------------------------------------------------------------------------------------------------------------------
# Pictures
# --------------------------------------------------------------------------------------------------------------------

_LAMP = (1.0, 0.98, 0.95)  # colours of the two lights
_SKY = (1.0, 0.97, 0.96)


def _draw(face: Face, camera: Tensor, size: int) -> tuple[_Canvas, Tensor]:
    """Everything that the rays of one picture of `size` x `size` meet, and their lit colours (rays, 3) in [0, 1]."""
    origin, directions = rays_from_labels(camera[None].float(), pixel_centres(size))
    canvas = _Canvas.blank(origin[0], directions[0], face.background)
    _draw_head(canvas, face, camera, size)
    chin_y = face.jaw_y - face.chin
    neck = (face.head_width * 0.55, 0.60, 0.28)
    _draw_body(canvas, (0.0, -0.70, -0.14), neck, _scaled(face.skin, 0.96), shade_above=chin_y - 0.06)
    _draw_body(canvas, (0.0, -1.26, -0.16), (0.95, 0.50, 0.42), face.cloth, shade_above=chin_y)

    facing = (canvas.normal @ torch.tensor(face.light) * 0.72 + 0.28).clamp_min_(0)[:, None]
    lamp, sky = torch.tensor(_LAMP) * face.light_strength, torch.tensor(_SKY) * face.ambient
    lit = torch.where(canvas.depth.isfinite()[:, None], sky + lamp * facing, torch.ones(3))
    return canvas, (canvas.albedo * lit).clamp_(0, 1)


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
    identity: Tensor, nuisance: Tensor, cameras: Tensor, *, resolution: int = RESOLUTION, supersampling: int = 2
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
    """An image together with what some of its rays met; k rays per image, on a grid of 2r x 2r."""

    images: Tensor  # (n, 3, r, r) in [-1, 1]
    pixels: Tensor  # (n, k) int64, index into the row-major 2r x 2r grid
    depth: Tensor  # (n, k), distance from the camera; BACKGROUND_DEPTH where nothing was met
    colours: Tensor  # (n, k, 3) lit colour in [0, 1]
    targets: Tensor  # (n, k, POINT_TARGETS) in [0, 1]


@torch.no_grad()
def render_points(
    identity: Tensor,
    nuisance: Tensor,
    cameras: Tensor,
    *,
    points: int,
    rng: torch.Generator,
    resolution: int = RESOLUTION,
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
