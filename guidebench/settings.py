"""Settings of plug-ins that are frozen dataclasses: every field is one, with a type and, where given, bounds."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from guidebench.errors import BadInput
from guidebench.text import plain, printable


class Settable:
    """What methods and attacks have in common."""

    plugin_kind: ClassVar[str] = "plug-in"  # in messages
    name: ClassVar[str]
    summary: ClassVar[str] = ""  # one line for `guidebench list`
    paper: ClassVar[str] = ""  # citation, if published
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {}  # field -> smallest and largest value that makes sense


Plugin = TypeVar("Plugin", bound=Settable)


def _which(plugin: Settable) -> str:
    return f"{plugin.plugin_kind} {plugin.name}"


def labelled(plugin: Settable, changed: Iterable[str]) -> str:
    """The plug-in's name with the values of some fields: ``guide(alpha_max=20.0)``."""
    values = ",".join(f"{name}={plain(str(getattr(plugin, name)))}" for name in sorted(changed))
    return f"{plugin.name}({values})" if values else plugin.name


def with_settings(plugin: Plugin, settings: Mapping[str, str]) -> Plugin:
    """The plug-in with fields overridden from text, type and range checked; raises BadInput naming what is allowed."""
    hints = _hints(plugin) if settings else {}
    values = {name: _parse(plugin, name, text, hints[name]) for name, text in settings.items()}
    try:
        return with_fields(plugin, values)
    except ValueError as error:
        raise BadInput(f"{_which(plugin)}: {error}") from None


def with_fields(plugin: Plugin, values: Mapping[str, Any]) -> Plugin:
    """The plug-in with other values of its fields, of the right types."""
    changed: Plugin = dataclasses.replace(plugin, **values)  # type: ignore[type-var]  # plug-ins are dataclasses
    return changed


def field_names(plugin: Settable) -> list[str]:
    """The hyper-parameters that `--set` can change."""
    return [field.name for field in dataclasses.fields(plugin) if field.init]  # type: ignore[arg-type]


def _parse(plugin: Settable, name: str, text: str, kind: Any) -> Any:
    value: Any = text
    if kind is bool:
        value = {"true": True, "false": False}.get(text.lower(), text)
    elif kind in (int, float):
        with contextlib.suppress(ValueError):
            value = kind(text)
    elif kind is not str and not _is_literal(kind):
        raise BadInput(f"{_which(plugin)}: {name}={text} cannot be set from text, as the type is {_named(kind)}")
    if wrong := unfit(value, kind, plugin.bounds.get(name)):
        raise BadInput(f"{_which(plugin)}: {name}={text} {wrong}")
    return value


def check_fields(plugin: Plugin) -> Plugin:
    """The plugin, if it is frozen and every field holds what its type and bounds allow; raises BadInput otherwise."""
    if not type(plugin).__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise BadInput(f"{_which(plugin)} can be changed; decorate its class with @dataclass(frozen=True)")
    hints = _hints(plugin)
    for name in field_names(plugin):
        value = getattr(plugin, name)
        if wrong := unfit(value, hints[name], plugin.bounds.get(name)):
            raise BadInput(f"{_which(plugin)}: {name}={value!r:.80} {wrong}")
    return plugin


def unfit(value: Any, kind: Any, bounds: tuple[float, float] | None = None) -> str | None:
    """What is wrong with the value of a field, as the end of a sentence; None: nothing.

    kind: the field's type: bool, int, float, str or Literal; a tuple of these; any of these ``| None``. No value fits
    another type. bounds: smallest and largest number.
    """
    if kind in (int, float):
        return _unfit_number(value, kind, bounds)
    if kind is bool:
        return None if type(value) is bool else "must be true or false"
    if kind is str:
        return None if type(value) is str and printable(value) == value else "must be text in UTF-8"
    if _is_literal(kind):
        return None if value in get_args(kind) else f"must be one of {', '.join(map(str, get_args(kind)))}"
    kinds = [one for one in get_args(kind) if one not in (NoneType, ...)]
    if get_origin(kind) is tuple:
        fits = type(value) is tuple and all(None in [unfit(item, one) for one in kinds] for item in value)
        return None if fits else f"must be a {_named(kind)}"
    if get_origin(kind) in (Union, UnionType):
        wrong = [unfit(value, one, bounds) for one in kinds]
        fits = None in wrong or (value is None and NoneType in get_args(kind))
        return None if fits else f"{' or '.join(map(str, wrong))} or None"
    return f"is declared {_named(kind)}; declare it int, float, bool, str or Literal"


def _unfit_number(value: Any, kind: type, bounds: tuple[float, float] | None) -> str | None:
    if type(value) not in (int, kind):  # an integer is a number, too
        return f"must be {'an integer' if kind is int else 'a number'}"
    low, high = bounds or (-math.inf, math.inf)
    if not low <= value <= high or abs(value) == math.inf:  # an integer may be longer than isfinite() takes
        return f"must be between {low:g} and {high:g}" if bounds else "must be a finite number"
    return None


def _is_literal(kind: Any) -> bool:
    """Whether a type is one of several texts: Literal["a", "b"]."""
    return get_origin(kind) is Literal and all(isinstance(option, str) for option in get_args(kind))


def _named(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)


def _hints(plugin: Settable) -> dict[str, Any]:
    """The types of a plug-in's fields; raises BadInput where they cannot be read."""
    try:
        return get_type_hints(type(plugin))
    except Exception as error:  # an annotation may hold anything
        raise BadInput(f"the field types of {_which(plugin)} cannot be read: {error}") from None


def in_plain_numbers(plugin: Any) -> Any:
    """A plug-in with numpy's scalars, as a sweep over an array gives them, as Python's numbers."""
    if not dataclasses.is_dataclass(plugin) or isinstance(plugin, type):
        return plugin
    import numpy as np

    values = {item.name: getattr(plugin, item.name) for item in dataclasses.fields(plugin) if item.init}
    plain = {name: value.item() for name, value in values.items() if isinstance(value, np.generic)}
    return dataclasses.replace(plugin, **plain) if plain else plugin
