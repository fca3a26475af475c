"""What records claim, checked without a testbed: are they whole, of protocols that ship, and of everybody?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from guidebench import protocol as protocols
from guidebench import registry
from guidebench.protocol import Protocol
from guidebench.reporting.marks import WORDS
from guidebench.reporting.selection import Variant
from guidebench.store.folders import StoredRecord
from guidebench.store.record import NUMERICS_VERSION
from guidebench.submissions.check import Check, counted, differs, each_differs, listed, not_checked, ok
from guidebench.submissions.manifest import Submission

Groups = Mapping[str, Sequence[tuple[tuple[str, ...], ...]]]  # protocol's digest -> who is forgotten, trial by trial
_CHOSEN = 2**16  # of 2^32 salts: one below this was hardly drawn


def check_versions(stored: Sequence[StoredRecord]) -> list[Check]:
    """Whether the numbers are of this version's arithmetic."""
    other = sorted({item.record.spec.numerics for item in stored} - {NUMERICS_VERSION})
    if other:
        says = f"numerics {listed(map(str, other))}; this version has {NUMERICS_VERSION}, so that numbers may differ"
        return [differs("numerics", says)]
    return [ok("numerics", f"version {NUMERICS_VERSION}")]


def shipped(protocol: Protocol, testbed: str) -> Protocol | None:
    """The protocol that ships under a recorded one's name, with its conventions; None: none does."""
    if registry.is_direct(testbed) or not protocols.is_known(protocol.name):
        return None
    return protocols.load(protocol.name).resolve(testbed, conventions=protocol.conventions)


def check_protocols(stored: Sequence[StoredRecord]) -> list[Check]:
    """Whether protocols ask what those ask that ship under their names."""
    checks: list[Check] = []
    for protocol, testbed in _protocols(stored):
        official, name = shipped(protocol, testbed), f"{protocol.name} on {testbed}"
        if official is None:
            checks.append(not_checked("protocol", f"{name} does not ship with guidebench: read what it asks"))
            continue
        theirs, ours = protocol.measurement(), official.measurement()
        fields = [
            f"{field} {theirs.get(field, 'not set')} instead of {ours.get(field, 'not set')}"
            for field in sorted(theirs.keys() | ours.keys())
            if theirs.get(field) != ours.get(field)
        ]
        if fields:
            checks.append(differs("protocol", f"{name} has {listed(fields)}"))
        else:
            checks.append(ok("protocol", f"{name}, version {protocol.version}, as it ships"))
    return checks


def _protocols(stored: Sequence[StoredRecord]) -> list[tuple[Protocol, str]]:
    """Each protocol with its testbed."""
    found: dict[tuple[str, str], tuple[Protocol, str]] = {}
    for item in stored:
        spec = item.record.spec
        found.setdefault((spec.protocol.digest(), spec.testbed), (spec.protocol, spec.testbed))
    return list(found.values())


def check_people(stored: Sequence[StoredRecord], groups: Groups, *, attack: bool = False) -> list[Check]:
    """Whether every row has every trial that its protocol asks for: all people, all seeds.

    groups: who is forgotten, as far as the testbed says. attack: an attack need not be made on everybody.
    """
    rows: dict[tuple[str, str, Variant], list[StoredRecord]] = {}
    for item in stored:
        spec = item.record.spec
        if not spec.method.floor:
            rows.setdefault((spec.protocol.digest(), spec.testbed, Variant.of(item.record)), []).append(item)
    lacking, whole, failed = [], 0, 0
    for (digest, testbed, variant), own in rows.items():
        protocol = own[0].record.spec.protocol
        asked = shipped(protocol, testbed) or protocol
        missing = _missing(own, stored, asked, groups.get(digest))
        failed += sum(not item.record.is_measured for item in own)
        whole += not missing
        if missing:
            total = asked.trials * len(asked.seeds)
            lacking.append(
                f"{variant.label} under {protocol.name} has {counted(len(own), 'trial')}, {len(missing)} of "
                f"{total} are missing: {listed(missing)}"
            )
    checks = [not_checked("people", says) for says in lacking] if attack else each_differs("people", lacking)
    if whole:
        says = f"{counted(whole, 'row')} with every person and seed that the protocol asks for"
        checks.insert(0, ok("people", says + (f"; {counted(failed, 'trial')} failed and say why" if failed else "")))
    return checks


