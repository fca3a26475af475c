"""Measures the grid from which the preset of the GUIDE family on mini is chosen: python presets.py TUNING [OPTION …].

Options are those of `guidebench run`. What TUNING holds already is not measured again. Prints docs/presets.md's table.
"""

import csv
import io
import math
import subprocess
import sys
from pathlib import Path

from guidebench.reporting import published

LADDER = ("mean-latent", "extrapolated", "extrapolated-adj", "guide")
GRID = ((25, 2e-3), (25, 4e-3), (25, 8e-3), (50, 2e-3))  # steps, learning rate


def guidebench(*arguments: str) -> str:
    """What a command prints; its progress stays visible."""
    command = [sys.executable, "-m", "guidebench", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(folder: Path, steps: int, rate: float, options: list[str]) -> dict[tuple[str, str], float]:
    """Means over development people of every metric that has no judge or the first one, by (method, metric)."""
    methods = [word for method in LADDER for word in ("--method", method)]
    settings = ["--set", f"steps={steps}", "--set", f"lr={rate}"]
    protocol = ["--protocol", "development", "--samples", "500", "--floors", "none"]
    guidebench("run", *protocol, "--out", str(folder), *methods, *settings, *options)
    printed = guidebench("scores", str(folder), "--columns", "label,metric,judge,value")
    values: dict[tuple[str, str], list[float]] = {}
    for row in csv.DictReader(io.StringIO(printed)):
        if row["judge"] in ("", "curricularface") and row["value"]:
            values.setdefault((row["label"].partition("(")[0], row["metric"]), []).append(float(row["value"]))
    return {key: sum(some) / len(some) for key, some in values.items()}


def claimed() -> dict[str, float]:
    """FID_pre of the ladder in GUIDE's Table 1, CelebAHQ."""
    (table,) = (table for table in published.load() if table.name == "guide-1")
    return {row.method: row.claims["fid_pre"].mean for row in table.rows if row.protocol == "celebahq"}


def distance(means: dict[tuple[str, str], float]) -> float:
    """The criterion: sum of squared differences of log FID_pre ratios to the baseline, measured and published."""
    paper = claimed()

    def ratio(of: float, baseline: float) -> float:
        return math.log(of / baseline)

    baseline = means["mean-latent", "fid_pre"]
    return sum(
        (ratio(means[method, "fid_pre"], baseline) - ratio(paper[method], paper["mean-latent"])) ** 2
        for method in LADDER[1:]
    )


def main(arguments: list[str]) -> None:
    """Run the grid and print it."""
    folder, options = Path(arguments[0]), arguments[1:]
    results = {
        (steps, rate): measure(folder / f"steps-{steps}-lr-{rate:g}", steps, rate, options) for steps, rate in GRID
    }
    best = min(results, key=lambda setting: distance(results[setting]))
    print("| steps | lr | ID: baseline | guide | ID_others: baseline | guide | ID_retain: guide |", end="")
    print(" FID_pre: baseline | extrapolated | + adjacency | guide | distance |")
    print("|" + "---:|" * 12)
    for (steps, rate), means in results.items():
        cells = [str(steps), f"{rate:g}"]
        cells += [
            f"{means[method, metric]:.2f}" for metric in ("id", "id_others") for method in ("mean-latent", "guide")
        ]
        cells += [f"{means['guide', 'id_retain']:.2f}", *(f"{means[method, 'fid_pre']:.1f}" for method in LADDER)]
        cells += [f"{distance(means):.3f}"]
        if (steps, rate) == best:
            cells = [f"**{cell}**" for cell in cells]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main(sys.argv[1:])
