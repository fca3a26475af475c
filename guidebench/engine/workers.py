"""Where trials run: in this process, or in worker processes of one thread each.

A worker loads the testbed, describes it, computes its part of the samples that all workers need, then runs one case
after another and writes the records itself; `guidebench.engine.work` decides who does what. It ends when its pipe does,
so that nothing outlives a killed parent for longer than the trial in flight.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import multiprocessing
import os
import signal
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any

from guidebench import environment, errors
from guidebench.allocator import pages_kept
from guidebench.engine.events import Event, Finished, Sampled, Started, Stepped
from guidebench.engine.nursery import end_with_parent
from guidebench.engine.plan import Case, Description
from guidebench.engine.spawning import ignore_interrupts, settled, spawn
from guidebench.engine.work import Block, SourceSamples, Work, blocks_of
from guidebench.engine.worker import Setup, Worker
from guidebench.errors import GuidebenchError
from guidebench.protocol import Protocol

_PROGRESS_SECONDS = 0.2  # a worker reports a trial's progress at most this often


_Report = tuple[int, dict[str, float]]  # step and scalars


def _stepped(case: Case, reports: Sequence[_Report]) -> Stepped:
    return Stepped(case, *reports[-1], earlier=tuple(reports[:-1]))


class Executor(ABC):
    """Runs cases."""

    workers: int  # how many at a time

    @abstractmethod
    def description(self) -> Description:
        """What the loaded testbed says of the protocols. Raises GuidebenchError if it cannot be loaded."""

    @abstractmethod
    def run(self, cases: Sequence[Case]) -> Iterator[Event]:
        """Runs all cases and yields what happens. Raises GuidebenchError if going on makes no sense."""

    @abstractmethod
    def close(self) -> None:
        """Stops at once."""


class InProcess(Executor):
    """Runs cases here, one after another: for testbeds on which a trial takes no time."""

    workers = 1

    def __init__(self, setup: Setup) -> None:
        import torch

        from guidebench import precision

        self._callers = contextlib.ExitStack()  # the caller's settings of torch and of the allocator
        self._callers.enter_context(pages_kept())
        self._callers.enter_context(precision.restored())
        self._callers.callback(torch.set_num_threads, torch.get_num_threads())
        try:
            self.worker = Worker(dataclasses.replace(setup, in_process=True))
            self._callers.callback(self.worker.close)
        except BaseException:
            self.close()
            raise

    def description(self) -> Description:
        """See `Executor.description`."""
        return self.worker.description()

    def run(self, cases: Sequence[Case]) -> Iterator[Event]:
        """See `Executor.run`; progress of a running case is yielded when it has ended."""
        for case in cases:
            yield Started(case)
            reports: list[_Report] = []

            def step(number: int, scalars: dict[str, float], reports: list[_Report] = reports) -> None:
                reports.append((number, scalars))

            finished = self.worker.run(case, step)
            if reports:
                yield _stepped(case, reports)
            yield finished

    def close(self) -> None:
        """Ends the processes of methods, and gives the caller's its threads, precision and memory back."""
        self._callers.close()


