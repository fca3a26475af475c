"""`guidebench evaluate`: other people's generators get the scores that the method which made them got."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

import guidebench
from guidebench import registry
from guidebench.baselines.checkpoint import Checkpoint, load
from guidebench.commands.main import main
from guidebench.engine import asked
from guidebench.errors import BadInput
from guidebench.store.folders import read
from guidebench.testbeds.linear import LinearGenerator
from guidebench.unlearner import ABSENT

RUN = ("--protocol", "smoke", "--testbed", "linear", "--identities", "2")


def command(*arguments, out):
    return CliRunner().invoke(main, [*map(str, arguments), "--out", str(out)])


def records(out, kind="records"):
    found = [read(path.parent) for path in sorted(Path(out).glob(f"{kind}/**/record.json"))]
    return [record for record in found if not record.spec.method.floor]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Generators that mean-latent unlearned, one file per person, and the records of that run."""
    folder = tmp_path_factory.mktemp("kept")
    ran = command("run", *RUN, "--method", "mean-latent", "--keep-generators", "--floors", "none", out=folder / "runs")
    assert ran.exit_code == 0, ran.output
    for path in (folder / "runs").glob("records/**/record.json"):
        identity = read(path.parent).spec.group
        content = (path.parent / "generator" / "delta.safetensors").read_bytes()
        (folder / f"{identity}.safetensors").write_bytes(content)
        (folder / f"kept-{identity}").mkdir()
        (folder / f"kept-{identity}" / "delta.safetensors").write_bytes(content)
    return folder


def evaluate(pattern, *arguments, out):
    return command("evaluate", "--checkpoint", pattern, *RUN, "--floors", "none", *arguments, out=out)


@pytest.mark.parametrize("pattern", ["{identity}.safetensors", "kept-{identity}"])
def test_scores_are_those_of_the_method_and_the_row_says_that_training_was_not_seen(kept, tmp_path, pattern):
    result = evaluate(kept / pattern, "--name", "theirs", out=tmp_path)
    assert result.exit_code == 0, result.output
    assert "theirs" in result.stdout and "training" in result.stdout
    own, other = records(kept / "runs"), records(tmp_path)
    assert len(other) == 2 and {record.spec.method.label for record in other} == {"theirs"}
    by_name = {record.spec.group: record.outcome.scores for record in own}
    assert {record.spec.group: record.outcome.scores for record in other} == by_name
    assert [record.spec.method.training_seen for record in other] == [False, False]
    assert not guidebench.records(tmp_path).training_seen.any()


def test_one_table_holds_both_rows(kept, tmp_path):
    command("run", *RUN, "--method", "mean-latent", "--floors", "none", out=tmp_path)
    result = evaluate(kept / "{identity}.safetensors", "--name", "theirs", out=tmp_path)
    assert "mean-latent" in result.stdout and "theirs" in result.stdout and "guidebench: " not in result.stderr


