"""SLURM: a job array, submitted by submitit (`pip install 'guidebench[slurm]'`)."""

from __future__ import annotations

import logging
import math
import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from guidebench.engine.worker import Setup
from guidebench.errors import BadInput, in_one_line
from guidebench.executors.jobs import Job, Jobs, run_cases

_log = logging.getLogger(__name__)
AT_ONCE = 256  # jobs of an array that run at a time unless somebody says how many
_LONGEST_ARRAY = 1000  # jobs, as SLURM allows by default
_ASKED = 15.0  # seconds between two looks at the queue
_TIMEOUTS = 3  # times that a job begins again when its time is up, if it has got anywhere by then
_PER_JOB = "trials_per_job"
_LISTS = ("setup", "srun_args")  # parameters of several lines


def check(parameters: Mapping[str, str]) -> dict[str, Any]:
    """What SLURM is asked for, for each job, in submitit's types.

    Raises BadInput if submitit or sbatch is not there, or if the time limit is missing or wrong.
    """
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise BadInput("executor slurm needs submitit: pip install 'guidebench[slurm]'") from None
    for command in ("sbatch", "srun", "squeue", "scancel"):
        if shutil.which(command) is None:
            raise BadInput(
                f"executor slurm needs the command {command}, which is not here; give the command on a machine that "
                "submits to SLURM, or use --executor local or --shard"
            )
    found = {name.replace("-", "_"): _value(name, text) for name, text in parameters.items()}
    for name in ("time", _PER_JOB):
        if not isinstance(found.get(name, 1), int) or found.get(name, 1) < 1:
            raise BadInput(f"--slurm {name}={parameters[name]}: give a whole number, 1 or more")
    if "time" not in found:
        raise BadInput("executor slurm needs a time limit for each job: --slurm time=MINUTES")
    return found


def _value(name: str, text: str) -> Any:
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", name):
        raise BadInput(f"--slurm {name}={text}: write the name of an option of sbatch, such as partition=gpu")
    if name in _LISTS:
        return text.splitlines()
    return int(text) if text.isdecimal() else {"true": True, "false": False}.get(text, text)


class Slurm(Jobs):
    """A job array. Nodes that are lost or preempted put their jobs into the queue again."""

    def __init__(self, setup: Setup, workers: int | None, parameters: Mapping[str, Any]) -> None:
        """parameters: from `check`."""
        self._parameters = dict(parameters)
        super().__init__(setup, workers or AT_ONCE, self._parameters.pop(_PER_JOB, 1))
        if setup.device != "cpu":
            self._parameters.setdefault("gpus_per_node", 1)
        self._waiting: dict[int, Any] = {}  # number -> submitit's job
        self._states: dict[str, str] = {}  # in the queue, by SLURM's id
        self._missing: set[int] = set()  # jobs that were not in the queue when it was looked at last
        self._asked = 0.0

    def submit(self, jobs: Sequence[Job], folder: Path) -> None:
        """See `Jobs.submit`."""
        import submitit

        if len(jobs) > _LONGEST_ARRAY:
            least = math.ceil(sum(len(job.cases) for job in jobs) / _LONGEST_ARRAY)
            raise BadInput(
                f"{len(jobs)} jobs are more than an array of SLURM's holds ({_LONGEST_ARRAY}); give --slurm "
                f"{_PER_JOB}={least}"
            )
        goes_on = any(len(job.cases) > 1 or job.cases[0].spec.protocol.requests > 1 for job in jobs)
        executor = submitit.SlurmExecutor(folder=folder / "slurm", max_num_timeout=_TIMEOUTS if goes_on else 0)
        known = executor._valid_parameters()
        own = {name: value for name, value in self._parameters.items() if name in known}
        others = {name: value for name, value in self._parameters.items() if name not in known}
        try:
            executor.update_parameters(
                **{"job_name": "guidebench", **own},
                array_parallelism=self.workers,
                additional_parameters={"requeue": True, **others},
            )
            handles = executor.map_array(_Requeued(), jobs)
        except Exception as error:  # whatever sbatch or submitit says of wrong options
            raise BadInput(f"SLURM refuses the jobs: {in_one_line(error)}; see --slurm") from error
        self._waiting = {job.number: handle for job, handle in zip(jobs, handles, strict=True)}
        self._missing, self._asked = set(), time.monotonic()
        array = handles[0].job_id.partition("_")[0]
        _log.info("SLURM's job %s has %d jobs; their output: %s", array, len(jobs), folder / "slurm")

    def ended(self) -> dict[int, str | None]:
        """See `Jobs.ended`."""
        found = {number: _outcome(job) for number, job in self._waiting.items() if job.paths.result_pickle.exists()}
        if time.monotonic() - self._asked >= _ASKED:
            found |= self._lost(found)
        for number in found:
            del self._waiting[number]
        return found

    def _lost(self, found: Mapping[int, object]) -> dict[int, str | None]:
        """Jobs without a result that the queue has lacked twice."""
        self._asked = time.monotonic()
        states = _queue()
        if states is None:
            return {}
        self._states |= states
        missing = {
            number
            for number, job in self._waiting.items()
            if number not in found and states.get(job.job_id, "COMPLETED") not in _ALIVE
        }
        lost = missing & self._missing
        self._missing = missing - lost
        return {number: self._how(self._waiting[number]) for number in lost}

    def _how(self, job: Any) -> str:
        state = self._states.get(job.job_id, "unknown")
        return f"SLURM's job {job.job_id} left the queue (last state {state}); its output: {job.paths.stderr}"

    def cancel(self) -> None:
        """See `Jobs.cancel`."""
        arrays = sorted({job.job_id.partition("_")[0] for job in self._waiting.values()})
        if arrays:
            subprocess.run(["scancel", *arrays], check=False, capture_output=True)
        self._waiting = {}


class _Requeued:
    """`run_cases`, which begins again when its node is wanted for something else, or when its time is up."""

    def __call__(self, job: Job) -> None:
        run_cases(job)

    def checkpoint(self, job: Job) -> Any:
        """What submitit puts into the queue again: what is recorded by then is passed over."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, job)


def _outcome(job: Any) -> str | None:
    """What happened to a job that has a result; None: nothing did."""
    try:
        job.result()
        return None
    except Exception as error:  # submitit's, with the job's traceback
        last = [line for line in str(error).splitlines() if line.strip(" -")]
        said = next((line for line in reversed(last) if re.match(r"[\w.]+(Error|Exception|Exit)\b", line)), last[0])
        return f"SLURM's job {job.job_id} failed: {said}; its output: {job.paths.stderr}"


_ALIVE = {
    *("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "PREEMPTED", "SIGNALING", "STAGE_OUT"),
    *("REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD", "RESIZING"),
}


def _queue() -> dict[str, str] | None:
    """State of this user's jobs by SLURM's id, ended ones included; None: SLURM does not answer."""
    command = ["squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}", "--format=%i %T"]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.strip())
