"""Every registered testbed whose files are here keeps the contract, and one that breaks it is told how."""

from __future__ import annotations

from pathlib import Path

import pytest

from guidebench import registry
from guidebench.checks.finding import Finding
from guidebench.checks.testbed import check_testbed

HERE = Path(__file__).parent
CHECKS = (
    *("loads", "files", "players", "judges", "faces", "manifest", "renders", "batches", "noise", "inverts"),
    *("trains", "sees", "features", "apart", "again", "trial"),
)


def wrong(findings: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.detail for finding in findings if not finding.ok}


@pytest.mark.parametrize("name", registry.testbeds())
def test_every_registered_testbed_keeps_the_contract(name: str) -> None:
    findings = check_testbed(name)
    if set(wrong(findings)) == {"files"}:
        pytest.skip(f"{name} needs files that are not here")
    assert wrong(findings) == {}
    assert tuple(finding.name for finding in findings) == CHECKS, "no check was left out"


def test_a_testbed_of_one_view_one_judge_and_no_real_images_keeps_the_contract() -> None:
    assert wrong(check_testbed(f"{HERE / 'good_testbeds.py'}:Flat")) == {}


def test_the_plainest_testbed_passes() -> None:
    assert wrong(check_testbed(f"{HERE / 'bad_testbeds.py'}:Obedient")) == {}


@pytest.mark.parametrize(
    ("name", "check", "hint"),
    [
        ("NoFaces", "loads", "faces, judges, players"),
        ("NoSummary", "loads", "summary"),
        ("RaisesAtOnce", "loads", "RuntimeError: out of luck"),
        ("NeedsFiles", "files", "weights.pt is missing; ask its authors"),
        ("WithoutPlayers", "players", "NoneType"),
        ("Trainable", "players", "requires_grad_(False)"),
        ("WithoutDigests", "players", "generator, inverter, recognizer, perceptual"),
        ("Training", "judges", ".eval()"),
        ("WithoutJudges", "judges", "at least one judge"),
        ("OtherPeopleAlone", "faces", "fixed order"),
        ("OfBytes", "faces", "[-1, 1]"),
        ("ChangesManifest", "manifest", "digest"),
        ("WrongSize", "renders", "(3, 3, 16, 16)"),
        ("BatchDependent", "batches", "no row of a batch"),
        ("IgnoresNoise", "noise", "constant noise"),
        ("DrawsNoise", "noise", "features_are_deterministic"),
        ("OneCodeForAll", "inverts", "(2, 4, 12)"),
        ("NoGradients", "trains", "grad"),
        ("LongVectors", "sees", "unit length"),
        ("Blind", "sees", "no face"),
        ("WrongDimension", "features", "3"),
        ("SharesWeights", "apart", "judge plain and player recognizer"),
        ("ChangesWeights", "again", "seed"),
    ],
)
def test_a_testbed_that_breaks_the_contract_gets_the_reason(name: str, check: str, hint: str) -> None:
    found = wrong(check_testbed(f"{HERE / 'bad_testbeds.py'}:{name}"))
    assert hint in found[check]
    assert "\n" not in found[check]
