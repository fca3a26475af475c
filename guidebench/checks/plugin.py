"""`guidebench check SPEC`: finds out which kind of plug-in SPEC is, and checks it as such."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from guidebench import plugins, registry
from guidebench.checks.finding import Finding
from guidebench.errors import GuidebenchError, unknown_name
from guidebench.plugins import Kind


def check_plugin(spec: str) -> list[Finding]:
    """Checks what a registered name, ``path/to/file.py:Name`` or ``module:Name`` names.

    What cannot be loaded, and a name that is registered nowhere, is one finding.
    """
    try:
        kind = registry.kind_of(spec)
        if kind is None:
            return [_misspelt(spec)]
        if registry.is_direct(spec) and inspect.isroutine(plugins.load_target(kind.entry(spec), kind.name)):
            return [_function(spec)]
    except GuidebenchError as error:
        return [Finding("loads", False, str(error))]
    return _check_of(kind)(spec)


def _check_of(kind: Kind[Any]) -> Callable[[str], list[Finding]]:
    """The check of a kind; only its own imports are made."""
    if kind is registry.METRIC:
        from guidebench.checks.metric import check_metric

        return check_metric
    if kind is registry.ATTACK:
        from guidebench.checks.attack import check_attack

        return check_attack
    if kind is registry.TESTBED:
        from guidebench.checks.testbed import check_testbed

        return check_testbed
    from guidebench.checks.method import check_method

    return check_method


def _misspelt(spec: str) -> Finding:
    known = [name for kind in registry.KINDS for name in kind.entries()]
    what = "method, attack, metric or testbed"
    return Finding("loads", False, str(unknown_name(what, spec, known, command="guidebench list")))


def _function(spec: str) -> Finding:
    expected = "a method or an attack is a class, a metric a TrialMetric(…, compute=FUNCTION), a testbed a class"
    return Finding("loads", False, f"'{spec}' is a function; {expected}")
