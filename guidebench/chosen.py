"""A method as a run uses it: found, given its preset and settings, named and digested, once."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from guidebench import registry, sources
from guidebench.errors import BadInput
from guidebench.text import printable

if TYPE_CHECKING:
    from guidebench.protocol import Protocol
    from guidebench.unlearner import Unlearner


@dataclass(frozen=True, kw_only=True)
class ChosenMethod:
    """A method with its settings, as plain data: what a record says of it and what a worker builds it from."""

    spec: str  # where it comes from: registered name, path/to/file.py:Class or module:Class
    name: str  # as registered
    class_name: str
    label: str  # what its row is called: its name with the fields that were overridden, "guide(alpha_max=20.0)"
    fields: Mapping[str, Any]  # all hyper-parameters
    source_digest: str  # SHA-256 of its files: of its classes, and what they import from beside them
    preset: bool = False  # whether the method's preset for the testbed was used
    fitted_on: tuple[str, ...] = ()  # the metrics by which that preset was chosen, if it is used as it is
    floor: bool = False  # a floor or ceiling row: nothing, scramble
    training_seen: bool = True  # False: it only hands over what other code unlearned

    def definition(self) -> dict[str, Any]:
        """What decides its numbers: part of a trial's key."""
        return {
            "name": self.name,
            "class": self.class_name,
            "fields": dict(self.fields),
            "source": self.source_digest,
        }

    def build(self) -> Unlearner:
        """The method itself; raises BadInput if it cannot be loaded any more."""
        method = registry.load_method(self.spec)
        lists = {name for name, value in self.fields.items() if isinstance(value, list)}  # as JSON gives back a tuple
        tuples = {name for name in lists if isinstance(getattr(method, name, None), tuple)}
        return with_fields(method, {**self.fields, **{name: tuple(self.fields[name]) for name in tuples}})


@dataclass(frozen=True)
class Entrant:
    """A method in a run: loaded once, in the parent."""

    method: Unlearner
    chosen: ChosenMethod
    few: bool = False  # only on the first people of a protocol: a floor that nobody asked for


def choose(
    spec: str, testbed: str, settings: Mapping[str, str] | None = None, *, name: str | None = None, few: bool = False
) -> Entrant:
    """A method by registered name or ``path/to/file.py:Class`` with its preset for a testbed, and settings over it.

    settings: fields to override, as text. name: of its row; None: its own, with the fields that were overridden.
    Raises BadInput naming what is wrong and what is allowed.
    """
    settings = settings or {}
    method, preset = with_preset(registry.load_method(spec), testbed)
    method = check_fields(with_settings(method, settings))
    return Entrant(method, _described(method, spec, name or labelled(method, settings), testbed, preset), few)


def choose_object(given: Unlearner | type[Unlearner], testbed: str) -> Entrant:
    """A method given as a class, which takes its preset for a testbed, or as an object, which runs as it stands.

    Raises BadInput as `choose`.
    """
    kind = given if inspect.isclass(given) else type(given)
    sources.check_current(kind)
    spec = registry.spec_of(kind)
    usual, preset = with_preset(registry.checked_method(kind, spec), testbed)
    if inspect.isclass(given):
        return Entrant(check_fields(usual), _described(usual, spec, usual.name, testbed, preset))
    method = check_fields(registry.checked_method(_in_plain_numbers(given), spec))
    changed = [name for name in field_names(method) if getattr(method, name) != getattr(usual, name)]
    return Entrant(method, _described(method, spec, labelled(method, changed), testbed, preset and not changed))


def _in_plain_numbers(method: Any) -> Any:
    """A method with numpy's scalars, as a sweep over an array gives them, as Python's numbers."""
    if not dataclasses.is_dataclass(method) or isinstance(method, type):
        return method
    import numpy as np

    values = {item.name: getattr(method, item.name) for item in dataclasses.fields(method) if item.init}
    plain = {name: value.item() for name, value in values.items() if isinstance(value, np.generic)}
    return dataclasses.replace(method, **plain) if plain else method


def labelled(method: Unlearner, changed: Iterable[str]) -> str:
    """The method's name with the values of some fields: ``guide(alpha_max=20.0)``."""
    values = ",".join(f"{name}={getattr(method, name)}" for name in sorted(changed))
    return f"{method.name}({values})" if values else method.name


