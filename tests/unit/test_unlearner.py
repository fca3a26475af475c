"""What a method is given, and what it may leave as it is."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import pytest
import torch

from guidebench.errors import MethodError
from guidebench.seeds import Streams
from guidebench.testbeds.linear import LinearGenerator, LinearTestbed
from guidebench.unlearner import CameraSampler, Context, ForgetItem, ForgetRequest, Unlearner


@dataclass(frozen=True)
class Plain(Unlearner):
    name = "plain"

    def unlearn(self, generator, request, context):
        return generator


@pytest.fixture(scope="module")
def context():
    players = LinearTestbed().players()
    return Context(
        source=players.generator,
        inverter=players.inverter,
        recognizer=players.recognizer,
        perceptual=players.perceptual,
        cameras=CameraSampler(players.generator, 0.3, -0.2),
        streams=Streams(("test", 1)),
        device=torch.device("cpu"),
        progress=lambda step, **scalars: None,
    )


def test_cameras_stay_within_the_yaw_range_and_fill_it(context):
    """sin(yaw) is x over the distance from the axis; of 2,000 uniform draws some are in the outer 2 % on each side."""
    labels = context.cameras.sample(2000, context.noise("camera"))
    yaw = torch.atan2(labels[:, 3], labels[:, 11])
    assert labels.shape == (2000, 25) and float(yaw.abs().max()) <= 0.3 + 1e-5
    assert float(yaw.max()) > 0.29 and float(yaw.min()) < -0.29
    assert float(yaw.mean()) == pytest.approx(0, abs=5 * 0.3 / math.sqrt(3 * 2000))  # five standard errors


def test_cameras_are_a_function_of_the_noise_and_there_are_none_for_a_flat_generator(context):
    first, same, other = (context.cameras.sample(3, context.noise("camera", step)) for step in (1, 1, 2))
    assert torch.equal(first, same) and not torch.equal(first, other)
    flat = LinearGenerator()
    flat.rig = None
    assert dataclasses.replace(context.cameras, generator=flat).sample(3, context.noise("camera")) is None


def test_latents_are_mapped_draws_of_a_named_stream(context):
    found = context.latents(4, "train/latent", 7)
    z = context.noise("train/latent", 7).normal((4, context.source.z_dim))
    assert torch.equal(found, context.source.map(z)) and not found.requires_grad
    assert not torch.equal(found, context.latents(4, "train/latent", 8))


def test_noise_is_a_function_of_its_name(context):
    first, same, other = (context.noise(*name).normal((5,)) for name in (("a", 1), ("a", 1), ("b", 1)))
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_by_default_a_method_reads_no_file_moves_nobody_anywhere_and_is_the_same_in_every_trial():
    method = Plain()
    assert method.inputs() == {} and method.for_trial("anna", 3) is method
    assert method.target(ForgetItem("anna", None, torch.zeros(4, 12)), LinearGenerator()) is None
    assert method.supports == {"single"} and not method.needs_retained and method.training_seen


def test_by_default_the_tensors_that_differ_are_saved_and_loaded(tmp_path):
    from safetensors.torch import load_file

    source, changed = LinearGenerator(), LinearGenerator()
    with torch.no_grad():
        changed.backbone.coarse.bias.add_(1.0)
    Plain().save(changed, source, tmp_path)
    assert set(load_file(tmp_path / "delta.safetensors")) == {"backbone.coarse.bias"}
    loaded = Plain().load(LinearGenerator(), tmp_path)
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, changed.state_dict()[name])


def test_a_generator_that_did_not_change_is_saved_as_nothing(tmp_path):
    Plain().save(LinearGenerator(), LinearGenerator(), tmp_path)
    loaded = Plain().load(LinearGenerator(), tmp_path)
    assert torch.equal(loaded.backbone.coarse.weight, LinearGenerator().backbone.coarse.weight)


class Other(LinearGenerator):
    pass


def test_another_class_or_more_tensors_need_a_save_of_their_own(tmp_path, says):
    more = LinearGenerator()
    more.register_buffer("mine", torch.zeros(1))
    for generator in (Other(), more):
        with pytest.raises(MethodError, match=says("plain", type(generator).__name__, "save()", "load()")):
            Plain().save(generator, LinearGenerator(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_request_is_mapped_with_everybody_in_it():
    def item(name):
        return ForgetItem(name, None, torch.zeros(2, 3))

    request = ForgetRequest((item("anna"),), (item("bert"),), (item("carl"), item("dora")))
    mapped = request.mapped(lambda one: dataclasses.replace(one, identity=one.identity.upper()))
    assert [one.identity for one in mapped.forget] == ["ANNA"] and [one.identity for one in mapped.retain] == ["BERT"]
    assert [one.identity for one in mapped.earlier] == ["CARL", "DORA"]
    assert ForgetRequest((item("anna"),)).earlier == ()
