"""Suites: tables and figures of a paper, each protocols by rows. A TOML file each; reading one loads no torch."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guidebench import chosen, files, registry
from guidebench import protocol as protocols
from guidebench.errors import BadInput, unknown_name
from guidebench.protocol import Protocol, ProtocolFile
from guidebench.settings import field_names
from guidebench.text import brief

if TYPE_CHECKING:
    from guidebench.chosen import Entrant

MOST_DIGITS = 3  # further ones do not repeat on another machine, see docs/statistics.md
LIST_COMMAND = "guidebench list suites"
_KINDS = {
    "title": (str, "a text"),
    "summary": (str, "a text"),
    "citation": (str, "a text"),
    "protocols": (list, "a list of protocols"),
    "metrics": (list, "a list of metrics"),
    "rows": (list, "a list of tables such as { title = …, method = …, set = { … } }"),
    "against": (str, "the title of a row"),
    "digits": (int, "an integer"),
    "seeds": (list, "a list of integers"),
    "identities": (int, "an integer"),
    "figure": (str, "a figure"),
    "keep_generators": (bool, "true or false"),
    "attacks": (list, "a list of attacks"),
    "every": (int, "an integer"),
}
_ROW_KINDS = {
    "title": (str, "a text"),
    "method": (str, "a method"),
    "set": (dict, "a table such as { alpha_max = 20 }"),
}
_SIZES = ("seeds", "identities", "every")  # what `[on.TESTBED]` may change


@dataclass(frozen=True)
class SuiteRow:
    """One row of the table: a method with the fields in which it differs."""

    title: str  # as in the table
    method: str  # registered name or path/to/file.py:Class
    settings: Mapping[str, str]  # fields to override, as text


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper: what a suite asks for. Floors, and rows that it does not name, are added by the report."""

    name: str  # "table-3"
    title: str
    metrics: tuple[str, ...]  # columns under each protocol; a judged metric has one for each judge
    protocols: tuple[str, ...]  # column groups, in order
    rows: tuple[tuple[str, str], ...] = ()  # label as in records, title shown; in order
    digits: int = 2  # decimals shown


@dataclass(frozen=True)
class Suite:
    """A suite on a testbed: every number that decides which trials its table consists of."""

    name: str
    title: str
    summary: str
    citation: str
    testbed: str
    protocols: tuple[Protocol, ...]
    rows: tuple[SuiteRow, ...]
    metrics: tuple[str, ...]  # columns under each protocol
    against: str | None  # title of the row that the others are compared with
    digits: int  # decimals shown
    figure: str | None = None  # drawn from its trials, see `guidebench.reporting.plots.draw`; None: only a table
    keep_generators: bool = False  # as in `guidebench.engine.asked.Options`, where the figure needs it
    attacks: tuple[str, ...] = ()  # likewise
    every: int | None = None  # likewise

    @cached_property
    def entrants(self) -> tuple[Entrant, ...]:
        """The rows as methods to run; raises BadInput naming the row whose settings do not fit its method."""
        return tuple(map(self._entrant, self.rows))

    @property
    def labels(self) -> Mapping[str, str]:
        """Row title -> the label under which its trials are recorded."""
        return {row.title: entrant.chosen.label for row, entrant in zip(self.rows, self.entrants, strict=True)}

    @property
    def against_label(self) -> str | None:
        """The recorded label of the row that the others are compared with."""
        return None if self.against is None else self.labels[self.against]

    @property
    def table(self) -> PaperTable:
        """How the suite's table is laid out."""
        return PaperTable(
            name=self.name,
            title=self.title,
            metrics=self.metrics,
            protocols=tuple(protocol.name for protocol in self.protocols),
            rows=tuple((label, title) for title, label in self.labels.items()),
            digits=self.digits,
        )

    def _entrant(self, row: SuiteRow) -> Entrant:
        fields = field_names(registry.load_method(row.method))
        try:
            for name in row.settings:
                if name not in fields:
                    raise unknown_name("field", name, fields, command=f"guidebench show {row.method}")
            return chosen.choose(row.method, self.testbed, row.settings)
        except BadInput as error:
            raise BadInput(f"suite {self.name}, row '{row.title}': {error}") from None


