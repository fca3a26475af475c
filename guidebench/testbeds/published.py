"""What the testbeds of published networks share: the paper's losses and judges, from the files in the assets folder.

GUIDE (arXiv 2405.09879, §4.1) trains with LPIPS and IR-SE50 on a fixed crop; CurricularFace behind MTCNN judges, FID
features are pytorch-fid's. ArcFace with a detector of its own is the second judge. A testbed adds its generator and its
inverter. `guidebench.assets.catalogue` lists the files.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

from guidebench import assets, digest
from guidebench.assets.catalogue import named
from guidebench.evidence import FrechetStatistics
from guidebench.networks import arcface, inception, irse, lpips, mtcnn
from guidebench.photos import manifests, real_images
from guidebench.testbed import Generator, Inverter, Judges, Players, Testbed

DETECTOR_ASSETS = ("mtcnn-pnet", "mtcnn-rnet", "mtcnn-onet")
DETECTORS = {  # by conventions
    "corrected": "MTCNN's softmax over classes, thresholds 0.6 0.7 0.8, whole boxes",
    "published": "MTCNN's softmax over the image width, thresholds 0.15 0.25 0.35, boxes cut at the border",
}


class PublishedTestbed(Testbed):
    """The judges, and the networks that methods train with."""

    photo_sets: ClassVar[tuple[str, ...]] = ("ffhq", "celebahq")
    heavy = True
    real_asset: ClassVar[str]  # statistics of real photographs as the generator draws them

    def missing(self, sources: Collection[str] = ()) -> Sequence[str]:
        """The required files that are absent or wrong, and photo sets that were never scanned."""
        unknown = [manifests.absence(source) for source in manifests.SOURCES if source in sources]
        return [*assets.missing(self.name), *filter(None, unknown)]

    def with_losses(self, generator: Generator, inverter: Inverter, digests: Mapping[str, str]) -> Players:
        """Players with this generator and inverter: IR-SE50 on the fixed crop, LPIPS on VGG16; all frozen.

        digests: of the generator and of the inverter.
        """
        players = Players(
            generator=generator,
            inverter=inverter,
            recognizer=irse.FixedCropRecognizer(irse.load_ir_se50(assets.find("ir-se50"))),
            perceptual=lpips.load(assets.find("vgg16"), assets.find("lpips-lin")),
            digests={
                **digests,
                "recognizer": assets.digest("ir-se50"),
                "perceptual": digest.of_data([assets.digest("vgg16"), assets.digest("lpips-lin")]),
            },
        )
        for part in (generator, inverter, players.recognizer, players.perceptual):
            part.eval().requires_grad_(False).to(self.device)
        return players

    def real(self, dim: int) -> tuple[FrechetStatistics | None, str, Mapping[str, str]]:
        """Statistics of ``dim`` features of real photographs, their description and digest; None: there are none."""
        path = assets.path_or_none(self.real_asset)
        if path is None:
            return None, "", {}
        return *real_images.read(path, dim=dim), {"real": assets.digest(self.real_asset)}

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
        real, description, of_real = self.real(features.dim)
        return Judges(
            recognizers={"curricularface": self._curricularface(), "arcface": self._arcface(pack)},
            features=features,
            real=real,
            digests={**digests, **of_real},
            real_description=description,
            descriptions={
                "curricularface": f"IR-101 on faces that MTCNN finds ({self.conventions})",
                "arcface": (
                    f"insightface pack {named(pack).file} with its own detector on padded images, "
                    f"onnxruntime on {self.device}"
                ),
            },
        )

    def _curricularface(self) -> irse.AlignedRecognizer:
        folder, *_ = (assets.find(asset).parent for asset in DETECTOR_ASSETS)
        detector = mtcnn.load(folder, convention=self.conventions)  # type: ignore[arg-type]  # Protocol checks it
        network = irse.load_ir_101(assets.find("curricularface"))
        return irse.AlignedRecognizer(detector, network).eval().to(self.device)

    def _arcface(self, pack: str) -> irse.AlignedRecognizer:
        detector, recogniser = (assets.find(pack) / file for file in named(pack).members)
        return arcface.load(detector, recogniser, device=self.device).eval()
