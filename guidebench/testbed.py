"""What a testbed offers: players that methods may use, judges that score them, and faces to work on.

The interfaces are small abstract classes. A testbed is three lazy groups: `Players` (generator, inverter, training
recogniser, perceptual distance), `Judges` (recognisers with their face detectors, FID features, real-image statistics)
and `Faces` (photographs by identity). No judge ever reaches a method.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from guidebench.cameras import CameraRig
from guidebench.evidence import DifferentPeople, FrechetStatistics, Seen
from guidebench.noise import Noise


class Generator(nn.Module, ABC):
    """A face generator with a style space: latent z -> latent code w (one row per style input) -> features -> image.

    Whatever a method returns must offer this and no more, so adapters and wrappers are welcome.
    """

    z_dim: int  # width of z ~ N(0, I)
    num_ws: int  # rows of a latent code
    w_dim: int  # width of a row
    resolution: int  # pixels per side
    w_avg: Tensor  # (w_dim,) the average latent code, equal for all rows
    rig: CameraRig | None  # None: a 2-D generator with one view
    features_are_deterministic: bool = False  # True: `synthesize` never draws noise, features can be reused

    @abstractmethod
    def map(self, z: Tensor, *, condition: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """(n, z_dim) -> latent codes (n, num_ws, w_dim).

        condition: camera labels (n, 25) for the mapping network, None for the frontal pose. psi < 1 moves the first
        ``cutoff`` rows (None: all) towards `w_avg`.
        """

    @abstractmethod
    def synthesize(self, ws: Tensor, *, noise: Noise) -> Tensor:
        """(n, num_ws, w_dim) -> the feature tensor that a camera then looks at; tri-planes for EG3D."""

    @abstractmethod
    def decode(self, features: Tensor, ws: Tensor, cameras: Tensor | None = None, *, noise: Noise) -> Tensor:
        """Features seen from camera labels (n, 25) -> images (n, 3, resolution, resolution), float32, about [-1, 1]."""

    def render(self, ws: Tensor, cameras: Tensor | None = None, *, noise: Noise) -> Tensor:
        """`synthesize` and `decode` in one call."""
        return self.decode(self.synthesize(ws, noise=noise), ws, cameras, noise=noise)

    @abstractmethod
    def parts(self) -> Mapping[str, nn.Module]:
        """Named sub-modules that a method may train: at least "backbone"."""

    def blocks(self) -> Mapping[str, tuple[nn.Module, int]]:
        """Backbone blocks whose output an adapter may change: name -> (module, channels of its output tensor).

        Every module maps to one (n, channels, h, w) or (n, channels) tensor, so a forward hook can rewrite it.
        """
        return {}


class Inverter(nn.Module, ABC):
    """Finds the latent code of a photograph."""

    @abstractmethod
    def invert(self, images: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """(n, 3, h, w) in [-1, 1] -> absolute latent codes (n, num_ws, w_dim). rng: only for `published` train mode."""


class Recognizer(nn.Module, ABC):
    """Turns faces into unit vectors whose cosine shows whether two faces are one person."""

    @abstractmethod
    def embed(self, images: Tensor) -> Seen[Tensor]:
        """(n, 3, h, w) in about [-1, 1] -> n unit rows and whether a face was found, on the images' device.

        Judges see images as PNGs would hold them.
        """

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, d) unit rows, differentiable; only training recognisers need this."""
        raise TypeError(f"{type(self).__name__} is a judge and gives no gradients")


class PerceptualDistance(nn.Module, ABC):
    """A learned distance between images, such as LPIPS."""

    @abstractmethod
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(n, 3, h, w), (n, 3, h, w) -> (n,) distances ≥ 0, differentiable in both."""


@dataclass(frozen=True)
class FeatureSource:
    """FID features: a torch-fidelity extractor, by name, and what a table says about it."""

    name: str  # by which its module registers it with torch-fidelity for those who ask
    extractor: nn.Module  # uint8 (n, 3, h, w) -> tuple of (n, d) float tensors
    dim: int  # d
    description: str  # implementation, resize and layer for the footnote of a table

    @torch.no_grad()
    def rows(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) float in about [-1, 1] -> (n, d) features, on the device, of images as PNGs would hold them."""
        from guidebench.images import to_uint8

        (features,) = self.extractor(to_uint8(images))
        return features.detach()

    def features(self, images: Tensor) -> np.ndarray:
        """`rows` as float64 numpy."""
        return self.rows(images).cpu().to(torch.float64).numpy()


