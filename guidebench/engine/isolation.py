"""Runs anybody's method so that whatever it does fails one trial and reaches no other.

It works on copies, its prints go to stderr, process-wide switches are put back, and what it returns is checked.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

import torch
from torch import Tensor, nn

from guidebench import precision, seeds
from guidebench.errors import MethodError
from guidebench.noise import Noise
from guidebench.testbed import Generator, Players
from guidebench.text import printable
from guidebench.unlearner import Context, ForgetItem, ForgetRequest, Unlearner
from guidebench.watched import unchanged

LARGEST = 50.0  # mean size of the numbers of images in about [-1, 1], beyond which they are no such images
_PLAYERS = {  # of a context, and what `Players` calls the originals
    "source": "generator",
    "inverter": "inverter",
    "recognizer": "recognizer",
    "perceptual": "perceptual",
}


def call_method(
    method: Unlearner,
    current: Generator,
    request: ForgetRequest,
    context: Context,
    originals: Players,
    begin: Callable[[Generator], None] = lambda generator: None,
) -> tuple[object, list[str]]:
    """Runs a method on a private copy of a generator; returns its result and what it changed that it must not change.

    originals: what the context holds copies of. begin: sees the private copy before the method does. Raises MethodError
    if the method raises, or would end the process. Global random generators are seeded, process-wide torch settings put
    back, and what it prints goes to stderr.
    """
    shown = request.mapped(copy_of)
    structures = {name: _structure(player) for name, player in _players(context).items()}
    with (
        unchanged("the method"),
        exit_refused(),
        seeds.global_seed(*context.streams.prefix, "global"),
        torch_settings_restored(),
        stdout_to_stderr(),
        classes_restored(context),
        blame_the_method("the method raised"),
    ):
        given = frozen(current)
        begin(given)
        result = method.unlearn(given, shown, context)
    with blame_the_method("the method left what it was shown unreadable"):
        return result, changed(context, originals, structures) + ([] if same_request(shown, request) else ["request"])


def copied(items: Sequence[ForgetItem]) -> tuple[ForgetItem, ...]:
    """The same people, with tensors of their own."""
    return tuple(map(copy_of, items))


def copy_of(item: ForgetItem) -> ForgetItem:
    """The same person, with tensors of its own."""
    return ForgetItem(item.identity, None if item.image is None else item.image.clone(), item.latent.clone())


def changed(context: Context, originals: Players, structures: Mapping[str, object]) -> list[str]:
    """The players that differ from the originals in a tensor, or in hooks or attributes from what they were before."""
    return [
        f"context's {name}"
        for name, player in _players(context).items()
        if _structure(player) != structures[name]
        or not _same(player.state_dict(), getattr(originals, _PLAYERS[name]).state_dict())
    ]


def same_request(first: ForgetRequest, second: ForgetRequest) -> bool:
    """Whether two requests show the same codes and photographs, bit by bit."""
    return _same(*(_tensors_of(request) for request in (first, second)))


def _tensors_of(request: ForgetRequest) -> dict[str, Tensor]:
    return {
        f"{place}/{name}": tensor
        for place, item in enumerate((*request.forget, *request.retain, *request.earlier))
        for name, tensor in (("latent", item.latent), ("image", item.image))
        if tensor is not None
    }


def _players(context: Context) -> dict[str, nn.Module]:
    return {name: getattr(context, name) for name in _PLAYERS}


def _structure(module: nn.Module) -> list[list[object]]:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return [
        [name, type(part), *(len(vars(part)[hook]) for hook in hooks), sorted(vars(part))]
        for name, part in module.named_modules()
    ]


def _same(now: Mapping[str, Tensor], then: Mapping[str, Tensor]) -> bool:
    """Whether names, types, shapes and all bits agree: NaN is NaN, and 0 is not -0. Compared where ``then`` is."""
    return now.keys() == then.keys() and all(_same_bits(now[name], then[name]) for name in then)


def _same_bits(now: Tensor, then: Tensor) -> bool:
    if now.dtype != then.dtype or now.shape != then.shape:
        return False
    bits = {1: torch.uint8, 2: torch.int16}.get(then.element_size(), torch.int32)
    return torch.equal(*(tensor.detach().to(then.device).reshape(-1).view(bits) for tensor in (now, then)))


_Module = TypeVar("_Module", bound=nn.Module)
_GLOBAL_HOOKS = tuple(
    hooks
    for name, hooks in vars(torch.nn.modules.module).items()
    if name.startswith("_global_") and isinstance(hooks, dict)
)


def frozen(module: _Module) -> _Module:
    """A copy in eval mode that takes no gradients."""
    return copy.deepcopy(module).eval().requires_grad_(False)


def stdout_to_stderr() -> contextlib.AbstractContextManager[object]:
    """Sends what somebody's code prints within the block to stderr: results alone go to stdout."""
    return contextlib.redirect_stdout(_ToStderr())


