"""Is a method better than the baseline, and how sure is that? Families of tests, marks, verdicts, the command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from guidebench.commands.main import main
from guidebench.errors import BadInput
from guidebench.metrics import METRICS
from guidebench.reporting import choice, differences, layout, report
from guidebench.store.folders import StoredRecord, scan

PEOPLE = [f"p{number}" for number in range(8)]


@pytest.fixture
def make(make_record, make_score):
    """Records of a method, a person a value, under the first judge."""

    def records(method, values, metric="id", judge="alpha", seed=0, **changes):
        return [
            make_record(method, who, seed=seed, scores=[make_score(metric, value, judge, identity=who)], **changes)
            for who, value in zip(PEOPLE, values, strict=False)
        ]

    return records


def _build(records, name="auto", **options):
    return _build_stored([StoredRecord(record, Path("path")) for record in records], name, **options)


def _build_stored(stored, name, **options):
    return layout.build(stored, METRICS, choice=choice.resolve(name, stored), **options)


def _contrast(report, label, metric="id", judge="alpha"):
    (found,) = [
        cell.contrast
        for table in report.tables
        for row, column, cell in table.placed()
        if (row.label, column.metric, column.judge) == (label, metric, judge)
    ]
    return found


LEVEL = [0.5 + 0.01 * place for place in range(8)]
LOWER = [value - 0.2 - 0.01 * (place % 3) for place, value in enumerate(LEVEL)]
MIXED = [value + (0.1 if place % 2 else -0.1) for place, value in enumerate(LEVEL)]


def test_every_method_is_compared_with_the_baseline_on_shared_identities(make):
    """Eight differences of one sign: p = 2 / 2^8; the only test of its family, so Holm leaves it."""
    contrast = _contrast(_build(make("mean-latent", LEVEL) + make("guide", LOWER)), "guide")
    assert (contrast.difference.n, contrast.difference.wins, contrast.family) == (8, 8, 1)
    assert contrast.p == contrast.adjusted == contrast.attainable == 2 / 2**8
    assert contrast.separated
    assert not contrast.too_small


def test_family_is_methods_without_the_baseline_times_columns_of_the_first_judge(make_record):
    """Two methods and the columns ID, ID_others, FID_pre and ΔFID_real: 8 tests. Judge beta is not among them, floors
    and the baseline neither."""
    names = ("nothing", "scramble", "mean-latent", "guide", "mine")
    report = _build([make_record(name, who) for name in names for who in "abc"])
    (family,) = report.families
    assert (family.size, family.judge, family.labels) == (8, "alpha", ("guide", "mine"))
    assert family.metrics == ("ID", "ID_others", "FID_pre", "ΔFID_real")
    assert _contrast(report, "guide").family == 8
    other = _contrast(report, "guide", judge="beta")
    assert (other.family, other.p, other.difference.n) == (0, None, 3)
    for label in ("nothing", "scramble", "mean-latent"):
        assert _contrast(report, label) is None


def test_every_protocol_is_a_family_of_its_own(make_record):
    names = ("mean-latent", "guide", "mine")
    records = [make_record(name, who, protocol=p) for p in ("ffhq", "celebahq-multi") for name in names for who in "ab"]
    assert [(family.group.protocol, family.size) for family in _build(records).families] == [
        ("ffhq", 6),
        ("celebahq-multi", 6),
    ]


def test_holm_corrects_for_the_whole_family(make):
    """LOWER has p = 2/256, MIXED a large one: with two tests the smaller is doubled, the larger stays."""
    report = _build(make("mean-latent", LEVEL) + make("guide", LOWER) + make("mine", MIXED))
    first, second = (_contrast(report, name) for name in ("guide", "mine"))
    assert (first.p, first.adjusted) == (2 / 256, 4 / 256)
    assert second.adjusted == second.p > 0.5


def test_a_column_in_which_nothing_can_be_compared_is_no_test_but_a_method_without_partners_is(make):
    records = make("mean-latent", LEVEL) + make("guide", LOWER)
    unmeasured = [None] * 8
    report = _build(records + make("mine", unmeasured))
    assert _contrast(report, "guide").family == 2
    assert _contrast(report, "mine").p is None
    only = make("mean-latent", LEVEL, "novel") + make("guide", unmeasured, "novel")
    assert _build(only, "full").families == ()


def test_too_few_identities_give_an_interval_and_say_so_instead_of_a_p(make):
    """Five differences of one sign: the smallest p is 2/32 = 0.0625, whatever the data."""
    report = _build(make("mean-latent", LEVEL[:5]) + make("guide", LOWER[:5]))
    contrast = _contrast(report, "guide")
    assert (contrast.p, contrast.attainable, contrast.too_small, contrast.separated) == (0.0625, 0.0625, True, False)
    assert differences.adjusted_p(contrast) == differences.TOO_SMALL
    assert any(re.search(r"\bn = 5\b.*\b0\.062\b", note) for note in report.tests)
    assert report.tables[0].detailed == set(report.tables[0].groups)


def test_intervals_give_way_to_marks_where_there_is_a_test(tmp_path, make, write_record):
    for record in make("mean-latent", LEVEL) + make("guide", LOWER):
        write_record(tmp_path, record)
    markdown, latex, terminal = (report.report(tmp_path, style) for style in ("markdown", "latex", "terminal"))
    assert "| **0.33 ± 0.03**† |" in markdown
    assert r"$\mathbf{0.33 \pm 0.03}^\dagger$" in latex
    assert "0.33 ± 0.03†*" in terminal
    for found in (markdown, terminal):
        assert re.search(r"† .*mean-latent\b.*\bp .* 0\.05\b", found.replace("\\", ""))
    assert "[" not in "".join(line for line in markdown.splitlines() if line.startswith("| "))


def test_pairs_are_identities_and_seeds_that_both_have(make):
    """guide has a second seed that the baseline lacks: left out of the difference, and counted."""
    records = make("mean-latent", LEVEL) + make("guide", LOWER) + make("guide", [9.0], seed=1)
    report = _build(records)
    assert _contrast(report, "guide").difference.values == pytest.approx(
        {who: low - level for who, low, level in zip(PEOPLE, LOWER, LEVEL, strict=True)}
    )
    assert _contrast(report, "guide").difference.missing == 1
    pattern = r"guide \(celebahq-multi\).*\bID\b.*\b1 trial\b.*\bmean-latent\b"
    assert any(re.search(pattern, note) for note in report.tests)


def test_against_chooses_the_reference_by_label_or_by_a_name_that_is_unique(make, says):
    records = make("mean-latent", LEVEL) + make("guide", LOWER) + make("mine", MIXED, label="mine(steps=5)")
    assert _build(records).against == "mean-latent"
    report = _build(records, against="guide")
    assert report.against == "guide"
    assert _contrast(report, "mean-latent").difference.wins == 0
    assert _build(records, against="mine").against == "mine(steps=5)"
    with pytest.raises(BadInput, match=says("row 'gide'", "'guide'", "mean-latent", "mine(steps=5)")):
        _build(records, against="gide")
    edited = make("mine", LOWER, label="mine(steps=5)", source_digest="e" * 64)
    with pytest.raises(BadInput, match=says("'mine'", "2 rows", "mine(steps=5) [code ")):
        _build(records + edited, against="mine")
    report = _build(records + edited, against=f"mine(steps=5) [code {'e' * 6}]")
    assert report.against == "mine(steps=5) [code eeeeee]"


def test_no_other_setting_of_its_method_stands_in_for_the_row_that_a_table_names(make):
    """Of table-3's rows only α_max = 10 is there: it is compared with nothing, and not with itself as the baseline."""
    protocol = {"protocol": "celebahq-multi"}
    records = make("mean-latent", LEVEL, label="mean-latent(adjacency_loss=True, alpha_max=10.0)", **protocol)
    records += make("guide", LOWER, **protocol)
    report = _build(records, "table-3")
    assert report.against is None
    (note,) = report.tests
    assert "mean-latent" in note and "--against METHOD" in note


