"""What a trial leaves behind: files of one person and of groups, the record, and the folder of a failure."""

from __future__ import annotations

import csv
import dataclasses

import numpy as np
import pytest
import torch

from guidebench import chosen, images
from guidebench import protocol as protocols
from guidebench.engine import recording
from guidebench.engine.bench import Bench
from guidebench.engine.plan import Case, cases, describe, is_incomplete
from guidebench.engine.trial import measure as measure_trial
from guidebench.engine.unlearning import Here
from guidebench.metric import Score, TrialMetric
from guidebench.metrics import TRIAL_METRICS, score_all
from guidebench.store import folders
from guidebench.store.evidence_files import load_evidence
from guidebench.store.folders import Store
from guidebench.testbeds.linear import LinearTestbed
from guidebench.unlearner import Unlearner

SMOKE = protocols.load("smoke").resolve("linear")
GROUPS = dataclasses.replace(SMOKE, identities=4, forget=2, requests=2, retain=2, retain_named=1, probe_photos=1)


@dataclasses.dataclass(frozen=True)
class Steps(Unlearner):
    """Moves one bias a little, in as many steps as it is told, and turns everybody into the average face."""

    name = "steps"
    supports = frozenset({"single", "simultaneous", "sequential"})
    steps: int = 3

    def unlearn(self, generator, request, context):
        for step in range(1, self.steps + 1):
            with torch.no_grad():
                generator.get_parameter("backbone.coarse.bias").add_(0.01)
            context.progress(step, loss=1 / step, **{"people": len(request.forget)})
        return generator

    def target(self, item, source):
        return source.w_avg.expand(source.num_ws, -1)


@dataclasses.dataclass(frozen=True)
class CannotSave(Steps):
    name = "cannot-save"

    def save(self, generator, source, folder):
        (folder / "half").write_text("written")
        raise ValueError("no idea how")


@pytest.fixture(scope="module")
def bench():
    return Bench(LinearTestbed())


def case_of(bench, protocol, method) -> Case:
    entrant = chosen.choose_object(method, "linear")
    return cases([protocol], [entrant], describe(bench, [protocol]))[0]


@pytest.fixture
def measured(bench, tmp_path):
    """Runs and records the first trial of a method; returns its folder, the warning, the trial and its spec."""

    def measure(protocol, method, **options):
        case = case_of(bench, protocol, method)
        here = Here(method, bench.players, bench.testbed.device, protocol, case.spec.seed, lambda step, scalars: None)
        trial = measure_trial(bench, protocol, here, case.index)
        options = {"keep_generator": False, **options}
        folder, warning = recording.write_measured(Store(tmp_path), bench, case.spec, here, trial, **options)
        return folder, warning, trial, case.spec

    return measure


