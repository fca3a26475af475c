"""The script that tunes presets: what it asks of guidebench, which setting it chooses and what it prints."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pytest

from guidebench.reports.mini import presets
from guidebench.reports.mini.presets import PEOPLE, RATES, STEPS, Scores


def scores(retain: float, others: float, people: int = PEOPLE) -> Scores:
    values = {"id": [0.1], "id_others": [others], "id_retain": [retain], "fid_pre": [12.34]}
    return Scores({str(person) for person in range(people)}, values)


def test_the_criterion_counts_an_id_others_below_zero_as_zero() -> None:
    found = scores(0.8, 0.0)
    found.values["id_others"] = [0.4, -0.2]
    assert found.margin == pytest.approx(0.8 - 0.2)


def test_a_setting_at_which_somebody_is_missing_is_never_chosen() -> None:
    grid = {(STEPS, 1e-3): {"mine": scores(0.5, 0.1)}, (STEPS, 2e-3): {"mine": scores(0.9, 0.0, people=PEOPLE - 1)}}
    assert presets.best_rate(grid, "mine") == 1e-3
    assert [line.split("|")[4].strip() for line in presets.method_table(grid, ["mine"])[2:]] == ["**0.400**", "–"]
    with pytest.raises(SystemExit, match="mine.*--rates"):
        presets.best_rate({(STEPS, 2e-3): {"mine": scores(0.9, 0.0, people=1)}}, "mine")


class Guidebench:
    """Stands in for the command line: every trial succeeds, and retains most at a learning rate of 0.004."""

    def __init__(self) -> None:
        self.runs: list[list[str]] = []

    def __call__(self, *arguments: str, fine: Sequence[int] = (0,)) -> str:
        if arguments[0] == "run":
            self.runs.append(list(arguments))
            return ""
        rate = float(arguments[1].rpartition("lr-")[2])
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["method", "identity", "metric", "value"])
        for method in (*presets.LADDER, "sugar"):
            for person in range(PEOPLE):
                for metric in presets.SHOWN:
                    writer.writerow([method, f"p{person}", metric, 1 - abs(rate - 4e-3) if "retain" in metric else 0.1])
        return text.getvalue()


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Guidebench:
    found = Guidebench()
    monkeypatch.setattr(presets, "guidebench", found)
    return found


def test_a_method_gets_six_rates_the_same_steps_and_people(
    stand_in: Guidebench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    presets.main([str(tmp_path), "--method", "sugar", "--testbed", "mini"])
    assert len(stand_in.runs) == len(RATES) == 6
    for run, rate in zip(stand_in.runs, RATES, strict=True):
        assert run[-2:] == ["--testbed", "mini"] and ["--method", "sugar"] == [
            w for w in run if w in ("--method", "sugar")
        ]
        assert {f"steps={STEPS}", f"lr={rate}", "development", str(PEOPLE)} <= set(run)
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("| method | steps | lr | criterion | ID |") and len(rows) == 6
    assert [row for row in rows if "**" in row] == [rows[1]]


def test_the_ladder_prints_the_table_of_the_page(
    stand_in: Guidebench, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    presets.main([str(tmp_path)])
    printed = capsys.readouterr().out.splitlines()
    committed = (root / "reports" / "mini" / "presets.md").read_text().splitlines()
    assert printed[:2] == committed[:2] and len(printed) == len(committed)
    assert [line.split("|")[1:3] for line in printed[2:]] == [line.split("|")[1:3] for line in committed[2:]]


def test_a_best_rate_at_the_end_of_the_range_is_said(
    stand_in: Guidebench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    presets.main([str(tmp_path), "--method", "sugar", "--rates", "0.004,0.008,0.016,0.032,0.064,0.128"])
    assert "sugar is best at an end of the range (0.004)" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["0.1,0.2", "1,2,3,4,5,5", "a,b,c,d,e,f"])
def test_no_method_gets_more_or_fewer_rates(tmp_path: Path, given: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        presets.main([str(tmp_path), "--rates", given])
    assert "--rates" in capsys.readouterr().err
