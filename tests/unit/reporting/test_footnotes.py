"""What a report must say below its tables."""

from __future__ import annotations

import re
from dataclasses import replace

from guidebench.reporting import report


def test_preset_is_said_in_a_footnote_where_no_row_has_one(build, make_record):
    report = build([make_record("guide", preset=False)])
    assert report.tables[0].rows[0].notes == ()
    assert any(re.search(r"\bguide: steps 300, lr 0\.001\b.*\bdefaults\b.*\bmini\b", note) for note in report.footnotes)


def test_footnotes_say_what_is_needed_to_repeat_the_numbers(runs):
    text = report.report(runs)
    for pattern in (
        r"\bmini\b.*\bcorrected\b",
        r"\bffhq v1 \(",
        r"\b3 people, seed 0, 4 probe .*\b11 views .*±15°.*\b10 others\b",
        r"\b400 samples\b.*\bmini features, 64 px\b",
        r"\balpha\b.* 0\.100 ± 0\.150\b.*\bbbbbbbbbbbbb\b",
        r"\bddof 1\b",
        r"\bmean-latent, guide: steps 300, lr 0\.001\b.*\bpreset for mini; how many settings .* not stated\)",
        r"\bmine: steps 300, lr 0\.001\b.*\bdefaults\b.*\bmini; how many settings were tried is not stated\)",
        r"\bmine, 1 trial: the loss is not finite at step 7\b",
        r"\bguidebench 0\.1\.0, numerics 1, torch 2\.13\.0\b",
        r"\b2 of 11 pairs\b",
    ):
        assert re.search(pattern, text.replace("\\_", "_")), pattern


def test_footnote_names_the_package_that_computes_kid_precision_and_recall(build, make_record):
    report = build([make_record("guide", versions={"torch-fidelity": "0.4.0"})])
    assert any("torch 2.13.0, torch-fidelity 0.4.0" in note for note in report.footnotes)


def test_everybody_who_must_survive_is_counted(build, make_record):
    protocol = replace(make_record().spec.protocol, retain=10, retain_named=5)
    (note,) = [note for note in build([make_record(protocol=protocol)]).footnotes if note.startswith("Protocol ")]
    assert "15 others to survive (5 of them named to the method)" in note


def test_a_report_of_groups_says_so(tmp_path, make_record, make_score, write_record):
    protocol = replace(make_record().spec.protocol, identities=6, forget=2, requests=1)
    for people in ("ab", "cd", "ef"):
        for method in ("guide", "mine") if people != "ef" else ("guide",):
            scores = [make_score("id", 0.1, identity=who) for who in people]
            write_record(tmp_path, make_record(method, requests=[list(people)], protocol=protocol, scores=scores))
    text = report.report(tmp_path, layout="full")
    assert "mine (2 of 3 groups" in text
    assert re.search(r"\b3 groups × 2 people, in one request\b", text) and "over groups" in text
    assert "3 groups × 2 people" in report.report(tmp_path, layout="short")
