"""`guidebench run` as a user runs it, on the analytic testbed: tables, resume, failures, kills, bad input."""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import guidebench
from guidebench.commands.main import main
from guidebench.store.folders import read
from guidebench.store.record import Record

SMOKE = ("run", "--protocol", "smoke", "--testbed", "linear")


def guidebench_run(*arguments, out, **options):
    """The command in this process; returns click's result."""
    return CliRunner().invoke(main, [*arguments, "--out", str(out)], **options)


def records(out, kind="records"):
    return sorted(path.parent for path in Path(out).glob(f"{kind}/**/record.json") if ".building" not in str(path))


def on_other_weights(folder):
    """Rewrites a record as if it had been made on other weights, which makes it another trial."""
    record = read(folder)
    spec = dataclasses.replace(record.spec, weights={**record.spec.weights, "plain": "0" * 64})
    (folder / "record.json").write_text(dataclasses.replace(record, spec=spec).to_json())


def write_method(folder, name, body):
    path = folder / f"{name}.py"
    path.write_text(
        "from dataclasses import dataclass\nimport time, torch\nfrom guidebench.unlearner import Unlearner\n"
        f"@dataclass(frozen=True)\nclass Mine(Unlearner):\n    name = '{name}'\n    steps: int = 3\n"
        f"    def unlearn(self, generator, request, context):\n        {body}\n        return generator\n"
    )
    return f"{path}:Mine"


def test_the_main_job_prints_a_table_with_floors_and_says_where_the_records_lie(tmp_path):
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


def test_what_is_recorded_is_skipped_and_fresh_measures_it_again(tmp_path):
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


def test_numbers_do_not_depend_on_workers_order_or_company(tmp_path):
    alone = guidebench_run(*SMOKE, "--method", "guide", "--floors", "none", out=tmp_path / "a")
    company = guidebench_run(
        *SMOKE, "--method", "mean-latent", "--method", "guide", "--workers", "2", out=tmp_path / "b"
    )
    assert (alone.exit_code, company.exit_code) == (0, 0), company.output
    (one,) = records(tmp_path / "a")
    other = tmp_path / "b" / one.relative_to(tmp_path / "a")
    assert read(one).outcome.scores == read(other).outcome.scores


def test_older_records_that_do_not_fit_are_left_out_of_the_table_and_named(tmp_path):
    guidebench_run(*SMOKE, "--method", "mean-latent", "--floors", "none", out=tmp_path)
    (folder,) = records(tmp_path)
    on_other_weights(folder)
    result = guidebench_run(*SMOKE, "--method", "guide", "--floors", "none", out=tmp_path)
    assert result.exit_code == 0, result.output
    assert "guidebench: " in result.stderr and str(tmp_path) in result.stderr and "weights of plain" in result.stderr
    assert not any(line.startswith("mean-latent") for line in result.stdout.splitlines())  # a footnote may name it


def test_a_setting_changes_the_row_and_its_label(tmp_path):
    result = guidebench_run(*SMOKE, "--method", "guide", "--set", "steps=5", "--floors", "none", out=tmp_path)
    assert result.exit_code == 0 and "guide(steps=5)" in result.stdout
    (folder,) = records(tmp_path)
    assert read(folder).spec.method.fields["steps"] == 5


def test_seeds_identities_and_samples_are_overridden(tmp_path):
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


