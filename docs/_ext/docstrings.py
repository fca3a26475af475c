"""Docstrings and comments of the package as Sphinx reads them.

The package explains fields in comments behind them, and parameters in lines such as ``steps: how many``. Both read well
in a file; here they become the descriptions and lists that a page of an API has.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _process)
    return {"parallel_read_safe": True}


def _process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    if what in ("attribute", "data", "property") and not any(lines):
        lines[:] = [_linked(comment_on(name))]
        return
    lines[:] = as_rst(lines, parameters_of(obj))


def parameters_of(obj: Any) -> set[str]:
    """The names of a function's parameters, or of a class's; empty if it has none."""
    try:
        return set(inspect.signature(obj).parameters)
    except (TypeError, ValueError):
        return set()


def as_rst(lines: list[str], parameters: set[str]) -> list[str]:
    """A docstring with its indented examples as literal blocks and its parameters as a list.

    >>> as_rst(["Draws it:", "", "    draw(1)"], set())
    ['Draws it:', '', '::', '', '    draw(1)']
    >>> as_rst(["Draws.", "size: pixels,", "at least 1", "", "Fast."], {"size"})
    ['Draws.', '', ':param size: pixels,', '    at least 1', '', 'Fast.']
    """
    found: list[str] = []
    state = "text"  # or "example", or "parameter": what the line before belongs to
    for line in lines:
        listed = re.match(r"(\w+(?:, \w+)*): (.*)", line)
        if line.startswith("    ") and state != "example" and not (found and found[-1]):
            found += ["::", ""]
            state = "example"
        if state == "example" and (line.startswith("  ") or not line):
            found.append(line)
        elif listed and set(listed[1].split(", ")) <= parameters:
            if state == "text" and found and found[-1]:
                found.append("")
            state = "parameter"
            first, *others = listed[1].split(", ")
            also = "".join(f"and ``{name}``: " for name in others)
            found.append(f":param {first}: {also}{_linked(listed[2])}")
        elif state == "parameter" and line:
            found.append(f"    {_linked(line.strip())}")
        else:
            state = "text"
            found.append(_linked(line))
    return found


def _linked(line: str) -> str:
    """A line whose single backticks are links where they name a class or a part of the package, else code."""
    return re.sub(r"(?<!`)`([^`]+)`(?!`)", lambda found: _as_role(found[1]), line)


def _as_role(name: str) -> str:
    is_name = re.fullmatch(r"guidebench(\.\w+)+|[A-Z]\w*(\.\w+)*", name)
    return f":py:obj:`{name}`" if is_name else f"``{name}``"


def comment_on(name: str) -> str:
    """The comment on a field or a constant, such as ``guidebench.protocol.Protocol.forget``; "" if there is none."""
    module, _, rest = name.rpartition(".")
    while module:
        with_comments = comments(module)
        if with_comments is not None:
            return with_comments.get(rest, "")
        module, _, before = module.rpartition(".")
        rest = f"{before}.{rest}" if before else rest
    return ""


@functools.cache
def comments(module: str) -> dict[str, str] | None:
    """What the comments of a module say about its fields and constants, by name; None: there is no such module."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    if spec is None or spec.origin is None:
        return None
    with open(spec.origin, encoding="utf-8") as file:
        text = file.read()
    return comments_in(text)


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
