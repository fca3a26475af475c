"""The same trial on a GPU and on a CPU: draws are the same on both, so the numbers agree.

The paper's networks at full size: test_eg3d_real_size.py.
"""

import pytest
from click.testing import CliRunner

import guidebench
from guidebench.commands.main import main

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("testbed", ["linear", "mini"])
def test_a_gpu_measures_what_a_cpu_measures(tmp_path, testbed):
    """10 steps: float32 sums differ in order, and training amplifies that; 0.02 is a tenth of a method's effect."""
    frames = {}
    for device in ("cpu", "cuda"):
        out = tmp_path / device
        arguments = ["run", "--protocol", "smoke", "--method", "guide", "--set", "steps=10", "--testbed", testbed]
        done = CliRunner().invoke(main, [*arguments, "--device", device, "--workers", "1", "--out", str(out)])
        assert done.exit_code == 0, done.output
        frames[device] = guidebench.records(out).sort_values(["method", "metric", "judge"])
    assert "cuda" not in set(frames["cpu"].device) and len(frames["cuda"]) == len(frames["cpu"])
    similarity = frames["cpu"].metric.str.startswith("id").to_numpy()
    cpu, cuda = (frames[device].value.to_numpy(dtype=float) for device in ("cpu", "cuda"))
    assert cpu[similarity] == pytest.approx(cuda[similarity], abs=0.02, nan_ok=True)
