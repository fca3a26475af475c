"""The code that a plug-in consists of: which files, their digest, and whether it is what was loaded."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from guidebench import digest
from guidebench.errors import BadInput

if TYPE_CHECKING:
    from guidebench.attack import Attack
    from guidebench.testbed import Testbed
    from guidebench.unlearner import Unlearner


_PLAIN = (bool, int, float, str, tuple, list, dict)  # values whose repr is what they are


def source_digest(plugin: Unlearner | Attack) -> str:
    """SHA-256 of the code that a method or an attack consists of: part of a trial's key, or of what it found.

    That is the files of its class and base classes, and the files beside them that these import. Other code
    (installed packages, guidebench itself) is not followed: its versions are recorded.
    """
    return _digest_of(type(plugin), _interface_of(plugin))


def source_files(plugin: Unlearner | Attack) -> list[Path]:
    """The files that `source_digest` is of; nothing of classes that were typed into a notebook."""
    return _code_of(type(plugin), _interface_of(plugin))[0]


def _interface_of(plugin: Unlearner | Attack) -> type:
    from guidebench.attack import Attack
    from guidebench.unlearner import Unlearner

    return Unlearner if isinstance(plugin, Unlearner) else Attack


def testbed_digest(testbed: type[Testbed]) -> str:
    """SHA-256 of the code of a testbed that somebody brought, as `source_digest`; "" for those that ship."""
    from guidebench.testbed import Testbed

    ships = testbed.__module__.partition(".")[0] == "guidebench"
    return "" if ships else _digest_of(testbed, Testbed)


def _digest_of(plugin: type, interface: type) -> str:
    """Of the files of a class and its base classes below an interface."""
    files, typed = _code_of(plugin, interface)
    return digest.of_data([digest.of_file(path) for path in files] + [digest.of_data(text) for text in typed])


def _code_of(plugin: type, interface: type) -> tuple[list[Path], list[str]]:
    """The files of a class and its base classes below an interface, and the texts of those that were typed."""
    found: dict[Path, None] = {}
    typed: list[str] = []
    for kind in plugin.__mro__:
        if issubclass(kind, interface) and kind is not interface:
            if file := _file_of(kind):
                _add_sources(file, found)
            else:
                typed.append(_typed(kind))
    return list(found), typed


def check_current(kind: type) -> None:
    """Raises BadInput if the file of a class has changed since it was imported: its digest would be of other code."""
    path = _file_of(kind)
    if path is None:
        return
    try:
        written = dict(_codes(compile(path.read_bytes(), str(path), "exec", dont_inherit=True)))
    except (SyntaxError, ValueError):
        written = {}
    for function in _functions(kind):
        if Path(function.__code__.co_filename).name == path.name and written.get(function.__qualname__) not in (
            function.__code__,
            None,
        ):
            raise BadInput(f"{path} has changed since {kind.__name__} was imported from it; start Python again")


def _codes(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    """Every function of compiled code by qualified name."""
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield value.co_qualname, value
            yield from _codes(value)


def _file_of(kind: type) -> Path | None:
    """The file of a class; None if it was typed into a notebook or a prompt."""
    try:
        path = Path(inspect.getsourcefile(kind) or "")
    except (TypeError, OSError):
        return None
    return path if path.is_file() else None


def _typed(kind: type) -> str:
    """The text of a class that was typed into a notebook, and of what its functions name that was typed beside it.

    Raises BadInput if nobody kept the text.
    """
    texts: dict[str, str] = {}
    _add_texts(kind, texts)
    return "\n".join(f"{name}: {text}" for name, text in sorted(texts.items()))


def _add_texts(typed: Any, texts: dict[str, str]) -> None:
    name = f"{typed.__module__}:{typed.__qualname__}"
    if name in texts:
        return
    values = {key: value for key, value in vars(typed).items() if key[0] != "_" and isinstance(value, _PLAIN)}
    texts[name] = repr(sorted(values.items()))
    for function in _functions(typed) if inspect.isclass(typed) else [typed]:
        try:
            texts[f"{name}:{function.__qualname__}"] = inspect.getsource(function)
        except (OSError, TypeError):
            raise BadInput(f"the code of {typed.__name__} cannot be read; put it in a file, such as mine.py") from None
        for named in {
            word for code in (function.__code__, *dict(_codes(function.__code__)).values()) for word in code.co_names
        }:
            value = function.__globals__.get(named)
            if inspect.isfunction(value) or inspect.isclass(value):
                if value.__module__ == typed.__module__:
                    _add_texts(value, texts)
            elif isinstance(value, _PLAIN):
                texts[f"{typed.__module__}:{named}"] = repr(value)


def _functions(kind: type) -> list[FunctionType]:
    """What a class defines itself, without the functions that dataclasses write."""
    found = {name: getattr(value, "__func__", value) for name, value in vars(kind).items()}
    return [
        function
        for name, function in found.items()
        if isinstance(function, FunctionType)
        and not (name.startswith("__") and inspect.unwrap(function).__code__.co_filename == "<string>")
    ]


def code_digest(path: Path) -> str:
    """SHA-256 of a Python file and the files beside it that it imports."""
    return digest.of_data([digest.of_file(source) for source in files_of(path)])


def files_of(path: Path) -> list[Path]:
    """A Python file and the files beside it that it imports."""
    found: dict[Path, None] = {}
    _add_sources(path, found)
    return list(found)


def _add_sources(path: Path, found: dict[Path, None], first: Path | None = None) -> None:
    """Adds a file and the files beside it that its import statements name, anywhere in it.

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
