"""`guidebench attack`: what is attacked, what is skipped, and one clear line for whatever cannot be."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import guidebench
from guidebench import images
from guidebench.commands.main import main
from guidebench.store import folders
from guidebench.testbeds.linear import LinearTestbed

BAD = Path(__file__).parents[2] / "contract" / "bad_attacks.py"
METHODS = Path(__file__).parents[1] / "engine" / "worker_methods.py"
OPTIONS = {"floors": "none", "identities": 1, "samples": 20, "workers": 0, "keep_generators": True}


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """Two methods on one person, with their generators, and a trial of sampled people without."""
    out = tmp_path_factory.mktemp("kept")
    guidebench.run("smoke", ["nothing", "redirect"], "linear", out=out, **OPTIONS)
    guidebench.run("random", "redirect", "linear", out=out, **{**OPTIONS, "keep_generators": False})
    return out


@pytest.fixture
def out(tmp_path, once):
    return shutil.copytree(once, tmp_path / "out")


def attack(out, *words):
    return CliRunner().invoke(main, ["attack", str(out), "--workers", "0", *map(str, words)])


def refused(done):
    """The one line of a command that was not carried out."""
    assert done.exit_code == 2 and done.stdout == "" and "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    return line


def labels(out):
    """By protocol and method, the attacks that were made."""
    return {
        (item.record.spec.protocol.name, item.record.spec.method.name): [
            run.attack.label for run in item.record.attacks
        ]
        for item in folders.scan(out)[0]
    }


def test_every_kept_generator_is_attacked_and_a_table_says_what_came_of_it(out):
    done = attack(out, "--attack", "neighbourhood", "--attack", "wide-views")
    assert done.exit_code == 0, done.stderr
    assert "2 generators attacked, 0 had been" in done.stderr
    assert "1 trials kept no generator and were left out (run --keep-generators)" in done.stderr
    assert "ID after neighbourhood" in done.stdout and "ID worst" in done.stdout and "redirect" in done.stdout
    assert labels(out) == {
        ("smoke", "nothing"): ["neighbourhood", "wide-views"],
        ("smoke", "redirect"): ["neighbourhood", "wide-views"],
        ("random", "redirect"): [],
    }


def test_what_was_attacked_is_skipped_and_other_settings_are_another_attack(out):
    attack(out, "--attack", "perturb", "--method", "nothing")
    again = attack(out, "--attack", "perturb", "--method", "nothing")
    assert again.exit_code == 0 and "0 generators attacked, 1 had been" in again.stderr and again.stdout
    attack(out, "--attack", "perturb", "--method", "nothing", "--set", "bits=5")
    assert labels(out)["smoke", "nothing"] == ["perturb", "perturb(bits=5)"]
    (item,) = [one for one in folders.scan(out)[0] if one.record.spec.method.name == "nothing"]
    metrics = {score.metric for score in item.record.outcome.scores}
    assert {"id_after_perturb", "id_after_perturb(bits=5)"} <= metrics


def test_a_setting_concerns_every_attack_that_has_the_field(out):
    attack(out, "--attack", "reinvert-z", "--attack", "wide-views", "--set", "steps=2", "--method", "nothing")
    assert labels(out)["smoke", "nothing"] == ["reinvert-z(steps=2)", "wide-views"]


def test_a_failing_attack_is_a_warning_the_others_are_made_and_the_exit_code_is_1(out):
    done = attack(out, "--attack", f"{BAD}:Raises", "--attack", f"{BAD}:Plain", "--method", "nothing")
    assert done.exit_code == 1 and "attack raises failed: the attack raised: RuntimeError: no idea" in done.stderr
    assert "ID after plain" in done.stdout and "ID after raises" not in done.stdout
    alone = attack(out, "--attack", f"{BAD}:Raises", "--method", "redirect")
    assert alone.exit_code == 1 and alone.stdout == "" and "attack raises failed" in alone.stderr


def test_a_damaged_generator_costs_its_own_attack_alone(out):
    (path,) = out.glob("records/smoke/redirect/*/generator/*")
    path.write_bytes(b"another")
    done = attack(out, "--attack", "wide-views")
    assert done.exit_code == 1 and "1 generators attacked" in done.stderr
    assert "FAILED: no attack could be made" in done.stderr and "generator/codes.safetensors" in done.stderr
    assert labels(out)["smoke", "redirect"] == [] and labels(out)["smoke", "nothing"] == ["wide-views"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--attack", "neighborhood"], ["unknown attack 'neighborhood'", "'neighbourhood'", "guidebench list attacks"]),
        (["--attack", "reinvert", "--set", "step=3"], ["'step'", "'steps'", "guidebench show reinvert"]),
        (["--attack", "reinvert", "--set", "steps=0"], ["attack reinvert: steps=0", "between 1 and 100000"]),
        (["--attack", "reinvert", "--set", "steps=many"], ["steps=many", "integer"]),
        (["--attack", "reinvert", "--set", "steps"], ["FIELD=VALUE"]),
        (["--attack", "perturb", "--method", "gide"], ["no such trial", "nothing, redirect"]),
        (["--attack", "perturb", "--protocol", "smoky"], ["no such trial", "random, smoke"]),
        (["--attack", "perturb", "--protocol", "random"], ["none of the 1 trials", "--keep-generators"]),
        (["--attack", f"{BAD}:Nobody"], ["has no 'Nobody'", "Plain"]),
        (["--attack", "nowhere.py:Mine"], ["nowhere.py", "does not exist"]),
        (["--attack", "guide"], ["unknown attack 'guide'"]),
        (
            [
                "--attack",
                "wide-views",
                "--attack",
                f"{BAD}:Plain",
                "--attack",
                f"{BAD.parent}/./{BAD.name}:Plain",
            ],
            ["two", "'plain'"],
        ),
        (["--attack", "perturb", "--workers", "4000"], ["workers = 4000", "at most"]),
        (["--attack", "perturb", "--device", "gpu"], ["gpu"]),
    ],
    ids=lambda value: "-".join(map(str, value))[:40] if value and str(value[0]).startswith("--") else "",
)
def test_what_cannot_be_asked_for_is_one_line(out, words, said):
    line = refused(attack(out, *words))
    assert all(part in line for part in said), line
    assert not any(labels(out).values())


def test_a_directory_without_records_is_one_line(tmp_path):
    assert "no such directory" in refused(attack(tmp_path / "nowhere", "--attack", "perturb"))
    assert "no records" in refused(attack(tmp_path, "--attack", "perturb"))


def test_nothing_to_attack_with_is_a_usage_error(out):
    done = attack(out)
    assert done.exit_code == 2 and "--attack" in done.stderr


def test_an_attack_that_needs_photographs_does_not_fit_sampled_people(tmp_path):
    guidebench.run("random", "nothing", "linear", out=tmp_path, **OPTIONS)
    line = refused(attack(tmp_path, "--attack", "reinvert"))
    assert "attack reinvert needs photographs" in line and "protocol random" in line
    assert attack(tmp_path, "--attack", "perturb", "--attack", "interpolate").exit_code == 0


def test_code_that_a_record_names_is_not_run_before_somebody_says_so(tmp_path):
    guidebench.run("smoke", f"{METHODS}:Warns", "linear", out=tmp_path, **OPTIONS)
    line = refused(attack(tmp_path, "--attack", "wide-views"))
    assert f"names code that would be run: method {METHODS}:Warns; give --trust-code" in line
    assert attack(tmp_path, "--attack", "wide-views", "--trust-code").exit_code == 0


def test_a_method_whose_code_has_changed_is_named_before_anything_is_attacked(tmp_path):
    file = tmp_path / "changing.py"
    file.write_text(METHODS.read_text())
    guidebench.run("smoke", ["nothing", f"{file}:Warns"], "linear", out=tmp_path / "out", **OPTIONS)
    file.write_text(METHODS.read_text() + "\n# another version\n")
    line = refused(attack(tmp_path / "out", "--attack", "wide-views", "--trust-code"))
    assert "the code of method warns has changed" in line and "--method" in line
    assert attack(tmp_path / "out", "--attack", "wide-views", "--method", "nothing").exit_code == 0


@pytest.fixture
def photos(tmp_path):
    """Three people's photographs, two of each."""
    people = LinearTestbed().faces().people("dev", [0, 1, 2], photos=2)
    for name, person in zip(("anna", "bert", "carl"), people, strict=True):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number, photo in enumerate(person.photos):
            images.save(photo, tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


def test_trials_of_ones_own_photographs_need_them_and_others_do_not(out, photos):
    guidebench.run("smoke", "nothing", "linear", out=out, photos=photos, **OPTIONS)
    line = refused(attack(out, "--attack", "relearn"))
    assert "--photos" in line and "smoke-photos" in line
    assert "not a folder" in refused(attack(out, "--attack", "relearn", "--photos", photos / "nobody"))
    done = attack(out, "--attack", "relearn", "--photos", photos, "--method", "nothing")
    assert done.exit_code == 0 and "2 generators attacked" in done.stderr, done.stderr
    (photos / "anna" / "0.png").write_bytes((photos / "carl" / "0.png").read_bytes())
    line = refused(attack(out, "--attack", "wide-views", "--photos", photos, "--protocol", "smoke-photos"))
    assert "made with other photographs" in line


def test_a_folder_of_several_runs_is_attacked_run_by_run(tmp_path, once):
    kept = {"one": "nothing", "two": "redirect"}
    for run, method in kept.items():
        shutil.copytree(once / "records/smoke" / method, tmp_path / run / "records/smoke" / method)
        shutil.copytree(once / "shared", tmp_path / run / "shared")
    done = attack(tmp_path, "--attack", "wide-views")
    assert done.exit_code == 0 and "2 generators attacked" in done.stderr, done.stderr
    assert {run: labels(tmp_path / run) for run in kept} == {
        run: {("smoke", method): ["wide-views"]} for run, method in kept.items()
    }
    assert not (tmp_path / "records").exists()


def test_an_attack_that_takes_too_long_is_ended_and_named(out):
    done = attack(out, "--attack", f"{BAD}:Sleeps", "--method", "nothing", "--timeout", "0.3")
    assert done.exit_code == 1 and "took longer than the 0.3 s that --timeout allows" in done.stderr
