"""Which executor runs trials, where, and what is refused in one line."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from click.testing import CliRunner

import guidebench
from guidebench.commands.main import main
from guidebench.engine.asked import options_of
from guidebench.errors import BadInput
from guidebench.executors import choose
from guidebench.testbeds.linear import LinearTestbed
from guidebench.unlearner import Unlearner

SLURM = {"executor": "slurm", "device": "cpu", "slurm": ("time=5",)}


@dataclass(frozen=True)
class Local(Unlearner):
    """Defined here only."""

    name = "local"

    def unlearn(self, generator, request, context):
        return generator


Local.__module__ = "__main__"


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"executor": "pbs"}, ("executor", "'pbs'", "local", "slurm", "ray")),
        ({"shard": "3/2"}, ("shard", "3/2")),
        ({"executor": "ray", "shard": "1/2"}, ("shard", "1/2", "ray")),
        ({**SLURM, "workers": 0}, ("workers = 0", "slurm")),
        ({**SLURM, "workers": 1.5}, ("workers", "1.5")),
        ({"slurm": {"time": 5}}, ("time", "local")),
        ({**SLURM, "slurm": "time"}, ("KEY=VALUE", "time")),
    ],
)
def test_what_cannot_be_is_refused(given, parts, says):
    with pytest.raises(BadInput, match=says(*parts)):
        options_of("linear", given)


def test_a_cluster_may_have_more_workers_than_this_machine_holds():
    assert options_of("linear", {**SLURM, "workers": 4000}).workers == 4000
    with pytest.raises(BadInput, match="4000"):
        options_of("linear", {"workers": 4000})


def test_slurm_is_asked_with_a_mapping_or_with_texts():
    texts = options_of("linear", {**SLURM, "slurm": ["time=5", "setup=module load a", "setup=module load b"]})
    assert texts.slurm == (("time", "5"), ("setup", "module load a\nmodule load b"))
    assert options_of("linear", {**SLURM, "slurm": {"time": 5, "exclusive": True}}).slurm[1] == ("exclusive", "true")


@pytest.mark.parametrize("device", ["auto", "cuda:1"])
def test_a_cluster_needs_to_be_told_the_kind_of_device(device, says):
    options = options_of("linear", {**SLURM, "device": device})
    with pytest.raises(BadInput, match=says(device, "--device cuda", "--device cpu")):
        choose.device(options)


def test_a_run_on_gpus_elsewhere_is_planned_on_this_cpu():
    options = options_of("linear", {**SLURM, "device": "cuda"})
    assert (choose.device(options), choose.device_here(options)) == ("cuda", "cpu")


def test_how_many_trials_run_at_a_time(says):
    assert choose.at_a_time(options_of("linear", {}), LinearTestbed) == 1
    assert choose.at_a_time(options_of("linear", {**SLURM, "workers": 9}), LinearTestbed) == 9
    with pytest.raises(BadInput, match=says("slurm", "--workers")):
        choose.at_a_time(options_of("linear", SLURM), LinearTestbed)


def test_what_only_this_process_has_goes_nowhere(tmp_path, says):
    with pytest.raises(BadInput, match=says("Local", "notebook", "put it in a file")):
        guidebench.run("smoke", Local, "linear", out=tmp_path, **SLURM)


def test_a_dry_run_counts_no_shard(says):
    done = CliRunner().invoke(main, ["reproduce", "table-2", "--testbed", "linear", "--dry-run", "--shard", "1/2"])
    assert done.exit_code == 2 and "1/2" in done.stderr and "dry run" in done.stderr


def test_the_command_hands_its_options_on(tmp_path):
    """Without sbatch, or without submitit, which one line says."""
    words = ["run", "--protocol", "smoke", "--testbed", "linear", "--method", "nothing", "--out", str(tmp_path)]
    done = CliRunner().invoke(main, [*words, "--executor", "slurm", "--device", "cpu", "--slurm", "tim=3"])
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("guidebench: ")]
    assert done.exit_code == 2 and "slurm" in line
