"""The digest of a method's code changes with every file that it consists of, and with no other."""

from __future__ import annotations

import importlib
import itertools
import linecache
import subprocess
import sys
from dataclasses import dataclass

import pytest

from guidebench import registry, sources
from guidebench.baselines.nothing import Nothing
from guidebench.errors import BadInput

METHOD = """
from dataclasses import dataclass
from guidebench.unlearner import Unlearner
{imports}

@dataclass(frozen=True)
class Mine(Unlearner):
    name = "mine"
    def unlearn(self, generator, request, context):
        {within}
        return generator
"""


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def digest_of(folder) -> str:
    return sources.code_digest(folder / "mine.py")


IMPORTS = {
    "import": "import part",
    "import as": "import part as other",
    "from": "from part import thing",
    "relative": "from . import part",
    "relative from": "from .part import thing",
}


@pytest.mark.parametrize("statement", IMPORTS.values(), ids=IMPORTS)
@pytest.mark.parametrize("inside", [False, True], ids=["at the top", "in a function"])
def test_a_file_beside_it_that_a_method_imports_is_part_of_it(tmp_path, statement, inside):
    text = METHOD.format(imports="" if inside else statement, within=statement if inside else "pass")
    write(tmp_path, {"mine.py": text, "part.py": "thing = 1"})
    before = digest_of(tmp_path)
    write(tmp_path, {"part.py": "thing = 2"})
    assert digest_of(tmp_path) != before


@pytest.mark.parametrize(
    ("statement", "changed"),
    [
        ("import pack", "pack/__init__.py"),
        ("import pack.one", "pack/__init__.py"),
        ("import pack.one", "pack/one.py"),
        ("from pack import one", "pack/one.py"),
        ("from pack.one import thing", "pack/one.py"),
        ("from pack import one", "pack/two.py"),  # one imports it relatively
        ("from pack import one", "pack/three.py"),  # one imports it by its full name
        ("import bare.one", "bare/one.py"),  # a folder without __init__.py
    ],
)
def test_packages_beside_it_are_followed_file_by_file(tmp_path, statement, changed):
    write(
        tmp_path,
        {
            "mine.py": METHOD.format(imports=statement, within="pass"),
            "pack/__init__.py": "",
            "pack/one.py": "from . import two\nfrom pack.three import thing",
            "pack/two.py": "",
            "pack/three.py": "thing = 1",
            "pack/unused.py": "",
            "bare/one.py": "",
        },
    )
    before = digest_of(tmp_path)
    write(tmp_path, {"pack/unused.py": "x = 1", "unused.py": "x = 1"})
    assert digest_of(tmp_path) == before
    write(tmp_path, {changed: "thing = 7  # changed"})
    assert digest_of(tmp_path) != before


def test_files_that_import_each_other_come_to_an_end(tmp_path):
    write(tmp_path, {"mine.py": "import part", "part.py": "import mine"})
    assert digest_of(tmp_path) == digest_of(tmp_path)


def test_a_file_that_cannot_be_parsed_is_digested_as_it_is(tmp_path):
    write(tmp_path, {"mine.py": "x = ("})
    before = digest_of(tmp_path)
    write(tmp_path, {"mine.py": "y = ("})
    assert digest_of(tmp_path) != before


def test_a_folder_called_like_the_package_is_not_followed(tmp_path):
    """`guidebench` is a version in the record, not code of the method."""
    write(tmp_path, {"mine.py": "import guidebench.unlearner", "guidebench/unlearner.py": ""})
    before = digest_of(tmp_path)
    write(tmp_path, {"guidebench/unlearner.py": "x = 1"})
    assert digest_of(tmp_path) == before


def loaded(folder, name="mine.py", kind="Mine"):
    return registry.load_method(f"{folder / name}:{kind}")


def test_base_classes_that_lie_elsewhere_are_part_of_a_method(tmp_path, monkeypatch):
    """The same file of the method, with a base class of another folder that differs."""
    digests = []
    for version, base in enumerate(("", "# changed")):
        lib, own = tmp_path / f"lib{version}", tmp_path / f"own{version}"
        write(lib, {"base_of_mine.py": METHOD.format(imports="", within="pass") + base})
        write(own, {"mine.py": "import base_of_mine\nclass Child(base_of_mine.Mine):\n    name = 'child'\n"})
        with monkeypatch.context() as patched:
            patched.syspath_prepend(lib)
            patched.delitem(sys.modules, "base_of_mine", raising=False)
            digests.append(sources.source_digest(loaded(own, kind="Child")))
    assert digests[0] != digests[1] and digest_of(tmp_path / "own0") == digest_of(tmp_path / "own1")


def test_what_ships_is_digested_by_its_own_file():
    assert sources.source_digest(Nothing()) == sources.source_digest(Nothing())
    others = [sources.source_digest(registry.load_method(name)) for name in ("nothing", "scramble", "redirect")]
    assert len(set(others)) == 3


_CELLS = itertools.count()


def typed(text):
    """A class as a notebook defines one: its text is kept for inspection, but no file holds it."""
    name = f"<cell {next(_CELLS)}>"
    namespace = {"__name__": f"cell_{name}", "dataclass": dataclass, "Nothing": Nothing}
    module = type(sys)(namespace["__name__"])
    module.__file__ = name
    sys.modules[namespace["__name__"]] = module
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    exec(compile(text, name, "exec"), namespace)
    return namespace["Typed"]


