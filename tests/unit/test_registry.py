"""Plug-ins by name and from files: methods, attacks, metrics."""

from importlib import metadata

import pytest

from guidebench import plugins, registry
from guidebench.errors import BadInput

METHOD = """
from dataclasses import dataclass
from guidebench.unlearner import Unlearner

@dataclass(frozen=True)
class Mine(Unlearner):
    name = "mine"
    steps: int = 3
    def unlearn(self, generator, request, context):
        return generator

class NoDataclass(Unlearner):
    name = "n"
    def unlearn(self, generator, request, context):
        return generator

@dataclass(frozen=True)
class NoDefault(Unlearner):
    steps: int
    name = "d"
    def unlearn(self, generator, request, context):
        return generator

@dataclass(frozen=True)
class Abstract(Unlearner):
    name = "abstract"

class Other: pass
"""


@pytest.fixture
def method_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(METHOD)
    return path


def test_a_class_in_a_file_needs_no_registration(method_file):
    assert registry.load_method(f"{method_file}:Mine").name == "mine"


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        ("Nine", ["'Nine'", "Mine", "NoDefault", "Other"]),
        ("NoDefault", ["NoDefault", "default", "'steps'"]),
        ("NoDataclass", ["NoDataclass", "@dataclass(frozen=True)"]),
        ("Abstract", ["Abstract", "unlearn", "`guidebench new method NAME`"]),
        ("Other", ["Other", "guidebench.unlearner.Unlearner"]),
    ],
)
def test_what_is_no_method_is_refused_with_the_reason(method_file, attribute, words, says):
    with pytest.raises(BadInput, match=says(*words)):
        registry.load_method(f"{method_file}:{attribute}")


def test_files_that_do_not_import_are_refused_with_the_reason(tmp_path, says):
    (tmp_path / "bad.py").write_text("import nowhere_to_be_found")
    with pytest.raises(BadInput, match=says("bad.py", "ModuleNotFoundError", "nowhere_to_be_found")):
        registry.load_method(f"{tmp_path / 'bad.py'}:Mine")
    with pytest.raises(BadInput, match=says(f"'{tmp_path / 'bad.py'}'", "file.py:NAME")):
        registry.load_method(str(tmp_path / "bad.py"))


@pytest.mark.parametrize("kind", registry.KINDS, ids=lambda kind: kind.name)
def test_every_registered_name_is_the_name_of_what_it_loads(kind):
    for name, entry in kind.entries().items():
        found = kind.load(name)
        assert found.name == name and entry.summary and found.summary


@pytest.mark.parametrize("kind", [registry.ATTACK, registry.METRIC, registry.TESTBED], ids=lambda kind: kind.name)
def test_summaries_in_lists_are_those_of_what_is_listed(kind):
    assert {name: entry.summary for name, entry in kind.entries().items()} == {
        name: kind.load(name).summary for name in kind.entries()
    }


def test_a_class_that_ships_is_recorded_under_its_registered_name():
    assert registry.spec_of(type(registry.load_method("nothing"))) == "nothing"
    assert registry.spec_of(registry.testbed_class("linear")) == "linear"
    assert registry.spec_of(type(registry.load_attack("reinvert-w"))) == "reinvert-w"


ATTACK = """
from dataclasses import dataclass
from guidebench.attack import Attack, Finding, Knowledge

@dataclass(frozen=True)
class Mine(Attack):
    name = "mine"
    knows = Knowledge(photos=1)
    def run(self, generator, target, context):
        return [Finding(at=1)]

MADE = Mine()

class NoDataclass(Attack):
    name = "n"
    def run(self, generator, target, context):
        return []

@dataclass(frozen=True)
class NoDefault(Attack):
    steps: int
    name = "d"
    def run(self, generator, target, context):
        return []

@dataclass(frozen=True)
class Abstract(Attack):
    name = "abstract"

@dataclass(frozen=True)
class Knowing(Mine):
    name = "knowing"
    knows = "everything"

@dataclass(frozen=True)
class Taken(Mine):
    name = "reinvert"

@dataclass(frozen=True)
class BadName(Mine):
    name = "no good"

@dataclass(frozen=True)
class Unrecorded(Mine):
    name = "unrecorded"
    what: object = object

class Other: pass
"""


