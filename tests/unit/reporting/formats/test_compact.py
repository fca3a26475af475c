"""Tables of 80 characters: what a run prints last, and the layout `short`."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from guidebench.errors import BadInput
from guidebench.reporting import report, statistics
from guidebench.reporting.formats.cells import shortened
from guidebench.store.folders import scan
from guidebench.suites import PaperTable


def _digest(directory, protocol):
    return next(
        stored.record.spec.protocol.digest()
        for stored in scan(directory)[0]
        if stored.record.spec.protocol.name == protocol
    )


def _brief(directory, protocol="celebahq-multi", **options):
    return report.brief(directory, _digest(directory, protocol), testbed="mini", **options)


def _row(text, label):
    (line,) = [line for line in text.splitlines() if line.startswith(f"{label} ")]
    return line.removeprefix(label)


def test_a_run_ends_with_the_papers_columns_and_the_people_who_survive_under_one_judge(committed):
    text = _brief(committed)
    (head,) = [line for line in text.splitlines() if line.startswith("method")]
    assert re.split(r" {2,}| (?=ID|FID|Δ)", head.strip())[1:] == [
        *("n", "ID ↓", "ID_others ↓", "ID_retain ↑", "FID_pre ↓", "ΔFID_real ↓")
    ]
    assert "ID_others" not in _brief(committed, "ffhq"), "a protocol without other photos has no such column"
    assert "alpha" in text and "beta" not in text and "0.10 ± 0.15" in text


def test_an_interval_is_half_as_wide_as_it_reaches(committed):
    """guide: 0.05 for the person in the middle, steps of 0.005; p1's second seed is 0.01 further, so p1 is 0.005 up."""
    values = [0.05 + 0.005 * step for step in range(-4, 5)]
    values[0] += 0.005
    low, high = statistics.t_interval(values)
    assert _row(_brief(committed), "guide").split()[:3] == ["9", f"{(low + high) / 2:.2f}", f"±{(high - low) / 2:.2f}†"]


def test_a_mark_needs_the_test_that_the_papers_table_makes(committed):
    """The same dagger as `guidebench report`: the retained people are shown, but they do not join the tests."""
    text = _brief(committed)
    full = report.report(committed, "terminal", protocol="celebahq-multi")
    assert "†" in _row(full, "guide")
    assert [cell.endswith("†") for cell in _row(text, "guide").split()[2::2]] == [True, True, False, True, True]
    assert "† differs significantly from mean-latent" in " ".join(text.split())
    assert "Too few people to test" in " ".join(_brief(committed, "ffhq").split())


def test_other_photos_are_shown_wherever_there_are_some_and_tested_where_the_paper_has_them(
    tmp_path, make, make_record, write_record
):
    """Table 1, whose tests those of other protocols are, has no ID_others."""
    protocol = replace(make_record().spec.protocol, name="own", identities=8)
    for method, level in (("mean-latent", 0.5), ("guide", 0.1)):
        scores = [
            [score for record in make(method, [level + 0.01 * place] * 8, metric) for score in record.outcome.scores]
            for place, metric in enumerate(("id", "id_others"))
        ]
        for both in zip(*scores, strict=True):
            write_record(tmp_path, make_record(method, both[0].identity, protocol=protocol, scores=both))
    guide = _row(report.brief(tmp_path, protocol.digest(), testbed="mini"), "guide").split()
    assert guide == ["8", "0.10", "±0.00†", "0.11", "±0.00"]


def test_failures_and_fewer_values_are_a_line_below_their_row(committed):
    lines = _brief(committed).splitlines()
    (place,) = [place for place, line in enumerate(lines) if line.startswith("mine ")]
    assert "1 of 9 failed" in lines[place + 1] and "ID_others: n = 7" in lines[place + 1]


def test_a_run_never_prints_more_than_80_columns(runs, make_record, make_score, write_record):
    long = "a-method-with-a-name-that-is-longer(than_any=1.2345,column=True,can_hold=text)"
    for place, person in enumerate("abc"):
        scores = [make_score(name, -0.123 * place, identity=person) for name in ("id", "id_others", "id_retain")]
        scores += [make_score(name, 12345.6 * place, None, identity=person) for name in ("fid_pre", "delta_fid_real")]
        write_record(runs, make_record("mine", person, label=long, scores=scores))
    for text in (_brief(runs), report.report(runs, "terminal", layout="short", protocol="celebahq-multi")):
        *lines, last = text.splitlines()
        assert max(map(len, lines)) <= 80
        assert "a-method-w" in text and "…" in text and "ID ↓" in text or "same photo" in text


