"""Procedural weights for large networks, so that checkpoints need not be shipped.

Every tensor depends only on (salt, name, shape) - never on the order in which
modules are built, and never on a global random state.

Base draw
    seed = crc32(utf8(salt + "/" + name))                 # 32-bit unsigned
    n    = numpy.random.Generator(numpy.random.PCG64(seed)).standard_normal(shape)
computed in float64, scaled by the rule of the chosen family, and only then
rounded to float32.  `name` is the key in the network's own state dict, exactly
as listed in the *_keys.json files next to this module.

Families (first matching line wins; "n" is the base draw)

  "cnn"   ordinary conv / linear / batch-norm networks
    *num_batches_tracked       integer zero (int64)
    *running_var               1 + 0.2*|n|
    *running_mean              0.05*n
    ndim >= 2                  n * gain / sqrt(prod(shape[1:])); with centre=True the
                               mean of n over all axes but the first is removed
                               beforehand (used where the table says so)
    ndim <= 1, *.weight        1 + 0.1*n      (norm scales), except PReLU slopes
                               when the name is listed in `prelu`: 0.25 + 0.05*n
    ndim <= 1, anything else   0.05*n         (biases)

  "lpips_lin"   the non-negative 1x1 weights on top of the VGG features
    all                        0.5*|n|

  "swin"  transformer encoder
    *logit_scale               log(10) + 0.1*n
    ndim >= 2                  n * gain / sqrt(prod(shape[1:]))
    ndim <= 1, norm scales     1 + 0.1*n      (name ends in norm<digits>.weight or norm.weight)
    ndim <= 1, anything else   0.05*n
    (structural buffers - relative_coords_table, relative_position_index,
     attn_mask - are not weights: build them as the architecture defines them)

  "stylegan"   equalised-learning-rate generators
    *noise_strength            0.1*n
    *noise_const, *const       n
    *w_avg                     0.3*n
    *mapping.fc<i>.weight      100*n          (learning-rate multiplier 0.01)
    *mapping.fc<i>.bias        10*n
    *affine.bias               1 + 0.1*n
    decoder.net.2.weight       n, except row 0 (density): 8*(n[0] - mean(n[0]))
    decoder.net.2.bias         0.1*n, entry 0 replaced by 2
    *.weight                   n
    *.bias                     0.1*n
    (resample_filter is structural: outer([1,3,3,1],[1,3,3,1])/64)

  "rosinality"   StyleGAN2 under the names of rosinality's stylegan2-pytorch
    *.kernel                   structural: outer([1,3,3,1],[1,3,3,1])/64 * 4
    noises.*, input.input      n
    latent_avg                 0.3*n
    style.<i>.weight           100*n
    style.<i>.bias             10*n
    *.noise.weight             0.1*n
    *.modulation.bias          1 + 0.1*n
    *.weight                   n
    *.bias                     0.1*n
"""

import re
import zlib

import numpy as np

# First three float64 draws of a known name; guards against a changed generator.
SELF_CHECK = (2.557776244057919, -1.543079159692124, 0.559133565077362)


def self_check():
    got = base_draw("probe", "a.weight", (3,))
    if not np.allclose(got, SELF_CHECK, rtol=0, atol=1e-15):
        raise RuntimeError(f"the random generator does not reproduce the recipe: {got!r}")


def base_draw(salt, name, shape):
    seed = zlib.crc32((salt + "/" + name).encode("utf-8")) & 0xFFFFFFFF
    return np.random.Generator(np.random.PCG64(seed)).standard_normal(tuple(shape))


