"""Protocols: what is asked of a method and how the answer is judged. A TOML file each, digested once resolved."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from guidebench import digest, files, registry
from guidebench.errors import BadInput, unknown_name
from guidebench.text import brief

CONVENTIONS = ("corrected", "published")
RANDOM = "random"  # the source that is not a photo set: identities are sampled latent codes
_BOUNDS = {
    "version": (1, 1_000_000),
    "identities": (1, 100_000),
    "forget": (1, 10_000),
    "requests": (1, 10_000),
    "probe_photos": (0, 10_000),
    "retain": (0, 100_000),
    "retain_named": (0, 100_000),
    "lookalikes": (0, 50),
    "views": (1, 1_000),
    "noise_draws": (1, 1_000),
    "neighbours": (0, 10_000),
    "samples": (2, 10_000_000),
}
_KINDS = {
    int: "an integer",
    float: "a number",
    str: "a text",
    tuple[int, ...]: "a list of integers",
    tuple[str, ...]: "a list of texts",
}
_NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]*"
_OTHER_GROUPS = re.compile(r"(?P<base>.+)-(?:(?P<requests>\d{1,5})x)?(?P<forget>\d{1,5})")  # see `resized`
_LIST_COMMAND = "guidebench list protocols"


PRIMARY = ("recognised", "recognised_others", "id_retain", "fid_pre", "delta_fid_real")
_READING = ("identities", "seeds", "summary", "title", "primary", "attacks")  # fields that change no number of a trial
# Fields that came after the first records, with the values that those were made with.
_LATER = {"forget": 1, "requests": 1, "retain_named": 0, "lookalikes": 0, "noise_draws": 1}


@dataclass(frozen=True)
class Protocol:
    """A resolved protocol: every number that decides what a trial computes.

    The sizes in the files are the paper's (GUIDE, arXiv 2405.09879, §4.1); `[on.TESTBED]` tables hold what differs on a
    testbed, and the command line overrides both.
    """

    name: str  # as on the command line
    version: int  # raised when a number changes its meaning
    title: str  # as in tables
    source: str  # photo set of the testbed, or "random"
    identities: int  # people forgotten in all trials together
    forget: int = 1  # people forgotten by one request
    requests: int = 1  # requests of one trial, one after another on the same generator
    probe_photos: int = 0  # further photos of the forgotten person, unseen by the method: ID_others
    retain: int = 10  # other people, unseen by the method, who must survive: ID_retain
    retain_named: int = 0  # other people, named to the method (`ForgetRequest.retain`), who must survive: ID_named
    lookalikes: int = 0  # strangers who look most like each forgotten person, who must survive: ID_lookalike
    views: int = 11  # renders a latent code, yaw evenly spaced
    yaw_deg: float = 15.0  # half range of the views' and the training cameras' yaw, degrees
    pitch: float = -0.2  # pitch offset of all cameras, radians as in guidebench.cameras
    noise_draws: int = 1  # renders a latent code of a generator without cameras: one has the stored noise
    neighbours: int = 8  # latent codes around the forgotten one, rendered after unlearning: ID_neighbour; 0: none
    samples: int = 5000  # random latent codes for FID_pre, ΔFID_real, KID_pre, precision and recall
    seeds: tuple[int, ...] = (0,)  # repetitions of every trial
    conventions: str = "corrected"  # see docs/conventions.md
    attacks: tuple[str, ...] = ()  # on every unlearned generator, see docs/attacks.md
    primary: tuple[str, ...] = PRIMARY  # metrics whose differences are tested; others have intervals and no p
    summary: str = ""  # one line for `guidebench list protocols`

    def __post_init__(self) -> None:
        """Checks ranges; raises BadInput naming the protocol, the field and what is allowed."""
        for field, (least, most) in _BOUNDS.items():
            if type(getattr(self, field)) is not int or not least <= getattr(self, field) <= most:
                raise self._wrong(field, f"an integer from {least} to {most}")
        if not re.fullmatch(_NAME, self.name):
            raise self._wrong("name", "letters, digits, . _ + and -")
        if not 0 <= self.yaw_deg <= 90:
            raise self._wrong("yaw_deg", "degrees between 0 and 90")
        if not abs(self.pitch) < 1.5:
            raise self._wrong("pitch", "radians between -1.5 and 1.5")
        if len(set(self.seeds)) != max(1, len(self.seeds)) or not all(0 <= seed < 2**32 for seed in self.seeds):
            raise self._wrong("seeds", "one or more different integers from 0 to 4294967295")
        if self.conventions not in CONVENTIONS:
            raise self._wrong("conventions", f"one of {', '.join(CONVENTIONS)}")
        if len(set(self.primary)) < len(self.primary) or not all(isinstance(name, str) for name in self.primary):
            raise self._wrong("primary", "different names of metrics")
        if len(set(self.attacks)) < len(self.attacks) or not all(isinstance(name, str) for name in self.attacks):
            raise self._wrong("attacks", "different names of attacks")
        if self.identities % self.people:
            raise self._wrong("identities", f"a multiple of {self.people}: {self.requests} x {self.forget} per trial")
        if self.source == RANDOM and self.probe_photos:
            raise self._wrong("probe_photos", "0 where the source is random: a sampled code has no other photo")

    def _wrong(self, field: str, allowed: str) -> BadInput:
        return BadInput(f"protocol {self.name}: {field} = {brief(getattr(self, field))} is not allowed; give {allowed}")

    @property
    def yaw(self) -> float:
        """Half range of the yaw in radians."""
        return math.radians(self.yaw_deg)

    @property
    def people(self) -> int:
        """How many people one trial forgets."""
        return self.forget * self.requests

    @property
    def trials(self) -> int:
        """How many groups of people there are, one trial per method and seed each."""
        return self.identities // self.people

    @property
    def photos(self) -> int:
        """Photographs needed of each forgotten person."""
        return 1 + self.probe_photos

    def as_data(self) -> dict[str, Any]:
        """The fields as JSON-like data."""
        data = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in data.items()}

    def measurement(self) -> dict[str, Any]:
        """The fields that decide what one trial computes: neither how many trials there are, nor prose, nor tests.

        A field that came later counts only where it differs from its default, so that older records keep their keys.
        """
        data = {k: v for k, v in self.as_data().items() if k not in _READING}
        return {k: v for k, v in data.items() if k not in _LATER or v != _LATER[k]}

    def digest(self) -> str:
        """SHA-256 of `measurement`; rows of different digests never share a column."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        return digest.of_data(self.measurement())

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Protocol:
        """The protocol that `as_data` gave."""
        fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in data.items()}
        return cls(**fields)