def test_a_changed_file_is_a_new_trial_and_an_unchanged_one_is_skipped(kept, tmp_path):
    for path in kept.glob("*.safetensors"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    pattern = tmp_path / "{identity}.safetensors"
    assert "2 measured" in evaluate(pattern, out=tmp_path / "runs").stderr
    assert re.search(r"\b0 measured.*\b2\b.*recorded", evaluate(pattern, out=tmp_path / "runs").stderr)
    first, second = sorted(tmp_path.glob("*.safetensors"))
    first.write_bytes(second.read_bytes())
    assert re.search(r"\b1 measured.*\b1\b.*recorded", evaluate(pattern, out=tmp_path / "runs").stderr)
    assert len({record.key for record in records(tmp_path / "runs")}) == 3


def test_a_pattern_that_no_file_fits_stops_before_anything_is_rendered(tmp_path):
    result = evaluate(tmp_path / "{identity}.pkl", "--name", "theirs", out=tmp_path / "runs")
    assert result.exit_code == 2 and not (tmp_path / "runs" / "failures").exists()
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("guidebench: ") and re.search(r"\b2 checkpoints.*\btheirs\b", last)
    assert "celebahq-0000" in result.stderr


def test_a_missing_file_fails_its_identity_alone_and_is_tried_again(kept, tmp_path):
    path = tmp_path / "celebahq-0000.safetensors"
    path.write_bytes((kept / path.name).read_bytes())
    result = evaluate(tmp_path / "{identity}.safetensors", "--name", "theirs", out=tmp_path / "runs")
    assert result.exit_code == 1 and re.search(r"\b1 measured.*\b1 failed", result.stderr)
    (failed,) = records(tmp_path / "runs", "failures")
    assert failed.spec.group == "celebahq-0001" and f"{tmp_path}/celebahq-0001.safetensors" in failed.outcome.reason
    assert failed.spec.inputs == {"checkpoint": ABSENT} and not failed.spec.method.training_seen
    other = tmp_path / "celebahq-0001.safetensors"
    other.write_bytes((kept / other.name).read_bytes())
    assert evaluate(tmp_path / "{identity}.safetensors", "--name", "theirs", out=tmp_path / "runs").exit_code == 0


LOADERS = {
    "Class": "class Class:\n    def __new__(cls, path, original):\n        original.decoder.patterns.mul_(0.5)\n"
    "        return original\n",
    "Nothing": "def Nothing(path, original):\n    return path\n",
    "Wider": "def Wider(path, original):\n    original.num_ws = 5\n    return original\n",
    "Raises": "def Raises(path, original):\n    raise RuntimeError('no idea')\n",
}


@pytest.fixture
def loaders(tmp_path):
    file = tmp_path / "loaders_of_a_test.py"
    file.write_text("\n".join(LOADERS.values()))
    return file


def test_a_loader_is_given_the_file_and_a_copy_of_the_original(kept, tmp_path, loaders):
    pattern = kept / "{identity}.safetensors"
    result = evaluate(pattern, "--loader", f"{loaders}:Class", out=tmp_path / "runs")
    assert result.exit_code == 0, result.output
    loaded, direct = records(tmp_path / "runs"), records(kept / "runs")
    assert loaded[0].outcome.scores != direct[0].outcome.scores
    assert set(loaded[0].spec.inputs) == {"checkpoint", "loader"}
    loaders.write_text(loaders.read_text() + "# changed\n")
    again = evaluate(pattern, "--loader", f"{loaders}:Class", out=tmp_path / "runs")
    assert "2 measured" in again.stderr, "the loader's code is part of the key"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Nothing", ["PosixPath", "guidebench.testbed.Generator"]),
        ("Wider", ["num_ws", "5", "4"]),
        ("Raises", ["RuntimeError: no idea", "loaders_of_a_test.py"]),
    ],
)
def test_what_a_loader_does_wrong_fails_the_trial_in_one_line(kept, tmp_path, loaders, name, words):
    result = evaluate(kept / "{identity}.safetensors", "--loader", f"{loaders}:{name}", out=tmp_path / "runs")
    assert result.exit_code == 1 and all(
        word in record.outcome.reason for record in records(tmp_path / "runs", "failures") for word in words
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ckpt/{id}.pkl"], ["{id}", "{identity}", "{seed}"]),
        (["x.pkl", "--loader", "none.py:Class"], ["loader", " none.py "]),
        (["x.pkl", "--loader", "none.py"], ["loader", "'none.py'", "file.py:NAME"]),
        (["x.pkl", "--name", "guide"], ["'guide'", "method"]),
        (["x.pkl", "--name", "a b"], ["name = 'a b'", "letters"]),
    ],
)
def test_what_cannot_be_evaluated_is_said_before_anything_runs(tmp_path, arguments, words):
    result = evaluate(*arguments, out=tmp_path)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert [word for word in words if word not in result.stderr] == []


def test_rows_are_called_after_their_files():
    names = {
        "last.pkl": "last",
        "ckpt/{identity}.pkl": "ckpt",
        "ckpt/theirs-{identity}-{seed}.pkl": "theirs",
        "{identity}/last.pkl": "last",
        "{identity}.pkl": "checkpoint",
    }
    found = {path: asked.choose_checkpoint(path, "", None, "linear").chosen.label for path in names}
    assert found == names


def test_paths_are_those_of_one_identity_and_seed(tmp_path):
    method = Checkpoint(path=str(tmp_path / "{identity}-{seed}.bin")).for_trial("anna", 3)
    assert method.path == str(tmp_path / "anna-3.bin") and method.inputs() == {"checkpoint": ABSENT}
    (tmp_path / "anna-3.bin").write_bytes(b"one")
    first = method.inputs()
    (tmp_path / "anna-3.bin").write_bytes(b"three")
    assert ABSENT not in (first["checkpoint"], method.inputs()["checkpoint"]) and first != method.inputs()


def test_tensors_of_another_network_are_refused_by_name(tmp_path):
    original = LinearGenerator()
    state = {name: tensor.contiguous() for name, tensor in original.state_dict().items()}
    cases = {
        "unknown": {**state, "stranger": torch.zeros(1)},
        "shape": {**state, "w_avg": torch.zeros(3)},
        "empty": {},
    }
    for name, tensors in cases.items():
        save_file(tensors, tmp_path / f"{name}.safetensors")
        with pytest.raises(BadInput, match=rf"{name}\.safetensors") as caught:
            load(tmp_path / f"{name}.safetensors", copy.deepcopy(original))
        assert "\n" not in str(caught.value)


def test_the_method_is_for_evaluate_alone():
    assert registry.CHECKPOINT.name not in registry.methods()
    assert isinstance(registry.load_method("checkpoint"), Checkpoint) and not Checkpoint.training_seen
