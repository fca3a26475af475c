"""`verify` finds nothing in honest results, and names what was done to others."""

from __future__ import annotations

import dataclasses
import json
import shutil

from tampering import METHOD, change_arrays, differing, forge, lines, rezipped, trial, with_value

from guidebench.submissions import claims
from guidebench.submissions.manifest import NAME
from guidebench.submissions.pack import pack
from guidebench.submissions.verify import verify

ALL = 10  # more trials than there are


def test_honest_results_match_and_every_generator_is_rendered_again(packed):
    found = verify(packed, sample=ALL)
    assert lines(found, "differs") == [] and found.differing == 0
    said = dict(lines(found, "ok"))
    assert said["renders"].startswith("6 kept generators") and said["scores"].endswith("evidence")
    assert {"files", "records", "numerics", "protocol", "code", "people", "testbed", "marks"} <= set(said)
    assert [about for about, _ in lines(found, "not checked")] == ["salt", "tuning"]
    data = json.loads(json.dumps(found.as_data()))
    assert (data["name"], data["form"], data["differs"]) == ("A", "method", 0)
    assert {one["result"] for one in data["checks"]} == {"ok", "not checked"}


def test_a_score_that_was_edited_is_named_whether_or_not_its_digest_was(copy):
    edited, forged = trial(copy, "mean-latent", "celebahq-0000"), trial(copy, "mean-latent", "celebahq-0001")
    forge(forged, lambda record: with_value(record, "id_others", 0.125))
    file = copy.parent / "a.zip"
    pack([copy], file, METHOD)

    def edit(name, content):
        return content.replace(b'"value": 0.', b'"value": 0.0') if edited.name in name else content

    found = verify(rezipped(file, copy.parent / "b.zip", edit), sample=0)
    (about_file, says_file), (about_record, says_record), (_, people), (_, scores) = lines(found, "differs")
    assert (about_file, about_record) == ("files", "records")
    assert edited.name in says_file and edited.name in says_record and "digest" in says_record
    assert "mean-latent" in people and "celebahq-0000 (seed 0)" in people
    assert forged.name in scores and "id_others of celebahq-0001 by plain is 0.125" in scores


def test_people_who_were_left_out_are_named(copy):
    shutil.rmtree(trial(copy, "redirect", "celebahq-0002"))
    ((about, says),) = differing(copy)
    assert about == "people" and "redirect under celebahq-multi has 2 trials, 1 of 3" in says
    assert "celebahq-0002 (seed 0)" in says
    for method in ("redirect", "mean-latent"):
        shutil.rmtree(trial(copy, method, "celebahq-0001"))
    assert any("redirect" in says and "celebahq-0001" in says for _, says in differing(copy))


def test_evidence_of_somebody_else_is_named(copy):
    mine, other = trial(copy, "redirect", "celebahq-0000"), trial(copy, "redirect", "celebahq-0001")
    shutil.copy(other / "evidence.npz", mine / "evidence.npz")
    assert any(about == "people" and "celebahq-0000" in says for about, says in differing(copy))  # left out when packed
    forge(mine)
    ((about, says),) = differing(copy)
    assert about == "scores" and mine.name in says and "celebahq-0001" in says


def test_evidence_that_no_generator_shows_is_noticed_where_the_generator_is_there(copy, monkeypatch):
    """Scores, evidence and digests agree with each other, and with nothing else."""
    mine, other = trial(copy, "mean-latent", "celebahq-0000"), trial(copy, "redirect", "celebahq-0000")
    kept = json.loads((other / "record.json").read_text())["outcome"]["scores"]
    assert kept
    shutil.copy(other / "evidence.npz", mine / "evidence.npz")
    from guidebench.store import folders

    scores = folders.read(other).outcome.scores
    forge(mine, lambda record: dataclasses.replace(record, outcome=dataclasses.replace(record.outcome, scores=scores)))
    assert differing(copy) == []
    found = differing(copy, sample=ALL)
    assert [about for about, _ in found] == ["renders"]
    assert mine.name in found[0][1] and "was" in found[0][1] and "here it is" in found[0][1]


def test_what_the_original_showed_is_judged_again_without_a_generator(copy):
    for folder in copy.glob("records/*/*/*/generator"):
        shutil.rmtree(folder)
    for record in copy.glob("records/*/*/*"):
        forge(record)
    mine = trial(copy, "redirect", "celebahq-0000")

    def lower(arrays):
        arrays["plain/before"] = -arrays["plain/before"]

    change_arrays(mine / "evidence.npz", lower)
    from guidebench.metrics import score_all
    from guidebench.store.evidence_files import load_evidence

    scores = tuple(score_all(load_evidence(mine / "evidence.npz")))
    forge(mine, lambda record: dataclasses.replace(record, outcome=dataclasses.replace(record.outcome, scores=scores)))
    file = copy.parent / "a.zip"
    pack([copy], file, METHOD)
    found = verify(file, sample=ALL)
    ((about, says),) = lines(found, "differs")
    assert about == "originals" and mine.name in says
    assert any(about == "renders" and "no kept generator" in says for about, says in lines(found, "not checked"))


def test_records_alone_are_a_small_file_of_which_scores_are_not_checked(runs, packed, tmp_path):
    file = tmp_path / "small.zip"
    pack([runs], file, dataclasses.replace(METHOD, evidence=False))
    assert file.stat().st_size < packed.stat().st_size / 5
    found = verify(file, sample=ALL)
    assert lines(found, "differs") == []
    assert [about for about, _ in lines(found, "not checked")] == ["scores", "renders", "salt", "tuning"]


def test_a_file_without_records_is_named(packed, tmp_path):
    empty = rezipped(packed, tmp_path / "b.zip", lambda name, content: content if name == NAME else None)
    found = verify(empty)
    assert ("records", "there are none") in lines(found, "differs")
    assert found.differing == 7  # five missing files, how many more, no records


def test_what_other_arithmetic_keeps_from_being_checked_is_said(packed, monkeypatch):
    monkeypatch.setattr(claims, "NUMERICS_VERSION", claims.NUMERICS_VERSION + 1)
    found = verify(packed, sample=0)
    said = [about for about, says in lines(found, "not checked") if "other arithmetic" in says]
    assert sorted(said) == ["people", "renders", "scores", "testbed"]


def test_kept_generators_that_nobody_rendered_are_said(packed):
    (says,) = [says for about, says in lines(verify(packed, sample=0), "not checked") if about == "renders"]
    assert says == "6 kept generators, none rendered; give --sample N"
