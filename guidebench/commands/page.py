"""`guidebench page`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from guidebench.commands import common


@click.command()
@click.argument("directories", nargs=-1, required=True, type=common.PATH, metavar="DIRECTORY...")
@click.option("--out", type=common.PATH, default="page", show_default=True, metavar="FOLDER", help="Where to write it.")
@click.option("--against", metavar="METHOD", help="The row to compare the others with (default: mean-latent).")
@click.option("--testbed", help="Only records of this testbed.")
@click.option("--conventions", help="Only records of these conventions.")
@click.option("--protocol", help="Only records of this protocol.")
@click.option("--method", multiple=True, help="Only records of this method. Repeat for several.")
@click.option("--weights", help="Only records of these weights: a version, or 6 or more digits of a SHA-256.")
def page(directories: tuple[Path, ...], out: Path, against: str | None, **filters: Any) -> None:
    """Write a page of results: table, people, pictures, records.

    The folder opens in a browser from disk, and can be put on any web server as it is. Several directories become
    one page.
    """
    from guidebench.page.boards import Source
    from guidebench.page.bundle import write_page
    from guidebench.reporting.selection import Filter

    filters["method"] = filters["method"] or None
    index = write_page([Source(each) for each in directories], out, chosen=Filter(**filters), against=against)
    click.echo(f"wrote {index}")
