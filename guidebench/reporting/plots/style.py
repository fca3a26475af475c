"""How figures look: one look per method everywhere, one style sheet, three kinds of files."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from guidebench.errors import BadInput, in_one_line
from guidebench.files import written_aside
from guidebench.store.folders import storage_errors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from guidebench.reporting.selection import Variant

_log = logging.getLogger(__name__)

COLUMN = 3.4  # width of one column of a paper, inches
PAGE = 7.0  # of two
INK, GREY, PALE, RULE = "#20242c", "#6b717b", "#b9bec6", "#dfe2e7"
ENDINGS = (".pdf", ".svg", ".png")
SHEET = Path(__file__).parent / "house.mplstyle"
FEWEST = 3  # groups from which an interval is drawn: of two it says little and hides everything else
_WIDE = 20.0  # largest over median from which an axis is logarithmic
_INSTALL = "pip install matplotlib"


@dataclass(frozen=True)
class Look:
    """How a method is drawn, in every figure."""

    colour: str
    marker: str


# The colours of Okabe and Ito (2008), and for further methods those of Tol's muted scheme: both can be told apart by
# people who are colour-blind. Markers tell methods apart in print without colour.
_LOOKS: Mapping[str, Look] = {
    "nothing": Look("#8a9099", "^"),
    "scramble": Look("#8a9099", "v"),
    "mean-latent": Look("#E69F00", "o"),
    "extrapolated": Look("#56B4E9", "s"),
    "extrapolated-adj": Look("#0072B2", "D"),
    "guide": Look("#D55E00", "*"),
    "oracle": Look("#009E73", "P"),
    "redirect": Look("#CC79A7", "X"),
    "grey": Look("#20242c", "h"),
    "sugar": Look("#332288", "^"),
    "legato": Look("#AA4499", "v"),
    "ged": Look("#117733", "<"),
    "anchor": Look("#882255", ">"),
    "random-target": Look("#44AA99", "p"),
    "gradient-ascent": Look("#999933", "d"),
}
_COLOURS = ("#332288", "#AA4499", "#117733", "#882255", "#44AA99", "#999933")
_MARKERS = ("o", "s", "D", "^", "v", "<", ">", "p", "d", "h")


def look_of(method: str) -> Look:
    """The look of a method by its registered name; that of one of your own follows from its name alone.

    >>> look_of("guide")
    Look(colour='#D55E00', marker='*')
    """
    if method in _LOOKS:
        return _LOOKS[method]
    place = int.from_bytes(hashlib.sha256(method.encode("utf-8", "replace")).digest()[:4], "big")
    return Look(_COLOURS[place % len(_COLOURS)], _MARKERS[place // len(_COLOURS) % len(_MARKERS)])


def looks_of(variants: Sequence[Variant]) -> dict[Variant, Look]:
    """The looks of several rows: settings of one method share its colour, and no two rows share colour and marker."""
    found: dict[Variant, Look] = {}
    for variant in sorted(variants, key=lambda one: (one.label != one.method, one.label)):
        usual = look_of(variant.method)
        markers = [usual.marker, *(marker for marker in _MARKERS if marker != usual.marker)]
        free = [Look(usual.colour, marker) for marker in markers if Look(usual.colour, marker) not in found.values()]
        found[variant] = free[0] if free else usual
    return found


def mark(look: Look) -> dict[str, Any]:
    """A marker on its own, as `Axes.plot` takes it; markers of different shapes look equally large."""
    size = {"*": 8.5, "P": 6.5, "X": 6.0, "D": 4.6, "s": 5.0, "d": 6.0, "p": 6.0, "h": 6.0}.get(look.marker, 5.6)
    edge = {"markeredgecolor": "white", "markeredgewidth": 0.5}
    return {"color": look.colour, "marker": look.marker, "markersize": size, "linestyle": "", **edge}


def handle(look: Look, *, line: bool = False) -> Line2D:
    """What a legend shows of a method."""
    from matplotlib.lines import Line2D

    return Line2D([], [], **(mark(look) | ({"linestyle": "-", "linewidth": 1.1} if line else {})))


def legend(figure: Figure, looks: Mapping[Variant, Look], rows: Sequence[Variant], *, line: bool = False) -> None:
    """Rows above the panels, in as many columns as fit."""
    names = [short(one.label, 44) for one in rows]
    widest = max(map(len, names), default=1)
    columns = 3 if widest <= 16 else 2 if widest <= 26 else 1
    figure.legend([handle(looks[one], line=line) for one in rows], names, loc="outside upper left", ncols=columns)


def short(text: str, most: int) -> str:
    """A label of at most so many characters, in which a dollar begins no formula.

    >>> short("guide[target_distance=15.0]", 16)
    'guide[target_di…'
    """
    cut = text if len(text) <= most else f"{text[: most - 1]}…"
    return cut.replace("$", r"\$")


def sign(figure: Figure, text: str) -> None:
    """A small line at the foot that says where the numbers are from."""
    place = {} if figure.get_layout_engine() else {"y": 0.005, "va": "bottom"}
    figure.supxlabel(short(text, 100), x=0.995, ha="right", fontsize=5, color=GREY, **place)


def spread(axes: Axes, which: Literal["x", "y"], values: Sequence[float]) -> None:
    """Makes an axis of distances logarithmic beyond 10 where a floor would press everything else together."""
    known = [value for value in values if value == value]
    if known and max(known) > _WIDE * max(1.0, sorted(known)[len(known) // 2]):
        scale = axes.set_xscale if which == "x" else axes.set_yscale
        scale("symlog", linthresh=10, linscale=1.0)


def title_of(metric: str) -> str:
    """A metric's title with what follows its underscore as an index."""
    from guidebench.metrics import METRICS

    head, _, index = (METRICS[metric].title if metric in METRICS else metric).partition("_")
    return f"{head}$_{{{index}}}$" if index.isalnum() else f"{head}_{index}" if index else head


