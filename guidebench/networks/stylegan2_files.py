"""StyleGAN2 generators in the three formats in which they are published; nothing in a file is executed.

NVIDIA's snapshots of StyleGAN2-ADA (``ffhq.pkl``), files of rosinality's stylegan2-pytorch
(``stylegan2-ffhq-config-f.pt``; pSp and e4e use its names, too), and TensorFlow pickles of StyleGAN2 itself
(``stylegan2-ffhq-config-f.pkl``). The format is recognised by content. All hold the same tensors under other names; a
rosinality file needs no arithmetic, TensorFlow stores axes in another order, the kernels of upsampling convolutions
reversed, and style biases less one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from guidebench.errors import BadInput
from guidebench.networks import checkpoints
from guidebench.networks.pickles import StandIn
from guidebench.networks.stylegan2 import StyleGAN2Generator, constructor_arguments, fir_kernel, loaded, stored_network
from guidebench.text import brief

_CONSTANT = "input.input"  # rosinality's name of the learned constant
_SIDES = tuple(2**level for level in range(3, 11))  # of a generator's picture
_NETWORK = "dnnlib.tflib.network.Network"
_TF_DEFAULTS = {
    "resolution": 1024,
    "num_channels": 3,
    "label_size": 0,
    "latent_size": 512,
    "dlatent_size": 512,
    "mapping_layers": 8,
    "mapping_fmaps": 512,
    "mapping_lrmul": 0.01,
    "fmap_base": 16384,
    "fmap_max": 512,
}
# Arguments that describe another network where they have another value.
_TF_ONLY = {
    "architecture": "skip",
    "resample_kernel": [1, 3, 3, 1],
    "nonlinearity": "lrelu",
    "mapping_nonlinearity": "lrelu",
    "fused_modconv": True,
    "use_noise": True,
    "normalize_latents": True,
    "fmap_decay": 1.0,
    "fmap_min": 1,
}


def load(path: str | Path, *, digest: str | None = None) -> StyleGAN2Generator:
    """The averaged generator of a file in any of the three formats, frozen and in eval mode.

    digest: the SHA-256 that the file must have. Raises `guidebench.errors.BadInput`, naming the file, if it holds
    anything else.
    """
    content = checkpoints.read(path, digest=digest)
    if isinstance(content, tuple):
        return from_tensorflow(content, path)
    if isinstance(content, dict) and "g_ema" in content:
        return from_rosinality(content["g_ema"], content.get("latent_avg"), path)
    stored = stored_network(content, path, entry="G_ema", class_name="Generator")
    arguments, tensors = constructor_arguments(stored), checkpoints.tensors(stored)
    return loaded(path, lambda: StyleGAN2Generator(**arguments), tensors)


# rosinality's stylegan2-pytorch ----------------------------------------------------------------------------------


def from_rosinality(named: Any, average: Any, path: str | Path) -> StyleGAN2Generator:
    """The generator whose tensors a file holds under rosinality's names, and the average code beside them.

    average: (w_dim,) or rows of it. Raises `BadInput`, naming ``path``, if a tensor is missing, unknown or of another
    shape, or if there is no average: the originals then draw one, which would differ from file to file.
    """
    if not isinstance(named, dict) or not all(isinstance(value, Tensor) for value in named.values()):
        raise BadInput(f"{path} holds no tensors by name under 'g_ema'; give a file of rosinality's stylegan2-pytorch")
    if not isinstance(average, Tensor) or average.ndim == 0 or average.shape[-1] == 0:
        raise BadInput(
            f"{path} has no average code under latent_avg; give a conversion that has one, such as that of pSp and e4e"
        )
    tensors = from_rosinality_names(named, path)
    tensors["mapping.w_avg"] = average.to(torch.float32).reshape(-1, average.shape[-1])[0]
    arguments = _arguments_of(named, tensors, path)
    return loaded(path, lambda: StyleGAN2Generator(**arguments), tensors)


def from_rosinality_names(named: Mapping[str, Tensor], path: str | Path) -> dict[str, Tensor]:
    """The same tensors under NVIDIA's names, without the average code. Raises `BadInput` on names that are neither."""
    found: dict[str, Tensor] = {}
    low_pass = fir_kernel()
    for key, value in named.items():
        if key.endswith(".kernel"):
            if value.shape != low_pass.shape or not torch.allclose(value.to(torch.float32), 4 * low_pass, atol=1e-6):
                raise BadInput(
                    f"{path} resamples with another filter ({brief(key)}) than [1, 3, 3, 1]; no other is known"
                )
            continue
        ours = _nvidia_name(key)
        if ours is None:
            raise BadInput(
                f"{path} has a tensor {brief(key)}, which is not part of rosinality's StyleGAN2 generator; give a file "
                "of stylegan2-pytorch"
            )
        found[ours] = value.reshape(_shape(ours, value))
    for layer in [key.removesuffix("bias") for key in found if key.endswith((".conv0.bias", ".conv1.bias"))]:
        found[f"{layer}resample_filter"] = low_pass
    for block in {key.split(".")[1] for key in found if key.startswith("synthesis.b")}:
        found[f"synthesis.{block}.resample_filter"] = low_pass
    return found


