"""Puts requests for several people to a method that forgets one at a time: person by person, each on what was left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from guidebench.engine.peak_memory import Peak
from guidebench.engine.unlearning import Runner, Unlearned
from guidebench.testbed import Generator
from guidebench.unlearner import ForgetItem, ForgetRequest


class OneByOne(Runner):
    """Another runner, asked once per person. The steps of a request are counted on from person to person."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.in_process = runner.in_process

    def unlearn(self, request: ForgetRequest, number: int) -> Unlearned:
        """See `Runner`; the answer is that to the last person, with the time of all."""
        answers: list[Unlearned] = []
        steps = 0
        for place, item in enumerate(request.forget):
            earlier = (*request.earlier, *request.forget[:place])
            answers.append(self._runner.unlearn(ForgetRequest((item,), request.retain, earlier), number))
            for row in answers[-1].progress:
                row["step"] += steps
            steps = int(answers[-1].progress[-1]["step"]) if answers[-1].progress else steps
        last = answers[-1]
        return replace(
            last,
            progress=[row for answer in answers for row in answer.progress],
            seconds=sum(answer.seconds for answer in answers),
            memory=_largest([answer.memory for answer in answers]),
            wrapper=any(answer.wrapper for answer in answers),
        )

    def targets(self, items: Sequence[ForgetItem]) -> dict[str, Tensor]:
        """See `Runner`."""
        return self._runner.targets(items)

    def save(self, folder: Path) -> None:
        """See `Runner`."""
        self._runner.save(folder)

    def load(self, folder: Path) -> Generator:
        """See `Runner`."""
        return self._runner.load(folder)

    def keep(self, folder: Path) -> str:
        """See `Runner`."""
        return self._runner.keep(folder)

    def resume(self, folder: Path, *, wrapper: bool) -> Generator:
        """See `Runner`."""
        return self._runner.resume(folder, wrapper=wrapper)


def _largest(peaks: Sequence[Peak]) -> Peak:
    """The largest of those that are known."""
    known = [peak for peak in peaks if peak.bytes is not None]
    return max(known, key=lambda peak: peak.bytes or 0) if known else peaks[-1]
