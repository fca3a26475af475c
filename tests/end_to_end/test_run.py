"""`guidebench run` as a user runs it, on the analytic testbed: tables, resume, failures, kills, bad input."""

import re
import subprocess
import sys

from click.testing import CliRunner

import guidebench
from guidebench.commands.main import main
from guidebench.store.folders import read
from guidebench.store.record import Record

SMOKE = ("run", "--protocol", "smoke", "--testbed", "linear")


def test_the_main_job_prints_a_table_with_floors_and_says_where_the_records_are(tmp_path, guidebench_run, records):
    result = guidebench_run(
        "run", "--protocol", "celebahq-multi", "--method", "guide", "--testbed", "linear", out=tmp_path
    )
    assert result.exit_code == 0, result.output
    for word in ("guide", "nothing", "scramble", "linear", "corrected", "plain", "ID_others", "ID_retain", "FID_pre"):
        assert word in result.stdout
    *table, command = result.stdout.rstrip().splitlines()
    assert max(map(len, table)) <= 80 and command == f"guidebench report {tmp_path} --layout full"
    full = CliRunner().invoke(main, command.split()[1:]).stdout
    for word in ("weighted", "ID_neighbour", "Target similarity", "KID_pre", "Precision", "Recall"):
        assert word in full.replace("\\_", "_")
    assert re.search(r"\b7 measured\b", result.stderr) and f"{tmp_path}/records/" in result.stderr
    assert len(records(tmp_path)) == 7  # three identities, both floors on two
    for folder in records(tmp_path):
        assert {item.name for item in folder.iterdir()} == {
            "record.json",
            "evidence.npz",
            "latents.npz",
            "progress.csv",
            "pictures",
        }
    frame = guidebench.records(tmp_path)
    nothing = frame[(frame.method == "nothing") & frame.metric.isin(["id", "id_others", "id_retain"])]
    assert (nothing.value >= 1 - 1e-4).all() and len(nothing) == 12
    assert (frame[(frame.method == "nothing") & (frame.metric == "fid_pre")].value.abs() <= 1e-3).all()


def test_what_is_recorded_is_skipped_and_fresh_measures_it_again(tmp_path, guidebench_run, records):
    first = guidebench_run(*SMOKE, "--method", "guide", out=tmp_path)
    before = {path: (path / "record.json").read_bytes() for path in records(tmp_path)}
    again = guidebench_run(*SMOKE, "--method", "guide", out=tmp_path)
    assert "3 measured" in first.stderr and re.search(r"\b0 measured.*\b3\b.*recorded", again.stderr)
    assert {path: (path / "record.json").read_bytes() for path in records(tmp_path)} == before
    fresh = guidebench_run(*SMOKE, "--method", "guide", "--fresh", out=tmp_path)
    assert "3 measured" in fresh.stderr
    for path, content in before.items():
        old, new = Record.from_json(content), read(path)
        assert old.outcome.scores == new.outcome.scores and old.key == new.key


def test_numbers_do_not_depend_on_workers_order_or_company(tmp_path, guidebench_run, records):
    alone = guidebench_run(*SMOKE, "--method", "guide", "--floors", "none", out=tmp_path / "a")
    company = guidebench_run(
        *SMOKE, "--method", "mean-latent", "--method", "guide", "--workers", "2", out=tmp_path / "b"
    )
    assert (alone.exit_code, company.exit_code) == (0, 0), company.output
    (one,) = records(tmp_path / "a")
    other = tmp_path / "b" / one.relative_to(tmp_path / "a")
    assert read(one).outcome.scores == read(other).outcome.scores


