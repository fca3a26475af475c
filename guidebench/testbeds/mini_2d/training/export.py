"""Writes the trained networks as the files that ship: safetensors and the manifest."""

from dataclasses import asdict

from guidebench.testbeds.mini.encoder import Encoder
from guidebench.testbeds.mini.generator import LATENT_NORM
from guidebench.testbeds.mini.training.export import training_summary, weights_folder
from guidebench.testbeds.mini.training.loop import Settings, load_finished
from guidebench.testbeds.mini.weights_io import SHIPPED as OF_MINI
from guidebench.testbeds.mini.weights_io import WeightsFolder, write_manifest, write_module
from guidebench.testbeds.mini_2d import WEIGHTS_VERSION
from guidebench.testbeds.mini_2d.generator import Mini2DGenerator, Shape
from guidebench.testbeds.mini_2d.training.plan import PLAN

LIMIT_BYTES = 6 * 2**20  # of all files together
LEARNED_FROM = ("generator", "encoder", "recognizer", "perceptual")  # of mini


def export_weights(settings: Settings) -> None:
    """Write all files. Raises SystemExit if they exceed LIMIT_BYTES."""
    folder = weights_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    shape, of_mini = Shape(), WeightsFolder(OF_MINI)
    generator = load_finished(settings, "generator", "average", Mini2DGenerator(shape))
    write_module(generator, folder / "generator.safetensors")
    encoder = load_finished(settings, "encoder", "network", Encoder(shape.num_ws, shape.w_dim))
    write_module(encoder, folder / "encoder.safetensors")
    entries = {
        "generator": {**asdict(shape), "latent_norm": LATENT_NORM},
        "learned_from": {name: of_mini.sha256(f"{name}.safetensors") for name in LEARNED_FROM},
        "training": training_summary(settings, PLAN),
    }
    write_manifest(folder, entries, version=WEIGHTS_VERSION)
    size = sum(path.stat().st_size for path in folder.iterdir())
    if size > LIMIT_BYTES:
        raise SystemExit(f"the weights take {size / 2**20:.1f} MiB, more than {LIMIT_BYTES / 2**20:.0f}")
