"""A stranger's method reaches nothing beyond its own trial, whatever it does; and what it returns is looked at."""

from __future__ import annotations

import dataclasses
import os
import sys

import pytest
import torch

from guidebench import precision
from guidebench import protocol as protocols
from guidebench.engine import isolation
from guidebench.engine.bench import Bench
from guidebench.engine.isolation import call_method, check_generator, same_request, where
from guidebench.engine.unlearning import make_context
from guidebench.errors import MethodError
from guidebench.testbeds.linear import LinearGenerator, LinearRecognizer, LinearTestbed
from guidebench.unlearner import ForgetItem, ForgetRequest, Unlearner

SMOKE = dataclasses.replace(protocols.load("smoke").resolve("linear"), retain_named=1)


@pytest.fixture(scope="module")
def bench():
    return Bench(LinearTestbed())


@pytest.fixture(scope="module")
def request_(bench):
    return bench.cast(SMOKE, 0).requests[0]


@pytest.fixture
def context(bench, request_):
    return make_context(bench.players, bench.testbed.device, SMOKE, request_, 0, lambda step, **scalars: None)


@pytest.fixture
def call(bench, request_, context):
    """Calls a method of one function; returns what it returned and what it changed."""

    def called(unlearn):
        @dataclasses.dataclass(frozen=True)
        class Method(Unlearner):
            name = "method"

            def unlearn(self, generator, request, context):
                return unlearn(generator, request, context)

        return call_method(Method(), bench.players.generator, request_, context, bench.players)

    return called


def test_a_method_works_on_a_frozen_copy_of_the_generator(call, bench):
    source = bench.players.generator
    before = source.backbone.coarse.bias.clone()

    def unlearn(generator, request, context):
        assert generator is not source and not generator.training
        assert not any(parameter.requires_grad for parameter in generator.parameters())
        generator.backbone.coarse.bias.add_(1.0)
        return generator

    result, changed = call(unlearn)
    assert changed == [] and torch.equal(source.backbone.coarse.bias, before)
    assert torch.equal(result.backbone.coarse.bias, before + 1)


def test_the_request_is_a_copy_and_a_change_of_it_is_told(call, request_):
    latent, image = request_.forget[0].latent.clone(), request_.retain[0].image.clone()

    def unlearn(generator, request, context):
        request.forget[0].latent.zero_()
        request.retain[0].image.zero_()
        return generator

    assert call(unlearn)[1] == ["request"]
    assert torch.equal(request_.forget[0].latent, latent) and torch.equal(request_.retain[0].image, image)


def test_global_draws_are_seeded_and_the_callers_go_on_as_if_nothing_had_been(call):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first, second = (call(lambda *given: torch.rand(3))[0] for _ in range(2))
    assert torch.equal(first, second) and torch.equal(torch.rand(2), expected)


SWITCHES = {
    "dtype": (lambda: torch.set_default_dtype(torch.float64), torch.get_default_dtype),
    "device": (lambda: torch.set_default_device("meta"), torch.get_default_device),
    "threads": (lambda: torch.set_num_threads(torch.get_num_threads() + 1), torch.get_num_threads),
    "folder": (lambda: os.chdir("/"), os.getcwd),
    "deterministic": (
        lambda: torch.use_deterministic_algorithms(not torch.are_deterministic_algorithms_enabled()),
        torch.are_deterministic_algorithms_enabled,
    ),
    "anomaly": (lambda: torch.autograd.set_detect_anomaly(True), torch.is_anomaly_enabled),
    "gradients": (lambda: torch.set_grad_enabled(False), torch.is_grad_enabled),
    "benchmark": (
        lambda: setattr(torch.backends.cudnn, "benchmark", not torch.backends.cudnn.benchmark),
        lambda: torch.backends.cudnn.benchmark,
    ),
    "matmul": (lambda: torch.set_float32_matmul_precision("medium"), torch.get_float32_matmul_precision),
    "tf32": (
        lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
        lambda: torch.backends.cuda.matmul.allow_tf32,
    ),
    "cudnn tf32": (
        lambda: setattr(torch.backends.cudnn, "allow_tf32", True),
        lambda: torch.backends.cudnn.allow_tf32,
    ),
    "tf32 by its new name": (
        lambda: setattr(torch.backends, "fp32_precision", "tf32"),
        lambda: [torch.backends.fp32_precision, torch.backends.cuda.matmul.fp32_precision],
    ),
    "stdout": (lambda: None, lambda: id(sys.stdout)),
}


