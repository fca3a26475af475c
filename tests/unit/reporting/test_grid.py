"""Rows of a report: their order and names, their scores and costs."""

from __future__ import annotations

import pytest

from guidebench.metrics import METRICS
from guidebench.reporting.grid import Grid, unique_labels
from guidebench.reporting.model import Column, Group
from guidebench.reporting.scores import from_records
from guidebench.reporting.selection import Variant
from guidebench.store.folders import StoredRecord
from guidebench.suites import PaperTable

MULTI = Group("celebahq-multi", "CelebAHQ (multi-image)")


def column(metric, judge="alpha", direction="lower", **changes):
    return Column(
        group=MULTI, metric=metric, judge=judge, title=metric, latex=metric, direction=direction, digits=2, **changes
    )


@pytest.fixture
def grid():
    """A grid of records without folders; reference: the label to compare with."""

    def make(records, table=None, reference=None):
        stored = [StoredRecord(record, f"path/{place}") for place, record in enumerate(records)]
        variants = {record.spec.method.label: Variant.of(record) for record in records}
        return Grid(records, from_records(stored, METRICS), table, variants.get(reference))

    return make


def test_floors_come_first_then_the_rows_that_a_table_names_in_its_order(grid, make_record):
    records = [make_record(method) for method in ("other", "guide", "nothing", "mean-latent")]
    table = PaperTable("t", "T", ("id",), ("celebahq-multi",), (("guide", "Ours"), ("mean-latent", "Baseline")))
    found = grid(records, table)
    assert [found.title(variant) for variant in found.variants] == ["nothing", "Ours", "Baseline", "other"]
    assert [found.section(variant) for variant in found.variants] == [0, 1, 1, 2]
    assert [variant.label for variant in grid(records).variants] == ["nothing", "mean-latent", "guide", "other"]


def test_two_versions_of_a_label_are_told_apart_by_code_or_by_number(make_record):
    by_code = [Variant.of(make_record("guide", source_digest=digit * 64)) for digit in "ab"]
    assert list(unique_labels(by_code).values()) == ["guide [code aaaaaa]", "guide [code bbbbbb]"]
    by_fields = [Variant.of(make_record("guide", fields={"lr": lr})) for lr in (0.1, 0.2)]
    assert list(unique_labels(by_fields).values()) == ["guide [variant 1]", "guide [variant 2]"]
    assert list(unique_labels(by_code[:1]).values()) == ["guide"]


def test_a_cost_is_counted_once_per_trial_in_its_unit(grid, make_record):
    """Every score of a trial repeats its costs: 300 MiB and 200 MiB make 250, not more of the one with more scores."""
    records = [make_record("guide", who, peak_memory_bytes=mib * 2**20) for who, mib in (("a", 300), ("b", 200))]
    records[1] = make_record("guide", "b", peak_memory_bytes=200 * 2**20, scores=[])
    found = grid(records)
    summary = found.summary(found.variants[0], column("peak_memory_bytes", None, "none"))
    assert (summary.mean, summary.n) == (250.0, 2)


def test_only_what_can_be_compared_has_a_difference(grid, make_record):
    records = [make_record(method, who) for method in ("nothing", "mean-latent", "guide") for who in "ab"]
    found = grid(records, reference="mean-latent")
    nothing, baseline, guide = found.variants
    assert found.difference(guide, column("id")).mean == pytest.approx(0.02 - 0.20)
    assert found.difference(nothing, column("id")) is found.difference(baseline, column("id")) is None
    for change in ({"direction": "none"}, {"independent": False}):
        assert found.difference(guide, column("id", **change)) is None
    assert found.difference(guide, column("id_photo")) is None, "never measured"


def test_values_that_depend_on_each_other_have_no_interval(grid, make_record):
    found = grid([make_record("guide", who) for who in "abc"])
    assert found.summary(found.variants[0], column("id")).low is not None
    dependent = found.summary(found.variants[0], column("id", independent=False))
    assert dependent.mean is not None and dependent.low is dependent.high is None


def test_a_share_that_all_people_have_alike_has_counts_and_no_interval(grid, make_record, make_score):
    """Four people without a recognised render do not show that nobody is: [0, 0] would claim it."""

    def of(method, shares):
        return [
            make_record(method, who, scores=[make_score("recognised", share, identity=who, n=10, lost_after=0)])
            for who, share in zip("abcd", shares, strict=True)
        ]

    found = grid(
        of("mean-latent", [0.0] * 4) + of("guide", [0.0] * 4) + of("mine", [0, 0, 0, 0.5]), reference="mean-latent"
    )
    cell = column("recognised", counted=True)
    baseline, guide, mine = found.variants
    assert (found.summary(guide, cell).mean, found.summary(guide, cell).hits, found.summary(guide, cell).low) == (
        0,
        0,
        None,
    )
    assert found.summary(mine, cell).hits == 5 and found.summary(mine, cell).low < 0
    assert found.difference(guide, cell).low is None and found.difference(mine, cell).low < 0
    assert found.summary(guide, column("recognised")).low == 0  # of what is no count