def files(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def rows(path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


ALWAYS = {"record.json", "evidence.npz", "latents.npz", "progress.csv", "pictures/sheet.png"}


def pictures(*people: str) -> set[str]:
    return {f"pictures/{person}/{name}.png" for person in people for name in ("photo", "before", "after")}


def test_a_trial_of_one_person_leaves_these_files(measured, tmp_path):
    folder, warning, _, spec = measured(SMOKE, Steps())
    assert warning is None and folder == tmp_path / "records/smoke/steps" / folders.folder_name(spec)
    assert files(folder) == ALWAYS | pictures("celebahq-0000")
    assert not list(tmp_path.rglob(".building-*"))


def test_a_trial_of_a_group_leaves_pictures_of_everybody_who_is_forgotten(measured):
    folder, *_ = measured(GROUPS, Steps())
    assert files(folder) == ALWAYS | pictures(*(f"celebahq-{place:04d}" for place in range(4)))


def test_a_sampled_person_has_no_photograph(measured):
    random = protocols.load("random").resolve("linear", identities=1, samples=40)
    folder, *_ = measured(random, Steps())
    assert files(folder) == ALWAYS | pictures("random-0000") - {"pictures/random-0000/photo.png"}


def test_pictures_are_the_frontal_renders_before_and_after_the_last_request(measured, bench):
    folder, _, trial, _ = measured(GROUPS, Steps())
    place = trial.evidence.rows("forget")[-1]
    own = folder / "pictures/celebahq-0003"
    frontal = {"before": trial.scene.before.pictures[place][1], "after": trial.stages[-1].renders.pictures[place][1]}
    for name, expected in frontal.items():
        assert torch.equal(images.load(own / f"{name}.png", 16), expected)
    assert not torch.equal(frontal["before"], frontal["after"])


def test_the_record_is_read_back_as_it_was_and_skips_the_trial(measured, tmp_path, bench):
    folder, _, trial, spec = measured(GROUPS, Steps())
    record = folders.read(folder)
    assert record.spec == spec and record.key == spec.key and record.is_measured
    assert record.outcome.scores == tuple(score_all(trial.evidence))
    store = Store(tmp_path)
    assert store.measured(store.path(spec)) == record
    assert store.measured(store.path(dataclasses.replace(spec, seed=9))) is None


def test_the_instrument_is_what_the_testbed_says_of_itself(measured, bench):
    folder, *_ = measured(SMOKE, Steps())
    instrument = folders.read(folder).instrument
    assert [judge.name for judge in instrument.judges] == ["plain", "weighted"]
    assert instrument.judges[0].different_people == bench.judges.different_people["plain"]
    assert instrument.caption == bench.testbed.caption and instrument.real == "closed form"
    assert instrument.weights_version is None and "constant" in instrument.conventions


def test_costs_are_summed_over_requests(measured):
    """Two requests of three steps; the same twelve numbers move in both."""
    folder, _, trial, _ = measured(GROUPS, Steps())
    cost = folders.read(folder).cost
    answers = [stage.unlearned for stage in trial.stages]
    assert cost.steps == 6 and cost.trainable == 12
    assert cost.seconds_unlearn == pytest.approx(sum(answer.seconds for answer in answers), abs=1e-3)  # 3 decimals
    assert cost.seconds_evaluate == pytest.approx(sum(stage.seconds for stage in trial.stages), abs=1e-3)
    assert cost.seconds_total >= cost.seconds_unlearn + cost.seconds_evaluate - 2e-3
    peaks = [answer.memory.bytes for answer in answers]
    assert cost.peak_memory_bytes == (None if None in peaks else max(peaks)) and cost.memory == answers[0].memory.note


def test_progress_names_the_request(measured):
    folder, *_ = measured(GROUPS, Steps(2))
    assert rows(folder / "progress.csv") == [
        {"request": request, "step": step, "loss": loss, "people": "2.0"}
        for request in "12"
        for step, loss in (("1", "1.0"), ("2", "0.5"))
    ]


def test_a_method_without_progress_leaves_a_header(measured):
    folder, *_ = measured(SMOKE, Steps(0))
    assert (folder / "progress.csv").read_text().split() == ["request,step"]
    assert folders.read(folder).cost.steps == 0


def test_latents_are_those_of_everybody_in_the_order_of_the_evidence(measured):
    folder, _, trial, _ = measured(GROUPS, Steps())
    with np.load(folder / "latents.npz") as found:
        assert found["latents"].shape == (11, 4, 12)  # four forgotten with a probe each, one named, two unseen
        assert found["neighbours"].shape == (4, 8, 4, 12)
        assert list(found["identity"]) == [subject.identity for subject in trial.cast.subjects]
        assert list(found["role"][:2]) == ["forget", "probe"] and list(found["role"][-3:]) == ["named", *["retain"] * 2]
        assert list(found["request"]) == [1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0]
        assert list(found["photo"][:4]) == [0, 1, 0, 1]
        assert np.array_equal(found["latents"], trial.cast.latents.numpy())


def test_evidence_on_disk_gives_the_recorded_scores(measured):
    folder, *_ = measured(GROUPS, Steps())
    assert tuple(score_all(load_evidence(folder / "evidence.npz"))) == folders.read(folder).outcome.scores


def test_further_metrics_are_scored_beside_those_that_ship(measured):
    def compute(evidence):
        return [
            Score(metric="mine", judge=None, identity=evidence.group, role="samples", after_request=1, value=7.0, n=1)
        ]

    mine = TrialMetric(name="mine", title="", latex="", direction="none", unit="", summary="", compute=compute)
    folder, *_ = measured(SMOKE, Steps(), metrics=[mine])
    scores = folders.read(folder).outcome.scores
    assert {score.metric for score in scores} <= {*TRIAL_METRICS, "mine"} and scores[-1].value == 7.0


def test_a_kept_generator_is_loaded_into_a_copy_of_the_original(measured, bench):
    folder, warning, trial, _ = measured(SMOKE, Steps(), keep_generator=True)
    assert warning is None and files(folder / "generator") == {"delta.safetensors"}
    loaded = Steps().load(LinearTestbed().players().generator, folder / "generator")
    assert torch.equal(loaded.backbone.coarse.bias, trial.stages[-1].unlearned.generator.backbone.coarse.bias)
    assert not torch.equal(loaded.backbone.coarse.bias, bench.players.generator.backbone.coarse.bias)


def test_a_save_that_raises_keeps_the_trial_and_gives_a_warning(measured, says):
    folder, warning, *_ = measured(SMOKE, CannotSave(), keep_generator=True)
    assert "save()" in warning and "ValueError: no idea how" in warning
    assert folders.read(folder).is_measured and not (folder / "generator").exists()
    assert (folder / "no-generator.txt").read_text() == f"{warning}\n"
    assert not is_incomplete(folders.read(folder), folder, None, keep_generator=True)
    (folder / "no-generator.txt").unlink()
    assert is_incomplete(folders.read(folder), folder, None, keep_generator=True)


def test_a_failure_leaves_its_reason_and_progress_and_every_attempt_is_kept(bench, tmp_path):
    store, spec = Store(tmp_path), case_of(bench, SMOKE, Steps()).spec
    progress = [{"step": 1, "loss": 0.5}, {"step": 2, "other": 1.0}]
    first = recording.write_failure(store, bench, spec, "out of luck", progress)
    second = recording.write_failure(store, bench, spec, "again", [])
    assert first == tmp_path / "failures/smoke/steps" / folders.folder_name(spec) / "1" and second.name == "2"
    assert files(first) == {"record.json", "progress.csv"}
    assert rows(first / "progress.csv") == [
        {"step": "1", "loss": "0.5", "other": ""},
        {"step": "2", "loss": "", "other": "1.0"},
    ]
    record = folders.read(second)
    assert record.spec == spec and record.outcome.reason == "again" and record.cost is None
    assert [attempt.reason for attempt in record.outcome.attempts] == ["out of luck"]
    assert store.measured(store.path(spec)) is None


def test_a_trial_that_is_measured_in_the_end_tells_of_the_attempts_before(measured, bench, tmp_path):
    recording.write_failure(Store(tmp_path), bench, case_of(bench, SMOKE, Steps()).spec, "out of luck", [])
    folder, *_ = measured(SMOKE, Steps())
    assert [attempt.reason for attempt in folders.read(folder).outcome.attempts] == ["out of luck"]
    (stored,), corrupt = folders.scan(tmp_path)
    assert stored.path == folder and not corrupt