@pytest.fixture
def exact():
    """What `Worker` starts with."""
    precision.use("strict")


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("raises", [False, True], ids=["returns", "raises"])
def test_what_a_method_switches_for_the_whole_process_is_put_back(call, exact, name, raises):
    switch, state = SWITCHES[name]
    before = state()

    def unlearn(generator, request, context):
        switch()
        if name != "stdout":
            assert state() != before, "the switch has an effect"
        if raises:
            raise RuntimeError("out of luck")
        return generator

    if raises:
        with pytest.raises(MethodError, match="out of luck"):
            call(unlearn)
    else:
        call(unlearn)
    assert state() == before


def test_gradients_are_on_for_the_method_and_as_before_for_the_caller(call):
    with torch.no_grad():
        assert call(lambda *given: torch.is_grad_enabled())[0] is True
        assert not torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("register", "hook"),
    [
        ("register_module_forward_hook", lambda module, inputs, output: output + 1),
        ("register_module_forward_pre_hook", lambda module, inputs: (inputs[0] + 1,)),
        ("register_module_full_backward_hook", lambda module, before, after: None),
        ("register_module_full_backward_pre_hook", lambda module, after: None),
        ("register_module_parameter_registration_hook", lambda module, name, parameter: None),
    ],
)
def test_global_hooks_of_a_method_end_with_it(call, register, hook):
    def count():
        return [len(hooks) for hooks in isolation._GLOBAL_HOOKS]

    before = count()
    layer = torch.nn.Linear(1, 1)
    expected = layer(torch.ones(1))

    def unlearn(generator, request, context):
        getattr(torch.nn.modules.module, register)(hook)
        assert count() != before
        return generator

    call(unlearn)
    assert count() == before and torch.equal(layer(torch.ones(1)), expected)


def test_patched_classes_are_restored_and_named(call):
    original, embed = LinearRecognizer.forward, LinearRecognizer.embed

    def unlearn(generator, request, context):
        LinearRecognizer.forward = lambda self, images: original(self, images) * 0
        LinearRecognizer.mine = 3
        LinearRecognizer.__call__ = lambda self, images: images
        del LinearRecognizer.embed
        return generator

    with pytest.raises(MethodError, match="LinearRecognizer"):
        call(unlearn)
    assert LinearRecognizer.forward is original and LinearRecognizer.embed is embed
    assert not hasattr(LinearRecognizer, "mine") and "__call__" not in vars(LinearRecognizer)


def test_torchs_own_classes_are_guarded_as_well(call):
    original = torch.nn.Module.__call__

    def unlearn(generator, request, context):
        torch.nn.Module.__call__ = lambda self, *inputs: inputs
        return generator

    try:
        with pytest.raises(MethodError, match="Module"):
            call(unlearn)
        assert torch.nn.Module.__call__ is original
    finally:
        torch.nn.Module.__call__ = original


def test_prints_go_to_stderr_and_closing_stdout_closes_nothing(call, capsys):
    def unlearn(generator, request, context):
        print("step 1")
        sys.stdout.close()
        print("step 2", flush=True)
        return generator

    call(unlearn)
    print("result")
    assert capsys.readouterr() == ("result\n", "step 1\nstep 2\n")


