"""The paper's orderings are reported as found: held, reversed or not separable, by the paired interval."""

from dataclasses import replace

import pandas as pd
import pytest
from click.testing import CliRunner

from guidebench.commands.main import main
from guidebench.reporting import paper_claims, report
from guidebench.store.record import Record


def frame(values, metric="fid_pre", judge=None):
    """values: method label -> one value an identity."""
    rows = [
        {
            "key": f"{label}{place}",
            "metric": metric,
            "judge": judge,
            "label": label,
            "group": f"p{place}",
            "identity": f"p{place}",
            "seed": 0,
            "value": value,
            "reason": None,
            "n": 1,
            "lost_before": 0,
            "lost_after": 0,
            "after_request": 0,
            "protocol": "celebahq-multi",
            "protocol_digest": "d",
            "testbed": "mini",
            "weights_version": None,
        }
        for label, column in values.items()
        for place, value in enumerate(column)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("guide", "verdict", "wins"),
    [([5, 6, 7, 8], "holds", 4), ([15, 16.1, 17, 18], "reversed", 0), ([5, 15, 8, 12], "separable", 3)],
)
def test_the_verdict_follows_the_paired_interval(guide, verdict, wins):
    found = paper_claims.findings(frame({"mean-latent": [9, 10, 11, 12.1], "guide": guide}))
    (finding,) = [item for item in found if item.ordering.first == "guide"]
    assert verdict in finding.verdict and (finding.difference.wins, finding.difference.n) == (wins, 4)
    assert finding.difference.mean == pytest.approx(sum(guide) / 4 - 10.525)


def test_each_judge_is_asked_and_absent_methods_are_passed_over():
    both = pd.concat(
        [
            frame({"mean-latent": [0.3, 0.4], "guide": [0.1, 0.2]}, "id", judge)
            for judge in ("curricularface", "arcface")
        ]
    )
    assert [item.judge for item in paper_claims.findings(both)] == ["curricularface", "arcface"]


def test_one_identity_has_no_interval_and_no_verdict():
    (finding,) = paper_claims.findings(frame({"mean-latent": [9.0], "guide": [5.0]}))
    assert "not measured" in finding.verdict and finding.difference.mean == -4.0
    assert paper_claims._row(finding)[3:] == ("-4.00", "1", "1 of 1", finding.verdict)


def test_the_table_says_below_that_it_is_not_a_test(committed):
    result = CliRunner().invoke(main, ["orderings", str(committed), "--protocol", "celebahq-multi"])
    assert result.exit_code == 0
    *table, blank, note = result.output.splitlines()
    assert blank == "" and all(line.startswith("|") for line in table)
    assert "adjusted" in note and "test" in note and "`guidebench compare`" in note


def test_an_ordering_of_the_metric_that_a_preset_was_chosen_by_says_fitted_in_its_row():
    values = {"mean-latent": [9, 10, 11, 12.1], "guide": [5, 6, 7, 8]}
    both = pd.concat([frame(values), frame(values, "delta_fid_real"), frame(values, "id", "arcface")])
    both["fitted_on"] = ["kid_pre; fid_pre" if label == "guide" else "" for label in both["label"]]
    found = {item.ordering.metric: paper_claims._row(item)[-1] for item in paper_claims.findings(both)}
    assert found == {"fid_pre": "holds (fitted)", "delta_fid_real": "holds", "id": "holds"}


def test_the_note_explains_fitted_where_a_row_says_it(committed):
    def orderings():
        return CliRunner().invoke(main, ["orderings", str(committed), "--protocol", "celebahq-multi"]).output

    assert "fitted" not in orderings()
    for path in committed.glob("records/celebahq-multi/guide/*/record.json"):
        record = Record.from_json(path.read_text())
        method = replace(record.spec.method, fitted_on=("fid_pre",))
        path.write_text(replace(record, spec=replace(record.spec, method=method)).to_json())
    shown = orderings()
    assert "(fitted) |" in shown and "*fitted*: steps and learning rate" in shown
    footnote = "guide: steps 300, lr 0.001 (preset for mini, the best of 6 settings by FID\\_pre)."
    assert footnote in report.report(committed)
