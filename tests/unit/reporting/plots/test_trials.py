"""Which trials a figure shows, and whom first."""

from __future__ import annotations

import pytest

from guidebench.errors import BadInput
from guidebench.reporting.plots import trials


def test_trials_are_those_of_one_protocol(runs, says):
    with pytest.raises(BadInput, match=says("several protocols", "--protocol")):
        trials.load(runs)
    found = trials.load(runs, protocol="ffhq")
    assert [one.label for one in found.variants] == ["nothing", "scramble", "mean-latent", "guide", "mine"]
    assert [one.label for one in found.methods] == ["mean-latent", "guide", "mine"]
    assert len(found.stored) == 12  # a failed one is left out


def test_provenance_is_one_line(runs):
    assert trials.load(runs, protocol="ffhq").provenance == "mini · ffhq · alpha · 3 people, 1 seed"


def test_another_judge_sees_other_scores(runs, says):
    means = [
        trials.load(runs, protocol="ffhq", method=["guide"], judge=judge).scores(row, "id")["value"].mean()
        for judge in ("alpha", "beta")
        for row in trials.load(runs, protocol="ffhq", method=["guide"]).variants
    ]
    assert means[1] - means[0] == pytest.approx(0.01)
    with pytest.raises(BadInput, match=says("'alhpa'", "'alpha'")):
        trials.load(runs, protocol="ffhq", judge="alhpa")


def test_the_worst_people_come_first_and_those_without_a_value_last(runs):
    found = trials.load(runs, protocol="ffhq")
    assert found.worst_first(["a", "z", "b", "c"]) == ["c", "b", "a", "z"]  # a's ID is lowest in `LEVELS`


@pytest.mark.parametrize(
    ("people", "chosen"), [("a", "a"), ("ab", "ab"), ("abc", "abc"), ("abcdefgh", "aebc"), ("abcde", "acbd")]
)
def test_the_worst_and_the_median_are_shown_before_all_others(people, chosen):
    assert "".join(trials.chosen_people(people, 4)) == chosen


def test_floors_alone_are_refused(runs, says):
    found = trials.load(runs, protocol="ffhq", method=["nothing"])
    with pytest.raises(BadInput, match=says("floors only")):
        _ = found.methods


def test_evidence_that_is_gone_is_named(measured, says):
    found = trials.load(measured)
    (found.stored[0].path / "evidence.npz").unlink()
    with pytest.raises(BadInput, match=says(str(found.stored[0].path), "evidence.npz", "--fresh")):
        trials.evidence_of(found.stored[0])
