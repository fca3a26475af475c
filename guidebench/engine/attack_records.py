"""Attacks the generators that recorded trials kept."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from guidebench import chosen, precision, registry, sources
from guidebench.chosen import ChosenAttack
from guidebench.engine.asked import check_workers, different
from guidebench.engine.events import Finished
from guidebench.engine.kept_generators import refuse_code
from guidebench.engine.plan import Case, Description
from guidebench.engine.run import execute, refuse_missing
from guidebench.engine.watching import Watcher
from guidebench.engine.worker import Setup
from guidebench.engine.workers import start_executor
from guidebench.environment import resolve_device
from guidebench.errors import BadInput, unknown_name
from guidebench.photos.own import SOURCE
from guidebench.protocol import Protocol
from guidebench.settings import field_names
from guidebench.store import folders
from guidebench.store.folders import Store, StoredRecord
from guidebench.store.record import NUMERICS_VERSION

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Done:
    """What was done."""

    attacked: int  # generators, now
    skipped: int  # that had been attacked like this before
    without: int  # trials that kept no generator
    failed: tuple[Finished, ...]  # of which no attack could be made, or not every one
    seconds: float
    table: str  # of everything that was asked for; "": there is none


def attack_records(
    directory: str | Path,
    attacks: Sequence[str],
    *,
    settings: Mapping[str, str] | None = None,
    protocol: str | None = None,
    methods: Sequence[str] = (),
    photos: Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    timeout: float | None = None,
    trust_code: bool = False,
    watch: Watcher,
) -> Done:
    """Makes attacks on every kept generator below a directory that was not attacked like this before.

    settings: fields of attacks, as text; one concerns every attack that has the field. protocol, methods: which trials.
    photos: the user's photographs that the trials were made with. trust_code: run code that records name. Raises
    BadInput if nothing can be attacked.
    """
    started = time.perf_counter()
    check_workers(workers)
    asked = _chosen(attacks, settings or {})
    trials = _trials(Path(directory), protocol, methods)
    kept = [item for item in trials if (item.path / "generator").is_dir()]
    if not kept:
        raise BadInput(
            f"none of the {len(trials)} trials in {directory} kept its generator; run them again with --keep-generators"
        )
    for item in kept:
        for attack in asked:
            chosen.check_attack_fits(attack, item.record.spec.protocol)
        if not trust_code:
            refuse_code(item.record, item.path)
        _refuse_other_code(item)
        if photos is None and _is_of_own_photos(item):
            raise BadInput(f"{item.path} was made with photographs of yours; give them again with --photos")
    todo = [item for item in kept if item.record.lacks(asked)]
    finished: list[Finished] = []
    for alike in _alike(todo):
        own = photos if _is_of_own_photos(alike[0]) else None
        finished += _attack(alike, asked, own, device, workers, timeout, watch)
    keys = frozenset(item.record.key for item in kept)
    return Done(
        attacked=sum(event.reason is None for event in finished),
        skipped=len(kept) - len(todo),
        without=len(trials) - len(kept),
        failed=tuple(event for event in finished if event.reason or event.warning),
        seconds=time.perf_counter() - started,
        table=_table(Path(directory), keys),
    )


def _chosen(attacks: Sequence[str], settings: Mapping[str, str]) -> list[ChosenAttack]:
    known = {spec: field_names(registry.load_attack(spec)) for spec in attacks}
    fields = {name for names in known.values() for name in names}
    for name in settings:
        if name not in fields:
            raise unknown_name("field", name, fields, command=f"guidebench show {next(iter(known), 'ATTACK')}")
    return different(
        chosen.choose_attack(spec, {name: text for name, text in settings.items() if name in known[spec]})
        for spec in dict.fromkeys(attacks)
    )


def _trials(directory: Path, protocol: str | None, methods: Sequence[str]) -> list[StoredRecord]:
    stored, _ = folders.scan(directory)
    measured = [item for item in stored if item.record.is_measured]
    found = [
        item
        for item in measured
        if protocol in (None, item.record.spec.protocol.name)
        and (not methods or {item.record.spec.method.name, item.record.spec.method.label} & set(methods))
    ]
    if not found:
        names = sorted({item.record.spec.protocol.name for item in measured})
        labels = sorted({item.record.spec.method.label for item in measured})
        raise BadInput(
            f"{directory} holds no such trial; it holds protocols {', '.join(names) or 'none'} and methods "
            f"{', '.join(labels) or 'none'}"
        )
    return found


def _alike(trials: Sequence[StoredRecord]) -> list[list[StoredRecord]]:
    """Trials that one set of workers can judge: of one run's directory, testbed, photographs, conventions and so on."""
    groups: dict[tuple[object, ...], list[StoredRecord]] = {}
    for item in trials:
        spec = item.record.spec
        where = (_out_of(item), item.record.instrument.testbed, _is_of_own_photos(item))
        key = (*where, spec.protocol.conventions, spec.precision, spec.salt)
        groups.setdefault(key, []).append(item)
    return list(groups.values())


