"""The layouts of trials that forget several people: by how many at once, and request by request."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from guidebench.errors import BadInput
from guidebench.reporting import report

NAMES = "abcdef"


@pytest.fixture
def sized(tmp_path, make_record, make_score, write_record):
    """Records of two methods that forget 1, 2 and 3 people at once; ID is a tenth per person forgotten with them."""

    def write(*counts, source="celebahq", name="many", methods=("guide", "mean-latent")):
        for count in counts:
            protocol = replace(
                make_record().spec.protocol,
                name=f"{name}-{count}",
                source=source,
                identities=6 - 6 % count,
                forget=count,
            )
            for start in range(0, 6 - 6 % count, count):
                people = NAMES[start : start + count]
                for shift, method in enumerate(methods):
                    scores = [
                        *(make_score("id", count / 10 + shift / 5, identity=who) for who in people),
                        replace(make_score("fid_pre", 3.0 * count, identity=people), judge=None, role="samples"),
                    ]
                    scores = [
                        replace(score, identity=_group(people)) if score.metric == "fid_pre" else score
                        for score in scores
                    ]
                    write_record(
                        tmp_path, make_record(method, requests=[list(people)], protocol=protocol, scores=scores)
                    )
        return tmp_path

    return write


def _group(people):
    return people[0] if len(people) == 1 else f"{people[0]}+{len(people) - 1}"


def tables(out, layout, **options):
    return json.loads(report.report(out, "json", layout=layout, **options))


def test_a_scenario_has_a_column_for_each_number_of_people(sized):
    out = sized(3, 1, 2)
    found = tables(out, "scenario")
    titles = [table["title"] for table in found["tables"]]
    assert titles[:2] == ["ID ↓, judge alpha", "FID_pre ↓"] and titles[-1].startswith("unlearn")
    ident = found["tables"][0]
    assert [column["protocol"] for column in ident["columns"]] == ["many-1", "many-2", "many-3"]
    guide = next(row for row in ident["rows"] if row["label"] == "guide")
    assert [cell["mean"] for cell in guide["cells"]] == pytest.approx([0.1, 0.2, 0.3])
    assert [cell["n"] for cell in guide["cells"]] == [6, 3, 2], "groups, not people"
    assert found["people"] == {"many-1": 1, "many-2": 2, "many-3": 3}
    text = report.report(out, layout="scenario")
    assert "| method | 1 person | 2 people | 3 people |" in text
    assert "3 groups × 2 people" in text and "2 groups × 3 people" in text


@pytest.mark.parametrize("style", ["markdown", "terminal", "latex", "csv"])
def test_every_format_shows_it(sized, style):
    text = report.report(sized(1, 2), style, layout="scenario")
    assert all(words in text for words in (("many-1", "many-2") if style == "csv" else ("1 person", "2 people")))


def test_sizes_of_two_protocols_are_told_apart_by_name(sized):
    sized(2, name="others")
    text = report.report(sized(1, 2), layout="scenario")
    assert "1 person |" in text and "2 people (many-2)" in text and "2 people (others-2)" in text


def test_the_unit_of_tests_is_the_group(sized):
    """Six groups of one person, two of three: whatever the people of a group have, it is one difference."""
    found = tables(sized(1, 3), "scenario")
    guide = next(row for row in found["tables"][0]["rows"] if row["label"] == "guide")
    assert [cell["contrast"]["difference"]["n"] for cell in guide["cells"]] == [6, 2]


@pytest.fixture
def curves(tmp_path, make_record, make_score, write_record):
    """Two groups of three people, one request each: ID k/10 after request k, plus the place of the person's request."""

    def write(*, failed_at=None):
        protocol = replace(make_record().spec.protocol, name="line", identities=6, requests=3)
        for number, people in enumerate(("abc", "def")):
            stop = failed_at if failed_at and number else 4
            scores = [
                replace(make_score("id", (after + 0.1 * place) / 10, identity=who), after_request=after)
                for after in range(1, stop)
                for place, who in enumerate(people, start=1)
                if place <= after
            ]
            scores += [
                replace(
                    make_score("fid_pre", 2.0 * after, identity=_group(people)),
                    judge=None,
                    role="samples",
                    after_request=after,
                )
                for after in range(1, stop)
            ]
            record = make_record("guide", requests=[[who] for who in people], protocol=protocol, scores=scores)
            if stop < 4:
                reason = f"request {stop} of 3: the method raised ValueError: no"
                outcome = replace(record.outcome, status="failed", reason=reason)
                record = replace(record, outcome=outcome, cost=None)
            write_record(tmp_path, record)
        return tmp_path

    return write


def test_a_sequence_is_a_curve_over_requests(curves):
    found = tables(curves(), "sequence")
    ident, fid = found["tables"][:2]
    assert [column["after_request"] for column in ident["columns"]] == [1, 2, 3]
    (row,) = ident["rows"]
    assert [cell["mean"] for cell in row["cells"]] == pytest.approx([0.11, 0.215, 0.32]), "over all forgotten so far"
    assert [cell["mean"] for cell in fid["rows"][0]["cells"]] == pytest.approx([2, 4, 6])
    assert "| method | after request 1 | after request 2 | after request 3 |" in report.report(
        curves(), layout="sequence"
    )


def test_a_matrix_has_the_people_of_each_request_after_each_request(curves):
    out = curves()
    (matrix,) = tables(out, "sequence")["matrices"]
    means = [[cell and cell["mean"] for cell in row] for row in matrix["cells"]]
    assert means[0] == pytest.approx([0.11, 0.21, 0.31])
    assert means[1][0] is None and means[1][1:] == pytest.approx([0.22, 0.32])
    assert means[2][:2] == [None, None] and means[2][2] == pytest.approx(0.33)
    assert "by request" in report.report(out, "terminal", layout="sequence")
    rows = list(csv.DictReader(io.StringIO(report.report(out, "csv", layout="sequence"))))
    cells = {(row["forgotten_by"], row["after_request"]): float(row["mean"]) for row in rows if row["forgotten_by"]}
    assert cells["2", "3"] == pytest.approx(0.32) and len(cells) == 6
    curve = [row for row in rows if row["metric"] == "id" and not row["forgotten_by"]]
    assert [row["after_request"] for row in curve] == ["1", "2", "3"]


def test_a_trial_that_failed_later_is_in_the_curve_as_far_as_it_came_and_in_no_other_mean(curves):
    out = curves(failed_at=3)
    found = tables(out, "sequence")
    (row,) = found["tables"][0]["rows"]
    assert [(cell["n"], cell["groups"]) for cell in row["cells"]] == [(2, 2), (2, 2), (1, 2)]
    assert "1 of 2 failed" in row["notes"]
    assert any("request 3 of 3" in note for note in found["footnotes"])
    full = tables(out, "full")
    cell = next(table for table in full["tables"] if "alpha" in table["title"])["rows"][0]["cells"][0]
    assert cell["n"] == 1 and cell["mean"] == pytest.approx(0.32)


@pytest.mark.parametrize(
    ("layout", "run"), [("scenario", "celebahq-simultaneous"), ("sequence", "celebahq-sequential")]
)
def test_records_that_a_layout_is_not_about_are_refused_with_what_to_run(sized, curves, says, layout, run):
    out = curves() if layout == "scenario" else sized(1)
    with pytest.raises(BadInput, match=says(layout, run)):
        report.report(out, layout=layout)
