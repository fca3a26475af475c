"""`guidebench figure`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from guidebench.commands import common
from guidebench.reporting.plots.draw import FIGURES

_WIDTH = max(map(len, FIGURES))
_NAMES = "\b\nNames:\n" + "\n".join(f"  {name:{_WIDTH}}  {kind.summary}" for name, kind in FIGURES.items())


@click.command(epilog=_NAMES)
@click.argument("name")
@common.records
@click.option("--out", type=common.PATH, metavar="FILE", help="A .pdf, .svg or .png file (default: NAME.pdf).")
@click.option("--method", multiple=True, help="Only records of this method. Repeat for several.")
@click.option("--judge", help="Whose view is drawn (default: the leading judge's).")
@click.option("--testbed", help="Only records of this testbed.")
@click.option("--conventions", help="Only records of these conventions.")
@click.option("--protocol", help="Which protocol, if there are records of several.")
@click.option("--weights", help="Only records of these weights: a version, or 6 or more digits of a SHA-256.")
@click.option("--trust-code", is_flag=True, help="With figure-6 to figure-9: run Python files that records name.")
@common.device
def figure(name: str, directory: Path, out: Path | None, **options: Any) -> None:
    """Draw a figure for a paper, from records.

    Prints what its caption must say. figure-6 to figure-8 render with generators that `guidebench run
    --keep-generators` kept; nothing is trained or measured.
    """
    from guidebench.reporting.plots.draw import draw

    out = out or Path(f"{name}.pdf")
    says = draw(name, directory, out, **options)
    click.echo(f"wrote {out}\n\n{says}")
