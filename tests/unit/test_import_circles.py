"""No module of guidebench imports itself in a circle, not even by an import inside a function."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

TOPS = {"guidebench": "guidebench", "baselines": "guidebench.baselines"}


def modules(root: Path) -> dict[str, Path]:
    """Every module of the tree by the name under which it is imported."""
    found = {}
    for folder, package in TOPS.items():
        for path in (root / folder).rglob("*.py"):
            parts = path.relative_to(root / folder).with_suffix("").parts
            found[".".join([package, *(part for part in parts if part != "__init__")])] = path
    return found


def imports(tree: ast.AST, known: dict[str, Path]) -> Iterator[str]:
    """The known modules that a tree imports anywhere but under `if TYPE_CHECKING`."""
    if isinstance(tree, ast.If) and "TYPE_CHECKING" in ast.dump(tree.test):
        for node in tree.orelse:
            yield from imports(node, known)
        return
    if isinstance(tree, ast.Import):
        yield from (alias.name for alias in tree.names if alias.name in known)
    if isinstance(tree, ast.ImportFrom):
        assert tree.level == 0, "imports are absolute"
        for alias in tree.names:
            inner = f"{tree.module}.{alias.name}"
            yield inner if inner in known else str(tree.module)
    for node in ast.iter_child_nodes(tree):
        yield from imports(node, known)


def circle(graph: dict[str, set[str]]) -> list[str]:
    """One circle of a graph, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_there_is_no_import_circle(root):
    known = modules(root)
    assert len(known) > 100
    graph = {name: set(imports(ast.parse(path.read_text()), known)) & set(known) for name, path in known.items()}
    assert " <- ".join(circle(graph)) == ""


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import b", {"b"}),
        ("from b import c", {"b.c"}),
        ("def f():\n    from b import d", {"b"}),
        ("if TYPE_CHECKING:\n    import b", set()),
        ("if TYPE_CHECKING:\n    import b\nelse:\n    import b.c", {"b.c"}),
    ],
)
def test_imports_are_found_inside_functions_and_not_for_types_only(code, found):
    known = dict.fromkeys(("b", "b.c"), Path())
    assert set(imports(ast.parse(code), known)) == found


def test_a_circle_is_named():
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == {"a", "b", "c"}