@dataclass(frozen=True)
class SuiteFile:
    """A parsed suite: the content of its file, checked as far as it can be without loading a method."""

    name: str
    origin: str  # path, for messages
    title: str
    summary: str
    citation: str
    protocols: tuple[ProtocolFile, ...]
    rows: tuple[SuiteRow, ...]
    metrics: tuple[str, ...]
    against: str | None
    digits: int
    sizes: Mapping[str, Any]
    figure: str | None
    keep_generators: bool
    attacks: tuple[str, ...]
    overlays: Mapping[str, Mapping[str, Any]]  # testbed -> sizes

    def resolve(self, testbed: str, **overrides: Any) -> Suite:
        """The suite on a testbed; overrides (None: not given) win over the suite's overlay, its sizes, the protocols.

        overrides: fields of `guidebench.protocol.Protocol`. Raises BadInput.
        """
        given = {name: value for name, value in overrides.items() if value is not None}
        sizes = {**self.sizes, **self.overlays.get(registry.testbed_name(testbed), {}), **given}
        every = sizes.pop("every", None)
        return Suite(
            name=self.name,
            title=self.title,
            summary=self.summary,
            citation=self.citation,
            testbed=testbed,
            protocols=tuple(file.resolve(testbed, **sizes) for file in self.protocols),
            rows=self.rows,
            metrics=self.metrics,
            against=self.against,
            digits=self.digits,
            figure=self.figure,
            keep_generators=self.keep_generators,
            attacks=self.attacks,
            every=every,
        )


def names() -> list[str]:
    """The suites that ship with guidebench."""
    folder = resources.files("guidebench.reports") / "suites"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def load(name_or_path: str) -> SuiteFile:
    """A suite by name, or from a file of one's own (anything that ends in .toml).

    Protocol and method files that a suite names are relative to it. Raises BadInput naming the file, the key and what
    is allowed.
    """
    if name_or_path.endswith(".toml"):
        path = Path(name_or_path)
        return parse(files.read_text(path, "suite file"), origin=str(path), name=path.stem, folder=path.parent)
    if name_or_path not in names():
        raise unknown_name("suite", name_or_path, names(), command=LIST_COMMAND)
    text = (resources.files("guidebench.reports") / "suites" / f"{name_or_path}.toml").read_text(encoding="utf-8")
    return parse(text, origin=f"{name_or_path}.toml", name=name_or_path)


def is_suite_file(path: str) -> bool:
    """Whether a TOML file holds a suite, and not a protocol."""
    try:
        data = files.parse_toml(files.read_text(Path(path), "file"), path)
    except BadInput:
        return False
    return "rows" in data or "protocols" in data


def parse(text: str, *, origin: str, name: str, folder: Path = Path()) -> SuiteFile:
    """Parses and checks a suite; ``origin`` is named in messages, files that it names are relative to ``folder``."""
    data = files.parse_toml(text, origin)
    overlays = data.pop("on", {})
    _check_table(data, _KINDS, origin, required=("protocols", "metrics", "rows"))
    rows = tuple(_row(row, f"{origin}, row {place}", folder) for place, row in enumerate(data["rows"], start=1))
    _check_distinct(rows, data.get("against"), origin)
    return SuiteFile(
        name=name,
        origin=origin,
        title=data.get("title", name),
        summary=data.get("summary", ""),
        citation=data.get("citation", ""),
        protocols=_protocols(data["protocols"], origin, folder),
        rows=rows,
        metrics=_metrics(data["metrics"], origin),
        against=data.get("against"),
        digits=_digits(data.get("digits", 2), origin),
        sizes=_sizes(data, origin),
        figure=_figure(data.get("figure"), origin),
        keep_generators=data.get("keep_generators", False),
        attacks=_attacks(data.get("attacks", []), origin, folder),
        overlays=_overlays(overlays, origin),
    )


