"""A job: some trials that one process runs, on whatever machine. A run of jobs, and what it hears of them.

    OUT/jobs/RUN/NUMBER.HOST-PID.jsonl    what a process says of a job, one event per line

A job loads the testbed, runs its cases one after another and writes their records to the directory of results, which
all machines share. It says there, too, what happens: one file per process, so that nobody writes to another's. The run
reads these files and asks the scheduler which jobs have ended. If RUN is not there, the job is no longer wanted.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import signal
import time
from abc import abstractmethod
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

from guidebench import environment, errors
from guidebench.engine.events import Event, Finished, Started, Stepped
from guidebench.engine.plan import Case, Description
from guidebench.engine.worker import Setup
from guidebench.engine.workers import Executor, Pool
from guidebench.errors import BadInput, GuidebenchError, StorageError
from guidebench.store import claims
from guidebench.store.folders import Store, storage_errors, within
from guidebench.store.processes import this_host

JOBS = "jobs"
_POLLED = 1.0  # seconds between two looks at what jobs have said
_TOLD = 2.0  # seconds between two reports of a trial's progress
_PATIENCE = 30.0  # seconds in which a file server shows a new folder
_VISIBLE = 60.0  # seconds after which a file server has shown everybody a new file, as by default on NFS
_ENDING = (signal.SIGTERM, signal.SIGUSR2)  # by which schedulers announce the end of a job


@dataclass(frozen=True)
class Job:
    """What a process somewhere needs to run some cases: plain data, with absolute paths."""

    number: int
    setup: Setup
    cases: tuple[Case, ...]
    described: Description  # from which the cases were planned
    folder: Path  # where it says what happens
    directory: Path  # where the command was given: relative paths start there
    environment: Mapping[str, str]  # guidebench's own variables, as the command had them


def run_cases(job: Job) -> None:
    """Runs a job's cases, records them and says so: all that an executor sends elsewhere.

    Once more, perhaps on another machine, if an attempt was lost: what is recorded by then is passed over, and what was
    begun goes on from what it kept. An error that concerns the whole run is said, not raised.
    """
    _refuse_unshared(job)
    os.environ.update(job.environment)
    os.chdir(job.directory)
    begun = _begun(job)
    cases = (replace(case, fresh=case.fresh and place not in begun) for place, case in enumerate(job.cases))
    job = replace(job, cases=tuple(cases))
    telling = _Telling(job)
    with _silent_when_told_to_end(telling), telling.of_logs():
        try:
            _outwait(job, begun)
            _run(job, telling)
        except GuidebenchError as error:
            telling.write(kind="fatal", name=type(error).__name__, text=f"{error} (on {this_host()})")


def _begun(job: Job) -> set[int]:
    """The cases that earlier attempts at a job have begun."""
    return {said["case"] for _, said in _Heard(job.folder).news({job.number}) if said["kind"] == "started"}


def _outwait(job: Job, begun: set[int]) -> None:
    """Returns when the claims of an attempt that was lost on another machine are void, which only their age shows.

    If a claim is still renewed by then, its process lives, and is waited for no longer.
    """
    if not begun:
        return
    store, since = Store(job.setup.out), time.monotonic()
    while any(claims.in_flight(store, job.cases[place].spec) for place in begun):
        if time.monotonic() - since > claims.VOID + claims.RENEWED:
            break
        time.sleep(_POLLED)


def _run(job: Job, telling: _Telling) -> None:
    if job.setup.device != "cpu":
        environment.resolve_device(job.setup.device)
    with contextlib.closing(Pool(job.setup, 1)) as pool:
        _refuse_others(job.described, pool.description())
        for event in pool.run(job.cases):
            telling.tell(event)


def _refuse_unshared(job: Job) -> None:
    """Raises StorageError unless this machine sees what the run has made, perhaps a moment ago."""
    since = time.monotonic()
    while not (job.folder.is_dir() and job.directory.is_dir()):
        if time.monotonic() - since > _PATIENCE:
            lacking = job.directory if job.folder.is_dir() else job.folder
            raise StorageError(
                f"{this_host()} does not see {lacking}; all machines must share the directory of results, and the one "
                "in which the command is given (or the run was ended meanwhile)"
            )
        time.sleep(0.5)


def _refuse_others(planned: Description, found: Description) -> None:
    """Raises BadInput if this machine has other weights, photographs or code of the testbed."""
    for name in ("testbed", "testbed_code", "weights", "manifests", "groups"):
        if getattr(planned, name) != getattr(found, name):
            raise BadInput(
                f"testbed {planned.testbed} has other {name} here than where the run was planned; give all machines "
                "the same version of guidebench, weights and photographs"
            )


@contextlib.contextmanager
def _silent_when_told_to_end(telling: _Telling) -> Iterator[None]:
    """Says nothing more once a scheduler ends the job: processes that die around this one are no finding.

    Raises GuidebenchError at the end of the block if that has happened; what the signals did before, they do, too.
    """
    before = {number: signal.getsignal(number) for number in _ENDING}

    def hear(number: int, frame: FrameType | None) -> None:
        telling.silenced = signal.Signals(number).name
        former = before[signal.Signals(number)]
        assert callable(former)
        former(number, frame)

    heard = [number for number, handler in before.items() if callable(handler)]  # the others end the process
    for number in heard:
        signal.signal(number, hear)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])
    if telling.silenced:
        raise GuidebenchError(f"the job was told to end by {telling.silenced}: cancelled, preempted or out of time")


class _Telling:
    """Writes what happens to the job's file, which is closed after each word, since only then others see it."""

    def __init__(self, job: Job) -> None:
        self._job, self._path = job, job.folder / f"{job.number}.{this_host()}-{os.getpid()}.jsonl"
        self._steps: list[tuple[int, dict[str, float]]] = []
        self._last = 0.0
        self._is_torn = False  # whether the last word was cut off
        self.silenced = ""  # by which signal

    @contextlib.contextmanager
    def of_logs(self) -> Iterator[None]:
        """Tells what guidebench logs within the block."""
        logger, handler = logging.getLogger("guidebench"), _Told(self)
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)

    def write(self, **said: Any) -> None:
        """One line, unless the job was silenced. Raises StorageError if it cannot be written."""
        if self.silenced:
            return
        start, self._is_torn = "\n" if self._is_torn else "", True
        with storage_errors(self._path), open(self._path, "a", encoding="utf-8") as stream:
            stream.write(f"{start}{json.dumps(said)}\n")
        self._is_torn = False

    def tell(self, event: Event) -> None:
        """An event; several steps at once, as they come fast."""
        match event:
            case Started(case):
                self._steps = []
                self.write(kind="started", case=self._job.cases.index(case))
            case Stepped(case, step, scalars, earlier):
                self._steps += [*earlier, (step, scalars)]
                if time.monotonic() - self._last >= _TOLD:
                    self._tell_steps(case)
            case Finished(case):
                self._tell_steps(case)
                said = {"folder": event.folder and str(event.folder), "seconds": event.seconds}
                said |= {"reason": event.reason, "warning": event.warning}
                self.write(kind="finished", case=self._job.cases.index(case), **said)

    def _tell_steps(self, case: Case) -> None:
        if self._steps:
            self.write(kind="stepped", case=self._job.cases.index(case), steps=self._steps)
        self._steps, self._last = [], time.monotonic()


