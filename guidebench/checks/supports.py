"""The part of `guidebench check` that tries what a method declares in `Unlearner.supports`, on the analytic testbed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guidebench.checks.finding import Finding
from guidebench.errors import GuidebenchError
from guidebench.protocol import Protocol
from guidebench.unlearner import Unlearner

if TYPE_CHECKING:
    from guidebench.engine.bench import Bench

SETTINGS = {"single": (1, 1), "simultaneous": (2, 1), "sequential": (1, 2)}  # people per request, requests
NAMED = 2  # people to keep that are named to a method which needs some


def supports(method: Unlearner, bench: Bench) -> Finding:
    """Whether the method takes the requests that it declares to take; one that declares single only is asked no more.

    method: with settings that take seconds. bench: of the analytic testbed.
    """
    declared = method.supports
    if not _is_declared(method):
        allowed = ", ".join(SETTINGS)
        return Finding("supports", False, f"supports = {declared!r} is not allowed; give a frozenset of {allowed}")
    for setting, (forget, requests) in SETTINGS.items():
        if setting in declared and setting != "single":
            try:
                _unlearn(method, bench, _protocol(method, forget, requests))
            except GuidebenchError as error:
                return Finding("supports", False, f"{setting} is declared, but asked for {_asked(setting)}: {error}")
    named = f", with {NAMED} people named to keep" if method.needs_retained else ""
    return Finding("supports", True, f"{', '.join(setting for setting in SETTINGS if setting in declared)}{named}")


def fewest_people(method: Unlearner) -> int:
    """How many people the smallest request holds that the method declares to take."""
    return 2 if _is_declared(method) and not {"single", "sequential"} & method.supports else 1


def _is_declared(method: Unlearner) -> bool:
    """Whether `supports` holds one or more of the settings, and nothing else."""
    declared = method.supports
    return isinstance(declared, (set, frozenset)) and bool(declared) and declared <= set(SETTINGS)


def _asked(setting: str) -> str:
    return "two people in one request" if setting == "simultaneous" else "a second person after the first"


def _protocol(method: Unlearner, forget: int, requests: int) -> Protocol:
    return Protocol(
        name="check-supports",
        version=1,
        title="check",
        source="dev",
        identities=forget * requests,
        forget=forget,
        requests=requests,
        retain=0,
        retain_named=NAMED if method.needs_retained else 0,
        views=3,
        samples=2,
    )


def _unlearn(method: Unlearner, bench: Bench, protocol: Protocol) -> None:
    """Puts every request to the method, each on the generator that the request before it left, as a trial does."""
    from guidebench.engine.unlearning import Here

    here = Here(method, bench.players, bench.testbed.device, protocol, 0, lambda step, scalars: None)
    for number, request in enumerate(bench.cast(protocol, 0).requests, start=1):
        here.unlearn(request, number)
