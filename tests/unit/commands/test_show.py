"""`guidebench list` and `guidebench show`."""

from __future__ import annotations

import json
from importlib import metadata
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from guidebench import plugins, protocol, registry, suites
from guidebench.commands.main import main

KINDS = ("methods", "attacks", "protocols", "suites", "testbeds", "metrics")


def guidebench(*arguments: str):
    return CliRunner().invoke(main, list(arguments))


def test_everything_is_listed_with_a_summary():
    listed = json.loads(guidebench("list", "--json").stdout)
    assert tuple(listed) == KINDS
    assert all(summary for entries in listed.values() for summary in entries.values())
    text = guidebench("list").stdout
    for kind, entries in listed.items():
        assert f"{kind}:\n" in text and json.loads(guidebench("list", kind, "--json").stdout) == entries
        for name, summary in entries.items():
            assert any(line.split(maxsplit=1) == [name, summary] for line in text.splitlines()), name


@pytest.mark.parametrize(
    "name",
    [
        *protocol.names(),
        *suites.names(),
        *registry.methods(),
        *registry.attacks(),
        *registry.testbeds(),
        *registry.metrics(),
    ],
)
def test_whatever_has_a_name_is_shown(name):
    result = guidebench("show", name)
    assert result.exit_code == 0, result.output
    assert name in result.stdout.splitlines()[0]


def test_a_protocol_is_shown_as_it_is_on_a_testbed():
    on_mini, on_linear = (guidebench("show", "smoke", "--testbed", name).stdout for name in ("mini", "linear"))
    assert guidebench("show", "smoke").stdout == on_mini
    assert f"digest {protocol.load('smoke').resolve('linear').digest()}" in on_linear


def test_a_protocol_is_shown_with_groups_of_the_size_that_its_name_gives():
    shown = guidebench("show", "celebahq-simultaneous-20").stdout
    assert "forget = 20" in shown and "identities = 200" in shown


def test_a_field_of_a_method_is_shown_with_its_bounds():
    method = registry.load_method("guide")
    low, high = method.bounds["lr"]
    assert f"lr = {json.dumps(method.lr)}  # {low:g} to {high:g}" in guidebench("show", "guide").stdout.splitlines()


def test_an_attack_is_shown_with_what_it_knows_whether_it_counts_and_its_fields():
    attack = registry.load_attack("reinvert")
    lines = guidebench("show", "reinvert").stdout.splitlines()
    assert lines[:4] == [
        f"# attack reinvert: {attack.summary}",
        f"# {attack.paper}",
        "# knows: weights, 2 photographs",
        "# enters the worst case: no: it can show anybody, so that only its gap to its controls counts",
    ]
    assert {f"steps = {attack.steps}  # 1 to 100000", 'space = "w+"'} <= set(lines)
    assert "# enters the worst case: yes" in guidebench("show", "resurgence").stdout.splitlines()


def test_an_attack_in_a_file_is_shown_and_what_is_no_plug_in_is_refused(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\nfrom guidebench.attack import Attack, Finding\n@dataclass(frozen=True)\n"
        "class Mine(Attack):\n    name = 'mine'\n    summary = 'of my own'\n    steps: int = 7\n"
        "    def run(self, generator, target, context):\n        return [Finding(at=1)]\n"
    )
    shown = guidebench("show", f"{tmp_path / 'mine.py'}:Mine").stdout.splitlines()
    assert shown[:2] == ["# attack mine: of my own", "# knows: weights"] and "steps = 7" in shown
    result = guidebench("show", f"{tmp_path / 'mine.py'}:Nine")
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1 and "Mine" in result.stderr


def test_an_unknown_name_gets_the_closest_of_all_kinds():
    for given, close in (
        ("celebahq-mult", "celebahq-multi"),
        ("tabel-2", "table-2"),
        ("giude", "guide"),
        ("pertub", "perturb"),
    ):
        result = guidebench("show", given)
        assert result.exit_code == 2 and result.stdout == "" and len(result.stderr.splitlines()) == 1
        assert f"'{given}'" in result.stderr and f"'{close}'" in result.stderr and "guidebench list" in result.stderr


@pytest.mark.parametrize("kind", registry.KINDS, ids=lambda kind: kind.name)
def test_plug_ins_are_listed_with_where_they_come_from(kind, monkeypatch):
    point = metadata.EntryPoint("theirs", "a.module:Thing", kind.group)
    vars(point).update(dist=SimpleNamespace(name="their-package"))
    monkeypatch.setattr(plugins.metadata, "entry_points", lambda group: [point] if group == kind.group else [])
    listed = CliRunner().invoke(main, ["list", f"{kind.name}s", "--json"])
    assert json.loads(listed.stdout)["theirs"] == "from their-package"


@pytest.mark.parametrize(
    ("name", "lines"), [("id", ['direction = "lower"', "judged = true"]), ("fid_pre", ["judged = false"])]
)
def test_a_metric_is_shown_with_its_direction(name, lines):
    shown = CliRunner().invoke(main, ["show", name]).stdout.splitlines()
    assert shown[0].startswith(f"# metric {name}: ") and set(lines) <= set(shown)


def test_new_metric_names_the_check(tmp_path):
    done = CliRunner().invoke(main, ["new", "metric", "worst-view", "--folder", str(tmp_path)])
    assert done.stdout.endswith(f"guidebench check {tmp_path / 'worst_view.py'}:WORST_VIEW\n")
    assert CliRunner().invoke(main, ["new", "metric", "id"]).exit_code == 2


def test_a_suite_counts_trials_not_people(tmp_path):
    """6 people in groups of 3 make 2 trials per row and seed: 2 rows, 1 seed, 4 trials."""
    (tmp_path / "three.toml").write_text('source = "random"\nidentities = 6\nforget = 3\n')
    rows = ", ".join(f'{{ title = "{name}", method = "{name}" }}' for name in ("guide", "mean-latent"))
    (tmp_path / "s.toml").write_text(f'protocols = ["three.toml"]\nmetrics = ["id"]\nseeds = [0]\nrows = [{rows}]')
    shown = guidebench("show", str(tmp_path / "s.toml")).stdout
    assert "three: 6 people in groups of 3, seeds 0, 4 trials" in shown