def test_the_floors_keep_their_names_whole_beside_long_numbers(tmp_path, make_record, make_score, write_record):
    for method in ("nothing", "scramble", "guide"):
        for place, person in enumerate("abcdefghij"):
            scores = [
                make_score(name, -0.5 + 0.1 * place, identity=person) for name in ("id", "id_others", "id_retain")
            ]
            scores += [make_score(name, -99.9 + place, None, identity=person) for name in ("fid_pre", "delta_fid_real")]
            write_record(tmp_path, make_record(method, person, scores=scores))
    *lines, _ = _brief(tmp_path).splitlines()
    assert any(line.startswith("scramble (ceiling) 10 -0.05±") for line in lines) and max(map(len, lines)) <= 80
    assert any(line.startswith("method ") and line.endswith("ΔFID_real ↓") for line in lines)


def test_the_last_line_is_the_command_for_the_whole_table(runs, tmp_path, make_record, write_record):
    assert _brief(runs).splitlines()[-1] == f"guidebench report {runs} --layout full --protocol celebahq-multi"
    write_record(tmp_path / "one", make_record())
    assert _brief(tmp_path / "one").splitlines()[-1] == f"guidebench report {tmp_path / 'one'} --layout full"
    write_record(tmp_path / "one", make_record(testbed="linear"))
    assert _brief(tmp_path / "one").splitlines()[-1].endswith("--layout full --testbed mini")


def test_a_run_shows_its_protocol_and_what_it_asked_for(runs, make_record, says):
    text = _brief(runs)
    assert "CelebAHQ (multi-image)" in text and "FFHQ" not in text
    assert "\nmean-latent" not in _brief(runs, keys={make_record("guide", "a").key})
    with pytest.raises(BadInput, match=says("0" * 12, str(runs), f"`guidebench report {runs}`")):
        report.brief(runs, "0" * 64, testbed="mini")


def test_short_is_four_columns_in_plain_words(committed):
    text = report.report(committed, layout="short", protocol="celebahq-multi", method=["mean-latent", "guide"])
    head, _, *rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in head.strip("|").split("|")] == [
        *("method", "same photo ↓", "other photos ↓", "other people ↑", "image damage ↓")
    ]
    assert [row.split("|")[1].strip() for row in rows] == ["mean-latent", "guide"]
    assert rows[1].count("**") == 8
    assert max(len(line.replace("**", "")) for line in text.splitlines()) <= 80
    note = " ".join(text.split("\n\n")[1].split())
    assert "9 people" in note and "seeds 0 1" in note and "alpha" in note and "0.10 ± 0.15" in note


def test_short_has_one_row_for_a_method_that_is_named(tmp_path, write_record, make_record):
    """And not the rows of a sweep, which are settings of that method."""
    for label in ("guide", "guide(alpha_max=20.0)"):
        write_record(tmp_path, make_record("guide", "a", label=label))
    rows = re.findall(r"^\| (guide\S*) \|", report.report(tmp_path, layout="short", method="guide"), re.MULTILINE)
    assert rows == ["guide"]
    assert "alpha" in report.report(tmp_path, layout="short")


def test_short_is_of_one_protocol_and_in_every_format(committed, says):
    with pytest.raises(BadInput, match=says("short", "--protocol", "celebahq-multi", "ffhq")):
        report.report(committed, layout="short")
    for style in report.FORMATS:
        text = report.report(committed, style, layout="short", protocol="celebahq-multi")
        assert "guide" in text and "0.05" in text


def test_short_takes_the_rows_of_a_table(committed):
    table = PaperTable("own", "Own", ("id",), ("celebahq-multi",), rows=(("guide", "Ours"), ("mean-latent", "Theirs")))
    text = report.report(committed, layout="short", table=table)
    assert re.findall(r"^\| (Ours|Theirs|mine) \|", text, re.MULTILINE) == ["Ours", "Theirs", "mine"]
    assert "same photo" in report.report(committed, "latex", layout="short", table=table)


def test_long_text_ends_in_an_ellipsis():
    assert [shortened("guide", width) for width in (5, 4, 1)] == ["guide", "gui…", "…"]
