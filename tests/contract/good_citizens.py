"""Two methods that change no weight of the generator: an adapter beside its blocks, and a wrapper around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from guidebench import losses
from guidebench.noise import Noise
from guidebench.testbed import Generator
from guidebench.unlearner import Context, ForgetRequest, Unlearner


class Residual(nn.Module):
    """Adds a linear map of a block's output to it; the map starts at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, channels))

    def forward(self, block: nn.Module, inputs: object, output: Tensor) -> Tensor:
        return output + torch.einsum("nc...,dc->nd...", output, self.weight)


def adapted(generator: Generator) -> nn.ModuleDict:
    """Hangs a residual behind every block of the backbone and returns them."""
    adapters = nn.ModuleDict({name: Residual(channels) for name, (_, channels) in generator.blocks().items()})
    for name, (block, _) in generator.blocks().items():
        block.register_forward_hook(adapters[name])
    generator.add_module("adapters", adapters)
    return adapters


@dataclass(frozen=True)
class Adapter(Unlearner):
    """Trains residuals and leaves the generator's own weights alone."""

    name = "adapter"

    steps: int = 20
    lr: float = 1e-2

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        latent = request.forget[0].latent[None]
        target = context.source.w_avg.expand_as(latent)
        adapters = adapted(generator)
        optimizer = torch.optim.Adam(adapters.parameters(), lr=self.lr)
        for step in range(1, self.steps + 1):
            camera = context.cameras.sample(1, context.noise("train/camera", step))
            with torch.no_grad():
                wanted = context.source.render(target, camera, noise=Noise.constant())
            image = generator.render(latent, camera, noise=Noise.constant())
            loss = losses.perceptual(context.perceptual, image, wanted).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            context.progress(step, loss=loss.item())
        return generator

    def save(self, generator: Generator, source: Generator, folder: Path) -> None:
        save_file(generator.get_submodule("adapters").state_dict(), folder / "adapters.safetensors")

    def load(self, generator: Generator, folder: Path) -> Generator:
        adapted(generator).load_state_dict(load_file(folder / "adapters.safetensors"))
        return generator


class Shifted(Generator):
    """Another generator, whose codes near a forgotten one are moved towards the average."""

    forgotten: Tensor

    def __init__(self, inner: Generator, forgotten: Tensor, radius: float) -> None:
        super().__init__()
        self.inner = inner
        self.z_dim, self.num_ws, self.w_dim = inner.z_dim, inner.num_ws, inner.w_dim
        self.resolution, self.rig, self.radius = inner.resolution, inner.rig, radius
        self.register_buffer("w_avg", inner.w_avg.clone())
        self.register_buffer("forgotten", forgotten.clone())

    def _moved(self, ws: Tensor) -> Tensor:
        near = torch.exp(-(ws - self.forgotten).square().sum(dim=(1, 2), keepdim=True) / self.radius**2)
        return ws + near * (self.w_avg - self.forgotten)

    def map(self, z: Tensor, *, condition: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        return self.inner.map(z, condition=condition, psi=psi, cutoff=cutoff)

    def synthesize(self, ws: Tensor, *, noise: Noise) -> Tensor:
        return self.inner.synthesize(self._moved(ws), noise=noise)

    def decode(self, features: Tensor, ws: Tensor, cameras: Tensor | None = None, *, noise: Noise) -> Tensor:
        return self.inner.decode(features, self._moved(ws), cameras, noise=noise)

    def parts(self) -> Mapping[str, nn.Module]:
        return self.inner.parts()


@dataclass(frozen=True)
class Wrapper(Unlearner):
    """Trains nothing: returns a wrapper around the generator."""

    name = "wrapper"

    radius: float = 15.0

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        return Shifted(generator, request.forget[0].latent, self.radius)

    def save(self, generator: Generator, source: Generator, folder: Path) -> None:
        assert isinstance(generator, Shifted)
        save_file({"forgotten": generator.forgotten}, folder / "forgotten.safetensors")

    def load(self, generator: Generator, folder: Path) -> Generator:
        return Shifted(generator, load_file(folder / "forgotten.safetensors")["forgotten"], self.radius)
