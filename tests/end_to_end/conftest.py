"""What tests of the command line share: the command in this process, the folders of records, a method in a file."""

import dataclasses
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from guidebench.commands.main import main
from guidebench.store.finding import ASIDE
from guidebench.store.folders import folder_name, read, rewrite_record


@pytest.fixture
def guidebench_run():
    return _guidebench_run


@pytest.fixture
def records():
    return _records


@pytest.fixture
def on_other_weights():
    return _on_other_weights


@pytest.fixture
def write_method():
    return _write_method


def _guidebench_run(*arguments, out, **options):
    """The command in this process; returns click's result."""
    return CliRunner().invoke(main, [*arguments, "--out", str(out)], **options)


def _records(out, kind="records"):
    """The folders of records; os.walk, unlike glob, bears folders that a run removes meanwhile."""
    found = []
    for folder, below, files in os.walk(Path(out) / kind):
        below[:] = [name for name in below if not name.startswith(ASIDE)]
        if "record.json" in files:
            found.append(Path(folder))
    return sorted(found)


def _on_other_weights(folder):
    """Rewrites a record as if it had been made on other weights, which makes it another trial; returns its folder."""
    record = read(folder)
    spec = dataclasses.replace(record.spec, weights={**record.spec.weights, "plain": "0" * 64})
    rewrite_record(dataclasses.replace(record, spec=spec), folder)
    return folder.rename(folder.with_name(folder_name(spec)))


def _write_method(folder, name, body):
    path = folder / f"{name}.py"
    path.write_text(
        "from dataclasses import dataclass\nimport time, torch\nfrom guidebench.unlearner import Unlearner\n"
        f"@dataclass(frozen=True)\nclass Mine(Unlearner):\n    name = '{name}'\n    steps: int = 3\n"
        f"    def unlearn(self, generator, request, context):\n        {body}\n        return generator\n"
    )
    return f"{path}:Mine"
