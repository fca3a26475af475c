"""The testbed `eg3d-afhq`: EG3D's cats, on which GUIDE's supplement shows its method (Figure 3).

No recogniser of cats is published, so that nobody can say whether two pictures show one cat. What stands in the place
of identity is a similarity of features, and is called that. Methods train with the losses for faces, as the released
code would. docs/eg3d-afhq.md lists what that means.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from guidebench import assets
from guidebench.errors import BadInput
from guidebench.evidence import Seen
from guidebench.networks import inception
from guidebench.testbed import Faces, FeatureSource, Judges, Person, Recognizer
from guidebench.testbeds.eg3d import EG3DTestbed

SIMILARITY = "inception-similarity"  # the judge's name in tables


class FeatureSimilarity(Recognizer):
    """Unit vectors of image features: their cosine shows how alike two images are, not who is in them."""

    def __init__(self, features: FeatureSource) -> None:
        super().__init__()
        self.features = features

    @torch.no_grad()
    def embed(self, images: Tensor) -> Seen[Tensor]:
        """Every image counts as a face: nothing is looked for."""
        rows = functional.normalize(self.features.rows(images).to(torch.float32), dim=1)
        return Seen(rows, torch.ones(len(images), dtype=torch.bool, device=rows.device))


class NoPhotoSets(Faces):
    """There is no rule that picks cats; photographs come from `--photos`, or none are needed (random)."""

    def sources(self) -> Mapping[str, int]:
        """None."""
        return {}

    def people(self, source: str, indices: Sequence[int], *, photos: int) -> list[Person]:
        """Raises BadInput."""
        raise BadInput(self._refusal(source))

    def manifest(self, source: str) -> str:
        """Raises BadInput."""
        raise BadInput(self._refusal(source))

    def _refusal(self, source: str) -> str:
        return (
            f"testbed {EG3DCatsTestbed.name} has no photo set '{source}': use a protocol with source random, or give "
            "photographs of cats with --photos DIR"
        )


class EG3DCatsTestbed(EG3DTestbed):
    """EG3D for cats, GOAE for cats, the losses for faces, and a similarity of features in the place of a recogniser."""

    name = "eg3d-afhq"
    summary = "cats: EG3D at 512 px, weights of your own; nobody recognises cats"
    caption = (
        "Testbed eg3d-afhq: no recogniser of cats exists. Columns called ID are cosines of Inception features, which "
        "show how alike pictures are in content, pose and colour, not whether they show one cat. Methods train with a "
        "recogniser of human faces."
    )
    photo_sets = ()
    eg3d_crops = False
    real_asset = "afhq-real"
    generator_asset = "eg3d-afhq"
    encoder_asset = "goae-afhq"
    average_asset = None

    @classmethod
    def switches(cls, conventions: str) -> str:
        """See `guidebench.testbed.Testbed.switches`."""
        return {
            "corrected": (
                "cameras look at the pivot that the weights were trained with; encoder in eval mode; evaluation noise "
                "constant and shared before and after"
            ),
            "published": (
                "cameras look at the origin; encoder in train mode, its draws seeded; evaluation noise fresh before "
                "and after"
            ),
        }[conventions]

    def missing(self, sources: Collection[str] = ()) -> Sequence[str]:
        """The required files that are absent or wrong."""
        return assets.missing(self.name)

    def judges(self) -> Judges:
        """A similarity of Inception features, the same features for FID, real photographs if there are any."""
        features = inception.feature_source(assets.find("fid-inception"), device=self.device)
        weights = assets.digest("fid-inception")
        real, description, of_real = self.real(features.dim)
        return Judges(
            recognizers={SIMILARITY: FeatureSimilarity(features).eval()},
            features=features,
            real=real,
            digests={SIMILARITY: weights, "features": weights, **of_real},
            real_description=description,
            descriptions={SIMILARITY: "cosine of the features of FID; not a recogniser: it does not know cats apart"},
        )

    def faces(self) -> Faces:
        """No photo set: see `NoPhotoSets`."""
        return NoPhotoSets()
