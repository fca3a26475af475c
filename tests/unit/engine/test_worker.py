"""What a worker does with attacks: beside a trial, or on what a recorded one kept; what is recorded stays."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from pathlib import Path

import pytest

import guidebench
from guidebench import chosen
from guidebench.commands.rescore import rescore_all
from guidebench.engine import nursery
from guidebench.engine.bench import Bench
from guidebench.errors import BadInput
from guidebench.metrics import METRICS
from guidebench.metrics.attacks import of_attack
from guidebench.metrics.identity import Similarity
from guidebench.reporting.report import report
from guidebench.store import folders
from guidebench.store.evidence_files import load_evidence

BAD = Path(__file__).parents[2] / "contract" / "bad_attacks.py"
OVER_ATTACKS = {"id_worst", "recognised_worst"}


@pytest.fixture
def run(tmp_path):
    """`guidebench.run` of one quick method on one person of linear, in this process."""

    def run(*attacks, method="nothing", **options):
        options = {"floors": "none", "samples": 20, "identities": 1, "out": tmp_path / "out", "workers": 0, **options}
        return guidebench.run("smoke", method, "linear", attacks=attacks, **options)

    return run


@pytest.fixture(scope="module")
def kept_once(tmp_path_factory):
    out = tmp_path_factory.mktemp("kept")
    options = {"floors": "none", "samples": 20, "identities": 2, "keep_generators": True, "workers": 0}
    guidebench.run("smoke", "guide", "linear", settings={"steps": 2}, out=out, **options)
    return out


@pytest.fixture
def kept_two(tmp_path, kept_once):
    """Copies of two records with their generators; attacks them."""
    out = shutil.copytree(kept_once, tmp_path / "out")

    def attack(*attacks, **options):
        options = {"floors": "none", "samples": 20, "identities": 2, "workers": 0, **options}
        return guidebench.run("smoke", "guide", "linear", settings={"steps": 2}, out=out, attacks=attacks, **options)

    return out, attack


@pytest.fixture
def kept(kept_two):
    """The same of one of them."""
    out, attack = kept_two
    shutil.rmtree(folders.scan(out)[0][1].path)
    return out, lambda *attacks, **options: attack(*attacks, **{"identities": 1, **options})


def recorded(out):
    return folders.scan(out)[0]


def others(record):
    """The scores that no attack has a part in, as they are written."""
    return [score for score in record.outcome.scores if score.metric in METRICS and score.metric not in OVER_ATTACKS]


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "record.json" and path.parent.name != "attacks"
    }


def test_attacks_on_a_trial_are_recorded_with_it(run, tmp_path):
    done = run("wide-views", f"{BAD}:Plain")
    assert (done.measured, done.failed) == (1, ())
    for item in recorded(done.out):
        assert [made.attack.label for made in item.record.attacks] == ["wide-views", "plain"]
        assert all(made.seconds > 0 and made.reason is None for made in item.record.attacks)
        assert all((item.path / name).is_file() and name in item.record.files for name in item.record.attack_files)
        found = load_evidence(item.path / "evidence.npz", item.record).attacks
        assert list(found) == ["wide-views", "plain"] and found["plain"].people == item.record.spec.people
        metrics = {score.metric for score in item.record.outcome.scores}
        assert metrics >= {"id_after_plain", "id_after_wide-views", "id_other_plain", *OVER_ATTACKS}


def test_the_scores_of_a_trial_are_those_that_it_has_without_attacks(run, tmp_path):
    run("perturb", out=tmp_path / "with")
    run(out=tmp_path / "without")
    for one, other in zip(recorded(tmp_path / "with"), recorded(tmp_path / "without"), strict=True):
        assert others(one.record) == others(other.record)
        assert one.record.key == other.record.key and other.record.attacks == ()


def test_an_attack_that_fails_costs_itself_alone(run, caplog):
    with caplog.at_level(logging.WARNING, logger="guidebench"):
        done = run(f"{BAD}:Raises", f"{BAD}:Plain", f"{BAD}:GivesNothing", f"{BAD}:BlackImages")
    assert (done.measured, done.failed) == (1, ())
    said = [message for message in caplog.messages if "attack raises failed: the attack raised: Runtime" in message]
    assert len(said) == 1 and "\n" not in said[0] and "attack gives-nothing failed" in said[0]
    for item in recorded(done.out):
        made = {made.attack.label: made for made in item.record.attacks}
        assert list(made) == ["raises", "plain", "gives-nothing", "black-images"]
        assert [label for label, one in made.items() if one.reason is None] == ["plain"]
        assert all(bool(one.file) == (one.reason is None) for one in made.values())
        assert item.record.attack_files == (made["plain"].file,)
        assert item.record.is_measured and others(item.record)


def test_the_same_command_again_makes_what_failed_and_what_is_new(kept):
    out, attack = kept
    attack(f"{BAD}:Raises", f"{BAD}:Wordy")
    assert attack(f"{BAD}:Wordy").skipped == 1, "also with settings that JSON gives back as something else"
    assert attack(f"{BAD}:Wordy", f"{BAD}:Raises", "wide-views").skipped == 0
    ((item,), labels) = recorded(out), ("wordy", "raises", "wide-views")
    assert tuple(made.attack.label for made in item.record.attacks) == labels, "what is kept, then what is new"


def test_on_a_kept_generator_nothing_but_attacks_is_done(kept, monkeypatch):
    """No sample is drawn, nobody is forgotten again, and what is recorded stays as it is, bit by bit."""
    out, attack = kept
    before = {item.path: (item.record, contents(item.path)) for item in recorded(out)}
    monkeypatch.setattr(Bench, "source_features", lambda *asked: 1 / 0)
    monkeypatch.setattr("guidebench.engine.trial.measure", lambda *asked: 1 / 0)
    monkeypatch.setattr("guidebench.metrics.identity.similarity", _shifted)
    done = attack("perturb", f"{BAD}:Raises")
    assert (done.measured, done.skipped, done.failed) == (1, 0, ())
    for item in recorded(out):
        record, files = before[item.path]
        assert contents(item.path) == files and others(item.record) == others(record)
        assert item.record.digest != record.digest and item.record.key == record.key
        assert dataclasses.replace(item.record, attacks=(), files={}, outcome=record.outcome) == dataclasses.replace(
            record, files={}
        )
        assert set(item.record.files) - set(record.files) == set(item.record.attack_files)


def _shifted(*pairs):
    """As if another version scored otherwise."""
    return Similarity(0.123, None, 1, 0, 0)


def test_attacks_at_once_and_later_find_the_same(kept, run, tmp_path):
    out, attack = kept
    attack("perturb", "reinvert-z")
    options = {"method": "guide", "settings": {"steps": 2}, "out": tmp_path / "at once"}
    run("perturb", "reinvert-z", **options)
    for later, at_once in zip(recorded(out), recorded(tmp_path / "at once"), strict=True):
        scores = [
            {(score.metric, score.judge): score.value for score in one.record.outcome.scores}
            for one in (later, at_once)
        ]
        assert scores[0].keys() == scores[1].keys()
        assert all(scores[0][key] == pytest.approx(value, abs=1e-6) for key, value in scores[1].items())


def test_without_a_kept_generator_the_trial_is_measured_again_with_equal_numbers(run, tmp_path):
    run(method="guide", settings={"steps": 2})
    before = {item.record.key: others(item.record) for item in recorded(tmp_path / "out")}
    done = run("wide-views", method="guide", settings={"steps": 2})
    assert (done.measured, done.skipped) == (1, 0)
    after = {item.record.key: others(item.record) for item in recorded(done.out)}
    assert after == before and all(item.record.attacks for item in recorded(done.out))
    assert run("wide-views", method="guide", settings={"steps": 2}).skipped == 1


def test_a_kept_generator_that_was_changed_fails_its_own_attack_and_keeps_its_record(kept_two):
    out, attack = kept_two
    first, second = recorded(out)
    for file in (first.path / "generator").iterdir():
        file.write_bytes(b"another one")
    done = attack("wide-views")
    (failed,) = done.failed
    assert "generator/" in failed.reason and "--keep-generators --fresh" in failed.reason and "\n" not in failed.reason
    by_path = {item.path: item.record for item in recorded(out)}
    assert by_path[first.path] == first.record and by_path[second.path].attacks


def test_a_file_of_an_attack_that_the_record_does_not_list_is_nobodys(kept):
    """What a process leaves that is killed between the two writes; made again, the attack has the same file."""
    out, attack = kept
    before = [item.record for item in recorded(out)]
    attack(f"{BAD}:Plain")
    with_attack = recorded(out)
    for item, record in zip(with_attack, before, strict=True):
        folders.rewrite_record(record, item.path)
        (item.path / "attacks" / ".half").write_bytes(b"half")
    again = recorded(out)
    assert [item.record for item in again] == before
    assert attack(f"{BAD}:Plain").measured == 1
    assert [item.record.attack_files for item in recorded(out)] == [item.record.attack_files for item in with_attack]


def test_a_changed_file_of_an_attack_is_named_and_its_record_left_out(kept_two):
    out, attack = kept_two
    attack(f"{BAD}:Plain")
    first, second = recorded(out)
    shutil.copy(second.path / second.record.attack_files[0], first.path / first.record.attack_files[0])
    stored, (corrupt,) = folders.scan(out)
    assert [item.path for item in stored] == [second.path] and corrupt.path == first.path
    assert corrupt.reason.startswith(f"{first.record.attack_files[0]} is not the one that the trial wrote")
    assert "1 person" in report(out, "terminal", layout="attacks", width=120)


def test_a_later_attack_of_one_label_takes_the_place_of_the_earlier_and_its_file(kept, tmp_path):
    out, attack = kept
    file = tmp_path / "changing.py"
    file.write_text(BAD.read_text())
    attack(f"{file}:Plain", "wide-views")
    old = [item.record.attack_files for item in recorded(out)]
    file.write_text(BAD.read_text().replace("code=target.code)]", "code=-target.code)]", 1))
    attack(f"{file}:Plain", "wide-views")
    for item, files in zip(recorded(out), old, strict=True):
        assert sorted(made.attack.label for made in item.record.attacks) == ["plain", "wide-views"]
        assert len(set(item.record.attack_files) - set(files)) == 1
        assert {f"attacks/{path.name}" for path in (item.path / "attacks").iterdir()} == set(item.record.attack_files)
        assert set(item.record.attack_files) <= set(item.record.files)


def test_rescore_gives_the_same_scores(kept):
    out, attack = kept
    attack("wide-views", "relearn", f"{BAD}:Both", f"{BAD}:Raises")
    before = [item.record for item in recorded(out)]
    assert rescore_all(out) == (0, 1)
    assert [item.record for item in recorded(out)] == before
    for item in recorded(out):
        damaged = dataclasses.replace(item.record.outcome, scores=others(item.record))
        folders.rewrite_record(dataclasses.replace(item.record, outcome=damaged), item.path)
    assert rescore_all(out) == (1, 1)
    after = [{(s.metric, s.judge, s.identity): s.value for s in item.record.outcome.scores} for item in recorded(out)]
    wanted = [{(s.metric, s.judge, s.identity): s.value for s in record.outcome.scores} for record in before]
    assert after == wanted


def test_a_users_metric_sees_what_attacks_found_and_stays_where_it_is_not_asked_for(kept, tmp_path):
    out, attack = kept
    metric = tmp_path / "counting.py"
    metric.write_text(
        "from guidebench.metric import Score, TrialMetric\n"
        "def compute(evidence):\n"
        "    return [Score(metric='counted', judge=None, identity=evidence.group, role='samples', after_request=1,\n"
        "                  value=float(len(evidence.attacks)), n=1)]\n"
        "COUNTED = TrialMetric(name='counted', title='Counted', latex='Counted', direction='none', unit='attacks',\n"
        "                      summary='attacks', compute=compute, judged=False)\n"
    )

    def counted():
        return [s.value for item in recorded(out) for s in item.record.outcome.scores if s.metric == "counted"]

    attack("wide-views", metrics=(f"{metric}:COUNTED",))
    assert counted() == [1.0]
    attack("perturb")
    assert counted() == [1.0]
    attack("perturb", f"{BAD}:Plain", metrics=(f"{metric}:COUNTED",))
    assert counted() == [3.0]


def test_fresh_measures_and_attacks_anew(kept):
    out, attack = kept
    attack("perturb")
    done = attack("wide-views", fresh=True)
    assert done.measured == 1
    assert [made.attack.label for item in recorded(out) for made in item.record.attacks] == ["wide-views"]


def test_two_attacks_of_one_name_or_one_that_needs_photographs_are_refused_before_anything_runs(run, says, tmp_path):
    (tmp_path / "copy.py").write_text(BAD.read_text())
    with pytest.raises(BadInput, match=says("two", "'plain'")):
        run(f"{BAD}:Plain", f"{tmp_path / 'copy.py'}:Plain")
    with pytest.raises(BadInput, match=says("reinvert", "photographs", "protocol random")):
        guidebench.run("random", "nothing", "linear", attacks=["reinvert"], out=tmp_path / "out", workers=0)
    assert not (tmp_path / "out" / "records").exists()


def test_attacks_of_a_protocol_are_made_without_being_asked_for_and_leave_its_digest_alone(tmp_path):
    file = tmp_path / "mine.toml"
    plain = 'source = "dev"\nidentities = 1\nprobe_photos = 1\nretain = 1\nviews = 3\nsamples = 20\n'
    file.write_text(plain)
    from guidebench import protocol

    without = protocol.load(str(file)).resolve("linear").digest()
    file.write_text(plain + 'attacks = ["wide-views", "perturb"]\n')
    assert protocol.load(str(file)).resolve("linear").digest() == without
    done = guidebench.run(str(file), "nothing", "linear", floors="none", out=tmp_path / "out", workers=0)
    (item,) = recorded(done.out)
    assert [made.attack.label for made in item.record.attacks] == ["wide-views", "perturb"]


@pytest.mark.skipif(not nursery.available(), reason="attacks have processes of their own on Linux only")
def test_in_a_worker_process_neither_an_attack_nor_its_generator_meets_a_judge(run, tmp_path, monkeypatch):
    """The worker has loaded judges when the attack runs, and has never imported the attack's file before."""
    (tmp_path / "rendered").mkdir()
    monkeypatch.setenv("GUIDEBENCH_TEST_RENDERED", str(tmp_path / "rendered"))
    done = run(f"{BAD}:LooksAround", f"{BAD}:Wraps", workers=1)
    (item,) = recorded(done.out)
    around, wraps = item.record.attacks
    assert "found [] in" in around.reason and wraps.reason is None
    counts = [file.read_text().split() for file in (tmp_path / "rendered").iterdir()]
    assert counts and {count for own in counts for count in own} == {"0"}, "where it was rendered, there was no bench"


def test_labels_of_metrics_are_those_of_attacks(kept):
    out, attack = kept
    attack("relearn")
    (first,) = recorded(out)
    names = {metric.name for metric in of_attack(chosen.choose_attack("relearn").label)}
    assert {s.metric for s in first.record.outcome.scores if "relearn" in s.metric} == names - {
        "id_original_relearn",
        "id_other_relearn",
        "distance_after_relearn",
    }