def common_conventions(protocols: Sequence[Protocol]) -> str:
    """The conventions that all protocols of a run ask for; raises BadInput if they differ."""
    wanted = {protocol.conventions: protocol.name for protocol in protocols}
    if len(wanted) > 1:
        asked = " and ".join(f"{name} for {conventions}" for conventions, name in sorted(wanted.items()))
        raise BadInput(f"one run has one set of conventions: {asked} is asked; give conventions for all")
    return next(iter(wanted), "corrected")


@dataclass(frozen=True)
class ProtocolFile:
    """A parsed protocol file: the paper's sizes and an overlay per testbed."""

    name: str
    origin: str  # path, for messages
    base: Mapping[str, Any]
    overlays: Mapping[str, Mapping[str, Any]]
    groups: Mapping[str, int] = dataclasses.field(
        default_factory=dict
    )  # forget and requests, where its name asks for others

    def resolve(self, testbed: str, **overrides: Any) -> Protocol:
        """The protocol on a testbed; overrides (None: not given) win over the overlay, which wins over the base.

        testbed: registered name, ``path/to/file.py:Class`` or ``module:Class``. One without an overlay has the base.
        """
        testbed = registry.testbed_name(testbed)
        given = {name: value for name, value in overrides.items() if value is not None}
        own = {**self.base, **self.overlays.get(testbed, {})}
        merged = {**own, **resized(own, {**self.groups, **given})}
        try:
            return Protocol.from_data({"seeds": (0,), **merged})
        except BadInput as error:
            raise BadInput(f"{self.origin} on testbed {testbed}: {error}") from None


