"""Every registered metric, and every kind of answer that a metric may give, keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from guidebench import registry
from guidebench.checks.finding import Finding
from guidebench.checks.metric import check_metric
from guidebench.checks.plugin import check_plugin
from guidebench.commands import new
from guidebench.errors import BadInput
from guidebench.metric import TrialMetric

HERE = Path(__file__).parent
CHECKS = ("loads", "direction", "computes", "people", "records", "pure", "order")
OF_JUDGES = ("missing", "unseen")


def wrong(findings: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.detail for finding in findings if not finding.ok}


@pytest.mark.parametrize("name", registry.metrics())
def test_every_registered_metric_keeps_the_contract(name: str) -> None:
    findings = check_metric(name)
    assert wrong(findings) == {}
    expected = CHECKS + (OF_JUDGES if registry.load_metric(name).judged else ())
    assert tuple(finding.name for finding in findings) == expected, "no check was left out"


@pytest.mark.parametrize("name", ["SHIFT", "AGREEMENT", "SPREAD"])
def test_metrics_of_samples_of_some_people_and_of_several_trials_keep_the_contract(name: str) -> None:
    assert wrong(check_metric(f"{HERE / 'good_metrics.py'}:{name}")) == {}


def test_the_plainest_metric_passes() -> None:
    assert wrong(check_metric(f"{HERE / 'bad_metrics.py'}:OBEDIENT")) == {}


@pytest.mark.parametrize(
    ("name", "check", "hint"),
    [
        ("NAMELESS", "loads", "name"),
        ("UPWARDS", "loads", "lower, higher, none"),
        ("NOTHING_AT_ALL", "computes", "no score"),
        ("RETURNS_NUMBER", "computes", "a float"),
        ("RETURNS_NUMBERS", "computes", "a float"),
        ("SINGLE", "computes", "two people in one request"),
        ("NO_REASON", "computes", "reason"),
        ("BOTH", "computes", "'just so'"),
        ("NOT_A_NUMBER", "computes", "nan"),
        ("OF_OTHERS", "people", "'somebody-else'"),
        ("OF_A_LATER_REQUEST", "people", "after_request = 3"),
        ("OF_NO_JUDGE", "people", "judge = None"),
        ("OTHERWISE_CALLED", "people", "'other'"),
        ("TWICE", "people", "two scores"),
        ("COUNTS_BELOW_ZERO", "records", "n = -3"),
        ("REMEMBERS", "pure", "seeded"),
        ("CHANGES", "pure", "copies"),
        ("BY_PLACE", "order", "by name"),
        ("ZERO_FOR_MISSING", "missing", "a missing face is not a similarity of 0"),
        ("EVERYTHING", "unseen", "`found`"),
    ],
)
def test_a_metric_that_breaks_the_contract_gets_the_reason(name: str, check: str, hint: str) -> None:
    found = wrong(check_metric(f"{HERE / 'bad_metrics.py'}:{name}"))
    assert hint in found[check]
    assert "\n" not in found[check]


def test_the_metric_that_new_writes_keeps_the_contract(tmp_path: Path) -> None:
    written = new.new_metric("my-first_idea", tmp_path)
    assert (written.path, written.attribute) == (tmp_path / "my_first_idea.py", "MY_FIRST_IDEA")
    assert wrong(check_metric(written.spec)) == {}
    metric = registry.load_metric(written.spec)
    assert isinstance(metric, TrialMetric) and metric.name == "my-first_idea" and metric.title == "My first idea"


@pytest.mark.parametrize("name", ["name", "coverage"])
def test_new_metric_does_not_overwrite_a_name_of_its_own_file(name: str, tmp_path: Path) -> None:
    assert wrong(check_metric(new.new_metric(name, tmp_path).spec)) == {}


@pytest.mark.parametrize("name", ["fid_pre", "2fast", "a b", "../evil", "", "class"])
def test_new_refuses_names_that_cannot_name_a_metric(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        new.new_metric(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("spec", "first"),
    [
        ("nothing", "Nothing"),
        ("fid_pre", "TrialMetric"),
        ("linear", "LinearTestbed"),
        (f"{HERE / 'good_metrics.py'}:SPREAD", "CrossMetric"),
        (f"{HERE / 'good_citizens.py'}:Wrapper", "Wrapper"),
        ("guidebench.testbeds.linear:LinearTestbed", "LinearTestbed"),
    ],
)
def test_check_finds_out_what_it_is_given(spec: str, first: str) -> None:
    findings = check_plugin(spec)
    assert findings[0].detail.startswith(first) and wrong(findings) == {}


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("fid_per", "'fid_pre'"),
        ("nowhere.py:Mine", "nowhere.py"),
        ("nowhere_to_be_found:Mine", "ModuleNotFoundError"),
        (f"{HERE / 'good_metrics.py'}:_shift", "is a function"),
        (f"{HERE / 'good_metrics.py'}:HERE", "HERE"),
    ],
)
def test_what_cannot_be_checked_is_one_finding(spec: str, hint: str) -> None:
    (finding,) = check_plugin(spec)
    assert not finding.ok and finding.name == "loads" and hint in finding.detail