def test_older_records_that_do_not_fit_are_left_out_of_the_table_and_named(
    tmp_path, guidebench_run, records, on_other_weights
):
    guidebench_run(*SMOKE, "--method", "mean-latent", "--floors", "none", out=tmp_path)
    (folder,) = records(tmp_path)
    on_other_weights(folder)
    result = guidebench_run(*SMOKE, "--method", "guide", "--floors", "none", out=tmp_path)
    assert result.exit_code == 0, result.output
    assert "guidebench: " in result.stderr and str(tmp_path) in result.stderr and "weights of plain" in result.stderr
    assert not any(line.startswith("mean-latent") for line in result.stdout.splitlines())  # a footnote may name it


def test_a_setting_changes_the_row_and_its_label(tmp_path, guidebench_run, records):
    result = guidebench_run(*SMOKE, "--method", "guide", "--set", "steps=5", "--floors", "none", out=tmp_path)
    assert result.exit_code == 0 and "guide(steps=5)" in result.stdout
    (folder,) = records(tmp_path)
    assert read(folder).spec.method.fields["steps"] == 5


def test_seeds_identities_and_samples_are_overridden(tmp_path, guidebench_run, records):
    result = guidebench_run(
        *SMOKE,
        "--method",
        "mean-latent",
        "--seeds",
        "0-1",
        "--identities",
        "2",
        "--samples",
        "40",
        "--floors",
        "none",
        out=tmp_path,
    )
    assert result.exit_code == 0, result.output
    found = [read(folder) for folder in records(tmp_path)]
    assert sorted((item.spec.group, item.spec.seed) for item in found) == [
        ("celebahq-0000", 0),
        ("celebahq-0000", 1),
        ("celebahq-0001", 0),
        ("celebahq-0001", 1),
    ]
    assert {item.spec.protocol.samples for item in found} == {40}


def test_a_light_start_imports_no_torch(tmp_path, guidebench_run):
    guidebench_run(*SMOKE, "--method", "nothing", "--floors", "none", out=tmp_path)
    for arguments in (
        ["--help"],
        ["list"],
        ["show", "celebahq-multi"],
        ["status", str(tmp_path)],
        ["report", str(tmp_path)],
    ):
        code = (
            "import sys, guidebench.commands.main\n"
            f"try: guidebench.commands.main.main({arguments!r})\n"
            "except SystemExit as done: assert not done.code, done.code\n"
            "print('torch' in sys.modules, file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stderr.strip().splitlines()[-1] == "False", arguments


def test_own_photographs_are_a_protocol_of_their_own(tmp_path, guidebench_run, records):
    from guidebench import images
    from guidebench.testbeds.linear import LinearTestbed

    people = LinearTestbed().faces().people("dev", range(3), photos=3)
    for person in people:
        (tmp_path / "photos" / person.identity).mkdir(parents=True)
        for place, photo in enumerate(person.photos):
            images.save(photo, tmp_path / "photos" / person.identity / f"{place}.png")
    result = guidebench_run(
        "run",
        "--protocol",
        "celebahq-multi",
        "--method",
        "guide",
        "--testbed",
        "linear",
        "--floors",
        "none",
        "--photos",
        str(tmp_path / "photos"),
        out=tmp_path / "out",
    )
    assert result.exit_code == 0, result.output
    found = [read(folder) for folder in records(tmp_path / "out")]
    assert [item.spec.group for item in found] == ["dev-0000", "dev-0001", "dev-0002"]
    assert {item.spec.protocol.probe_photos for item in found} == {2} and {
        item.spec.protocol.retain for item in found
    } == {2}
    assert re.search(r"\bdev-0000\b.*\b3\b.*\b5\b.*\bcelebahq-multi\b", result.stderr)


def test_a_testbed_is_shown_with_its_people_and_the_version_of_its_weights():
    from guidebench.testbeds.mini import WEIGHTS_VERSION

    shown = CliRunner().invoke(main, ["show", "mini"]).stdout
    assert re.search(rf"^weights_version = {WEIGHTS_VERSION}$", shown, re.MULTILINE)
    assert re.search(r"^.*\bcelebahq = 500$", shown, re.MULTILINE)
    assert "weights_version" not in CliRunner().invoke(main, ["show", "linear"]).stdout
