"""What crosses the pipe to a method's process arrives as it was, and what comes back runs nobody's code."""

from __future__ import annotations

import pickle

import pytest
import torch

from guidebench.engine import wire
from guidebench.errors import MethodError
from guidebench.noise import Noise
from guidebench.testbeds.linear import LinearGenerator


def test_tensors_keep_their_bits():
    given = {
        "odd": torch.tensor([float("nan"), -0.0, 1e-45]),
        "view": torch.arange(6.0).view(2, 3).T,
        "half": torch.ones(2, dtype=torch.float16),
        "flags": torch.tensor([True, False]),
        "none": torch.zeros(0, 3),
    }
    found = wire.tensors_from_bytes(wire.tensors_to_bytes(given))
    assert found.keys() == given.keys()
    for name, tensor in given.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
        bits = [part.contiguous().view(torch.uint8) for part in (found[name], tensor)]
        assert torch.equal(*bits)


def test_plain_data_arrive_as_they_were():
    row = {"step": 3, "loss": 0.25, "inf": float("inf")}
    assert wire.heard(wire.told("step", row=row, text="ä", content=b"\x00")) == (
        "step",
        {"row": row, "text": "ä", "content": b"\x00"},
    )


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("its code ran",))


@pytest.mark.parametrize("message", [b"", b"\xc1", pickle.dumps(Bomb()), b"\x93\x01\x02\x03"], ids=range(4))
def test_what_a_method_might_send_instead_is_refused_and_not_run(message):
    with pytest.raises(MethodError):
        wire.heard(message)
    with pytest.raises(MethodError):
        wire.tensors_from_bytes(message)


def test_a_generator_arrives_with_its_state_and_noise_with_its_place():
    generator = LinearGenerator()
    noise = Noise.random(7)
    noise.normal((3,))
    found, (given,) = (
        wire.module_from_bytes(wire.module_to_bytes(generator), torch.device("cpu")),
        wire.unpacked(wire.packed(noise)),
    )
    codes = torch.randn(2, generator.num_ws, generator.w_dim)
    images = [one.render(codes, None, noise=Noise.constant()) for one in (generator, found)]
    assert torch.equal(*images)
    assert torch.equal(given.normal((5,)), noise.normal((5,)))
