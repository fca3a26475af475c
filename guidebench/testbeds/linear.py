"""The analytic testbed: identity is a direction in latent space, every metric has a closed form, a run takes seconds.

A face is 16 numbers u: 4 of anatomy, alike in all faces; 8 of identity; 4 of nuisance (expression, light). A latent
code is twelve standard normals in disguise, w = w̄ + σ·(identity, nuisance), equal in all rows. The backbone turns the
mean row into u, linearly; the decoder paints Σ_j u_j · pattern_j, where the patterns are orthogonal and ±1, so that a
mean over the pixels reads u_j back. Two further patterns show where the camera is and affect nothing else. Hence

- the inverter is exact, up to the 8 bits of a photograph;
- a recogniser's embedding is (c, B·identity) at unit length, where c comes from the anatomy: for two people a and b the
  cosine is (c² + aᵀBᵀBb) / √((c² + |Ba|²)(c² + |Bb|²));
- the FID features of the original generator are N(λ(anatomy, 0, 0), λ²·diag(0, 1, 1)), those of real images have the
  nuisances shifted by δ, and the Fréchet distance of the two is λ²·4·δ².

σ is chosen such that the paper's d = 30 and α_max = 15 are about one and half the length of a code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from guidebench import digest, seeds
from guidebench.cameras import CameraRig
from guidebench.errors import BadInput, unknown_name
from guidebench.evidence import DifferentPeople, FrechetStatistics, Seen
from guidebench.images import quantise
from guidebench.noise import Noise
from guidebench.testbed import (
    Faces,
    FeatureSource,
    Generator,
    Inverter,
    Judges,
    PerceptualDistance,
    Person,
    Players,
    Recognizer,
    Testbed,
)

RESOLUTION = 16  # pixels per side
ANATOMY, IDENTITY, NUISANCE, VIEW = 4, 8, 4, 2  # numbers of each kind
CODE = IDENTITY + NUISANCE
FACE = ANATOMY + CODE
NUM_WS = 4
CODE_SCALE = 30 / (NUM_WS * CODE) ** 0.5  # σ: codes are about 30 long, over all num_ws × w_dim numbers
PIXEL_SCALE = 0.04  # image contrast of one unit of u; five standard deviations stay within [-1, 1]
ANATOMY_VALUE = 1.5  # u of each anatomy number of every face
ANATOMY_TOLERANCE = 1.5  # how far (Euclidean) the anatomy may be off for a face to be found
IDENTITY_LIMIT = 3 * IDENTITY**0.5  # an identity longer than this is not a face
VIEW_GAIN = 4.0  # u of the view patterns for a camera at right angles
NOISE_GAIN = 0.1  # standard deviation of the backbone noise, which moves nuisances only
FEATURE_SCALE = 3.0  # λ: FID features are λ·u
REAL_SHIFT = 0.5  # δ: mean of the nuisances of photographs
PHOTOS = 8  # of each person
PEOPLE = {"ffhq": 40, "celebahq": 40, "dev": 20}
_WEIGHTS = ("linear", 1)  # seed of all weights and faces


def patterns() -> Tensor:
    """(FACE + VIEW, 3·r·r): orthogonal ±1 images, grey; pattern i and j agree in half of the pixels.

    Walsh functions of the pixel number n: the sign is the parity of the bits that n and the pattern's number share.
    """
    pixels = torch.arange(RESOLUTION**2)
    numbers = torch.arange(1, FACE + VIEW + 1)  # number 0 is constant
    shared = pixels & (numbers[:, None] * 13)  # 13 is odd, so the numbers stay different modulo 256
    odd = torch.zeros_like(shared)
    while bool(shared.any()):
        odd ^= shared & 1
        shared >>= 1
    return (1.0 - 2.0 * odd).repeat(1, 3)


class Reader(nn.Module):
    """Reads the numbers of a face back from an image: the mean over the pixels of image times pattern."""

    patterns: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("patterns", patterns()[:FACE] / (PIXEL_SCALE * 3 * RESOLUTION**2))

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, r, r) -> u (n, FACE), differentiable."""
        return images.flatten(1) @ self.patterns.T


