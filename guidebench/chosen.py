"""A method or an attack as a run uses it: found, given its preset and settings, named and digested, once."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from guidebench import digest, registry, sources
from guidebench.errors import BadInput
from guidebench.protocol import RANDOM, Protocol
from guidebench.settings import (
    Plugin,
    check_fields,
    field_names,
    in_plain_numbers,
    labelled,
    with_fields,
    with_settings,
)

if TYPE_CHECKING:
    from guidebench.attack import Attack
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
    settings_tried: int = 0  # how many settings that preset was chosen from; 0: not stated, or a setting was overridden
    floor: bool = False  # a row that is no competitor: nothing, scramble, oracle
    training_seen: bool = True  # False: it only hands over what other code unlearned

    def definition(self) -> dict[str, Any]:
        """What decides its numbers: part of a trial's key."""
        return {
            "name": self.name,
            "class": self.class_name,
            "fields": dict(self.fields),
            "source": self.source_digest,
        }

    @cached_property
    def digest(self) -> str:
        """SHA-256 of `definition`."""
        return digest.of_data(self.definition())

    @cached_property
    def fields_text(self) -> str:
        """All hyper-parameters as JSON, names sorted."""
        return json.dumps(dict(self.fields), sort_keys=True)

    def build(self) -> Unlearner:
        """The method itself; raises BadInput if it cannot be loaded any more."""
        return _with_recorded(registry.load_method(self.spec), self.fields)


@dataclass(frozen=True, kw_only=True)
class ChosenAttack:
    """An attack with its settings, as plain data."""

    spec: str  # where it comes from: registered name, path/to/file.py:Class or module:Class
    name: str
    class_name: str
    label: str  # what its columns are called: its name with the fields that were overridden
    fields: Mapping[str, Any]  # all settings
    source_digest: str  # SHA-256 of its files
    knows: str  # its threat model, in words
    unit: str  # of what its findings took
    shows_anybody: bool  # see `guidebench.attack.Attack.shows_anybody`

    def definition(self) -> dict[str, Any]:
        """What decides what it finds."""
        return {
            "name": self.name,
            "class": self.class_name,
            "fields": dict(self.fields),
            "source": self.source_digest,
        }

    def build(self) -> Attack:
        """The attack itself; raises BadInput if it cannot be loaded any more."""
        return _with_recorded(registry.load_attack(self.spec), self.fields)


def choose_attack(spec: str, settings: Mapping[str, str] | None = None) -> ChosenAttack:
    """An attack by registered name or ``path/to/file.py:Class``, with settings as text. Raises BadInput as `choose`."""
    settings = settings or {}
    attack = check_fields(with_settings(registry.load_attack(spec), settings))
    return ChosenAttack(
        spec=spec,
        name=attack.name,
        class_name=type(attack).__qualname__,
        label=labelled(attack, settings),
        fields={field: getattr(attack, field) for field in field_names(attack)},
        source_digest=sources.source_digest(attack),
        knows=attack.knows.in_words(),
        unit=attack.unit,
        shows_anybody=attack.shows_anybody,
    )


def _with_recorded(plugin: Plugin, fields: Mapping[str, Any]) -> Plugin:
    """A plug-in with the fields that a record says; JSON gives a tuple back as a list."""
    lists = {name for name, value in fields.items() if isinstance(value, list)}
    tuples = {name for name in lists if isinstance(getattr(plugin, name, None), tuple)}
    return with_fields(plugin, {**fields, **{name: tuple(fields[name]) for name in tuples}})


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
    method = check_fields(registry.checked_method(in_plain_numbers(given), spec))
    changed = [name for name in field_names(method) if getattr(method, name) != getattr(usual, name)]
    return Entrant(method, _described(method, spec, labelled(method, changed), testbed, preset and not changed))


def _described(method: Unlearner, spec: str, label: str, testbed: str, preset: bool) -> ChosenMethod:
    tuned = _tuned_on(method, testbed) if preset else None
    return ChosenMethod(
        spec=spec,
        name=method.name,
        class_name=type(method).__qualname__,
        label=label,
        fields={field: getattr(method, field) for field in field_names(method)},
        source_digest=sources.source_digest(method),
        preset=preset,
        fitted_on=tuple(_of_preset(method, "fitted_on").get(tuned, ())),
        settings_tried=_of_preset(method, "settings_tried").get(tuned, 0),
        floor=registry.spec_of(type(method)) in registry.APART,
        training_seen=method.training_seen,
    )