class _ToStderr(io.TextIOBase):
    """Where prints of a method go; closing it closes nothing."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def close(self) -> None:
        pass


@contextlib.contextmanager
def classes_restored(context: Context) -> Iterator[None]:
    """Raises MethodError if the classes of the players are patched within the block, and undoes it."""
    players = (context.source, context.inverter, context.recognizer, context.perceptual)
    classes = {kind for player in players for part in player.modules() for kind in type(part).__mro__[:-1]}
    before = {kind: dict(vars(kind)) for kind in classes}
    try:
        yield
    finally:
        patched = [kind.__name__ for kind, original in before.items() if _undo(kind, original)]
    if patched:
        names = ", ".join(sorted(patched))
        raise MethodError(f"the method patched the classes {names}; change the generator that is passed to unlearn()")


def _undo(kind: type, original: dict[str, object]) -> bool:
    changed = False
    for name in set(vars(kind)) | set(original):
        now, then = vars(kind).get(name, kind), original.get(name, kind)
        noted = name.startswith("__") and not (inspect.isroutine(now) or inspect.isroutine(then))  # by Python itself
        if now is then or noted:
            continue
        changed = True
        if name in original:
            setattr(kind, name, original[name])
        else:
            delattr(kind, name)
    return changed


@contextlib.contextmanager
def exit_refused(who: str = "the method") -> Iterator[None]:
    """Makes os._exit(), which would end the whole run without a word, raise MethodError within the block.

    who: runs, for the message. Processes that are forked within the block may still end that way.
    """
    leave, process = os._exit, os.getpid()

    def refuse(status: int) -> NoReturn:
        if os.getpid() != process:
            leave(status)
        raise MethodError(f"{who} called os._exit({status}), which would end the whole run")

    os._exit = refuse
    try:
        yield
    finally:
        os._exit = leave


@contextlib.contextmanager
def torch_settings_restored() -> Iterator[None]:
    """Puts back what a method may switch for the whole process: torch's modes and global hooks, the current folder.

    Within the block gradients are on, whatever the caller has chosen.
    """
    dtype, threads, folder = torch.get_default_dtype(), torch.get_num_threads(), Path.cwd()
    device = torch.get_default_device()
    hooks = [dict(registered) for registered in _GLOBAL_HOOKS]
    deterministic, anomaly = torch.are_deterministic_algorithms_enabled(), torch.is_anomaly_enabled()
    benchmark, gradients = torch.backends.cudnn.benchmark, torch.is_grad_enabled()
    exactness = precision.in_use()
    torch.set_grad_enabled(True)
    try:
        yield
    finally:
        os.chdir(folder)
        if torch.get_default_device() != device:
            # None instead of the CPU: a default device that is set wraps every call, which torch.compile cannot trace.
            torch.set_default_device(None if device.type == "cpu" else device)
        for registered, original in zip(_GLOBAL_HOOKS, hooks, strict=True):
            registered.clear()
            registered.update(original)
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        if torch.are_deterministic_algorithms_enabled() != deterministic:  # the call imports torch's compiler
            torch.use_deterministic_algorithms(deterministic)
        torch.autograd.set_detect_anomaly(anomaly)
        torch.backends.cudnn.benchmark = benchmark
        precision.use(exactness)
        torch.set_grad_enabled(gradients)


def check_generator(result: object, source: Generator, item: ForgetItem, cameras: Tensor | None) -> Generator:
    """The result, in eval mode, if it is a generator that renders finite images of the right shape.

    cameras: (V, 25) labels, the first of which is tried; None for a 2-D generator.

    Raises MethodError otherwise.
    """
    if not isinstance(result, Generator):
        kind = "None" if result is None else type(result).__name__
        raise MethodError(f"unlearn() must return a guidebench.testbed.Generator, it returned {kind}")
    with blame_the_method("the returned generator is not a torch module"):
        state = result.eval().requires_grad_(False).state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise MethodError(f"the returned generator's {name} is not finite; lower the learning rate (--set lr=…)")
    with torch.no_grad(), blame_the_method("the returned generator cannot render"):
        code, view = item.latent.clone()[None], None if cameras is None else cameras[:1]
        image = result.render(code, view, noise=Noise.constant())
    sound(image, 1, source.resolution)
    return result


def is_wrapper(result: Generator, source: Generator) -> bool:
    """Whether a generator is more than the original with other numbers in its tensors.

    Such are adapters and wrappers: another class, hooks, further tensors or tensors of another kind, other attributes.
    """
    state, original = result.state_dict(), source.state_dict()
    same_tensors = state.keys() == original.keys() and all(
        (state[name].dtype, state[name].shape) == (original[name].dtype, original[name].shape) for name in original
    )
    return not same_tensors or _structure(result) != _structure(source) or _plain(result) != _plain(source)


def _plain(module: nn.Module) -> list[list[object]]:
    """Attributes that are numbers or texts, part by part: what a class may look at while it renders."""
    kinds = (bool, int, float, str, tuple, type(None))
    return [
        [name, [(key, value) for key, value in sorted(vars(part).items()) if isinstance(value, kinds)]]
        for name, part in module.named_modules()
    ]


@dataclass(frozen=True)
class Change:
    """How far a generator is from the original."""

    parameters: int  # numbers in tensors that are new or not equal
    bytes: int  # of these tensors: what must be shipped
    relative: float  # length of the way that parameters of the original went, as a share of their own length


def change_of(result: Generator, source: Generator) -> Change:
    """How a method's result differs from the original. A wrapper's part that is an original's is its own."""
    original = dict(source.named_parameters())

    def old_of(name: str, value: Tensor) -> list[Tensor]:
        candidates = (original.get(name), *(old for key, old in original.items() if name.endswith(f".{key}")))
        return [old for old in candidates if old is not None and old.shape == value.shape]

    parameters = size = 0
    moved = 0.0
    for name, value in result.named_parameters():
        known = old_of(name, value)
        if any(torch.equal(old, value) for old in known):
            continue
        parameters += value.numel()
        size += value.numel() * value.element_size()
        if known:
            moved += float((value.detach() - known[0].detach()).double().square().sum())
    length = sum(float(value.detach().double().square().sum()) for value in original.values())
    return Change(parameters, size, math.sqrt(moved / length) if length else 0.0)


