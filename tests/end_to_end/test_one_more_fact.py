"""What it takes to record one more fact: a field, a line that fills it and a line that shows it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import guidebench

CHANGES = {
    "store/record.py": (
        "    device: str  # in words\n",
        "    device: str  # in words\n    cores: int = 0  # processors of the machine\n",
    ),
    "engine/recording.py": (
        "        device=environment.device_in_words(str(bench.testbed.device)),\n",
        "        device=environment.device_in_words(str(bench.testbed.device)),\n        cores=12,\n",
    ),
    "reporting/scores.py": (
        '    "device": Column(',
        '    "cores": Column("processors", lambda at: at.record.environment.cores, "int"),\n    "device": Column(',
    ),
}


def test_one_more_recorded_fact_touches_three_core_files(tmp_path):
    package = tmp_path / "guidebench"
    installed = Path(guidebench.__file__).parent
    shutil.copytree(installed, package, ignore=shutil.ignore_patterns("__pycache__", "mini"))
    for name in ("baselines", "protocols", "reports"):  # of a checkout, where they are beside the package
        if not (package / name).is_dir():
            shutil.copytree(
                installed.parent / name, package / name, ignore=shutil.ignore_patterns("__pycache__", "mini")
            )
    for file, (old, new) in CHANGES.items():
        text = (package / file).read_text(encoding="utf-8")
        assert text.count(old) == 1, file
        (package / file).write_text(text.replace(old, new), encoding="utf-8")

    def command(*words):
        done = subprocess.run(
            [sys.executable, "-m", "guidebench", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    command("run", "--protocol", "smoke", "--method", "nothing", "--testbed", "linear", "--floors", "none")
    lines = command("scores", "runs", "--columns", "cores,metric").splitlines()
    assert lines[0] == "cores,metric" and len(lines) > 5
    assert {line.partition(",")[0] for line in lines[1:]} == {"12"}