def _nvidia_name(key: str) -> str | None:
    """NVIDIA's name of a tensor of rosinality's, None if there is none."""
    if key == _CONSTANT:
        return "synthesis.b4.const"
    if match := re.fullmatch(r"style\.([1-9]\d?)\.(weight|bias)", key):
        return f"mapping.fc{int(match[1]) - 1}.{match[2]}"
    if match := re.fullmatch(r"noises\.noise_(\d{1,2})", key):
        index = int(match[1])
        side, layer = 2 ** ((index + 5) // 2), "conv1" if index % 2 == 0 else "conv0"
        return f"synthesis.b{side}.{layer}.noise_const"
    match = re.fullmatch(r"(conv1|to_rgb1|(?:convs|to_rgbs)\.(\d{1,2}))\.(.+)", key)
    if match is None:
        return None
    place, number, rest = match[1], int(match[2] or 0), match[3]
    if place in ("conv1", "to_rgb1"):
        block = f"b4.{'conv1' if place == 'conv1' else 'torgb'}"
    elif place.startswith("convs"):
        block = f"b{8 << number // 2}.conv{number % 2}"
    else:
        block = f"b{8 << number}.torgb"
    parts = {"conv.weight": "weight", "conv.modulation.weight": "affine.weight", "conv.modulation.bias": "affine.bias"}
    parts |= {"bias": "bias"} if "torgb" in block else {"noise.weight": "noise_strength", "activate.bias": "bias"}
    return f"synthesis.{block}.{parts[rest]}" if rest in parts else None


def _shape(ours: str, value: Tensor) -> tuple[int, ...]:
    """A tensor's shape without the leading axes of one that rosinality gives it."""
    if ours.endswith("noise_strength") and value.numel() == 1:
        return ()
    if ours.endswith("noise_const") and value.shape[:2] == (1, 1):
        return tuple(value.shape[2:])
    if ours.endswith("torgb.bias") and value.ndim == 4:
        return (value.numel(),)
    leads = ours.endswith((".conv0.weight", ".conv1.weight", ".torgb.weight", ".const"))
    return tuple(value.shape[1:]) if leads and value.shape[:1] == (1,) else tuple(value.shape)


def _arguments_of(named: Mapping[str, Tensor], tensors: dict[str, Tensor], path: str | Path) -> dict[str, Any]:
    """The constructor arguments that shapes tell: widths are min(channel_base / side, channel_max)."""
    layers = sum(re.fullmatch(r"mapping\.fc\d+\.weight", key) is not None for key in tensors)
    first, constant = tensors.get("mapping.fc0.weight"), tensors.get("synthesis.b4.const")
    sides = [4] + [side for side in _SIDES if f"synthesis.b{side}.conv1.weight" in tensors]
    last = tensors.get(f"synthesis.b{sides[-1]}.conv1.weight")
    if not layers or first is None or first.ndim != 2 or constant is None or constant.ndim != 3 or last is None:
        raise BadInput(
            f"{path} lacks {'style.1.weight' if first is None else _CONSTANT if constant is None else 'convolutions'} "
            "of a generator of rosinality's; give its g_ema"
        )
    return {
        "z_dim": first.shape[1],
        "c_dim": 0,
        "w_dim": first.shape[0],
        "img_resolution": sides[-1],
        "mapping_kwargs": {"num_layers": layers},
        "synthesis_kwargs": {"channel_base": len(last) * sides[-1], "channel_max": len(constant)},
    }


# TensorFlow ------------------------------------------------------------------------------------------------------


def from_tensorflow(content: tuple[Any, ...], path: str | Path) -> StyleGAN2Generator:
    """The third network of a pickle (G, D, Gs) of StyleGAN2: the averaged generator.

    Raises `BadInput`, naming ``path``, if it holds other networks, or one of another architecture.
    """
    networks = [item for item in content if isinstance(item, StandIn) and item.name == _NETWORK]
    if len(content) != 3 or len(networks) != 3:
        raise BadInput(f"{path} does not hold the three networks (G, D, Gs) of a StyleGAN2 pickle; give another file")
    averaged = networks[2]
    parts = averaged.state.get("components")
    if not isinstance(parts, dict) or not {"mapping", "synthesis"} <= parts.keys():
        raise BadInput(f"{path}: its third network has no parts mapping and synthesis; give a pickle of StyleGAN2")
    given = {**_TF_DEFAULTS, **_static_arguments(averaged, path)}
    arrays = {"": _variables(averaged, path)}
    arrays |= {part: _variables(parts[part], path) for part in ("mapping", "synthesis")}
    tensors = _from_tf_names(arrays, given["resolution"], path)
    arguments = {
        "z_dim": given["latent_size"],
        "c_dim": 0,
        "w_dim": given["dlatent_size"],
        "img_resolution": given["resolution"],
        "img_channels": given["num_channels"],
        "mapping_kwargs": {
            "num_layers": given["mapping_layers"],
            "layer_features": given["mapping_fmaps"],
            "lr_multiplier": given["mapping_lrmul"],
        },
        "synthesis_kwargs": {"channel_base": 2 * given["fmap_base"], "channel_max": given["fmap_max"]},
    }
    return loaded(path, lambda: StyleGAN2Generator(**arguments), tensors)


def _static_arguments(network: StandIn, path: str | Path) -> dict[str, Any]:
    """What the network was built with. Raises `BadInput` if that is another network than ours."""
    stored = network.state.get("static_kwargs")
    if not isinstance(stored, dict):
        raise BadInput(f"{path}: its third network has no static_kwargs; give a pickle of StyleGAN2")
    for name, only in _TF_ONLY.items():
        value = stored.get(name, only)
        if (list(value) if isinstance(value, tuple) else value) != only:
            raise BadInput(f"{path}: its generator has {name} = {brief(value)}; only {only} is supported")
    numbers = {name: stored.get(name, default) for name, default in _TF_DEFAULTS.items()}
    for name, value in numbers.items():
        least = 0 if name == "label_size" else 1e-6
        if type(value) not in (int, type(_TF_DEFAULTS[name])) or not least <= value < 2**20:
            raise BadInput(f"{path}: its generator has {name} = {brief(value)}, which is not a size; fetch it again")
    if numbers["label_size"]:
        raise BadInput(
            f"{path}: its generator has {brief(numbers['label_size'])} classes; only one without is supported"
        )
    if numbers["resolution"] not in (4, *_SIDES):
        raise BadInput(f"{path}: its generator draws {brief(numbers['resolution'])} px; only 4 to 1024 are supported")
    return numbers


def _variables(network: Any, path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a network, or of a part of one, by name."""
    stored = network.state.get("variables") if isinstance(network, StandIn) else None
    if not isinstance(stored, list):
        raise BadInput(f"{path}: a part of its third network has no variables; fetch the file again")
    found: dict[str, np.ndarray] = {}
    for item in stored:
        match item:
            case (str(name), np.ndarray() | float() | int() as value):
                found[name] = np.asarray(value, np.float32)
            case _:
                raise BadInput(f"{path}: a variable of its third network is not an array with a name; fetch it again")
    return found


def _from_tf_names(arrays: Mapping[str, dict[str, np.ndarray]], resolution: int, path: str | Path) -> dict[str, Tensor]:
    """All tensors of the generator under NVIDIA's names."""
    mapping, synthesis = arrays["mapping"], arrays["synthesis"]
    found: dict[str, Tensor] = {}

    def put(ours: str, source: Mapping[str, np.ndarray], name: str, *axes: int, reverse: bool = False) -> None:
        """axes: in which order; none: as they are."""
        if name not in source:
            raise BadInput(f"{path}: its averaged generator lacks the variable {name}; give a pickle of StyleGAN2")
        value = source[name]
        if axes and value.ndim != len(axes):
            raise BadInput(f"{path}: variable {name} has shape {value.shape}; give a pickle of StyleGAN2")
        value = value[::-1, ::-1] if reverse else value
        found[ours] = torch.from_numpy(np.array(value.transpose(axes) if axes else value, order="C"))

    def layer(ours: str, name: str, *, up: bool = False, noise: str | None) -> None:
        put(f"{ours}.weight", synthesis, f"{name}/weight", 3, 2, 0, 1, reverse=up)
        put(f"{ours}.affine.weight", synthesis, f"{name}/mod_weight", 1, 0)
        put(f"{ours}.affine.bias", synthesis, f"{name}/mod_bias")
        found[f"{ours}.affine.bias"] = found[f"{ours}.affine.bias"] + 1
        put(f"{ours}.bias", synthesis, f"{name}/bias")
        if noise is not None:
            put(f"{ours}.noise_strength", synthesis, f"{name}/noise_strength")
            put(f"{ours}.noise_const", synthesis, noise, 0, 1, 2, 3)
            found[f"{ours}.noise_const"] = found[f"{ours}.noise_const"][0, 0]
            found[f"{ours}.resample_filter"] = fir_kernel()

    put("mapping.w_avg", arrays[""], "dlatent_avg")
    for index in range(sum(name.endswith("/weight") for name in mapping)):
        put(f"mapping.fc{index}.weight", mapping, f"Dense{index}/weight", 1, 0)
        put(f"mapping.fc{index}.bias", mapping, f"Dense{index}/bias")
    put("synthesis.b4.const", synthesis, "4x4/Const/const", 0, 1, 2, 3)
    found["synthesis.b4.const"] = found["synthesis.b4.const"][0]
    for level in range(2, resolution.bit_length()):
        side = 2**level
        block, name = f"synthesis.b{side}", f"{side}x{side}"
        found[f"{block}.resample_filter"] = fir_kernel()
        if side == 4:
            layer(f"{block}.conv1", f"{name}/Conv", noise="noise0")
        else:
            layer(f"{block}.conv0", f"{name}/Conv0_up", up=True, noise=f"noise{2 * level - 5}")
            layer(f"{block}.conv1", f"{name}/Conv1", noise=f"noise{2 * level - 4}")
        layer(f"{block}.torgb", f"{name}/ToRGB", noise=None)
    return found
