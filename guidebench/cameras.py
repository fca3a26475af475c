"""Cameras on a sphere around the head, as EG3D labels: 16 extrinsics and 9 intrinsics, 25 numbers.

Angles are radians. A yaw of 0 and a pitch of 0 look at the face from the front at eye level. Following EG3D's LookAt
sampler, the pitch is an offset of the *cosine-uniform* polar coordinate v = π/2 + pitch, φ = arccos(1 - 2v/π), so the
paper's pitch of -0.2 is an elevation of arcsin(0.4/π) = 7.3°, not 11.5° (EG3D, arXiv 2112.07945; GUIDE, §4.1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LABEL_WIDTH = 25


@dataclass(frozen=True)
class CameraRig:
    """Where a generator's cameras are. It belongs to the generator, because weights know only one framing."""

    radius: float  # distance of the camera from the origin
    pivot: tuple[float, float, float]  # the point looked at; the camera circles the origin all the same
    focal: float  # focal length divided by the image size
    principal: tuple[float, float] = (0.5, 0.5)  # principal point divided by the image size (x, y)

    def look_at(self, yaw: Tensor | float, pitch: Tensor | float) -> Tensor:
        """Camera labels for yaw and pitch offsets in radians.

        yaw, pitch: scalars or (n,), broadcast against each other. Returns (n, 25) float32: the row-major 4×4
        camera-to-world matrix (OpenCV axes: x right, y down, z forward), then the row-major 3×3 intrinsics in units of
        the image size. Numbers 3, 7 and 11 are the camera's place, here with the paper's pitch: 0.34 above eye level.

        >>> rig = CameraRig(radius=2.7, pivot=(0.0, 0.0, 0.2), focal=4.2647)
        >>> labels = rig.look_at(torch.tensor([0.0, 0.35]), -0.2)
        >>> tuple(labels.shape)
        (2, 25)
        >>> [[round(x, 2) for x in row] for row in labels[:, [3, 7, 11]].tolist()]
        [[0.0, 0.34, 2.68], [0.92, 0.34, 2.52]]
        """
        device = next((angle.device for angle in (yaw, pitch) if isinstance(angle, Tensor)), None)
        angles = (torch.atleast_1d(torch.as_tensor(a, dtype=torch.float32, device=device)) for a in (yaw, pitch))
        azimuth, offset = torch.broadcast_tensors(*angles)
        v = (math.pi / 2 + offset).clamp(1e-5, math.pi - 1e-5)
        polar = torch.arccos(1 - 2 * v / math.pi)
        direction = torch.stack([polar.sin() * azimuth.sin(), polar.cos(), polar.sin() * azimuth.cos()], dim=1)
        origin = self.radius * direction
        pivot = torch.tensor(self.pivot, dtype=torch.float32, device=origin.device)
        forward = torch.nn.functional.normalize(pivot - origin, dim=1)
        up = torch.tensor([0.0, 1.0, 0.0], device=origin.device).expand_as(forward)
        right = torch.nn.functional.normalize(torch.cross(forward, up, dim=1), dim=1)
        down = torch.cross(forward, right, dim=1)
        extrinsics = torch.eye(4, device=origin.device).repeat(len(origin), 1, 1)
        extrinsics[:, :3, :3] = torch.stack([right, down, forward], dim=2)
        extrinsics[:, :3, 3] = origin
        x, y = self.principal
        intrinsics = torch.tensor([self.focal, 0, x, 0, self.focal, y, 0, 0, 1], device=origin.device)
        return torch.cat([extrinsics.flatten(1), intrinsics.expand(len(origin), 9)], dim=1)


def view_yaws(count: int, half_range: float) -> Tensor:
    """(count,) yaw angles in radians, evenly spaced over ±half_range; a single view is frontal.

    >>> view_yaws(3, 0.5).tolist()
    [-0.5, 0.0, 0.5]
    """
    return torch.linspace(-half_range, half_range, count) if count > 1 else torch.zeros(1)