@pytest.mark.parametrize("error", [ValueError("two\nlines"), SystemExit(3), RecursionError()], ids=str)
def test_whatever_a_method_raises_is_a_method_error_of_one_line(call, error):
    def unlearn(generator, request, context):
        raise error

    with pytest.raises(MethodError, match=type(error).__name__) as failed:
        call(unlearn)
    assert "\n" not in str(failed.value) and "test_isolation.py:" in str(failed.value)


def test_ctrl_c_is_not_the_methods_fault(call):
    def unlearn(generator, request, context):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call(unlearn)


def shifted(context):
    context.source.backbone.fine.bias.data += 1


def hooked(context):
    context.inverter.reader.register_forward_hook(lambda *given: None)


def backward_hooked(context):
    context.recognizer.register_full_backward_pre_hook(lambda *given: None)


def patched(context):
    context.recognizer.forward = lambda images: images


def retyped(context):
    context.perceptual.scale = torch.nn.Parameter(torch.ones(1))


def halved(context):
    context.recognizer.to(torch.bfloat16)


@pytest.mark.parametrize(
    ("change", "player"),
    [
        (shifted, "source"),
        (hooked, "inverter"),
        (backward_hooked, "recognizer"),
        (patched, "recognizer"),
        (retyped, "perceptual"),
        (halved, "recognizer"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_player_that_a_method_changed_is_named(call, change, player):
    def unlearn(generator, request, context):
        change(context)
        return generator

    assert call(unlearn)[1] == [f"context's {player}"]


def test_what_cannot_be_looked_at_any_more_is_the_methods_fault(call):
    def unlearn(generator, request, context):
        context.source.to("meta")
        return generator

    with pytest.raises(MethodError, match="unreadable"):
        call(unlearn)


def test_every_tensor_of_people_to_forget_and_to_keep_is_compared(request_):
    for place in ("forget", "retain"):
        for name in ("latent", "image"):
            items = list(getattr(request_, place))
            items[0] = dataclasses.replace(items[0], **{name: getattr(items[0], name) + 1e-3})
            assert not same_request(request_, dataclasses.replace(request_, **{place: tuple(items)}))
    copies = [dataclasses.replace(item, latent=item.latent.clone()) for item in request_.forget]
    assert same_request(request_, dataclasses.replace(request_, forget=tuple(copies)))


def test_people_without_a_photograph_are_compared_too():
    latent = torch.ones(2, 2)
    without = ForgetRequest((ForgetItem("anna", None, latent),))
    assert same_request(without, ForgetRequest((ForgetItem("anna", None, latent.clone()),)))
    assert not same_request(without, ForgetRequest((ForgetItem("anna", None, latent * 0),)))
    assert not same_request(without, ForgetRequest((ForgetItem("anna", torch.zeros(3, 2, 2), latent),)))


@pytest.mark.parametrize(
    ("now", "same"),
    [
        (torch.tensor([0.0, float("nan")]), True),
        (torch.tensor([-0.0, float("nan")]), False),
        (torch.tensor([0.0, float("nan")], dtype=torch.float64), False),
        (torch.tensor([[0.0, float("nan")]]), False),
        (torch.tensor([0.0, 5.0, float("nan")])[::2], True),
    ],
    ids=["equal", "sign of zero", "type", "shape", "layout"],
)
def test_tensors_are_compared_bit_by_bit(now, same):
    then = torch.tensor([0.0, float("nan")])
    requests = [ForgetRequest((ForgetItem("anna", None, latent),)) for latent in (now, then)]
    assert same_request(*requests) is same


@pytest.mark.parametrize("dtype", [torch.bool, torch.bfloat16, torch.float64, torch.complex128], ids=str)
def test_tensors_of_any_width_are_compared(dtype):
    zero, one = (torch.full((), value, dtype=dtype) for value in (0, 1))
    first, second, third = (ForgetRequest((ForgetItem("anna", None, latent),)) for latent in (zero, zero.clone(), one))
    assert same_request(first, second) and not same_request(first, third)


@pytest.fixture
def checked(bench, request_):
    """What `check_generator` says of a generator, seen from the front."""
    source = bench.players.generator
    cameras = source.rig.look_at(torch.zeros(1), 0.0)
    return lambda result: check_generator(result, source, request_.forget[0], cameras)


def test_a_generator_is_handed_on_in_eval_mode_without_gradients(checked):
    given = LinearGenerator().train()
    assert checked(given) is given and not given.training
    assert not any(parameter.requires_grad for parameter in given.parameters())


class Uninitialised(LinearGenerator):
    def __init__(self):
        self.__dict__["rig"] = None


class Textual(LinearGenerator):
    def render(self, ws, cameras=None, *, noise):
        return "a face"


class Small(LinearGenerator):
    def render(self, ws, cameras=None, *, noise):
        return super().render(ws, cameras, noise=noise)[..., ::2, ::2]


class Blank(LinearGenerator):
    def render(self, ws, cameras=None, *, noise):
        return torch.full_like(super().render(ws, cameras, noise=noise), float("nan"))


class Broken(LinearGenerator):
    def render(self, ws, cameras=None, *, noise):
        raise SystemExit(3)


def infinite():
    generator = LinearGenerator()
    generator.w_avg[0] = float("inf")
    return generator


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: None, ["None", "guidebench.testbed.Generator"]),
        (lambda: LinearGenerator().state_dict(), ["OrderedDict", "guidebench.testbed.Generator"]),
        (infinite, ["w_avg", "finite", "--set lr"]),
        (Uninitialised, ["AttributeError"]),
        (Textual, ["renders str", "tensor"]),
        (Small, ["(1, 3, 8, 8)", "(1, 3, 16, 16)"]),
        (Blank, ["finite"]),
        (Broken, ["SystemExit: 3"]),
    ],
    ids=["nothing", "state", "infinite", "uninitialised", "text", "small", "nan", "exits"],
)
def test_what_is_no_generator_or_shows_nothing_is_refused_in_one_line(checked, make, words, says):
    with pytest.raises(MethodError, match=says(*words)) as refused:
        checked(make())
    assert "\n" not in str(refused.value)


