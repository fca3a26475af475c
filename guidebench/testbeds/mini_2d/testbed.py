"""The testbed `mini-2d`: mini's photographs and judges around a small StyleGAN2, which has no cameras."""

from pathlib import Path

import torch

from guidebench.testbed import Players
from guidebench.testbeds.mini.encoder import Encoder
from guidebench.testbeds.mini.features import PerceptualNetwork
from guidebench.testbeds.mini.recognizers import TrainingRecognizer
from guidebench.testbeds.mini.testbed import MiniTestbed
from guidebench.testbeds.mini.weights_io import WeightsFolder
from guidebench.testbeds.mini_2d import WEIGHTS_VERSION
from guidebench.testbeds.mini_2d.generator import Mini2DGenerator

SHIPPED = Path(__file__).parent / "weights"


def weights_in(folder: Path) -> WeightsFolder:
    """A folder of mini-2d's weights."""
    return WeightsFolder(folder, testbed="mini-2d", version=WEIGHTS_VERSION)


class Mini2DTestbed(MiniTestbed):
    """Generator and encoder are its own; training recogniser, perceptual distance, judges and faces are mini's."""

    name = "mini-2d"
    summary = "embedded, 2-D: a small StyleGAN2 among mini's faces and judges"
    weights_version = WEIGHTS_VERSION
    first_run = "--protocol celebahq-multi --method guide --set steps=25 --set lr=32e-3"  # methods have no preset here
    caption = (
        "Testbed mini-2d: faces are procedurally rendered, all networks are small, and the generator has no cameras; "
        "figures are not comparable with published ones, nor with those on mini."
    )

    def __init__(
        self,
        *,
        device: torch.device | str = "cpu",
        cache: Path | None = None,
        conventions: str = "corrected",
        own_weights: Path = SHIPPED,
    ) -> None:
        """own_weights: folder of the trained generator and encoder, if you trained your own."""
        super().__init__(device=device, cache=cache, conventions=conventions)
        self.own_weights = weights_in(own_weights)

    def players(self) -> Players:
        """As on mini, but for generator and encoder."""
        own, shared = self.own_weights, self.weights
        generator = own.load_into(Mini2DGenerator(), "generator").to(self.device)
        encoder = Encoder(generator.num_ws, generator.w_dim)
        return Players(
            generator=generator,
            inverter=own.load_into(encoder, "encoder").to(self.device),
            recognizer=shared.load_into(TrainingRecognizer(), "recognizer").to(self.device),
            perceptual=shared.load_into(PerceptualNetwork(), "perceptual").to(self.device),
            digests={
                "generator": own.sha256("generator.safetensors"),
                "inverter": own.sha256("encoder.safetensors"),
                "recognizer": shared.sha256("recognizer.safetensors"),
                "perceptual": shared.sha256("perceptual.safetensors"),
            },
        )

    def shipped(self) -> str:
        """Its own networks and mini's, with the digests of their manifests."""
        files = [self.own_weights.checked(name) for name in self.own_weights.manifest["files"]]
        own = f"version {WEIGHTS_VERSION} of mini-2d, {len(files)} files that have the digests of their manifest"
        return f"{own}; {super().shipped()}"