@contextmanager
def house() -> Iterator[None]:
    """In the block matplotlib draws in the house style, whatever the user's own settings are.

    Raises BadInput, in one line, if matplotlib is not installed or does not start.
    """
    try:
        import matplotlib
        from matplotlib.backends import backend_agg, backend_pdf, backend_svg  # noqa: F401
    except ImportError as error:
        raise BadInput(f"figures need matplotlib, which cannot be imported: {error}; `{_INSTALL}`") from None
    except Exception as error:  # such as a backend in MPLBACKEND that does not exist
        raise BadInput(f"matplotlib does not start: {in_one_line(error)}; unset MPLBACKEND and MATPLOTLIBRC") from None
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rc_file(SHEET, use_default_template=False)
        yield


def check_ending(path: str | Path) -> None:
    """Raises BadInput if a figure cannot be written to a file of this name."""
    if Path(path).suffix.lower() not in ENDINGS:
        raise BadInput(f"{path} is not a figure file; use one of these endings: {', '.join(ENDINGS)}")


def save(figure: Figure, path: str | Path, caption: str = "") -> Path:
    """Writes a figure as a whole, the same bytes for the same records. To be called inside `house`.

    caption: kept in the file as its description. Raises BadInput, or StorageError if it cannot be written.
    """
    check_ending(path)
    kind = Path(path).suffix.lower()[1:]
    metadata: dict[str, str | None] = {
        "png": {"Description": caption, "Software": None},
        "svg": {"Description": caption, "Date": None},
        "pdf": {"Subject": caption, "CreationDate": None},
    }[kind]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with storage_errors(Path(path)), written_aside(path, "wb") as stream:
            figure.savefig(stream, format=kind, metadata=metadata)
    if kind != "svg" and any("missing from font" in str(warning.message) for warning in caught):
        _log.warning("%s: some letters have no shape in matplotlib's font DejaVu Sans; they are drawn as boxes", path)
    return Path(path)
