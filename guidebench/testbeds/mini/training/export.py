"""Writes the trained networks as the files that ship: safetensors, one ONNX file, statistics and the manifest."""

import json
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from guidebench import files
from guidebench.metrics.frechet import fit
from guidebench.testbed import Recognizer
from guidebench.testbeds.mini import fid
from guidebench.testbeds.mini.encoder import Encoder
from guidebench.testbeds.mini.features import FeatureNetwork, PerceptualNetwork
from guidebench.testbeds.mini.generator import LATENT_NORM, GeneratorConfig, MiniGenerator
from guidebench.testbeds.mini.recognizers import (
    JUDGE_SIZE,
    ArcFaceJudge,
    ArcFaceNetwork,
    CurricularFaceJudge,
    CurricularFaceNetwork,
    TrainingRecognizer,
)
from guidebench.testbeds.mini.testbed import ARCFACE_FILE
from guidebench.testbeds.mini.training import strangers
from guidebench.testbeds.mini.training.data import load_held_out
from guidebench.testbeds.mini.training.loop import Settings, load_finished, rng_for
from guidebench.testbeds.mini.training.plan import PLAN, Plan
from guidebench.testbeds.mini.weights_io import WeightsFolder, write_manifest, write_module

LIMIT_BYTES = 16 * 2**20  # of all files together


def weights_folder(settings: Settings) -> Path:
    """Where the export goes."""
    return settings.out / "weights"


def trained_networks(settings: Settings) -> dict[str, nn.Module]:
    """All networks by the name of their file, from the checkpoints of their stages."""
    shape = GeneratorConfig()
    finished = [
        ("generator", "generator-images", "average", MiniGenerator()),
        ("encoder", "encoder", "network", Encoder(shape.num_ws, shape.w_dim)),
        ("recognizer", "recognizer", "network", TrainingRecognizer()),
        ("perceptual", "perceptual", "network", PerceptualNetwork()),
        ("fid", "fid", "network", FeatureNetwork()),
        ("curricularface", "presence-curricularface", "network", CurricularFaceNetwork()),
        ("arcface", "presence-arcface", "network", ArcFaceNetwork()),
    ]
    return {file: load_finished(settings, stage, network, into) for file, stage, network, into in finished}


def export_onnx(network: ArcFaceNetwork, path: Path) -> None:
    """Write the second judge: one input of fixed size and free batch, one output of 128 + 1 numbers."""
    example = torch.zeros(2, 3, JUDGE_SIZE, JUDGE_SIZE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter without extra dependencies is deprecated, not gone
        torch.onnx.export(
            network.cpu().eval(),
            (example,),
            str(path),
            input_names=["images"],
            output_names=["embedding_and_presence"],
            dynamic_axes={"images": {0: "n"}, "embedding_and_presence": {0: "n"}},
            opset_version=17,
            dynamo=False,
        )


@torch.no_grad()
def real_statistics(weights: WeightsFolder, images: Tensor) -> dict[str, Tensor]:
    """Mean, covariance and number of the FID features of photographs (uint8)."""
    network = weights.load_into(FeatureNetwork(), "fid")
    features = torch.cat([fid.extract(network, part) for part in images.split(100)])
    fitted = fit([features.double().numpy()])
    return {
        "mean": torch.from_numpy(fitted.mean),
        "covariance": torch.from_numpy(fitted.covariance),
        "count": torch.tensor(fitted.count),
    }


def strangers_by_judge(settings: Settings, weights: WeightsFolder) -> dict[str, dict[str, Any]]:
    """What each judge says of different people, for the manifest."""
    shape = GeneratorConfig()
    faces = strangers.lineup(
        settings,
        weights.load_into(MiniGenerator(), "generator"),
        weights.load_into(Encoder(shape.num_ws, shape.w_dim), "encoder"),
    )
    judges: dict[str, Recognizer] = {
        "curricularface": CurricularFaceJudge(weights.load_into(CurricularFaceNetwork(), "curricularface")),
        "arcface": ArcFaceJudge(weights.checked(ARCFACE_FILE)),
    }
    rng = rng_for(settings.seed, "strangers/people", 0)
    return {
        name: strangers.different_people(strangers.embedded(judge, faces.images), faces, rng)
        for name, judge in judges.items()
    }


def export_weights(settings: Settings) -> None:
    """Write all files. Raises SystemExit if they exceed LIMIT_BYTES."""
    folder = weights_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    for name, network in trained_networks(settings).items():
        if isinstance(network, ArcFaceNetwork):
            export_onnx(network, folder / ARCFACE_FILE)
        else:
            write_module(network, folder / f"{name}.safetensors")
    write_manifest(folder, {})  # so that the files can be loaded through their check
    weights = WeightsFolder(folder)
    reals = real_statistics(weights, load_held_out(settings, "reals")["images"])
    with files.written_aside(folder / "reals.safetensors", "wb") as stream:
        stream.write(save_safetensors(reals))
    write_manifest(
        folder,
        {
            "generator": {**asdict(GeneratorConfig()), "latent_norm": LATENT_NORM},
            "different_people": strangers_by_judge(settings, weights),
            "training": training_summary(settings, PLAN),
        },
    )
    size = sum(path.stat().st_size for path in folder.iterdir())
    if size > LIMIT_BYTES:
        raise SystemExit(f"the weights take {size / 2**20:.1f} MiB, more than {LIMIT_BYTES / 2**20:.0f}")


def training_summary(settings: Settings, plan: Plan) -> dict[str, dict[str, object]]:
    """Steps, seconds and digests by stage."""
    kept = ("steps", "batch", "seed", "device", "threads", "torch", "cpu_seconds", "wall_seconds", "digests")
    summaries = {}
    for name in plan.stages:
        path = settings.folder(name) / "done.json"
        if path.exists():
            summary = json.loads(path.read_text())
            summaries[name] = {key: summary[key] for key in kept if key in summary}
    return summaries
