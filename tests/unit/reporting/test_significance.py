"""Which differences are tested, against which row, and which marks and p values follow."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from guidebench.commands.main import main
from guidebench.errors import BadInput
from guidebench.protocol import PRIMARY
from guidebench.reporting import differences, report
from guidebench.store.folders import scan

PEOPLE = [f"p{number}" for number in range(8)]
LEVEL = [0.5 + 0.01 * place for place in range(8)]
LOWER = [value - 0.2 - 0.01 * (place % 3) for place, value in enumerate(LEVEL)]
MIXED = [value + (0.1 if place % 2 else -0.1) for place, value in enumerate(LEVEL)]


def _run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _contrast(report, label, metric="id", judge="alpha"):
    (found,) = [
        cell.contrast
        for table in report.tables
        for row, column, cell in table.placed()
        if (row.label, column.metric, column.judge) == (label, metric, judge)
    ]
    return found


def test_every_method_is_compared_with_the_baseline_on_shared_identities(build, make):
    """Eight differences of one sign: p = 2 / 2^8; the only test of its family, so Holm leaves it."""
    contrast = _contrast(build(make("mean-latent", LEVEL) + make("guide", LOWER)), "guide")
    assert (contrast.difference.n, contrast.difference.wins, contrast.family) == (8, 8, 1)
    assert contrast.p == contrast.adjusted == contrast.attainable == 2 / 2**8
    assert contrast.separated
    assert not contrast.too_small


def test_only_primary_columns_of_the_protocol_are_tested_the_others_have_intervals(build, make_record):
    """Of Table 2's columns the usual protocol tests the two of images; ID and ID_others have intervals alone."""
    usual = replace(make_record().spec.protocol, primary=PRIMARY)
    people = [f"p{number}" for number in range(8)]
    records = [make_record(name, who, protocol=usual) for name in ("mean-latent", "guide") for who in people]
    report = build(records, "table-2")
    (family,) = report.families
    assert (family.size, family.judge, family.metrics) == (2, None, ("FID_pre", "ΔFID_real"))
    ident = _contrast(report, "guide")
    assert (ident.family, ident.p, ident.adjusted, ident.difference.n) == (0, None, None, 8)
    assert any(re.search(r"Not primary\b.*: ID, ID_others\.", note) for note in report.tests)
    compared = build(records, "compare", against="mean-latent")
    tested, beside, further = differences.comparison(compared)
    assert [row[0].split()[0] for row in tested.rows] == ["ID_retain", "FID_pre", "ΔFID_real"]
    assert "not primary" in beside.title and [row[0].split()[0] for row in beside.rows] == ["ID", "ID_others"]
    assert {row[-2] for row in (*beside.rows, *further.rows)} == {"interval"} and "beta" in further.title


def test_without_a_primary_column_cells_show_intervals_and_a_note_says_why(build, make):
    records = make("mean-latent", LEVEL) + make("guide", LOWER)
    records = [
        replace(r, spec=replace(r.spec, protocol=replace(r.spec.protocol, primary=("fid_pre",)))) for r in records
    ]
    report = build(records)
    assert not report.families and report.tables[0].detailed
    assert any("Not primary" in note for note in report.tests)
    (found,) = differences.comparison(build(records, "compare", against="mean-latent"))
    assert found.rows[0][-2:] == ("interval", "better")


def test_the_earliest_record_says_what_is_tested(build, make):
    """Whoever changes it later has seen the results."""
    first = make("mean-latent", LEVEL, created="2026-01-01T00:00:00Z")
    later = make("guide", LOWER, created="2026-02-01T00:00:00Z")
    later = [replace(r, spec=replace(r.spec, protocol=replace(r.spec.protocol, primary=()))) for r in later]
    assert build(first + later).families and build(later + first).families


def test_family_is_methods_without_the_baseline_times_columns_of_the_first_judge(build, make_record):
    """Two methods and the columns ID, ID_others, FID_pre and ΔFID_real: 8 tests. Judge beta is not among them, floors
    and the baseline neither."""
    names = ("nothing", "scramble", "mean-latent", "guide", "mine")
    report = build([make_record(name, who) for name in names for who in "abc"])
    (family,) = report.families
    assert (family.size, family.judge, family.labels) == (8, "alpha", ("guide", "mine"))
    assert family.metrics == ("ID", "ID_others", "FID_pre", "ΔFID_real")
    assert _contrast(report, "guide").family == 8
    other = _contrast(report, "guide", judge="beta")
    assert (other.family, other.p, other.difference.n) == (0, None, 3)
    for label in ("nothing", "scramble", "mean-latent"):
        assert _contrast(report, label) is None


