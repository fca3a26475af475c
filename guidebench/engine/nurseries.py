"""The nurseries of a process that judges, one for each kind of code that is not its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from guidebench.engine import apart, attacks_apart
from guidebench.engine.hosted import host
from guidebench.engine.nursery import Child, Nursery
from guidebench.testbed import Players


class Nurseries:
    """One child of each kind at a time."""

    def __init__(
        self, players: Callable[[], Players], device: torch.device, *, prepared: bool, attacks: bool = False
    ) -> None:
        """players: loads them in a child; what it returns is never changed, so that it may be loaded already.

        prepared: whether what most methods import is imported here, and stays for further nurseries. attacks: whether
        there will be attacks, too.
        """
        if prepared:
            _prepare()
        self._methods = Nursery(partial(apart.serve_method, load=players, device=device), _prepare)
        self._hosts = Nursery(partial(host, device=device))
        self._attacks = self._findings = None
        if attacks:
            self._attacks = Nursery(partial(attacks_apart.serve_attack, load=players, device=device), _prepare)
            self._findings = Nursery(partial(host, device=device))

    def method(self) -> Child:
        """A process for a method."""
        return self._methods.child()

    def host(self) -> Child:
        """A process for a generator that a method returned."""
        return self._hosts.child()

    def attack(self) -> Child:
        """A process for an attack."""
        assert self._attacks is not None
        return self._attacks.child()

    def finding(self) -> Child:
        """A process for a generator that an attack returned."""
        assert self._findings is not None
        return self._findings.child()

    def close(self) -> None:
        """Ends all of them, and whatever runs in them."""
        for nursery in (self._methods, self._hosts, self._attacks, self._findings):
            if nursery is not None:
                nursery.close()


def _prepare() -> None:
    """Imports what takes a method a second otherwise: the first optimiser asks for torch's compiler."""
    import torch._dynamo  # noqa: F401
