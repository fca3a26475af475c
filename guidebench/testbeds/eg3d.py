"""The testbed `eg3d-ffhq`: the paper's generator, inverter, losses and judges, for users who have the weights.

GUIDE (arXiv 2405.09879, §4.1) forgets people from EG3D at 512 px: photographs are inverted with GOAE, methods train
with LPIPS and IR-SE50 on a fixed crop, CurricularFace behind MTCNN judges, FID features are pytorch-fid's. ArcFace with
a detector of its own is the second judge. `guidebench.assets.catalogue` lists the files, docs/eg3d-ffhq.md the steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from guidebench import assets, digest
from guidebench.assets.catalogue import named
from guidebench.errors import BadInput
from guidebench.images import to_arrays
from guidebench.networks import arcface, eg3d, goae, inception, irse, lpips, mtcnn
from guidebench.networks.eg3d import TriPlaneGenerator
from guidebench.photos import manifests, real_images
from guidebench.photos.faces import ManifestFaces
from guidebench.testbed import Faces, Inverter, Judges, Players, Testbed

SIZES = {"resolution": 512, "neural_rendering_resolution": 128, "num_ws": 14, "w_dim": 512}  # of the published model
PUBLISHED_PIVOT = (0.0, 0.0, 0.0)  # the released code looks the pivot up under a key that does not exist
DETECTOR_ASSETS = ("mtcnn-pnet", "mtcnn-rnet", "mtcnn-onet")


class PhotoInverter(Inverter):
    """GOAE behind photographs of any size, resized as the released code does."""

    def __init__(self, network: goae.GoaeInverter) -> None:
        super().__init__()
        self.network = network

    @torch.no_grad()
    def invert(self, images: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """(n, 3, h, w) in [-1, 1], cropped as EG3D's training faces -> absolute codes (n, 14, 512).

        rng: the encoder as in training, with stochastic depth and dropout from this stream; None: evaluation mode.
        """
        prepared = torch.cat([goae.prepare(photo) for photo in to_arrays(images)])
        return self.network.invert(prepared.to(images.device), rng=rng)


class EG3DTestbed(Testbed):
    """Players and judges of the paper, from the files in the assets folder."""

    name = "eg3d-ffhq"
    summary = "the paper's: EG3D at 512 px, with weights of your own"
    caption = (
        "Testbed eg3d-ffhq: the paper's generator, inverter and first judge; the people, the random draws and the real "
        "images of ΔFID_real are not the authors', who published none of them."
    )
    photo_sets = ("ffhq", "celebahq")
    heavy = True
    eg3d_crops = True
    batch = 4  # a 512 px image passes through maps of 128 MiB each in float32

    @classmethod
    def switches(cls, conventions: str) -> str:
        """See `guidebench.testbed.Testbed.switches`."""
        return {
            "corrected": (
                "cameras look at the pivot that the weights were trained with; encoder in eval mode; MTCNN's softmax "
                "over classes, thresholds 0.6 0.7 0.8, whole boxes; evaluation noise constant and shared before and "
                "after"
            ),
            "published": (
                "cameras look at the origin; encoder in train mode, its draws seeded; MTCNN's softmax over the image "
                "width, thresholds 0.15 0.25 0.35, boxes cut at the border; evaluation noise fresh before and after"
            ),
        }[conventions]

    def missing(self, sources: Collection[str] = ()) -> Sequence[str]:
        """The required files that are absent or wrong, and photo sets that were never scanned."""
        unknown = [manifests.absence(source) for source in manifests.SOURCES if source in sources]
        return [*assets.missing(self.name), *filter(None, unknown)]

    def players(self) -> Players:
        """EG3D, GOAE, IR-SE50 on the fixed crop, LPIPS."""
        generator = self._generator()
        parts: dict[str, nn.Module] = {
            "generator": generator,
            "inverter": PhotoInverter(goae.load(assets.find("goae"), generator.w_avg)),
            "recognizer": irse.FixedCropRecognizer(irse.load_ir_se50(assets.find("ir-se50"))),
            "perceptual": lpips.load(assets.find("vgg16"), assets.find("lpips-lin")),
        }
        for part in parts.values():
            part.eval().requires_grad_(False).to(self.device)
        digests = {
            "generator": assets.digest("eg3d-ffhq"),
            "inverter": assets.digest("goae"),
            "recognizer": assets.digest("ir-se50"),
            "perceptual": digest.of_data([assets.digest("vgg16"), assets.digest("lpips-lin")]),
        }
        if assets.path_or_none("eg3d-w-avg"):
            digests["w_avg"] = assets.digest("eg3d-w-avg")
        return Players(**parts, digests=digests)  # type: ignore[arg-type]

    def judges(self) -> Judges:
        """CurricularFace behind MTCNN, ArcFace behind SCRFD, Inception features, real photographs if there are any."""
        pack = assets.arcface_pack()
        features = inception.feature_source(assets.find("fid-inception"), device=self.device)
        digests = {
            "curricularface": assets.digest("curricularface"),
            "mtcnn": digest.of_data([assets.digest(asset) for asset in DETECTOR_ASSETS]),
            "arcface": assets.digest(pack),
            "features": assets.digest("fid-inception"),
        }
        real, description = None, ""
        if path := assets.path_or_none("ffhq-real"):
            real, description = real_images.read(path, dim=features.dim)
            digests["real"] = assets.digest("ffhq-real")
        return Judges(
            recognizers={"curricularface": self._curricularface(), "arcface": self._arcface(pack)},
            features=features,
            real=real,
            digests=digests,
            real_description=description,
            descriptions={
                "curricularface": f"IR-101 on faces that MTCNN finds ({self.conventions})",
                "arcface": (
                    f"insightface pack {named(pack).file} with its own detector on padded images, "
                    f"onnxruntime on {self.device}"
                ),
            },
        )

    def faces(self) -> Faces:
        """FFHQ and CelebA-HQ as `guidebench data scan` found them."""
        return ManifestFaces(SIZES["resolution"])

    def _generator(self) -> TriPlaneGenerator:
        path = assets.find("eg3d-ffhq")
        generator = eg3d.load(path)
        wrong = [
            f"{name} {getattr(generator, name)}, not {size}"
            for name, size in SIZES.items()
            if getattr(generator, name) != size
        ]
        if wrong:
            raise BadInput(f"{path} is another EG3D model ({'; '.join(wrong)}); get {named('eg3d-ffhq').file}")
        if average := assets.path_or_none("eg3d-w-avg"):
            generator.w_avg.copy_(goae.average_code(average, generator.w_dim))
        if self.conventions == "published":
            assert generator.rig is not None
            generator.rig = dataclasses.replace(generator.rig, pivot=PUBLISHED_PIVOT)
        return generator

    def _curricularface(self) -> irse.AlignedRecognizer:
        folder, *_ = (assets.find(asset).parent for asset in DETECTOR_ASSETS)
        detector = mtcnn.load(folder, convention=self.conventions)  # type: ignore[arg-type]  # Protocol checks it
        network = irse.load_ir_101(assets.find("curricularface"))
        return irse.AlignedRecognizer(detector, network).eval().to(self.device)

    def _arcface(self, pack: str) -> irse.AlignedRecognizer:
        detector, recogniser = (assets.find(pack) / file for file in named(pack).members)
        return arcface.load(detector, recogniser, device=self.device).eval()