class Pool(Executor):
    """Worker processes of one thread each. A worker that dies fails its trial and is replaced.

    With the device "cuda" and several of them, each worker sees one only, in turn.
    """

    def __init__(self, setup: Setup, workers: int) -> None:
        self.workers = workers
        self._setup = setup
        self._devices = environment.cuda_devices() if setup.device == "cuda" else []
        self._members = [self._start(number) for number in range(workers)]
        self._batch = 1  # of the testbed, see `Description`
        self._lost: set[Block] = set()  # whose first worker died

    def description(self) -> Description:
        """See `Executor.description`; answered by the first worker that is ready."""
        while True:
            ready = wait([member.pipe for member in self._members])
            member = next(member for member in self._members if member.pipe is ready[0])
            try:
                message = member.pipe.recv()
            except (EOFError, OSError):
                raise GuidebenchError(
                    "a worker process died while it loaded the testbed (out of memory?); give fewer --workers"
                ) from None
            _raise_if_fatal(message)
            match message:
                case ("log", name, level, text):
                    logging.getLogger(name).log(level, text)
                case ("ready", Description() as description):
                    member.ready, self._batch = True, description.batch
                    return description

    def run(self, cases: Sequence[Case]) -> Iterator[Event]:
        """See `Executor.run`."""
        for surplus in self._members[max(1, len(cases)) :]:
            surplus.stop()
        self._members = self._members[: max(1, len(cases))]
        work = Work(cases, blocks_of(cases, self._batch) if len(self._members) > 1 else ())
        yield from self._give(work)
        while work.waiting or any(member.task for member in self._members):
            for ready in wait([member.pipe for member in self._members]):
                member = next(member for member in self._members if member.pipe is ready)
                yield from self._hear(member, work)
                yield from self._give(work)

    def _give(self, work: Work) -> Iterator[Event]:
        """Work to everybody who is free."""
        for member in self._members:
            task = work.next(member) if member.ready and member.task is None else None
            if task is None:
                continue
            member.task, member.since = task, time.perf_counter()
            with contextlib.suppress(OSError):  # it has died meanwhile, which is heard next
                if isinstance(task, Case):
                    member.inform(work, task.spec.protocol)
                member.pipe.send(task)
            if isinstance(task, Case):
                yield Started(task)

    def _hear(self, member: _Member, work: Work) -> Iterator[Event]:
        try:
            message = member.pipe.recv()
        except (EOFError, OSError):
            yield from self._replace(member, work)
            return
        _raise_if_fatal(message)
        match message:
            case ("log", name, level, text):
                logging.getLogger(name).log(level, text)
            case ("ready", _):
                member.ready = True
            case ("sampled", features):
                if isinstance(member.task, Block):
                    work.take(member.task, features)
                    member.task = None
                    yield Sampled(*work.samples_done)
            case ("steps", reports):
                if isinstance(member.task, Case):
                    yield _stepped(member.task, reports)
            case ("finished", finished):
                member.task = None
                yield finished

    def _replace(self, member: _Member, work: Work) -> Iterator[Event]:
        """A worker died: its trial failed unrecorded; a fresh worker takes its place. Nobody misses an idle one."""
        member.process.join(timeout=5)
        code = member.process.exitcode
        how = f"by signal {-code} (out of memory?)" if code is not None and code < 0 else f"with exit code {code}"
        task, seconds = member.task, time.perf_counter() - member.since
        work.forget(member)
        if task is None and member.ready:  # it was idle: a thread that a method left behind ended it, say
            self._members.remove(member)
            return
        if task is None:
            raise GuidebenchError(f"a worker process ended {how} while it loaded the testbed; give fewer --workers")
        self._members[self._members.index(member)] = self._start(member.number)
        if isinstance(task, Case):
            yield Finished(task, None, seconds, f"its worker process ended {how}; the next run tries it again")
        elif task in self._lost:
            raise GuidebenchError(f"worker processes end {how} while they sample the generator; give fewer --workers")
        else:
            self._lost.add(task)
            work.put_back(task)

    def _start(self, number: int) -> _Member:
        here, there = multiprocessing.Pipe()
        devices = self._devices
        pinned = {"CUDA_VISIBLE_DEVICES": devices[number % len(devices)]} if len(devices) > 1 else {}
        process = spawn(_serve, there, self._setup, variables=pinned)
        there.close()
        return _Member(number, process, here)

    def close(self) -> None:
        """Stops all workers at once; what they had recorded stays."""
        for member in self._members:
            member.hang_up()
        for member in self._members:
            member.stop()


@dataclass(eq=False)
class _Member:
    number: int
    process: Any
    pipe: Connection
    ready: bool = False
    task: Case | Block | None = None
    since: float = 0.0
    informed: set[str] = field(default_factory=set)  # digests of protocols whose source samples it has

    def inform(self, work: Work, protocol: Protocol) -> None:
        """Hands it the original generator's samples, once."""
        if protocol.digest() in self.informed:
            return
        samples = work.source_samples(protocol)
        if samples is not None:
            self.pipe.send(samples)
        self.informed.add(protocol.digest())

    def hang_up(self) -> None:
        """Tells the process to end: an idle one clears up what methods left, such as the lock of a progress bar."""
        if self.task or not self.ready:
            self.process.terminate()
        self.pipe.close()

    def stop(self) -> None:
        """Ends the process, and returns when it has ended."""
        self.hang_up()
        self.process.join(timeout=5)
        if self.process.is_alive():
            self.process.kill()


