"""LEGATO's adapters by hand, that only they are trained, and that generators with them are kept and handed on."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from analytic_stage import Stage, fresh
from safetensors.torch import save_file
from torch import Tensor

from guidebench.baselines import legato
from guidebench.baselines.guide import Guide, Losses
from guidebench.baselines.legato import Adapter, Legato, adapters_of, changes
from guidebench.engine.isolation import is_wrapper
from guidebench.engine.wire import module_from_bytes, module_to_bytes
from guidebench.errors import BadInput, MethodError
from guidebench.networks.eg3d import TriPlaneGenerator
from guidebench.noise import Noise
from guidebench.settings import with_settings
from guidebench.testbed import Generator
from guidebench.testbeds.mini.generator import MiniGenerator

CONSTANT = Noise.constant()
EG3D = {
    "z_dim": 512,
    "c_dim": 25,
    "w_dim": 512,
    "img_resolution": 512,
    "channel_base": 32768,
    "mapping_kwargs": {"num_layers": 2},
}
EG3D_RENDERING = {
    "depth_resolution": 4,
    "depth_resolution_importance": 4,
    "ray_start": 2.25,
    "ray_end": 3.3,
    "box_warp": 1,
    "superresolution_module": "SuperresolutionHybrid8XDC",
}


@pytest.fixture
def stage() -> Stage:
    return Stage()


def method(**fields: Any) -> Legato:
    return Legato(**{"noise": "constant", "steps": 3, "lr": 1e-2, "hidden": 8, **fields})


def warmed(adapter: Adapter) -> Adapter:
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in adapter.parameters():
            value.copy_(0.3 * torch.randn(value.shape, generator=rng))
    return adapter


def test_an_adapter_takes_euler_steps_along_two_linear_layers() -> None:
    """One channel, f(x) = 3 · leaky(2x + 1) + 5: from -1 by 0.4 · (3 · -0.2 + 5) = 1.76 to 0.76, and so on."""
    adapter = Adapter(1, 1, slope=0.2, end=0.8, step=0.4)
    with torch.no_grad():
        for value, number in zip(adapter.parameters(), (2.0, 1.0, 3.0, 5.0), strict=True):
            value.fill_(number)
    states = [state.item() for state in adapter.trajectory(torch.tensor([[-1.0]]))]
    assert states == pytest.approx([-1.0, 0.76, 0.76 + 0.4 * (3 * 2.52 + 5)])
    assert adapter(torch.tensor([[-1.0]])).item() == pytest.approx(states[-1])


def test_every_position_of_a_feature_map_moves_by_itself_and_keeps_shape_and_precision() -> None:
    adapter = warmed(Adapter(3, 5, slope=0.2, end=1.6, step=0.4))
    x = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(1))
    alone = adapter(x[1:, :, 2, 5])
    torch.testing.assert_close(adapter(x)[1:, :, 2, 5], alone)
    assert adapter(x.half()).dtype == torch.float16 and adapter(x).shape == x.shape


def test_a_fresh_adapter_changes_nothing() -> None:
    adapter = Adapter(4, 8, slope=0.2, end=1.6, step=0.4)
    adapter.draw(torch.rand(8, 4))
    x = torch.randn(2, 4, 3, 3)
    assert torch.equal(adapter(x), x)


def test_changes_are_mean_squares_by_step_and_row() -> None:
    states = [torch.zeros(2, 3, 2, 2), torch.ones(2, 3, 2, 2), torch.ones(2, 3, 2, 2)]
    states[2][1] += 2
    assert changes(states).tolist() == [[1.0, 1.0], [0.0, 4.0]]


def test_the_first_step_is_guides_and_the_generators_own_weights_stay(stage: Stage) -> None:
    """Fresh adapters change nothing, so all losses are GUIDE's; the consistency of a standstill is zero."""
    result = stage.unlearn(method(), people=1)
    own, stage.reports[:] = list(stage.reports), []
    stage.unlearn(Guide(noise="constant", steps=1, lr=1e-2), people=1)
    assert own[0] == pytest.approx(stage.reports[0])
    state, original = result.state_dict(), fresh().state_dict()
    assert all(torch.equal(state[name], original[name]) for name in original)
    extra = {name for name in state if name not in original}
    assert extra == {
        f"backbone.fine.legato.{layer}.{kind}" for layer in ("rise", "fall") for kind in ("weight", "bias")
    }
    assert not any(parameter.requires_grad for parameter in result.parameters())
    assert own[-1]["loss"] != own[0]["loss"]


