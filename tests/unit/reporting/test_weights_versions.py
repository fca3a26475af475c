"""Records made on other weights: named by their version, and never in one column, one pair or one picture."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

import guidebench
from guidebench.commands.main import main
from guidebench.errors import BadInput
from guidebench.reporting import report
from guidebench.reporting.statistics import paired
from guidebench.store.folders import scan

# The networks of mini's version 1, whose records do not name their version.
FIRST = {
    "arcface": "fa0e4297c3996ccf89b307f05444cda9ab121a77e390ea690a4559c0aa87120a",
    "curricularface": "482fef342183fa6fa4ddc7b078e1292a637d92a6f83c2ef70a23aac000807fec",
    "features": "39de0a24e52fa620772586500084e027e8f8d9153c0c6df92c3db4c38a42dfbc",
    "generator": "f29b0463441383f3622d1b600fb836d7d1b96f802b2553bc7ed0b12238c99d63",
    "inverter": "1d866c6d12c6823e87bb1423e6ab3c8ec83cee8f69c26f097c72152732e55440",
    "perceptual": "8ec6cb1d637673422b305e812315a92e66d4d25fdbb7e2ded483f5af020f1e31",
    "real": "1c66d2b5b3f6d5097d2f96f3aa092ed18e8a2c953398e614dc77027126a83fd7",
    "recognizer": "ab3209de855c47cb65ba7357ea562fcca0ac02aabdd35977ff9fa543765efc4c",
}
SECOND = {name: hashlib.sha256(sha256.encode()).hexdigest() for name, sha256 in FIRST.items()}
METHODS = ("mean-latent", "guide")


def other_weights(record, digests, version=None):
    """The record of the same trial on other weights, which is another trial."""
    notes = {**record.notes, **({"weights_version": version} if version else {})}
    key = hashlib.sha256((record.key + digests["generator"]).encode()).hexdigest()
    return replace(record, key=key, digests=digests, notes=notes)


def with_pictures(folder: Path) -> None:
    (folder / "pictures").mkdir()
    for name in ("photo", "before", "after"):
        Image.new("RGB", (8, 8)).save(folder / "pictures" / f"{name}.png")


@pytest.fixture
def mixed(tmp_path, make_record, write_record) -> Path:
    """Two methods on three people, on version 1 and on version 2, where all scores are one higher."""
    for method in METHODS:
        for identity in "abc":
            record = make_record(method, identity)
            with_pictures(write_record(tmp_path, other_weights(record, FIRST)))
            higher = [{**score, "value": score["value"] + 1} for score in record.scores]
            with_pictures(write_record(tmp_path, replace(other_weights(record, SECOND, "2"), scores=higher)))
    return tmp_path


def run(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("command", ["report", "compare", "orderings", "instrument", "gallery"])
def test_two_versions_are_refused_by_name_and_either_can_be_chosen(mixed, tmp_path, command):
    arguments = {"compare": ["guide"], "gallery": ["--out", tmp_path / "gallery.png"]}.get(command, [])
    refused = run(command, mixed, *arguments)
    assert refused.exit_code == 2 and refused.stderr.count("\n") == 1
    pattern = rf"\barcface\b.*\b{SECOND['arcface'][:12]}\b.* version 2 \(6 trials\), fa0e4297c399\b.* version 1\b"
    assert re.search(pattern, refused.stderr)
    assert "--weights 1 or --weights 2" in refused.stderr
    for weights in ("1", "2", "f29b0463"):
        assert run(command, mixed, *arguments, "--weights", weights).exit_code == 0


def test_each_version_has_its_own_values_and_names_itself_below(mixed):
    first, second = (report.report(mixed, weights=version) for version in "12")
    assert re.search(r"\bmini\b.*\bversion 1\b", first)
    assert re.search(r"\bmini\b.*\bversion 2\b", second)
    assert "| guide | **0.04" in first and "| guide | **1.04" in second


def test_weights_without_a_version_are_told_by_their_digest(mixed, make_record, write_record, says):
    unknown = dict.fromkeys(FIRST, "e" * 64)
    write_record(mixed, other_weights(make_record(), unknown))
    with pytest.raises(BadInput, match=r"eeeeeeeeeeee \(1 trial\).*--weights eeeeeeeeeeee or --weights fa0e4297c399"):
        report.report(mixed)
    assert not re.search(r"\bmini\b.*\bversion\b", report.report(mixed, weights="eeeeee"))
    with pytest.raises(BadInput, match=says("weights '3'", "1, 2, eeeeeeeeeeee")):
        report.report(mixed, weights="3")


def test_every_score_names_its_weights(mixed):
    rows = list(csv.DictReader(run("scores", mixed).stdout.splitlines()))
    frame = guidebench.records(mixed)
    assert {row["weights_version"] for row in rows} == {"1", "2"} == set(frame["weights_version"])
    assert frame.groupby("weights_version")["weights_digest"].nunique().to_dict() == {"1": 1, "2": 1}
    assert frame["weights_digest"].nunique() == 2


def test_methods_are_not_paired_across_versions(mixed, says):
    """One method of each version: no trial is there twice, and yet nothing may be paired."""
    frame = guidebench.records(mixed)
    apart = frame[(frame["label"] == "guide") == (frame["weights_version"] == "2")]
    with pytest.raises(BadInput, match=says("weights_version", "2")):
        paired(apart, "id", "alpha", "guide", "mean-latent")


def test_status_counts_versions_apart(mixed):
    rows = json.loads(run("status", mixed, "--json").stdout)["rows"]
    assert [(row["weights"], row["method"], row["measured"]) for row in rows] == [
        ("1", "guide", 3),
        ("1", "mean-latent", 3),
        ("2", "guide", 3),
        ("2", "mean-latent", 3),
    ]


def test_rescoring_leaves_weights_as_they_are(mixed):
    before = {stored.path: stored.record.digests for stored in scan(mixed)[0]}
    assert run("rescore", mixed).exit_code == 0
    after = {stored.path: stored.record for stored in scan(mixed)[0]}
    assert {path: record.digests for path, record in after.items()} == before
    assert sorted(record.weights_version for record in after.values()) == ["1"] * 6 + ["2"] * 6


def test_a_failure_on_other_weights_is_not_superseded(tmp_path, make_record, write_record):
    """What fails on one version may be measured on another: neither says anything about the other."""
    record = make_record("mine", "a")
    failed = replace(record, status="failed", scores=[], reason="boom", created="2026-01-01")
    write_record(tmp_path, other_weights(failed, FIRST))
    write_record(tmp_path, replace(other_weights(record, SECOND, "2"), created="2026-01-02"))
    with pytest.raises(BadInput, match=r"weights .*--weights "):
        report.report(tmp_path)
    assert "1 of 1 failed" in report.report(tmp_path, weights="1")
    assert "failed" not in report.report(tmp_path, weights="2")