def test_parameters_that_are_new_or_differ_are_counted():
    source, result = LinearGenerator(), LinearGenerator()
    assert isolation.change_of(result, source) == isolation.Change(0, 0, 0.0)
    bias = result.backbone.coarse.bias
    with torch.no_grad():
        bias[0] += 1  # one number makes the tensor of twelve another one
    result.mine = torch.nn.Parameter(torch.zeros(5))
    found = isolation.change_of(result, source)
    assert (found.parameters, found.bytes) == (12 + 5, 4 * (12 + 5))
    length = sum(float(value.detach().double().square().sum()) for value in source.parameters()) ** 0.5
    assert found.relative == pytest.approx(1 / length)


def test_parameters_of_a_wrapped_original_are_its_own():
    wrapper = LinearGenerator()
    inner = LinearGenerator()
    del wrapper.backbone, wrapper.decoder
    wrapper.inner = inner
    assert isolation.change_of(wrapper, LinearGenerator()) == isolation.Change(0, 0, 0.0)


def raised(error):
    try:
        raise error
    except BaseException as caught:
        return caught


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("two\n  lines"), "ValueError: two lines (test_isolation.py:"),
        (KeyError(), "KeyError: no message (test_isolation.py:"),
        (ValueError("caf\udce9.png \ud800"), r"ValueError: caf\xe9.png \ud800 (test_isolation.py:"),
        (Mute(), "Mute: a message that cannot be shown (test_isolation.py:"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_exception_in_one_line_says_what_and_where(error, text):
    assert where(raised(error)).startswith(text) and "\n" not in where(error)


def test_an_exception_that_was_never_raised_has_no_place():
    assert where(ValueError("text")) == "ValueError: text"
