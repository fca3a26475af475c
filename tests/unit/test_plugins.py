"""Doors: methods, attacks, metrics and testbeds alike come from entry points, files and importable modules."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest

from guidebench import plugins, protocol, registry
from guidebench.errors import BadInput

SOURCES = {
    "method": """
from dataclasses import dataclass
from guidebench.unlearner import Unlearner

@dataclass(frozen=True)
class Mine(Unlearner):
    name = "own"
    summary = "one of mine"
    def unlearn(self, generator, request, context):
        return generator

@dataclass(frozen=True)
class Shadow(Mine):
    name = "nothing"
""",
    "attack": """
from dataclasses import dataclass
from guidebench.attack import Attack, Finding

@dataclass(frozen=True)
class Mine(Attack):
    name = "own"
    summary = "one of mine"
    def run(self, generator, target, context):
        return [Finding(at=1)]

@dataclass(frozen=True)
class Shadow(Mine):
    name = "perturb"
""",
    "metric": """
from guidebench.metric import TrialMetric

WORDS = dict(title="Mine", latex="Mine", direction="lower", unit="cosine", summary="one of mine", judged=False)
Mine = TrialMetric(name="own", compute=lambda evidence: [], **WORDS)
Shadow = TrialMetric(name="id", compute=lambda evidence: [], **WORDS)

def function(evidence):
    return []
""",
    "testbed": """
from guidebench.testbeds.linear import LinearTestbed

class Mine(LinearTestbed):
    name = "own"
    summary = "one of mine"

class Shadow(LinearTestbed):
    name = "mini"
""",
}
KINDS = pytest.mark.parametrize("kind", registry.KINDS, ids=lambda kind: kind.name)


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Writes the plug-ins of a kind to a file that is also an importable module, and returns its path."""

    def write(kind):
        module = f"plug_in_{kind.name}_{tmp_path.name}"
        path = tmp_path / f"{module}.py"
        path.write_text(SOURCES[kind.name])
        monkeypatch.syspath_prepend(tmp_path)
        return path

    return write


@pytest.fixture
def installed(monkeypatch):
    """Pretends that a distribution called "theirs" with entry points NAME=TARGET is installed."""

    def install(kind, **targets):
        points = [metadata.EntryPoint(name.replace("_", "-"), target, kind.group) for name, target in targets.items()]
        for point in points:
            vars(point).update(dist=SimpleNamespace(name="theirs"))
        monkeypatch.setattr(plugins.metadata, "entry_points", lambda group: points if group == kind.group else [])

    return install


def test_the_groups_of_entry_points_are_those_of_the_documentation():
    assert [kind.group for kind in registry.KINDS] == [
        "guidebench.methods",
        "guidebench.attacks",
        "guidebench.metrics",
        "guidebench.testbeds",
    ]


@KINDS
def test_a_file_needs_no_registration(kind, file):
    assert kind.load(f"{file(kind)}:Mine").name == "own"


@KINDS
def test_a_file_whose_name_is_no_text_is_refused(kind, tmp_path, says):
    path = tmp_path / os.fsdecode(b"caf\xe9.py")
    path.write_text(SOURCES[kind.name])
    with pytest.raises(BadInput, match=says(kind.name, r"caf\xe9.py", "rename")):
        kind.load(f"{path}:Mine")


@KINDS
def test_an_importable_module_needs_no_registration(kind, file):
    assert kind.load(f"{file(kind).stem}:Mine").name == "own"


@KINDS
def test_an_installed_plug_in_is_listed_with_its_origin_and_loaded_by_name(kind, file, installed):
    installed(kind, own=f"{file(kind).stem}:Mine")
    entry = kind.entries()["own"]
    assert (entry.origin, entry.summary) == ("theirs", "from theirs")
    assert list(kind.entries())[-1] == "own"
    assert kind.load("own").name == "own"
    assert registry.kind_of("own") is kind


@KINDS
def test_listing_imports_no_code_of_a_plug_in(kind, file, installed):
    module = file(kind).stem
    installed(kind, own=f"{module}:Mine")
    assert "own" in kind.entries() and module not in sys.modules


