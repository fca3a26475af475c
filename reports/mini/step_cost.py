"""What a step like GUIDE's costs on mini in one checkout against another: python step_cost.py OLD NEW [ROUNDS].

Each round times both, in processes of their own, one after the other on one thread; processor time, not wall time.
Prints the medians and their ratio. Version 1 of mini's weights is commit 3270e12: git worktree add ../mini-v1 3270e12.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

MEASURE = """
import json, torch
torch.set_num_threads(1)
from guidebench.testbeds.mini.testbed import MiniTestbed
from guidebench.testbeds.mini.training.measure import _cost
players = MiniTestbed().players()
print(json.dumps(_cost(players.generator, players)))
"""


def cost(checkout: str) -> dict[str, float]:
    """Processor seconds of one image and one step, by the checkout's own measurement."""
    environment = {**os.environ, "PYTHONPATH": str(Path(checkout).resolve()), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", MEASURE]
    printed = subprocess.run(
        command, check=True, env=environment, cwd=checkout, stdout=subprocess.PIPE, text=True
    ).stdout
    seconds: dict[str, float] = json.loads(printed)
    return seconds


def main(old: str, new: str, rounds: str = "5") -> None:
    """Time both by turns."""
    measured = [(cost(old), cost(new)) for _ in range(int(rounds))]
    for name in ("image", "guide_like_step"):
        before, after = (statistics.median(pair[side][name] for pair in measured) for side in (0, 1))
        ratios = [pair[1][name] / pair[0][name] for pair in measured]
        print(
            f"{name}: {1000 * before:.1f} ms, {1000 * after:.1f} ms; ratio {after / before:.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f} in {rounds} rounds)"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