def _out_of(item: StoredRecord) -> Path:
    """The output directory of the run that wrote a record, which may be one of several below the one that is given."""
    return item.path.parents[3]  # OUT/records/PROTOCOL/METHOD/TRIAL


def _is_of_own_photos(item: StoredRecord) -> bool:
    return item.record.spec.protocol.source == SOURCE


def _refuse_other_code(item: StoredRecord) -> None:
    """Raises BadInput if a method cannot be loaded, or is not the one that a trial was measured with."""
    method = item.record.spec.method
    try:
        changed = sources.source_digest(method.build()) != method.source_digest
    except (TypeError, ValueError) as error:
        raise BadInput(f"{item.path}: method {method.label} has no such fields any more: {error}") from None
    if changed:
        raise BadInput(
            f"{item.path}: the code of method {method.label} has changed since the trial was measured; measure it "
            "again with --keep-generators, or choose others by --method"
        )


def _attack(
    trials: Sequence[StoredRecord],
    asked: Sequence[ChosenAttack],
    photos: Path | None,
    device: str,
    workers: int | None,
    timeout: float | None,
    watch: Watcher,
) -> list[Finished]:
    first = trials[0].record
    kind = registry.testbed_class(first.instrument.testbed)
    where = resolve_device(device)
    precision.check(first.spec.precision, where)
    protocols = protocols_of(trials)
    testbed = kind(device=where, conventions=first.spec.protocol.conventions)
    refuse_missing(kind.name, testbed.missing({protocol.source for protocol in protocols.values()}))
    out = _out_of(trials[0])
    store = Store(out)
    setup = Setup(
        testbed=first.instrument.testbed,
        device=where,
        out=out,
        protocols=tuple(protocols.values()),
        photos=photos,
        precision=first.spec.precision,  # type: ignore[arg-type]  # checked above
        salt=first.spec.salt,
        timeout=timeout,
        attacks=True,
    )
    executor = start_executor(setup, workers=workers, instant=kind.instant, heavy=kind.heavy)
    try:
        description = executor.description()
        todo = [_case(item, asked, description) for item in trials]
        return execute(executor, store, todo, watch)
    finally:
        executor.close()


def protocols_of(trials: Sequence[StoredRecord]) -> dict[str, Protocol]:
    """By digest, each with the most people that any trial was planned with."""
    found: dict[str, Protocol] = {}
    for item in trials:
        protocol = item.record.spec.protocol
        known = found.get(protocol.digest())
        if known is None or known.identities < protocol.identities:
            found[protocol.digest()] = protocol
    return found


def _case(item: StoredRecord, asked: Sequence[ChosenAttack], description: Description) -> Case:
    spec = item.record.spec
    if dict(spec.weights) != dict(description.weights):
        raise BadInput(f"{item.path} was made with other weights of testbed {spec.testbed} than are installed")
    if (spec.numerics, spec.testbed_code) != (NUMERICS_VERSION, description.testbed_code):
        raise BadInput(f"{item.path} was made with another version of guidebench or of the testbed; measure it again")
    digest = spec.protocol.digest()
    if spec.manifest != description.manifests[digest]:
        raise BadInput(f"{item.path} was made with other photographs; give the same --photos")
    return Case(
        spec,
        list(description.groups[digest]).index(spec.requests),
        replaces=item.record.digest,
        attacks=item.record.lacks(asked),
        only_attacks=True,
    )


def _table(directory: Path, keys: frozenset[str]) -> str:
    from guidebench.reporting import report

    stored, _ = folders.scan(directory)
    if not any(run.file for item in stored if item.record.key in keys for run in item.record.attacks):
        return ""
    try:
        return report.report(directory, "terminal", layout="attacks", keys=keys)
    except BadInput as error:  # such as directories of several runs that share no column
        _log.warning("everything is recorded, but there is no one table of it: %s", error)
        return ""
