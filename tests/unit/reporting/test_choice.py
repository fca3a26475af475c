"""Layouts by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guidebench.chosen import ChosenAttack
from guidebench.errors import BadInput
from guidebench.metrics import METRICS
from guidebench.metrics.attacks import of_attack
from guidebench.reporting import choice, layout
from guidebench.reporting.report import report
from guidebench.store.folders import StoredRecord
from guidebench.store.record import AttackRun


def test_auto_is_table_2_for_the_multi_image_protocol_alone(make_record, says):
    multi, single = (StoredRecord(make_record(protocol=name), "path") for name in ("celebahq-multi", "ffhq"))
    assert choice.resolve("auto", [multi]).name == "table-2"
    assert choice.resolve("paper", [multi, single]).name == "table-1"
    assert choice.resolve("auto", [single]).name == "table-1"
    with pytest.raises(BadInput, match=says("table-2", "celebahq-multi", "ffhq", "`guidebench reproduce table-2`")):
        choice.resolve("table-2", [single])
    with pytest.raises(BadInput, match=says("layout 'tabel-2'", "'table-2'")):
        choice.resolve("tabel-2", [single])


def made(label, *, shows_anybody=False, reason=None):
    attack = ChosenAttack(
        spec=label,
        class_name="Attack",
        name=label,
        label=label,
        fields={},
        source_digest="s",
        knows="weights",
        unit="steps",
        shows_anybody=shows_anybody,
    )
    return AttackRun(attack=attack, seconds=1.0, file="" if reason else f"attacks/{label}.npz", reason=reason)


@pytest.fixture
def attacked(make_record, make_score):
    """A record on which attacks were made, with a score of each of some metrics."""

    def record(runs, metrics, method="guide", who="a"):
        scores = [make_score(name, 0.1, identity=who) for name in ("id", "recognised", "recognised_before", *metrics)]
        return replace(make_record(method, who, scores=scores), attacks=tuple(runs))

    return record


def columns(*records):
    return choice.resolve("attacks", [StoredRecord(record, "path") for record in records]).table.metrics


def test_attacks_come_with_the_worst_case_first_those_that_show_anybody_with_their_controls_last(attacked):
    runs = [made("reinvert", shows_anybody=True), made("perturb"), made("relearn", shows_anybody=True), made("views")]
    metrics = [
        *("id_after_reinvert", "id_original_reinvert", "id_other_reinvert", "recognised_after_reinvert"),
        *("id_after_relearn", "half_after_relearn", "id_after_perturb", "id_after_views", "id_other_perturb"),
        *("id_worst", "recognised_worst"),
    ]
    assert columns(attacked(runs, metrics)) == (
        *("id", "id_after_perturb", "id_after_views"),
        *("id_worst", "recognised_before", "recognised", "recognised_worst"),
        *("id_after_reinvert", "id_original_reinvert", "id_other_reinvert"),
        *("id_after_relearn", "half_after_relearn"),
    )


def test_without_an_attack_that_counts_there_is_no_worst_case(attacked):
    runs = [made("reinvert", shows_anybody=True)]
    assert columns(attacked(runs, ["id_after_reinvert"])) == ("id", "id_after_reinvert")


def test_attacks_of_all_records_have_a_column_and_what_failed_everywhere_has_none(attacked):
    first = attacked([made("perturb"), made("views", reason="it raised")], ["id_after_perturb"])
    second = attacked([made("other"), made("perturb", reason="it raised")], ["id_after_other"], "nothing")
    assert [name for name in columns(first, second) if "after" in name] == ["id_after_perturb", "id_after_other"]


def test_without_any_attack_there_is_one_clear_line(make_record, attacked, runs, says):
    with pytest.raises(BadInput, match=says("no attack", "`guidebench attack`")) as refused:
        columns(make_record())
    assert "\n" not in str(refused.value)
    with pytest.raises(BadInput, match=says("every attack", "views", "it raised")):
        columns(attacked([made("views", reason="it raised")], []))
    with pytest.raises(BadInput, match=says("no attack")):
        report(runs, "terminal", layout="attacks")


def test_a_table_of_attacks_has_a_row_for_every_method_and_a_title_for_every_column(attacked):
    runs = [made("perturb"), made("reinvert", shows_anybody=True)]
    stored = [
        StoredRecord(attacked(runs, ["id_after_perturb", "id_after_reinvert"], method, who), "path")
        for method in ("guide", "mean-latent")
        for who in "ab"
    ]
    known = {**METRICS, **{metric.name: metric for run in runs for metric in of_attack(run.attack.label)}}
    (table,) = layout.build(stored, known, choice=choice.resolve("attacks", stored)).tables
    titles = dict.fromkeys(column.title for column in table.columns)
    assert [title for title in titles if "after" in title] == ["ID after perturb", "ID after reinvert"]
    assert {row.title for row in table.rows} == {"guide", "mean-latent"}