class Backbone(nn.Module):
    """Two linear layers without anything between them: twelve normals -> u."""

    def __init__(self) -> None:
        super().__init__()
        self.coarse = nn.Linear(CODE, CODE)
        self.fine = nn.Linear(CODE, FACE)
        rotation = _rotation(CODE, "backbone")
        with torch.no_grad():
            self.coarse.weight.copy_(rotation)
            self.coarse.bias.zero_()
            self.fine.weight.zero_()
            self.fine.weight[ANATOMY:] = rotation.T
            self.fine.bias.zero_()
            self.fine.bias[:ANATOMY] = ANATOMY_VALUE

    def forward(self, codes: Tensor) -> Tensor:
        """(n, CODE) -> (n, FACE)."""
        return self.fine(self.coarse(codes))


class Decoder(nn.Module):
    """Paints u and the camera's place. The patterns are parameters, so that training them by mistake shows."""

    def __init__(self) -> None:
        super().__init__()
        self.patterns = nn.Parameter(PIXEL_SCALE * patterns(), requires_grad=False)

    def forward(self, u: Tensor) -> Tensor:
        """(n, FACE + VIEW) -> (n, 3, r, r)."""
        return (u @ self.patterns).view(-1, 3, RESOLUTION, RESOLUTION)


class LinearGenerator(Generator):
    """z -> w = w̄ + σz, the same in all rows; u = backbone((mean row of w - w̄)/σ); image = Σ_j u_j · pattern_j."""

    z_dim = w_dim = CODE
    num_ws = NUM_WS
    resolution = RESOLUTION

    def __init__(self) -> None:
        super().__init__()
        self.rig = CameraRig(radius=2.7, pivot=(0.0, 0.0, 0.0), focal=4.2634)
        self.backbone = Backbone()
        self.decoder = Decoder()
        self.register_buffer("w_avg", torch.randn(CODE, generator=seeds.stream(*_WEIGHTS, "w_avg")))

    def map(self, z: Tensor, *, condition: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """(n, z_dim) -> (n, num_ws, w_dim); the camera condition has no influence."""
        offset = (CODE_SCALE * z)[:, None].repeat(1, self.num_ws, 1)
        offset[:, :cutoff] *= psi
        return self.w_avg + offset

    def synthesize(self, ws: Tensor, *, noise: Noise) -> Tensor:
        """(n, num_ws, w_dim) -> u (n, FACE). Random noise moves the nuisances; the stored constant noise is zero."""
        u: Tensor = self.backbone((ws.mean(dim=1) - self.w_avg) / CODE_SCALE)
        if noise.is_constant:
            return u
        moved = NOISE_GAIN * noise.normal((len(ws), NUISANCE), ws.device)
        return torch.cat([u[:, :-NUISANCE], u[:, -NUISANCE:] + moved], dim=1)

    def decode(self, features: Tensor, ws: Tensor, cameras: Tensor | None = None, *, noise: Noise) -> Tensor:
        """Numbers u (n, FACE) and camera labels -> (n, 3, r, r). The camera's x and y move patterns of their own."""
        view = features.new_zeros(len(features), VIEW)
        if cameras is not None:
            assert self.rig is not None
            view = VIEW_GAIN * cameras[:, [3, 7]] / self.rig.radius
        image: Tensor = self.decoder(torch.cat([features, view.to(features)], dim=1))
        return image

    def parts(self) -> Mapping[str, nn.Module]:
        """The trainable backbone and the fixed decoder."""
        return {"backbone": self.backbone, "decoder": self.decoder}

    def blocks(self) -> Mapping[str, tuple[nn.Module, int]]:
        """The two layers of the backbone."""
        return {"coarse": (self.backbone.coarse, CODE), "fine": (self.backbone.fine, FACE)}


class LinearInverter(Inverter):
    """Exact: reads identity and nuisances from the pixels and puts them back into a code."""

    w_avg: Tensor

    def __init__(self, w_avg: Tensor) -> None:
        super().__init__()
        self.reader = Reader()
        self.register_buffer("w_avg", w_avg.clone())

    def invert(self, images: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """(n, 3, r, r) -> (n, num_ws, w_dim); there is no train mode, so ``rng`` changes nothing."""
        read = self.reader(images)[:, ANATOMY:]
        return (self.w_avg + CODE_SCALE * read)[:, None].repeat(1, NUM_WS, 1)


class LinearRecognizer(Recognizer):
    """Embeds u as (c, B·identity) at unit length, c from the anatomy and B a rotated scaling of the recogniser's own.

    A face is found where the anatomy is about right and the identity is not absurdly long.
    """

    scaling: Tensor
    rotation: Tensor
    anatomy_gain: Tensor

    def __init__(self, name: str, spread: float, anatomy_gain: float) -> None:
        """name: seeds the rotation. spread: B's scalings are in 1 ± spread. anatomy_gain: c over the anatomy's mean."""
        super().__init__()
        self.reader = Reader()
        self.register_buffer("scaling", torch.linspace(1 - spread, 1 + spread, IDENTITY))
        self.register_buffer("rotation", _rotation(IDENTITY, name))
        self.register_buffer("anatomy_gain", torch.tensor(anatomy_gain))

    def vectors(self, u: Tensor) -> Tensor:
        """Numbers u (n, FACE) -> unit rows (n, 1 + IDENTITY), differentiable."""
        anatomy, identity = u[:, :ANATOMY], u[:, ANATOMY : ANATOMY + IDENTITY]
        constant = self.anatomy_gain * anatomy.mean(dim=1, keepdim=True)
        return nn.functional.normalize(torch.cat([constant, identity * self.scaling @ self.rotation], dim=1), dim=1)

    def found(self, u: Tensor) -> Tensor:
        """Numbers u (n, FACE) -> (n,) bool: this is a face."""
        wrong = torch.linalg.vector_norm(u[:, :ANATOMY] - ANATOMY_VALUE, dim=1)
        length = torch.linalg.vector_norm(u[:, ANATOMY : ANATOMY + IDENTITY], dim=1)
        return (wrong <= ANATOMY_TOLERANCE) & (length <= IDENTITY_LIMIT)

    def embed(self, images: Tensor) -> Seen[Tensor]:
        """Embeds images as PNGs would hold them."""
        u = self.reader(quantise(images))
        return Seen(self.vectors(u), self.found(u))

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, r, r) -> unit rows (n, 1 + IDENTITY), differentiable."""
        return self.vectors(self.reader(images))

    def different_people(self, pairs: int = 20_000) -> DifferentPeople:
        """Mean, standard deviation and threshold of the cosine of two people, over random pairs."""
        rng = seeds.stream(*_WEIGHTS, "strangers")  # the name of a stream is part of its seed
        identities = torch.randn(2, pairs, IDENTITY, generator=rng)
        u = torch.cat([torch.full((2, pairs, ANATOMY), ANATOMY_VALUE), identities], dim=2)
        first, second = (self.vectors(half.to(self.scaling.device)) for half in u)
        cosines = (first * second).sum(dim=1)
        above = pairs / 1_000  # pairs that exceed the threshold, with a standard error of about their square root
        low, middle, high = (
            float(cosines.quantile(1 - (above + part * above**0.5) / pairs)) for part in (1.96, 0.0, -1.96)
        )
        return DifferentPeople(
            float(cosines.mean()), float(cosines.std()), threshold=middle, threshold_interval=(low, high)
        )


class LinearPerceptual(PerceptualDistance):
    """Mean squared difference of the pixels, in units of the patterns: the mean over the numbers of u of (Δu)²."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(n, 3, r, r), (n, 3, r, r) -> (n,)."""
        return (a - b).square().flatten(1).mean(dim=1) / (PIXEL_SCALE**2 * FACE)


class LinearFeatures(nn.Module):
    """FID features: λ·u of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.reader = Reader()

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """(n, 3, r, r) uint8 -> ((n, FACE),)."""
        return (FEATURE_SCALE * self.reader(images.to(self.reader.patterns) / 127.5 - 1),)


def feature_statistics(nuisance: float, count: int) -> FrechetStatistics:
    """Closed form for faces whose nuisances have this mean: N(λ(anatomy, 0, nuisance), λ²·diag(0, 1, 1))."""
    mean = np.concatenate([np.full(ANATOMY, ANATOMY_VALUE), np.zeros(IDENTITY), np.full(NUISANCE, nuisance)])
    variance = np.concatenate([np.zeros(ANATOMY), np.ones(CODE)])
    return FrechetStatistics(FEATURE_SCALE * mean, FEATURE_SCALE**2 * np.diag(variance), count)


class LinearFaces(Faces):
    """People drawn by name: a person keeps the identity, and each photograph has its own nuisances and view."""

    def sources(self) -> Mapping[str, int]:
        """All sources are alike, but hold different people."""
        return dict(PEOPLE)

    def people(self, source: str, indices: Sequence[int], *, photos: int) -> list[Person]:
        """Up to PHOTOS photographs per person."""
        self._check(source)
        if indices and not 0 <= min(indices) <= max(indices) < PEOPLE[source]:
            raise BadInput(f"source '{source}' of testbed linear holds people 0 to {PEOPLE[source] - 1}, not {indices}")
        if photos > PHOTOS:
            raise BadInput(f"testbed linear has {PHOTOS} photographs of each person, {photos} were asked for")
        return [Person(f"{source}-{index:04d}", self._photos(source, index)[:photos]) for index in indices]

    def manifest(self, source: str) -> str:
        """Digest of everything that the photographs are made of."""
        self._check(source)
        return digest.of_data([*_WEIGHTS, source, PEOPLE[source], PHOTOS, REAL_SHIFT, PIXEL_SCALE, ANATOMY_VALUE])

    def _check(self, source: str) -> None:
        if source not in PEOPLE:
            raise unknown_name("face source", source, PEOPLE, command="guidebench list testbeds")

    def _photos(self, source: str, index: int) -> Tensor:
        rng = seeds.stream(*_WEIGHTS, "person", source, index)
        identity = torch.randn(IDENTITY, generator=rng).expand(PHOTOS, -1)
        nuisance = REAL_SHIFT + torch.randn(PHOTOS, NUISANCE, generator=rng)
        view = 0.2 * torch.randn(PHOTOS, VIEW, generator=rng)
        anatomy = torch.full((PHOTOS, ANATOMY), ANATOMY_VALUE)
        return quantise(Decoder()(torch.cat([anatomy, identity, nuisance, view], dim=1)))


class LinearTestbed(Testbed):
    """Everything above, put together: instant, and meaningless for real faces."""

    name = "linear"
    summary = "analytic: identity is a direction, every metric is known"
    instant = True
    first_run = "--protocol smoke --method guide"
    caption = "Analytic testbed: linear images, no faces; these numbers test software and say nothing about methods."

    def players(self) -> Players:
        """Generator, exact inverter, training recogniser and a squared distance."""
        generator = LinearGenerator()
        modules: dict[str, nn.Module] = {
            "generator": generator,
            "inverter": LinearInverter(generator.w_avg),
            "recognizer": LinearRecognizer("training", spread=0.2, anatomy_gain=0.7),
            "perceptual": LinearPerceptual(),
        }
        digests = {name: digest.of_data(["linear", name, digest.of_module(part)]) for name, part in modules.items()}
        for module in modules.values():
            module.eval().requires_grad_(False).to(self.device)
        return Players(**modules, digests=digests)  # type: ignore[arg-type]

    def judges(self) -> Judges:
        """Two recognisers that weigh identities differently from the training one and from each other."""
        recognizers = {
            "plain": LinearRecognizer("plain", spread=0.0, anatomy_gain=0.7),
            "weighted": LinearRecognizer("weighted", spread=0.4, anatomy_gain=0.5),
        }
        features = LinearFeatures()
        modules: dict[str, nn.Module] = {**recognizers, "features": features}
        digests = {name: digest.of_module(module) for name, module in modules.items()}
        for module in modules.values():
            module.eval().requires_grad_(False).to(self.device)
        return Judges(
            recognizers=recognizers,
            features=FeatureSource("linear", features, FACE, "the 16 numbers of a linear face, times 3"),
            real=feature_statistics(REAL_SHIFT, 10_000),
            digests=digests,
            real_description="closed form",
            different_people={name: recognizer.different_people() for name, recognizer in recognizers.items()},
        )

    def faces(self) -> Faces:
        """Photographs that are drawn as they are asked for."""
        return LinearFaces()


def _rotation(size: int, name: str) -> Tensor:
    """A random orthogonal matrix that belongs to a name."""
    matrix = torch.randn(size, size, generator=seeds.stream(*_WEIGHTS, "rotation", name), dtype=torch.float64)
    return torch.linalg.qr(matrix).Q.to(torch.float32)