def test_without_its_adapters_the_generator_is_the_original(stage: Stage) -> None:
    result, original = stage.unlearn(method(), people=1), fresh()
    codes = stage.latents
    assert not torch.equal(result.render(codes, noise=CONSTANT), original.render(codes, noise=CONSTANT))
    stripped = fresh()
    stripped.load_state_dict({name: value for name, value in result.state_dict().items() if "legato" not in name})
    assert torch.equal(stripped.render(codes, noise=CONSTANT), original.render(codes, noise=CONSTANT))


def test_the_trajectory_of_the_forgotten_code_alone_enters_the_loss(stage: Stage) -> None:
    """By hand: mean of c_1 … c_4, and c_4 once more, at the first row of the batch."""
    generator, fine = fresh(), fresh().backbone.fine
    one = method(noise="random", consistency=2.0)
    (adapter,) = one.adapt(generator)
    warmed(adapter)
    latent = stage.latents[:1]
    target = one.target_code(latent, stage.context.source.w_avg)

    def losses(each: Guide) -> Losses:
        return each.losses(generator, latent, target, each.draw(stage.context, 1), stage.context)

    seen: list[Tensor] = []
    handle = generator.backbone.coarse.register_forward_hook(lambda module, inputs, output: seen.append(output))
    generator.synthesize(latent, noise=CONSTANT)
    handle.remove()
    steps = changes(adapter.trajectory(torch.nn.functional.linear(seen[0], fine.weight, fine.bias)))[:, 0].detach()
    found, plain = losses(one), losses(Guide(noise="random"))
    assert float(found.local - plain.local) == pytest.approx(float(2.0 * steps.mean() + steps[-1]), rel=1e-4)
    assert float(found.adjacency) == float(plain.adjacency) and float(found.preservation) == float(plain.preservation)
    local = losses(dataclasses.replace(one, starts_at_last_change=False)).local
    assert float(local - plain.local) == pytest.approx(2.0 * float(steps.mean()), rel=1e-4)
    assert adapter.seen is None, "no activations stay with the generator"


def test_a_step_in_parts_comes_to_the_same(stage: Stage) -> None:
    generator = fresh()
    one = method()
    (adapter,) = one.adapt(generator)
    warmed(adapter)
    target = one.target_code(stage.latents[:1], stage.context.source.w_avg)
    batch = one.batch(stage.latents[:1], target, one.draw(stage.context, 1))
    generator.requires_grad_(False)
    one.trained(generator).requires_grad_(True)
    whole, parts = (one.descend(generator, batch, stage.context, at_once) for at_once in (5, 2))
    assert whole is not None and parts is not None
    assert float(parts.total) == pytest.approx(float(whole.total), rel=1e-5)


def test_all_adapters_may_be_kept_smooth() -> None:
    generator = MiniGenerator().eval().requires_grad_(False)
    adapters = method().adapt(generator)
    names = [name for name, module in generator.named_modules() if isinstance(module, Adapter)]
    assert names == [f"backbone.refine.{level}.legato" for level in range(3)] and len(adapters) == 3
    assert adapters[-2:][:1] == [generator.backbone.refine[1].legato], "half the resolution of the planes"


def test_the_adapters_of_eg3d_are_as_large_as_published() -> None:
    """Behind 8 to 256 pixels; the released code counts a seventh, which it never calls."""
    with torch.device("meta"):
        generator = TriPlaneGenerator.from_arguments(EG3D, EG3D_RENDERING, 64)
        adapters = Legato().adapt(generator)
    assert len(adapters) == 6
    assert sum(value.numel() for adapter in adapters for value in adapter.parameters()) == 1_249_152


