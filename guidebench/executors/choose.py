"""Which executor a run has, from what was asked."""

from __future__ import annotations

from guidebench.engine.asked import LOCAL, Options
from guidebench.engine.worker import Setup
from guidebench.engine.workers import Executor, default_workers, start_executor
from guidebench.environment import resolve_device
from guidebench.errors import BadInput
from guidebench.testbed import Testbed


def device(options: Options) -> str:
    """Where trials run: a device of this machine, or of machines whose devices this one does not see."""
    if options.executor == LOCAL:
        return resolve_device(options.device)
    if options.device not in ("cpu", "cuda"):
        raise BadInput(
            f"device {options.device} means one of this machine; for executor {options.executor} give --device cuda "
            "(one GPU per trial, which the scheduler chooses) or --device cpu"
        )
    return options.device


def device_here(options: Options) -> str:
    """The device of this machine on which a run is planned."""
    return device(options) if options.executor == LOCAL else "cpu"


def at_a_time(options: Options, testbed: type[Testbed]) -> int:
    """How many trials would run at a time, without asking a cluster. Raises BadInput if only the cluster knows."""
    if options.workers:
        return options.workers
    if options.executor == LOCAL:
        return 1 if testbed.instant else default_workers(device(options), heavy=testbed.heavy)
    raise BadInput(f"how many trials run at a time is up to executor {options.executor}; give --workers")


def start(setup: Setup, options: Options, testbed: type[Testbed], *, workers: int | None) -> Executor:
    """The executor that was asked for. workers: see `Options`, or 0 if only this process can run the trials."""
    if options.executor == LOCAL:
        return start_executor(setup, workers=workers, instant=testbed.instant, heavy=testbed.heavy)
    if options.executor == "slurm":
        from guidebench.executors.slurm import Slurm, check

        return Slurm(setup, workers, check(dict(options.slurm)))
    from guidebench.executors.ray import Ray

    return Ray(setup, workers)
