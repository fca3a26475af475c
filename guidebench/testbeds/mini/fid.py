"""FID on mini: its feature network, and the same as a torch-fidelity extractor named `guidebench-mini`."""

from typing import Any

import torch
from torch import Tensor, nn

from guidebench.images import from_uint8
from guidebench.testbeds.mini.features import FID_DIM, FeatureNetwork
from guidebench.testbeds.mini.weights_io import WeightsFolder
from guidebench.torchvision_fix import import_torch_fidelity

NAME = "guidebench-mini"
DESCRIPTION = (
    "128 pooled features of mini's own network at 64 x 64 (bilinear), in per cent of the variance among its photographs"
)
_registered: list[type[nn.Module]] = []


def extract(network: FeatureNetwork, images: Tensor) -> Tensor:
    """uint8 (n, 3, h, w) -> (n, 128) float32."""
    return network(from_uint8(images))


class Extractor(nn.Module):
    """What a testbed's features come from; it needs nothing of torch-fidelity, which takes long to import."""

    def __init__(self, weights: WeightsFolder) -> None:
        super().__init__()
        self.network = weights.load_into(FeatureNetwork(), "fid")

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor]:
        """uint8 (n, 3, h, w) -> ((n, 128),) float32."""
        return (extract(self.network, images),)


def register() -> type[nn.Module]:
    """Make `feature_extractor="guidebench-mini"` known to torch-fidelity; returns that extractor's class."""
    if _registered:
        return _registered[0]
    import_torch_fidelity()
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase
    from torch_fidelity.registry import register_feature_extractor

    class MiniFeatureExtractor(FeatureExtractorBase):
        """See the module; torch-fidelity passes its own options on, of which none applies."""

        def __init__(
            self, name: str = NAME, features_list: Any = (str(FID_DIM),), weights: WeightsFolder | None = None, **_: Any
        ) -> None:
            super().__init__(name, features_list)
            self.extractor = Extractor(weights or WeightsFolder())

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return (str(FID_DIM),)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return str(FID_DIM)

        @staticmethod
        def can_be_compiled() -> bool:
            return True

        @staticmethod
        def get_dummy_input_for_compile() -> Tensor:
            return torch.zeros(1, 3, 64, 64, dtype=torch.uint8)

        def forward(self, images: Tensor) -> tuple[Tensor]:
            """uint8 (n, 3, h, w) -> ((n, 128),) float32."""
            features: tuple[Tensor] = self.extractor(images)
            return features

    register_feature_extractor(NAME, MiniFeatureExtractor)
    _registered.append(MiniFeatureExtractor)
    return MiniFeatureExtractor
