"""What is still to run and how long that will take: medians of measured seconds, never a guess."""

from __future__ import annotations

import csv
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guidebench import registry
from guidebench.errors import BadInput
from guidebench.protocol import common_conventions
from guidebench.store import salts
from guidebench.store.folders import RECORDS, StoredRecord, scan
from guidebench.store.record import Record
from guidebench.text import aligned, in_words

if TYPE_CHECKING:
    from guidebench.chosen import ChosenAttack, Entrant
    from guidebench.engine.asked import Options
    from guidebench.protocol import Protocol
    from guidebench.testbed import Testbed


@dataclass(frozen=True)
class Timing:
    """How long one trial took."""

    protocol: str  # its digest, so that runs of other sizes are not taken for this one; its name if no more is known
    label: str
    seconds: float

    @property
    def method(self) -> str:
        """The method's name, without the fields that were overridden."""
        return self.label.partition("(")[0]


@dataclass(frozen=True)
class Line:
    """The trials of one row under one protocol."""

    protocol: str
    label: str
    trials: int
    recorded: int | None  # None: unknown until the testbed's missing files are there
    seconds: float | None  # of a trial, the median of what was measured; None: nothing was
    basis: str  # which trials the median is of

    @property
    def to_run(self) -> int:
        """How many trials are left; all of them if nobody can tell."""
        return self.trials - (self.recorded or 0)


@dataclass(frozen=True)
class Forecast:
    """What a command would do."""

    testbed: str
    out: Path
    workers: int  # trials at a time
    lines: tuple[Line, ...]
    missing: tuple[str, ...]  # what the testbed lacks

    @property
    def to_run(self) -> int:
        """Trials that are left."""
        return sum(line.to_run for line in self.lines)

    @property
    def unknown(self) -> int:
        """Trials that are left and of which nobody knows how long they take."""
        return sum(line.to_run for line in self.lines if line.seconds is None)

    @property
    def seconds(self) -> float:
        """Time for the trials that are left, without the unknown ones."""
        return sum(self.seconds_of(line) or 0.0 for line in self.lines)

    def seconds_of(self, line: Line) -> float | None:
        """A line's share of the time: its trials by their median seconds, over the trials at a time."""
        return None if line.seconds is None else line.to_run * line.seconds / self.workers


def forecast(asked: Sequence[Protocol], entrants: Sequence[Entrant], options: Options) -> Forecast:
    """What `guidebench.engine.run.measure` would do, without writing anything below the output directory.

    Loads the testbed, because a trial's key covers its weights and photographs. Raises BadInput where `measure` would.
    """
    from guidebench import precision
    from guidebench.engine.asked import choose_attacks
    from guidebench.engine.plan import check_entrants, trials_of
    from guidebench.executors import choose

    if options.shard is not None:
        raise BadInput(f"shard = {options.shard}: a dry run counts the trials of all shards; leave it out")
    precision.check(options.precision, choose.device(options))
    kind = registry.testbed_class(options.testbed)
    workers = choose.at_a_time(options, kind)
    testbed = kind(device=choose.device_here(options), conventions=common_conventions(asked))
    check_entrants(asked, entrants, one_by_one=options.one_by_one)
    missing = tuple(testbed.missing({protocol.source for protocol in asked}))
    stored = _measured(options.out)
    records = [item.record for item in stored]
    attacks = choose_attacks(asked, options)
    complete = [] if options.fresh else [item for item in stored if not _is_incomplete(item, options, attacks)]
    keys = frozenset(item.record.key for item in complete)
    recorded = None if missing else _recorded(testbed, asked, entrants, keys, options)
    sources = {
        str(options.out): timings_of(records, kind),
        "the reference results that ship": reference_timings(kind.name),
    }
    lines = []
    for protocol in asked:
        for entrant in entrants:
            label = entrant.chosen.label
            seconds, basis = typical_seconds({protocol.name, protocol.digest()}, label, sources)
            trials = trials_of(entrant, protocol) * len(protocol.seeds)
            done = None if recorded is None else recorded[protocol.name, label]
            lines.append(Line(protocol.name, label, trials, done, seconds, basis))
    to_run = sum(line.to_run for line in lines)
    return Forecast(kind.name, options.out, min(workers, max(1, to_run)), tuple(lines), missing)


def of_suite(
    name: str, methods: Sequence[str] = (), testbed: str = registry.DEFAULT_TESTBED, *, floors: str, **given: Any
) -> tuple[Forecast, Mapping[str, str]]:
    """What `guidebench.engine.run.reproduce` would do with the same arguments; and label -> what its row is called."""
    from guidebench import suites
    from guidebench.engine import asked

    sizes = {size: given.pop(size, None) for size in ("identities", "samples", "seeds", "conventions")}
    options = asked.options_of(testbed, given)
    suite = suites.load(name).resolve(testbed, **sizes)
    options = asked.for_suite(suite, options)
    entrants = asked.suite_entrants(suite, methods, floors, options)
    return forecast(suite.protocols, entrants, options), {label: title for title, label in suite.labels.items()}


