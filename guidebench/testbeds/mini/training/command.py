"""The command line of a testbed's training."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from guidebench import logs
from guidebench.testbeds.mini.training.loop import Settings
from guidebench.testbeds.mini.training.plan import Plan


def parser(plan: Plan) -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog=f"python -m {plan.package}",
        description="Trains the networks of a testbed that ships. Run it again after an interruption to resume.",
        epilog=f"Stages: {', '.join(plan.stages)}.",
    )
    command.add_argument("--out", type=Path, required=True, help="folder for data, checkpoints, logs and weights")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--device", default="cpu", help="where networks are trained; faces are rendered on the CPU")
    command.add_argument("--threads", type=int, default=1, help="per process; digests depend on it")
    command.add_argument("--workers", type=int, default=2, help="processes at once")
    command.add_argument(
        "--stages", nargs="+", choices=list(plan.stages), metavar="STAGE", help="only these (default: all)"
    )
    command.add_argument("--steps", type=int, help="steps of every stage, and little data: a smoke run")
    command.add_argument("--batch", type=int, help="batch size of every stage, for smoke runs")
    return command


def main(plan: Plan, arguments: Sequence[str] | None = None) -> None:
    """Run the stages that are not done yet."""
    options = parser(plan).parse_args(arguments)
    logs.show_on_stderr()
    torch.set_num_threads(options.threads)
    if options.device != "cpu":  # on a CPU everything used here is deterministic
        torch.use_deterministic_algorithms(True, warn_only=True)
    settings = Settings(
        out=options.out,
        seed=options.seed,
        device=torch.device(options.device),
        steps=options.steps,
        batch=options.batch,
    )
    if options.stages is not None and len(options.stages) == 1:
        plan.run_stage(settings, options.stages[0])
        return
    passed = ["--out", str(options.out), "--seed", str(options.seed), "--device", options.device]
    passed += ["--threads", str(options.threads)]
    for name in ("steps", "batch"):
        if getattr(options, name) is not None:
            passed += [f"--{name}", str(getattr(options, name))]
    plan.run(settings, options.stages or list(plan.stages), passed, options.workers)