def resized(own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides of a protocol, and what follows from groups of another size: name, title, and as many groups as before.

    own: the protocol's fields. The name gets the number of people per request, and of requests if there are several,
    so that sizes are columns of their own.

    >>> own = {"name": "p", "title": "P", "identities": 50, "forget": 5}
    >>> resized(own, {"forget": 20})
    {'name': 'p-20', 'title': 'P, 20 people', 'identities': 200, 'forget': 20}
    >>> resized(own, {"requests": 3})["name"], resized(own, {"forget": 5})
    ('p-3x5', {'forget': 5})
    """
    before, after = (
        tuple(fields.get(name, 1) for name in ("forget", "requests")) for fields in (own, {**own, **given})
    )
    if after == before or not all(type(size) is int and size > 0 for size in (*before, *after)):
        return dict(given)
    forget, requests = after
    groups = max(1, own["identities"] // math.prod(before))
    people = "1 person" if forget == 1 else f"{forget} people"
    return {
        "name": f"{own['name']}-{forget if requests == 1 else f'{requests}x{forget}'}",
        "title": f"{own['title']}, {people if requests == 1 else f'{requests} requests of {people}'}",
        "identities": groups * math.prod(after),
        **given,
    }


def names() -> list[str]:
    """The protocols that ship with guidebench."""
    folder = resources.files("guidebench.protocols")
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def is_known(name: str) -> bool:
    """Whether a protocol of this name ships, or one of whose groups it gives the size."""
    return name in names() or _sized(name) is not None


def _sized(name: str) -> tuple[str, dict[str, int]] | None:
    """The protocol, and the size of its groups, of a name such as `resized` gives; None: it is no such name."""
    found = _OTHER_GROUPS.fullmatch(name)
    if not found or name in names() or found["base"] not in names():
        return None
    return found["base"], {key: int(text) for key, text in found.groupdict().items() if text and key != "base"}


def load(name_or_path: str) -> ProtocolFile:
    """A protocol by name, or from a file of one's own (anything that ends in .toml).

    A name with the size of its groups, as `resized` gives it, is the protocol with groups of that size.
    Raises BadInput naming the file, the key and what is allowed.
    """
    if name_or_path.endswith(".toml"):
        path = Path(name_or_path)
        text = files.read_text(path, "protocol file")
        return parse(text, origin=str(path), default_name=path.stem)
    if sized := _sized(name_or_path):
        base, groups = sized
        return dataclasses.replace(load(base), name=name_or_path, groups=groups)
    if name_or_path not in names():
        raise unknown_name("protocol", name_or_path, names(), command=_LIST_COMMAND)
    text = (resources.files("guidebench.protocols") / f"{name_or_path}.toml").read_text(encoding="utf-8")
    return parse(text, origin=f"{name_or_path}.toml", default_name=name_or_path)


def parse(text: str, *, origin: str, default_name: str) -> ProtocolFile:
    """Parses and checks a protocol file; ``origin`` is named in messages."""
    data = files.parse_toml(text, origin)
    overlays = data.pop("on", {})
    if not isinstance(overlays, dict) or not all(isinstance(table, dict) for table in overlays.values()):
        raise BadInput(f"{origin}: 'on' must hold tables such as [on.mini]")
    check_overlays(overlays, origin)
    data = {"name": default_name, "version": 1, "title": default_name, **data}
    base = _checked(data, origin, "")
    for required in ("source", "identities"):
        if required not in base:
            raise BadInput(f"{origin}: the key '{required}' is missing; see docs/protocols.md for all keys")
    checked = {testbed: _checked(table, origin, f"on.{testbed}.") for testbed, table in overlays.items()}
    return ProtocolFile(name=base["name"], origin=origin, base=base, overlays=checked)


def check_overlays(overlays: Iterable[str], origin: str) -> None:
    """Raises BadInput if a table [on.NAME] nearly names a registered testbed.

    Any other name is allowed: it may be that of a testbed in a file, or of a plug-in that is installed elsewhere.
    """
    for testbed in overlays:
        if registry.TESTBED.has(testbed):
            continue
        close = difflib.get_close_matches(testbed, registry.testbeds(), n=1, cutoff=0.75)
        if close:
            raise BadInput(
                f"{origin}: [on.{testbed}] names no registered testbed; did you mean [on.{close[0]}]? If the testbed "
                "is your own, give it a less similar name"
            )


def _checked(table: Mapping[str, Any], origin: str, prefix: str) -> dict[str, Any]:
    """Converts a TOML table's values to the protocol's field types, or says which key is wrong and what is allowed."""
    types = get_type_hints(Protocol)
    fields = [field.name for field in dataclasses.fields(Protocol)]
    result = {}
    for key, value in table.items():
        if key not in fields:
            close = difflib.get_close_matches(key, fields, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else "."
            raise BadInput(f"{origin}: unknown key '{prefix}{key}'{hint} Allowed: {', '.join(fields)}")
        wanted = types[key]
        if wanted is float and type(value) is int and abs(value) < 2**53:
            value = float(value)
        if not _fits(value, wanted):
            raise BadInput(f"{origin}: {prefix}{key} = {brief(value)} must be {_KINDS[wanted]}")
        result[key] = tuple(value) if isinstance(value, list) else value
    return result


def _fits(value: Any, wanted: Any) -> bool:
    """Whether a value of a TOML file has a field's type; a tuple's is a list there."""
    if get_origin(wanted) is not tuple:
        return type(value) is wanted
    return isinstance(value, list) and all(type(item) is get_args(wanted)[0] for item in value)
