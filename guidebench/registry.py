"""Finds methods, testbeds and metrics by name, in files, and among installed plug-ins."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guidebench import sources
from guidebench.digest import of_data
from guidebench.errors import BadInput, unknown_name
from guidebench.testbeds.mini import WEIGHTS_VERSION

if TYPE_CHECKING:
    from guidebench.testbed import Testbed
    from guidebench.unlearner import Unlearner

ENTRY_POINTS = "guidebench.methods"
_FILE_MODULE = "guidebench_file_"  # how the names of modules begin that were loaded from a file of the user's
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
    if is_file_spec(spec):
        target = from_file(spec, "method")
    else:
        known = methods()
        if spec not in known and spec != CHECKPOINT.name:
            raise unknown_name("method", spec, known, command="guidebench list methods")
        target = _from_module(known.get(spec, CHECKPOINT))
    return checked_method(target, spec)


def is_file_spec(spec: str) -> bool:
    """Whether a plug-in is given as ``path/to/file.py:Name``, and not by a registered name.

    >>> is_file_spec("./mine.py:Mine"), is_file_spec("mine.py"), is_file_spec("foo.pytorch")
    (True, True, False)
    """
    return spec.partition(":")[0].endswith(".py")


def spec_of(kind: type) -> str:
    """How a class is named so that `load_method` finds it again: ``path/to/file.py:Class`` or ``module:Class``."""
    module = sys.modules[kind.__module__]
    if kind.__module__.startswith(_FILE_MODULE):
        return f"{module.__file__}:{kind.__qualname__}"
    return f"{kind.__module__}:{kind.__qualname__}"


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
    module_name = f"{_FILE_MODULE}{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    module = sys.modules.get(module_name)
    if module is None:
        module_spec = importlib.util.spec_from_file_location(module_name, path)
        assert module_spec is not None and module_spec.loader is not None
        module = importlib.util.module_from_spec(module_spec)
        sources.check_helpers(path)
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


def checked_method(target: Any, spec: str) -> Unlearner:
    """The method that a class or an object is; raises BadInput saying what it lacks."""
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
    if is_file_spec(spec) and any(name == entry.name for entry in BUILT_IN_METHODS):
        raise BadInput(f"method '{spec}' is called '{name}', as one that ships; give it another name")
    try:
        of_data(dataclasses.asdict(target))
    except (TypeError, ValueError) as error:
        raise BadInput(f"method '{spec}' has a field that cannot be recorded: {error}; use numbers and texts") from None
    return target


def testbed_class(name: str) -> type[Testbed]:
    """The class of a testbed by name."""
    if name not in TESTBEDS:
        raise unknown_name("testbed", name, TESTBEDS, command="guidebench list testbeds")
    module, _, attribute = TESTBEDS[name][0].partition(":")
    found: type[Testbed] = getattr(importlib.import_module(module), attribute)
    return found
