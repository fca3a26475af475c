"""Who follows a run: progress bars and loggers."""

from __future__ import annotations

import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from guidebench.engine.events import Event
from guidebench.engine.plan import Case
from guidebench.errors import in_one_line

_log = logging.getLogger(__name__)


class Watcher(ABC):
    """Somebody who follows a run, such as a progress bar."""

    @abstractmethod
    def begin(self, todo: Sequence[Case], workers: int) -> None:
        """The run starts, with these trials to run and so many at a time."""

    @abstractmethod
    def hear(self, event: Event) -> None:
        """Something happened."""

    @abstractmethod
    def close(self) -> None:
        """The run has ended, one way or another."""


class Together(Watcher):
    """Several as one: all hear everything, whatever one of them raises; the first error is raised afterwards."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    def begin(self, todo: Sequence[Case], workers: int) -> None:
        """See `Watcher.begin`."""
        self._tell(lambda watcher: watcher.begin(todo, workers))

    def hear(self, event: Event) -> None:
        """See `Watcher.hear`."""
        self._tell(lambda watcher: watcher.hear(event))

    def close(self) -> None:
        """See `Watcher.close`."""
        self._tell(lambda watcher: watcher.close())

    def _tell(self, tell: Callable[[Watcher], None]) -> None:
        errors = []
        for watcher in self._watchers:
            try:
                tell(watcher)
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]


class Spared(Watcher):
    """A watcher that is closed once it has raised, and hears nothing any more: that is said once, the run goes on."""

    def __init__(self, watcher: Watcher, name: str) -> None:
        """name: what the watcher is called in the warning."""
        self._watcher: Watcher | None = watcher
        self._name = name

    def begin(self, todo: Sequence[Case], workers: int) -> None:
        """See `Watcher.begin`."""
        try:
            if self._watcher is not None:
                self._watcher.begin(todo, workers)
        except Exception as error:
            self._drop(error)

    def hear(self, event: Event) -> None:
        """See `Watcher.hear`."""
        try:
            if self._watcher is not None:
                self._watcher.hear(event)
        except Exception as error:
            self._drop(error)

    def close(self) -> None:
        """See `Watcher.close`."""
        watcher, self._watcher = self._watcher, None
        try:
            if watcher is not None:
                watcher.close()
        except Exception as error:
            self._drop(error)

    def _drop(self, error: Exception) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            with contextlib.suppress(Exception):  # one warning is enough
                watcher.close()
        _log.warning("%s stops, because it raised %s; the run goes on without it", self._name, in_one_line(error))
