"""EG3D: recorded planes, rays and images with drawn weights, its options, its noise, its gradients and its files."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_noise import TorchNoise

from guidebench.cameras import CameraRig
from guidebench.errors import BadInput
from guidebench.networks import eg3d
from guidebench.networks.eg3d import TriPlaneGenerator
from guidebench.noise import Noise

# As the README of the reference arrays recommends, or tighter; an importance sample that crosses a bin's border moves a
# colour by 7e-5 here, and everything else agrees to 3e-5.
CODES, PLANES, COLOURS, IMAGE, DEPTH = 1e-5, 5e-5, 1e-4, 1.5e-4, 1e-4

RENDERING = {
    "clamp_mode": "softplus",
    "depth_resolution": 6,
    "depth_resolution_importance": 6,
    "ray_start": 2.25,
    "ray_end": 3.3,
    "box_warp": 1,
    "superresolution_module": "training.superresolution.SuperresolutionHybrid2X",
    "avg_camera_radius": 2.7,
    "avg_camera_pivot": [0, 0, 0.2],
}
SIZES = {
    "z_dim": 16,
    "c_dim": 25,
    "w_dim": 16,
    "img_resolution": 128,
    "img_channels": 3,
    "mapping_kwargs": {"num_layers": 2},
    "channel_base": 512,
    "channel_max": 4,
}


def built(config: dict[str, Any], resolution: int) -> TriPlaneGenerator:
    arguments = {key: value for key, value in config.items() if key != "rendering_kwargs"}
    return TriPlaneGenerator.from_arguments(arguments, config["rendering_kwargs"], resolution)


@pytest.fixture(scope="module")
def small(recipe: ModuleType) -> TriPlaneGenerator:
    """Random weights, 16 x 16 rays of 12 samples. Tests take copies before they change it."""
    return recipe.fill(built({**SIZES, "rendering_kwargs": RENDERING}, 16), "small", "stylegan")


def changed(generator: TriPlaneGenerator, **sizes: Any) -> TriPlaneGenerator:
    """The same weights under other arguments; those of ``rendering`` are added to the stored ones."""
    config = {**SIZES, **sizes, "rendering_kwargs": {**RENDERING, **sizes.pop("rendering", {})}}
    config.pop("rendering", None)
    other = built(config, generator.neural_rendering_resolution)
    other.load_state_dict(generator.state_dict())
    return other.requires_grad_(False)


@pytest.fixture(scope="module")
def codes(small: TriPlaneGenerator) -> Tensor:
    return small.map(torch.randn(3, 16, generator=torch.Generator().manual_seed(1)))


@pytest.fixture(scope="module")
def planes(small: TriPlaneGenerator, codes: Tensor) -> Tensor:
    return small.synthesize(codes, noise=Noise.constant())


@pytest.fixture(scope="module")
def golden(root: Path) -> dict[str, np.ndarray]:
    with np.load(root / "tests" / "goldens" / "networks" / "eg3d.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def tiny(golden: dict[str, np.ndarray], recipe: ModuleType) -> TriPlaneGenerator:
    generator = built(json.loads(str(golden["tiny_config"])), int(golden["tiny_rendering_resolution"]))
    return recipe.fill(generator, str(golden["tiny_salt"]), "stylegan")


def seeded(seed: int) -> Noise:
    return TorchNoise(seed)


def array(golden: dict[str, np.ndarray], name: str) -> Tensor:
    return torch.from_numpy(golden[name])


def assert_close(found: Tensor, expected: np.ndarray, tolerance: float) -> None:
    np.testing.assert_allclose(found.numpy(), expected, atol=tolerance, rtol=0)


class TestRecorded:
    """The small model of the reference arrays: 128 px, two codes, 32 x 32 rays."""

    def test_codes(self, tiny, golden):
        z, condition = array(golden, "tiny_z"), array(golden, "tiny_c_cond")
        ws = tiny.map(z, condition=condition)
        assert ws.shape == (2, 14, 512) and (ws == ws[:, :1]).all()
        assert_close(ws[:, 0], golden["tiny_w"], CODES)
        assert_close(tiny.map(z)[:, 0], golden["tiny_w"], CODES)  # the recorded condition is frontal
        assert_close(tiny.map(z, psi=0.7, cutoff=7)[:, 6:8], golden["tiny_w_psi07_cut7"], CODES)

    def test_everything_behind_a_code_with_constant_noise(self, tiny, golden):
        ws = tiny.map(array(golden, "tiny_z"))
        planes = tiny.synthesize(ws, noise=Noise.constant())
        assert_close(planes[:, :, 3::8, 5::8][:, ::4, ::4, ::4], golden["tiny_planes"], PLANES)
        assert_close(planes.double().std(dim=(2, 3), correction=0), golden["tiny_planes_std"], PLANES)
        seen = tiny.decode_all(planes, ws, array(golden, "tiny_c_cam"), noise=Noise.constant())
        assert_close(seen.image[:, :, ::4, ::4], golden["tiny_image"], IMAGE)
        assert_close(seen.image_raw, golden["tiny_raw"], COLOURS)
        assert_close(seen.features[:, ::3, ::4, ::4], golden["tiny_features"], COLOURS)
        assert_close(seen.depth, golden["tiny_depth"], DEPTH)
        assert_close(seen.opacity.flatten(2).transpose(1, 2), golden["tiny_opacity"], COLOURS)
        colours, densities = tiny.query(planes, array(golden, "tiny_points"))
        assert_close(colours, golden["tiny_points_rgb"], COLOURS)
        assert_close(densities[..., None], golden["tiny_points_sigma"], COLOURS)

    def test_ray_samples_and_backbone_noise_drawn_from_a_stream(self, tiny, golden):
        ws, cameras = tiny.map(array(golden, "tiny_z")), array(golden, "tiny_c_cam")
        planes = tiny.synthesize(ws, noise=Noise.constant())
        seen = tiny.decode_all(planes, ws, cameras, noise=seeded(int(golden["tiny_seed"])))
        assert_close(seen.image[:1, :, ::4, ::4], golden["tiny_seeded_image"], IMAGE)
        assert_close(seen.image_raw[:, :, ::2, ::2], golden["tiny_seeded_raw"], COLOURS)
        image = tiny.render(ws, cameras, noise=seeded(int(golden["tiny_seed"])))
        assert_close(image[:, :, 1::4, 2::4][:, :, ::2, ::2], golden["tiny_seednoise_image"], IMAGE)

    def test_planes_without_noise(self, tiny, golden):
        silent = tiny.synthesize(tiny.map(array(golden, "tiny_z")), noise=None)
        assert_close(silent.double().std(dim=(2, 3), correction=0), golden["tiny_silent_planes_std"], PLANES)

    def test_the_real_size(self, golden, recipe):
        """512 px from 64 x 64 rays; its arguments, keys and shapes are those of ffhqrebalanced512-128."""
        generator = built(json.loads(str(golden["full_config"])), 64)
        shapes = {key: list(value.shape) for key, value in generator.state_dict().items()}
        assert shapes == json.loads(str(golden["full_keys"]))
        recipe.fill(generator, str(golden["full_salt"]), "stylegan")
        ws = generator.map(array(golden, "full_z"), condition=array(golden, "full_c_cond"))
        assert_close(ws[:, 0], golden["full_w"], CODES)
        planes = generator.synthesize(ws, noise=Noise.constant())
        assert_close(planes[:, ::3, 3::8, 5::8][:, ::4, ::4, ::4], golden["full_planes"], PLANES)
        seen = generator.decode_all(planes, ws, array(golden, "full_c_cam"), noise=Noise.constant())
        assert_close(seen.image[:, :, 1::8, 2::8][:, :, ::2, ::2], golden["full_image64"], IMAGE)
        assert_close(seen.image_raw[:, :, ::2, ::2], golden["full_raw64"], COLOURS)
        assert_close(seen.depth[:, :, ::2, ::2], golden["full_depth64"], DEPTH)
        assert sum(weight.numel() for weight in generator.parameters()) == 30_662_136
        trained = generator.parts()["backbone"].parameters()
        assert sum(weight.numel() for weight in trained) == 28_207_533  # what GUIDE trains


def test_the_rig_is_that_of_the_rendering_settings(small):
    rig = small.rig
    assert rig == CameraRig(2.7, (0.0, 0.0, 0.2), eg3d.focal_length(18.837))
    assert rig.focal == pytest.approx(4.263391, abs=1e-6)
    assert torch.equal(small.frontal, rig.look_at(0.0, 0.0))


def test_without_a_camera_the_face_is_seen_from_the_front(small, codes, planes):
    frontal = small.decode(planes, codes, small.rig.look_at(0.0, 0.0).expand(3, -1), noise=Noise.constant())
    assert torch.equal(small.decode(planes, codes, noise=Noise.constant()), frontal)
    side = small.decode(planes, codes, small.rig.look_at(0.3, 0.0).expand(3, -1), noise=Noise.constant())
    assert not torch.allclose(side, frontal, atol=1e-2)


@pytest.mark.parametrize("camera", [0, 1])
def test_a_batch_equals_its_members(small, codes, planes, camera):
    """Up to 1e-4: the last bits of the planes shift importance samples. Depth is not compared: a batch clamps it."""
    label = small.rig.look_at(0.2 * camera, -0.1)
    batch = small.render(codes, label.expand(3, -1), noise=Noise.constant())
    single = torch.cat([small.render(code[None], label, noise=Noise.constant()) for code in codes])
    assert torch.allclose(batch, single, atol=1e-4)


def test_a_codes_own_key_makes_its_image_independent_of_its_neighbours(small, codes):
    def image(chosen: list[int]) -> Tensor:
        noise = Noise.random(*chosen)
        return small.render(codes[chosen], noise=noise)

    assert torch.allclose(image([0, 1, 2])[2:], image([2]), atol=1e-4)


def test_generators_that_share_a_stream_see_the_same(small, codes):
    other = copy.deepcopy(small)
    first, second, third = (
        generator.render(codes, noise=seeded(seed)) for generator, seed in ((small, 3), (other, 3), (small, 4))
    )
    assert torch.equal(first, second)
    assert not torch.allclose(first, third, atol=1e-2)


def test_draws_come_in_the_published_order(small, codes):
    """Noise maps of the layers, then jitter for every sample, then importance positions for every ray."""
    drawn: list[tuple[str, tuple[int, ...]]] = []

    class Recorder(Noise):
        def normal(self, shape, device="cpu"):
            drawn.append(("normal", tuple(shape)))
            return super().normal(shape, device)

        def normals(self, shapes, device="cpu"):
            return [self.normal(shape, device) for shape in shapes]

        def uniform(self, shape, device="cpu"):
            drawn.append(("uniform", tuple(shape)))
            return super().uniform(shape, device)

    small.render(codes, noise=Recorder([0]))
    sizes = (4, 8, 8, 16, 16, 32, 32, 64, 64, 128, 128, 256, 256)
    maps = [("normal", (3, 1, size, size)) for size in sizes]
    assert drawn == [*maps, ("uniform", (3, 256, 6, 1)), ("uniform", (3 * 256, 6))]


def test_each_layer_takes_its_row_of_a_code_and_super_resolution_the_last(small):
    """Two convolutions a resolution, one at 4 px; the way out shares its row with the next resolution's first."""
    seen: dict[str, float] = {}
    generator = copy.deepcopy(small)
    for name, module in generator.named_modules():
        if name.endswith(".affine"):
            module.register_forward_hook(
                lambda _module, codes, _out, name=name: seen.update({name: float(codes[0][0, 0])})
            )
    generator.render(torch.arange(14.0)[None, :, None].expand(1, 14, 16), noise=Noise.constant())
    expected = {f"superresolution.block{i}.{layer}.affine": 13 for i in (0, 1) for layer in ("conv0", "conv1", "torgb")}
    for place in range(7):
        rows = {"conv0": 2 * place - 1, "conv1": 2 * place, "torgb": 2 * place + 1}
        expected |= {f"backbone.synthesis.b{4 << place}.{layer}.affine": row for layer, row in rows.items() if row >= 0}
    assert seen == expected


