"""What the command line makes of records: damaged ones, pictures, scores, and scores computed again."""

import json
import re
import shutil

import pytest
from click.testing import CliRunner

from guidebench.commands.main import main

SMOKE = ("run", "--protocol", "smoke", "--testbed", "linear")


def test_damaged_records_are_named_and_left_out(tmp_path, guidebench_run, records):
    guidebench_run(*SMOKE, "--method", "guide", out=tmp_path)
    first, second, third = records(tmp_path)
    (first / "evidence.npz").write_bytes(b"PK")
    record = json.loads((second / "record.json").read_text())
    (second / "record.json").write_text(json.dumps({**record, "spec": {}}))
    (tmp_path / "failures" / "smoke" / "guide" / first.name / "1abc").mkdir(parents=True)
    for command in (["rescore"], ["status"], ["report"], ["scores"]):
        done = CliRunner().invoke(main, [*command, str(tmp_path)])
        assert done.exit_code == 0 and "Traceback" not in done.output, done.output
        assert second.name in done.output
    assert first.name in CliRunner().invoke(main, ["rescore", str(tmp_path)]).stderr
    assert guidebench_run(*SMOKE, "--method", "guide", out=tmp_path).exit_code == 0


def test_orderings_refuse_records_that_do_not_belong_together(tmp_path, guidebench_run, records, on_other_weights):
    for method in ("mean-latent", "guide"):
        guidebench_run(*SMOKE, "--method", method, "--floors", "none", out=tmp_path)
    guide = next(folder for folder in records(tmp_path) if folder.parent.name == "guide")
    on_other_weights(guide)
    done = CliRunner().invoke(main, ["orderings", str(tmp_path)])
    assert done.exit_code == 2 and "plain" in done.stderr


def test_a_kept_generator_renders_the_forgotten_and_a_new_photograph(tmp_path, guidebench_run, records):
    from PIL import Image

    from guidebench import images
    from guidebench.testbeds.linear import LinearTestbed

    guidebench_run(*SMOKE, "--method", "guide", "--floors", "none", "--keep-generators", out=tmp_path)
    (folder,) = records(tmp_path)
    images.save(LinearTestbed().faces().people("dev", [0], photos=1)[0].photos[0], tmp_path / "x.png")
    for extra in ([], ["--photo", str(tmp_path / "x.png"), "--yaw", "-15", "--yaw", "15"]):
        picture = tmp_path / f"{len(extra)}.png"
        done = CliRunner().invoke(main, ["render", str(folder), "--out", str(picture), *extra])
        assert done.exit_code == 0, done.output
        assert Image.open(picture).size[0] > 100


def test_records_of_other_weights_stay_and_are_measured_again_beside(
    tmp_path, guidebench_run, records, on_other_weights
):
    """As after an upgrade: the same command finds nothing of what is recorded, and says what its table leaves out."""
    guidebench_run(*SMOKE, "--method", "guide", "--floors", "none", out=tmp_path)
    (old,) = records(tmp_path)
    old = on_other_weights(old)
    content = (old / "record.json").read_bytes()
    again = guidebench_run(*SMOKE, "--method", "guide", "--floors", "none", out=tmp_path)
    assert again.exit_code == 0 and "1 measured" in again.stderr
    assert re.search(rf"^guidebench: .*{re.escape(str(tmp_path))}.* weights of", again.stderr, re.MULTILINE)
    assert len(records(tmp_path)) == 2
    assert (old / "record.json").read_bytes() == content
    resumed = guidebench_run(*SMOKE, "--method", "guide", "--floors", "none", out=tmp_path)
    assert re.search(r"\b0 measured.*\b1\b.*recorded", resumed.stderr)


def test_a_gallery_shows_everybody_after_every_method(tmp_path, guidebench_run):
    from PIL import Image

    guidebench_run(
        *SMOKE, "--method", "mean-latent", "--method", "guide", "--identities", "2", "--seeds", "0,1", out=tmp_path
    )
    shown = {}
    for methods in (["guide"], ["mean-latent", "guide"]):
        picture = tmp_path / f"{len(methods)}.png"
        chosen = [word for method in methods for word in ("--method", method)]
        done = CliRunner().invoke(main, ["gallery", str(tmp_path), "--out", str(picture), *chosen])
        assert done.exit_code == 0, done.output
        shown[len(methods)] = Image.open(picture).size
    assert shown[2][0] >= shown[1][0] and shown[2][1] > shown[1][1]
    one = tmp_path / "one.png"
    assert CliRunner().invoke(main, ["gallery", str(tmp_path), "--out", str(one), "--first", "1"]).exit_code == 0
    assert Image.open(one).size[0] < shown[2][0]
    done = CliRunner().invoke(main, ["gallery", str(tmp_path), "--method", "giude"])
    assert done.exit_code == 2 and "guide, mean-latent" in done.stderr and "giude" in done.stderr


def test_scores_are_printed_as_csv(tmp_path, guidebench_run):
    import csv

    guidebench_run(*SMOKE, "--method", "guide", out=tmp_path)
    done = CliRunner().invoke(main, ["scores", str(tmp_path)])
    rows = list(csv.DictReader(done.stdout.splitlines()))
    nothing = [row for row in rows if row["label"] == "nothing" and row["metric"] == "id"]
    assert [float(row["value"]) for row in nothing] == pytest.approx([1.0, 1.0], abs=1e-4) and len(
        {row["key"] for row in rows}
    ) == 3
    done = CliRunner().invoke(main, ["scores", str(tmp_path), "--columns", "vallue"])
    assert done.exit_code == 2 and "value" in done.stderr


def test_rescoring_gives_the_recorded_scores_wherever_the_run_folder_is(tmp_path, guidebench_run):
    guidebench_run(*SMOKE, "--method", "guide", out=tmp_path / "runs")
    shutil.copytree(tmp_path / "runs", tmp_path / "elsewhere" / "copy")
    for folder in ("runs", "elsewhere"):
        done = CliRunner().invoke(main, ["rescore", str(tmp_path / folder)])
        assert done.exit_code == 0 and re.search(r"^3 records .*\b0 changed", done.stdout)


def test_records_that_lost_what_they_share_keep_their_scores_and_are_named_in_one_line_each(tmp_path, guidebench_run):
    guidebench_run(*SMOKE, "--method", "guide", out=tmp_path)
    shutil.rmtree(tmp_path / "shared")
    done = CliRunner().invoke(main, ["rescore", str(tmp_path)])
    assert done.exit_code == 2 and done.stdout == ""
    *lines, last = done.stderr.splitlines()
    assert len(lines) == 3 and all(
        str(tmp_path) in line and "evidence.npz" in line and "shared/" in line for line in lines
    )
    assert "--fresh" in last
    assert CliRunner().invoke(main, ["report", str(tmp_path)]).exit_code == 0
    assert guidebench_run(*SMOKE, "--method", "guide", "--fresh", out=tmp_path).exit_code == 0
    assert CliRunner().invoke(main, ["rescore", str(tmp_path)]).stdout.startswith("3 records ")