CELL = """
RATE = {rate}

def helper(x):
    return x + {more}

@dataclass(frozen=True)
class Typed(Nothing):
    name = "typed"
    size: float = {size}

    def unlearn(self, generator, request, context):
        return (lambda: helper(RATE) and generator)()
"""
VALUES = {"rate": 1.0, "more": 0, "size": 1.0}


def test_a_class_of_a_notebook_is_digested_by_its_text_and_what_its_functions_name():
    first, same = (digest_of_typed(**VALUES) for _ in range(2))
    others = {digest_of_typed(**{**VALUES, name: 2}) for name in VALUES}
    assert first == same and len(others | {first}) == 4


def digest_of_typed(**values):
    """Without the name of the cell's module, which differs from cell to cell here."""
    kind = typed(CELL.format(**values))
    return sources._typed(kind).replace(kind.__module__, "cell")


def test_a_class_whose_text_nobody_kept_is_refused(says):
    kind = typed(CELL.format(**VALUES))
    linecache.clearcache()
    del sys.modules[kind.__module__]
    with pytest.raises(BadInput, match=says("Typed", "mine.py")):
        sources.source_digest(kind())


def test_a_helper_that_is_loaded_from_elsewhere_under_the_same_name_is_refused(tmp_path, monkeypatch, says):
    """Python would give the method the other one."""
    name = f"helper_{tmp_path.name}"
    write(tmp_path, {"mine.py": f"import {name}", f"{name}.py": "", f"elsewhere/{name}.py": ""})
    sources.check_helpers(tmp_path / "mine.py")
    module = type(sys)(name)
    module.__file__ = str(tmp_path / "elsewhere" / f"{name}.py")
    monkeypatch.setitem(sys.modules, name, module)
    with pytest.raises(BadInput, match=says("mine.py", f"{name}.py", module.__file__)):
        sources.check_helpers(tmp_path / "mine.py")
    module.__file__ = str(tmp_path / f"{name}.py")
    sources.check_helpers(tmp_path / "mine.py")


def test_a_testbed_that_ships_has_no_digest_and_one_in_a_file_that_of_its_files(tmp_path):
    """Of those that ship, weights and the version of the numerics tell enough."""
    (tmp_path / "own_testbed.py").write_text(
        "from guidebench.testbeds.linear import LinearTestbed\nimport beside_own\n"
        "class Own(LinearTestbed):\n    name = 'own'\n    summary = 'x'\n"
    )
    (tmp_path / "beside_own.py").write_text("")
    own = registry.testbed_class(f"{tmp_path / 'own_testbed.py'}:Own")
    first = sources.testbed_digest(own)
    (tmp_path / "beside_own.py").write_text("# changed")
    assert len(first) == 64 and sources.testbed_digest(own) != first
    assert sources.testbed_digest(registry.testbed_class("linear")) == ""


SESSION = """
from dataclasses import dataclass
import guidebench

@dataclass(frozen=True)
class Typed(guidebench.Unlearner):
    name = "typed"

    def unlearn(self, generator, request, context):
        return generator

try:
    result = guidebench.run("smoke", Typed, "linear", floors="none", out=OUT)
    print("measured", result.measured)
except guidebench.BadInput as error:
    print("refused", error)
"""


def run_session(text, words):
    return subprocess.run([sys.executable, "-c", words], input=text, capture_output=True, text=True, timeout=60)


def test_a_method_of_a_notebook_cell_is_run(tmp_path):
    """As IPython does: the cell is compiled under a name whose lines are kept, and __main__ has no file."""
    cell = SESSION.replace("OUT", repr(str(tmp_path / "runs")))
    kernel = (
        "import linecache, sys\ntext = sys.stdin.read()\n"
        "linecache.cache['<cell 1>'] = (len(text), None, text.splitlines(True), '<cell 1>')\n"
        "exec(compile(text, '<cell 1>', 'exec'), vars(sys.modules['__main__']))"
    )
    done = run_session(cell, kernel)
    assert done.stdout.strip() == "measured 1", done.stderr


def test_a_method_typed_at_a_prompt_that_keeps_no_text_is_refused_in_one_line(tmp_path):
    cell = SESSION.replace("OUT", repr(str(tmp_path / "runs")))
    done = run_session(cell, "import sys; exec(sys.stdin.read(), vars(sys.modules['__main__']))")
    assert done.stdout.startswith("refused ") and "mine.py" in done.stdout and not done.stderr


def test_a_file_that_changed_since_its_class_was_imported_is_refused(tmp_path, monkeypatch, says):
    body = (
        "from dataclasses import dataclass\nfrom guidebench.unlearner import Unlearner\n\n\n"
        "@dataclass(frozen=True)\nclass Imported(Unlearner):\n    name = 'imported'\n\n"
        "    def unlearn(self, generator, request, context):\n        return generator\n"
    )
    path = tmp_path / f"module_{tmp_path.name}.py"
    path.write_text(body)
    monkeypatch.syspath_prepend(str(tmp_path))
    kind = importlib.import_module(path.stem).Imported
    sources.check_current(kind)
    path.write_text(body.replace("return generator", "return None"))
    with pytest.raises(BadInput, match=says(str(path), "Imported")):
        sources.check_current(kind)
