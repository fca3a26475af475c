"""Maps of people: latent codes, and what a judge saw before and after, of several photographs per person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from guidebench.errors import BadInput
from guidebench.reporting.plots.style import COLUMN, GREY, INK, PALE, look_of, short
from guidebench.reporting.plots.trials import Trials, chosen_people, evidence_of
from guidebench.reporting.plots.tsne import tsne
from guidebench.reporting.selection import Variant
from guidebench.store.arrays import UnreadableEvidence, opened
from guidebench.store.folders import StoredRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_PHOTOS = 600  # renders in one map: beyond, an exact t-SNE takes too long
_SHOWN = 4  # people in colour: the worst, the median, then the next worst ones
_COLOURS = ("#D55E00", "#0072B2", "#E69F00", "#009E73")  # of people; methods are titles here


@dataclass(frozen=True)
class Photographs:
    """The photographs of everybody who is in every method's trials. N photographs."""

    person: tuple[str, ...]  # (N,)
    forgotten: np.ndarray  # (N,) bool: by which a person is forgotten
    codes: np.ndarray  # (N, num_ws * w_dim)
    before: np.ndarray  # (N, d) renders of the original generator, from the front
    after: Mapping[Variant, np.ndarray]  # (N, d); a row without a face is NaN
    worst_first: tuple[str, ...]  # people, by their ID


def photographs(trials: Trials) -> Photographs:
    """Everybody's photographs, codes and embeddings, from each method's lowest seed. Raises BadInput."""
    seen = {one: _seen_of(trials, one) for one in trials.methods}
    people = sorted(set.intersection(*({name for name, _ in own} for own in seen.values())))
    first = next(iter(seen.values()))
    keys = [key for key in first if key[0] in people and all(key in own for own in seen.values())]
    if len({name for name, _ in keys}) < 2 or len(keys) == len({name for name, _ in keys}):
        raise BadInput(
            f"the trials below {trials.directory} do not have several photographs of two people or more in common; a "
            "protocol such as celebahq-multi has them, and --method leaves out methods that lack people"
        )
    after = {one: np.stack([own[key].after for key in keys]) for one, own in seen.items()}
    before = np.stack([first[key].before for key in keys])
    kept = np.array([first[key].forgotten for key in keys])
    names = tuple(name for name, _ in keys)
    codes = np.stack([first[key].code for key in keys])
    return Photographs(names, kept, codes, before, after, tuple(trials.worst_first(people)))


@dataclass(frozen=True)
class _Photograph:
    forgotten: bool
    code: np.ndarray
    before: np.ndarray
    after: np.ndarray


def _seen_of(trials: Trials, variant: Variant) -> dict[tuple[str, int], _Photograph]:
    """By person and photograph. Those without a face before are left out."""
    stored = trials.of(variant)
    seed = min(item.record.spec.seed for item in stored)
    found: dict[tuple[str, int], _Photograph] = {}
    for item in (item for item in stored if item.record.spec.seed == seed):
        evidence = evidence_of(item)
        codes = _codes_of(item)
        sight = evidence.sights.get(trials.judge)
        if sight is None or len(codes) != len(evidence.subjects):
            raise BadInput(f"{item.path}: latents.npz and what {trials.judge} saw do not match; measure it again")
        before, after = sight.before[:, evidence.frontal], sight.after[-1][:, evidence.frontal]
        for place, subject in enumerate(evidence.subjects):
            if subject.role in ("forget", "probe") and before.found[place]:
                late = after.vectors[place] if after.found[place] else np.full_like(after.vectors[place], np.nan)
                own = _Photograph(subject.role == "forget", codes[place].ravel(), before.vectors[place], late)
                found[subject.identity, subject.photo] = own
    return found


def _codes_of(item: StoredRecord) -> np.ndarray:
    path = item.path / "latents.npz"
    try:
        with opened(path) as arrays:
            return np.array(arrays["latents"], dtype=np.float64)
    except UnreadableEvidence as error:
        raise BadInput(f"{path.parent}: {error}; measure the trial again with --fresh") from None


