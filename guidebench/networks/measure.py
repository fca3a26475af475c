"""Times EG3D at the size of ffhqrebalanced512-128: renders, or steps of GUIDE. Weights are random; it needs no file.

python -m guidebench.networks.measure render --rays 128
python -m guidebench.networks.measure step --steps 2 --device cuda

Prints a Markdown table with one row. Its columns are the seconds of every repetition (the first is cold), the seconds
of processor time for each, and the peak memory of the process (CPU) or of the device's allocator (CUDA). Start a new
process for every measurement.
"""

from __future__ import annotations

import argparse
import copy
import resource
import sys
import time
from itertools import pairwise
from typing import Any, cast

import torch

from guidebench import logs
from guidebench.environment import device_in_words
from guidebench.networks.eg3d import TriPlaneGenerator
from guidebench.noise import Noise
from guidebench.testbed import Inverter
from guidebench.text import markdown_table

HEADS = ("what", "device", "threads", "seconds", "CPU seconds", "peak memory")

# Public settings of the model, from the documentation and defaults of EG3D's training script.
INIT_KWARGS: dict[str, Any] = {
    "z_dim": 512,
    "c_dim": 25,
    "w_dim": 512,
    "img_resolution": 512,
    "img_channels": 3,
    "mapping_kwargs": {"num_layers": 2},
    "channel_base": 32768,
    "channel_max": 512,
    "sr_num_fp16_res": 4,
}
RENDERING_KWARGS: dict[str, Any] = {
    "superresolution_module": "training.superresolution.SuperresolutionHybrid8XDC",
    "depth_resolution": 48,
    "depth_resolution_importance": 48,
    "ray_start": 2.25,
    "ray_end": 3.3,
    "box_warp": 1,
    "avg_camera_radius": 2.7,
    "avg_camera_pivot": [0, 0, 0.2],
}


def main(arguments: list[str] | None = None) -> None:
    """Measures what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m guidebench.networks.measure", description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["render", "step"])
    parser.add_argument("--rays", type=int, default=128, help="rays per side (the neural rendering resolution)")
    parser.add_argument("--steps", type=int, default=2, help="renders or steps of GUIDE, one after the other")
    parser.add_argument("--codes", type=int, default=5, help="step: latent codes in a batch, 1 to 5")
    parser.add_argument("--noise", choices=["random", "constant"], default="random", help="step: GUIDE's noise field")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(arguments)
    logs.show_on_stderr()
    torch.set_num_threads(given.threads)
    device = torch.device(given.device)
    generator = real_size_generator(given.rays).to(device)
    if given.what == "render":
        times = time_renders(generator, given.steps)
        name = f"render, {given.rays} x {given.rays} rays"
    else:
        times = time_steps(generator, given.steps, given.codes, given.noise)
        name = f"GUIDE step, {given.codes} codes, {given.rays} x {given.rays} rays, {given.noise} noise"
    spans = [(after[0] - before[0], after[1] - before[1]) for before, after in pairwise(times)]
    wall, worked = (" ".join(f"{span[clock]:.2f}" for span in spans) for clock in (0, 1))
    memory = f"{peak_memory(device):.1f} GiB"
    print(markdown_table(HEADS, [[name, device_in_words(str(device)), str(given.threads), wall, worked, memory]]))


def real_size_generator(rays: int) -> TriPlaneGenerator:
    """Random weights, frozen, in eval mode."""
    torch.manual_seed(0)
    return TriPlaneGenerator.from_arguments(INIT_KWARGS, RENDERING_KWARGS, rays).eval().requires_grad_(False)


@torch.no_grad()
def time_renders(generator: TriPlaneGenerator, count: int) -> list[tuple[float, float]]:
    """What the clocks say before and after each of ``count`` renders of one code, without gradients."""
    device = generator.w_avg.device
    ws = generator.map(torch.randn(1, generator.z_dim).to(device))
    times = [clocks(device)]
    for _ in range(count):
        generator.render(ws, noise=Noise.constant())
        times.append(clocks(device))
    return times


def time_steps(generator: TriPlaneGenerator, count: int, codes: int, noise: str) -> list[tuple[float, float]]:
    """The same for ``count`` steps of the `guide` baseline with IR-SE50 and LPIPS, both with random weights.

    codes: 5 is the method itself; fewer leave out adjacent and global samples.
    """
    from guidebench.chosen import with_fields
    from guidebench.networks.irse import IRSE50, FixedCropRecognizer
    from guidebench.networks.lpips import LPIPS
    from guidebench.registry import load_method
    from guidebench.seeds import Streams
    from guidebench.unlearner import CameraSampler, Context, ForgetItem, ForgetRequest

    device = generator.w_avg.device
    context = Context(
        source=copy.deepcopy(generator),
        inverter=cast(Inverter, None),  # GUIDE uses none
        recognizer=FixedCropRecognizer(IRSE50()).to(device).eval().requires_grad_(False),
        perceptual=LPIPS().to(device),
        cameras=CameraSampler(generator, 0.26, -0.2),
        streams=Streams(("measure",)),
        device=device,
        progress=lambda step, **scalars: times.append(clocks(device)),
    )
    near, away = (codes - 1) // 2 + (codes - 1) % 2, (codes - 1) // 2
    fields = {
        "steps": count,
        "adjacency_loss": near > 0,
        "adjacency_samples": max(near, 1),
        "global_loss": away > 0,
        "global_samples": max(away, 1),
        "noise": noise,
    }
    method = with_fields(load_method("guide"), fields)
    latent = generator.map(torch.randn(1, generator.z_dim).to(device))[0]
    times = [clocks(device)]
    method.unlearn(generator, ForgetRequest((ForgetItem("nobody", None, latent),)), context)
    return times


def clocks(device: torch.device) -> tuple[float, float]:
    """Seconds on the wall and seconds that this process has worked, once the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter(), time.process_time()


def peak_memory(device: torch.device) -> float:
    """GiB: the largest resident size of this process, or of the device's allocated tensors."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


if __name__ == "__main__":
    main()