def _described(method: Unlearner, spec: str, label: str, testbed: str, preset: bool) -> ChosenMethod:
    return ChosenMethod(
        spec=spec,
        name=method.name,
        class_name=type(method).__qualname__,
        label=label,
        fields={field: getattr(method, field) for field in field_names(method)},
        source_digest=sources.source_digest(method),
        preset=preset,
        fitted_on=_fitted_on(method, testbed) if preset else (),
        floor=registry.spec_of(type(method)) in registry.FLOORS,
        training_seen=method.training_seen,
    )


def _fitted_on(method: Unlearner, testbed: str) -> tuple[str, ...]:
    """By which metrics its preset was chosen; nothing where a field of the preset was overridden."""
    name = registry.testbed_name(testbed)
    as_it_is = all(getattr(method, field) == value for field, value in method.presets[name].items())
    return tuple(method.fitted_on.get(name, ())) if as_it_is else ()


def with_preset(method: Unlearner, testbed: str) -> tuple[Unlearner, bool]:
    """The method with its preset for a testbed (name, or a spec that names it), and whether it has one."""
    preset = method.presets.get(registry.testbed_name(testbed))
    if preset is None:
        return method, False
    try:
        return with_fields(method, preset), True
    except (TypeError, ValueError) as error:
        raise BadInput(f"method {method.name}: its preset for {testbed} does not fit its fields: {error}") from None


_ABILITIES = {  # what `Unlearner.supports` may hold, in words
    "single": "one person per trial",
    "simultaneous": "several people in one request",
    "sequential": "people in several requests, one after another",
}


def check_fits(method: Unlearner, protocol: Protocol) -> None:
    """Raises BadInput, in one line, if what a method declares does not fit what a protocol asks of it.

    A request for several people needs a method that supports simultaneous, several requests one that supports
    sequential, several requests for several people each one that supports both. A method that needs retained people
    needs a protocol that names some.
    """
    asked = {"simultaneous": protocol.forget > 1, "sequential": protocol.requests > 1}
    needed = [setting for setting, is_asked in asked.items() if is_asked] or ["single"]
    lacking = [setting for setting in needed if setting not in method.supports]
    if lacking:
        able = [setting for setting in _ABILITIES if setting in method.supports]
        raise BadInput(
            f"method {method.name} forgets {', or '.join(_ABILITIES[setting] for setting in able) or 'nobody'} "
            f"(supports: {', '.join(able) or 'nothing'}), but protocol {protocol.name} asks for {_asked(protocol)}; "
            f"choose a method that supports {' and '.join(lacking)}"
        )
    if method.needs_retained and not protocol.retain_named:
        raise BadInput(
            f"method {method.name} needs people named to it as people to keep, but protocol {protocol.name} names none "
            "(retain_named = 0); choose a protocol that names some"
        )


def _asked(protocol: Protocol) -> str:
    """What a protocol asks a method to forget in one trial, in words."""
    people = "one person" if protocol.forget == 1 else f"{protocol.forget} people"
    if protocol.requests > 1:
        return f"{people} in each of {protocol.requests} requests"
    return f"{people} per trial" if protocol.forget == 1 else f"{people} in one request"


def with_settings(method: Unlearner, settings: Mapping[str, str]) -> Unlearner:
    """The method with fields overridden from text, type and range checked; raises BadInput naming what is allowed."""
    hints = _hints(method) if settings else {}
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
    value: Any = text
    if kind is bool:
        value = {"true": True, "false": False}.get(text.lower(), text)
    elif kind in (int, float):
        with contextlib.suppress(ValueError):
            value = kind(text)
    elif kind is not str and not _is_literal(kind):
        raise BadInput(f"method {method.name}: {name}={text} cannot be set from text, as the type is {_named(kind)}")
    if wrong := unfit(value, kind, method.bounds.get(name)):
        raise BadInput(f"method {method.name}: {name}={text} {wrong}")
    return value


def check_fields(method: Unlearner) -> Unlearner:
    """The method, if it is frozen and every field holds what its type and bounds allow; raises BadInput otherwise."""
    if not type(method).__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise BadInput(f"method {method.name} can be changed; decorate its class with @dataclass(frozen=True)")
    hints = _hints(method)
    for name in field_names(method):
        value = getattr(method, name)
        if wrong := unfit(value, hints[name], method.bounds.get(name)):
            raise BadInput(f"method {method.name}: {name}={value!r:.80} {wrong}")
    return method


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


def _hints(method: Unlearner) -> dict[str, Any]:
    """The types of a method's fields; raises BadInput where they cannot be read."""
    try:
        return get_type_hints(type(method))
    except Exception as error:  # an annotation may hold anything
        raise BadInput(f"the field types of method {method.name} cannot be read: {error}") from None
