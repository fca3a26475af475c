"""The testbed `mini`: a small face generator, its players and judges, trained on rendered faces and shipped."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from guidebench.evidence import DifferentPeople
from guidebench.testbed import FeatureSource, Judges, Players, Recognizer, Testbed
from guidebench.testbeds.mini import fid
from guidebench.testbeds.mini.encoder import Encoder
from guidebench.testbeds.mini.faces import MiniFaces
from guidebench.testbeds.mini.features import FID_DIM, PerceptualNetwork
from guidebench.testbeds.mini.generator import MiniGenerator
from guidebench.testbeds.mini.recognizers import (
    ArcFaceJudge,
    CurricularFaceJudge,
    CurricularFaceNetwork,
    TrainingRecognizer,
)
from guidebench.testbeds.mini.weights_io import SHIPPED, WeightsFolder
from guidebench.testbeds.mini.weights_version import WEIGHTS_VERSION

ARCFACE_FILE = "arcface.onnx"


class MiniTestbed(Testbed):
    """Everything ships in the package; nothing is downloaded."""

    name = "mini"
    summary = "embedded: small networks trained on rendered 3-D faces"
    weights_version = WEIGHTS_VERSION
    first_run = "--protocol celebahq-multi --method guide"
    caption = (
        "Testbed mini: faces are procedurally rendered and all networks are small; "
        "figures are not comparable with published ones."
    )

    def __init__(
        self,
        *,
        device: torch.device | str = "cpu",
        cache: Path | None = None,
        conventions: str = "corrected",
        weights: Path = SHIPPED,
    ) -> None:
        """weights: folder of the trained networks, if you trained your own."""
        super().__init__(device=device, cache=cache, conventions=conventions)
        self.weights = WeightsFolder(weights)
        if self.device.type == "cpu":
            self.batch = 12  # all views of a code; larger batches gain little and need more memory

    def players(self) -> Players:
        """Generator, encoder, training recogniser and perceptual distance."""
        generator = self.weights.load_into(MiniGenerator(), "generator")
        parts: dict[str, nn.Module] = {
            "generator": generator,
            "inverter": self.weights.load_into(Encoder(generator.num_ws, generator.w_dim), "encoder"),
            "recognizer": self.weights.load_into(TrainingRecognizer(), "recognizer"),
            "perceptual": self.weights.load_into(PerceptualNetwork(), "perceptual"),
        }
        files = {
            "generator": "generator",
            "inverter": "encoder",
            "recognizer": "recognizer",
            "perceptual": "perceptual",
        }
        digests = {part: self.weights.sha256(f"{file}.safetensors") for part, file in files.items()}
        for part in parts.values():
            part.to(self.device)
        return Players(**parts, digests=digests)  # type: ignore[arg-type]

    def judges(self) -> Judges:
        """CurricularFace, then ArcFace through insightface; FID features and statistics of rendered photographs."""
        curricular = self.weights.load_into(CurricularFaceNetwork(), "curricularface")
        recognizers: dict[str, Recognizer] = {
            "curricularface": CurricularFaceJudge(curricular).to(self.device).eval(),
            "arcface": ArcFaceJudge(self.weights.checked(ARCFACE_FILE), device=self.device).eval(),
        }
        extractor = fid.Extractor(self.weights).to(self.device).eval()
        real = self.weights.real_statistics()
        known_strangers = self.weights.manifest["different_people"]
        return Judges(
            recognizers=recognizers,
            features=FeatureSource(fid.NAME, extractor, FID_DIM, fid.DESCRIPTION),
            real=real,
            digests={
                "curricularface": self.weights.sha256("curricularface.safetensors"),
                "arcface": self.weights.sha256(ARCFACE_FILE),
                "features": self.weights.sha256("fid.safetensors"),
                "real": self.weights.sha256("reals.safetensors"),
            },
            real_description=f"{real.count} rendered photographs of unseen people, from the protocols' cameras",
            different_people={judge: _different_people(known) for judge, known in known_strangers.items()},
        )

    def shipped(self) -> str:
        """The networks, with the digests of their manifest."""
        files = [self.weights.checked(name) for name in self.weights.manifest["files"]]
        return f"version {WEIGHTS_VERSION} of mini, {len(files)} files that have the digests of their manifest"

    def faces(self) -> MiniFaces:
        """Photographs by the renderer."""
        return MiniFaces(self.cache)


def _different_people(known: dict[str, Any]) -> DifferentPeople:
    """What the manifest says of one judge."""
    low, high = known["threshold_interval"]
    return DifferentPeople(**{**known, "threshold_interval": (low, high)})