def test_a_further_request_trains_the_same_adapters_on(stage: Stage) -> None:
    once = stage.unlearn(method(), people=1)
    before = {name: value.clone() for name, value in once.state_dict().items()}
    twice = stage.unlearn(method(), generator=once, people=1)
    assert len(adapters_of(twice)) == 1 and len(twice.backbone.fine._forward_hooks) == 1
    moved = {name for name, value in twice.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if "legato" in name}


def test_what_is_kept_comes_back_and_is_small(stage: Stage, tmp_path) -> None:
    one = method()
    result = stage.unlearn(one, people=1)
    one.save(result, fresh(), tmp_path)
    again = one.load(fresh(), tmp_path)
    assert torch.equal(again.render(stage.latents, noise=CONSTANT), result.render(stage.latents, noise=CONSTANT))
    numbers = 16 * 8 + 8 + 8 * 16 + 16
    assert (tmp_path / legato.FILE).stat().st_size < 4 * numbers + 1000


def test_the_file_says_what_its_adapters_are_made_with(stage: Stage, tmp_path) -> None:
    one = method(hidden=5, slope=0.4, ode_step=0.8)
    result = stage.unlearn(one, people=1)
    one.save(result, fresh(), tmp_path)
    again = legato.load(tmp_path / legato.FILE, fresh())
    assert torch.equal(again.render(stage.latents, noise=CONSTANT), result.render(stage.latents, noise=CONSTANT))


def test_files_that_hold_no_adapters_of_this_generator_are_refused(stage: Stage, tmp_path, says) -> None:
    file = tmp_path / legato.FILE
    with pytest.raises(BadInput, match=says(str(file), legato.FILE)):
        legato.load(file, fresh())
    file.write_bytes(b"something else")
    with pytest.raises(BadInput, match=says(str(file))):
        legato.load(file, fresh())
    method().save(fresh(), fresh(), tmp_path)
    with pytest.raises(BadInput, match=says(str(file), "LinearGenerator")):
        legato.load(file, fresh())
    save_file({"x": torch.zeros(1)}, file)
    with pytest.raises(BadInput, match=says(str(file), "KeyError")):
        legato.load(file, fresh())


def test_it_is_a_wrapper_that_another_process_can_load(stage: Stage) -> None:
    result = stage.unlearn(method(), people=1)
    assert is_wrapper(result, fresh())
    there = module_from_bytes(module_to_bytes(result), torch.device("cpu"))
    assert torch.equal(there.render(stage.latents, noise=CONSTANT), result.render(stage.latents, noise=CONSTANT))


def test_a_generator_without_blocks_is_refused(stage: Stage, monkeypatch) -> None:
    monkeypatch.setattr(Generator, "blocks", lambda self: {})
    monkeypatch.setattr(type(fresh()), "blocks", Generator.blocks)
    with pytest.raises(MethodError, match=r"LinearGenerator.*blocks\(\)"):
        stage.unlearn(method(), people=1)


def test_adapters_are_not_hung_twice() -> None:
    generator = fresh()
    method().adapt(generator)
    with pytest.raises(MethodError, match="has adapters"):
        method().adapt(generator)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hidden", "5"),
        ("slope", "0.5"),
        ("ode_end", "0.8"),
        ("ode_step", "0.8"),
        ("consistency", "50"),
        ("starts_at_last_change", "false"),
        ("target_distance", "10"),
    ],
)
def test_every_setting_changes_the_result(stage: Stage, field: str, value: str) -> None:
    plain = method()
    changed = with_settings(plain, {field: value})
    first, second = (stage.unlearn(each, people=1).render(stage.latents, noise=CONSTANT) for each in (plain, changed))
    assert not torch.equal(first, second)


def test_settings_out_of_bounds_are_refused() -> None:
    for setting in ({"hidden": "0"}, {"ode_step": "0"}, {"slope": "2"}):
        with pytest.raises(BadInput):
            with_settings(Legato(), setting)
