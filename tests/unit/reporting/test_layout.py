"""Which rows and columns a table has, and what is noted on a row."""

from __future__ import annotations

import pytest

from guidebench.errors import BadInput
from guidebench.reporting.formats import compact, markdown
from guidebench.store.folders import scan
from guidebench.suites import PaperTable


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


def test_rows_are_in_the_order_of_the_ladder_then_by_name(build, make_record):
    names = ["zeta", "guide", "alpha-method", "extrapolated-adj", "scramble", "mean-latent", "nothing", "extrapolated"]
    report = build([make_record(name) for name in names])
    assert [row.label for row in report.tables[0].rows] == [
        *("nothing", "scramble", "mean-latent", "extrapolated", "extrapolated-adj", "guide", "alpha-method", "zeta")
    ]
    assert [row.mark for row in report.tables[0].rows][:3] == ["floor", "ceiling", ""]


def test_auto_has_the_columns_of_the_paper_under_whatever_protocols_there_are(build, runs):
    records = [stored.record for stored in scan(runs)[0]]
    (first,) = build(records, "auto").tables
    assert [group.title for group in first.groups] == ["FFHQ", "CelebAHQ (multi-image)"]
    one = [("id", "alpha"), ("id", "beta"), ("fid_pre", None), ("delta_fid_real", None)]
    assert [(column.metric, column.judge) for column in first.columns] == one * 2


def test_a_table_of_the_paper_has_its_own_protocols_rows_and_names(build, runs):
    """Table 2 is of celebahq-multi; `mine` is no row of it and follows after a rule."""
    (second,) = build([stored.record for stored in scan(runs)[0]], "table-2").tables
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


def test_a_table_of_ones_own_decides_columns_order_names_and_decimals(build, make_record, says):
    rows = (("mine", "Ours"), ("guide", "Theirs"))
    table = PaperTable("own", "My table", ("fid_pre", "id"), ("ffhq",), rows, digits=3)
    records = [make_record(name, protocol=where) for name in ("guide", "mine") for where in ("ffhq", "celebahq-multi")]
    report = build(records, table=table)
    assert report.layout == "own"
    assert [row.title for row in report.tables[0].rows] == ["Ours", "Theirs"]
    columns = [(column.group.protocol, column.metric, column.digits) for column in report.tables[0].columns]
    assert columns == [("ffhq", "fid_pre", 2), ("ffhq", "id", 3), ("ffhq", "id", 3)]  # of images two at most
    with pytest.raises(BadInput, match=says("metric 'fid_prae'", "'fid_pre'", "`guidebench list metrics`")):
        build(records, table=PaperTable("own", "My table", ("fid_prae",), ("ffhq",)))


def test_full_layout_shows_every_metric_and_the_seconds(build, runs):
    report = build([stored.record for stored in scan(runs)[0]], "full")
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


def test_metric_of_a_plug_in_is_shown_without_a_direction(build, make_record, make_score):
    records = _of(make_record, make_score, "guide", "novel", [0.1, 0.2]) + _of(
        make_record, make_score, "mine", "novel", [0, 0]
    )
    (column,) = (column for column in build(records, "full").tables[0].columns if column.metric == "novel")
    assert (column.title, column.arrow) == ("novel", "")
    assert _best(build(records, "full"), "novel") == set()


def test_directions_come_from_the_metrics(build, make_record):
    columns = {column.metric: column for column in build([make_record()], "full").tables[0].columns}
    assert {name: columns[name].arrow for name in ("id", "id_others", "id_retain")} == {
        "id": "↓",
        "id_others": "↓",
        "id_retain": "↑",
    }


def test_row_says_failed_trials_missing_presets_and_unseen_training(build, make_record):
    records = [make_record("guide", who) for who in "abc"]
    records += [make_record("mine", who, preset=False, training_seen=False) for who in "ab"]
    records += [make_record("mine", "c", preset=False, training_seen=False, failed="boom")]
    records += [make_record("other", who, preset=False) for who in "abc"]
    records += [make_record("redirect", who, preset=False, fields={"radius": 0.001}) for who in "abc"]
    report = build(records)
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


