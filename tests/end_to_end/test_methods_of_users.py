"""Methods in files of the user's: those that misbehave harm nobody else, and a changed file is noticed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import guidebench
from guidebench.store.folders import read

SMOKE = ("run", "--protocol", "smoke", "--testbed", "linear")


MISBEHAVIOUR = {
    "raises": ("raise ValueError('no idea')", ["ValueError: no idea", "mine.py:"]),
    "raises-our-errors": (
        "from guidebench.errors import BadInput\n        raise BadInput('mine')",
        ["BadInput: mine", "mine.py:"],
    ),
    "raises-what-is-no-text": (r"raise ValueError('caf\udce9')", [r"caf\xe9", "mine.py:"]),
    "exits-at-once": ("import os; os._exit(0)", ["os._exit(0)"]),
    "exits": ("raise SystemExit(0)", ["SystemExit", "mine.py:"]),
    "returns-none": ("return None", ["unlearn()", "guidebench.testbed.Generator", "None"]),
    "nan-loss": ("context.progress(1, loss=float('nan'))", ["loss = nan", "step 1"]),
    "nan-weights": ("[p.fill_(float('nan')) for p in generator.parameters()]", ["finite", "--set lr="]),
    "nan-later": (
        "seen, old = [], generator.decode\n"
        "        def decode(*a, **k): seen.append(1); return old(*a, **k) * (1 if len(seen) < 2 else torch.nan)\n"
        "        generator.decode = decode",
        ["top level of a file"],
    ),
    "changes-source": ("[p.mul_(2) for p in context.source.parameters()]", ["context's source"]),
    "changes-recognizer": (
        "[p.data.mul_(2) for p in context.recognizer.buffers()]",
        ["context's recognizer"],
    ),
    "hooks-source": (
        "context.source.backbone.register_forward_hook(lambda m, a, out: out * 0)",
        ["context's source"],
    ),
    "patches-source": ("context.source.synthesize = lambda ws, noise: ws.mean(1)", ["context's source"]),
    "patches-classes": ("type(generator).decode = lambda self, *a, **k: None", ["classes", "LinearGenerator"]),
    "own-base-exception": (
        "raise type('Odd', (BaseException,), {'__str__': lambda self: 1 / 0})()",
        ["Odd: ", "mine.py:"],
    ),
    "absurd-step": ("context.progress(2**70, loss=1.0)", [f"step {2**70}", "from 1"]),
    "changes-request": ("request.forget[0].latent.zero_(), request.forget[0].image.zero_()", ["changed", "request"]),
}


@pytest.mark.parametrize("name", MISBEHAVIOUR)
def test_a_method_that_misbehaves_fails_its_trials_and_nothing_else(
    tmp_path, name, guidebench_run, records, write_method
):
    body, words = MISBEHAVIOUR[name]
    method = write_method(tmp_path, "mine", body)
    result = guidebench_run(*SMOKE, "--method", method, "--method", "mean-latent", out=tmp_path / "out")
    assert result.exit_code == 1, result.output
    assert [word for word in words if word not in result.stderr] == [] and "1 failed" in result.stderr
    assert len(records(tmp_path / "out")) == 3  # mean-latent and both floors, unharmed
    (failure,) = records(tmp_path / "out", "failures")
    reason = read(failure).outcome.reason
    assert [word for word in words if word not in reason] == []
    assert "Traceback" not in result.output
    frame = guidebench.records(tmp_path / "out")
    nothing = frame[(frame.method == "nothing") & (frame.metric == "id")]
    assert len(nothing) == 2 and (nothing.value >= 1 - 1e-4).all()


def test_process_wide_switches_of_a_method_reach_no_other_trial(tmp_path, guidebench_run, write_method):
    switches = (
        "import os, sys\n        torch.set_default_dtype(torch.float64), torch.set_grad_enabled(False)\n"
        "        torch.set_num_threads(2), torch.set_default_device('meta'), os.chdir('/'), sys.stdout.close()\n"
        "        torch.nn.modules.module.register_module_forward_hook(lambda m, a, out: out * 0)"
    )
    alone = guidebench_run(*SMOKE, "--method", "mean-latent", "--floors", "none", out=tmp_path / "a")
    method = write_method(tmp_path, "switches", switches)
    company = guidebench_run(
        *SMOKE, "--method", method, "--method", "mean-latent", "--floors", "none", out=tmp_path / "b"
    )
    assert (alone.exit_code, company.exit_code) == (0, 0), company.output
    values = [
        guidebench.records(tmp_path / name).query("method == 'mean-latent'").value.tolist() for name in ("a", "b")
    ]
    assert values[0] == values[1]


def test_a_generator_is_judged_from_the_testbeds_cameras(tmp_path, guidebench_run, write_method):
    body = "import dataclasses\n        generator.rig = dataclasses.replace(generator.rig, radius=99.0)"
    method = write_method(tmp_path, "far", body)
    guidebench_run(*SMOKE, "--method", method, "--floors", "none", out=tmp_path / "out")
    frame = guidebench.records(tmp_path / "out")
    assert (frame[frame.metric == "id"].value >= 1 - 1e-4).all()


@pytest.mark.parametrize(
    "workers", [[], pytest.param(["--workers", "2"], marks=pytest.mark.long)], ids=["in-process", "worker"]
)
def test_what_a_method_prints_stays_out_of_the_results(tmp_path, workers, write_method):
    method = write_method(tmp_path, "talker", "print('hello from a method')")
    command = [sys.executable, "-m", "guidebench", *SMOKE, "--method", method, "--floors", "none", *workers]
    done = subprocess.run([*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=True)
    assert "hello" not in done.stdout and "hello from a method" in done.stderr


@pytest.mark.long
def test_workers_end_in_order_and_leave_nothing_that_python_would_warn_of(tmp_path, write_method):
    """A progress bar holds a lock of the system until its process ends by itself."""
    method = write_method(tmp_path, "bar", "from tqdm import tqdm; list(tqdm([1]))")
    command = [sys.executable, "-m", "guidebench", *SMOKE, "--method", method, "--floors", "none", "--workers", "1"]
    done = subprocess.run([*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=True)
    assert "1 measured" in done.stderr and "1/1 [" in done.stderr
    assert "leaked" not in done.stderr and "Warning" not in done.stderr


def test_two_classes_in_one_file_are_two_methods(tmp_path, guidebench_run):
    path = tmp_path / "two.py"
    path.write_text(
        "from dataclasses import dataclass\nfrom guidebench.baselines.scramble import Scramble\n"
        "from guidebench.unlearner import Unlearner\n"
        "@dataclass(frozen=True)\nclass A(Unlearner):\n    name = 'two'\n"
        "    def unlearn(self, generator, request, context): return generator\n"
        "@dataclass(frozen=True)\nclass B(A):\n"
        "    def unlearn(self, generator, request, context): return Scramble().unlearn(generator, request, context)\n"
    )
    for name in ("A", "B"):
        result = guidebench_run(*SMOKE, "--method", f"{path}:{name}", "--floors", "none", out=tmp_path / "out")
        assert "1 measured" in result.stderr, result.output
    both = guidebench_run(*SMOKE, "--method", f"{path}:A", "--method", f"{path}:B", out=tmp_path / "out")
    assert both.exit_code == 2 and "'two'" in both.stderr


DIGESTS = """
import os, sys
from pathlib import Path
import torch
from guidebench import registry, sources

