"""What a run has to do: which trials, in which order, under which keys; and what is refused before anything starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from guidebench import chosen, digest
from guidebench import protocol as protocols
from guidebench.engine.bench import Bench
from guidebench.engine.plan import FLOOR_TRIALS, cases, describe, is_incomplete, trials_of
from guidebench.errors import BadInput
from guidebench.protocol import Protocol
from guidebench.store.curve_files import Curve, save_curve
from guidebench.testbeds.linear import LinearTestbed
from guidebench.unlearner import ABSENT, Unlearner

SMOKE = protocols.load("smoke").resolve("linear", identities=3, seeds=(0, 5))
RANDOM = protocols.load("random").resolve("linear", identities=2)


@dataclass(frozen=True)
class Reads(Unlearner):
    """Depends on a file for each person."""

    name = "reads"
    folder: str = ""

    def for_trial(self, identity: str, seed: int) -> Reads:
        return dataclasses.replace(self, folder=f"{self.folder}/{identity}-{seed}")

    def inputs(self) -> Mapping[str, str]:
        path = Path(self.folder)
        return {"weights": digest.of_file(path) if path.is_file() else ABSENT}

    def unlearn(self, generator, request, context):
        return generator


@pytest.fixture(scope="module")
def bench():
    return Bench(LinearTestbed())


def planned(bench, wanted, *entrants):
    wanted = [wanted] if isinstance(wanted, Protocol) else wanted
    return cases(wanted, entrants, describe(bench, wanted))


def entrant(spec, **options):
    return chosen.choose(spec, "linear", **options)


def test_methods_go_by_seed_and_group_side_by_side_and_floors_come_last(bench):
    found = planned(bench, SMOKE, entrant("nothing", few=True), entrant("guide"), entrant("redirect"))
    order = [(case.spec.method.name, case.spec.seed, case.index) for case in found]
    assert order[:-4] == [
        (name, seed, index) for seed in (0, 5) for index in range(3) for name in ("guide", "redirect")
    ]
    assert order[-4:] == [("nothing", seed, index) for index in range(2) for seed in (0, 5)]


def test_floors_that_nobody_asked_for_run_on_few_groups_and_others_on_all():
    few, all_ = entrant("nothing", few=True), entrant("nothing")
    assert trials_of(few, SMOKE) == FLOOR_TRIALS == 2 and trials_of(all_, SMOKE) == 3
    assert trials_of(few, dataclasses.replace(SMOKE, identities=1)) == 1


def test_protocols_come_one_after_another(bench):
    found = planned(bench, [SMOKE, RANDOM], entrant("redirect"), entrant("scramble"))
    assert [case.spec.protocol.name for case in found] == ["smoke"] * 12 + ["random"] * 4


def test_a_case_says_who_is_forgotten_by_which_request(bench):
    groups = dataclasses.replace(SMOKE, identities=8, forget=2, requests=2, seeds=(0,))
    first, second = planned(bench, groups, entrant("nothing"))
    assert first.spec.requests == (("celebahq-0000", "celebahq-0001"), ("celebahq-0002", "celebahq-0003"))
    assert (second.index, second.spec.group) == (1, "celebahq-0004+3")
    assert planned(bench, RANDOM, entrant("nothing"))[1].spec.requests == (("random-0001",),)


def test_keys_differ_from_trial_to_trial_and_are_equal_when_planned_again(bench):
    entrants = [entrant("guide"), entrant("redirect"), entrant("nothing")]
    keys = [case.key for case in planned(bench, [SMOKE, RANDOM], *entrants)]
    assert len(set(keys)) == len(keys) == 3 * (6 + 2)
    assert [case.key for case in planned(Bench(LinearTestbed()), [SMOKE, RANDOM], *entrants)] == keys


def test_a_trials_key_does_not_depend_on_company_or_on_how_many_trials_there_are(bench):
    alone = {
        case.key for case in planned(bench, dataclasses.replace(SMOKE, identities=1, seeds=(5,)), entrant("guide"))
    }
    assert len(alone) == 1
    assert alone < {case.key for case in planned(bench, SMOKE, entrant("redirect"), entrant("guide"))}


def test_a_setting_and_other_samples_change_every_key_and_a_label_changes_none(bench):
    def keys(protocol, **options):
        return {case.key for case in planned(bench, protocol, entrant("guide", **options))}

    usual = keys(SMOKE)
    assert not usual & keys(SMOKE, settings={"steps": "3"})
    assert not usual & keys(dataclasses.replace(SMOKE, samples=50))
    assert usual == keys(SMOKE, name="another-label")


def test_the_files_that_a_method_reads_are_part_of_the_key_person_by_person(bench, tmp_path):
    entrant = chosen.choose_object(Reads(str(tmp_path)), "linear")
    (tmp_path / "celebahq-0001-5").write_text("weights")
    before = {(case.index, case.spec.seed): case for case in planned(bench, SMOKE, entrant)}
    absent, there = before[0, 0].spec.inputs, before[1, 5].spec.inputs
    assert absent == {"weights": ABSENT} and there == {"weights": digest.of_bytes(b"weights")}
    (tmp_path / "celebahq-0001-5").write_text("others")
    after = {(case.index, case.spec.seed): case for case in planned(bench, SMOKE, entrant)}
    assert [place for place in before if before[place].key != after[place].key] == [(1, 5)]


def test_two_methods_with_one_label_are_refused(bench, says):
    with pytest.raises(BadInput, match=says("'guide'")):
        planned(bench, SMOKE, entrant("guide"), entrant("redirect", name="guide"))
    planned(bench, SMOKE, entrant("guide"), entrant("guide", settings={"steps": "3"}))


def test_a_method_that_does_not_fit_one_of_the_protocols_is_refused(bench, says):
    pairs = dataclasses.replace(SMOKE, name="pairs", identities=4, forget=2)
    with pytest.raises(BadInput, match=says("redirect", "pairs", "simultaneous")):
        planned(bench, [SMOKE, pairs], entrant("redirect"))
    assert len(planned(bench, [SMOKE, pairs], entrant("nothing"))) == 6 + 4


@pytest.mark.parametrize(("people", "fitting"), [((1, 1), 40), ((3, 1), 39), ((3, 4), 36)])
def test_too_few_people_names_the_largest_multiple_that_fits(bench, people, fitting, says):
    """celebahq of linear holds 40 people."""
    forget, requests = people
    many = dataclasses.replace(SMOKE, forget=forget, requests=requests, identities=60)
    with pytest.raises(BadInput, match=says("smoke", "60", "'celebahq'", "40", f"ask for {fitting} or fewer")):
        describe(bench, [many])
    describe(bench, [dataclasses.replace(many, identities=fitting)])


def test_groups_larger_than_the_source_are_not_answered_with_zero_identities(bench, says):
    with pytest.raises(BadInput, match=says("smoke", "41 people", "'celebahq'", "40")) as refused:
        describe(bench, [dataclasses.replace(SMOKE, forget=41, identities=41)])
    assert "--identities" not in str(refused.value)


def test_a_source_that_the_testbed_has_not_names_those_it_has(bench, says):
    with pytest.raises(BadInput, match=says("linear", "'elsewhere'", "smoke", "celebahq, dev, ffhq, random")):
        describe(bench, [dataclasses.replace(SMOKE, source="elsewhere")])


def test_other_conventions_than_the_testbeds_are_refused(bench, says):
    with pytest.raises(BadInput, match=says("smoke", "published", "corrected")):
        describe(bench, [dataclasses.replace(SMOKE, conventions="published")])


def test_a_description_holds_the_weights_of_players_and_judges(bench):
    found = describe(bench, [SMOKE])
    assert set(found.weights) == {
        *("generator", "inverter", "recognizer", "perceptual"),
        *("plain", "weighted", "features"),
    }
    assert found.manifests == {SMOKE.digest(): bench.faces.manifest("celebahq")}


def test_a_curve_that_cannot_be_read_is_lacking(tmp_path):
    record = SimpleNamespace(cost=SimpleNamespace(steps=9))
    save_curve(Curve(every=3, seconds=0.0, samples=2), tmp_path)
    assert not is_incomplete(record, tmp_path, 3, keep_generator=False)
    (tmp_path / "curve.json").write_text("[" * 100_000)
    assert is_incomplete(record, tmp_path, 3, keep_generator=False)
