"""The page on the instrument: its figures from made-up records, what it says where there is none, and bad input."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from guidebench.commands.main import main
from guidebench.evidence import Evidence, Samples, Seen, Sight, Subject
from guidebench.reporting import published, selection
from guidebench.reporting.diagnostics import instrument, reliability, sections, sensitivity
from guidebench.reporting.diagnostics.runs import Runs
from guidebench.reporting.scores import read
from guidebench.reporting.selection import Variant
from guidebench.store import folders
from guidebench.store.evidence_files import load_evidence, save_evidence

LADDER = ("mean-latent", "extrapolated", "guide")
PEOPLE = tuple(f"p{number}" for number in range(6))
TOTAL, FEATURES = 64, 10


def value(method, person, seed, judge):
    """ID: what the method leaves of a person, a little of the seed; the second judge reads 0.1 more of guide."""
    level = {"mean-latent": 0.3, "extrapolated": 0.1, "guide": 0.05}.get(method, 0.2)
    shift = 0.1 if (judge, method) == ("beta", "guide") else 0.0
    return (
        level + shift + 0.02 * (person + 1) ** (1 + LADDER.index(method) / 4 if method in LADDER else 1) + 0.01 * seed
    )


@pytest.fixture
def measured(tmp_path, make_record, write_record, make_score):
    """`write(method, …)` writes records of six people and two seeds below one folder, which it returns."""
    draws = np.random.default_rng(0)
    source = draws.normal(size=(TOTAL, FEATURES)).astype(np.float32)

    def write(method, *, seeds=(0, 1), people=PEOPLE, judges=("alpha", "beta"), shift=1.0, **changes):
        for place, person in enumerate(people):
            for seed in seeds:
                scores = [
                    make_score(metric, value(method, place, seed, judge), judge, identity=person)
                    for metric in ("id", "id_others")
                    for judge in judges
                ]
                scores.append(make_score("fid_pre", 2.0 + place, None, identity=person, n=TOTAL))
                protocol = replace(make_record().spec.protocol, samples=TOTAL)
                record = make_record(
                    method, person, seed=seed, protocol=protocol, scores=scores, judges=judges, **changes
                )
                path = write_record(tmp_path / "runs", record)
                after = source * (1 + 0.1 * shift) + 0.2 * shift * draws.normal(size=source.shape).astype(np.float32)
                seen = Seen(np.ones((1, 11, 2)), np.ones((1, 11), bool))
                evidence = Evidence(
                    (Subject(person, "forget", 0, 1),),
                    dict.fromkeys(judges, Sight(seen, Seen(seen.vectors[None], seen.found[None]))),
                    5,
                    Samples(source),
                    (Samples(after.astype(np.float32)),),
                    None,
                )
                save_evidence(evidence, path / "evidence.npz", tmp_path / "runs/shared", aside=".building-test-")
                folders.write_record(record, path)
        return tmp_path / "runs"

    return write


def page(folder, *arguments):
    result = CliRunner().invoke(main, ["instrument", str(folder), *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def section(text, start):
    """The section whose heading begins so."""
    (found,) = [part for part in re.split(r"^## ", text, flags=re.MULTILINE) if part.startswith(start)]
    return found


def row(text, *cells):
    """The other cells of the one row of a table that begins with these."""
    start = "| " + " | ".join(cells).replace("_", r"\_") + " |"
    (line,) = [line for line in text.splitlines() if line.startswith(start)]
    return [cell.strip() for cell in line.removeprefix(start).strip("| ").split(" | ")]


def test_spread_over_seeds_is_beside_spread_over_people(measured):
    """Two seeds 0.01 apart: std 0.01 / sqrt(2), one degree of freedom a person. People of the baseline: 0.02 steps."""
    measured("mean-latent")
    found = section(page(measured("guide")), "Test-retest")
    spread = 0.02 * np.std(range(1, 7), ddof=1)
    share = 0.5e-4 / (spread**2 - 0.25e-4 + 0.5e-4)
    one, three = spread**2 + 0.25e-4, spread**2 - 0.25e-4 + 0.5e-4 / 3
    assert row(found, "ID (alpha)", "mean-latent") == [
        "0.007",
        "6",
        f"{spread:.3f}",
        "6",
        f"{100 * share:.1f} %",
        f"+{100 * (math.sqrt(one / three) - 1):.1f} %",
    ]
    assert row(found, "FID_pre", "guide")[4:] == ["0.0 %", "+0.0 %"]
    assert re.search(r"^- .*\b0\.0 % to ", found, re.MULTILINE)


def test_one_seed_only_says_so(measured):
    found = section(page(measured("guide", seeds=(3,))), "Test-retest")
    spread = np.std([value("guide", place, 3, "alpha") for place in range(6)], ddof=1)
    assert row(found, "ID (alpha)", "guide") == ["–", "0", f"{spread:.3f}", "6", "–", "–"]
    assert re.search(r"^- .*\bguide\b.*`--seeds 0-2`", found, re.MULTILINE)


def test_the_resolvable_difference_follows_from_the_paired_differences(measured):
    for method in LADDER:
        folder = measured(method)
    found = section(page(folder), "Resolution")
    guide, extrapolated = (
        [np.mean([max(0.10, value(method, place, seed, "alpha")) for seed in (0, 1)]) for place in range(6)]
        for method in ("guide", "extrapolated")
    )  # 0.10: what strangers have
    differences = np.subtract(guide, extrapolated)
    std = np.std(differences, ddof=1)
    cells = row(found, "ID (alpha)", "guide − extrapolated")
    assert cells[0].startswith(f"{np.mean(differences):.3f} [")
    assert cells[1:3] == [f"{std:.3f}", "6"]
    assert cells[3].startswith(f"{reliability.resolvable(10) * std:.3f} (± ")
    # t(0.975; 19) = 2.0930 by any table
    assert cells[4].endswith(f"(± {2.0930 * std / math.sqrt(20):.3f})")
    assert re.search(r"\b1\.00 s\b.*\bn = 10, 0\.66 s\b.*\bn = 20\b", found)
    assert re.search(r"^- ID \(alpha\): 10 people .*\d\.\d+ \(\d\.\d+ to \d\.\d+\); 20 people", found, re.MULTILINE)


def test_pairs_are_neighbours_of_the_ladder_and_everybody_against_the_baseline():
    assert sections.compared(["mean-latent", "extrapolated", "guide", "mine"]) == [
        ("extrapolated", "mean-latent"),
        ("guide", "extrapolated"),
        ("guide", "mean-latent"),
        ("mine", "mean-latent"),
    ]
    assert sections.compared(["guide", "mine"]) == []


def test_methods_without_people_in_common_resolve_nothing_and_say_so(measured):
    measured("mean-latent", people=PEOPLE[:3])
    found = section(page(measured("guide", people=PEOPLE[3:])), "Resolution")
    told, *rest = row(found, "ID (alpha)", "guide − mean-latent")
    assert "common" in told and rest == ["–", "0", "–", "–", "–"]
    alone = section(page(measured("guide"), "--protocol", "celebahq-multi"), "Resolution")
    assert row(alone, "ID (alpha)", "guide − mean-latent")[2] == "3"


def test_judges_are_compared_over_methods_and_people(measured):
    """The second judge reads guide 0.1 higher, and so above extrapolated: mean difference 0.1 / 3."""
    for method in LADDER:
        folder = measured(method)
    found = section(page(folder), "Judges")
    n, *_, shift, limits, tau = row(found, "ID", "beta")
    assert (n, shift) == ("18", "0.033")
    std = np.std([0.0] * 12 + [0.1] * 6, ddof=1)
    assert limits == f"{0.1 / 3 - 1.96 * std:.3f} to {0.1 / 3 + 1.96 * std:.3f}"
    assert tau == "0.33 (3 methods)"
    assert re.search(r"^- ID: .*\bbeta\b.*\bextrapolated and guide\b", found, re.MULTILINE)


def test_a_single_judge_has_no_second_opinion(measured):
    found = section(page(measured("guide", judges=("alpha",))), "Judges")
    assert re.search(r"^- .*\bjudge\b.*\(alpha\)", found, re.MULTILINE) and "\n|" not in found


def test_fid_pre_is_computed_from_parts_of_the_samples(measured):
    """64 samples of 10 features: 8 are too few; the mean over trials falls with their number from 16 to 64."""
    measured("mean-latent", shift=2.0)
    folder = measured("guide")
    found = section(page(folder), "FID_pre")
    assert row(found, "8", "every method") == ["0", "–", "–", "–"]
    assert re.search(r"^- N = 8: 24 trials .*\b8 samples .*\b10 features\b.* singular", found, re.MULTILINE)
    values = {
        count: [
            reliability.fid_of_first(load_evidence(path), count)
            for path in sorted(folder.glob("records/*/guide/*/evidence.npz"))
        ]
        for count in (16, 64)
    }
    trials, mean, bias, correlation = row(found, "16", "guide")
    assert (trials, mean) == ("12", f"{np.mean(values[16]):.2f}")
    assert bias.startswith(f"{np.mean(values[16]) - np.mean(values[64]):.2f} (+")
    assert correlation == f"{reliability.rank_correlation(values[16], values[64]):.2f}"
    assert row(found, "64", "every method")[0] == "24"
    assert row(found, "48", "guide")[0] == "12"
    assert re.search(r"^- N = 32: .*\b2 methods\b.*\bsame\b.*\b64 samples\b", found, re.MULTILINE)


def test_evidence_that_cannot_be_read_is_counted_with_the_reason(measured):
    folder = measured("guide")
    next(iter(folder.glob("records/*/guide/*/evidence.npz"))).unlink()
    found = section(page(folder), "FID_pre")
    assert row(found, "64", "guide")[0] == "11"
    assert re.search(r"^- N = 64: 1 trials? .*\bevidence\.npz\b", found, re.MULTILINE)


def test_brackets_name_the_methods_outside(runs, make_record, write_record, make_score):
    """ΔFID_real of the fixture: nothing 0, scramble 390, its methods between; one more is below both."""
    scores = [make_score("delta_fid_real", -5.0, None), make_score("fid_pre", 1.0, None)]
    write_record(runs, make_record("other", scores=scores))
    found = section(page(runs, "--protocol", "celebahq-multi"), "Brackets")
    assert "nothing, n = 2 | mean-latent, n = 3 | guide, n = 3 | mine, n = 3 | other, n = 1 | scr" in found
    assert row(found, "FID_pre")[-1] == "none"
    assert row(found, "ΔFID_real")[-1] == "other"
    assert row(found, "ID (alpha)")[-2:] == ["– (0 of 2)", "–"]
    assert re.search(r"^- scramble\b.* ID \(alpha\), ID \(beta\), ID\\_others \(alpha\)", found, re.MULTILINE)


def test_brackets_that_were_not_run_are_named(measured):
    found = section(page(measured("guide")), "Brackets")
    assert re.search(r"^- .*\bnothing, scramble\b.*`--floors few`", found, re.MULTILINE)
    assert row(found, "ID (alpha)")[-1] == "–"


def swept(measured, **plain):
    """The records of Table 3: the baseline, and its adjacency loss with three ranges; the widest on fewer trials."""
    fields = {"adjacency_loss": False, "alpha_max": 15.0, "noise": "random", "steps": 50}
    folder = measured("mean-latent", fields=fields, **plain)
    for alpha, seeds in ((10.0, (0, 1)), (20.0, (0, 1)), (30.0, (0,))):
        label = f"mean-latent(adjacency_loss=True,alpha_max={alpha})"
        measured(
            "mean-latent",
            label=label,
            seeds=seeds,
            people=PEOPLE[: 6 - int(alpha == 30)],
            fields={**fields, "adjacency_loss": True, "alpha_max": alpha},
        )
    return folder


def test_a_number_that_varies_alone_is_a_table_with_the_papers_rows_apart(measured):
    found = section(page(swept(measured)), "Sensitivity")
    assert re.search(r"^### alpha\\_max .*\bmean-latent\b.*\bn = 5, seeds 0\b", found, re.MULTILINE)
    lines = [line for line in found.splitlines() if line.startswith("|")]
    ten, twenty, thirty, plain, *rest = [line.split(" | ")[0].removeprefix("| ") for line in lines[2:8]]
    assert [ten, twenty, thirty, *rest] == ["10", "20", "30", "range", "row"]
    assert re.search(r"\bmean-latent\b.*: adjacency\\_loss=False$", plain)
    own = [0.3 + 0.02 * (place + 1) for place in range(5)]
    half = 2.7764 * np.std(own, ddof=1) / math.sqrt(5)  # t(0.975; 4)
    assert row(found, "20")[0] == f"{np.mean(own):.3f} [{np.mean(own) - half:.3f}, {np.mean(own) + half:.3f}]"
    assert row(found, "range")[0] == "0.000"
    (printed,) = [table for table in published.load() if table.name == "guide-3"]
    assert re.search(r"^### Published.*: GUIDE, Table 3\b", found, re.MULTILINE) and "eg3d-ffhq" in found
    assert row(found, "α_max = 15")[0] == printed.rows[2].claims["id"].printed


def test_other_settings_of_a_method_are_in_the_sensitivity_only(measured):
    text = page(swept(measured))
    assert re.search(r"^- Methods?: mean-latent\W*$", text, re.MULTILINE)
    assert text.count("alpha\\_max=") == 0


def test_a_sweep_without_trials_in_common_says_so(measured):
    found = section(page(swept(measured, seeds=(7,))), "Sensitivity")
    assert re.search(r"^- alpha\\_max .*\bmean-latent\b.*\b10, 20, 30, mean-latent\b", found, re.MULTILINE)


def variants(*settings):
    """settings: label, fields."""
    return [Variant(label, "guide", "code", fields, True) for label, fields in settings]


def test_switches_texts_and_two_numbers_at_once_are_no_sweep():
    pairs = [
        ('{"d": 1, "on": true}', '{"d": 1, "on": false}'),
        ('{"d": 1, "kind": "a"}', '{"d": 1, "kind": "b"}'),
        ('{"d": 1, "e": 1}', '{"d": 2, "e": 2}'),
    ]
    assert [sensitivity.sweeps(variants(("guide", a), ("guide(x)", b))) for a, b in pairs] == [[], [], []]


def test_a_sweep_holds_each_value_once_and_the_method_as_it_is():
    found = sensitivity.sweeps(
        variants(
            ("guide", '{"d": 30, "e": 1}'), ("guide(d=30)", '{"d": 30, "e": 1}'), ("guide(d=5)", '{"d": 5, "e": 1}')
        )
    )
    assert found == [sensitivity.Sweep("guide", "d", {5: "guide(d=5)", 30: "guide"}, None)]


def test_the_committed_records_make_a_page_though_half_have_no_evidence(committed):
    """Made by hand, with a failed trial, half-lost values and floors; the page names all that is not there."""
    text = page(committed, "--protocol", "celebahq-multi")
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        f"## {make(Runs(of_protocol(committed))).title}" for make in instrument.SECTIONS
    ]
    assert re.search(r"^- 1 failed trials?\b", text, re.MULTILINE)
    assert "evidence.npz" in section(text, "FID_pre")
    assert "`guidebench reproduce table-3`" in section(text, "Sensitivity")
    assert "nan" not in text.lower().split() and "None" not in text


def of_protocol(folder):
    chosen = selection.Filter(protocol="celebahq-multi")
    return selection.of_one_protocol(read(folder).records, chosen, folder)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ["protocols", "(celebahq-multi, ffhq)", "--protocol"]),
        (("--protocol", "celebahq"), ["protocol 'celebahq'", "'celebahq-multi'"]),
        (("--protocol", "ffhq", "--testbed", "linear"), ["testbed 'linear'", "mini"]),
    ],
)
def test_a_choice_that_leaves_none_or_several_is_answered_in_one_line(runs, arguments, words):
    result = CliRunner().invoke(main, ["instrument", str(runs), *arguments])
    assert result.exit_code == 2 and result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert [word for word in words if word not in line] == []


def test_a_folder_without_records_or_with_floors_only_is_answered_in_one_line(tmp_path, make_record, write_record):
    empty = tmp_path / "empty"
    empty.mkdir()
    write_record(tmp_path / "floors", make_record("nothing"))
    for folder, word in ((empty, str(empty)), (tmp_path / "floors", "celebahq-multi")):
        result = CliRunner().invoke(main, ["instrument", str(folder)])
        assert result.exit_code == 2
        (line,) = result.stderr.splitlines()
        assert line.startswith("guidebench: ") and word in line and "`guidebench run " in line


def test_two_versions_of_a_methods_code_are_refused(measured):
    measured("guide")
    folder = measured("guide", source_digest="f" * 64)
    result = CliRunner().invoke(main, ["instrument", str(folder)])
    assert (
        result.exit_code == 2
        and "'guide'" in result.stderr
        and "versions" in result.stderr
        and "--out" in result.stderr
    )


def test_the_page_names_no_path_of_a_machine(runs):
    text = page(runs, "--protocol", "celebahq-multi")
    assert str(runs) not in text and str(Path(runs).parent) not in text
