"""Which rows and columns a table has, what is bold, and what the notes must say."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from guidebench.errors import BadInput
from guidebench.metrics import METRICS
from guidebench.reporting import choice, layout, report
from guidebench.reporting.model import PaperTable
from guidebench.store.folders import StoredRecord, scan


def _build(records, name="auto", table=None, **options):
    stored = [StoredRecord(record, Path("path")) for record in records]
    return layout.build(stored, METRICS, choice=choice.resolve(name, stored, table), **options)


def _best(report, metric, judge="alpha"):
    table = report.tables[0]
    place = next(n for n, column in enumerate(table.columns) if (column.metric, column.judge) == (metric, judge))
    return {row.label for row in table.rows if row.cells[place].best}


def _of(make_record, make_score, method, metric, values, judge="alpha", **changes):
    """One record an identity with one score each."""
    return [
        make_record(method, who, scores=[make_score(metric, value, judge, identity=who)], **changes)
        for who, value in zip("abcdefgh", values, strict=False)
    ]


def test_rows_stand_in_the_order_of_the_ladder_then_by_name(make_record):
    names = ["zeta", "guide", "alpha-method", "extrapolated-adj", "scramble", "mean-latent", "nothing", "extrapolated"]
    report = _build([make_record(name) for name in names])
    assert [row.label for row in report.tables[0].rows] == [
        *("nothing", "scramble", "mean-latent", "extrapolated", "extrapolated-adj", "guide", "alpha-method", "zeta")
    ]
    assert [row.mark for row in report.tables[0].rows][:3] == ["floor", "ceiling", ""]


def test_auto_has_the_columns_of_the_paper_under_whatever_protocols_there_are(runs):
    records = [stored.record for stored in scan(runs)[0]]
    (first,) = _build(records, "auto").tables
    assert [group.title for group in first.groups] == ["FFHQ", "CelebAHQ (multi-image)"]
    one = [("id", "alpha"), ("id", "beta"), ("fid_pre", None), ("delta_fid_real", None)]
    assert [(column.metric, column.judge) for column in first.columns] == one * 2


def test_a_table_of_the_paper_has_its_own_protocols_rows_and_names(runs):
    """Table 2 is of celebahq-multi; `mine` is no row of it and follows after a rule."""
    (second,) = _build([stored.record for stored in scan(runs)[0]], "table-2").tables
    assert [group.protocol for group in second.groups] == ["celebahq-multi"]
    assert [column.metric for column in second.columns] == [
        *["id"] * 2,
        *["id_others"] * 2,
        "fid_pre",
        "delta_fid_real",
    ]
    assert [(row.label, row.title, row.section) for row in second.rows] == [
        ("nothing", "nothing", 0),
        ("scramble", "scramble", 0),
        ("mean-latent", "Baseline", 1),
        ("guide", "+ global loss (GUIDE)", 1),
        ("mine", "mine", 2),
    ]


def test_a_table_of_ones_own_decides_columns_order_names_and_decimals(make_record, says):
    table = PaperTable("own", "My table", ("fid_pre",), ("ffhq",), (("mine", "Ours"), ("guide", "Theirs")), digits=4)
    records = [make_record(name, protocol=where) for name in ("guide", "mine") for where in ("ffhq", "celebahq-multi")]
    report = _build(records, table=table)
    assert report.layout == "own"
    assert [row.title for row in report.tables[0].rows] == ["Ours", "Theirs"]
    assert [(column.group.protocol, column.digits) for column in report.tables[0].columns] == [("ffhq", 4)]
    with pytest.raises(BadInput, match=says("metric 'fid_prae'", "'fid_pre'", "`guidebench list metrics`")):
        _build(records, table=PaperTable("own", "My table", ("fid_prae",), ("ffhq",)))


def test_full_layout_shows_every_metric_and_the_seconds(runs):
    report = _build([stored.record for stored in scan(runs)[0]], "full")
    titles = [table.title for table in report.tables[3:]]
    assert all(title.startswith("CelebAHQ (multi-image)") for title in titles)
    assert [[judge for judge in ("alpha", "beta") if judge in title] for title in titles] == [["alpha"], ["beta"], []]
    assert [column.metric for column in report.tables[3].columns][:3] == ["id", "id_others", "id_retain"]
    cost = report.tables[5]
    assert [column.metric for column in cost.columns] == [
        "fid_pre",
        "delta_fid_real",
        "seconds_unlearn",
        "seconds_total",
        "trainable",
    ]
    assert cost.rows[0].cells[2].summary.mean == 20.0


def test_metric_of_a_plug_in_is_shown_without_a_direction(make_record, make_score):
    records = _of(make_record, make_score, "guide", "novel", [0.1, 0.2]) + _of(
        make_record, make_score, "mine", "novel", [0, 0]
    )
    (column,) = (column for column in _build(records, "full").tables[0].columns if column.metric == "novel")
    assert (column.title, column.arrow) == ("novel", "")
    assert _best(_build(records, "full"), "novel") == set()


def test_auto_is_table_2_for_the_multi_image_protocol_alone(make_record, says):
    multi, single = (StoredRecord(make_record(protocol=name), Path("path")) for name in ("celebahq-multi", "ffhq"))
    assert choice.resolve("auto", [multi]).name == "table-2"
    assert choice.resolve("paper", [multi, single]).name == "table-1"
    assert choice.resolve("auto", [single]).name == "table-1"
    with pytest.raises(BadInput, match=says("table-2", "celebahq-multi", "ffhq", "`guidebench reproduce table-2`")):
        choice.resolve("table-2", [single])
    with pytest.raises(BadInput, match=says("layout 'tabel-2'", "'table-2'")):
        choice.resolve("tabel-2", [single])


def test_directions_come_from_the_metrics(make_record):
    columns = {column.metric: column for column in _build([make_record()], "full").tables[0].columns}
    assert {name: columns[name].arrow for name in ("id", "id_others", "id_retain")} == {
        "id": "↓",
        "id_others": "↓",
        "id_retain": "↑",
    }


def test_best_is_lowest_or_highest_by_direction_and_never_a_floor(make_record, make_score):
    def records(metric):
        rows = {"nothing": (1.0, 1.0), "scramble": (0.0, 0.0), "guide": (0.5, 0.7), "mine": (0.6, 0.8)}
        return [
            record for name, values in rows.items() for record in _of(make_record, make_score, name, metric, values)
        ]

    assert _best(_build(records("id")), "id") == {"guide"}
    assert _best(_build(records("id_retain"), "full"), "id_retain") == {"mine"}


def test_values_at_or_below_the_mean_of_different_people_tie(make_record, make_score):
    """Different people are at 0.10 under alpha: 0.10 and -0.4 are both forgotten, 0.12 is not yet."""
    rows = {"guide": (0.10, 0.10), "mine": (-0.4, -0.4), "other": (0.12, 0.12)}
    records = [record for name, values in rows.items() for record in _of(make_record, make_score, name, "id", values)]
    assert _best(_build(records), "id") == {"guide", "mine"}


def test_rows_below_different_people_do_not_tie_where_higher_is_better(make_record, make_score):
    rows = {"guide": (0.02, 0.02), "mine": (-0.4, -0.4)}
    records = [r for name, values in rows.items() for r in _of(make_record, make_score, name, "id_retain", values)]
    assert _best(_build(records, "full"), "id_retain") == {"guide"}


def test_values_that_are_shown_equal_tie(make_record, make_score):
    rows = {"guide": (0.301, 0.301), "mine": (0.304, 0.304)}
    records = [record for name, values in rows.items() for record in _of(make_record, make_score, name, "id", values)]
    assert _best(_build(records), "id") == {"guide", "mine"}


@pytest.mark.parametrize(
    ("values", "best"),
    [((0.1, 0.1), set()), ((0.1, None, 0.1), set()), ((0.35, 0.35), {"guide"}), ((0.35, None, 0.35), {"guide"})],
    ids=["fewer identities, better", "a missing value, better", "fewer identities, worse", "a missing value, worse"],
)
def test_row_of_smaller_coverage_never_wins_and_takes_the_mark_away_if_it_looks_better(
    make_record, make_score, values, best
):
    records = _of(make_record, make_score, "mine", "id", values)
    for name, value in (("guide", 0.3), ("mean-latent", 0.4)):
        records += _of(make_record, make_score, name, "id", [value] * 3)
    assert _best(_build(records), "id") == best


def test_row_that_lost_faces_has_smaller_coverage(make_record, make_score):
    records = [
        make_record("guide", scores=[make_score("id", 0.2)]),
        make_record("other", scores=[make_score("id", 0.3)]),
    ]
    worse, better = (
        [make_record("mine", scores=[make_score("id", value, n=9, lost_after=2)])] for value in (0.25, 0.1)
    )
    assert _best(_build(records + worse), "id") == {"guide"}
    assert _best(_build(records + better), "id") == set()


def test_rows_without_a_rival_or_with_other_identities_are_not_bold(make_record, make_score):
    alone = _of(make_record, make_score, "guide", "id", [0.1])
    assert _best(_build(alone), "id") == set()
    other = make_record("mine", "b", scores=[make_score("id", 0.2, identity="b")])
    assert _best(_build([*alone, other]), "id") == set()


def test_row_says_failed_trials_missing_presets_and_unseen_training(make_record):
    records = [make_record("guide", who) for who in "abc"]
    records += [make_record("mine", who, preset=False, training_seen=False) for who in "ab"]
    records += [make_record("mine", "c", preset=False, training_seen=False, failed="boom")]
    records += [make_record("other", who, preset=False) for who in "abc"]
    records += [make_record("redirect", who, preset=False, fields={"radius": 0.001}) for who in "abc"]
    report = _build(records)
    rows = {row.label: row for row in report.tables[0].rows}
    assert rows["guide"].notes == ()
    assert rows["redirect"].notes == (), "it has neither steps nor a learning rate that a preset would set"
    assert not any(note.startswith("redirect: ") for note in report.footnotes)
    (note,) = rows["other"].notes
    assert "preset" in note and "mini" in note and "defaults" in note
    assert not any(note.startswith("mine: ") for note in report.footnotes), "no steps of a training that nobody saw"
    failed, training = rows["mine"].notes
    assert "1 of 3 failed" in failed and "training" in training
    assert rows["mine"].cells[0].summary.n == 2


def test_preset_is_said_in_a_footnote_where_no_row_has_one(make_record):
    report = _build([make_record("guide", preset=False)])
    assert report.tables[0].rows[0].notes == ()
    assert any(re.search(r"\bguide: steps 300, lr 0\.001\b.*\bdefaults\b.*\bmini\b", note) for note in report.footnotes)


def test_one_label_with_two_versions_of_its_code_makes_two_rows(make_record):
    records = [make_record("mine", "a", source_digest="1" * 64), make_record("mine", "a", source_digest="2" * 64)]
    assert [row.label for row in _build(records).tables[0].rows] == ["mine [code 111111]", "mine [code 222222]"]
    fields = [make_record("mine", "a", fields={"steps": steps}) for steps in (1, 2)]
    assert [row.label for row in _build(fields).tables[0].rows] == ["mine [variant 1]", "mine [variant 2]"]


def test_footnotes_say_what_is_needed_to_repeat_the_numbers(runs):
    text = report.report(runs)
    for pattern in (
        r"\bmini\b.*\bcorrected\b",
        r"\bffhq v1 \(",
        r"\b3 people, seed 0, 4 probe .*\b11 views .*±15°.*\b10 others\b",
        r"\b400 samples\b.*\bmini features, 64 px\b",
        r"\balpha\b.* 0\.100 ± 0\.150\b.*\bbbbbbbbbbbbb\b",
        r"\bddof 1\b",
        r"\bmean-latent, guide: steps 300, lr 0\.001\b.*\bpreset for mini\b",
        r"\bmine: steps 300, lr 0\.001\b.*\bdefaults\b.*\bmini\b",
        r"\bmine, 1 trial: the loss is not finite at step 7\b",
        r"\bguidebench 0\.1\.0, numerics 1, torch 2\.13\.0\b",
        r"\b2 of 11 pairs\b",
    ):
        assert re.search(pattern, text.replace("\\_", "_")), pattern


def test_footnote_names_the_package_that_computes_kid_precision_and_recall(make_record):
    report = _build([make_record("guide", versions={"torch-fidelity": "0.4.0"})])
    assert any("torch 2.13.0, torch-fidelity 0.4.0" in note for note in report.footnotes)


def test_judge_that_a_row_lacks_leaves_its_cells_empty(make_record, make_score):
    old = make_record("mine", judges=["alpha"], scores=[make_score("id", 0.2)])
    rows = {row.label: row for row in _build([make_record("guide"), old]).tables[0].rows}
    assert rows["mine"].cells[0].summary.mean == 0.2
    assert rows["mine"].cells[1].summary is None


def test_a_report_of_groups_says_so(tmp_path, make_record, make_score, write_record):
    protocol = replace(make_record().spec.protocol, identities=6, forget=2, requests=1)
    for people in ("ab", "cd", "ef"):
        for method in ("guide", "mine") if people != "ef" else ("guide",):
            scores = [make_score("id", 0.1, identity=who) for who in people]
            write_record(tmp_path, make_record(method, requests=[list(people)], protocol=protocol, scores=scores))
    text = report.report(tmp_path, layout="full")
    assert "mine (2 of 3 groups" in text
    assert re.search(r"\b6 people, 1 request of 2\b", text) and "over groups" in text
    assert "3 groups of people" in report.report(tmp_path, layout="short")
