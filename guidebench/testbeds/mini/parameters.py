"""The numbers that a rendered face is a function of: how a latent code hides them, and what each of them means.

All are standard normal, so that a random face is a random normal vector.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

IDENTITY_PARAMETERS = 24
NUISANCE_PARAMETERS = 11  # expression, light, background, clothes
VISIBLE_PARAMETERS = IDENTITY_PARAMETERS + NUISANCE_PARAMETERS
LATENT_DIM = 64

Rgb = tuple[float, float, float]


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
        hair=_rgb(*scaled(_palette(u[6], HAIR_COLOURS), gloss)),
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


def scaled(colour: Rgb, factor: float) -> Rgb:
    """A colour made darker or brighter, not clamped."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def blend(colour: Rgb, other: Rgb, share: float) -> Rgb:
    """The colour at ``share`` in [0, 1] of the way to the other."""
    return _mix(share, colour[0], other[0]), _mix(share, colour[1], other[1]), _mix(share, colour[2], other[2])


def _palette(share: float, stops: Sequence[Rgb]) -> Rgb:
    """Piecewise linear path through `stops` at `share` in [0, 1]."""
    position = min(max(share * (len(stops) - 1), 0.0), len(stops) - 1 - 1e-4)
    first = int(position)
    return blend(stops[first], stops[first + 1], position - first)
