"""Methods by name, from files, and their settings."""

import dataclasses

import pytest

from guidebench import chosen, registry
from guidebench.errors import BadInput

METHOD = """
from dataclasses import dataclass
from typing import Literal
from guidebench.unlearner import Unlearner

@dataclass(frozen=True)
class Mine(Unlearner):
    name = "mine"
    bounds = {"rate": (0.0, 1.0)}
    steps: int = 3
    rate: float = 0.5
    careful: bool = False
    mode: Literal["a", "b"] = "a"
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


def test_settings_are_parsed_by_the_type_of_their_field(method_file, says):
    method = registry.load_method(f"{method_file}:Mine")
    changed = chosen.with_settings(method, {"steps": "7", "rate": "0.25", "careful": "true", "mode": "b"})
    assert (changed.steps, changed.rate, changed.careful, changed.mode) == (7, 0.25, True, "b")
    for settings, words in (
        ({"steps": "7.5"}, ["steps=7.5", "integer"]),
        ({"rate": "2"}, ["rate=2", "0", "1"]),
        ({"careful": "maybe"}, ["careful=maybe", "true", "false"]),
        ({"mode": "c"}, ["mode=c", "a, b"]),
    ):
        with pytest.raises(BadInput, match=says("--set", "mine", *words)):
            chosen.with_settings(method, settings)


def test_the_ladder_shares_one_preset_so_that_rows_differ_in_their_flags_only():
    rows = [registry.load_method(name) for name in ("mean-latent", "extrapolated", "extrapolated-adj", "guide")]
    assert all(row.presets.keys() == {"mini", "linear"} for row in rows)  # elsewhere the class defaults, the paper's
    for testbed in rows[0].presets:
        steps = {tuple(sorted(chosen.with_preset(row, testbed)[0].presets[testbed].items())) for row in rows}
        assert len(steps) == 1 and {name for name, _ in steps.pop()} == {"steps", "lr"}
    flags = {"target_kind", "adjacency_loss", "global_loss"}
    fields = [dataclasses.asdict(row) for row in rows]
    assert all({name for name in first if first[name] != fields[-1][name]} <= flags for first in fields)


@pytest.mark.parametrize("kind", registry.KINDS, ids=lambda kind: kind.name)
def test_every_registered_name_is_the_name_of_what_it_loads(kind):
    for name, entry in kind.entries().items():
        found = kind.load(name)
        assert found.name == name and entry.summary and found.summary


@pytest.mark.parametrize("kind", [registry.METRIC, registry.TESTBED], ids=lambda kind: kind.name)
def test_summaries_in_lists_are_those_of_what_is_listed(kind):
    assert {name: entry.summary for name, entry in kind.entries().items()} == {
        name: kind.load(name).summary for name in kind.entries()
    }


def test_a_class_that_ships_is_recorded_under_its_registered_name():
    assert registry.spec_of(type(registry.load_method("nothing"))) == "nothing"
