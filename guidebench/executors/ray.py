"""Ray: a task per job on a running cluster (`pip install 'guidebench[ray]'`)."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from guidebench.engine.worker import Setup
from guidebench.errors import BadInput, in_one_line
from guidebench.executors.jobs import Job, Jobs, run_cases

_RETRIES = 3  # times that a job begins again on another node because its own was lost
_log = logging.getLogger(__name__)


class Ray(Jobs):
    """Tasks of one GPU each, or of one CPU."""

    def __init__(self, setup: Setup, workers: int | None) -> None:
        """Connects to the cluster, unless this process is connected. Raises BadInput if there is none, or no Ray."""
        try:
            import ray
        except ImportError:
            raise BadInput("executor ray needs Ray: pip install 'guidebench[ray]'") from None
        self._ray: Any = ray
        self._connected = not ray.is_initialized()
        if self._connected:
            address = os.environ.get("RAY_ADDRESS", "auto")
            try:
                ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
            except Exception as error:  # of many classes, by what is amiss
                raise BadInput(
                    f"no Ray cluster answers at {address} ({in_one_line(error):.120}); start one with `ray start "
                    "--head`, or name it in RAY_ADDRESS"
                ) from error
        self._needs = {"num_cpus": 1, "num_gpus": 0 if setup.device == "cpu" else 1}
        kind = "CPU" if setup.device == "cpu" else "GPU"
        found = int(ray.cluster_resources().get(kind, 0))
        if not found:
            _log.warning("the Ray cluster has no %s now; trials wait until it has one", kind)
        super().__init__(setup, workers or max(1, found))
        self._queue: deque[Job] = deque()
        self._running: dict[Any, int] = {}  # Ray's reference -> number

    def submit(self, jobs: Sequence[Job], folder: Path) -> None:
        """See `Jobs.submit`."""
        self._queue.extend(jobs)
        self._fill()

    def _fill(self) -> None:
        task = self._ray.remote(run_cases).options(max_retries=_RETRIES, name="guidebench", **self._needs)
        while self._queue and len(self._running) < self.workers:
            job = self._queue.popleft()
            self._running[task.remote(job)] = job.number

    def ended(self) -> dict[int, str | None]:
        """See `Jobs.ended`."""
        found: dict[int, str | None] = {}
        ready, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        for reference in ready:
            number = self._running.pop(reference)
            try:
                self._ray.get(reference)
                found[number] = None
            except self._ray.exceptions.RayError as error:
                last = [line for line in str(error).splitlines() if line.strip()]
                found[number] = f"its Ray task failed: {type(error).__name__}: {last[-1] if last else ''}"
        self._fill()
        return found

    def cancel(self) -> None:
        """See `Jobs.cancel`."""
        self._queue.clear()
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._running = {}

    def close(self) -> None:
        """See `Jobs.close`; a connection of the caller's own stays."""
        super().close()
        if self._connected:
            self._ray.shutdown()
