"""The paper's orderings are reported as found: held, reversed or not separable, by the paired interval."""

import pandas as pd
import pytest
from click.testing import CliRunner

from guidebench.commands.main import main
from guidebench.reporting import paper_claims


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
