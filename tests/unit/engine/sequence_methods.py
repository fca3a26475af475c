"""Methods for trials of several requests, in a file of their own, since other processes load them."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from guidebench.testbed import Generator
from guidebench.unlearner import Unlearner


def _worker() -> int:
    """The process that judges: its nursery started this one."""
    return int(Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1])


@dataclass(frozen=True)
class Sequence(Unlearner):
    """Moves the backbone by a draw of each request, and writes down whom it was asked for.

    Until the file ``mended`` exists it raises, or kills the worker, at the request of the person ``at``.
    """

    name = "sequence"
    supports = frozenset({"single", "simultaneous", "sequential"})
    log: str = ""
    mended: str = ""
    at: str = "celebahq-0002"
    kills: bool = False

    def unlearn(self, generator, request, context):
        names = [item.identity for item in request.forget]
        earlier = [item.identity for item in request.earlier]
        with open(self.log, "a", encoding="utf-8") as stream:
            stream.write(f"{','.join(earlier)}>{','.join(names)}\n")
        if self.at in names and not os.path.exists(self.mended):
            if self.kills:
                os.kill(_worker(), signal.SIGKILL)
                time.sleep(600)
            raise ValueError("not this one")
        with torch.no_grad():
            bias = generator.get_parameter("backbone.coarse.bias")
            bias.mul_(0.9).add_(0.2 * torch.randn(12, generator=context.streams.at("move")))
        context.progress(3, loss=float(len(names)))
        return generator


@dataclass(frozen=True)
class One(Unlearner):
    """Moves one bias of the backbone a little; forgets one person at a time."""

    name = "one"
    log: str = ""

    def unlearn(self, generator, request, context):
        (item,) = request.forget
        with open(self.log, "a", encoding="utf-8") as stream:
            stream.write(f"{','.join(one.identity for one in request.earlier)}>{item.identity}\n")
        with torch.no_grad():
            generator.get_parameter("backbone.coarse.bias").add_(0.01)
        context.progress(4, loss=1.0)
        return generator


class Wrapper(Generator):
    """A generator around another one, with a tensor of its own."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.z_dim, self.num_ws, self.w_dim = inner.z_dim, inner.num_ws, inner.w_dim
        self.resolution, self.rig = inner.resolution, inner.rig
        self.features_are_deterministic = inner.features_are_deterministic
        self.register_buffer("shift", torch.zeros(inner.num_ws, inner.w_dim))

    @property
    def w_avg(self):
        return self.inner.w_avg

    def map(self, z, *, condition=None, psi=1.0, cutoff=None):
        return self.inner.map(z, condition=condition, psi=psi, cutoff=cutoff)

    def synthesize(self, ws, *, noise):
        return self.inner.synthesize(ws + self.shift, noise=noise)

    def decode(self, features, ws, cameras=None, *, noise):
        return self.inner.decode(features, ws, cameras, noise=noise)

    def parts(self):
        return self.inner.parts()


@dataclass(frozen=True)
class Wraps(Sequence):
    """Shifts all codes in a wrapper, a little further with every request; cannot save what it made."""

    name = "wraps"

    def unlearn(self, generator, request, context):
        super().unlearn(context.source.__class__(), request, context)
        wrapper = generator if isinstance(generator, Wrapper) else Wrapper(generator)
        wrapper.shift += 0.3
        return wrapper


@dataclass(frozen=True)
class Saves(Wraps):
    """The same, and saves it."""

    name = "saves"

    def save(self, generator, source, folder):
        torch.save(generator.shift, folder / "shift.pt")

    def load(self, generator, folder):
        wrapper = Wrapper(generator)
        wrapper.shift.copy_(torch.load(folder / "shift.pt", weights_only=True))
        return wrapper


@dataclass(frozen=True)
class Forgets(Saves):
    """The same, but what it saves is not what it made."""

    name = "forgets"

    def save(self, generator, source, folder):
        torch.save(generator.shift * 0, folder / "shift.pt")