def _raise_if_fatal(message: tuple[Any, ...]) -> None:
    if message[0] == "fatal":
        raise getattr(errors, message[1], GuidebenchError)(message[2])


def _serve(pipe: Connection, setup: Setup) -> None:
    """The life of a worker process."""
    ignore_interrupts()
    end_with_parent()
    _give_up_when_terminated()
    os.dup2(2, 1)  # results alone go to stdout, and the parent prints them
    _forward_logs(pipe)
    try:
        worker = Worker(setup)
        settled()
        pipe.send(("ready", worker.description()))
        while True:
            match pipe.recv():
                case SourceSamples(protocol, features):
                    worker.bench.share_source_samples(protocol, features)
                case Block() as block:
                    pipe.send(("sampled", worker.sample(block)))
                case Case() as case:
                    step = _Throttled(pipe)
                    finished = worker.run(case, step)
                    step.flush()
                    pipe.send(("finished", finished))
    except (EOFError, BrokenPipeError):
        return  # the parent is gone
    except GuidebenchError as error:
        pipe.send(("fatal", type(error).__name__, str(error)))
    except Exception as error:  # a defect of guidebench itself: say where, once
        if "GUIDEBENCH_DEBUG" in os.environ:
            logging.getLogger(__name__).error("%s", traceback.format_exc())
        hint = "please report it with the traceback that GUIDEBENCH_DEBUG=1 shows"
        pipe.send(("fatal", "GuidebenchError", f"internal error: {type(error).__name__}: {error}; {hint}"))


def _give_up_when_terminated() -> None:
    """Gives up claims, for which other hosts would wait, and ends. A scheduler's warnings are not for workers."""
    from guidebench.store import claims

    def end(number: int, frame: FrameType | None) -> None:
        claims.give_up_all()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    if hasattr(signal, "SIGUSR2"):
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)


class _Forwarded(logging.Handler):
    """Hands a worker's messages to the parent, whose handlers they concern."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__()
        self._pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):  # the parent is gone
            self._pipe.send(("log", record.name, record.levelno, record.getMessage()))


def _forward_logs(pipe: Connection) -> None:
    logger = logging.getLogger("guidebench")
    logger.setLevel(logging.INFO)
    logger.addHandler(_Forwarded(pipe))


class _Throttled:
    """Sends a trial's progress, several steps of a fast one at once."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._last = pipe, 0.0
        self._reports: list[_Report] = []

    def __call__(self, number: int, scalars: dict[str, float]) -> None:
        self._reports.append((number, scalars))
        if time.monotonic() - self._last >= _PROGRESS_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Sends what was not sent yet."""
        self._last = time.monotonic()
        if self._reports:
            self._pipe.send(("steps", self._reports))
        self._reports = []


def start_executor(setup: Setup, *, workers: int | None, instant: bool, heavy: bool = False) -> Executor:
    """In this process if trials are instant and nobody asked for workers; else as many as asked for.

    workers: 0: in this process; None: see `default_workers`. instant, heavy: see `guidebench.testbed.Testbed`.
    """
    if workers == 0 or (instant and workers is None):
        return InProcess(setup)
    return Pool(setup, workers or default_workers(setup.device, heavy=heavy))


def default_workers(device: str, *, heavy: bool = False) -> int:
    """How many processes run if nobody says: one per GPU; on a CPU one per core, at most 8, or one of a heavy testbed.

    device: "cuda" means all of them.
    """
    if device == "cuda":
        return max(1, len(environment.cuda_devices()))
    if device != "cpu" or heavy:
        return 1
    return min(environment.cores(), 8)
