"""Measures the grid from which the presets of GUIDE's ladder on mini are chosen: python presets.py TUNING [OPTION …].

Options are those of `guidebench run`. What TUNING holds already is not measured again. Prints docs/presets.md's table.
"""

import csv
import io
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

LADDER = ("mean-latent", "extrapolated", "extrapolated-adj", "guide")
RATES = (2e-3, 4e-3, 8e-3, 16e-3, 32e-3, 64e-3)
STEPS = 25
TWICE = ((50, 2e-3), (50, 4e-3), (50, 8e-3), (50, 16e-3))  # shown, not chosen from
SHOWN = ("id", "id_others", "id_retain", "fid_pre")
SALT = "0"  # decides the people to keep and the codes of FID_pre

Scores = dict[tuple[str, str], list[float]]


def guidebench(*arguments: str) -> str:
    """What a command prints; its progress stays visible."""
    command = [sys.executable, "-m", "guidebench", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(folder: Path, steps: int, rate: float, options: list[str]) -> Scores:
    """Every score of every person under both judges, by (method, metric)."""
    methods = [word for method in LADDER for word in ("--method", method)]
    settings = ["--set", f"steps={steps}", "--set", f"lr={rate}"]
    protocol = ["--protocol", "development", "--identities", "6", "--salt", SALT, "--floors", "none"]
    guidebench("run", *protocol, "--out", str(folder), *methods, *settings, *options)
    scores: Scores = {}
    for row in csv.DictReader(io.StringIO(guidebench("scores", str(folder), "--columns", "label,metric,value"))):
        if row["value"]:
            scores.setdefault((row["label"].partition("(")[0], row["metric"]), []).append(float(row["value"]))
    return scores


def mean(values: Iterable[float]) -> float:
    """Of at least one value."""
    values = list(values)
    return sum(values) / len(values)


def margin(scores: Scores, method: str) -> float:
    """The criterion: ID_retain - ID_others, where what is below 0 counts as 0. Untouched: 0, ideal: 1."""
    forgotten = mean(max(value, 0.0) for value in scores[method, "id_others"])
    return mean(scores[method, "id_retain"]) - forgotten


def row(steps: int, rate: float, scores: Scores, best: dict[str, float]) -> str:
    """One line of the table: the criterion for every method, then scores of the baseline and of GUIDE."""
    cells = [str(steps), f"{rate:g}"]
    for method in LADDER:
        cell = f"{margin(scores, method):.3f}"
        cells.append(f"**{cell}**" if (steps, best[method]) == (STEPS, rate) else cell)
    for method in (LADDER[0], LADDER[-1]):
        cells += [f"{mean(scores[method, metric]):.{1 if metric == 'fid_pre' else 2}f}" for metric in SHOWN]
    return f"| {' | '.join(cells)} |"


def main(arguments: list[str]) -> None:
    """Run the grid and print it."""
    folder, options = Path(arguments[0]), arguments[1:]
    grid = [*((STEPS, rate) for rate in RATES), *TWICE]
    results = {
        (steps, rate): measure(folder / f"steps-{steps}-lr-{rate:g}", steps, rate, options) for steps, rate in grid
    }
    best = {method: max(RATES, key=lambda rate: margin(results[STEPS, rate], method)) for method in LADDER}
    titles = "ID | ID_others | ID_retain | FID_pre"
    print(f"| steps | lr | {' | '.join(LADDER)} | baseline: {titles} | guide: {titles} |")
    print("|" + "---:|" * (2 + len(LADDER) + 2 * len(SHOWN)))
    for (steps, rate), scores in results.items():
        print(row(steps, rate, scores, best))


if __name__ == "__main__":
    main(sys.argv[1:])
