"""A generator of a class of its own, which renders in a process that has not run the method and knows no judge."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor

from guidebench import room
from guidebench.chosen import ChosenAttack, ChosenMethod
from guidebench.engine.isolation import blame_the_method
from guidebench.engine.nursery import Child
from guidebench.engine.renders_only import RendersOnly
from guidebench.engine.wire import (
    heard,
    module_from_bytes,
    packed,
    tensors_from_bytes,
    tensors_to_bytes,
    told,
    unpacked,
)
from guidebench.errors import GuidebenchError, MethodError
from guidebench.noise import Noise
from guidebench.testbed import Generator
from guidebench.views import render_views


class Hosted(RendersOnly):
    """Asks the other process for codes and images. It has the original's sizes, as every generator must."""

    refusal = "a generator in another process only renders"

    def __init__(self, child: Child, source: Generator, timeout: float | None) -> None:
        """source: the original generator. timeout: seconds for each answer; None: as long as it takes."""
        super().__init__(source)
        self._child, self._timeout = child, timeout
        self.module = b""  # the generator, as it was sent

    def start(self, makers: Sequence[ChosenMethod | ChosenAttack], module: bytes) -> None:
        """Lets the process load a generator; raises MethodError if it cannot.

        makers: whose files its classes are in.
        """
        self.module = module
        self._ask(tuple(makers), module)

    def close(self) -> None:
        """Ends the process."""
        self._child.end()

    def map(self, z: Tensor, *, condition: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """See `guidebench.testbed.Generator`."""
        return self._ask("map", z.cpu(), {"condition": _cpu(condition), "psi": psi, "cutoff": cutoff})

    def render(self, ws: Tensor, cameras: Tensor | None = None, *, noise: Noise) -> Tensor:
        """See `guidebench.testbed.Generator`."""
        return self._ask("render", ws.cpu(), _cpu(cameras), noise)

    def views(self, code: Tensor, cameras: Tensor | None, noise: Noise, *, batch: int | None = None) -> Tensor:
        """See `guidebench.views.render_views`."""
        return self._ask("views", code.cpu(), _cpu(cameras), noise, batch)

    def _ask(self, *task: Any) -> Tensor:
        self._child.send(packed(*task))
        try:
            kind, content = heard(self._child.receive(self._timeout))
        except TimeoutError:
            self._child.kill()
            raise MethodError(f"its generator took longer than the {self._timeout:g} s that --timeout allows") from None
        if kind == "failed":
            raise MethodError(content["reason"])
        take_room(content)
        return tensors_from_bytes(content["tensor"])["tensor"].to(self.w_avg.device)


def take_room(content: Mapping[str, Any]) -> None:
    """Remembers what memory did not hold in a process that somebody else's code runs in; anything else is ignored."""
    for what in (room.FACES, room.VIEWS):
        at_once = content.get(what)
        if type(at_once) is int and at_once > 0:
            room.found(what, at_once)


def _cpu(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.cpu()


def host(pipe: Connection, device: torch.device) -> None:
    """The life of a generator's process: load it, then answer until the pipe closes."""
    logging.getLogger("guidebench").handlers[:] = [logging.NullHandler()]
    try:
        makers, module = unpacked(pipe.recv_bytes())
        with blame_the_method("the returned generator cannot be loaded where it is judged"):
            for maker in makers:
                maker.build()  # imports the files that its classes are in
            generator = module_from_bytes(module, device).eval().requires_grad_(False)
        pipe.send_bytes(_answer(generator.w_avg))
        while True:
            task = unpacked(pipe.recv_bytes())
            with torch.no_grad(), blame_the_method("the returned generator cannot be evaluated"):
                found = _of(generator, task, device)
            pipe.send_bytes(_answer(found))
    except GuidebenchError as error:
        pipe.send_bytes(told("failed", reason=str(error)))
    while True:
        pipe.recv_bytes()


def _of(generator: Generator, task: tuple[Any, ...], device: torch.device) -> object:
    match task:
        case ("map", z, options):
            if options["condition"] is not None:
                options["condition"] = options["condition"].to(device)
            return generator.map(z.to(device), **options)
        case ("render", ws, cameras, noise):
            return room.joined(
                room.in_parts(
                    room.FACES, len(ws), partial(_rendered, generator, ws.to(device), _to(cameras, device), noise)
                )
            )
        case ("views", code, cameras, noise, batch):
            return render_views(generator, code.to(device), _to(cameras, device), noise, batch=batch)
    raise MethodError(f"a generator is not asked for {task[0]!r:.40}")


def _rendered(generator: Generator, ws: Tensor, cameras: Tensor | None, noise: Noise, rows: range) -> Tensor:
    cut = slice(rows.start, rows.stop)
    return generator.render(ws[cut], None if cameras is None else cameras[cut], noise=noise.rows(rows.start, len(rows)))


def _to(tensor: Tensor | None, device: torch.device) -> Tensor | None:
    return None if tensor is None else tensor.to(device)


def _answer(found: object) -> bytes:
    if not isinstance(found, Tensor):
        raise MethodError(f"the returned generator gives {type(found).__name__}, not a tensor")
    if found.layout != torch.strided or found.device.type == "meta":
        kind = "meta" if found.device.type == "meta" else str(found.layout).removeprefix("torch.")
        raise MethodError(f"the returned generator gives a {kind} tensor; images are dense tensors of numbers")
    return told("answer", tensor=tensors_to_bytes({"tensor": found}), **room.held())