def test_an_empty_ray_is_as_far_as_the_farthest_sample_of_the_whole_call(small, codes, planes):
    """Without density anywhere every depth is that one number, also in codes whose own samples are nearer."""
    empty = copy.deepcopy(small)
    empty.decoder.net[2].weight[0] = 0.0
    empty.decoder.net[2].bias[0] = -1e4
    seen = empty.decode_all(planes, codes, noise=seeded(1))
    jitter = torch.rand(3, 16 * 16, 6, 1, generator=torch.Generator().manual_seed(1))
    assert not seen.opacity.any()
    assert torch.allclose(seen.depth, 2.25 + (5 + jitter[:, :, -1].max()) * (3.3 - 2.25) / 5, atol=1e-6)


def test_codes_of_double_precision_are_taken(small, codes):
    single, double = (small.render(ws, noise=Noise.constant()) for ws in (codes, codes.double()))
    assert double.dtype == torch.float32
    assert torch.allclose(single, double, atol=1e-4)
    assert small.map(torch.randn(1, 16, dtype=torch.float64)).dtype == torch.float32


class TestOptions:
    """Every setting that rendering reads does something."""

    def test_the_rendering_resolution_is_an_attribute(self, small, codes, planes):
        finer = copy.deepcopy(small)
        finer.neural_rendering_resolution = 64
        seen = finer.decode_all(planes, codes, noise=Noise.constant())
        assert seen.image_raw.shape == (3, 3, 64, 64) and seen.image.shape == (3, 3, 128, 128)

    @pytest.mark.parametrize(
        "setting",
        [
            {"white_back": True},
            {"disparity_space_sampling": True},
            {"depth_resolution_importance": 0},
            {"box_warp": 2},
            {"decoder_lr_mul": 0.5},
            {"superresolution_noise_mode": "const"},
            {"superresolution_noise_mode": "random"},
            {"sr_antialias": False},
        ],
        ids=str,
    )
    def test_rendering(self, small, codes, planes, setting):
        original, other = copy.deepcopy(small), changed(small, rendering=setting)
        if "sr_antialias" in setting:
            original.neural_rendering_resolution = other.neural_rendering_resolution = 96  # shrunk to the 64 expected
        images = [generator.decode(planes, codes, noise=seeded(1)) for generator in (original, other)]
        assert (images[0] - images[1]).abs().max() > 1e-3

    def test_a_white_background_shows_where_rays_are_empty(self, small, codes, planes):
        black = small.decode_all(planes, codes, noise=Noise.constant())
        white = changed(small, rendering={"white_back": True}).decode_all(planes, codes, noise=Noise.constant())
        assert torch.allclose(
            white.features - black.features, 2 * (1 - black.opacity).expand(-1, 32, -1, -1), atol=1e-5
        )

    @pytest.mark.parametrize("setting", [{"c_gen_conditioning_zero": True}, {"c_scale": 0.5}], ids=str)
    def test_conditioning(self, small, setting):
        z, other = torch.ones(1, 16), changed(small, rendering=setting)
        assert not torch.allclose(small.map(z), other.map(z), atol=1e-4)
        side = small.rig.look_at(0.5, 0.0)
        assert torch.equal(other.map(z, condition=side), other.map(z)) == ("c_gen_conditioning_zero" in setting)

    def test_half_precision_models_clamp_their_super_resolution_on_every_device(self, small, codes, planes):
        """The way out is shifted by 1e4 and held at 256; the picture of the block before, up to 512, is added."""
        clamped, free = (changed(small, sr_num_fp16_res=count) for count in (4, 0))
        for generator in (clamped, free):
            generator.superresolution.block1.torgb.bias.fill_(1e4)
        assert clamped.superresolution.block0.half_on_cuda and not free.superresolution.block0.half_on_cuda
        assert clamped.decode(planes, codes, noise=Noise.constant()).abs().max() < 256 + 512
        assert free.decode(planes, codes, noise=Noise.constant()).min() > 9000

    @pytest.mark.parametrize(
        "name", ["SuperresolutionHybrid4X", "SuperresolutionHybrid8X", "SuperresolutionHybrid8XDC"]
    )
    def test_super_resolution_classes(self, name, codes, planes):
        kind = eg3d.SUPER_RESOLUTIONS[name]
        rendering = {**RENDERING, "superresolution_module": f"training.superresolution.{name}"}
        generator = built({**SIZES, "img_resolution": kind.resolution, "rendering_kwargs": rendering}, 16)
        image = generator.requires_grad_(False).decode(planes[:1], codes[:1], noise=Noise.constant())
        assert image.shape == (1, 3, kind.resolution, kind.resolution)
        assert len(generator.superresolution.block0.conv1.bias) == kind.channels[0]

    @pytest.mark.parametrize(("name", "sides"), [("4X", [256, 256, 320]), ("2X", [128, 128, 128])])
    def test_only_the_256_px_class_keeps_an_input_larger_than_expected(self, name, sides):
        """128 and 64 are expected here. All classes enlarge a smaller input; all but one shrink a larger one."""
        kind = eg3d.SUPER_RESOLUTIONS[f"SuperresolutionHybrid{name}"]
        module = eg3d.SuperResolution(kind, 8, half=False, antialias=True).requires_grad_(False)
        ws, sizes = torch.randn(1, 14, 8), [kind.expects * quarters // 4 for quarters in (3, 4, 5)]
        found = [module(torch.randn(1, 32, size, size), ws, [None] * 4).shape[-1] for size in sizes]
        assert found == sides


class TestGradients:
    """What training needs: gradients everywhere, and the same ones whatever saves memory."""

    def gradient(self, generator: TriPlaneGenerator, codes: Tensor) -> tuple[Tensor, list[Tensor]]:
        image = generator.render(codes, noise=Noise.constant())
        weights = list(generator.parts()["backbone"].parameters())
        return image.detach(), list(torch.autograd.grad(image.square().mean(), weights))

    def test_rendering_again_instead_of_keeping_samples_changes_no_number(self, small, codes):
        found = []
        for recompute in (True, False):
            generator = copy.deepcopy(small)
            generator.parts()["backbone"].requires_grad_(True)
            generator.recompute = recompute
            found.append(self.gradient(generator, codes[:2]))
        (image, gradients), (kept_image, kept_gradients) = found
        assert torch.equal(image, kept_image)
        for gradient, kept in zip(gradients, kept_gradients, strict=True):
            assert torch.allclose(gradient, kept, rtol=1e-4, atol=1e-4 * float(kept.abs().max()))  # other order of sums

    def test_samples_are_kept_while_they_fit(self, small, monkeypatch):
        """16 x 16 rays of 12 samples for one code; a gigabyte holds them, half of what they take does not."""
        generator, needed = copy.deepcopy(small), 16 * 16 * 12 * eg3d.BYTES_A_SAMPLE
        planes = torch.zeros(1, 96, 256, 256, requires_grad=True)
        rendered: list[int] = []
        monkeypatch.setattr(eg3d, "checkpoint", lambda call, *rays, **_: rendered.append(1) or call(*rays))
        for limit, again in ((needed, 0), (needed // 2, 1)):
            monkeypatch.setitem(eg3d.MOST_KEPT, "cpu", limit)
            generator.decode(planes, small.w_avg.expand(1, 14, -1), noise=Noise.constant())
            assert len(rendered) == again

    def test_rays_in_chunks_give_the_same_image(self, small, codes, planes):
        chunked = copy.deepcopy(small)
        chunked.rays_at_once = 100
        images = [each.decode(planes, codes, noise=Noise.constant()) for each in (small, chunked)]
        assert torch.allclose(*images, atol=1e-4)

    def test_they_reach_every_backbone_weight_and_nothing_else(self, small, codes):
        generator = copy.deepcopy(small)
        backbone = generator.parts()["backbone"].requires_grad_(True)
        generator.render(codes[:1], noise=seeded(0)).square().mean().backward()
        assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in backbone.parameters())
        rest = [part for name, part in generator.parts().items() if name != "backbone"]
        assert all(weight.grad is None for part in rest for weight in part.parameters())

    def test_every_part_can_be_trained(self, small):
        generator = copy.deepcopy(small).requires_grad_(True)
        ws = generator.map(torch.randn(1, 16))
        generator.render(ws, noise=seeded(0)).square().mean().backward()
        untouched = [name for name, weight in generator.named_parameters() if weight.grad is None]
        assert untouched == [f"superresolution.block{i}.conv{j}.noise_strength" for i in (0, 1) for j in (0, 1)]


def test_an_adapter_may_rewrite_the_blocks_output(small, codes, planes):
    generator = copy.deepcopy(small)
    blocks = generator.blocks()
    assert list(blocks) == [f"b{2**level}" for level in range(2, 9)]
    seen = {}

    def rewrite(name: str, channels: int):
        def hook(module: torch.nn.Module, inputs: Any, output: Tensor) -> Tensor:
            seen[name] = output.shape
            assert output.shape[1] == channels
            return output * (2.0 if name == "b64" else 1.0)

        return hook

    for name, (module, channels) in blocks.items():
        module.register_forward_hook(rewrite(name, channels))
    rewritten = generator.synthesize(codes, noise=Noise.constant())
    assert seen["b64"] == (3, 4, 64, 64) and len(seen) == 7
    assert (rewritten - planes).abs().max() > 0.1


def test_synthesis_and_decoding_compile_into_one_graph_each(small, codes, planes):
    """No Python branch depends on data: dynamo records both without a break."""
    synthesize = torch.compile(small.synthesize, backend="eager", fullgraph=True)
    decode = torch.compile(small.decode, backend="eager", fullgraph=True)
    constant = Noise.constant()
    with torch.no_grad():
        assert torch.allclose(synthesize(codes, noise=constant), planes, atol=1e-5)
        expected = small.decode(planes, codes, noise=constant)
        assert torch.allclose(decode(planes, codes, noise=constant), expected, atol=1e-4)


class TestFiles:
    """What `save` writes, `load` reads; anything else gets one clear line."""

    def test_a_saved_generator_comes_back_whole(self, small, tmp_path, codes, planes):
        changed_one = copy.deepcopy(small)
        changed_one.neural_rendering_resolution = 24
        eg3d.save(changed_one, tmp_path / "generator.safetensors")
        loaded = eg3d.load(tmp_path / "generator.safetensors")
        assert loaded.neural_rendering_resolution == 24 and loaded.options == small.options
        images = [each.decode(planes, codes, noise=Noise.constant()) for each in (changed_one, loaded)]
        assert torch.equal(*images)
        assert not any(weight.requires_grad for weight in loaded.parameters()) and not loaded.training

    def test_missing_and_unknown_tensors_are_named(self, small, tmp_path):
        from safetensors.torch import save_file

        path = tmp_path / "generator.safetensors"
        arguments = {**small.arguments, "neural_rendering_resolution": 16}
        tensors = {key: value for key, value in small.state_dict().items() if key != "decoder.net.0.bias"}
        save_file({**tensors, "dataset_label_std": torch.ones(25)}, path, {"guidebench.eg3d": json.dumps(arguments)})
        with pytest.raises(BadInput, match=r"generator\.safetensors .*lacks .*decoder\.net\.0\.bias") as caught:
            eg3d.load(path)
        assert "dataset_label_std" not in str(caught.value)  # a buffer of the training script, known and dropped

    def test_a_rendering_resolution_beyond_all_memory_is_refused(self, small, tmp_path):
        generator = copy.deepcopy(small)
        generator.neural_rendering_resolution = 10**6
        eg3d.save(generator, tmp_path / "other.safetensors")
        with pytest.raises(BadInput, match=r"other\.safetensors\b.*\bneural_rendering_resolution\b.* 1000000\b"):
            eg3d.load(tmp_path / "other.safetensors")

    def test_arguments_nested_without_end_are_refused(self, small, tmp_path):
        from safetensors.torch import save_file

        path = tmp_path / "deep.safetensors"
        save_file(small.state_dict(), path, {"guidebench.eg3d": "[" * 100_000 + "]" * 100_000})
        with pytest.raises(BadInput, match=r"deep\.safetensors .* tensors .*arguments"):
            eg3d.load(path)

    def test_a_file_of_tensors_alone_is_refused(self, small, tmp_path):
        from safetensors.torch import save_file

        save_file(small.state_dict(), tmp_path / "bare.safetensors")
        with pytest.raises(BadInput, match=r"bare\.safetensors .* tensors .*arguments"):
            eg3d.load(tmp_path / "bare.safetensors")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"rendering_kwargs": {**RENDERING, "clamp_mode": "relu"}}, "clamp_mode 'relu'"),
            ({"rendering_kwargs": {**RENDERING, "ray_start": "auto"}}, "ray_start 'auto'"),
            ({"rendering_kwargs": {**RENDERING, "density_noise": 0.5}}, "density_noise 0.5"),
            (
                {"rendering_kwargs": {**RENDERING, "superresolution_module": "x.Other"}},
                "super-resolution 'Other'",
            ),
            ({"rendering_kwargs": {"ray_start": 2}}, "rendering_kwargs .*depth_resolution, "),
            (
                {"rendering_kwargs": {**RENDERING, "superresolution_noise_mode": "some"}},
                "superresolution_noise_mode 'some'",
            ),
            ({"init_kwargs": {**SIZES, "img_resolution": 512}}, "img_resolution = 512"),
            ({"init_kwargs": {"z_dim": 4}}, "arguments .*TriPlaneGenerator"),
            ({"init_kwargs": {**SIZES, "w_dim": -1}}, "arguments .*'.+'"),
            ({"init_kwargs": {**SIZES, "channel_base": 10**9, "channel_max": 10**6}}, "weights of TriPlaneGenerator"),
            ({"init_kwargs": {**SIZES, "z_dim": 10**12}}, "weights of TriPlaneGenerator"),
            ({"init_kwargs": {**SIZES, "mapping_kwargs": {"num_layers": 10**9}}}, "1000000000 layers"),
            ({"rendering_kwargs": {**RENDERING, "depth_resolution": 10**9}}, "depth_resolution 1000000000"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_arguments_of_another_model_are_refused(self, small, tmp_path, arguments, message):
        generator = copy.deepcopy(small)
        generator.arguments = {**small.arguments, **arguments}
        eg3d.save(generator, tmp_path / "other.safetensors")
        with pytest.raises(BadInput, match=message) as caught:
            eg3d.load(tmp_path / "other.safetensors")
        assert "other.safetensors" in str(caught.value)