def _missing(
    own: Sequence[StoredRecord],
    stored: Sequence[StoredRecord],
    asked: Protocol,
    groups: Sequence[tuple[tuple[str, ...], ...]] | None,
) -> list[str]:
    """The trials that a row lacks, in words."""
    digest = own[0].record.spec.protocol.digest()
    if groups is None:  # whom any row of the protocol has
        seen = {item.record.spec.requests for item in stored if item.record.spec.protocol.digest() == digest}
        groups = sorted(seen)
    expected = list(groups[: asked.trials])
    done = {(item.record.spec.requests, item.record.spec.seed) for item in own}
    found = []
    for requests in expected:
        seeds = [str(seed) for seed in asked.seeds if (requests, seed) not in done]
        if seeds:
            first = requests[0][0]
            more = sum(map(len, requests)) - 1
            found.append(f"{first}{f'+{more}' if more else ''} (seed {' '.join(seeds)})")
    unnamed = asked.trials - len(expected)
    return found + [f"{unnamed} further groups of people"] if unnamed > 0 else found


def check_salt(stored: Sequence[StoredRecord]) -> list[Check]:
    """Whether the salt may have been drawn; that it was drawn after the method was tuned nobody can see."""
    checks = []
    for salt in sorted({item.record.spec.salt for item in stored}):
        if salt < _CHOSEN:
            says = f"{salt} was chosen, not drawn: a method may be tuned to it; measure again with --salt new"
        else:
            says = f"{salt} looks drawn; whether the method was tuned under it cannot be seen"
        checks.append(not_checked("salt", says))
    return checks


def check_tuning(submission: Submission, stored: Sequence[StoredRecord]) -> list[Check]:
    """What is said of how settings were found: by the authors, and by presets."""
    checks = []
    if submission.tuning.in_words:
        checks.append(ok("tuning", f"stated: {submission.tuning.in_words}"))
    else:
        checks.append(not_checked("tuning", "not stated (pack --settings-tried N --tuned-on WHOM)"))
    presets = {
        f"{method.label} ({method.settings_tried or 'nobody says how many'} settings tried)"
        for method in (item.record.spec.method for item in stored)
        if method.preset and not method.floor and method.label == method.name
    }
    if presets:
        checks.append(ok("tuning", f"presets that ship were used: {listed(sorted(presets))}"))
    return checks


def check_marks(stored: Sequence[StoredRecord]) -> list[Check]:
    """What rows say of themselves that a reader must know."""
    found: dict[str, set[str]] = {}
    for item in stored:
        for mark in item.record.outcome.marks:
            found.setdefault(mark, set()).add(item.record.spec.method.label)
    checks = []
    for mark, labels in sorted(found.items()):
        says = f"{mark} ({listed(sorted(labels))}): {WORDS.get(mark, 'a mark that is not known here')}"
        checks.append(not_checked("marks", says) if mark == "in process" else ok("marks", says))
    return checks or [ok("marks", "none")]


def check_environment(submission: Submission, found: Mapping[str, tuple[str, ...]]) -> list[Check]:
    """Whether the summary of devices and versions is that of the records. found: theirs."""
    if dict(submission.environment) != dict(found):
        return [differs("environment", "the summary is not that of the records")]
    devices, versions = (", ".join(found.get(name, ())) for name in ("device", "guidebench"))
    return [ok("environment", f"guidebench {versions} on {devices}")]
