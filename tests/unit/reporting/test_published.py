"""Published numbers: as printed, with their source, and never in a column with measured ones."""

from __future__ import annotations

import csv
import io
import json

import pytest

from guidebench import suites
from guidebench.errors import BadInput
from guidebench.metrics import METRICS
from guidebench.reporting import published, report


def _claims(name):
    return {(row.row, row.protocol): row.claims for row in next(t for t in published.load() if t.name == name).rows}


def test_shipped_numbers_are_those_of_the_paper():
    """Spot checks of every table; the celebahq columns of Tables 1 and 2 are the same runs, row by row."""
    first, second = _claims("guide-1"), _claims("guide-2")
    assert first["Baseline", "random"]["delta_fid_real"].printed == "7.46 ± 2.20"
    assert (first["+ global loss (GUIDE)", "ffhq"]["id"].mean, first["+ adjacency loss", "ffhq"]["id"].std) == (
        0.06,
        0.06,
    )
    for (row, _), claims in second.items():
        for metric in ("id", "fid_pre", "delta_fid_real"):
            assert claims[metric] == first[row, "celebahq"][metric]
    assert [claims["id_others"].mean for claims in second.values()] == [0.28, 0.15, 0.14, 0.17]
    assert _claims("guide-3")["α_max = 15", "celebahq-multi"]["id"].printed == "0.0878 ± 0.0375"
    assert _claims("guide-4")["+ global loss", "celebahq"]["fid_pre"].mean == 4.63
    assert _claims("guide-readme")["GUIDE", "celebahq-multi"]["id_others"].std is None
    assert _claims("legato-readme")["LEGATO", "celebahq-multi"]["delta_fid_real"].mean == 1.78
    assert sum(len(claims) for table in published.load() for claims in _claims(table.name).values()) == 82


def test_every_shipped_table_names_its_source_and_what_was_different():
    for table in published.load():
        assert "arXiv" in table.citation or "README" in table.citation
        assert len(table.different) > 20


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('id = "0.12 ± 0.06"', 'id = "0.12 +- 0.06"', ["row 1: id = '0.12 +- 0.06'", "0.12 ± 0.06"]),
        ('id = "0.12 ± 0.06"', "id = 0.12", ["row 1: id = 0.12 ", "0.12 ± 0.06"]),
        (', id = "0.12 ± 0.06"', "", ["row 1 ", "number", "id, id_others"]),
        ('row = "Baseline", ', "", ["row 1", "'row'", "missing"]),
        ('method = "m"', 'methods = "m"', ["row 1", "'method'", "missing"]),
        ('different = "d"', 'different = "d"\nunit = 1', ["'unit'", "different"]),
        ('layouts = ["table-1"]', 'layouts = ["table-9"]', ["layout 'table-9'", "table-4"]),
        ("[tables.x]", "[tables.x", ["TOML"]),
    ],
)
def test_wrong_file_is_refused_naming_table_row_and_key(tmp_path, old, new, words, says):
    path = tmp_path / "mine.toml"
    text = (
        '[tables.x]\ntitle = "t"\ncitation = "c"\ntestbed = "b"\njudge = "j"\nvenue = "v"\nlink = "l"\n'
        'layouts = ["table-1"]\ndifferent = "d"\n'
        'rows = [{ row = "Baseline", method = "m", protocol = "p", source = "s", id = "0.12 ± 0.06" }]\n'
    )
    path.write_text(text)
    assert published.load(path)[0].rows[0].claims["id"] == published.Claim(0.12, 0.06, "0.12 ± 0.06")
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(BadInput, match=says("mine.toml", *words)):
        published.load(path)


def test_a_table_may_be_shown_beside_every_suite_and_hold_every_metric(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        '[tables.x]\ntitle = "t"\ncitation = "c"\ntestbed = "b"\njudge = "j"\nvenue = "v"\nlink = "l"\n'
        f'layouts = {[*suites.names(), "full"]}\ndifferent = "d"\n'
        'rows = [{ row = "R", method = "m", protocol = "p", source = "s", '
        + ", ".join(f'{name} = "0.1"' for name in METRICS)
        + " }]\n"
    )
    (table,) = published.load(path)
    assert "figure-9" in table.layouts and list(table.rows[0].claims) == list(METRICS)


@pytest.fixture
def paper(tmp_path, make_record, write_record):
    """Records that the networks of the paper could have made."""
    for protocol in ("ffhq", "celebahq-multi"):
        for method in ("mean-latent", "guide"):
            write_record(tmp_path / "paper", make_record(method, protocol=protocol, testbed="eg3d-ffhq"))
    return tmp_path / "paper"


def test_published_numbers_are_shown_beside_their_own_testbed_only(runs, paper, says):
    assert "Published" not in report.report(runs)
    with pytest.raises(BadInput, match=says("eg3d-ffhq", "mini", "--published")):
        report.report(runs, published=True)
    assert "0.17 ± 0.08" in report.report(paper, protocol="celebahq-multi")
    assert "0.17 ± 0.08" not in report.report(paper, protocol="celebahq-multi", published=False)


def test_published_block_is_cut_to_the_photo_sets_of_the_records(paper):
    text = report.report(paper, protocol="ffhq", published=True)
    assert "9.00 ± 1.15" in text
    assert "11.73 ± 2.74" not in text
    multi = report.report(paper, protocol="celebahq-multi", published=True)
    assert "GUIDE, Table 2" in multi
    assert "GUIDE, Table 1 " not in multi.replace("\n", " ")


@pytest.mark.parametrize(("layout", "number"), [("table-3", "0.0878 ± 0.0375"), ("table-2", "0.28 ± 0.08")])
def test_every_table_of_the_paper_has_its_own_numbers_below(paper, layout, number):
    assert number in report.report(paper, layout=layout)


def test_measured_and_published_never_share_a_column(paper):
    lines = list(csv.DictReader(io.StringIO(report.report(paper, "csv"))))
    assert {line["origin"] for line in lines} == {"measured", "published"}
    for line in lines:
        other = "mean" if line["origin"] == "published" else "published_mean"
        assert line[other] == ""
    data = json.loads(report.report(paper, "json"))
    assert {table["title"] for table in data["published"]} == {"GUIDE, Table 1"}
    assert all("published" not in json.dumps(table["rows"]).lower() for table in data["tables"])