def test_one_label_with_two_versions_of_its_code_makes_two_rows(build, make_record):
    records = [make_record("mine", "a", source_digest="1" * 64), make_record("mine", "a", source_digest="2" * 64)]
    assert [row.label for row in build(records).tables[0].rows] == ["mine [code 111111]", "mine [code 222222]"]
    fields = [make_record("mine", "a", fields={"steps": steps}) for steps in (1, 2)]
    assert [row.label for row in build(fields).tables[0].rows] == ["mine [variant 1]", "mine [variant 2]"]


def test_judge_that_a_row_lacks_leaves_its_cells_empty(build, make_record, make_score):
    old = make_record("mine", judges=["alpha"], scores=[make_score("id", 0.2)])
    rows = {row.label: row for row in build([make_record("guide"), old]).tables[0].rows}
    assert rows["mine"].cells[0].summary.mean == 0.2
    assert rows["mine"].cells[1].summary is None


def _recognised(make_record, make_score, method, shares, judge="alpha"):
    """People of whom so many of eleven renders pass, and whose ID is higher the more do."""
    return [
        make_record(
            method,
            who,
            scores=[
                make_score("id", 0.2 + hits / 50, judge, identity=who),
                make_score("recognised", None if hits is None else hits / 11, judge, identity=who, n=11, lost_after=0),
                make_score("fid_pre", 9.0, None, identity=who),
                make_score("delta_fid_real", 4.0, None, identity=who),
            ],
        )
        for who, hits in zip("abcdefgh", shares, strict=False)
    ]


def test_recognised_stands_beside_the_papers_columns_with_how_many_renders_pass(build, make_record, make_score):
    records = _recognised(make_record, make_score, "guide", [0, 1, 0, 2])
    records += _recognised(make_record, make_score, "mean-latent", [11, 9, 11, 10])
    report = build(records)
    (table,) = report.tables
    assert [column.metric for column in table.columns][:4] == ["id", "id", "recognised", "id_others"]
    assert [column.judge for column in table.columns][:3] == ["alpha", "beta", "alpha"]  # beta said nothing of it
    text = markdown.as_markdown(report)
    assert "(3 of 44 renders)" in text and "(41 of 44 renders)" in text
    assert any("Recognised: share of renders" in note for note in report.footnotes)
    paper = build(records, "paper").tables[0]
    assert "recognised" not in [column.metric for column in paper.columns]
    assert table.columns[2].different_people is None and table.columns[2].tie is None


def test_a_run_ends_with_recognised_first_within_eighty_columns(build, make_record, make_score):
    people = {"scramble": [0, 0, 0, 0], "guide": [0, 1, 0, 2]}
    report = build(
        [r for name, hits in people.items() for r in _recognised(make_record, make_score, name, hits)], "brief"
    )
    text = compact.as_compact_text(report)
    columns = [column.metric for column in report.tables[0].columns]
    assert columns[:2] == ["recognised", "id"] and columns[-1] == "fid_pre"
    assert "Recognised" in text and max(map(len, text.splitlines())) <= 80


def test_a_judge_without_a_threshold_has_a_note_instead_of_empty_columns(build, make_record, make_score):
    reason = "no threshold of alpha is known"
    records = [
        make_record(
            "guide",
            who,
            scores=[
                make_score("id", 0.2, identity=who),
                make_score("recognised", None, identity=who, reason=reason, n=0, lost_after=0),
            ],
        )
        for who in "ab"
    ]
    for layout in ("auto", "full"):
        report = build(records, layout)
        assert "recognised" not in [column.metric for table in report.tables for column in table.columns]
        assert any(f"under alpha: {reason}" in note for note in report.footnotes)
