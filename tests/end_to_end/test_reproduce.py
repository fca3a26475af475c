"""`guidebench reproduce` as a user runs it, on the analytic testbed: shared trials, own rows, resume, forecasts."""

import os
import re
import signal
import statistics
import subprocess
import sys
import time
from importlib import resources

import pandas
import pytest
from click.testing import CliRunner

from guidebench import suites
from guidebench.commands.main import main
from guidebench.store.folders import read
from guidebench.testbeds.linear import LinearTestbed

OWN = """
from dataclasses import dataclass
import time
from guidebench.unlearner import Unlearner

@dataclass(frozen=True)
class Mine(Unlearner):
    name = "mine"
    seconds: float = 0.0

    def unlearn(self, generator, request, context):
        time.sleep(self.seconds)
        return generator
"""


def reproduce(suite, *arguments, out, testbed="linear"):
    return CliRunner().invoke(main, ["reproduce", suite, "--testbed", testbed, *arguments, "--out", str(out)])


@pytest.fixture
def records(records):
    """What is recorded below a directory."""
    return lambda out: [read(folder) for folder in records(out)]


@pytest.fixture
def own(tmp_path):
    (tmp_path / "mine.py").write_text(OWN)
    return f"{tmp_path / 'mine.py'}:Mine"


@pytest.fixture
def slow_suite(tmp_path, own):
    """Four trials of half a second each, under two protocols."""
    path = tmp_path / "slow.toml"
    path.write_text(
        'protocols = ["smoke", "celebahq"]\nmetrics = ["id"]\nidentities = 2\n'
        'rows = [{ title = "Slow", method = "mine.py:Mine", set = { seconds = 0.5 } }]\n'
    )
    return path


def test_trials_that_tables_share_are_measured_once(tmp_path, records):
    """Table 3's α_max = 0 is Table 2's baseline."""
    few = ("--identities", "1", "--floors", "none")
    second = reproduce("table-2", *few, out=tmp_path)
    assert second.exit_code == 0, second.output
    assert "4 measured" in second.stderr
    assert re.search(r"\b4 measured.*\b1\b.*recorded", reproduce("table-3", *few, out=tmp_path).stderr)
    assert re.search(r"\b0 measured.*\b4\b.*recorded", reproduce("table-2", *few, out=tmp_path).stderr)
    assert len(records(tmp_path)) == 8


@pytest.fixture
def figure_suite(tmp_path):
    """One trial whose figure renders a kept generator."""
    path = tmp_path / "before-after.toml"
    path.write_text(
        'protocols = ["smoke"]\nmetrics = ["id"]\nidentities = 1\nfigure = "figure-6"\nkeep_generators = true\n'
        'rows = [{ title = "Aim", method = "mean-latent", set = { steps = 2 } }]\n'
    )
    return path


def test_a_figure_is_drawn_of_the_trials_of_its_suite(figure_suite, tmp_path):
    few = ("--floors", "none", "--samples", "20", "--salt", "1")
    plain = CliRunner().invoke(
        main,
        ["run", "--protocol", "smoke", "--method", "mean-latent", "--set", "steps=2", "--identities", "1"]
        + [*few, "--testbed", "linear", "--out", str(tmp_path / "out")],
    )
    assert plain.exit_code == 0, plain.output
    first = reproduce(str(figure_suite), *few, out=tmp_path / "out")
    assert first.exit_code == 0, first.output
    assert "1 measured" in first.stderr, "the trial was recorded without its generator"
    drawn = tmp_path / "out" / "figures" / "before-after.pdf"
    assert drawn.read_bytes().startswith(b"%PDF")
    assert f"wrote {drawn}\n" in first.stderr and "aims at" in first.stderr
    assert "Aim" in first.stdout and "wrote" not in first.stdout
    again = reproduce(str(figure_suite), *few, "--figure", str(tmp_path / "x.svg"), out=tmp_path / "out")
    assert "0 measured, 1 already recorded" in again.stderr and (tmp_path / "x.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("suite", "file", "parts"),
    [("table-2", "x.pdf", ["table-2", "no figure"]), ("figure-6", "x.jpg", ["x.jpg", ".pdf"])],
)
def test_a_figure_that_cannot_be_drawn_is_refused_before_anything_runs(suite, file, parts, tmp_path):
    done = reproduce(suite, "--figure", file, out=tmp_path / "out")
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert [part for part in parts if part not in done.stderr] == [] and not (tmp_path / "out").exists()


@pytest.mark.long
def test_all_protocols_of_a_suite_are_one_run(tmp_path):
    result = reproduce("table-1", "--identities", "1", "--floors", "none", out=tmp_path)
    assert result.exit_code == 0, result.output
    assert re.search(r"\brandom, ffhq, celebahq\b.*\blinear\b.*\b12 of 12 trials", result.stderr)
    assert re.search(r"^\[12/12\] celebahq\b.*\bguide\b.*\bcelebahq-0000\b", result.stderr, re.MULTILINE)
    assert [len(list((tmp_path / "records" / name).iterdir())) for name in ("random", "ffhq", "celebahq")] == [4, 4, 4]


