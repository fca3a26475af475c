"""Progress on stderr: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Sequence
from typing import TextIO

from guidebench.engine.events import Event, Finished, Sampled, Started, Stepped
from guidebench.engine.plan import Case
from guidebench.engine.run import is_elsewhere
from guidebench.engine.watching import Watcher
from guidebench.text import one_line

_COLUMNS = 80  # of a terminal that does not tell its width
_PLAIN_SECONDS = 15.0  # how often a plain status line is written at most


class Progress(Watcher):
    """Follows a run's events and shows identities, steps, loss and time left."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()

    def begin(self, todo: Sequence[Case], workers: int) -> None:
        """See `Watcher.begin`."""
        self._total, self._workers = len(todo), workers
        self._done = self._failed = 0
        self._sampled = ""
        self._waiting = [case.spec.method.label for case in todo]
        self._several_protocols = len({case.spec.protocol.name for case in todo}) > 1
        self._running: dict[Case, tuple[float, int, dict[str, float]]] = {}
        self._seconds: dict[str, list[float]] = {}
        self._started = self._last = time.monotonic()
        importlib.import_module("guidebench.reporting.report")  # takes long: now, while workers load, not at the end

    def hear(self, event: Event) -> None:
        """Takes note of an event and shows it."""
        now = time.monotonic()
        match event:
            case Started(case):
                self._waiting.remove(case.spec.method.label)
                self._running[case] = (now, 0, {})
            case Sampled(done, total):
                self._sampled = f"samples of the original generator {done}/{total}" if done < total else ""
            case Stepped(case, step, scalars):
                self._running[case] = (self._running[case][0], step, scalars)
            case Finished(case):
                del self._running[case]
                self._done += 1
                self._failed += event.reason is not None
                if not is_elsewhere(event):
                    self._seconds.setdefault(case.spec.method.label, []).append(event.seconds)
                self._say(self._finished_line(event))
                if event.warning:
                    self._say(f"  {event.warning}")
        if self._live:
            self._stream.write("\r\x1b[2K" + one_line(self._status(now))[: self._width()])
            self._stream.flush()
        elif isinstance(event, Stepped | Sampled) and now - self._last > _PLAIN_SECONDS:
            self._last = now
            self._say(self._status(now))

    def close(self) -> None:
        """Ends the live line."""
        if self._live:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()

    def _width(self) -> int:
        """Characters of a line that a terminal does not break; asked for every line, because windows are resized."""
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError):  # no terminal after all, or a stream without a file
            columns = 0
        return (columns or _COLUMNS) - 1  # a full line makes some terminals start the next

    def _say(self, text: str) -> None:
        clear = "\r\x1b[2K" if self._live else ""
        self._stream.write(f"{clear}{one_line(text)}\n")
        self._stream.flush()

    def _finished_line(self, event: Finished) -> str:
        case = event.case
        under = f"{case.spec.protocol.name}: " if self._several_protocols else ""
        trial = f"{under}{case.spec.method.label} on {case.spec.group}, seed {case.spec.seed}"
        took = "another process has it" if is_elsewhere(event) else f"{event.seconds:.1f} s"
        text = f"[{self._done}/{self._total}] {trial}: {took}"
        return text if event.reason is None else f"{text}, FAILED: {event.reason}"

    def _status(self, now: float) -> str:
        parts = [f"{self._done}/{self._total} trials"]
        if self._sampled:
            parts.append(self._sampled)
        for case, (_, step, scalars) in self._running.items():
            steps = case.spec.method.fields.get("steps")
            where = f" step {step}/{steps}" if steps and step else ""
            loss = f" loss {scalars['loss']:.3f}" if "loss" in scalars else ""
            parts.append(f"{case.spec.method.label} {case.spec.group}{where}{loss}")
        left = self._left(now)
        if left is not None:
            parts.append(f"{int(left) // 60}:{int(left) % 60:02d} left")
        return " | ".join(parts)

    def _left(self, now: float) -> float | None:
        """Seconds left, from the measured mean of each method's trials, or from the steps of the first ones."""
        if self._seconds:
            overall = sum(map(sum, self._seconds.values())) / sum(map(len, self._seconds.values()))
        else:  # no trial is done: what the running ones will take if unlearning is all of it
            guesses = [
                (now - since) * case.spec.method.fields["steps"] / step
                for case, (since, step, _) in self._running.items()
                if step and case.spec.method.fields.get("steps")
            ]
            if not guesses:
                return None
            overall = max(guesses)
        means = {label: sum(values) / len(values) for label, values in self._seconds.items()}
        waiting = sum(means.get(label, overall) for label in self._waiting)
        running = sum(
            max(0.0, means.get(case.spec.method.label, overall) - (now - since))
            for case, (since, _, _) in self._running.items()
        )
        return (waiting + running) / self._workers