def _tuned_on(method: Unlearner, testbed: str) -> str | None:
    """The testbed whose preset it runs with as it is; None where a field of the preset was overridden."""
    name = registry.testbed_name(testbed)
    return name if all(getattr(method, field) == value for field, value in method.presets[name].items()) else None


def _of_preset(method: Unlearner, name: str) -> Mapping[str | None, Any]:
    """What is said of presets by `name`; nothing where it is inherited and the presets are not."""
    line = type(method).__mro__
    said, given = (next(i for i, kind in enumerate(line) if what in vars(kind)) for what in (name, "presets"))
    return getattr(method, name) if said <= given else {}


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


def check_fits(method: Unlearner, protocol: Protocol, *, one_by_one: bool = False) -> None:
    """Raises BadInput, in one line, if what a method declares does not fit what a protocol asks of it.

    A request for several people needs a method that supports simultaneous, several requests one that supports
    sequential, several requests for several people each one that supports both. one_by_one: one that supports single
    is enough, see `is_one_by_one`. A method that needs retained people needs a protocol that names some.
    """
    lacking = _lacking(method, protocol)
    if lacking and not (one_by_one and "single" in method.supports):
        able = [setting for setting in _ABILITIES if setting in method.supports]
        single = "single" in able and method.training_seen and not one_by_one
        raise BadInput(
            f"method {method.name} forgets {', or '.join(_ABILITIES[setting] for setting in able) or 'nobody'} "
            f"(supports: {', '.join(able) or 'nothing'}), but protocol {protocol.name} asks for {_asked(protocol)}; "
            f"choose a method that supports {' and '.join(lacking)}"
            + (", or give --one-by-one to apply it once per person, each time on the generator of before" * single)
        )
    if method.most_people is not None and protocol.forget > method.most_people and not lacking:
        raise BadInput(
            f"method {method.name} forgets up to {method.most_people} people in one request, but protocol "
            f"{protocol.name} asks for {_asked(protocol)}; give --forget {method.most_people} or fewer"
        )
    if method.needs_retained and not protocol.retain_named:
        raise BadInput(
            f"method {method.name} needs people named to it as people to keep, but protocol {protocol.name} names none "
            "(retain_named = 0); choose a protocol that names some"
        )


def is_one_by_one(method: Unlearner, protocol: Protocol) -> bool:
    """Whether a method that does not support what a protocol asks is applied once per person instead."""
    return bool(_lacking(method, protocol))


def _lacking(method: Unlearner, protocol: Protocol) -> list[str]:
    """What a protocol asks for and a method does not support."""
    asked = {"simultaneous": protocol.forget > 1, "sequential": protocol.requests > 1}
    needed = [setting for setting, is_asked in asked.items() if is_asked] or ["single"]
    return [setting for setting in needed if setting not in method.supports]


def check_attack_fits(attack: ChosenAttack, protocol: Protocol) -> None:
    """Raises BadInput if an attack needs what a protocol does not have."""
    knows = attack.build().knows
    if protocol.source == RANDOM and (knows.photos or knows.others):
        raise BadInput(
            f"attack {attack.label} needs photographs ({attack.knows}), but protocol {protocol.name} samples its "
            "people; choose a protocol of photographs, or an attack that needs none"
        )
    if knows.others and protocol.retain < 1:
        raise BadInput(
            f"attack {attack.label} needs photographs of other people, but protocol {protocol.name} has retain = 0; "
            "raise it"
        )


def _asked(protocol: Protocol) -> str:
    """What a protocol asks a method to forget in one trial, in words."""
    people = "one person" if protocol.forget == 1 else f"{protocol.forget} people"
    if protocol.requests > 1:
        return f"{people} in each of {protocol.requests} requests"
    return f"{people} per trial" if protocol.forget == 1 else f"{people} in one request"