def _of(names: Sequence[str], name: str) -> list[int]:
    return [place for place, other in enumerate(names) if other == name]


def maps(trials: Trials) -> tuple[Figure, str]:
    """The figure, to be saved inside `style.house`, and what a caption must say."""
    from matplotlib.figure import Figure

    found = photographs(trials)
    count = len(found.person) * (1 + len(found.after))
    if count > _MOST_PHOTOS:
        raise BadInput(f"{count} renders are too many for one map, which takes {_MOST_PHOTOS}; choose with --method")
    faces = np.concatenate([found.before, *found.after.values()])
    seen = np.isfinite(faces).all(axis=1)
    placed = np.full((len(faces), 2), np.nan)
    placed[seen] = tsne(faces[seen])
    parts = np.split(placed, 1 + len(found.after))
    columns = min(3, 2 + len(found.after))
    rows = -(-(2 + len(found.after)) // columns)
    figure = Figure(figsize=(COLUMN, 0.55 + 1.25 * rows))
    grid = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    shown = dict(zip(chosen_people(found.worst_first, _SHOWN), _COLOURS, strict=False))
    _map(grid[0], found, tsne(found.codes), shown)
    grid[0].set_title("latent codes", color=INK)
    limits = _limits(placed[seen])
    for axes, part, title, colour in zip(
        grid[1:],
        parts,
        ["before", *(short(one.label, 18) for one in found.after)],
        [INK, *(look_of(one.method).colour for one in found.after)],
        strict=False,
    ):
        _map(axes, found, part, shown)
        axes.set_title(title, color=colour)
        axes.set(xlim=limits[0], ylim=limits[1])
    for axes in grid[2 + len(found.after) :]:
        axes.set_visible(False)
    _legend(figure, shown)
    return figure, (
        f"t-SNE of {len(found.person)} photographs of {len(found.worst_first)} people: latent codes, and what the "
        "judge sees in their renders before and after, placed together. Large marks: photographs by which people were "
        "forgotten; lines lead to each person's other photographs. In colour: the people with the highest ID, and the "
        "median person; all others grey."
    )


def _map(axes: Axes, found: Photographs, placed: np.ndarray, shown: Mapping[str, str]) -> None:
    axes.grid(False)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(PALE)
    for name in reversed(found.worst_first):
        places = [place for place in _of(found.person, name) if np.isfinite(placed[place]).all()]
        colour, above = shown.get(name, PALE), 3 if name in shown else 2
        centres = [place for place in places if found.forgotten[place]]
        for place in places:
            for centre in centres:
                axes.plot(*placed[[centre, place]].T, color=colour, linewidth=0.6, alpha=0.7, zorder=above)
        others = [place for place in places if not found.forgotten[place]]
        axes.scatter(placed[others, 0], placed[others, 1], s=7, color=colour, linewidths=0, zorder=above + 0.1)
        axes.scatter(
            placed[centres, 0],
            placed[centres, 1],
            s=22,
            color=colour,
            edgecolors="white",
            linewidths=0.5,
            zorder=above + 0.2,
        )


def _limits(placed: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    low, high = placed.min(axis=0), placed.max(axis=0)
    margin = 0.06 * (high - low)
    (left, bottom), (right, top) = low - margin, high + margin
    return (float(left), float(right)), (float(bottom), float(top))


def _legend(figure: Figure, shown: Mapping[str, str]) -> None:
    from matplotlib.lines import Line2D

    words = ["worst", "median"]
    names = [short(name, 24) for name in shown]
    labels = [f"{name} ({word})" for name, word in zip(names, words, strict=False)] + names[2:]
    handles = [Line2D([], [], linestyle="", marker="o", markersize=4, color=colour) for colour in shown.values()]
    figure.legend(handles, labels, loc="outside upper left", ncols=2, labelcolor=GREY)