def test_rows_are_under_their_titles_with_the_values_of_their_records(tmp_path, records):
    result = reproduce("table-4", "--identities", "1", "--format", "markdown", out=tmp_path)
    assert result.exit_code == 0, result.output
    by_label = {
        record.spec.method.label: next(score.value for score in record.outcome.scores if score.metric == "fid_pre")
        for record in records(tmp_path)
    }
    titles = {"local loss": "mean-latent", "+ global loss": "mean-latent(global_loss=True)"}
    shown = {}
    for line in result.stdout.splitlines():
        cells = [cell.strip(" *") for cell in line.strip("|").split("|")]
        title = cells[0].partition(" [")[0]
        if title in titles:
            shown[title] = float(re.match(r"-?[\d.]+", cells[1])[0])
    assert shown == {title: pytest.approx(by_label[label], abs=0.00501) for title, label in titles.items()}
    assert abs(shown["local loss"] - shown["+ global loss"]) > 0.02  # else the rows could be exchanged unnoticed


def test_a_method_of_ones_own_is_a_row_beside_the_papers(tmp_path, own):
    result = reproduce("table-4", "--identities", "1", "--method", own, out=tmp_path)
    assert result.exit_code == 0, result.output
    assert "5 measured" in result.stderr
    rows = [line.split("  ")[0] for line in result.stdout.splitlines() if "±" in line or "  1  " in line]
    assert {"local loss", "+ global loss", "mine"} <= set(rows)


def test_other_records_of_the_directory_stay_out_of_the_table(tmp_path, own):
    """The row recorded before is of the same protocol with other sample counts: it may not share a column."""
    arguments = ["--protocol", "celebahq", "--testbed", "linear", "--identities", "1", "--samples", "99"]
    run = ["run", *arguments, "--method", own, "--floors", "none", "--out", str(tmp_path)]
    assert CliRunner().invoke(main, run).exit_code == 0
    result = reproduce("table-4", "--identities", "1", "--floors", "none", out=tmp_path)
    assert result.exit_code == 0, result.output
    assert "local loss" in result.stdout and "mine" not in result.stdout


def test_the_command_that_makes_the_table_again_is_printed(tmp_path):
    out = tmp_path / "my runs"
    result = reproduce("table-4", "--identities", "1", "--seeds", "0-1", "--fresh", "--floors", "none", out=out)
    command = f"reproduce table-4 --testbed linear --out '{out}' --identities 1 --seeds 0,1 --floors none"
    assert sum(line.endswith(command) for line in result.stderr.splitlines()) == 1
    assert f"{out}/records/" in result.stderr


@pytest.mark.long
def test_an_interrupted_suite_goes_on_where_it_was(tmp_path, slow_suite, records):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "guidebench", "reproduce", str(slow_suite), "--testbed", "linear"]
    command += ["--floors", "none", "--workers", "1", "--out", str(out)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # it is ignored below nohup
    )
    deadline = time.monotonic() + 60
    while not records(out):
        assert time.monotonic() < deadline and process.poll() is None, "no record appeared"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the whole group hears it
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and re.search(r"^guidebench: .*interrupt", error, re.MULTILINE)
    kept = len(records(out))
    assert 1 <= kept < 4
    again = reproduce(str(slow_suite), "--floors", "none", out=out)
    assert again.exit_code == 0, again.output
    assert re.search(rf"\b{4 - kept} measured.*\b{kept}\b.*recorded", again.stderr)


