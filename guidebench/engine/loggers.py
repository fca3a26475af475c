"""Progress and results in TensorBoard or in Weights & Biases: one run of theirs for each trial.

Their packages are imported when a run asks for them, and only then.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from guidebench.engine.events import Event, Finished, Stepped
from guidebench.engine.plan import Case
from guidebench.engine.watching import Spared, Watcher
from guidebench.errors import BadInput, in_one_line
from guidebench.store import folders
from guidebench.store.record import Record, TrialSpec


class Pages(ABC):
    """Where one trial is written to."""

    @abstractmethod
    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """What the method reported at a step, counted on over the requests of the trial."""

    @abstractmethod
    def result(self, values: Mapping[str, float], sheet: np.ndarray | None) -> None:
        """Scores and costs of the trial that was measured. sheet: (h, w, 3) uint8: before and after."""

    @abstractmethod
    def close(self, reason: str | None = None) -> None:
        """The trial is over. reason: why it failed."""


class Logger(Watcher):
    """Opens pages for every trial of which there is something to show, and fills them as the run goes on."""

    def __init__(self, open_pages: Callable[[TrialSpec], Pages]) -> None:
        self._open_pages = open_pages
        self._open: dict[Case, Pages] = {}
        self._steps: dict[Case, tuple[int, int]] = {}  # of the requests before, and the last of this one

    def begin(self, todo: Sequence[Case], workers: int) -> None:
        """See `Watcher.begin`."""

    def hear(self, event: Event) -> None:
        """See `Watcher.hear`."""
        match event:
            case Stepped(case):
                pages = self._pages_of(case)
                for step, scalars in (*event.earlier, (event.step, event.scalars)):
                    pages.scalars(scalars, self._counted(case, step))
            case Finished(case) if event.folder is not None or event.reason is not None:  # else another process has it
                pages = self._pages_of(case)
                if event.folder is not None and event.reason is None:
                    record = folders.read(event.folder)
                    pages.result(dict(_numbers(record)), _sheet(event.folder))
                del self._open[case]
                pages.close(event.reason)

    def close(self) -> None:
        """See `Watcher.close`; trials that are still running are interrupted."""
        for pages in self._open.values():
            pages.close("interrupted")
        self._open = {}

    def _pages_of(self, case: Case) -> Pages:
        if case not in self._open:
            self._open[case], self._steps[case] = self._open_pages(case.spec), (0, 0)
        return self._open[case]

    def _counted(self, case: Case, step: int) -> int:
        """A step, counted on where a later request starts again from 1."""
        before, last = self._steps[case]
        before += last if step <= last else 0
        self._steps[case] = before, step
        return before + step


def _numbers(record: Record) -> Iterator[tuple[str, float]]:
    """Scores after the last request, and what the trial cost, by what a chart is called."""
    last = len(record.spec.requests)
    for score in record.outcome.scores:
        if score.value is not None and score.after_request == last:
            whom = () if score.identity == record.spec.group else (score.identity,)
            yield "/".join(("score", score.metric, *([score.judge] if score.judge else []), *whom)), score.value
    for name, value in dataclasses.asdict(record.cost).items() if record.cost else ():
        if isinstance(value, int | float):
            yield f"cost/{name}", float(value)


def _sheet(folder: Path) -> np.ndarray | None:
    from PIL import Image

    path = folder / "pictures" / "sheet.png"
    if not path.is_file():
        return None
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


# The services ----------------------------------------------------------------------------------------------------


class _TensorBoard(Pages):
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"progress/{name}", value, step)

    def result(self, values: Mapping[str, float], sheet: np.ndarray | None) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, 0)
        if sheet is not None:
            self._writer.add_image("before and after", sheet, 0, dataformats="HWC")

    def close(self, reason: str | None = None) -> None:
        if reason is not None:
            self._writer.add_text("failed", reason)
        self._writer.close()


class _Wandb(Pages):
    def __init__(self, wandb: Any, run: Any) -> None:
        self._wandb, self._run = wandb, run

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self._run.log({f"progress/{name}": value for name, value in values.items()}, step=step)

    def result(self, values: Mapping[str, float], sheet: np.ndarray | None) -> None:
        self._run.summary.update(dict(values))
        if sheet is not None:
            self._run.log({"before and after": self._wandb.Image(sheet)})

    def close(self, reason: str | None = None) -> None:
        if reason is not None:
            self._run.summary["failed"] = reason
        self._run.finish(exit_code=0 if reason is None else 1)


def _tensorboard(place: str, out: Path) -> Logger:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except Exception as error:  # it needs the package tensorboard, and what that needs
        raise _lacking("tensorboard", error) from None
    root = Path(place) if place else out / "tensorboard"

    def open_pages(spec: TrialSpec) -> Pages:
        writer = SummaryWriter(str(root / folders.place_of(spec)))
        writer.add_text("trial", "\n".join(f"    {name} = {value}" for name, value in _settings(spec).items()))
        return _TensorBoard(writer)

    return Logger(open_pages)


def _wandb(project: str, out: Path) -> Logger:
    try:
        import wandb
    except Exception as error:
        raise _lacking("wandb", error) from None

    def open_pages(spec: TrialSpec) -> Pages:
        run = wandb.init(
            project=project or "guidebench",
            group=spec.protocol.name,
            job_type=spec.method.label,
            name=f"{spec.method.label} {spec.group} s{spec.seed}",
            config=_settings(spec),
            dir=str(out),
            reinit="create_new",  # trials run side by side
            settings=wandb.Settings(console="off", silent=True),
        )
        return _Wandb(wandb, run)

    return Logger(open_pages)


def _settings(spec: TrialSpec) -> dict[str, Any]:
    """What a run of theirs is looked up by."""
    return {
        "testbed": spec.testbed,
        "protocol": spec.protocol.name,
        "method": spec.method.label,
        "people": list(spec.people),
        "seed": spec.seed,
        "key": spec.key,
        **{f"method.{name}": value for name, value in spec.method.fields.items()},
    }


def _lacking(package: str, error: Exception) -> BadInput:
    return BadInput(
        f"--log {package} needs the package {package}, which cannot be imported: {in_one_line(error)}; "
        f"`pip install {package}`"
    )


SERVICES: Mapping[str, Callable[[str, Path], Logger]] = {"tensorboard": _tensorboard, "wandb": _wandb}


def logger_of(spec: str, out: Path) -> Watcher:
    """A logger by ``tensorboard[:DIR]`` or ``wandb[:PROJECT]``, which ends if it raises; the run goes on.

    out: where the records go. Raises BadInput if there is no such service, or its package is missing.
    """
    name, _, where = spec.partition(":")
    if name not in SERVICES:
        raise BadInput(f"--log {spec}: give tensorboard[:DIR] or wandb[:PROJECT]")
    return Spared(SERVICES[name](where, out), f"--log {name}")
