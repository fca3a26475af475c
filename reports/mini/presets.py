"""Measures the grids from which presets on mini are chosen: python presets.py TUNING [--method NAME …] [OPTION …].

Without --method: the ladder of GUIDE, as the table of docs/presets.md. With it: as many learning rates, the same steps,
people and criterion for each method named, and a table with a row for each rate. Other options are those of
`guidebench run`. What TUNING holds already is not measured again.
"""

import argparse
import csv
import io
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LADDER = ("mean-latent", "extrapolated", "extrapolated-adj", "guide")
RATES = (2e-3, 4e-3, 8e-3, 16e-3, 32e-3, 64e-3)
STEPS = 25
TWICE = ((50, 2e-3), (50, 4e-3), (50, 8e-3), (50, 16e-3))  # shown, not chosen from
SHOWN = {"id": "ID", "id_others": "ID_others", "id_retain": "ID_retain", "fid_pre": "FID_pre"}
PEOPLE = 6
SALT = "0"  # decides the people to keep and the codes of FID_pre


@dataclass
class Scores:
    """What a method reached at one setting."""

    people: set[str] = field(default_factory=set)
    values: dict[str, list[float]] = field(default_factory=dict)  # by metric: of every person, under both judges

    @property
    def margin(self) -> float | None:
        """The criterion: ID_retain - ID_others, where what is below 0 counts as 0. Untouched: 0, ideal: 1.

        None: a trial failed, such as one that diverged; a setting must do for everybody.
        """
        if len(self.people) < PEOPLE:
            return None
        return mean(self.values["id_retain"]) - mean(max(value, 0.0) for value in self.values["id_others"])

    def cells(self) -> list[str]:
        """The means of what is shown."""
        return [
            f"{mean(self.values[metric]):.{1 if metric == 'fid_pre' else 2}f}" if metric in self.values else "–"
            for metric in SHOWN
        ]


Grid = dict[tuple[int, float], dict[str, Scores]]  # by steps and learning rate, then by method


def guidebench(*arguments: str, fine: Sequence[int] = (0,)) -> str:
    """What a command prints; its progress stays visible. fine: exit codes to go on after."""
    command = [sys.executable, "-m", "guidebench", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode not in fine:
        raise SystemExit(done.returncode)
    return done.stdout


def measure(folder: Path, methods: Sequence[str], steps: int, rate: float, options: Sequence[str]) -> dict[str, Scores]:
    """The scores of every method at a setting."""
    named = [word for method in methods for word in ("--method", method)]
    settings = ["--set", f"steps={steps}", "--set", f"lr={rate}"]
    protocol = ["--protocol", "development", "--identities", str(PEOPLE), "--salt", SALT, "--floors", "none"]
    guidebench("run", *protocol, "--out", str(folder), *named, *settings, *options, fine=(0, 1))
    scores = {method: Scores() for method in methods}
    columns = "method,identity,metric,value"
    for row in csv.DictReader(io.StringIO(guidebench("scores", str(folder), "--columns", columns))):
        if row["value"] and row["method"] in scores:
            found = scores[row["method"]]
            found.people.add(row["identity"])
            found.values.setdefault(row["metric"], []).append(float(row["value"]))
    return scores


def mean(values: Iterable[float]) -> float:
    """Of at least one value."""
    values = list(values)
    return sum(values) / len(values)


def best_rate(results: Grid, method: str) -> float:
    """The learning rate at which a method meets the criterion best, at the steps that are chosen from."""
    found = {
        rate: margin
        for (steps, rate), scores in results.items()
        if steps == STEPS and (margin := scores[method].margin) is not None
    }
    if not found:
        raise SystemExit(f"presets.py: {method} failed at every learning rate; give six others with --rates")
    return max(found, key=lambda rate: found[rate])


def cell(scores: Scores, best: bool) -> str:
    """The criterion, bold where it is best."""
    text = "–" if scores.margin is None else f"{scores.margin:.3f}"
    return f"**{text}**" if best else text


def ladder_table(results: Grid) -> list[str]:
    """The criterion for every row of GUIDE's ladder, then scores of the baseline and of GUIDE."""
    titles = " | ".join(SHOWN.values())
    lines = [f"| steps | lr | {' | '.join(LADDER)} | baseline: {titles} | guide: {titles} |"]
    lines.append("|" + "---:|" * (2 + len(LADDER) + 2 * len(SHOWN)))
    best = {method: best_rate(results, method) for method in LADDER}
    for (steps, rate), scores in results.items():
        cells = [cell(scores[method], (steps, rate) == (STEPS, best[method])) for method in LADDER]
        shown = [*scores[LADDER[0]].cells(), *scores[LADDER[-1]].cells()]
        lines.append(f"| {' | '.join([str(steps), f'{rate:g}', *cells, *shown])} |")
    return lines


def method_table(results: Grid, methods: Sequence[str]) -> list[str]:
    """A row for every method and learning rate."""
    lines = [f"| method | steps | lr | criterion | {' | '.join(SHOWN.values())} |"]
    lines.append("|---|" + "---:|" * (3 + len(SHOWN)))
    for method in methods:
        best = best_rate(results, method)
        for (steps, rate), scores in results.items():
            row = [method, str(steps), f"{rate:g}", cell(scores[method], rate == best), *scores[method].cells()]
            lines.append(f"| {' | '.join(row)} |")
    return lines


def rates(text: str) -> tuple[float, ...]:
    """Six learning rates, separated by commas."""
    found = tuple(float(word) for word in text.split(","))
    if len(set(found)) != len(RATES):
        raise argparse.ArgumentTypeError(f"{len(found)} learning rates; every method gets {len(RATES)}")
    return found


def main(arguments: Sequence[str]) -> None:
    """Run a grid and print it."""
    parser = argparse.ArgumentParser(prog="presets.py", description=__doc__, allow_abbrev=False)
    parser.add_argument("tuning", type=Path, help="where trials are kept")
    parser.add_argument("--method", action="append", help="tune this method instead of GUIDE's ladder; repeatable")
    parser.add_argument("--rates", type=rates, default=RATES, help="six learning rates, separated by commas")
    given, options = parser.parse_known_args(arguments)
    methods = given.method or LADDER
    grid = [(STEPS, rate) for rate in given.rates]
    if not given.method:
        grid += TWICE
    results = {
        (steps, rate): measure(given.tuning / f"steps-{steps}-lr-{rate:g}", methods, steps, rate, options)
        for steps, rate in grid
    }
    print("\n".join(method_table(results, methods) if given.method else ladder_table(results)))
    for method in methods:
        best = best_rate(results, method)
        if best in (min(given.rates), max(given.rates)):
            print(f"presets.py: {method} is best at an end of the range ({best:g}); shift --rates", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
