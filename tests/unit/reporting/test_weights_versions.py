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
from guidebench.store import folders

FIRST, SECOND = (
    {
        name: hashlib.sha256(f"{name}, version {version}".encode()).hexdigest()
        for name in ("arcface", "generator", "real")
    }
    for version in (1, 2)
)
METHODS = ("mean-latent", "guide")
VERSIONS = {"1": FIRST, "2": SECOND}


def with_pictures(folder: Path, person: str) -> None:
    (folder / "pictures" / person).mkdir(parents=True)
    for name in ("photo", "before", "after"):
        Image.new("RGB", (8, 8)).save(folder / "pictures" / person / f"{name}.png")


@pytest.fixture
def mixed(tmp_path, make_record, write_record) -> Path:
    """Two methods on three people, on version 1 and on version 2, where all scores are 0.05 lower."""
    for method in METHODS:
        for identity in "abc":
            scores = make_record(method, identity).outcome.scores
            lower = [replace(score, value=score.value - 0.05) for score in scores]
            for version, own in (("1", scores), ("2", lower)):
                record = make_record(method, identity, weights=VERSIONS[version], weights_version=version, scores=own)
                folder = write_record(tmp_path, record)
                with_pictures(folder, identity)
                folders.write_record(record, folder)
    return tmp_path


def run(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("command", ["report", "compare", "orderings", "instrument", "gallery", "figure tradeoff"])
def test_two_versions_are_refused_by_name_and_either_can_be_chosen(mixed, tmp_path, command):
    drawn = ["--out", tmp_path / "x.png"]
    arguments = {"compare": ["guide"], "gallery": drawn, "figure tradeoff": drawn}.get(command, [])
    refused = run(*command.split(), mixed, *arguments)
    assert refused.exit_code == 2 and refused.stderr.count("\n") == 1
    assert "arcface" in refused.stderr
    for version, weights in VERSIONS.items():
        assert re.search(rf"\b{weights['arcface'][:12]}\b.* version {version} \(6 trials\)", refused.stderr)
    assert "`--weights 1` or `--weights 2`" in refused.stderr
    for weights in ("1", "2", FIRST["generator"][:8]):
        assert run(*command.split(), mixed, *arguments, "--weights", weights).exit_code == 0


def test_each_version_has_its_own_values_and_names_itself_below(mixed):
    first, second = (report.report(mixed, weights=version) for version in "12")
    assert re.search(r"\bmini\b.*\bversion 1\b", first)
    assert re.search(r"\bmini\b.*\bversion 2\b", second)
    assert "| guide | **0.04" in first and "| guide | **-0.01" in second


def test_weights_without_a_version_are_named_by_their_digest(mixed, make_record, write_record, says):
    unknown = dict.fromkeys(FIRST, "e" * 64)
    every = (FIRST, SECOND, unknown)
    third = make_record(weights=unknown)
    write_record(mixed, third)
    with pytest.raises(
        BadInput, match=says("eeeeeeeeeeee (1 trial)", *(f"--weights {d['arcface'][:12]}" for d in every))
    ):
        report.report(mixed)
    assert not re.search(r"\bmini\b.*\bversion\b", report.report(mixed, weights="eeeeee"))
    with pytest.raises(BadInput, match=says("weights '3'", f"1, 2, {third.spec.weights_digest[:12]}")):
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


def test_a_failure_on_other_weights_is_not_superseded(tmp_path, make_record, write_record):
    """What fails on one version may be measured on another: neither says anything about the other."""
    write_record(tmp_path, make_record("mine", weights=FIRST, weights_version="1", failed="boom", created="2026-01-01"))
    write_record(tmp_path, make_record("mine", weights=SECOND, weights_version="2", created="2026-01-02"))
    with pytest.raises(BadInput, match=r"weights .*--weights "):
        report.report(tmp_path)
    assert "1 of 1 failed" in report.report(tmp_path, weights="1")
    assert "failed" not in report.report(tmp_path, weights="2")
