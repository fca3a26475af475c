"""Finds methods, testbeds and metrics by name, in files, and among installed plug-ins."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import importlib
import importlib.util
import inspect
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from guidebench.digest import of_data
from guidebench.digest import of_file as digest_of_file
from guidebench.errors import BadInput, unknown_name
from guidebench.testbeds.mini import WEIGHTS_VERSION

if TYPE_CHECKING:
    from guidebench.testbed import Testbed
    from guidebench.unlearner import Unlearner

ENTRY_POINTS = "guidebench.methods"
NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]*"  # of a method


@dataclass(frozen=True)
class MethodEntry:
    """A method that can be named on the command line, before anything heavy is imported."""

    name: str
    target: str  # "module:attribute"; the attribute is an Unlearner class
    summary: str
    origin: str = "guidebench"  # who provides it


BUILT_IN_METHODS = (
    MethodEntry("mean-latent", "guidebench.baselines.guide:MeanLatent", "the paper's baseline: pull towards w_avg"),
    MethodEntry("extrapolated", "guidebench.baselines.guide:Extrapolated", "+ target extrapolated through w_avg (UFO)"),
    MethodEntry("extrapolated-adj", "guidebench.baselines.guide:ExtrapolatedAdjacency", "+ adjacency loss"),
    MethodEntry("guide", "guidebench.baselines.guide:Guide", "+ global loss: GUIDE as published"),
    MethodEntry("redirect", "guidebench.baselines.redirect:Redirect", "trains nothing: answers w_u with w_t"),
    MethodEntry("nothing", "guidebench.baselines.nothing:Nothing", "floor: the generator as it is"),
    MethodEntry("scramble", "guidebench.baselines.scramble:Scramble", "ceiling: a destroyed generator"),
)
FLOORS = ("nothing", "scramble")
CHECKPOINT = MethodEntry("checkpoint", "guidebench.baselines.checkpoint:Checkpoint", "see `guidebench evaluate`")

TESTBEDS = {
    "mini": (
        "guidebench.testbeds.mini.testbed:MiniTestbed",
        f"embedded: small networks trained on rendered 3-D faces; weights version {WEIGHTS_VERSION}",
    ),
    "linear": ("guidebench.testbeds.linear:LinearTestbed", "analytic: identity is a direction, every metric is known"),
    "eg3d-ffhq": ("guidebench.testbeds.eg3d:EG3DTestbed", "the paper's: EG3D at 512 px, with weights of your own"),
}
DEFAULT_TESTBED = "mini"


def methods() -> dict[str, MethodEntry]:
    """All methods by name: the built-in ones and those of installed plug-ins (entry point group guidebench.methods)."""
    found = {entry.name: entry for entry in BUILT_IN_METHODS}
    for point in metadata.entry_points(group=ENTRY_POINTS):
        origin = point.dist.name if point.dist else "plug-in"
        if point.name not in found:
            found[point.name] = MethodEntry(point.name, point.value, f"from {origin}", origin)
    return found


def load_method(spec: str) -> Unlearner:
    """An unlearner by registered name, or from a file: ``path/to/mine.py:Class`` (class or instance).

    Raises BadInput if there is no such method, or if what is there is no Unlearner.
    """
    if ".py" in spec:
        target = from_file(spec, "method")
    else:
        known = methods()
        if spec not in known and spec != CHECKPOINT.name:
            raise unknown_name("method", spec, known, command="guidebench list methods")
        target = _from_module(known.get(spec, CHECKPOINT))
    return _instance(target, spec)


def _from_module(entry: MethodEntry) -> Any:
    module, _, attribute = entry.target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # a plug-in may fail in any way
        raise BadInput(
            f"method '{entry.name}' of {entry.origin} cannot be loaded from {entry.target}: "
            f"{type(error).__name__}: {error}"
        ) from error


def from_file(spec: str, kind: str) -> Any:
    """What ``path/to/file.py:Name`` names. kind: what it should be, for messages. Raises BadInput."""
    path_text, separator, attribute = spec.rpartition(":")
    if not separator or not path_text.endswith(".py"):
        raise BadInput(f"{kind} '{spec}' names no class; write path/to/file.py:ClassName")
    path = Path(path_text).resolve()
    if not path.is_file():
        hint = "`guidebench new method NAME` writes one to start from" if kind == "method" else "check the path"
        raise BadInput(f"{kind} file {path_text} does not exist; {hint}")
    module_name = f"guidebench_method_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    module = sys.modules.get(module_name)
    if module is None:
        module_spec = importlib.util.spec_from_file_location(module_name, path)
        assert module_spec is not None and module_spec.loader is not None
        module = importlib.util.module_from_spec(module_spec)
        _check_helpers(path)
        if str(path.parent) not in sys.path:
            sys.path.append(str(path.parent))  # for the files beside it, at load and later
        sys.modules[module_name] = module  # dataclasses look their module up by name
        try:
            module_spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:  # any code may stand in a stranger's file
            del sys.modules[module_name]
            raise BadInput(f"{kind} file {path_text} cannot be imported: {type(error).__name__}: {error}") from error
    if not hasattr(module, attribute):
        classes = [name for name, value in vars(module).items() if inspect.isclass(value) and not name.startswith("_")]
        raise BadInput(f"{path_text} has no '{attribute}'; it defines: {', '.join(classes) or 'no class'}")
    return getattr(module, attribute)


def _instance(target: Any, spec: str) -> Unlearner:
    from guidebench.unlearner import Unlearner

    if inspect.isclass(target) and issubclass(target, Unlearner):
        if inspect.isabstract(target):
            missing = ", ".join(sorted(target.__abstractmethods__))
            raise BadInput(f"method '{spec}' does not define {missing}; see `guidebench new method NAME`")
        try:
            target = target()
        except TypeError as error:
            raise BadInput(f"method '{spec}' needs a default for every field: {error}") from None
        except (Exception, SystemExit) as error:  # of its __post_init__
            raise BadInput(f"method '{spec}' cannot be made: {type(error).__name__}: {error}") from None
    if not isinstance(target, Unlearner):
        raise BadInput(f"'{spec}' is no guidebench.unlearner.Unlearner but {type(target).__name__}; derive from it")
    if not dataclasses.is_dataclass(target):
        raise BadInput(f"method '{spec}' is no dataclass; put @dataclass(frozen=True) above its class")
    name = getattr(target, "name", None)
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        allowed = "letters, digits, . _ + and -"
        raise BadInput(f"method '{spec}' has the name {name!r}; set `name = \"my-method\"` in its class: {allowed}")
    if ".py" in spec and any(name == entry.name for entry in BUILT_IN_METHODS):
        raise BadInput(f"method '{spec}' is called '{name}', as one that ships; give it another name")
    try:
        of_data(dataclasses.asdict(target))
    except (TypeError, ValueError) as error:
        raise BadInput(f"method '{spec}' has a field that cannot be recorded: {error}; use numbers and texts") from None
    return target


def with_preset(method: Unlearner, testbed: str) -> tuple[Unlearner, bool]:
    """The method with its preset for a testbed, and whether it has one."""
    preset = method.presets.get(testbed)
    if preset is None:
        return method, False
    try:
        return with_fields(method, preset), True
    except (TypeError, ValueError) as error:
        raise BadInput(f"method {method.name}: its preset for {testbed} does not fit its fields: {error}") from None


def with_settings(method: Unlearner, settings: Mapping[str, str]) -> Unlearner:
    """The method with fields overridden from text, type and range checked; raises BadInput naming what is allowed."""
    try:
        hints = get_type_hints(type(method)) if settings else {}
    except Exception as error:  # an annotation may hold anything
        raise BadInput(f"the field types of method {method.name} cannot be read: {error}") from None
    values = {name: _parse(method, name, text, hints[name]) for name, text in settings.items()}
    try:
        return with_fields(method, values)
    except ValueError as error:
        raise BadInput(f"method {method.name}: {error}") from None


def with_fields(method: Unlearner, values: Mapping[str, Any]) -> Unlearner:
    """The method with other values of its fields, of the right types."""
    changed: Unlearner = dataclasses.replace(method, **values)  # type: ignore[type-var]  # methods are dataclasses
    return changed


def field_names(method: Unlearner) -> list[str]:
    """The hyper-parameters that `--set` can change."""
    return [field.name for field in dataclasses.fields(method) if field.init]  # type: ignore[arg-type]


def _parse(method: Unlearner, name: str, text: str, kind: Any) -> Any:
    where = f"--set {name}={text} for method {method.name}"
    options = getattr(kind, "__args__", ())
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise BadInput(f"{where}: must be true or false")
        return text.lower() == "true"
    if kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            raise BadInput(f"{where}: must be {'an integer' if kind is int else 'a number'}") from None
        low, high = method.bounds.get(name, (float("-inf"), float("inf")))
        if not (low <= value <= high and math.isfinite(value)):
            raise BadInput(f"{where}: must lie between {low:g} and {high:g}")
        return value
    if options and all(isinstance(option, str) for option in options):  # Literal["a", "b"]
        if text not in options:
            raise BadInput(f"{where}: must be one of {', '.join(options)}")
        return text
    if kind is str:
        return text
    raise BadInput(f"{where}: a field of type {kind} cannot be set from the command line")


def source_digest(method: Unlearner) -> str:
    """SHA-256 of the code that a method consists of: part of a trial's key.

    That is the files of its class and base classes, and the files beside them that these import. What lies elsewhere
    (installed packages, guidebench itself) is not followed: its versions are recorded.
    """
    from guidebench.unlearner import Unlearner

    found: dict[Path, None] = {}
    for kind in type(method).__mro__:
        if issubclass(kind, Unlearner) and kind is not Unlearner:
            _add_sources(Path(inspect.getsourcefile(kind) or ""), found)
    return of_data([digest_of_file(path) for path in found])


def code_digest(path: Path) -> str:
    """SHA-256 of a Python file and the files beside it that it imports."""
    found: dict[Path, None] = {}
    _add_sources(path, found)
    return of_data([digest_of_file(source) for source in found])


def _add_sources(path: Path, found: dict[Path, None]) -> None:
    """Adds a file and the files in its folder that its import statements name, wherever they stand in it."""
    path = path.resolve()
    if path in found or not path.is_file():
        return
    found[path] = None
    for name in sorted(_imported_names(path)):
        for beside in (path.parent / f"{name}.py", path.parent / name / "__init__.py"):
            _add_sources(beside, found)


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


def _check_helpers(path: Path) -> None:
    """Raises BadInput if a module beside a method file is loaded already from another folder under the same name."""
    for name in _imported_names(path):
        loaded = sys.modules.get(name.replace("/", "."))
        other = getattr(loaded, "__file__", None)
        for beside in (path.parent / f"{name}.py", path.parent / name / "__init__.py"):
            if other and beside.is_file() and Path(other).resolve() != beside.resolve():
                raise BadInput(f"{path} imports {beside.name}, but {other} is loaded under that name; rename it")


def testbed_class(name: str) -> type[Testbed]:
    """The class of a testbed by name."""
    if name not in TESTBEDS:
        raise unknown_name("testbed", name, TESTBEDS, command="guidebench list testbeds")
    module, _, attribute = TESTBEDS[name][0].partition(":")
    found: type[Testbed] = getattr(importlib.import_module(module), attribute)
    return found
