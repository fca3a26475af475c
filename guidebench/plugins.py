"""How plug-ins are found, alike for every kind: by a registered name, in a file, or in an importable module.

`guidebench.registry` says which kinds there are. Nothing here imports a plug-in before it is asked for: a list of
plug-ins is made from the names of entry points alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from guidebench import sources
from guidebench.errors import BadInput, in_one_line, unknown_name
from guidebench.watched import unchanged

NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]*"  # of a plug-in
ALLOWED = "letters, digits, . _ + and -"  # the same in words
_LOADED = "__guidebench_code__"  # digest of the files of a module when it was loaded
FILE_MODULE = "guidebench_file_"  # how the names of modules begin that were loaded from a file
_WRITES = ("method", "attack", "metric")  # what `guidebench new` writes

Found = TypeVar("Found")


@dataclass(frozen=True)
class Entry:
    """A plug-in that can be named on the command line, before its code is imported."""

    name: str
    target: str  # "module:attribute", or "path/to/file.py:Name"
    summary: str
    origin: str = "guidebench"  # who provides it


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[Found]):
    """One kind of plug-in: what guidebench ships of it, where others register theirs, what a good one is."""

    name: str  # "method"; also in messages
    group: str  # entry point group of other distributions
    ships: Callable[[], Sequence[Entry]]
    check: Callable[[Any, str], Found]  # (what was loaded, its spec) -> what is used; raises BadInput saying what lacks
    unlisted: tuple[Entry, ...] = ()  # ship, too, but only commands name them

    @property
    def list_command(self) -> str:
        """The command that lists all of them."""
        return f"guidebench list {self.name}s"

    def has(self, name: str) -> bool:
        """Whether a name is registered. Distributions are looked through only for what does not ship."""
        return any(entry.name == name for entry in self.ships()) or name in self.entries()

    def entries(self) -> dict[str, Entry]:
        """All that are registered, by name. What ships comes first and keeps its names."""
        found = {entry.name: entry for entry in self.ships()}
        taken = set(found) | {entry.name for entry in self.unlisted}
        for point in metadata.entry_points(group=self.group):
            origin = point.dist.name if point.dist else "plug-in"
            if point.name not in taken:
                found.setdefault(point.name, Entry(point.name, point.value, f"from {origin}", origin))
        return found

    def entry(self, spec: str) -> Entry:
        """What a registered name, ``path/to/file.py:Name`` or ``module:Name`` stands for; nothing is imported.

        Raises BadInput, with the closest match, if no such name is registered.
        """
        if is_direct(spec):
            return Entry(spec, spec, "", origin="")
        for entry in (*self.ships(), *self.unlisted):
            if entry.name == spec:
                return entry
        known = self.entries()
        if spec not in known:
            raise unknown_name(self.name, spec, known, command=self.list_command)
        return known[spec]

    def load(self, spec: str) -> Found:
        """The plug-in itself. Raises BadInput, in one line, if it is unknown, cannot be imported or is not one."""
        return self.checked(load_target(self.entry(spec), self.name), spec)

    def checked(self, target: Any, spec: str) -> Found:
        """What was loaded for a spec, if it is a plug-in of this kind under a name of its own. Raises BadInput."""
        entry, found = self.entry(spec), self.check(target, spec)
        name: str = found.name  # type: ignore[attr-defined]  # every kind has one
        if not is_direct(spec) and name != entry.name:
            raise BadInput(
                f"{self.name} '{entry.name}' of {entry.origin} calls itself '{name}'; give both the same name"
            )
        if any(name == own.name and entry.target != own.target for own in (*self.ships(), *self.unlisted)):
            raise BadInput(f"{self.name} '{spec}' is called '{name}', which ships with guidebench; choose another name")
        return found


def is_file_spec(spec: str) -> bool:
    """Whether a plug-in is given as ``path/to/file.py:Name``, and not by a registered name.

    >>> is_file_spec("./mine.py:Mine"), is_file_spec("mine.py"), is_file_spec("foo.pytorch")
    (True, True, False)
    """
    return spec.endswith(".py") or spec.rpartition(":")[0].endswith(".py")


def is_direct(spec: str) -> bool:
    """Whether a spec says itself where the plug-in is: ``path/to/file.py:Name`` or ``module:Name``.

    >>> is_direct("mine.py:Mine"), is_direct("my_package.mine:Mine"), is_direct("guide")
    (True, True, False)
    """
    return is_file_spec(spec) or ":" in spec


def spec_of(kind: type) -> str:
    """How a class is named so that it is found again: ``path/to/file.py:Class`` or ``module:Class``."""
    module = sys.modules[kind.__module__]
    where = module.__file__ if kind.__module__.startswith(FILE_MODULE) else kind.__module__
    return f"{where}:{kind.__qualname__}"


def load_target(entry: Entry, kind: str) -> Any:
    """What an entry names, whatever it is. kind: what it should be, for messages. Raises BadInput."""
    if is_file_spec(entry.target):
        return from_file(entry.target, kind)
    module, _, path = entry.target.partition("[")[0].strip().partition(":")
    try:
        return _attribute(importlib.import_module(module), path)
    except (Exception, SystemExit) as error:  # a plug-in may fail in any way
        who = f"{kind} '{entry.name}'" + (f" of {entry.origin}" if entry.origin else "")
        raise BadInput(f"{who} cannot be loaded from {entry.target}: {in_one_line(error)}") from error


def from_file(spec: str, kind: str) -> Any:
    """What ``path/to/file.py:Name`` names. kind: what it should be, for messages. Raises BadInput."""
    path_text, separator, name = spec.rpartition(":")
    if not separator or not path_text.endswith(".py"):
        raise BadInput(f"{kind} '{spec}' names nothing in the file; write path/to/file.py:NAME")
    path = Path(path_text).resolve()
    if not path.is_file():
        hint = f"`guidebench new {kind} NAME` writes one to start from" if kind in _WRITES else "check the path"
        raise BadInput(f"{kind} file {path_text} does not exist; {hint}")
    if not str(path).isprintable():
        raise BadInput(f"{kind} file {path_text} cannot be recorded by its name; rename it to something printable")
    module = _module_of(path, f"{kind} file {path_text}")
    try:
        return _attribute(module, name)
    except (AttributeError, KeyError):
        raise BadInput(f"{path_text} has no '{name}'; it defines: {', '.join(_defined(module)) or 'nothing'}") from None


def _module_of(path: Path, what: str) -> ModuleType:
    """The module of a file, imported again if a file that it consists of has changed. Raises BadInput.

    what: the file in messages.
    """
    name = f"{FILE_MODULE}{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    files, code = sources.files_of(path), sources.code_digest(path)
    if name in sys.modules:
        if vars(sys.modules[name]).get(_LOADED) == code:
            return sys.modules[name]
        _forget(files)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sources.check_helpers(path)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # for the files beside it, at load and later
    sys.modules[name] = module  # dataclasses look their module up by name
    setattr(module, _LOADED, code)
    try:
        with _no_bytecode_kept(), unchanged("its import"):
            exec(compile(path.read_bytes(), str(path), "exec", dont_inherit=True), vars(module))
    except (Exception, SystemExit) as error:  # the file may hold any code
        del sys.modules[name]
        raise BadInput(f"{what} cannot be imported: {in_one_line(error)}") from error
    return module


@contextlib.contextmanager
def _no_bytecode_kept() -> Iterator[None]:
    """Keeps Python from storing bytecode, which it takes for current if a file is edited twice within a second."""
    stores, sys.dont_write_bytecode = not sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = not stores


def _forget(files: Sequence[Path]) -> None:
    """Lets files be imported again, those beside a plug-in, too: a session may edit them between two runs."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).resolve() in files:
            del sys.modules[name]


def _attribute(found: Any, path: str) -> Any:
    """What a dotted path leads to, by attributes, and by keys where there is a mapping."""
    for step in path.split("."):
        found = found[step] if isinstance(found, Mapping) else getattr(found, step)
    return found


def _defined(module: ModuleType) -> list[str]:
    """The public names of what a file itself defines and somebody might have meant: classes, functions, metrics."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (
            getattr(value, "__module__", None) == module.__name__
            or (dataclasses.is_dataclass(value) and not inspect.isclass(value))
        )
    ]
