"""Methods that worker processes import, since they cannot see what a test defines."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from guidebench.unlearner import Unlearner


@dataclass(frozen=True)
class Shifts(Unlearner):
    """Moves the backbone's bias by a draw of the trial, and reports how its process was started."""

    name = "shifts"

    def unlearn(self, generator, request, context):
        step = torch.randn(12, generator=context.streams.at("shift"))
        with torch.no_grad():
            generator.get_parameter("backbone.coarse.bias").add_(step)
        omp = int(os.environ.get("OMP_NUM_THREADS", "0"))
        context.progress(1, threads=torch.get_num_threads(), omp=omp, pid=os.getpid())
        return generator


@dataclass(frozen=True)
class Dies(Unlearner):
    """Kills the worker that its trial belongs to, for one person."""

    name = "dies"

    def unlearn(self, generator, request, context):
        if request.forget[0].identity == "celebahq-0001":
            nursery = os.getppid()
            worker = int(Path(f"/proc/{nursery}/stat").read_text().rpartition(")")[2].split()[1])
            os.kill(worker, signal.SIGKILL)
            time.sleep(600)
        return generator


@dataclass(frozen=True)
class Waits(Unlearner):
    """Goes on with one person when a file is there."""

    name = "waits"
    file: str = ""

    def unlearn(self, generator, request, context):
        open(f"{self.file}.begun", "a").close()
        while request.forget[0].identity == "celebahq-0001" and not os.path.exists(self.file):
            time.sleep(0.02)
        return generator


@dataclass(frozen=True)
class Warns(Unlearner):
    """Says something where guidebench's messages go, and prints."""

    name = "warns"

    def unlearn(self, generator, request, context):
        logging.getLogger("guidebench.some.module").warning("no face in %s", request.forget[0].identity)
        logging.getLogger("guidebench.some.module").debug("a detail")
        print("printed by a method")
        sys.stdout.flush()
        return generator
