"""A SLURM of one node, where its packages are installed; `tox -e slurm` runs these tests alone."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def _lacking() -> str | None:
    if importlib.util.find_spec("submitit") is None:
        return "no submitit: pip install '.[slurm]'"
    if shutil.which("sbatch") is None:
        return "no sbatch: apt-get install slurm-wlm munge"
    return None if os.geteuid() == 0 else "only root can start a SLURM"


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A running SLURM; its folder."""
    reason = _lacking()
    if reason is not None:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("slurm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        try:
            subprocess.run(["sh", str(HERE / "start.sh"), str(folder)], check=True, timeout=60)
            yield folder
        finally:
            subprocess.run(["scancel", f"--user={os.getuid()}"], check=False)
            subprocess.run(["sh", str(HERE / "stop.sh"), str(folder)], check=True)
