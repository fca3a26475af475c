"""Runs a method in a process of its own, one for each trial, from which only a generator comes back.

What comes back is weights, which are put into a copy of the original generator here. A generator that is more than that
(an adapter, a wrapper) never enters the process that judges it: another fresh one loads it and renders what is asked.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from guidebench.engine.children import answered, told_failures
from guidebench.engine.hosted import Hosted
from guidebench.engine.isolation import Change, blame_the_method, check_images, is_wrapper
from guidebench.engine.peak_memory import Peak
from guidebench.engine.snapshots import Kept, Snapshots
from guidebench.engine.unlearning import Here, Report, Rows, Runner, Unlearned
from guidebench.engine.wire import (
    module_to_bytes,
    packed,
    tensors_from_bytes,
    tensors_to_bytes,
    told,
    unpacked,
)
from guidebench.errors import BadInput, MethodError
from guidebench.noise import Noise
from guidebench.protocol import Protocol
from guidebench.store.record import TrialSpec
from guidebench.testbed import Generator, Players
from guidebench.unlearner import ForgetItem, ForgetRequest, Unlearner
from guidebench.views import protocol_cameras

if TYPE_CHECKING:
    from guidebench.engine.nurseries import Nurseries

_SAME = 1e-3  # images are in [-1, 1]; one generator's in two processes differ by rounding at most


class Apart(Runner):
    """See the module."""

    in_process = False

    def __init__(
        self,
        nurseries: Nurseries,
        spec: TrialSpec,
        source: Generator,
        device: torch.device,
        report: Report,
        rows: Rows,
        timeout: float | None = None,
        kept: Kept | None = None,
    ) -> None:
        """source: the original generator. timeout: seconds for each answer; None: as long as it takes.

        kept: where snapshots of its training go; None: there are none.
        """
        self._nurseries, self._source, self._device = nurseries, source, device
        self._spec = replace(spec, salt=0)  # what other processes are told: not what a method must not know
        self._report, self._rows, self._timeout, self._kept = report, rows, timeout, kept
        self._child = nurseries.method()
        self._child.send(packed(self._spec, None if kept is None else kept.every))
        self._hosts: list[Hosted] = []

    def unlearn(self, request: ForgetRequest, number: int) -> Unlearned:
        """See `Runner`."""
        first = len(self._rows)
        content = self._ask("unlearn", request.mapped(_item_on_cpu), number)
        memory = Peak(content["memory"], content["memory_note"])
        generator = self._weights(content, request) if content["state"] else self._hosted(content["module"])
        return Unlearned(
            generator,
            self._rows[first:],
            content["seconds"],
            Change(**content["change"]),
            memory,
            wrapper=not content["state"],
            in_place=content["in_place"],
        )

    def targets(self, items: Sequence[ForgetItem]) -> dict[str, Tensor]:
        """See `Runner`."""
        moved = [_item_on_cpu(item) for item in items]
        found = tensors_from_bytes(self._ask("targets", moved)["codes"])
        return {items[int(place)].identity: code.to(self._device) for place, code in sorted(found.items())}

    def save(self, folder: Path) -> None:
        """See `Runner`."""
        self._ask("save", folder.resolve())

    def load(self, folder: Path) -> Generator:
        """See `Runner`."""
        return self._handed(self._ask("load", folder.resolve()))

    def keep(self, folder: Path) -> str:
        """See `Runner`."""
        return str(self._ask("keep", folder.resolve())["reason"])

    def resume(self, folder: Path, *, wrapper: bool) -> Generator:
        """See `Runner`."""
        return self._handed(self._ask("resume", folder.resolve(), wrapper))

    def _handed(self, content: Mapping[str, Any]) -> Generator:
        if content["module"]:
            return self._hosted(content["module"])
        return with_weights(self._source, content["state"])

    def close(self) -> None:
        """Ends the method's process and those of its generators."""
        for generator in self._hosts:
            generator.close()
        self._child.end()

    def _ask(self, *task: Any) -> dict[str, Any]:
        """Puts a task to the method's process; hears its progress and its messages until it answers."""
        self._child.send(packed(*task))
        return answered(self._child, self._timeout, self._step, self._snapshot)

    def _step(self, content: Mapping[str, Any]) -> None:
        self._rows.append(content["row"])
        if content["sound"]:
            self._report(content["step"], content["scalars"])

    def _snapshot(self, content: Mapping[str, Any]) -> None:
        step, weights = content.get("step"), content.get("weights")
        if self._kept is not None and isinstance(step, int) and isinstance(weights, bytes):  # others it sent by itself
            self._kept.take(step, weights)

    def _weights(self, content: Mapping[str, Any], request: ForgetRequest) -> Generator:
        """The original with the weights that came back, if it renders here what it rendered there."""
        generator = with_weights(self._source, content["state"])
        there = tensors_from_bytes(content["image"])["image"]
        here = _first_view(generator, self._spec.protocol, request.forget[0])
        if not float((here.cpu() - there).abs().max()) <= _SAME:
            raise MethodError(
                "the generator that unlearn() returned is more than its weights: with these alone it renders something "
                "else; return a class of your own, which renders in a process of its own"
            )
        return generator

    def _hosted(self, module: bytes) -> Hosted:
        for generator in self._hosts:
            generator.close()
        hosted = Hosted(self._nurseries.host(), self._source, self._timeout)
        self._hosts.append(hosted)
        hosted.start([self._spec.method], module)
        return hosted


