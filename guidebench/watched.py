"""Functions and switches that judging rests on, watched: code of somebody else's must leave them as they were."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

from guidebench.errors import MethodError

_LIBRARIES = (
    "math",
    "numpy",
    "numpy.linalg",
    "scipy.linalg",
    "torch",
    "torch.fft",
    "torch.linalg",
    "torch.nn.functional",
    "torch.nn.init",
    "torch.special",
)
_LATE = {"manual_seed"}  # torch itself wraps it when its compiler is imported; it decides nothing that is judged
_CLASSES = {"torch": ("Tensor",), "torch.nn": ("Module", "Parameter")}
_OWN = "guidebench"

Place = tuple[Any, str]  # an object and an attribute of it


class Watch:
    """What the process was like when this was made. What had not been imported then is not watched."""

    def __init__(self) -> None:
        self._functions = {(id(owner), name): (owner, name, value) for owner, name, value in _functions()}
        self._classes = {owner for owner, _, _ in self._functions.values() if isinstance(owner, type)}
        self._switches = {name: read() for name, (read, _) in _switches().items()}

    def check(self) -> None:
        """Raises MethodError, naming what differs, unless all is as it was."""
        found = self.changed()
        if found:
            raise MethodError(f"{', '.join(found[:3])} changed while the method ran; leave what others use as it was")

    def changed(self) -> list[str]:
        """What differs, in words."""
        functions = [f"{_name_of(owner)}.{name}" for owner, name, *_ in (*self._patched(), *self._added())]
        switches = _switches()
        return functions + [name for name, value in self._switches.items() if switches[name][0]() != value]

    def restore(self) -> None:
        """Puts everything back."""
        for owner, name, value in self._patched():
            setattr(owner, name, value)
        for kind, name in self._added():
            delattr(kind, name)
        for name, (read, write) in _switches().items():
            if name in self._switches and read() != self._switches[name]:
                write(self._switches[name])

    def _patched(self) -> list[tuple[Any, str, Any]]:
        return [
            (owner, name, value)
            for owner, name, value in self._functions.values()
            if vars(owner).get(name) is not value
        ]

    def _added(self) -> list[tuple[type, str]]:
        """Functions that hide those of a base class."""
        return [
            (kind, name)
            for kind in self._classes
            for _, name, _ in _callables(kind)
            if (id(kind), name) not in self._functions and any(name in vars(base) for base in kind.__mro__[1:])
        ]


@contextlib.contextmanager
def unchanged(what: str) -> Iterator[None]:
    """Undoes changes within the block, and raises MethodError that names them. what: was going on, for the message."""
    watch = Watch()
    try:
        yield
    finally:
        found = watch.changed()
        watch.restore()
    if found:
        raise MethodError(f"{what} changed {', '.join(found[:3])}; leave what others use as it was")


def _functions() -> Iterator[tuple[Any, str, Any]]:
    """Every function and class of the watched modules that are loaded, and the functions of their watched classes."""
    for name, module in list(sys.modules.items()):
        if not isinstance(module, ModuleType):
            continue
        if name in _LIBRARIES:
            yield from _callables(module)
        elif name == _OWN or name.startswith(f"{_OWN}."):
            for owner, key, value in _callables(module):
                yield owner, key, value
                if isinstance(value, type) and value.__module__ == name:
                    yield from _callables(value)
        for kind in _CLASSES.get(name, ()):
            yield from _callables(vars(module)[kind])


def _callables(owner: Any) -> Iterator[tuple[Any, str, Any]]:
    for name, value in list(vars(owner).items()):
        if name not in _LATE and (callable(value) or isinstance(value, staticmethod | classmethod | property)):
            yield owner, name, value


def _name_of(owner: Any) -> str:
    return owner.__name__ if isinstance(owner, ModuleType) else f"{owner.__module__}.{owner.__qualname__}"


def _switches() -> Mapping[str, tuple[Callable[[], Any], Callable[[Any], Any]]]:
    """By name, how to read and how to write each switch of torch that moves numbers; none before torch is loaded."""
    if "torch" not in sys.modules:
        return {}
    import torch

    def flag(owner: Any, name: str) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
        return (lambda: getattr(owner, name)), (lambda value: setattr(owner, name, value))

    def denormals() -> bool:
        return float(torch.tensor([1e-40]).mul(1.0)) != 0.0

    return {
        "torch.backends.mkldnn.enabled": (
            lambda: torch.backends.mkldnn.enabled,
            lambda value: torch._C._set_mkldnn_enabled(value),
        ),
        "torch.set_flush_denormal": (denormals, lambda value: torch.set_flush_denormal(not value)),
        "torch.autocast": (
            lambda: torch.is_autocast_enabled("cpu"),
            lambda value: torch.set_autocast_enabled("cpu", value),
        ),
        "torch.autocast on cuda": (
            lambda: torch.is_autocast_enabled("cuda"),
            lambda value: torch.set_autocast_enabled("cuda", value),
        ),
        "torch.set_default_dtype": (torch.get_default_dtype, torch.set_default_dtype),
        "torch.set_num_threads": (torch.get_num_threads, torch.set_num_threads),
        "torch.set_grad_enabled": (torch.is_grad_enabled, torch.set_grad_enabled),
        "torch.use_deterministic_algorithms": (
            torch.are_deterministic_algorithms_enabled,
            torch.use_deterministic_algorithms,
        ),
        "torch.set_float32_matmul_precision": (
            torch.get_float32_matmul_precision,
            torch.set_float32_matmul_precision,
        ),
        "torch.backends.cudnn.benchmark": flag(torch.backends.cudnn, "benchmark"),
        "torch.backends.cudnn.enabled": (
            lambda: torch.backends.cudnn.enabled,
            lambda value: torch._C._set_cudnn_enabled(value),
        ),
        "torch.backends.cudnn.allow_tf32": flag(torch.backends.cudnn, "allow_tf32"),
        "torch.backends.cuda.matmul.allow_tf32": flag(torch.backends.cuda.matmul, "allow_tf32"),
    }
