"""What multiplies float32 how: a choice that is checked, set and put back."""

import pytest
import torch

from guidebench import precision
from guidebench.errors import BadInput


@pytest.fixture(autouse=True)
def _put_back():
    with precision.restored():
        yield


def test_strict_turns_every_shortcut_off_and_tf32_allows_that_of_convolutions():
    torch.set_float32_matmul_precision("medium")
    for name, allowed in (("strict", False), ("tf32", True), ("strict", False)):
        precision.use(name)
        assert precision.in_use() == name
        assert torch.backends.cudnn.allow_tf32 is allowed
        assert torch.backends.cuda.matmul.allow_tf32 is False
        assert torch.get_float32_matmul_precision() == "highest"


def test_what_the_caller_had_is_put_back():
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    with precision.restored():
        precision.use("strict")
    assert torch.get_float32_matmul_precision() == "high" and torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(
    ("name", "device", "words"),
    [("tf32", "cpu", ["tf32", "CUDA", "strict"]), ("float16", "cuda", ["'float16'", "strict", "tf32"])],
)
def test_an_unknown_precision_or_one_for_another_device_is_refused(name, device, words, says):
    with pytest.raises(BadInput, match=says(*words)):
        precision.check(name, device)
    precision.check("tf32", "cuda:1")