class _Told(logging.Handler):
    """Hands a job's messages to whoever started the run."""

    def __init__(self, telling: _Telling) -> None:
        super().__init__(logging.INFO)
        self._telling = telling

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(StorageError):
            self._telling.write(kind="log", name=record.name, level=record.levelno, text=record.getMessage())


@dataclass
class _Followed:
    """What is known of a job."""

    job: Job
    since: float = field(default_factory=time.perf_counter)
    begun: set[int] = field(default_factory=set)
    ended: set[int] = field(default_factory=set)

    def hear(self, said: Mapping[str, Any]) -> Iterator[Event]:
        """Events of one line; what another attempt at the job says again is left out."""
        place, kind = said["case"], said["kind"]
        if place in self.ended:
            return
        case = self.job.cases[place]
        if place not in self.begun:
            self.begun.add(place)
            yield Started(case)
        if kind == "stepped":
            *earlier, (step, scalars) = ((number, values) for number, values in said["steps"])
            yield Stepped(case, step, scalars, earlier=tuple(earlier))
        elif kind == "finished":
            self.ended.add(place)
            folder = None if said["folder"] is None else Path(said["folder"])
            if folder is not None:
                _await(folder)
            yield Finished(case, folder, said["seconds"], said["reason"], said["warning"])

    @property
    def is_heard(self) -> bool:
        """Whether all cases have ended."""
        return len(self.ended) == len(self.job.cases)

    def lose(self, reason: str) -> Iterator[Event]:
        """Ends the cases of which nothing more will be heard."""
        seconds = time.perf_counter() - self.since
        for place in range(len(self.job.cases)):
            said = {"kind": "finished", "case": place, "folder": None, "seconds": seconds, "warning": None}
            yield from self.hear({**said, "reason": f"{reason}; the next run tries it again"})


def _await(folder: Path) -> None:
    """Returns when a record that another machine has written is seen here."""
    since = time.monotonic()
    while not (folder / "record.json").exists() and time.monotonic() - since < _VISIBLE:
        time.sleep(0.5)


