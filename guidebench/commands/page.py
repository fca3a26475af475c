"""`guidebench page`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from guidebench.commands import common


@click.command()
@click.argument("results", nargs=-1, required=True, type=common.PATH, metavar="RESULTS...")
@click.option("--out", type=common.PATH, default="page", show_default=True, metavar="FOLDER", help="Where to write it.")
@click.option("--against", metavar="METHOD", help="The row to compare the others with (default: mean-latent).")
@click.option("--testbed", help="Only records of this testbed.")
@click.option("--conventions", help="Only records of these conventions.")
@click.option("--protocol", help="Only records of this protocol.")
@click.option("--method", multiple=True, help="Only records of this method. Repeat for several.")
@click.option("--weights", help="Only records of these weights: a version, or 6 or more digits of a SHA-256.")
def page(results: tuple[Path, ...], out: Path, against: str | None, **filters: Any) -> None:
    """Write a page of results: table, people, pictures, records.

    RESULTS are directories of results, submissions (zip), or a folder of submissions, which becomes a leaderboard.
    The folder opens in a browser from disk, and can be put on any web server as it is.
    """
    from guidebench.page.bundle import write_page
    from guidebench.page.leaderboard import gathered
    from guidebench.reporting.selection import Filter

    filters["method"] = filters["method"] or None
    with gathered(results) as given:
        chosen = Filter(**filters)
        index = write_page(given.sources, out, chosen=chosen, against=against, attacked=given.found)
    click.echo(f"wrote {index}")