@KINDS
def test_distributions_are_looked_through_only_for_what_does_not_ship(kind, file, installed, monkeypatch):
    installed(kind, own=f"{file(kind).stem}:Mine")
    assert kind.has("own") and not kind.has("nowhere")
    assert not any(kind.has(entry.name) for entry in kind.unlisted)
    monkeypatch.setattr(plugins.metadata, "entry_points", None)
    for entry in kind.ships():
        assert kind.has(entry.name) and kind.entry(entry.name) == entry


def test_listing_imports_neither_torch_nor_any_plug_in_that_ships():
    code = (
        "import sys; from guidebench import registry; [kind.entries() for kind in registry.KINDS]; "
        "print([name for name in sys.modules if name.startswith(('torch', 'scipy', 'guidebench.testbeds', "
        "'guidebench.baselines'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@KINDS
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import nowhere_to_be_found", ["ModuleNotFoundError", "nowhere_to_be_found"]),
        ("raise SystemExit(3)", ["SystemExit: 3"]),
        ("raise ValueError('two\\nlines')", ["ValueError: two lines"]),
        ("x = (", ["SyntaxError"]),
        ("Mine = 3", ["is not a", "an int"]),
        ("class Mine: pass", ["is not a", "the class Mine"]),
        ("pass", ["Mine"]),
    ],
)
def test_a_broken_plug_in_is_one_line_that_names_it(kind, code, words, tmp_path, installed, monkeypatch):
    module = f"broken_{kind.name}_{tmp_path.name}"
    (tmp_path / f"{module}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    installed(kind, theirs=f"{module}:Mine")
    for spec in ("theirs", f"{module}:Mine", f"{tmp_path / module}.py:Mine"):
        with pytest.raises(BadInput) as refused:
            kind.load(spec)
        text = str(refused.value)
        assert all(word in text for word in words) and "\n" not in text
        assert spec in text or f"{module}.py" in text


@KINDS
@pytest.mark.parametrize("target", ["", ":", "no module", "guidebench.errors", "guidebench.errors:", "a:b:c"])
def test_a_malformed_entry_point_is_listed_and_refused_when_it_is_used(kind, target, installed):
    installed(kind, theirs=target)
    assert "theirs" in kind.entries()
    with pytest.raises(BadInput, match="theirs"):
        kind.load("theirs")


@KINDS
def test_a_plug_in_cannot_take_a_name_that_ships(kind, file, installed, says):
    path = file(kind)
    shipped = kind.load(f"{next(iter(kind.entries()))}")
    installed(kind, **{shipped.name: f"{path.stem}:Mine"})
    assert kind.entries()[shipped.name].origin == "guidebench"
    for spec in (f"{path}:Shadow", f"{path.stem}:Shadow"):
        with pytest.raises(BadInput, match=says(spec, "another name")):
            kind.load(spec)


@KINDS
def test_a_plug_in_is_called_as_it_is_registered(kind, file, installed, says):
    installed(kind, other=f"{file(kind).stem}:Mine")
    with pytest.raises(BadInput, match=says("'other'", "theirs", "'own'")):
        kind.load("other")


@KINDS
def test_an_unknown_name_gets_the_closest_one_and_the_command_that_lists_all(kind, file, installed, says):
    installed(kind, theirs_indeed="a:B")
    with pytest.raises(BadInput, match=says(f"unknown {kind.name}", "'theirs-indeed'", f"`{kind.list_command}`")):
        kind.load("their-indeed")


@KINDS
def test_a_file_says_what_it_defines(kind, file, says):
    with pytest.raises(BadInput, match=says("'Nine'", "Mine", "Shadow")):
        kind.load(f"{file(kind)}:Nine")
    with pytest.raises(BadInput, match=says(kind.name, "nowhere.py", "does not exist")):
        kind.load("nowhere.py:Mine")


def test_a_file_that_is_edited_within_a_second_is_not_taken_from_stored_bytecode(tmp_path):
    """Bytecode counts as current where size and whole seconds agree; its record would name code that did not run."""
    method, helper = tmp_path / "quick.py", tmp_path / "quick_helper.py"
    found = []
    for number in (1, 2):
        helper.write_text(f"BY = {number}\n")
        method.write_text(f"from quick_helper import BY\nOWN = {number}\nBOTH = (OWN, BY)\n")
        for path in (method, helper):
            os.utime(path, (1_700_000_000, 1_700_000_000))
        found.append(plugins.from_file(f"{method}:BOTH", "method"))
    assert found == [(1, 1), (2, 2)]
    assert not list(tmp_path.rglob("*.pyc"))


@KINDS
def test_what_a_spec_names_tells_its_kind(kind, file):
    assert registry.kind_of(f"{file(kind)}:Mine") is kind
    assert registry.kind_of(next(iter(kind.entries()))) is kind
    assert registry.kind_of("nothing-of-the-kind") is None


@pytest.mark.parametrize("field", ["title", "latex", "unit", "summary", "direction", "judged", "compute", "name"])
def test_a_metric_whose_fields_no_table_can_show_is_refused(field, tmp_path, says):
    (tmp_path / "m.py").write_text(
        SOURCES["metric"] + f"import dataclasses\nBad = dataclasses.replace(Mine, {field}=7)"
    )
    with pytest.raises(BadInput, match=says("m.py:Bad", field, "7" if field != "compute" else "an int")):
        registry.load_metric(f"{tmp_path / 'm.py'}:Bad")


def test_a_function_is_not_a_metric_and_the_message_says_what_is(file, says):
    with pytest.raises(BadInput, match=says("function", "TrialMetric", "`guidebench new metric NAME`")):
        registry.load_metric(f"{file(registry.METRIC)}:function")


def test_tables_know_the_metrics_of_plug_ins_and_do_without_broken_ones(file, installed, caplog):
    installed(registry.METRIC, own=f"{file(registry.METRIC).stem}:Mine", broken="nowhere_to_be_found:Mine")
    known = registry.known_metrics()
    assert known["own"].direction == "lower" and "id" in known and "broken" not in known
    assert "'broken'" in caplog.text


def test_a_testbed_says_what_it_does_not_define(tmp_path, says):
    (tmp_path / "t.py").write_text(
        "from guidebench.testbed import Testbed\n"
        "class Bare(Testbed):\n    name = 'bare'\n    summary = 'bare'\n    caption = ''\n"
        "    def faces(self): ...\n"
        "class Mute(Bare):\n    players = judges = Bare.faces\n    summary = ''\n"
    )
    with pytest.raises(BadInput, match=says("t.py:Bare", "judges, players", "docs/testbeds.md")):
        registry.testbed_class(f"{tmp_path / 't.py'}:Bare")
    with pytest.raises(BadInput, match=says("t.py:Mute", "summary")):
        registry.testbed_class(f"{tmp_path / 't.py'}:Mute")


def test_a_testbed_in_a_file_takes_the_overlays_and_presets_of_its_name(file):
    spec = f"{file(registry.TESTBED)}:Mine"
    written = "source = 'dev'\nidentities = 3\n[on.own]\nidentities = 2\n"
    parsed = protocol.parse(written, origin="p.toml", default_name="p")
    assert parsed.resolve(spec).identities == 2
    assert registry.testbed_name(spec) == "own" and registry.testbed_name("mini") == "mini"


def test_overlays_of_registered_testbeds_are_told_from_misspelt_ones(installed, says):
    installed(registry.TESTBED, theirs="a:B")
    written = "source = 'dev'\nidentities = 3\n[on.NAME]\nidentities = 2\n"
    for name in ("mini", "theirs", "something-else"):
        protocol.parse(written.replace("NAME", name), origin="p.toml", default_name="p")
    for name, close in (("minni", "mini"), ("their", "theirs")):
        with pytest.raises(BadInput, match=says("p.toml", f"[on.{name}]", f"[on.{close}]")):
            protocol.parse(written.replace("NAME", name), origin="p.toml", default_name="p")