def tell():  # in a process of its own: a module is imported once
    if os.fork() == 0:
        print(sources.source_digest(registry.load_method(sys.argv[1])), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0

tell()
for path in map(Path, sys.argv[2:]):
    path.write_text("VALUE = 0.5\\n")
    tell()
"""


@pytest.mark.long
def test_a_method_is_measured_again_when_a_file_beside_it_changes(tmp_path, write_method):
    """Files that are imported by name, for a constant, from a package, or within a function."""
    (tmp_path / "package").mkdir()
    beside = ["helper.py", "constants.py", "package/__init__.py", "package/inner.py", "late.py"]
    for name in beside:
        (tmp_path / name).write_text("VALUE = 1.0\n")
    body = "import late; [p.mul_(VALUE * late.VALUE) for p in generator.parameters()]"
    path = Path(write_method(tmp_path, "uses", body).partition(":")[0])
    path.write_text("import helper\nfrom constants import VALUE\nfrom package import inner\n" + path.read_text())
    command = [sys.executable, "-m", "guidebench", *SMOKE, "--method", f"{path}:Mine", "--floors", "none"]

    def run():
        done = subprocess.run([*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=True)
        return done.stderr

    assert "1 measured" in run() and re.search(r"\b0 measured.*\b1\b.*recorded", run())
    done = subprocess.run(
        [sys.executable, "-c", DIGESTS, f"{path}:Mine", *map(str, (tmp_path / name for name in beside))],
        capture_output=True,
        text=True,
        check=True,
    )
    digests = done.stdout.split()
    assert len(digests) == 1 + len(beside) == len(set(digests)), "each change of a file gives another digest"


def test_two_helpers_of_one_name_are_refused(tmp_path, guidebench_run, write_method):
    methods = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same_helper.py").write_text("VALUE = 1\n")
        path = Path(write_method(tmp_path / folder, folder, "return generator").partition(":")[0])
        path.write_text("import same_helper\n" + path.read_text())
        methods += ["--method", f"{path}:Mine"]
    result = guidebench_run(*SMOKE, *methods, out=tmp_path / "out")
    assert result.exit_code == 2 and "rename" in result.stderr
    assert (
        all(str(tmp_path / folder) in result.stderr for folder in ("one", "two")) and "same_helper.py" in result.stderr
    )