def test_a_forecast_counts_what_is_left_and_writes_nothing(tmp_path, records):
    """Two workers halve the time that the median of a row's measured trials gives for the rest of them."""
    reproduce("table-4", "--identities", "2", "--floors", "none", out=tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    result = reproduce("table-4", "--dry-run", "--floors", "none", "--workers", "2", out=tmp_path)
    assert result.exit_code == 0, result.output
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    seconds = {}
    for record in records(tmp_path):
        seconds.setdefault(record.spec.method.label, []).append(record.cost.seconds_total)
    left = sum(1 * statistics.median(of_row) / 2 for of_row in seconds.values())
    assert re.search(rf"^2 trials .*\b2\b.*: {left:.1f} s$", result.stdout, re.MULTILINE)
    row = next(line for line in result.stdout.splitlines() if "+ global loss" in line)
    assert re.split(r"\s{2,}", row)[:5] == ["celebahq", "+ global loss", "3", "2", "1"]
    assert re.search(rf"\b2 trials .*{re.escape(str(tmp_path))}", row)
    assert re.search(r"\bmissing .*\blinear: none$", result.stdout, re.MULTILINE)


def test_a_forecast_into_the_blue_makes_no_directory_and_no_number_up(tmp_path):
    result = reproduce("table-3", "--dry-run", out=tmp_path / "out")
    assert result.exit_code == 0 and not (tmp_path / "out").exists()
    assert re.search(
        r"^19 trials .*\b1\b.*: unknown$", result.stdout, re.MULTILINE
    )  # five rows on 3 identities, two floors on 2


def test_on_mini_a_forecast_rests_on_the_reference_results(tmp_path):
    """The ladder on 10 people and 3 seeds, floors on 2: 132 trials of known seconds."""
    result = reproduce("table-2", "--dry-run", "--workers", "2", testbed="mini", out=tmp_path / "out")
    assert result.exit_code == 0, result.output
    total = re.search(r"^132 trials .*\b2\b.*: (\d+) min$", result.stdout, re.MULTILINE)
    assert total is not None
    scores = pandas.read_csv(resources.files("guidebench.reports") / "mini" / "scores.csv")
    trials = scores[scores["protocol"] == "celebahq-multi"].drop_duplicates(["label", "identity", "seed"])
    ladder = [*suites.load("table-2").resolve("mini").labels.values(), "nothing", "scramble"]
    by_label = {label: trials.loc[trials["label"] == label, "seconds_total"].tolist() for label in ladder}
    asked = {label: 6 if label in ("nothing", "scramble") else 30 for label in ladder}
    seconds = sum(asked[label] * statistics.median(each) for label, each in by_label.items())
    assert sum(asked.values()) == 132 and int(total[1]) == round(seconds / 2 / 60)
    assert result.stdout.count("reference results") == 6


@pytest.fixture
def without_weights(monkeypatch):
    """A testbed whose files are missing: nothing of it can be loaded."""

    def no_players(self):
        raise AssertionError("loaded in spite of missing files")

    monkeypatch.setattr(
        LinearTestbed, "missing", lambda self, sources: ("weights.pkl: place it in DIR", "faces: place them")
    )
    monkeypatch.setattr(LinearTestbed, "players", no_players)


def test_missing_assets_are_refused_in_one_line(tmp_path, without_weights):
    result = reproduce("table-4", out=tmp_path / "out")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert re.search(r"\blinear\b.*\b2\b.*weights\.pkl: place it in DIR; faces: place them", line)
    assert not (tmp_path / "out").exists()


def test_a_forecast_lists_missing_assets_with_what_to_do(tmp_path, without_weights):
    result = reproduce("table-4", "--dry-run", "--floors", "none", out=tmp_path / "out")
    assert result.exit_code == 0, result.output
    head, *rest = result.stdout.splitlines()[-3:]
    assert re.search(r"\bmissing .*\blinear:$", head)
    assert rest == ["  weights.pkl: place it in DIR", "  faces: place them"]
    assert re.search(r"^6 trials\b", result.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["table-9"], ["suite 'table-9'", "`guidebench list suites`"]),
        (["absent.toml"], ["suite", "absent.toml"]),
        (["table-2", "--method", "gide"], ["method 'gide'", "'guide'"]),
        (["table-2", "--identities", "999"], ["999", "identities"]),
        (["table-2", "--identities", "0"], ["identities = 0"]),
        (["table-2", "--seeds", "x"], ["'x'", "integers"]),
        (["table-2", "--testbed", "maxi"], ["testbed 'maxi'", "`guidebench list testbeds`"]),
        (["table-2", "--format", "html"], ["html"]),
    ],
    ids=lambda value: " ".join(value)[:40],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["run", "dry"])
def test_bad_input_is_answered_in_one_line_with_exit_code_2(tmp_path, arguments, words, dry):
    testbed = [] if "--testbed" in arguments else ["--testbed", "linear"]
    result = CliRunner().invoke(main, ["reproduce", *arguments, *testbed, *dry, "--out", str(tmp_path / "out")])
    assert result.exit_code == 2 and result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert [word for word in words if word not in line] == []


def test_own_suites_are_shown_as_suites(slow_suite):
    result = CliRunner().invoke(main, ["show", str(slow_suite), "--testbed", "linear"])
    assert result.exit_code == 0, result.output
    assert re.search(r"^# suite slow\b.*\blinear\b", result.stdout, re.MULTILINE)
    assert re.search(r"^  Slow  .*mine\.py:Mine --set seconds=0\.5$", result.stdout, re.MULTILINE)


def test_trials_of_other_sizes_are_not_taken_for_this_row(tmp_path):
    few = ("--identities", "1", "--floors", "none")
    reproduce("table-4", *few, "--samples", "40", out=tmp_path)
    shown = reproduce("table-4", *few, "--dry-run", out=tmp_path).stdout
    assert len(re.findall(r"\b2 trials .*\bmean-latent\b", shown)) == 2