def with_weights(source: Generator, state: bytes) -> Generator:
    """A copy of the original with the weights that another process sent."""
    generator = copy.deepcopy(source)
    with blame_the_method("the returned generator's weights do not fit the original"):
        generator.load_state_dict(tensors_from_bytes(state))
    return generator.eval().requires_grad_(False)


def _item_on_cpu(item: ForgetItem) -> ForgetItem:
    image = None if item.image is None else item.image.detach().cpu().clone()
    return ForgetItem(item.identity, image, item.latent.detach().cpu().clone())


def _item_on(item: ForgetItem, device: torch.device) -> ForgetItem:
    return ForgetItem(item.identity, None if item.image is None else item.image.to(device), item.latent.to(device))


@torch.no_grad()
def _first_view(generator: Generator, protocol: Protocol, item: ForgetItem) -> Tensor:
    cameras = protocol_cameras(protocol, generator)
    code = item.latent.to(generator.w_avg.device)[None]
    return generator.render(code, None if cameras is None else cameras[:1], noise=Noise.constant())


# --------------------------------------------------------------------------------------------------------------------
# In the method's process
# --------------------------------------------------------------------------------------------------------------------


class _ToldRows(Rows):
    """Progress rows, each told as it is appended."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__()
        self._pipe = pipe

    def append(self, row: dict[str, float]) -> None:
        super().append(row)
        scalars = {name: value for name, value in row.items() if name not in ("request", "step")}
        sound = all(abs(value) < float("inf") for value in scalars.values())
        self._pipe.send_bytes(told("step", row=row, step=row["step"], scalars=scalars, sound=sound))


def serve_method(pipe: Connection, load: Callable[[], Players], device: torch.device) -> None:
    """The life of a method's process: what defines its trial, then requests until the pipe closes."""
    with told_failures(pipe, "method"):
        spec, every = unpacked(pipe.recv_bytes())
        method = as_planned(spec)
        players = load()
        snapshots = Snapshots(
            every, lambda step, weights: pipe.send_bytes(told("snapshot", step=step, weights=weights))
        )
        rows = _ToldRows(pipe)
        here = Here(method, players, device, spec.protocol, spec.seed, lambda step, scalars: None, rows, snapshots)
        while True:
            match unpacked(pipe.recv_bytes()):
                case ("unlearn", request, number):
                    answer = _unlearn(here, players, spec.protocol, request, number, device)
                case ("targets", items):
                    codes = here.targets([_item_on(item, device) for item in items])
                    names = [item.identity for item in items]
                    places = {str(names.index(identity)): code for identity, code in codes.items()}
                    answer = told("codes", codes=tensors_to_bytes(places))
                case ("save", folder):
                    here.save(folder)
                    answer = told("saved")
                case ("keep", folder):
                    answer = told("kept", reason=here.keep(folder))
                case ("load", folder):
                    answer = told("loaded", **handed_on(here.load(folder), players.generator))
                case ("resume", folder, wrapper):
                    kept = here.resume(folder, wrapper=wrapper)
                    answer = told("resumed", **handed_on(kept, players.generator))
            pipe.send_bytes(answer)


def _unlearn(
    here: Here, players: Players, protocol: Protocol, request: ForgetRequest, number: int, device: torch.device
) -> bytes:
    found = here.unlearn(request.mapped(lambda item: _item_on(item, device)), number)
    generator = found.generator
    assert generator is not None, "the answer that was just given"
    content: dict[str, Any] = {
        "seconds": found.seconds,
        "change": dataclasses.asdict(found.change),
        "memory": found.memory.bytes,
        "memory_note": found.memory.note,
        "in_place": found.in_place,
        "image": b"",
    }
    content |= handed_on(generator, players.generator)
    if not found.wrapper:
        image = _first_view(generator, protocol, request.forget[0])
        content["image"] = tensors_to_bytes({"image": check_images(image, 1, players.generator.resolution)})
    return told("unlearned", **content)


def handed_on(generator: Generator, source: Generator) -> dict[str, bytes]:
    """A generator for another process: its weights, or itself if it is more than the original with other weights."""
    if not is_wrapper(generator, source):
        return {"state": tensors_to_bytes(generator.state_dict()), "module": b""}
    with blame_the_method(
        "the returned generator cannot be handed to the process that judges it; define its classes and hooks at "
        "the top level of a file"
    ):
        return {"state": b"", "module": module_to_bytes(generator)}


def as_planned(spec: TrialSpec) -> Unlearner:
    """The method of a trial; raises MethodError if its code, or a file that it reads, is not what was planned with."""
    from guidebench import sources

    try:
        method = spec.method.build()
        changed = sources.source_digest(method) != spec.method.source_digest
    except BadInput as error:
        raise MethodError(str(error)) from None
    if changed:
        raise MethodError("its code has changed since the run began; run the command again")
    with blame_the_method("its for_trial() or inputs() fails"):
        method = method.for_trial(spec.group, spec.seed)
        inputs = method.inputs()
    if inputs != spec.inputs:
        raise MethodError("a file that it reads has changed since the run began; run the command again")
    return method