def test_either_version_of_a_methods_code_can_be_named(runs, make_record, write_record):
    write_record(runs, make_record("guide", "a", source_digest="e" * 64))
    two = report.report(runs, "json", layout="full", protocol="celebahq-multi")
    labels = [row["label"] for row in json.loads(two)["tables"][0]["rows"] if row["method"] == "guide"]
    assert len(labels) == 2 and "guide [code eeeeee]" in labels
    for label, people in zip(sorted(labels, key="guide [code eeeeee]".__eq__), (3, 1), strict=True):
        result = _run("compare", runs, label, "--protocol", "celebahq-multi")
        assert f"{people} of {people}" in result.output, result.output
    assert _run("compare", runs, *labels, "--protocol", "celebahq-multi").exit_code == 0
    result = _run("compare", runs, "guide", "--protocol", "celebahq-multi")
    assert result.exit_code == 2 and all(label in result.output for label in labels)


def test_without_the_baseline_nothing_is_tested_and_the_note_says_what_to_do(make):
    report = _build(make("guide", LOWER) + make("mine", MIXED))
    assert (report.against, report.families) == (None, ())
    (note,) = report.tests
    assert "mean-latent" in note and "--against METHOD" in note


def test_many_identities_have_a_bootstrap_interval_beside_and_a_p_that_is_drawn(
    tmp_path, make_record, make_score, write_record
):
    """Thirty people: BCa from 30 on, and more sign patterns than are counted one by one."""
    draws = np.random.default_rng(0)
    for place in range(30):
        for method, level in (("mean-latent", 0.5), ("guide", 0.45)):
            score = make_score("id", float(draws.normal(level, 0.1)), identity=f"p{place:02}")
            write_record(tmp_path, make_record(method, f"p{place:02}", scores=[score]))
    full = report.report(tmp_path, layout="full")
    row = next(line for line in full.splitlines() if line.startswith("| guide | ID |"))
    assert re.search(r"\[-?0\.\d+, -?0\.\d+\] BCa \[-?0\.\d+, -?0\.\d+\] \| \d+ of 30 \|", row)
    assert "≈ 0." in row
    assert re.search(r"≈.*\b20 people\b.*\b99,999\b", full) and re.search(r"\b30\b.*\bBCa\b", full)
    (cell,) = (row["cells"][0] for row in json.loads(report.report(tmp_path, "json"))["tables"][0]["rows"][1:])
    assert cell["contrast"]["exact"] is False
    assert cell["contrast"]["difference"]["bca"][0] < cell["contrast"]["difference"]["mean"]


# Verdicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "values", "verdict"),
    [
        ("id", LOWER, "better"),
        ("id", [2 * level - low for level, low in zip(LEVEL, LOWER, strict=True)], "worse"),
        ("id_retain", LOWER, "worse"),
        ("id", MIXED, "separable"),
        ("id", LOWER[:5], differences.TOO_SMALL),
        ("id", [None] * 8, None),
    ],
)
def test_better_and_worse_are_said_by_the_test_alone(make, says, metric, values, verdict):
    records = make("mean-latent", LEVEL, metric) + make("guide", values, metric)
    if verdict is None:
        with pytest.raises(BadInput, match=says("guide", "mean-latent", "`guidebench scores`")):
            _build(records, "compare", against="mean-latent")
        return
    (found,) = differences.comparison(_build(records, "compare", against="mean-latent"))
    assert verdict in found.rows[0][-1]
    assert re.search(rf"\bguide\b.*{verdict}.* {METRICS[metric].title}\b", found.lead)


def test_two_methods_at_or_below_different_people_have_both_forgotten(make):
    """Different people are at 0.10 under alpha: however far apart below it, neither is better."""
    records = make("mean-latent", [value - 0.5 for value in LEVEL]) + make("guide", [value - 0.9 for value in LEVEL])
    (found,) = differences.comparison(_build(records, "compare", against="mean-latent"))
    assert "forgotten" in found.rows[0][-1]


def test_values_that_share_trials_have_neither_interval_nor_test(runs):
    """Everybody's target similarity holds everybody else: flipping the signs of single people means nothing."""
    stored, _ = scan(runs)
    stored = [item for item in stored if item.record.spec.protocol.name == "ffhq"]
    report = _build_stored(stored, "full")
    cells = [
        cell
        for table in report.tables
        for row, column, cell in table.placed()
        if column.metric == "target_similarity" and row.label == "guide"
    ]
    assert len(cells) == 2
    for cell in cells:
        assert cell.summary.mean is not None and cell.summary.std is not None
        assert (cell.summary.low, cell.summary.high, cell.contrast) == (None, None, None)
    assert "Target similarity" not in report.families[0].metrics
    assert any(re.search(r"Target similarity\b.*\binterval\b.*\btest\b", note) for note in report.footnotes)


def test_a_further_judge_is_judged_by_its_interval(make):
    records = make("mean-latent", LEVEL, judge="beta") + make("guide", LOWER, judge="beta")
    records += make("mean-latent", LEVEL, seed=1) + make("guide", MIXED, seed=1)
    first, second = differences.comparison(_build(records, "compare", against="mean-latent"))
    assert all(word in first.title for word in ("CelebAHQ (multi-image)", "alpha", "guide", "mean-latent"))
    assert "beta" in second.title
    assert first.rows[0][-2] == "1.000" and "separable" in first.rows[0][-1]
    assert "interval" in second.rows[0][-2] and second.rows[0][-1] == "better"


def test_zero_has_no_sign():
    assert [differences.number(value, 2) for value in (-0.001, 0.0, -0.009, 1.005)] == ["0.00", "0.00", "-0.01", "1.00"]


# The command line -------------------------------------------------------------------------------------------------


def _run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_compare_answers_the_reviewer_from_records_alone(committed):
    result = _run("compare", committed, "guide")
    assert result.exit_code == 0
    assert re.search(r"\bguide\b.*better.* ID, ID_others, ID_retain, FID_pre, ΔFID_real\b", result.output)
    assert max(map(len, result.output.splitlines())) <= 120
    assert "mine" not in result.output


