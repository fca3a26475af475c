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
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from guidebench.testbeds.mini.paint import edge, paint_face, paint_hair
from guidebench.testbeds.mini.parameters import Face, Rgb, face_from_parameters, scaled

RESOLUTION = 96  # of photographs, in pixels per side

CAMERA_RADIUS = 6.0
HALF_EXTENT = 0.80  # half of what the picture shows at the origin, in head units
VERTICAL_SHIFT = 0.05  # the picture's centre is this far below the origin, so that chin and hair both fit
FOCAL = CAMERA_RADIUS / (2 * HALF_EXTENT)  # 3.75, in units of the image size
PRINCIPAL_POINT = (0.5, 0.5 - VERTICAL_SHIFT / (2 * HALF_EXTENT))  # (x, y), in units of the image size

POINT_TARGETS = 10  # albedo (3) and the masks eye, iris, brow, lip, mouth interior, glasses, hair
BACKGROUND_DEPTH = 100.0  # what render_points reports where a ray meets nothing


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
    canvas.albedo[skin], canvas.masks[skin, :6] = paint_face(points[:, ~is_hair], hair[~is_hair], face)
    canvas.on_head[skin] = True
    canvas.albedo[rays[is_hair]] = paint_hair(points[:, is_hair], face)
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
    shade = 1 - 0.35 * edge(points[1] - shade_above, 0.25)
    canvas.depth[rays] = depth
    canvas.normal[rays] = functional.normalize((points - middle) * inverse**2, dim=0).T
    canvas.albedo[rays] = torch.tensor(colour) * shade[:, None]
    canvas.masks[rays] = 0.0
    canvas.on_head[rays] = False


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
    _draw_body(canvas, (0.0, -0.70, -0.14), neck, scaled(face.skin, 0.96), shade_above=chin_y - 0.06)
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
