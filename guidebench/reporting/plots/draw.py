"""What the command line calls: a figure by its name, from the records of a directory, into a file."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guidebench.errors import unknown_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Kind:
    """A figure that can be drawn."""

    summary: str
    place: str  # module below guidebench, and the function that draws it
    renders: bool = False  # with generators: the function takes a `guidebench.engine.portraits.Studio`

    def load(self) -> Callable[[Any], tuple[Figure, str]]:
        """The function: trials, or a studio, -> the figure and what its caption must say."""
        module, _, name = self.place.partition(":")
        found: Callable[[Any], tuple[Figure, str]] = getattr(importlib.import_module(f"guidebench.{module}"), name)
        return found


FIGURES = {
    "figure-6": Kind("photograph, target and unlearned face, by method", "engine.portraits:unlearned", True),
    "figure-7": Kind("other photographs of the forgotten person, before and after", "engine.portraits:probes", True),
    "figure-8": Kind("people who were not forgotten, before and after", "engine.portraits:others", True),
    "figure-9": Kind("targets from the face through the average and beyond", "engine.portraits:distances", True),
    "tradeoff": Kind("forgetting against damage, one point per trial", "reporting.plots.tradeoff:tradeoff"),
    "heatmap": Kind("who is harmed, and whether all become one face", "reporting.plots.heatmap:heatmap"),
    "forgetting": Kind("scores over the steps of unlearning", "reporting.plots.curves:forgetting"),
    "losses": Kind("losses over steps", "reporting.plots.curves:losses"),
    "requests": Kind("scores over the requests of a trial", "reporting.plots.curves:requests"),
    "relearning": Kind("how soon people come back under attack", "reporting.plots.curves:relearning"),
    "tsne": Kind("latent codes and embeddings of several photographs", "reporting.plots.maps:maps"),
}


def draw(
    name: str,
    directory: str | Path,
    out: str | Path,
    *,
    testbed: str | None = None,
    conventions: str | None = None,
    protocol: str | None = None,
    method: Sequence[str] = (),
    weights: str | None = None,
    judge: str | None = None,
    keys: Set[str] | None = None,
    device: str = "auto",
    trust_code: bool = False,
) -> str:
    """Draws a figure of `FIGURES` to a file of the type that its ending names. Returns what its caption must say.

    testbed to weights choose records, as those of `guidebench.reporting.report.report`. judge: None: the leading one.
    keys: of the trials that may be taken; None: all.
    device, trust_code: of figures that render, see `guidebench.engine.kept_generators.render_trial`. Raises BadInput if
    records lack what the figure shows or do not belong together, StorageError if it cannot be written.
    """
    from guidebench.reporting.plots import style, trials

    if name not in FIGURES:
        raise unknown_name("figure", name, FIGURES, command=None)
    kind = FIGURES[name]
    style.check_ending(out)
    chosen = trials.load(
        directory,
        testbed=testbed,
        conventions=conventions,
        protocol=protocol,
        method=method,
        weights=weights,
        judge=judge,
        keys=keys,
    )
    with style.house():
        asked: Any = chosen
        if kind.renders:
            from guidebench.engine.portraits import Studio  # which brings torch

            asked = Studio(chosen, device, trust_code)
        figure, says = kind.load()(asked)
        style.sign(figure, chosen.provenance)
        text = f"{chosen.provenance}. {says} {chosen.stored[0].record.instrument.caption}".strip()
        style.save(figure, out, text)
    return text
