"""A page per method, attack, protocol, metric, suite and testbed, from the registry and from what docs/ says about it.

What a page says is said once, where its subject is defined: fields, sizes and threat models in code and TOML files,
formulas and explanations in docs/*.md. To add a page, register its subject; to change one, change its source.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import typing
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from typing import Any, get_args, get_origin

import manual
from docstrings import comments

from guidebench import protocol, registry, suites
from guidebench.attack import Attack
from guidebench.metric import CrossMetric, Metric
from guidebench.protocol import RANDOM, Protocol, ProtocolFile
from guidebench.settings import Settable, field_names
from guidebench.text import markdown_table

ROOMS = {
    "protocols": "What is asked of a method, and how the answer is judged: one page per protocol that ships.",
    "metrics": "One page per metric that ships, with its definition, its rules and the protocols that have it.",
    "methods": "One page per method that ships, with its hyper-parameters and its presets.",
    "attacks": "One page per attack that ships, with its threat model, its settings and the columns it adds.",
    "suites": "Tables that one command makes: one page per suite that ships.",
    "testbeds": "Generators with their judges and faces: one page per testbed that ships.",
}
# What a protocol must have so that trials under it have a value of the metric; others have one under every protocol.
_Needs = tuple[str, Callable[[Protocol], bool]]
_PHOTOS: _Needs = ("photographs, so not under `random`", lambda asked: asked.source != RANDOM)
_PROBES: _Needs = ("`probe_photos` above 0", lambda asked: asked.probe_photos > 0)
_KEPT: _Needs = ("`retain` above 0", lambda asked: asked.retain > 0)
_ATTACKED: _Needs = (
    "`attacks`, or a run with `--attack`: one that can only show whom the generator holds",
    lambda asked: any(not registry.load_attack(name).shows_anybody for name in asked.attacks),
)
NEEDS: dict[str, _Needs] = {
    "id_others": _PROBES,
    "id_retain": _KEPT,
    "id_named": ("`retain_named` above 0", lambda asked: asked.retain_named > 0),
    "id_lookalike": ("`lookalikes` above 0", lambda asked: asked.lookalikes > 0),
    "id_photo": _PHOTOS,
    "id_neighbour": ("`neighbours` above 0", lambda asked: asked.neighbours > 0),
    "inversion": _PHOTOS,
    "relapse": ("`requests` above 1", lambda asked: asked.requests > 1),
    "recognised_others": _PROBES,
    "recognised_retain": _KEPT,
    "recognised_before": _PHOTOS,
    "recognised_others_before": _PROBES,
    "recognised_retain_before": (
        "`retain` above 0 and photographs",
        lambda asked: asked.retain > 0 and asked.source != RANDOM,
    ),
    "id_worst": _ATTACKED,
    "recognised_worst": _ATTACKED,
    "target_similarity": ("`identities` above 1", lambda asked: asked.identities > 1),
}


def names(room: str) -> list[str]:
    """The names of everything that ships in a room, in the order of `guidebench list`."""
    shipped: dict[str, Callable[[], Iterable[str]]] = {
        "protocols": protocol.names,
        "suites": suites.names,
        "metrics": lambda: _shipped(registry.METRIC),
        "methods": lambda: _shipped(registry.METHOD),
        "attacks": lambda: _shipped(registry.ATTACK),
        "testbeds": lambda: _shipped(registry.TESTBED),
    }
    return list(shipped[room]())


def _shipped(kind: Any) -> list[str]:
    return [entry.name for entry in kind.ships()]


def pages() -> dict[str, str]:
    """Every page as Markdown, by its path in docs/generated/."""
    page_of: dict[str, Callable[[str], str]] = {
        "protocols": _protocol_page,
        "metrics": _metric_page,
        "methods": _method_page,
        "attacks": _attack_page,
        "suites": _suite_page,
        "testbeds": _testbed_page,
    }
    found = {f"{room}/{name}.md": make(name) for room, make in page_of.items() for name in names(room)}
    return {**found, **{f"{room}/index.md": _index(room) for room in ROOMS}}


def _index(room: str) -> str:
    rows = [[f"[`{name}`]({name}.md)", summary(room, name)] for name in names(room)]
    listed = "\n".join(names(room))
    return (
        f"# All {room}\n\n{ROOMS[room]}\n\n{_table(['name', ''], rows)}\n\n"
        f"`guidebench list {room}` prints this list, and those of plug-ins; `guidebench show NAME` prints one.\n\n"
        f"```{{toctree}}\n:hidden:\n\n{listed}\n```\n"
    )


def summary(room: str, name: str) -> str:
    """The line of `guidebench list`."""
    if room == "protocols":
        return str(protocol.load(name).base.get("summary", ""))
    if room == "suites":
        return suites.load(name).summary
    kinds = {kind.name: kind for kind in registry.KINDS}
    return kinds[room.removesuffix("s")].entry(name).summary


def _protocol_page(name: str) -> str:
    file = protocol.load(name)
    text = (resources.files("guidebench.protocols") / f"{name}.toml").read_text(encoding="utf-8")
    testbeds = [testbed for testbed in names("testbeds") if testbed in ("mini", "eg3d-ffhq")]
    on = {testbed: file.resolve(testbed) for testbed in testbeds}
    target = f"generated/protocols/{name}.md"
    keys = [
        [f"`{key}`", *(_code(resolved.as_data()[key]) for resolved in on.values())]
        + [manual.moved(manual.row("protocols.md", key)["meaning"], "protocols.md", target)]
        for key in (field.name for field in dataclasses.fields(Protocol))
        if key not in ("summary", "name", "title", "version", "primary", "attacks")
    ]
    parts = [
        f"# {file.base['title']}",
        f"Protocol `{name}`, version {file.base['version']}: {_ended(file.base['summary'])}",
        _leading_comment(text),
        f"```\nguidebench run --protocol {name} --method guide\n```",
        "## One trial",
        _scenario(file, on),
        "## What it measures",
        _bullets(
            f"[{registry.load_metric(metric).title}](../metrics/{metric}.md)"
            + (" (tested)" if metric in on["mini"].primary else "")
            for metric in names("metrics")
            if measures(on["mini"], metric)
        ),
        "Differences in columns marked *tested* get a p value ([why so few](../../statistics.md#the-test)).",
        _attacks_made(on["mini"]),
        "## Sizes",
        "As the protocol resolves on two testbeds. The command line overrides them; other testbeds may have their own.",
        _table(["key", *testbeds, "meaning"], keys),
        "## The file",
        f"```toml\n{text}```",
        "[Protocols](../../protocols.md) explains every key, and how to write a protocol of your own.",
    ]
    return _page(parts)


def _scenario(file: ProtocolFile, on: dict[str, Protocol]) -> str:
    asked = on["mini"]
    people = "One person is" if asked.people == 1 else f"{asked.people} people are"
    requests = "in one request" if asked.requests == 1 else f"in {asked.requests} requests, one after another"
    given = "one photograph" if asked.source != RANDOM else "one latent code that the generator samples"
    given += "" if asked.people == 1 else " per person"
    sizes = " and ".join(f"{each.trials} on `{testbed}`" for testbed, each in on.items())
    judged = f"{asked.views} renders of each latent code are judged, with yaw within ±{asked.yaw_deg:g}°."
    return f"{people} forgotten {requests}; the method is given {given}. {judged} Trials per method and seed: {sizes}."


def _attacks_made(asked: Protocol) -> str:
    if not asked.attacks:
        return ""
    return "Every unlearned generator is attacked: " + ", ".join(_link("attacks", each) for each in asked.attacks) + "."


def measures(asked: Protocol, metric: str) -> bool:
    """Whether trials under a protocol have a value of a metric."""
    return metric not in NEEDS or NEEDS[metric][1](asked)


def _metric_page(name: str) -> str:
    metric, section = registry.load_metric(name), manual.section_of("metrics.md", name)
    target = f"generated/metrics/{name}.md"
    row = manual.row("metrics.md", name)
    better = {"lower": "lower", "higher": "higher", "none": "neither: it describes, and ranks nothing"}
    under = [each for each in names("protocols") if measures(protocol.load(each).resolve("mini"), name)]
    facts = [
        ["value", manual.moved(row["value"], "metrics.md", target)],
        *([[key, row[key]] for key in ("pairs", "of") if key in row]),
        ["better", better[metric.direction]],
        ["unit", metric.unit],
        ["judges", "one value per judge" if metric.judged else "none: it looks at no faces"],
        ["needs", NEEDS[name][0] if name in NEEDS else "nothing: every trial has a value"],
    ]
    parts = [
        f"# {metric.title}",
        f"Metric `{name}`: {_ended(metric.summary)}",
        _table(["", ""], facts),
        _rules(metric),
        "## How to read it",
        *(manual.moved(each, "metrics.md", target) for each in section.about(name)),
        f"This is part of {section.link} in [Metrics](../../metrics.md).",
        "## Where it is measured",
        "Under " + ", ".join(_link("protocols", each) for each in under) + "." if under else "",
        "```\nguidebench report runs --layout full      # every metric of the trials in runs/\n```",
        _in_python(metric),
    ]
    return _page(parts)


def _in_python(metric: Metric) -> str:
    by = '["label", "judge"]' if metric.judged else '"label"'
    return (
        '```python\nscores = guidebench.records("runs")\n'
        f'scores[scores["metric"] == "{metric.name}"].groupby({by})["value"].mean()\n```'
    )


def _rules(metric: Metric) -> str:
    rules = []
    if metric.ties:
        rules.append(
            "Values at or below the judge's mean of different people tie: "
            "[forgotten is forgotten](../../statistics.md#forgotten-is-forgotten)."
        )
    if metric.counted:
        rules.append("It is a share: tables also say how many of how many.")
    if isinstance(metric, CrossMetric):
        rules.append(
            "It compares several trials, so no single record holds it, and its values have neither interval nor p."
        )
    return _bullets(rules)


def _method_page(name: str) -> str:
    method = registry.load_method(name)
    kind = type(method)
    supports = {
        "single": "one person",
        "simultaneous": "several people in one request",
        "sequential": "further requests on the generator that it returned",
    }
    facts = [
        *([["paper", method.paper]] if method.paper else []),
        ["forgets", "; ".join(words for key, words in supports.items() if key in method.supports)],
        ["class", f"`{kind.__module__}.{kind.__qualname__}`"],
    ]
    testbeds = sorted(method.presets, key=names("testbeds").index)
    fitted = [
        f"The preset for `{testbed}` was chosen by {', '.join(_link('metrics', each) for each in metrics)}, on people "
        "whom no other protocol names ([presets](../../presets.md))."
        for testbed, metrics in method.fitted_on.items()
    ]
    parts = [
        f"# {name}",
        inspect.getdoc(kind),
        _table(["", ""], facts),
        f"```\nguidebench run --protocol celebahq-multi --method {name}\n```",
        "## Hyper-parameters",
        _fields(method, {f"on {each}": method.presets[each] for each in testbeds}),
        *fitted,
        "## How it works",
        _of_module(kind),
        _read_on("methods.md", name),
        _source(kind),
    ]
    return _page(parts)


def _attack_page(name: str) -> str:
    attack = registry.load_attack(name)
    kind = type(attack)
    counts = (
        "no: it can show anybody, so only its gap to its controls counts"
        if attack.shows_anybody
        else "yes: it can only show whom the generator holds"
    )
    columns = [
        [f"`{metric.name}`", metric.summary]
        for metric in registry.attack_metrics().values()
        if metric.name.endswith(f"_{name}") and _has_column(attack, metric.name)
    ]
    parts = [
        f"# {name}",
        inspect.getdoc(kind),
        _table(
            ["", ""],
            [
                *([["paper", attack.paper]] if attack.paper else []),
                ["knows", attack.knows.in_words()],
                ["enters the worst case", counts],
                ["is compared with", _controls(attack)],
            ],
        ),
        f"```\nguidebench run --protocol celebahq-multi --method guide --attack {name}\n```",
        "## Settings",
        _fields(attack, {}),
        "## Columns",
        _table(["metric", ""], columns),
        "## How it works",
        _of_module(kind),
        "[Attacks](../../attacks.md) explains controls, budgets and how to write one of your own.",
        _source(kind),
    ]
    return _page(parts)


def _has_column(attack: Attack, metric: str) -> bool:
    if metric.startswith(("id_original_", "distance_after_")):
        return "original" in attack.controls
    if metric.startswith("id_other_"):
        return "other" in attack.controls
    return attack.curve or not metric.startswith("half_after_")


def _controls(attack: Attack) -> str:
    words = {
        "original": "the same attack on the original generator",
        "other": "the same attack on people who were not forgotten",
    }
    return "; ".join(text for control, text in words.items() if control in attack.controls) or "nothing"


def _suite_page(name: str) -> str:
    file = suites.load(name)
    suite = file.resolve("mini")
    rows = [
        [row.title, _link("methods", row.method) + "".join(f" `{key}={value}`" for key, value in row.settings.items())]
        for row in suite.rows
    ]
    under = ", ".join(
        _link("protocols", each.name) if each.name in names("protocols") else f"`{each.name}`"
        for each in suite.protocols
    )
    text = (resources.files("guidebench.reports") / f"suites/{name}.toml").read_text(encoding="utf-8")
    parts = [
        f"# {suite.title}",
        f"Suite `{name}`: {_ended(suite.summary)}",
        suite.citation and f"{suite.citation}.",
        f"```\nguidebench reproduce {name}\n```",
        "## Rows",
        _table(["row", "method"], rows),
        f"The others are compared with *{suite.against}*." if suite.against else "",
        "## Columns",
        f"{', '.join(_link('metrics', each) for each in suite.metrics)} under {under}.",
        "## The file",
        f"```toml\n{text}```",
        "[Make the paper's tables](../../reproduce.md) explains suites, and how to write one of your own.",
    ]
    return _page(parts)


def _testbed_page(name: str) -> str:
    kind = registry.testbed_class(name)
    read_on = {
        "mini": "The [model card](../mini/model-card.md) measures its networks; [presets](../../presets.md) says how "
        "learning rates were chosen.",
        "mini-2d": "[A 2-D generator that ships](../../mini-2d.md) explains it and shows results.",
        "linear": "It runs in seconds and is what tests and the [tutorial](../../tutorial.md) use.",
        "eg3d-ffhq": "[The paper's experiment](../../eg3d-ffhq.md) leads through it, from the machine to Table 2.",
    }
    parts = [
        f"# {name}",
        _ended(kind.summary[:1].upper() + kind.summary[1:]),
        _of_module(kind),
        f"Every table made on it says: *{kind.caption}*" if kind.caption else "",
        f"```\nguidebench run --protocol smoke --method guide --testbed {name}\n```",
        read_on.get(name, ""),
        "[Write a testbed](../../testbeds.md) explains the interface.",
        _source(kind),
    ]
    return _page(parts)


def _fields(plugin: Settable, presets: dict[str, Any]) -> str:
    """The settings as a table: type, default, bounds and presets, with the comment on each field."""
    hints = typing.get_type_hints(type(plugin))
    rows = []
    for field in field_names(plugin):
        owner = next(kind for kind in type(plugin).__mro__ if field in vars(kind).get("__annotations__", {}))
        low, high = plugin.bounds.get(field, (None, None))
        meaning = comments(owner.__module__).get(f"{owner.__qualname__}.{field}", "")
        allowed = _type_in_words(hints[field]) + ("" if low is None else f", {low:,.10g} to {high:,.10g}")
        on = [_code(preset[field]) if field in preset else "" for preset in presets.values()]
        rows.append([f"`{field}`", _code(getattr(plugin, field)), *on, allowed, meaning.replace("``", "`")])
    if not rows:
        return "It has none."
    table = _table(["field", "default", *presets, "allowed", "meaning"], rows)
    return f"{table}\n\n`--set FIELD=VALUE` changes one."


def _type_in_words(kind: Any) -> str:
    if get_origin(kind) is typing.Literal:
        return " or ".join(f"`{option}`" for option in get_args(kind))
    return {int: "integer", float: "number", bool: "true or false", str: "text"}.get(kind, str(kind))


def _read_on(page: str, name: str) -> str:
    found = [section.link for section in manual.mentions(page, name)]
    return f"Read on: {', '.join(found)}." if found else ""


def _of_module(kind: type) -> str:
    """The docstring of the file that a class is in: where a method comes from, and what was decided about it."""
    return (inspect.getdoc(inspect.getmodule(kind)) or "").replace("``", "`")


def _source(kind: type) -> str:
    module = kind.__module__
    path = module.replace(".", "/") + ".py"
    return f"The code is `{path.removeprefix('guidebench/') if '.baselines.' in module else path}`."


def _link(room: str, name: str) -> str:
    if room != "metrics":
        return f"[`{name}`](../{room}/{name}.md)"
    if name in names(room):
        return f"[{registry.load_metric(name).title}](../metrics/{name}.md)"
    attack = next(each for each in names("attacks") if name.endswith(f"_{each}"))
    return f"[{registry.attack_metrics()[name].title}](../attacks/{attack}.md)"


def _leading_comment(toml: str) -> str:
    """What the comment at the top of a TOML file says."""
    lines = []
    for line in toml.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return " ".join(lines)


def _ended(text: str) -> str:
    return text if text.endswith((".", "?")) else f"{text}."


def _code(value: Any) -> str:
    return f"`{json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value}`"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return markdown_table(heads, rows, left=len(heads))


def _page(parts: Iterable[str | None]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"
