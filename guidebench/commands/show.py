"""The commands that look things up: `guidebench list` and `guidebench show`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from guidebench.commands import common
from guidebench.errors import unknown_name

if TYPE_CHECKING:
    from guidebench.protocol import Protocol
    from guidebench.settings import Settable
    from guidebench.suites import Suite


_KINDS = ["methods", "attacks", "protocols", "suites", "testbeds", "metrics"]


@click.command("list")
@click.argument(
    "kind", type=click.Choice(["methods", "attacks", "protocols", "suites", "testbeds", "metrics"]), required=False
)
@common.as_json
def list_command(kind: str | None, as_json: bool) -> None:
    """List methods, attacks, protocols, suites, testbeds and metrics."""
    listed = {each: summaries() for each, summaries in _summaries().items() if kind in (None, each)}
    if as_json:
        click.echo(json.dumps(listed if kind is None else listed[kind], indent=1, ensure_ascii=False))
        return
    for title, entries in listed.items():
        if kind is None:
            click.echo(f"{title}:")
        width = max(map(len, entries), default=0)
        for name, summary in entries.items():
            click.echo(f"  {name:{width}}  {summary}")


def _summaries() -> dict[str, Callable[[], dict[str, str]]]:
    """Everything that has a name, by kind, each with one line; made when it is asked for."""
    from guidebench import protocol, registry, suites

    return {
        "methods": lambda: {name: entry.summary for name, entry in registry.methods().items()},
        "attacks": lambda: {name: entry.summary for name, entry in registry.attacks().items()},
        "protocols": lambda: {name: str(protocol.load(name).base.get("summary", "")) for name in protocol.names()},
        "suites": lambda: {name: suites.load(name).summary for name in suites.names()},
        "testbeds": lambda: {name: entry.summary for name, entry in registry.testbeds().items()},
        "metrics": lambda: {name: entry.summary for name, entry in registry.metrics().items()},
    }


@click.command()
@click.argument("name")
@click.option("--testbed", help="Show a protocol or suite as it is on this testbed (default: mini).")
def show(name: str, testbed: str | None) -> None:
    """Show all of a protocol, suite, method, attack, testbed or metric.

    NAME is one that `guidebench list` prints, a TOML file, or path/to/file.py:Class.
    """
    from guidebench import protocol, registry, suites

    if name in suites.names() or (name.endswith(".toml") and suites.is_suite_file(name)):
        _show_suite(suites.load(name).resolve(testbed or registry.DEFAULT_TESTBED))
    elif protocol.is_known(name) or name.endswith(".toml"):
        _show_protocol(protocol.load(name).resolve(testbed or registry.DEFAULT_TESTBED), testbed)
    else:
        _show_plugin(name)


def _show_plugin(spec: str) -> None:
    """A method, attack, testbed or metric: registered, or given as path/to/file.py:Name or module:Name."""
    from guidebench import protocol, registry, suites

    kind = registry.kind_of(spec)
    if kind is None:
        rooms = (protocol.names(), suites.names(), *(each.entries() for each in registry.KINDS))
        what, known = "protocol, suite, method, attack, testbed or metric", [name for room in rooms for name in room]
        raise unknown_name(what, spec, known, command="guidebench list")
    {
        registry.METHOD: _show_method,
        registry.ATTACK: _show_attack,
        registry.TESTBED: _show_testbed,
        registry.METRIC: _show_metric,
    }[kind](spec)


def _show_suite(suite: Suite) -> None:
    click.echo(f"# suite {suite.name} on testbed {suite.testbed}: {suite.title}")
    if suite.citation:
        click.echo(f"# {suite.citation}")
    for protocol in suite.protocols:
        trials = len(suite.rows) * protocol.trials * len(protocol.seeds)
        people = f"{protocol.identities} people" + (f" in groups of {protocol.people}" if protocol.people > 1 else "")
        seeds = ", ".join(map(str, protocol.seeds))
        click.echo(f"# {protocol.name}: {people}, seeds {seeds}, {trials} trials and floors")
    click.echo(f"metrics = {json.dumps(suite.metrics)}")
    for key in ("figure", "keep_generators", "attacks", "every"):
        if value := getattr(suite, key):
            click.echo(f"{key} = {json.dumps(value)}")
    if suite.against:
        click.echo(f"against = {json.dumps(suite.against, ensure_ascii=False)}")
    width = max(len(row.title) for row in suite.rows)
    for row in suite.rows:
        settings = "".join(f" --set {field}={value}" for field, value in row.settings.items())
        click.echo(f"  {row.title:{width}}  {row.method}{settings}")


def _show_protocol(resolved: Protocol, testbed: str | None) -> None:
    from guidebench import registry

    click.echo(f"# protocol {resolved.name} on testbed {testbed or registry.DEFAULT_TESTBED}")
    for key, value in resolved.as_data().items():
        click.echo(f"{key} = {json.dumps(value, ensure_ascii=False)}")
    click.echo(f"# digest {resolved.digest()}")


def _show_method(name: str) -> None:
    from guidebench import registry

    method = registry.load_method(name)
    click.echo(f"# method {method.name}: {method.summary}")
    if method.paper:
        click.echo(f"# {method.paper}")
    _show_fields(method)
    for testbed, preset in method.presets.items():
        click.echo(f"# on {testbed}: {', '.join(f'{key} = {value}' for key, value in preset.items())}")


def _show_attack(name: str) -> None:
    from guidebench import registry

    attack = registry.load_attack(name)
    click.echo(f"# attack {attack.name}: {attack.summary}")
    if attack.paper:
        click.echo(f"# {attack.paper}")
    click.echo(f"# knows: {attack.knows.in_words()}")
    counts = "no: it can show anybody, so that only its gap to its controls counts" if attack.shows_anybody else "yes"
    click.echo(f"# enters the worst case: {counts}")
    _show_fields(attack)


def _show_fields(plugin: Settable) -> None:
    from guidebench.settings import field_names

    for field in field_names(plugin):
        low, high = plugin.bounds.get(field, (None, None))
        allowed = "" if low is None else f"  # {low:g} to {high:g}"
        click.echo(f"{field} = {json.dumps(getattr(plugin, field))}{allowed}")


def _show_testbed(name: str) -> None:
    from guidebench import registry

    kind = registry.testbed_class(name)
    click.echo(f"# testbed {kind.name}: {kind.summary}")
    if kind.caption:
        click.echo(f"# {kind.caption}")
    if kind.weights_version is not None:
        click.echo(f"weights_version = {kind.weights_version}")
    for source, people in kind().faces().sources().items():
        click.echo(f"people of {source} = {people}")


def _show_metric(name: str) -> None:
    from guidebench import registry

    metric = registry.load_metric(name)
    click.echo(f"# metric {metric.name}: {metric.summary}")
    for field in ("title", "latex", "direction", "unit", "judged", "independent"):
        click.echo(f"{field} = {json.dumps(getattr(metric, field), ensure_ascii=False)}")
