"""The code that a plug-in consists of: which files, their digest, and what must not stand beside them."""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from guidebench import digest
from guidebench.errors import BadInput

if TYPE_CHECKING:
    from guidebench.testbed import Testbed
    from guidebench.unlearner import Unlearner


def source_digest(method: Unlearner) -> str:
    """SHA-256 of the code that a method consists of: part of a trial's key.

    That is the files of its class and base classes, and the files beside them that these import. What lies elsewhere
    (installed packages, guidebench itself) is not followed: its versions are recorded.
    """
    from guidebench.unlearner import Unlearner

    return _digest_of(type(method), Unlearner)


def testbed_digest(testbed: type[Testbed]) -> str:
    """SHA-256 of the code of a testbed that somebody brought, as `source_digest`; "" for those that ship."""
    from guidebench.testbed import Testbed

    ships = testbed.__module__.partition(".")[0] == "guidebench"
    return "" if ships else _digest_of(testbed, Testbed)


def _digest_of(plugin: type, interface: type) -> str:
    """Of the files of a class and its base classes below an interface."""
    found: dict[Path, None] = {}
    typed: list[str] = []
    for kind in plugin.__mro__:
        if issubclass(kind, interface) and kind is not interface:
            if file := _file_of(kind):
                _add_sources(file, found)
            else:
                typed.append(_typed(kind))
    return digest.of_data([digest.of_file(path) for path in found] + [digest.of_data(text) for text in typed])


def _file_of(kind: type) -> Path | None:
    """The file of a class; None if it was typed into a notebook or a prompt."""
    try:
        path = Path(inspect.getsourcefile(kind) or "")
    except TypeError:
        return None
    return path if path.is_file() else None


def _typed(kind: type) -> str:
    """The text of a class of a notebook. Raises BadInput if nobody kept it."""
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        raise BadInput(f"the code of {kind.__name__} cannot be read; put it in a file, such as mine.py") from None


def code_digest(path: Path) -> str:
    """SHA-256 of a Python file and the files beside it that it imports."""
    found: dict[Path, None] = {}
    _add_sources(path, found)
    return digest.of_data([digest.of_file(source) for source in found])


def _add_sources(path: Path, found: dict[Path, None], first: Path | None = None) -> None:
    """Adds a file and the files beside it that its import statements name, wherever they stand in it.

    first: the folder of the file with which it began, where packages beside that file find each other by full name.
    """
    path = path.resolve()
    if path in found or not path.is_file():
        return
    found[path] = None
    first = first or path.parent
    for name in sorted(_imported_names(path)):
        for folder in dict.fromkeys((path.parent, first)):
            for beside in (folder / f"{name}.py", folder / name / "__init__.py"):
                _add_sources(beside, found, first)


def _imported_names(path: Path) -> set[str]:
    """Import statements as paths relative to the file's folder: ``from a.b import c`` gives a, a/b and a/b/c."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            names |= {base, *(f"{base}.{alias.name}".lstrip(".") for alias in node.names)}
    own = {name for name in names if name and name.partition(".")[0] != "guidebench"}
    parts = [name.split(".") for name in own]
    return {"/".join(words[: count + 1]) for words in parts for count in range(len(words))}


def check_helpers(path: Path) -> None:
    """Raises BadInput if a module beside a method file is loaded already from another folder under the same name."""
    for name in _imported_names(path):
        loaded = sys.modules.get(name.replace("/", "."))
        other = getattr(loaded, "__file__", None)
        for beside in (path.parent / f"{name}.py", path.parent / name / "__init__.py"):
            if other and beside.is_file() and Path(other).resolve() != beside.resolve():
                raise BadInput(f"{path} imports {beside.name}, but {other} is loaded under that name; rename it")