MISBEHAVIOUR = {
    "raises": ("raise ValueError('no idea')", ["ValueError: no idea", "mine.py:"]),
    "raises-our-errors": (
        "from guidebench.errors import BadInput\n        raise BadInput('mine')",
        ["BadInput: mine", "mine.py:"],
    ),
    "exits": ("raise SystemExit(0)", ["SystemExit", "mine.py:"]),
    "returns-none": ("return None", ["unlearn()", "guidebench.testbed.Generator", "None"]),
    "nan-loss": ("context.progress(1, loss=float('nan'))", ["loss = nan", "step 1"]),
    "nan-weights": ("[p.fill_(float('nan')) for p in generator.parameters()]", ["finite", "--set lr="]),
    "nan-later": (
        "seen, old = [], generator.decode\n"
        "        def decode(*a, **k): seen.append(1); return old(*a, **k) * (1 if len(seen) < 2 else torch.nan)\n"
        "        generator.decode = decode",
        ["renders", "finite"],
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
def test_a_method_that_misbehaves_fails_its_trials_and_nothing_else(tmp_path, name):
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


def test_process_wide_switches_of_a_method_reach_no_other_trial(tmp_path):
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


def test_a_generator_is_judged_from_the_testbeds_cameras(tmp_path):
    body = "import dataclasses\n        generator.rig = dataclasses.replace(generator.rig, radius=99.0)"
    method = write_method(tmp_path, "far", body)
    guidebench_run(*SMOKE, "--method", method, "--floors", "none", out=tmp_path / "out")
    frame = guidebench.records(tmp_path / "out")
    assert (frame[frame.metric == "id"].value >= 1 - 1e-4).all()


@pytest.mark.parametrize("workers", [[], ["--workers", "2"]], ids=["in-process", "worker"])
def test_what_a_method_prints_stays_out_of_the_results(tmp_path, workers):
    method = write_method(tmp_path, "talker", "print('hello from a method')")
    command = [sys.executable, "-m", "guidebench", *SMOKE, "--method", method, "--floors", "none", *workers]
    done = subprocess.run([*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=True)
    assert "hello" not in done.stdout and "hello from a method" in done.stderr


def test_workers_end_in_order_and_leave_nothing_that_python_would_warn_of(tmp_path):
    """A progress bar holds a lock of the system until its process ends by itself."""
    method = write_method(tmp_path, "bar", "from tqdm import tqdm; list(tqdm([1]))")
    command = [sys.executable, "-m", "guidebench", *SMOKE, "--method", method, "--floors", "none", "--workers", "1"]
    done = subprocess.run([*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=True)
    assert "1 measured" in done.stderr and "1/1 [" in done.stderr
    assert "leaked" not in done.stderr and "Warning" not in done.stderr


def test_two_classes_in_one_file_are_two_methods(tmp_path):
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


def test_a_method_is_measured_again_when_a_file_beside_it_changes(tmp_path):
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
    for name in beside:
        registry_sees = (
            "from guidebench import registry, sources; "
            f"print(sources.source_digest(registry.load_method('{path}:Mine')))"
        )
        digests = set()
        for value in ("1.0", "0.5"):
            (tmp_path / name).write_text(f"VALUE = {value}\n")
            digests.add(subprocess.check_output([sys.executable, "-c", registry_sees]))
        assert len(digests) == 2, name


def test_two_helpers_of_one_name_are_refused(tmp_path):
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


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--protocol", "smoke", "--method", "guide", "--workers", "-1"],
        ["run", "--protocol", "smoke", "--method", "guide", "--seeds", ","],
        ["run", "--protocol", "smoke"],
        ["report", "x", "--format", "xml"],
        ["list", "foo"],
        ["new", "mthod"],
        ["status"],
    ],
    ids=" ".join,
)
def test_wrong_options_are_answered_in_one_line(arguments):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2 and len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert result.stderr.startswith("guidebench: ") and "--help" in result.stderr


def test_damaged_records_are_named_and_left_out(tmp_path):
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


def test_orderings_refuse_records_that_do_not_belong_together(tmp_path):
    for method in ("mean-latent", "guide"):
        guidebench_run(*SMOKE, "--method", method, "--floors", "none", out=tmp_path)
    guide = next(folder for folder in records(tmp_path) if folder.parent.name == "guide")
    on_other_weights(guide)
    done = CliRunner().invoke(main, ["orderings", str(tmp_path)])
    assert done.exit_code == 2 and "plain" in done.stderr


def test_a_failed_trial_is_tried_again_and_its_attempts_are_kept(tmp_path):
    flag = tmp_path / "fixed"
    method = write_method(
        tmp_path,
        "later",
        f"import pathlib\n        if not pathlib.Path({str(flag)!r}).exists(): raise ValueError('soon')",
    )
    for _ in range(2):
        assert guidebench_run(*SMOKE, "--method", method, "--floors", "none", out=tmp_path / "out").exit_code == 1
    flag.touch()
    assert guidebench_run(*SMOKE, "--method", method, "--floors", "none", out=tmp_path / "out").exit_code == 0
    (folder,) = records(tmp_path / "out")
    attempts = read(folder).outcome.attempts
    assert ["soon" in item.reason for item in attempts] == [True, True]
    status = CliRunner().invoke(main, ["status", str(tmp_path / "out"), "--json"])
    assert json.loads(status.stdout)["rows"][0]["measured"] == 1 and json.loads(status.stdout)["failures"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--protocol", "celebahq-mult", "--method", "guide"], ["'celebahq-multi'", "guidebench list protocols"]),
        (["--protocol", "smoke", "--method", "giude"], ["'guide'", "guidebench list methods"]),
        (["--protocol", "smoke", "--method", "guide", "--testbed", "linaer"], ["'linear'", "guidebench list testbeds"]),
        (
            ["--protocol", "smoke", "--method", "guide", "--set", "alpa_max=3"],
            ["'alpha_max'", "guidebench show guide"],
        ),
        (["--protocol", "smoke", "--method", "guide", "--set", "steps=many"], ["steps=many", "integer"]),
        (["--protocol", "smoke", "--method", "guide", "--set", "lr=-1"], ["lr=-1", "0"]),
        (["--protocol", "smoke", "--method", "guide", "--set", "lr=nan"], ["lr=nan", "0"]),
        (["--protocol", "smoke", "--method", "guide", "--set", "lr"], ["FIELD=VALUE"]),
        (["--protocol", "smoke", "--method", "nowhere.py:Mine"], ["nowhere.py", "guidebench new method"]),
        (["--protocol", "smoke", "--method", "guide", "--identities", "4000"], ["4000", "--identities"]),
        (["--protocol", "smoke", "--method", "guide", "--device", "tpu"], ["tpu", "cpu", "cuda"]),
        (["--protocol", "smoke", "--method", "guide", "--photos", "nowhere"], ["--photos nowhere", "folder"]),
        (["--protocol", "mine.toml", "--method", "guide"], ["mine.toml"]),
    ],
)
def test_bad_input_is_answered_in_one_line_with_exit_code_2(tmp_path, arguments, words):
    testbed = [] if "--testbed" in arguments else ["--testbed", "linear"]
    result = guidebench_run("run", *arguments, *testbed, out=tmp_path / "out")
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1 and "Traceback" not in result.output
    for word in words:
        assert word in result.stderr
    assert result.stdout == ""


def test_cuda_without_a_device_is_refused(tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    result = guidebench_run(*SMOKE, "--method", "guide", "--device", "cuda", out=tmp_path)
    assert result.exit_code == 2 and "--device cuda" in result.stderr and "--device cpu" in result.stderr


def test_a_directory_that_cannot_be_written_is_refused_before_anything_runs(tmp_path):
    (tmp_path / "file").write_text("")
    result = guidebench_run(*SMOKE, "--method", "guide", out=tmp_path / "file" / "below")
    assert result.exit_code == 2 and str(tmp_path / "file") in result.stderr and "--out" in result.stderr


def slow_run(tmp_path, identities=6):
    method = write_method(tmp_path, "slow", "time.sleep(0.5)")
    return [
        sys.executable,
        "-m",
        "guidebench",
        *SMOKE,
        "--method",
        method,
        "--identities",
        str(identities),
        "--floors",
        "none",
        "--workers",
        "2",
        "--out",
        str(tmp_path / "out"),
    ]


def wait_for_records(out, count, seconds=90):
    deadline = time.monotonic() + seconds
    while len(records(out)) < count:
        assert time.monotonic() < deadline, "no records appeared"
        time.sleep(0.02)


def test_kill_9_loses_at_most_the_trials_in_flight(tmp_path):
    command = slow_run(tmp_path)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_records(tmp_path / "out", 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = len(records(tmp_path / "out"))
    assert kept >= 2
    for folder in records(tmp_path / "out"):
        assert read(folder).is_measured
    time.sleep(2)  # workers notice that their parent is gone after the trial in flight
    kept = len(records(tmp_path / "out"))
    assert kept <= 4
    again = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert again.returncode == 0, again.stderr
    assert re.search(rf"\b{6 - kept} measured.*\b{kept}\b.*recorded", again.stderr)
    assert not list((tmp_path / "out").rglob(".building-*"))


def test_ctrl_c_keeps_what_is_measured_and_exits_130(tmp_path):
    process = subprocess.Popen(
        slow_run(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # it is ignored below nohup
    )
    wait_for_records(tmp_path / "out", 1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the whole group hears it
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.match(r"guidebench: .*interrupt", error.strip().splitlines()[-1])
    assert "Traceback" not in error
    assert records(tmp_path / "out")


def test_a_worker_that_dies_fails_its_trial_and_the_run_goes_on(tmp_path):
    flag = tmp_path / "once"
    method = write_method(
        tmp_path,
        "killer",
        "import os\n"
        f"        try: os.close(os.open({str(flag)!r}, os.O_CREAT | os.O_EXCL))  # one worker alone gets there first\n"
        "        except FileExistsError: return generator\n"
        "        os.kill(os.getpid(), 9)",
    )
    result = guidebench_run(
        *SMOKE, "--method", method, "--identities", "3", "--workers", "2", "--floors", "none", out=tmp_path / "out"
    )
    assert result.exit_code == 1 and "signal 9" in result.stderr
    assert len(records(tmp_path / "out")) == 2


def test_a_light_start_imports_no_torch(tmp_path):
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


def test_own_photographs_are_a_protocol_of_their_own(tmp_path):
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


def test_a_person_without_photographs_is_named_and_not_left_out(tmp_path):
    for name in ("ada", "grace"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / f"1.{'png' if name == 'ada' else 'heic'}").touch()
    result = guidebench_run(*SMOKE, "--method", "guide", "--photos", str(tmp_path / "photos"), out=tmp_path / "out")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert f"{tmp_path / 'photos' / 'grace'} " in result.stderr and ".png" in result.stderr


def test_a_kept_generator_renders_the_forgotten_and_a_new_photograph(tmp_path):
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


def test_records_of_other_weights_stay_and_are_measured_again_beside(tmp_path):
    """As after an upgrade: the same command finds nothing of what is recorded, and says what its table leaves out."""
    guidebench_run(*SMOKE, "--method", "guide", "--floors", "none", out=tmp_path)
    (old,) = records(tmp_path)
    on_other_weights(old)
    content = (old / "record.json").read_bytes()
    old.rename(old.with_name("older"))
    again = guidebench_run(*SMOKE, "--method", "guide", "--floors", "none", out=tmp_path)
    assert again.exit_code == 0 and "1 measured" in again.stderr
    assert re.search(rf"^guidebench: .*{re.escape(str(tmp_path))}.* weights of", again.stderr, re.MULTILINE)
    assert len(records(tmp_path)) == 2
    assert (old.with_name("older") / "record.json").read_bytes() == content
    resumed = guidebench_run(*SMOKE, "--method", "guide", "--floors", "none", out=tmp_path)
    assert re.search(r"\b0 measured.*\b1\b.*recorded", resumed.stderr)


def test_a_testbed_is_shown_with_its_people_and_the_version_of_its_weights():
    from guidebench.testbeds.mini import WEIGHTS_VERSION

    shown = CliRunner().invoke(main, ["show", "mini"]).stdout
    assert re.search(rf"^weights_version = {WEIGHTS_VERSION}$", shown, re.MULTILINE)
    assert re.search(r"^.*\bcelebahq = 500$", shown, re.MULTILINE)
    assert "weights_version" not in CliRunner().invoke(main, ["show", "linear"]).stdout


def test_a_gallery_shows_everybody_after_every_method(tmp_path):
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


def test_scores_are_printed_as_csv(tmp_path):
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


def test_rescoring_gives_the_recorded_scores_wherever_the_run_folder_lies(tmp_path):
    guidebench_run(*SMOKE, "--method", "guide", out=tmp_path / "runs")
    shutil.copytree(tmp_path / "runs", tmp_path / "elsewhere" / "copy")
    for folder in ("runs", "elsewhere"):
        done = CliRunner().invoke(main, ["rescore", str(tmp_path / folder)])
        assert done.exit_code == 0 and re.search(r"^3 records .*\b0 changed", done.stdout)


def test_records_that_lost_what_they_share_keep_their_scores_and_are_named_in_one_line_each(tmp_path):
    guidebench_run(*SMOKE, "--method", "guide", out=tmp_path)
    shutil.rmtree(tmp_path / "shared")
    done = CliRunner().invoke(main, ["rescore", str(tmp_path)])
    assert done.exit_code == 0 and done.stdout.startswith("0 records ")
    lines = done.stderr.splitlines()
    assert len(lines) == 3 and all(
        str(tmp_path) in line and "evidence.npz" in line and "shared/" in line for line in lines
    )
    assert CliRunner().invoke(main, ["report", str(tmp_path)]).exit_code == 0
    assert guidebench_run(*SMOKE, "--method", "guide", "--fresh", out=tmp_path).exit_code == 0
    assert CliRunner().invoke(main, ["rescore", str(tmp_path)]).stdout.startswith("3 records ")
