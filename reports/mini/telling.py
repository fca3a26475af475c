"""Which metric tells a generator that holds the person from one that does not: python telling.py RUNS [RUNS …].

Reads what `make.sh` ran and prints the tables of docs/which-metric.md. Nothing is measured here.
"""

import csv
import io
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

HOLD = {  # rows of generators that hold the person, by construction
    "nothing": "nothing",
    "redirect": "redirect",
    "redirect(radius=20.0)": "redirect, radius 20",
    "block-list": "block list",
    "memoriser": "memoriser",
    "counter": "counter",
    "one-photo": "one photo",
    "legato": "LEGATO",
    "guide(steps=2)": "2 steps of GUIDE",
}
GONE = {"oracle": "oracle", "guide(steps=100)": "100 steps of GUIDE"}  # of ones that do not
METRICS = {  # whether a generator that holds the person has the larger value
    "id": True,
    "id_others": True,
    "id_neighbour": True,
    "recognised": True,
    "recognised_others": True,
    "id_after_neighbourhood": True,
    "id_after_reinvert-z": True,
    "id_after_wide-views": True,
    "id_after_strip": True,
    "id_after_resurgence": True,
    "id_after_perturb": True,
    "id_after_reinvert": True,
    "id_after_reinvert-w": True,
    "id_after_relearn": True,
    "id_after_interpolate": True,
    "half_after_relearn": False,
    "half_after_interpolate": False,
    "gap of reinvert": False,
    "gap of reinvert-w": False,
    "gap of reinvert-z": False,
    "id_worst": True,
    "recognised_worst": True,
    "the larger of id_worst and id_others": True,
}
DRAWS = 2000
FOOLED = 0.75

Row = dict[str, dict[str, float]]  # row, person
Values = dict[str, Row]  # by metric


def main(folders: Sequence[str]) -> None:
    """Prints the table."""
    values = _values(folders)
    people = sorted({person for row in values["id"].values() for person in row})
    gone = [row for row in GONE if row in values["id"]]
    held = [row for row in HOLD if row in values["id"]]
    titles = [HOLD[row] for row in held]
    print(f"| metric | AUC | 95 % interval | {' | '.join(titles)} |")
    print("|---|---:|---:|" + "---:|" * len(titles))
    for metric, larger in METRICS.items():
        if metric not in values:
            continue
        found = values[metric]
        everything = _auc(found, held, gone, larger, people)
        low, high = _interval(found, held, gone, larger, people)
        each = [_auc(found, [row], gone, larger, people) for row in held]
        cells = [f"**{one:.2f}**" if one < FOOLED else f"{one:.2f}" for one in each]
        name = metric if " " in metric else f"`{metric}`"
        print(f"| {name} | {everything:.2f} | {low:.2f} to {high:.2f} | {' | '.join(cells)} |")


def _values(folders: Iterable[str]) -> Values:
    """Of the first judge and of metrics without a judge; a curve that never comes back counts as infinite."""
    found: Values = {}
    for folder in folders:
        command = [sys.executable, "-m", "guidebench", "scores", folder]
        columns = "label,identity,role,metric,judge,value,reason"
        text = subprocess.run([*command, "--columns", columns], check=True, stdout=subprocess.PIPE, text=True).stdout
        for row in csv.DictReader(io.StringIO(text)):
            if row["judge"] not in ("", "curricularface"):
                continue
            value = float(row["value"]) if row["value"] else np.nan
            if row["metric"].startswith("half_after_") and row["reason"].startswith("not within"):
                value = np.inf  # it does not come back
            by_row = found.setdefault(row["metric"], {}).setdefault(row["label"], {})
            by_row.setdefault(row["identity"], value)
    for attack in ("reinvert", "reinvert-w", "reinvert-z"):
        found[f"gap of {attack}"] = _gap(found[f"id_original_{attack}"], found[f"id_after_{attack}"])
    found["the larger of id_worst and id_others"] = {
        row: {who: max(value, found["id_others"][row][who]) for who, value in own.items()}
        for row, own in found["id_worst"].items()
    }
    return found


def _gap(original: Mapping[str, Mapping[str, float]], after: Mapping[str, Mapping[str, float]]) -> Row:
    """How much less an attack finds than on the original generator."""
    return {row: {who: original[row][who] - value for who, value in own.items()} for row, own in after.items()}


def _auc(
    found: Mapping[str, Mapping[str, float]],
    held: Sequence[str],
    gone: Sequence[str],
    larger: bool,
    people: Sequence[str],
) -> float:
    """How often a trial that holds the person has the worse value than one that does not; ties count half."""
    worse, better = (np.array([_of(found, row, who) for row in rows for who in people]) for rows in (held, gone))
    worse, better = worse[~np.isnan(worse)], better[~np.isnan(better)]
    if not len(worse) or not len(better):
        return float("nan")
    if not larger:
        worse, better = -worse, -better
    above = (worse[:, None] > better).mean() + 0.5 * (worse[:, None] == better).mean()
    return float(above)


def _of(found: Mapping[str, Mapping[str, float]], row: str, who: str) -> float:
    return found.get(row, {}).get(who, float("nan"))


def _interval(
    found: Mapping[str, Mapping[str, float]],
    held: Sequence[str],
    gone: Sequence[str],
    larger: bool,
    people: Sequence[str],
) -> tuple[float, float]:
    """Percentiles over resampled people: all trials of a person are drawn together."""
    rng = np.random.default_rng(0)
    drawn = [_auc(found, held, gone, larger, rng.choice(people, len(people)).tolist()) for _ in range(DRAWS)]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return float(low), float(high)


if __name__ == "__main__":
    main(sys.argv[1:])