def _is_incomplete(item: StoredRecord, options: Options, attacks: Mapping[str, tuple[ChosenAttack, ...]]) -> bool:
    """Whether something is left to do on a recorded trial. attacks: that are to be made on it, by protocol."""
    from guidebench.engine.plan import is_incomplete, keeps_generator

    if is_incomplete(item.record, item.path, options.every, options.keep_generators):
        return True
    own = attacks.get(item.record.spec.protocol.name, ())
    return bool(item.record.lacks(own, tried=not keeps_generator(item.path)))


def _measured(out: Path) -> list[StoredRecord]:
    """What a run would find in its directory; nothing if there is none yet."""
    if not (out / RECORDS).is_dir():
        return []
    try:
        stored, _ = scan(out)
    except BadInput:  # it holds no records
        return []
    return [item for item in stored if item.record.is_measured]


def _recorded(
    testbed: Testbed, asked: Sequence[Protocol], entrants: Sequence[Entrant], keys: frozenset[str], options: Options
) -> Counter[tuple[str, str]]:
    """How many trials of each protocol and label have their record already."""
    from guidebench.engine.bench import Bench
    from guidebench.engine.plan import cases, describe

    salt = options.salt if isinstance(options.salt, int) else salts.current(options.out) or 0
    description = describe(Bench(testbed, salt=salt), asked, options.precision)
    planned = cases(asked, entrants, description, one_by_one=options.one_by_one)
    return Counter((case.spec.protocol.name, case.spec.method.label) for case in planned if case.key in keys)


def timings_of(records: Iterable[Record], testbed: type[Testbed]) -> list[Timing]:
    """The trials of a testbed on the weights that it has now: networks of other versions take other times."""
    version = None if testbed.weights_version is None else str(testbed.weights_version)
    return [
        Timing(record.spec.protocol.digest(), record.spec.method.label, record.cost.seconds_total)
        for record in records
        if record.cost and (record.spec.testbed, record.instrument.weights_version) == (testbed.name, version)
    ]


def reference_timings(testbed: str) -> list[Timing]:
    """The trials of the reference results that ship for a testbed; none where there are no such results."""
    file = resources.files("guidebench.reports") / testbed / "scores.csv"
    if not file.is_file():
        return []
    rows = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
    trials = {
        (row["protocol"], row["label"], row["identity"], row["seed"]): Timing(
            row["protocol"], row["label"], float(row["seconds_total"])
        )
        for row in rows
    }
    return list(trials.values())


def typical_seconds(
    protocol: Set[str], label: str, sources: Mapping[str, Sequence[Timing]]
) -> tuple[float | None, str]:
    """The median seconds of the trials that are most like these, and which trials those are; None where there are none.

    protocol: name and digest. sources: timings by what they are called, in order of trust: a poor match of the first
    goes before a good one of the next, which another machine may have made.
    """
    method = label.partition("(")[0]
    likeness: Mapping[str, Callable[[Timing], bool]] = {
        "of this row": lambda timing: timing.protocol in protocol and timing.label == label,
        f"of {method}": lambda timing: timing.protocol in protocol and timing.method == method,
        f"of {method} under other protocols": lambda timing: timing.method == method,
        "of any row": lambda timing: True,
    }
    for source, timings in sources.items():
        for words, is_like in likeness.items():
            found = [timing.seconds for timing in timings if is_like(timing)]
            if found:
                trials = "1 trial" if len(found) == 1 else f"{len(found)} trials"
                return statistics.median(found), f"{trials} {words} in {source}"
    return None, "nothing measured"


def lines_of(found: Forecast, titles: Mapping[str, str]) -> list[str]:
    """A forecast as aligned text. titles: label -> what its row is called; others are called by their label."""
    header = ("protocol", "row", "trials", "recorded", "to run", "s per trial", "estimate", "median of")
    table = [header] + [
        (
            line.protocol,
            titles.get(line.label, line.label),
            str(line.trials),
            "?" if line.recorded is None else str(line.recorded),
            str(line.to_run),
            "unknown" if line.seconds is None else f"{line.seconds:.1f}",
            in_words(found.seconds_of(line)),
            line.basis,
        )
        for line in found.lines
    ]
    lines = [*aligned(table), "", f"{found.to_run} trials to run, {found.workers} at a time: {_total(found)}"]
    if not found.missing:
        return [*lines, f"missing assets of testbed {found.testbed}: none"]
    return [*lines, f"missing assets of testbed {found.testbed}:", *(f"  {text}" for text in found.missing)]


def _total(found: Forecast) -> str:
    if not found.unknown:
        return in_words(found.seconds)
    if found.unknown == found.to_run:
        return "unknown"
    return f"{in_words(found.seconds)}, and unknown time for {found.unknown} of them"
