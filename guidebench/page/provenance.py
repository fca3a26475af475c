"""Where a number of the page comes from: the command that measures it again, and the digests of what made it."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

from guidebench import protocol as protocols
from guidebench import registry
from guidebench.errors import GuidebenchError
from guidebench.photos.own import SOURCE

if TYPE_CHECKING:
    from guidebench.chosen import ChosenMethod
    from guidebench.protocol import Protocol
    from guidebench.store.record import Record

_OPTIONS = {"identities": "--identities", "samples": "--samples", "conventions": "--conventions"}


def command_of(record: Record) -> str:
    """The command that measures a trial, and others of its row, again: same salt, same numbers.

    Where it needs a file that the record only names by its digest, the name of the file is in capitals.
    """
    spec = record.spec
    words = ["guidebench", "run" if spec.method.training_seen else "evaluate", *_protocol_words(record)]
    if spec.method.training_seen:
        words += ["--method", spec.method.spec]
        for name in overridden(spec.method):
            words += ["--set", f"{name}={spec.method.fields[name]}"]
    else:
        words += ["--checkpoint", "CHECKPOINT", "--name", spec.method.label]
    if record.instrument.testbed != registry.DEFAULT_TESTBED:
        words += ["--testbed", record.instrument.testbed]
    if spec.protocol.source == SOURCE:
        words += ["--photos", "PHOTOS"]
    words += ["--one-by-one"] if spec.one_by_one else []
    words += ["--precision", spec.precision] if spec.precision == "tf32" else []
    for run in record.attacks:
        words += [] if run.attack.label in spec.protocol.attacks else ["--attack", run.attack.spec]
    return shlex.join([*words, "--floors", "none", "--seeds", str(spec.seed), "--salt", str(spec.salt)])


def _protocol_words(record: Record) -> list[str]:
    """--protocol, and options for what differs from the protocol of this name that ships."""
    own = record.spec.protocol
    try:
        usual = protocols.load(own.name).resolve(record.instrument.testbed)
    except GuidebenchError:  # it does not ship, or does not fit the testbed any more
        return ["--protocol", f"{own.name}.toml"]
    changed = _changed(own, usual)
    if not changed.keys() <= _OPTIONS.keys():
        return ["--protocol", f"{own.name}.toml"]
    return ["--protocol", own.name, *(word for name, value in changed.items() for word in (_OPTIONS[name], str(value)))]


def _changed(own: Protocol, usual: Protocol) -> dict[str, Any]:
    """The fields that decide a trial, or how many there are, and differ."""
    given, default = own.measurement(), usual.measurement()
    names = [name for name in given.keys() | default.keys() if given.get(name) != default.get(name)]
    fewer = {"identities": own.identities} if own.identities != usual.identities else {}
    return fewer | {name: getattr(own, name) for name in sorted(names)}


def overridden(method: ChosenMethod) -> list[str]:
    """The fields that were set by hand: those in the brackets of the label; all of them if the label is another name.

    >>> from guidebench.chosen import ChosenMethod
    >>> given = dict(spec="guide", name="guide", class_name="Guide", source_digest="", fields={"steps": 2, "lr": 0.1})
    >>> [overridden(ChosenMethod(label=label, **given)) for label in ("guide", "guide(steps=2)", "quick")]
    [[], ['steps'], ['steps', 'lr']]
    """
    if method.label == method.name:
        return []
    for names in (re.findall(r"[(,](\w+)=", method.label), list(method.fields)):
        known = [name for name in names if name in method.fields]
        if method.label == f"{method.name}({','.join(f'{name}={method.fields[name]}' for name in known)})":
            return known
    return list(method.fields)
