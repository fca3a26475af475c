"""Curves over the steps of unlearning: they end at the trial's scores, and change nothing of the trial."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

import guidebench
from guidebench.engine.forgetting import METRICS, NO_STEPS, NOT_IN_PLACE
from guidebench.engine.snapshots import Kept
from guidebench.errors import BadInput
from guidebench.noise import Noise
from guidebench.store import folders
from guidebench.store.curve_files import load_curve
from guidebench.testbeds.linear import LinearGenerator
from guidebench.unlearner import Unlearner

BIAS = "backbone.coarse.bias"


@dataclasses.dataclass(frozen=True)
class Drifts(Unlearner):
    """Moves a bias a little in each of nine steps."""

    name = "drifts"
    broken_at: int = 0  # the step after which the weights are not finite, for a moment

    def unlearn(self, generator, request, context):
        bias = generator.get_parameter(BIAS)
        for step in range(1, 10):
            with torch.no_grad():
                bias.add_(0.1 * torch.rand_like(bias))
                whole = bias.clone()
                if step == self.broken_at:
                    bias.fill_(float("nan"))
            context.progress(step, loss=1 / step)
            with torch.no_grad():
                bias.copy_(whole)
        return generator


@dataclasses.dataclass(frozen=True)
class Silent(Unlearner):
    name = "silent"

    def unlearn(self, generator, request, context):
        return generator


class Brighter(LinearGenerator):
    """The original with a little more light, which is not a matter of its weights."""

    def decode(self, features, ws, cameras=None, *, noise: Noise):
        return super().decode(features, ws, cameras, noise=noise) + 0.01


@dataclasses.dataclass(frozen=True)
class Wraps(Unlearner):
    name = "wraps"

    def unlearn(self, generator, request, context):
        found = Brighter()
        found.load_state_dict(generator.state_dict())
        context.progress(9, loss=1.0)
        return found.eval()


@pytest.fixture
def run(tmp_path):
    """`guidebench.run` of methods on one person of linear; returns the result and the records by method."""

    def run(*methods, protocol="celebahq-multi", out="out", **options):
        sizes = {"identities": 1, "seeds": [0], "samples": 60, "salt": 1, "floors": "none", "workers": 0}
        result = guidebench.run(protocol, list(methods), "linear", out=tmp_path / out, **{**sizes, **options})
        stored, _ = folders.scan(tmp_path / out)
        return result, {item.record.spec.method.name: item for item in stored}

    return run


def test_a_curve_ends_at_the_scores_of_a_trial_that_is_as_it_is_without(run):
    _, plain = run(Drifts(), out="plain")
    _, found = run(Drifts(), every=3)
    without, item = plain["drifts"].record, found["drifts"]
    assert item.record.key == without.key and item.record.outcome.scores == without.outcome.scores
    curve = load_curve(item.path)
    assert (curve.every, curve.samples, curve.reason) == (3, 60, None) and curve.seconds > 0
    assert [point.step for point in curve.points] == [3, 6, 9]
    scores = [score for score in item.record.outcome.scores if score.metric in METRICS]
    assert list(curve.points[-1].scores) == scores and {score.metric for score in scores} == set(METRICS)
    damage = [next(score.value for score in point.scores if score.metric == "fid_pre") for point in curve.points]
    assert 0 < damage[0] < damage[1] < damage[2]
    assert load_curve(plain["drifts"].path) is None
    assert list((item.path.parent).iterdir()) == [item.path], "snapshots are removed"


def test_methods_whose_training_cannot_be_seen_say_why(run):
    result, found = run(Silent(), Wraps(), every=3)
    assert result.measured == 2
    assert {name: load_curve(item.path).reason for name, item in found.items()} == {
        "silent": NO_STEPS,
        "wraps": NOT_IN_PLACE,
    }


def test_a_snapshot_that_cannot_be_judged_is_a_point_without_scores(run):
    _, found = run(Drifts(broken_at=6), every=3)
    third, sixth, last = load_curve(found["drifts"].path).points
    assert third.scores and last.scores and not third.reason
    assert sixth.scores == () and "not finite" in sixth.reason


def test_a_trial_whose_curve_cannot_be_judged_is_recorded_and_says_why(run, monkeypatch):
    def unreadable(kept, step):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Kept, "weights", unreadable)
    result, found = run(Drifts(), every=3)
    assert result.measured == 1 and found["drifts"].record.outcome.scores
    curve = load_curve(found["drifts"].path)
    assert curve.points == () and "Input/output error" in curve.reason and "\n" not in curve.reason


def test_what_is_recorded_without_its_curve_or_generator_is_measured_again_and_loses_nothing(run):
    methods = (Drifts(), Silent())
    assert run(*methods, attacks=["strip"])[0].measured == 2
    result, found = run(*methods, every=3)
    assert (result.measured, result.skipped) == (1, 1)  # a method without steps has no curve to lack
    assert [one.attack.label for one in found["drifts"].record.attacks] == ["strip"]
    assert run(*methods, every=3)[0].measured == run(*methods)[0].measured == 0
    result, found = run(Drifts(), keep_generators=True)
    assert result.measured == 1 and load_curve(found["drifts"].path).every == 3
    result, found = run(Drifts(), every=4)
    assert result.measured == 1 and [point.step for point in load_curve(found["drifts"].path).points] == [4, 8, 9]
    assert (found["drifts"].path / "generator").is_dir()
    assert run(Drifts(), keep_generators=True)[0].measured == 0


def test_a_changed_curve_makes_its_record_unreadable(run):
    _, found = run(Drifts(), every=3)
    path = found["drifts"].path / "curve.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"every": 4}))
    with pytest.raises(ValueError, match=r"curve\.json is not the one that the trial wrote"):
        folders.read(path.parent)


@pytest.mark.parametrize(
    ("protocol", "options", "parts"),
    [
        ("celebahq-multi", {"every": 0}, ["every = 0", "1 or more"]),
        ("celebahq-multi", {"every": 2.5}, ["every = 2.5", "integer"]),
        ("celebahq-multi", {"every": 2, "one_by_one": True}, ["every = 2", "one-by-one"]),
        ("celebahq-sequential", {"every": 2, "identities": 5}, ["every = 2", "celebahq-sequential", "5"]),
    ],
)
def test_what_has_no_curve_is_refused_before_anything_runs(run, tmp_path, protocol, options, parts):
    method = "mean-latent" if protocol == "celebahq-sequential" else Silent()
    with pytest.raises(BadInput) as caught:
        run(method, protocol=protocol, **options)
    assert [part for part in parts if part not in str(caught.value)] == [] and not (tmp_path / "out").exists()