def recipe_tensor(name, shape, salt, family="cnn", gain=1.0, prelu=(), centre=False):
    shape = tuple(int(s) for s in shape)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, dtype=np.int64)
    n = np.asarray(base_draw(salt, name, shape), dtype=np.float64)
    fan_in = float(np.prod(shape[1:])) if len(shape) >= 2 else 1.0
    if family == "cnn":
        if name.endswith("running_var"):
            v = 1.0 + 0.2 * np.abs(n)
        elif name.endswith("running_mean"):
            v = 0.05 * n
        elif len(shape) >= 2:
            if centre:
                n = n - n.reshape(shape[0], -1).mean(axis=1).reshape((-1,) + (1,) * (len(shape) - 1))
            v = n * (gain / np.sqrt(fan_in))
        elif name in prelu:
            v = 0.25 + 0.05 * n
        elif name.endswith(".weight"):
            v = 1.0 + 0.1 * n
        else:
            v = 0.05 * n
    elif family == "lpips_lin":
        v = 0.5 * np.abs(n)
    elif family == "swin":
        if name.endswith("logit_scale"):
            v = np.log(10.0) + 0.1 * n
        elif len(shape) >= 2:
            v = n * (gain / np.sqrt(fan_in))
        elif re.search(r"norm\d*\.weight$", name):
            v = 1.0 + 0.1 * n
        else:
            v = 0.05 * n
    elif family == "stylegan":
        if name.endswith("noise_strength"):
            v = 0.1 * n
        elif name.endswith("noise_const") or name.endswith(".const"):
            v = n
        elif name.endswith("w_avg"):
            v = 0.3 * n
        elif re.search(r"mapping\.fc\d+\.weight$", name):
            v = 100.0 * n
        elif re.search(r"mapping\.fc\d+\.bias$", name):
            v = 10.0 * n
        elif name.endswith("affine.bias"):
            v = 1.0 + 0.1 * n
        elif name == "decoder.net.2.weight":
            v = n.copy()
            v[0] = 8.0 * (v[0] - v[0].mean())
        elif name == "decoder.net.2.bias":
            v = 0.1 * n
            v[0] = 2.0
        elif name.endswith(".weight"):
            v = n
        else:
            v = 0.1 * n
    elif family == "rosinality":
        if name.endswith(".kernel"):
            v = np.outer([1.0, 3.0, 3.0, 1.0], [1.0, 3.0, 3.0, 1.0]) / 64 * 4
        elif name.startswith("noises.") or name == "input.input":
            v = n
        elif name == "latent_avg":
            v = 0.3 * n
        elif re.match(r"style\.\d+\.weight$", name):
            v = 100.0 * n
        elif re.match(r"style\.\d+\.bias$", name):
            v = 10.0 * n
        elif name.endswith(".modulation.bias"):
            v = 1.0 + 0.1 * n
        elif name.endswith(".weight") and not name.endswith(".noise.weight"):
            v = n
        else:
            v = 0.1 * n
    else:
        raise ValueError(f"unknown family: {family!r}")
    return np.asarray(v, dtype=np.float64).astype(np.float32).reshape(shape)


def fill(network, salt, family="cnn", structural=("resample_filter",), **options):
    """Puts recipe tensors into all parameters and buffers of a torch module, but those with a structural name.

    Weights are functions of their keys, so a wrong name gives wrong numbers. Returns the network, frozen.
    """
    import torch

    state = network.state_dict()
    with torch.no_grad():
        for key, value in state.items():
            if not key.endswith(tuple(structural)):
                value.copy_(torch.from_numpy(recipe_tensor(key, value.shape, salt, family, **options)))
    return network.eval().requires_grad_(False)


def recipe_image(name, shape, salt, smooth=16):
    """A smooth random image in [-1, 1], float32, shape [N, 3, H, W].

    A coarse normal grid of H//smooth+1 x W//smooth+1 points is interpolated
    bilinearly (grid points at pixel positions 0, smooth, 2*smooth, ...), then
    squashed by tanh and given 5% pixel noise before clipping.
    """
    n_img, ch, h, w = shape
    gh, gw = h // smooth + 1, w // smooth + 1
    g = base_draw(salt, name + "#grid", (n_img, ch, gh, gw))
    y = np.arange(h) / smooth
    x = np.arange(w) / smooth
    y0 = np.minimum(y.astype(int), gh - 2)
    x0 = np.minimum(x.astype(int), gw - 2)
    fy = (y - y0)[:, None]
    fx = (x - x0)[None, :]
    a = g[:, :, y0][:, :, :, x0]
    b = g[:, :, y0][:, :, :, x0 + 1]
    c = g[:, :, y0 + 1][:, :, :, x0]
    d = g[:, :, y0 + 1][:, :, :, x0 + 1]
    v = (a * (1 - fx) + b * fx) * (1 - fy) + (c * (1 - fx) + d * fx) * fy
    v = np.tanh(v) + 0.05 * base_draw(salt, name + "#noise", shape)
    return np.clip(v, -1.0, 1.0).astype(np.float32)


def digest(arr):
    """Short summary of a tensor: [mean, std, |max|, sum of first 8 values] in float64."""
    a = np.asarray(arr, dtype=np.float64).reshape(-1)
    return [float(a.mean()), float(a.std()), float(np.abs(a).max()), float(a[:8].sum())]
