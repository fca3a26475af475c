"""Methods that say something about the process that they run in."""

from __future__ import annotations

import gc
import logging
import os
from dataclasses import dataclass

import torch

from guidebench.store.record import TrialSpec
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
