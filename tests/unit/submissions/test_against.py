"""An attack that lowers somebody's result: made on what the submission holds, and compared with it."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
from page_records import ATTACK as ATTACK_OF_RECORDS
from tampering import METHOD, forge, lines, trial, with_value

from guidebench.engine.attack_records import attack_records
from guidebench.engine.watching import Watcher
from guidebench.errors import BadInput
from guidebench.metric import Score
from guidebench.page.leaderboard import gathered
from guidebench.store import folders
from guidebench.store.record import AttackRun
from guidebench.submissions.against import lowered
from guidebench.submissions.manifest import Submission
from guidebench.submissions.opening import opened
from guidebench.submissions.pack import pack
from guidebench.submissions.verify import verify

ATTACK = Submission(form="attack", name="Strip", link=METHOD.link, attacks=("strip", "interpolate"))


class Nobody(Watcher):
    def begin(self, todo, workers):
        """Not shown."""

    def hear(self, event):
        """Not shown."""

    def close(self):
        """Not shown."""


@pytest.fixture(scope="module")
def attacked(packed, tmp_path_factory):
    """What `packed` holds, with two attacks on one person of `redirect`."""
    out = tmp_path_factory.mktemp("attacked") / "runs"
    with opened(packed) as victim:
        shutil.copytree(victim.folder, out, copy_function=shutil.copyfile)
    for path in (out, *out.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    shutil.rmtree(next(out.glob("records/*/mean-latent")))
    for person in ("celebahq-0001", "celebahq-0002"):
        shutil.rmtree(trial(out, "redirect", person))
    attack_records(out, list(ATTACK.attacks), workers=0, watch=Nobody())
    return out


@pytest.fixture(scope="module")
def file(attacked, packed, tmp_path_factory):
    file = tmp_path_factory.mktemp("file") / "attack.zip"
    pack([attacked], file, ATTACK, against=packed)
    return file


def test_what_it_does_to_each_method_is_said(file, packed):
    found = verify(file, sample=0, against=packed)
    assert found.differing == 0 and found.submission.against.keys()
    said = [says for about, says in lines(found, "ok") if about == "against"]
    assert len(said) == 2 and all("redirect under celebahq-multi, 1 of 3 trials" in says for says in said)
    assert any("worst ID rises" in says and "a.zip" in says and "1.000 with strip" in says for says in said)
    assert any("can show anybody" in says and "interpolate" in says for says in said)
    assert any(about == "people" for about, _ in lines(found, "not checked"))  # not on everybody, which is no lie
    assert any(about == "code" and "redirect, strip, interpolate" in says for about, says in lines(found, "ok"))


def test_the_worst_case_is_of_the_trials_that_were_attacked(attacked, runs):
    theirs, ours = (folders.scan(directory)[0] for directory in (runs, attacked))
    worst, anybody = sorted(lowered(theirs, ours, ATTACK.attacks), key=lambda one: one.shows_anybody)
    (mine,) = [item.record for item in theirs if item.record.key == ours[0].record.key]
    judge = mine.instrument.judges[0].name
    (claim,) = [one.value for one in mine.outcome.scores if (one.metric, one.judge) == ("id", judge)]
    assert (worst.claimed, worst.trials, worst.total) == (claim, 1, 3) and worst.found > 0.99 > claim
    assert anybody.original is None and lowered(theirs, ours, ()) == []


def test_both_means_are_over_the_trials_that_have_both_values(runs):
    """Of three attacked trials the attack has no value of one, and one has no claim."""
    theirs = [item for item in folders.scan(runs)[0] if item.record.spec.method.label == "redirect"]
    judge, last = theirs[0].record.instrument.judges[0].name, len(theirs[0].record.spec.requests)
    run = AttackRun(attack=dataclasses.replace(ATTACK_OF_RECORDS, label="strip"), seconds=1.0, file="strip.npz")

    def with_scores(item, **values):
        record = item.record
        scores = [score for score in record.outcome.scores if score.metric not in ("id", "id_worst")]
        scores += [
            Score(metric=metric, judge=judge, identity="x", role="forget", after_request=last, value=value)
            for metric, value in values.items()
        ]
        outcome = dataclasses.replace(record.outcome, scores=tuple(scores))
        return dataclasses.replace(item, record=dataclasses.replace(record, outcome=outcome, attacks=(run,)))

    claims = [with_scores(item, **({"id": 0.1 * place} if place else {})) for place, item in enumerate(theirs)]
    finds = ({"id_after_strip": 0.9}, {"id_after_strip": 0.5}, {})
    (one,) = lowered(
        claims, [with_scores(item, **values) for item, values in zip(theirs, finds, strict=True)], ["strip"]
    )
    assert (one.claimed, one.found, one.trials, one.total) == (pytest.approx(0.1), 0.5, 1, 3)
    assert one.attacked == ((theirs[1].record.key, "redirect"),)
    moved = dataclasses.replace(theirs[1].record.spec, testbed="other")
    other = dataclasses.replace(claims[1], record=dataclasses.replace(claims[1].record, spec=moved))
    assert other.record.key != theirs[1].record.key
    (again,) = lowered([*claims, other], [with_scores(theirs[1], **finds[1])], ["strip"])
    assert again.total == 3 and again.attacked == one.attacked


def test_a_leaderboard_says_what_an_attack_finds(file, packed):
    with gathered([packed, file]) as given:
        assert len(given.sources) == 1 and METHOD.name in given.sources[0].by
        (of_redirect,) = given.found.values()
    assert {label for _, label in given.found} == {"redirect"} and all("Strip" in line for line in of_redirect)
    assert any("the worst ID rises from" in line and "to 1.00" in line for line in of_redirect)
    assert any("can show anybody" in line for line in of_redirect)


def test_without_the_other_submission_nothing_is_compared(file):
    (says,) = [says for about, says in lines(verify(file, sample=0), "not checked") if about == "against"]
    assert "--against" in says


def test_evidence_of_an_attack_that_was_changed_is_named(attacked, packed, tmp_path):
    copy = shutil.copytree(attacked, tmp_path / "copy")
    forge(trial(copy, "redirect", "celebahq-0000"), lambda record: with_value(record, "id_after_strip", 0.5))
    pack([copy], tmp_path / "a.zip", ATTACK)
    ((about, says),) = lines(verify(tmp_path / "a.zip", sample=0, against=packed), "differs")
    assert about == "scores" and "id_after_strip" in says


def test_another_submission_than_was_attacked_is_named(file, runs, copy, tmp_path):
    mine = trial(copy, "redirect", "celebahq-0000")
    forge(
        mine,
        lambda record: dataclasses.replace(record, environment=dataclasses.replace(record.environment, device="x")),
    )
    pack([copy], tmp_path / "changed.zip", METHOD)
    assert any(
        "1 record of changed.zip" in says
        for _, says in lines(verify(file, sample=0, against=tmp_path / "changed.zip"), "differs")
    )
    shutil.rmtree(mine)
    pack([copy], tmp_path / "other.zip", METHOD)
    assert any(
        "none of the trials" in says
        for _, says in lines(verify(file, sample=0, against=tmp_path / "other.zip"), "differs")
    )
    with pytest.raises(BadInput, match="none of the attacked trials"):
        pack([mine.parents[3]], tmp_path / "a.zip", METHOD, against=file)
