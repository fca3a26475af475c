"""Methods that say something about the process that they run in."""

from __future__ import annotations

import gc
import logging
import os
from dataclasses import dataclass

import torch

from guidebench.store.record import TrialSpec
from guidebench.testbeds.linear import LinearGenerator
from guidebench.unlearner import Unlearner


@dataclass(frozen=True)
class Sequential(Unlearner):
    """Adds one to a bias for every request."""

    name = "sequential"
    supports = frozenset({"single", "sequential"})

    def unlearn(self, generator, request, context):
        with torch.no_grad():
            generator.get_parameter("backbone.coarse.bias").add_(1.0)
        context.progress(1, pid=os.getpid())
        return generator


@dataclass(frozen=True)
class LooksAround(Unlearner):
    """Tells which salts it finds in what it was given."""

    name = "looks-around"

    def unlearn(self, generator, request, context):
        told = [found for found in gc.get_objects() if isinstance(found, TrialSpec) and found.method.name == self.name]
        logging.getLogger("guidebench.looks").info("salts %s", sorted({found.salt for found in told}))
        return generator


@dataclass(frozen=True)
class Local(Unlearner):
    """Returns a generator of a class that is defined within a function."""

    name = "local"

    def unlearn(self, generator, request, context):
        class Inner(type(generator)):
            pass

        generator.__class__ = Inner
        return generator


class Looking(LinearGenerator):
    """Renders how many definitions of trials with a salt it finds around it."""

    def decode(self, features, ws, cameras=None, *, noise):
        salted = [found for found in gc.get_objects() if isinstance(found, TrialSpec) and found.salt]
        return super().decode(features, ws, cameras, noise=noise) + len(salted)


@dataclass(frozen=True)
class LooksWhileRendering(Unlearner):
    """Returns a generator that looks around whenever it renders."""

    name = "looks-while-rendering"

    def unlearn(self, generator, request, context):
        looking = Looking()
        looking.load_state_dict(generator.state_dict())
        return looking.eval().requires_grad_(False)