@pytest.fixture
def attack_file(tmp_path):
    path = tmp_path / "attacks_of_mine.py"
    path.write_text(ATTACK)
    return path


def test_an_attack_in_a_file_needs_no_registration(attack_file):
    for name in ("Mine", "MADE"):
        assert registry.load_attack(f"{attack_file}:{name}").knows.photos == 1


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        ("Nine", ["attacks_of_mine.py", "'Nine'", "Mine", "Other"]),
        ("NoDefault", ["attack", "NoDefault", "default", "'steps'"]),
        ("NoDataclass", ["attack", "NoDataclass", "@dataclass(frozen=True)"]),
        ("Abstract", ["attack", "Abstract", "run"]),
        ("Knowing", ["attack", "knows = 'everything'", "guidebench.attack.Knowledge"]),
        ("Taken", ["attack", "'reinvert'", "ships", "another name"]),
        ("BadName", ["attack", "'no good'"]),
        ("Unrecorded", ["attack", "recorded", "numbers and texts"]),
        ("Other", ["Other", "guidebench.attack.Attack"]),
    ],
)
def test_what_is_no_attack_is_refused_with_the_reason(attack_file, attribute, words, says):
    with pytest.raises(BadInput, match=says(*words)) as refused:
        registry.load_attack(f"{attack_file}:{attribute}")
    assert "\n" not in str(refused.value)


def test_a_method_is_no_attack_and_an_attack_no_method(attack_file, method_file, says):
    with pytest.raises(BadInput, match=says("not a guidebench.attack.Attack")):
        registry.load_attack(f"{method_file}:Mine")
    with pytest.raises(BadInput, match=says("not a guidebench.unlearner.Unlearner")):
        registry.load_method(f"{attack_file}:Mine")
    assert registry.kind_of(f"{attack_file}:Mine") is registry.ATTACK is registry.kind_of(f"{attack_file}:MADE")
    assert registry.kind_of(f"{method_file}:Mine") is registry.METHOD and registry.kind_of("perturb") is registry.ATTACK


def test_attacks_of_other_distributions_are_found_under_their_entry_point(monkeypatch, attack_file, says):
    def points(group):
        names = ("mine", "perturb") if group == "guidebench.attacks" else ()
        return [metadata.EntryPoint(name, f"{attack_file}:Mine", group) for name in names]

    monkeypatch.setattr(plugins.metadata, "entry_points", points)
    assert registry.load_attack("mine").name == "mine"
    assert registry.attacks()["perturb"].origin == "guidebench", "what ships keeps its name"
    with pytest.raises(BadInput, match=says("unknown attack 'mines'", "'mine'", "guidebench list attacks")):
        registry.load_attack("mines")


METRICS = """
from guidebench.metric import CrossMetric, TrialMetric
WORDS = dict(title="Mine", latex="Mine", direction="lower", unit="cosine", summary="one of mine")
FIRST = TrialMetric(name="first", compute=lambda evidence: [], **WORDS)
SECOND = TrialMetric(name="second", compute=lambda evidence: [], **WORDS)
AGAIN = TrialMetric(name="first", compute=lambda evidence: [], **WORDS)
CROSS = CrossMetric(name="cross", compute=lambda everybody: [], **WORDS)
"""


def test_further_metrics_are_those_that_do_not_ship_each_once(tmp_path, says):
    (tmp_path / "m.py").write_text(METRICS)
    first, second, again, cross = (f"{tmp_path / 'm.py'}:{name}" for name in ("FIRST", "SECOND", "AGAIN", "CROSS"))
    found = registry.trial_metrics([first, "id", second, first])
    assert [metric.name for metric in found] == ["first", "second"]
    with pytest.raises(BadInput, match=says("FIRST", "AGAIN", "'first'")):
        registry.trial_metrics([first, again])
    for spec in (cross, "target_similarity"):
        with pytest.raises(BadInput, match=says(spec, "several trials")):
            registry.trial_metrics([spec])


def test_metrics_of_attacks_are_known_by_the_attacks_labels():
    found = registry.attack_metrics(["relearn(steps=200)"])
    assert {"id_after_strip", "half_after_relearn", "id_after_relearn(steps=200)"} <= set(found)