class Jobs(Executor):
    """Every few cases are a job of some scheduler's; see `guidebench.executors.slurm` and `ray`."""

    def __init__(self, setup: Setup, workers: int, cases_per_job: int = 1) -> None:
        """workers: most jobs at a time."""
        self.workers = workers
        self._cases_per_job = cases_per_job
        self._setup = replace(setup, out=setup.out.absolute())
        self._described: Description | None = None
        self._folder: Path | None = None  # of jobs that go on, and is removed if they are cancelled

    @abstractmethod
    def submit(self, jobs: Sequence[Job], folder: Path) -> None:
        """Hands jobs to the scheduler. folder: of the run, for what it needs. Raises GuidebenchError if it refuses."""

    @abstractmethod
    def ended(self) -> dict[int, str | None]:
        """The jobs that have ended since the last call, by number: None if `run_cases` returned, else what happened."""

    @abstractmethod
    def cancel(self) -> None:
        """Ends whatever was submitted and has not ended."""

    def description(self) -> Description:
        """See `Executor.description`; of a process of this machine, on its CPU, which then gives its memory back."""
        with contextlib.closing(Pool(replace(self._setup, device="cpu"), 1)) as pool:
            self._described = pool.description()
        return self._described

    def run(self, cases: Sequence[Case]) -> Iterator[Event]:
        """See `Executor.run`."""
        if not cases:
            return
        folder = self._setup.out / JOBS / f"{this_host()}-{os.getpid()}-{secrets.token_hex(4)}"
        with storage_errors(self._setup.out):
            within(folder.parent, folder.mkdir)
        self._folder = folder
        jobs = list(self._jobs(cases, folder))
        self.submit(jobs, folder)
        lost = False
        for event in self._follow({job.number: _Followed(job) for job in jobs}, folder):
            lost = lost or (isinstance(event, Finished) and event.folder is None and event.reason is not None)
            yield event
        self._folder = None
        if not lost:
            _remove(folder)

    def _jobs(self, cases: Sequence[Case], folder: Path) -> Iterator[Job]:
        described = self._described or self.description()
        own = {name: value for name, value in os.environ.items() if name.startswith("GUIDEBENCH_")}
        size = self._cases_per_job
        for number, start in enumerate(range(0, len(cases), size)):
            some = tuple(cases[start : start + size])
            yield Job(number, self._setup, some, described, folder, Path.cwd(), own)

    def _follow(self, waiting: dict[int, _Followed], folder: Path) -> Iterator[Event]:
        heard = _Heard(folder)
        any_began = False
        gone: dict[int, tuple[str | None, float]] = {}  # jobs that have ended: how, and when that was seen
        while waiting:
            gone |= {number: (how, time.monotonic()) for number, how in self.ended().items()}  # before their last words
            for number, said in heard.news(waiting):
                if said["kind"] == "log":
                    logging.getLogger(said["name"]).log(said["level"], said["text"])
                elif said["kind"] == "fatal":
                    error = getattr(errors, said["name"], GuidebenchError)(said["text"])
                    if isinstance(error, StorageError) or not any_began:
                        self._folder = None
                        raise error
                    yield from waiting[number].lose(str(error))  # one bad machine among many
                else:
                    any_began = True
                    yield from waiting[number].hear(said)
            for number, (how, since) in list(gone.items()):
                if waiting[number].is_heard or time.monotonic() - since >= _VISIBLE:
                    del gone[number]
                    yield from waiting.pop(number).lose(how or "its job ended without a word of it")
            if waiting:
                time.sleep(_POLLED)

    def close(self) -> None:
        """Cancels what has not ended; what was recorded stays."""
        self.cancel()
        if self._folder is not None:
            _remove(self._folder)


class _Heard:
    """Reads what jobs say, each line once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}  # how many bytes of a file

    def news(self, numbers: Container[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """What jobs of these numbers have said since the last call: number and line."""
        for path in sorted(self._folder.glob("*.jsonl")):
            number = int(path.name.partition(".")[0])
            if number not in numbers:
                continue
            with open(path, "rb") as stream:  # opened each time, because a file server shows only then what is new
                stream.seek(self._read.get(path, 0))
                whole = stream.read().rpartition(b"\n")[0]
            if whole:
                self._read[path] = self._read.get(path, 0) + len(whole) + 1
                for line in whole.split(b"\n"):
                    said = _read(line)
                    if said is not None:
                        yield number, said


def _read(line: bytes) -> dict[str, Any] | None:
    """What a line says; None of one that a full disk cut off."""
    try:
        said = json.loads(line)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # others' jobs are there
        folder.parent.rmdir()