@dataclass(frozen=True)
class Players:
    """What a method may use. Everything is in eval mode, on one device, with frozen parameters."""

    generator: Generator
    inverter: Inverter
    recognizer: Recognizer  # the training recogniser; differentiable through forward()
    perceptual: PerceptualDistance
    digests: Mapping[str, str]  # SHA-256 of the weights of each of the above, by name


@dataclass(frozen=True)
class Judges:
    """What scores a trial. Never seen by a method."""

    recognizers: Mapping[str, Recognizer]  # by name; the first is the one that tables lead with
    features: FeatureSource
    real: FrechetStatistics | None  # statistics of real images; None: ΔFID_real is not measured
    digests: Mapping[str, str]  # SHA-256 of the weights of each judge, by name
    real_description: str = ""  # how many real images, from where, for the footnote of a table
    different_people: Mapping[str, DifferentPeople] = field(default_factory=dict)  # by judge; empty: not known yet
    descriptions: Mapping[str, str] = field(default_factory=dict)  # judge -> what it consists of, for the record


@dataclass(frozen=True)
class Person:
    """One identity and its photographs, the first of which is the one that is forgotten."""

    identity: str
    photos: Tensor  # (k, 3, resolution, resolution) in [-1, 1]
    files: tuple[str, ...] = ()  # where each photograph was read from, for messages; (): it was made


class Faces(ABC):
    """Photographs by identity, from named sources such as "ffhq" or "celebahq"."""

    @abstractmethod
    def sources(self) -> Mapping[str, int]:
        """Source name -> number of people it holds."""

    @abstractmethod
    def people(self, source: str, indices: Sequence[int], *, photos: int) -> list[Person]:
        """The people at these places of a source's fixed order, ``photos`` photographs each.

        Raises `guidebench.errors.BadInput` if the source is unknown or holds fewer people or photographs.
        """

    @abstractmethod
    def manifest(self, source: str) -> str:
        """Digest of what defines this source's people and photographs; rows of different manifests never mix."""


class Testbed(ABC):
    """Generator, judges and faces that belong together. Each group is built when first asked for."""

    __test__ = False  # pytest: not a test class
    name: ClassVar[str]
    summary: ClassVar[str]  # one line for `guidebench list testbeds`
    caption: ClassVar[str]  # what every table made on this testbed must say, or ""
    first_run: ClassVar[str] = "--protocol random --identities 1 --method guide"  # what `guidebench run` is first given
    photo_sets: ClassVar[tuple[str, ...]] = ()  # of the user's, found by `guidebench data scan`, that protocols ask for
    weights_version: ClassVar[int | None] = None  # of the networks that ship; None: none do, digests identify them
    instant: ClassVar[bool] = False  # True: a trial takes less time than a worker process takes to start
    heavy: ClassVar[bool] = False  # True: its networks fill a machine's memory, so one worker unless more are asked for
    eg3d_crops: ClassVar[bool] = False  # True: photographs must be cut as `guidebench align` does
    batch: int = 16  # images that are rendered and judged at once; no draw depends on it

    def __init__(
        self, *, device: torch.device | str = "cpu", cache: Path | None = None, conventions: str = "corrected"
    ) -> None:
        """device: where players and judges live. cache: folder for what is made once (None: the user's cache).

        conventions: how things are measured, see docs/conventions.md; a trial's protocol must ask for the same.
        """
        self.device = torch.device(device)
        self.cache = cache
        self.conventions = conventions

    @classmethod
    def switches(cls, conventions: str) -> str:
        """What a set of conventions comes to on this testbed, in words, for the footnote of a table.

        The default fits a testbed without a camera pivot or a face detector of the paper's.
        """
        return {
            "corrected": "evaluation noise constant and shared before and after, encoder in eval mode",
            "published": (
                "evaluation noise fresh before and after, encoder given a seeded stream (it may have no train mode)"
            ),
        }[conventions]

    def missing(self, sources: Collection[str] = ()) -> Sequence[str]:
        """What must be fetched or built before anything can run: one line each, with what to do. Default: nothing.

        sources: the photo sets that will be asked for.
        """
        return ()

    def shipped(self) -> str:
        """What comes with the testbed and is as it should be, in words, for `guidebench doctor`; "": nothing comes.

        Raises `guidebench.errors.MissingAsset` if a file is absent or damaged.
        """
        return ""

    @abstractmethod
    def players(self) -> Players:
        """Builds the players on the testbed's device (each call may build new ones; the engine calls it once)."""

    @abstractmethod
    def judges(self) -> Judges:
        """Builds the judges on the testbed's device."""

    @abstractmethod
    def faces(self) -> Faces:
        """The photographs, at the generator's resolution."""