def check_images(images: object, count: int, resolution: int) -> Tensor:
    """What a generator gave for ``count`` codes, if it has the shape and the kind of images. Raises MethodError."""
    if not isinstance(images, Tensor):
        raise MethodError(f"the returned generator renders {type(images).__name__}, not a tensor")
    wanted = (count, 3, resolution, resolution)
    if tuple(images.shape) != wanted:
        raise MethodError(f"the returned generator renders {tuple(images.shape)}, not {wanted}")
    if images.layout != torch.strided or images.device.type == "meta" or not images.is_floating_point():
        kind = f"{images.dtype} tensors ({images.layout}, on {images.device})".replace("torch.", "")
        raise MethodError(f"the returned generator renders {kind}; images are dense floating-point tensors in [-1, 1]")
    return images


def soundness(images: Tensor) -> Tensor:
    """Whether images are finite, and whether they are of the range of images: two bools (2,); nothing is waited for."""
    return torch.stack([torch.isfinite(images).all(), images.abs().mean(dtype=torch.float32) <= LARGEST])


def require_sound(found: Sequence[Tensor]) -> None:
    """Raises MethodError unless all is well by what `soundness` said of some batches; waits for a GPU once.

    The PNG of an image that is not finite would be a black picture, which is not a result.
    """
    if not found:
        return
    finite, in_range = torch.stack(list(found)).all(dim=0).tolist()
    if not finite:
        raise MethodError("the returned generator renders values that are not finite; lower the learning rate")
    if not in_range:
        raise MethodError(
            f"the returned generator renders values of a mean size above {LARGEST:g}; images are in about [-1, 1]"
        )


def sound(images: object, count: int, resolution: int) -> Tensor:
    """What a generator gave for ``count`` codes, if these are sound images. Raises MethodError otherwise."""
    checked = check_images(images, count, resolution)
    require_sound([soundness(checked)])
    return checked


@contextlib.contextmanager
def blame_the_method(what: str) -> Iterator[None]:
    """Whatever a user's code raises within the block fails the trial, as a MethodError that says what and where."""
    try:
        yield
    except (MethodError, KeyboardInterrupt):
        raise
    except BaseException as error:  # sys.exit() in a method must not end the run
        raise MethodError(f"{what}: {where(error)}") from error


def where(error: BaseException) -> str:
    """'ValueError: text (file.py:12)': an exception in one line, with the last place of the traceback."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    try:
        text = " ".join(str(error).split()) or "no message"
    except Exception:
        text = "a message that cannot be shown"
    place = "" if trace is None else f" ({trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno})"
    return printable(f"{type(error).__name__}: {text}{place}")