def test_compare_is_a_layout_of_report_too(committed):
    by_command = _run("compare", committed, "guide", "mine", "--format", "markdown").output
    assert (
        by_command == _run("report", committed, "--layout", "compare", "--method", "guide", "--method", "mine").output
    )
    options = ("--layout", "compare", "--method", "guide", "--against", "mine")
    assert by_command == _run("report", committed, *options).output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("compare", "guide", "guide"), ["two methods", "guide, guide", "`guidebench compare "]),
        (("compare", "gide"), ["method 'gide'", "'guide'"]),
        (("compare", "scramble"), ["'scramble'", "floor"]),
        (("report", "--layout", "compare"), ["two methods", "none", "`guidebench compare "]),
        (("report", "--against", "mien"), ["row 'mien'", "'mine'"]),
        (("report", "--layout", "table-9"), ["layout 'table-9'", "'table-", "`guidebench report --help`"]),
        (
            ("report", "--layout", "table-4"),
            ["table-4", "celebahq-multi", "ffhq", "`guidebench reproduce table-4`"],
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(committed, arguments, words):
    command, *rest = arguments
    result = _run(command, committed, *rest)
    assert result.exit_code == 2
    assert [word for word in words if word not in result.output] == []
    assert len(result.output.strip().splitlines()) == 1


def test_a_name_that_is_a_label_means_that_row_alone(runs, make_record, write_record):
    """guide(steps=5) is the method guide, too, but nobody who says guide means it where there is a guide."""
    write_record(runs, make_record("guide", "a", label="guide(steps=5)"))
    shown = _run("compare", runs, "guide").output
    assert re.search(rf"\bguide\b.*{differences.TOO_SMALL}.* ID, ", shown)
    assert "3 of 3" in shown
    shown = _run("compare", runs, "guide(steps=5)").output
    assert re.search(rf"\bguide\(steps=5\).*{differences.TOO_SMALL}.* ID, ", shown)
    assert "1 of 1" in shown


def test_methods_of_different_protocols_are_not_compared(tmp_path, make_record, write_record):
    write_record(tmp_path, make_record("guide", protocol="ffhq"))
    write_record(tmp_path, make_record("mean-latent", protocol="celebahq-multi"))
    result = _run("compare", tmp_path, "guide")
    assert result.exit_code == 2 and re.search(r"protocols\b.*\bcelebahq-multi\b.*\bffhq\b", result.output)


def test_reference_stays_when_methods_are_chosen(committed):
    """--method guide --against mine: mine is the row to compare with, so it is not filtered away."""
    data = json.loads(_run("report", committed, "--method", "guide", "--against", "mine", "--format", "json").output)
    assert data["against"] == "mine"
    assert [row["label"] for row in data["tables"][0]["rows"]] == ["guide", "mine"]


def test_json_holds_every_number_of_a_test(committed):
    """guide's ID is lower for all nine people: p = 2 / 2^9; of 8 tests, 6 more are that small or smaller."""
    data = json.loads(_run("report", committed, "--layout", "table-2", "--format", "json").output)
    (family,) = data["families"]
    assert (family["size"], family["judge"], family["methods"]) == (8, "alpha", ["guide", "mine"])
    row = next(row for row in data["tables"][0]["rows"] if row["label"] == "guide")
    cell = row["cells"][0]
    assert (row["title"], cell["n"], len(cell["units"])) == ("+ global loss (GUIDE)", 9, 10)
    contrast = cell["contrast"]
    assert (contrast["p"], contrast["adjusted"], contrast["family"]) == (2 / 512, pytest.approx(8 * 2 / 512), 8)
    assert (contrast["exact"], contrast["separated"], contrast["too_small"]) == (True, True, False)
    assert len(contrast["difference"]["values"]) == contrast["difference"]["n"] == 9
    assert contrast["difference"]["effect"] == pytest.approx(
        contrast["difference"]["mean"] / contrast["difference"]["std"]
    )


def test_unreadable_records_are_named_below_the_table_too(committed, caplog):
    (path,) = committed.glob("records/celebahq-multi/guide/p4-*/record.json")
    path.write_text("{")
    result = _run("report", committed, "--protocol", "celebahq-multi")
    assert str(path.parent) in caplog.text
    assert re.search(rf"^- .*\brecords/celebahq-multi/guide/{path.parent.name}: ", result.stdout, re.MULTILINE)
    assert re.search(r"\bguide \(8 of 9\b", result.stdout)


def test_empty_directory_says_what_to_run_first(tmp_path):
    result = _run("report", tmp_path)
    assert result.exit_code == 2
    assert "no records" in result.output
    assert f"`guidebench run --out {tmp_path} --protocol smoke --method guide`" in result.output