def _check_table(
    table: Any, kinds: Mapping[str, tuple[type, str]], where: str, *, required: Sequence[str] = (), prefix: str = ""
) -> None:
    """Raises BadInput naming the first key that is unknown, missing or of the wrong type, and what is allowed."""
    if not isinstance(table, dict):
        raise BadInput(f"{where}: {brief(table)} must be a table")
    for key, value in table.items():
        if key not in kinds:
            close = difflib.get_close_matches(key, kinds, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else "."
            raise BadInput(f"{where}: unknown key '{prefix}{key}'{hint} Allowed: {', '.join(kinds)}")
        kind, words = kinds[key]
        if type(value) is not kind:
            raise BadInput(f"{where}: {prefix}{key} = {brief(value)} must be {words}")
    for key in required:
        if not table.get(key):
            raise BadInput(f"{where}: the key '{key}' is missing or empty; see docs/reproduce.md for all keys")


def _row(data: Any, where: str, folder: Path) -> SuiteRow:
    _check_table(data, _ROW_KINDS, where, required=("method",))
    method = data["method"]
    if registry.is_file_spec(method):
        method = str(folder / method)
    elif not registry.is_direct(method) and not registry.METHOD.has(method):
        raise BadInput(
            f"{where}: {unknown_name('method', method, registry.methods(), command='guidebench list methods')}"
        )
    settings = {name: _setting(name, value, where) for name, value in data.get("set", {}).items()}
    return SuiteRow(data.get("title", data["method"]), method, settings)


def _setting(name: str, value: Any, where: str) -> str:
    """A TOML value as `--set` takes it."""
    if not isinstance(value, (bool, int, float, str)):
        raise BadInput(f"{where}: set.{name} = {brief(value)} must be a number, a text, true or false")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_distinct(rows: Sequence[SuiteRow], against: str | None, origin: str) -> None:
    titles = [row.title for row in rows]
    _no_twice(titles, f"{origin}: rows share the title")
    if against is not None and against not in titles:
        raise BadInput(f"{origin}: against = '{against}' is not the title of a row; give one of: {', '.join(titles)}")


def _no_twice(values: Iterable[str], message: str) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise BadInput(f"{message} '{value}'; give each once")
        seen.add(value)


def _protocols(specs: Sequence[Any], origin: str, folder: Path) -> tuple[ProtocolFile, ...]:
    files = []
    for spec in _texts(specs, f"{origin}: protocols"):
        try:
            files.append(protocols.load(str(folder / spec) if spec.endswith(".toml") else spec))
        except BadInput as error:
            raise BadInput(f"{origin}: {error}") from None
    _no_twice([file.name for file in files], f"{origin}: two protocols are called")
    return tuple(files)


def _metrics(values: Sequence[Any], origin: str) -> tuple[str, ...]:
    for name in _texts(values, f"{origin}: metrics"):
        if not registry.METRIC.has(name) and name not in registry.attack_metrics():
            known = registry.metrics()
            raise BadInput(f"{origin}: {unknown_name('metric', name, known, command='guidebench list metrics')}")
    _no_twice(values, f"{origin}: metrics name")
    return tuple(values)


def _figure(name: str | None, origin: str) -> str | None:
    from guidebench.reporting.plots.draw import FIGURES

    if name is not None and name not in FIGURES:
        raise BadInput(f"{origin}: {unknown_name('figure', name, FIGURES, command='guidebench figure --help')}")
    return name


def _attacks(specs: Sequence[Any], origin: str, folder: Path) -> tuple[str, ...]:
    found = []
    for spec in _texts(specs, f"{origin}: attacks"):
        if registry.is_file_spec(spec):
            spec = str(folder / spec)
        elif not registry.is_direct(spec) and not registry.ATTACK.has(spec):
            known = registry.attacks()
            raise BadInput(f"{origin}: {unknown_name('attack', spec, known, command='guidebench list attacks')}")
        found.append(spec)
    return tuple(found)


def _digits(value: int, origin: str) -> int:
    if not 0 <= value <= MOST_DIGITS:
        raise BadInput(f"{origin}: digits = {value} is not allowed; give 0 to {MOST_DIGITS}")
    return value


def _texts(values: Sequence[Any], where: str) -> Sequence[str]:
    for value in values:
        if not isinstance(value, str):
            raise BadInput(f"{where} holds {brief(value)}, which is not text")
    return values


def _sizes(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """How many trials: their ranges are checked by the protocols."""
    sizes = {name: table[name] for name in _SIZES if name in table}
    if "seeds" in sizes:
        wrong = [seed for seed in sizes["seeds"] if type(seed) is not int]
        if wrong:
            raise BadInput(f"{where}: seeds holds {brief(wrong[0])}, which is not an integer")
        sizes["seeds"] = tuple(sizes["seeds"])
    if sizes.get("every", 1) < 1:
        raise BadInput(f"{where}: every = {sizes['every']} is not allowed; give 1 or more steps")
    return sizes


def _overlays(tables: Any, origin: str) -> dict[str, dict[str, Any]]:
    if not isinstance(tables, dict):
        raise BadInput(f"{origin}: 'on' must hold tables such as [on.mini]")
    protocols.check_overlays(tables, origin)
    kinds = {name: _KINDS[name] for name in _SIZES}
    found = {}
    for testbed, table in tables.items():
        _check_table(table, kinds, origin, prefix=f"on.{testbed}.")
        found[testbed] = _sizes(table, f"{origin}: on.{testbed}")
    return found
