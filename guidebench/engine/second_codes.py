"""Samples kept generators with a second set of codes, to see how much FID_pre depends on the first."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence

from guidebench import registry
from guidebench.engine.bench import Bench
from guidebench.engine.isolation import blame_the_method
from guidebench.engine.kept_generators import kept_generator, refuse_code
from guidebench.environment import resolve_device
from guidebench.errors import BadInput, MethodError
from guidebench.evidence import Evidence, Samples, Subject
from guidebench.metrics import TRIAL_METRICS
from guidebench.protocol import Protocol
from guidebench.reporting.diagnostics.runs import Runs, Section
from guidebench.reporting.diagnostics.second_codes import Reading, second_codes_section
from guidebench.store.folders import StoredRecord
from guidebench.store.record import Record

_log = logging.getLogger(__name__)


def second_codes(device: str, *, trust_code: bool = False) -> Callable[[Runs], Section]:
    """The section for `guidebench instrument`. device: what to sample on. trust_code: run code that records name."""

    def section(runs: Runs) -> Section:
        kept = [stored for label in runs.methods for stored in runs.trials(label) if _is_kept(stored)]
        if not trust_code:
            for stored in kept:
                refuse_code(stored.record, stored.path)
        return second_codes_section(measure(kept, device), runs.methods)

    return section


def _is_kept(stored: StoredRecord) -> bool:
    return (stored.path / "generator").is_dir()


def another(protocol: Protocol) -> Protocol:
    """The protocol with other codes and cameras for its samples: their names begin with the protocol's."""
    return dataclasses.replace(protocol, name=f"{protocol.name}+second-codes")


def measure(kept: Sequence[StoredRecord], device: str) -> list[Reading]:
    """FID_pre of kept generators on the codes of their record and on others, trial by trial.

    kept: of one protocol and testbed. Raises BadInput if there are none, or if other weights are installed.
    """
    if not kept:
        raise BadInput("no trial kept its generator; run the trials again with --keep-generators")
    first = kept[0].record
    kind = registry.testbed_class(first.instrument.testbed)
    bench = Bench(kind(device=resolve_device(device), conventions=first.spec.protocol.conventions))
    if any(bench.digests[name] != first.spec.weights.get(name) for name in ("generator", "features")):
        raise BadInput(f"{kept[0].path} was made with other weights of testbed {first.spec.testbed} than are installed")
    readings = []
    for number, stored in enumerate(kept, start=1):
        readings.append(_reading(bench, stored))
        _log.info("[%d/%d] %s on second codes", number, len(kept), stored.path.name)
    return readings


def _reading(bench: Bench, stored: StoredRecord) -> Reading:
    spec = stored.record.spec
    protocol = another(spec.protocol)
    value, reason = None, None
    try:
        generator = kept_generator(stored.path, spec.method, bench.players.generator)
        with blame_the_method("its generator cannot be sampled"):
            after = bench.samples(protocol, generator, "after")
        value, reason = _fid_pre(bench.source_samples(protocol), after)
    except (BadInput, MethodError) as error:
        reason = str(error)
    return Reading(spec.method.label, spec.group, spec.seed, _recorded(stored.record), value, reason)


def _fid_pre(source: Samples, after: Samples) -> tuple[float | None, str | None]:
    evidence = Evidence((Subject("nobody", "forget", 0, 1),), {}, 0, source, (after,), None)
    (score,) = TRIAL_METRICS["fid_pre"].compute(evidence)
    return score.value, score.reason


def _recorded(record: Record) -> float | None:
    """FID_pre after the last request."""
    scores = [score for score in record.outcome.scores if score.metric == "fid_pre"]
    return max(scores, key=lambda score: score.after_request).value if scores else None