def test_every_protocol_is_a_family_of_its_own(build, make_record):
    names = ("mean-latent", "guide", "mine")
    records = [make_record(name, who, protocol=p) for p in ("ffhq", "celebahq-multi") for name in names for who in "ab"]
    assert [(family.group.protocol, family.size) for family in build(records).families] == [
        ("ffhq", 6),
        ("celebahq-multi", 6),
    ]


def test_holm_corrects_for_the_whole_family(build, make):
    """LOWER has p = 2/256, MIXED a large one: with two tests the smaller is doubled, the larger stays."""
    report = build(make("mean-latent", LEVEL) + make("guide", LOWER) + make("mine", MIXED))
    first, second = (_contrast(report, name) for name in ("guide", "mine"))
    assert (first.p, first.adjusted) == (2 / 256, 4 / 256)
    assert second.adjusted == second.p > 0.5


def test_a_column_in_which_nothing_can_be_compared_is_not_a_test_but_a_method_without_partners_is(build, make):
    records = make("mean-latent", LEVEL) + make("guide", LOWER)
    unmeasured = [None] * 8
    report = build(records + make("mine", unmeasured))
    assert _contrast(report, "guide").family == 2
    assert _contrast(report, "mine").p is None
    only = make("mean-latent", LEVEL, "novel") + make("guide", unmeasured, "novel")
    assert build(only, "full").families == ()


def test_too_few_identities_give_an_interval_and_say_so_instead_of_a_p(build, make):
    """Five differences of one sign: the smallest p is 2/32 = 0.0625, whatever the data."""
    report = build(make("mean-latent", LEVEL[:5]) + make("guide", LOWER[:5]))
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


def test_pairs_are_identities_and_seeds_that_both_have(build, make):
    """guide has a second seed that the baseline lacks: left out of the difference, and counted."""
    records = make("mean-latent", LEVEL) + make("guide", LOWER) + make("guide", [9.0], seed=1)
    report = build(records)
    assert _contrast(report, "guide").difference.values == pytest.approx(
        {who: low - level for who, low, level in zip(PEOPLE, LOWER, LEVEL, strict=True)}
    )
    assert _contrast(report, "guide").difference.missing == 1
    pattern = r"guide \(celebahq-multi\).*\bID\b.*\b1 trial\b.*\bmean-latent\b"
    assert any(re.search(pattern, note) for note in report.tests)


def test_against_chooses_the_reference_by_label_or_by_a_name_that_is_unique(build, make, says):
    records = make("mean-latent", LEVEL) + make("guide", LOWER) + make("mine", MIXED, label="mine(steps=5)")
    assert build(records).against == "mean-latent"
    report = build(records, against="guide")
    assert report.against == "guide"
    assert _contrast(report, "mean-latent").difference.wins == 0
    assert build(records, against="mine").against == "mine(steps=5)"
    with pytest.raises(BadInput, match=says("row 'gide'", "'guide'", "mean-latent", "mine(steps=5)")):
        build(records, against="gide")
    edited = make("mine", LOWER, label="mine(steps=5)", source_digest="e" * 64)
    with pytest.raises(BadInput, match=says("'mine'", "2 rows", "mine(steps=5) [code ")):
        build(records + edited, against="mine")
    report = build(records + edited, against=f"mine(steps=5) [code {'e' * 6}]")
    assert report.against == "mine(steps=5) [code eeeeee]"


def test_no_other_setting_of_its_method_replaces_the_row_that_a_table_names(build, make):
    """Of table-3's rows only α_max = 10 is there: it is compared with nothing, and not with itself as the baseline."""
    protocol = {"protocol": "celebahq-multi"}
    records = make("mean-latent", LEVEL, label="mean-latent(adjacency_loss=True, alpha_max=10.0)", **protocol)
    records += make("guide", LOWER, **protocol)
    report = build(records, "table-3")
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


def test_without_the_baseline_nothing_is_tested_and_the_note_says_what_to_do(build, make):
    report = build(make("guide", LOWER) + make("mine", MIXED))
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
    assert re.search(r"≈.*\b20 differences\b.*\b99,999\b", full) and re.search(r"\b30\b.*\bBCa\b", full)
    (cell,) = (row["cells"][0] for row in json.loads(report.report(tmp_path, "json"))["tables"][0]["rows"][1:])
    assert cell["contrast"]["exact"] is False
    assert cell["contrast"]["difference"]["bca"][0] < cell["contrast"]["difference"]["mean"]


def test_values_that_share_trials_have_neither_interval_nor_test(build_stored, runs):
    """Everybody's target similarity holds everybody else: flipping the signs of single people means nothing."""
    stored, _ = scan(runs)
    stored = [item for item in stored if item.record.spec.protocol.name == "ffhq"]
    report = build_stored(stored, "full")
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
