"""Docstrings and comments of the package as Sphinx reads them.

The package explains fields in comments behind them, and parameters in lines such as ``steps: how many``. Both read well
in a file; here they become the descriptions and lists that a page of an API has.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
import re
from typing import TYPE_CHECKING, Any

from reference import API

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sphinx.application import Sphinx

MODULES = [*(module for group in API.values() for module in group), "guidebench.engine.run"]


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", lambda app: explain(MODULES))
    app.connect("autodoc-process-docstring", _process)
    app.connect("viewcode-follow-imported", lambda app, module, name: home_of(module, name))
    return {"parallel_read_safe": True}


def explain(modules: Iterable[str]) -> None:
    """Gives Sphinx the comments on fields and constants, where it looks for comments that begin with ``#:``."""
    from sphinx.pycode import ModuleAnalyzer

    for module in modules:
        analyzer = ModuleAnalyzer.for_module(module)
        analyzer.analyze()
        for name, text in comments(module).items():
            owner, _, field = name.rpartition(".")
            analyzer.attr_docs.setdefault((owner, field), [_plain(text), ""])


def _process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = as_rst(lines, parameters_of(obj))


def home_of(module: str, name: str) -> str:
    """The module whose source a page shows for a name of a module: where it is defined, if that is in the package.

    >>> home_of("guidebench.protocol", "BadInput"), home_of("guidebench.protocol", "CONVENTIONS")
    ('guidebench.errors', 'guidebench.protocol')
    """
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    home = getattr(found, "__module__", None) or ""
    return home if home.startswith("guidebench.") else module


def parameters_of(obj: Any) -> set[str]:
    """The names of a function's parameters, or of a class's; empty if it has none."""
    try:
        return set(inspect.signature(obj).parameters)
    except (TypeError, ValueError):
        return set()


def as_rst(lines: list[str], parameters: set[str]) -> list[str]:
    """A docstring with its indented examples as literal blocks and its parameters as a list.

    >>> as_rst(["Draws it:", "", "    draw(1)"], set())
    ['Draws it:', '', '::', '', '    draw(1)', '']
    >>> as_rst(["Draws. size: pixels,", "at least 1. dark: or not.", "", "Fast."], {"size", "dark"})
    ['Draws.', '', ':param size: pixels, at least 1.', ':param dark: or not.', '', 'Fast.', '']
    """
    found: list[str] = []
    for example, block in _blocks(lines):
        if example:
            found += ["::", "", *block, ""]
            continue
        text, *listed = _parts(" ".join(line.strip() for line in block), parameters)
        if not listed:
            found += [*map(_linked, block), ""]
            continue
        found += [_linked(text), ""] if text else []
        for part in listed:
            names, _, meaning = part.partition(": ")
            first, *others = names.split(", ")
            also = f"with {', '.join(f'``{name}``' for name in others)}: " if others else ""
            found.append(f":param {first}: {also}{_linked(meaning)}")
        found.append("")
    return found


def _blocks(lines: list[str]) -> list[tuple[bool, list[str]]]:
    """The paragraphs and examples of a docstring, and whether each is an example: indented, with what it holds."""
    found: list[tuple[bool, list[str]]] = []
    for paragraph in "\n".join(lines).strip("\n").split("\n\n"):
        block = paragraph.strip("\n").split("\n")
        example = block[0].startswith("    ")
        if example and found and found[-1][0]:
            found[-1][1].extend(["", *block])
        else:
            found.append((example, block))
    return found


def _parts(text: str, parameters: set[str]) -> list[str]:
    """A paragraph's text before its first parameter, then ``names: meaning`` of each; what is in code stays whole."""
    starts = [
        found.start(1)
        for found in re.finditer(r"(?:^|(?<=[.;] ))((?:\w+, )*\w+): ", text)
        if set(found[1].split(", ")) <= parameters
    ]
    edges = [0, *starts, len(text)]
    return [text[start:end].strip() for start, end in zip(edges, edges[1:], strict=False)]


def _linked(line: str) -> str:
    """A line whose single backticks are links where they name a class or a part of the package, else code."""
    return re.sub(r"(?<!`)`([^`]+)`(?!`)", lambda found: _as_role(found[1]), line)


def _plain(text: str) -> str:
    """A comment with what reStructuredText would take for markup escaped, outside of code."""
    parts = re.split(r"(`+[^`]+`+)", text)
    return "".join(part if place % 2 else re.sub(r"([*|]|_(?!\w))", r"\\\1", part) for place, part in enumerate(parts))


def _as_role(name: str) -> str:
    is_name = re.fullmatch(r"guidebench(\.\w+)+|[A-Z]\w*(\.\w+)*", name)
    return f":py:obj:`{name}`" if is_name else f"``{name}``"


@functools.cache
def comments(module: str) -> dict[str, str]:
    """What the comments of a module say about its fields and constants, by name, such as ``Protocol.forget``."""
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    with open(spec.origin, encoding="utf-8") as file:
        return comments_in(file.read())


def comments_in(text: str) -> dict[str, str]:
    """The same of the text of a module: a comment behind the line, or on the lines above it.

    >>> comments_in("class Run:\\n    steps: int = 3  # how many\\n    # of Adam,\\n    # fixed\\n    lr: float = 1e-3")
    {'Run.steps': 'how many', 'Run.lr': 'of Adam, fixed'}
    """
    lines = text.splitlines()
    found: dict[str, str] = {}

    def look(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                look(node.body, f"{prefix}{node.name}.")
            targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
            for target in targets:
                if isinstance(target, ast.Name) and (comment := _comment_at(lines, node)):
                    found[f"{prefix}{target.id}"] = comment

    look(ast.parse(text).body, "")
    return found


def _comment_at(lines: list[str], node: ast.stmt) -> str:
    assert node.end_lineno is not None and node.end_col_offset is not None
    last = lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode()
    behind = last.partition("#")[2]
    if behind:
        return re.sub(r"^ *(noqa|type: ignore).*", "", behind).strip()
    above: list[str] = []
    place = node.lineno - 2
    while place >= 0 and lines[place].lstrip().startswith("# "):
        above.insert(0, lines[place].strip().removeprefix("# "))
        place -= 1
    return " ".join(above)
