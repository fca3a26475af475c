"""The commands that print or draw what is in records: `guidebench status`, `report`, `compare`, `scores` and others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

import guidebench
from guidebench import files
from guidebench.commands import common
from guidebench.errors import BadInput

_SCORE_COLUMNS = (
    "testbed,protocol,conventions,label,group,identity,seed,after_request,metric,judge,role,value,reason,n,"
    "lost_before,lost_after,seconds_unlearn,seconds_total,numerics,weights_version,weights_digest,key"
)
_testbed = click.option("--testbed", help="Only records of this testbed.")
_conventions = click.option("--conventions", help="Only records of these conventions.")
_protocol = click.option("--protocol", help="Only records of this protocol.")
_one_protocol = click.option("--protocol", help="Which protocol, if there are records of several.")
_weights = click.option("--weights", help="Only records of these weights: a version, or 6 or more digits of a SHA-256.")


@click.command()
@common.records
@common.as_json
def status(directory: Path, as_json: bool) -> None:
    """Show how many trials are measured, failed or unreadable."""
    from guidebench.reporting.status import status_lines, status_of

    found = status_of(directory)
    click.echo(json.dumps(found, indent=1) if as_json else "\n".join(status_lines(found)))


@click.command()
@common.records
@click.option("--format", "style", type=common.PAGE_FORMATS, default="markdown", show_default=True)
@click.option("--out", type=common.PATH, metavar="FILE", help="Write to a file instead of printing.")
@click.option(
    "--layout",
    metavar="NAME",
    default="auto",
    show_default=True,
    help="auto: the paper's columns; a suite, such as table-2 or figure-9, or its TOML file; full: every metric, "
    "interval and test; compare: two methods; short: four columns in plain words; scenario: by number of people; "
    "sequence: request by request; attacks: what attacks find.",
)
@click.option("--against", metavar="METHOD", help="The row to compare the others with (default: mean-latent).")
@_testbed
@_conventions
@_protocol
@click.option("--method", multiple=True, help="Only records of this method. Repeat for several.")
@_weights
@click.option(
    "--published/--no-published", default=None, help="Show published numbers next to the measured ones, never merged."
)
def report(directory: Path, style: str, out: Path | None, **filters: Any) -> None:
    """Print tables: the paper's, or every metric and test.

    html is a page that shows everything, with everyone's values; `guidebench page` adds pictures and records.
    """
    from guidebench.reporting import report

    filters["method"] = filters["method"] or None
    if style == "html":
        text = _page(directory, **filters)
    else:
        text = report.report(directory, style, width=common.table_width(), **filters)
    if out is None:
        click.echo(text)
        return
    from guidebench.store.folders import storage_errors

    with storage_errors(out):
        files.write_text(f"{text}\n", out)
    click.echo(f"wrote {out}")


def _page(directory: Path, layout: str, against: str | None, published: bool | None, **filters: Any) -> str:
    from guidebench.page.boards import Source, boards_of
    from guidebench.page.data import data_of
    from guidebench.page.html import html_of
    from guidebench.reporting.selection import Filter

    if layout not in ("auto", "full"):
        raise BadInput(f"a page in HTML shows every metric; leave out --layout {layout}")
    if published is not None:
        raise BadInput("a page in HTML shows published numbers apart; leave out --published and --no-published")
    return html_of(data_of(boards_of([Source(directory)], Filter(**filters), against)))


@click.command()
@common.records
@click.argument("method")
@click.argument("against", default="mean-latent")
@click.option("--format", "style", type=common.FORMATS, default="terminal", show_default=True)
@_testbed
@_conventions
@_protocol
@_weights
def compare(directory: Path, style: str, **options: Any) -> None:
    """Compare two methods: which is better, and how sure is that?

    METHOD is compared with AGAINST (default: mean-latent). Only records are read; nothing is run.
    """
    from guidebench.reporting import report

    click.echo(report.report(directory, style, layout="compare", width=common.table_width(), **options))


@click.command()
@common.records
@click.option("--columns", default=_SCORE_COLUMNS, help="Comma-separated; `all` for every column of the records.")
def scores(directory: Path, columns: str) -> None:
    """Print every score as CSV, one row per score.

    Numbers have all their digits. In Python, `guidebench.records` returns the same as a DataFrame.
    """
    frame = guidebench.records(directory)
    wanted = list(frame.columns) if columns == "all" else [name.strip() for name in columns.split(",")]
    for name in wanted:
        if name not in frame.columns:
            raise BadInput(f"records have no column '{name}'; they have: {', '.join(frame.columns)}")
    click.echo(frame[wanted].to_csv(index=False), nl=False)


@click.command()
@common.records
@_testbed
@_conventions
@_one_protocol
@_weights
def orderings(directory: Path, **chosen: str | None) -> None:
    """Show each ordering that GUIDE's paper claims, as measured.

    Every claim comes with its paired difference, whether the records agree or not.
    """
    from guidebench.reporting.paper_claims import orderings as found

    click.echo(found(directory, **chosen))


@click.command()
@common.records
@_testbed
@_conventions
@_one_protocol
@_weights
@click.option(
    "--second-codes",
    is_flag=True,
    help="Sample kept generators (run --keep-generators) with a second set of codes, and show how FID_pre changes.",
)
@click.option("--trust-code", is_flag=True, help="With --second-codes: run Python files that records name.")
@common.device
def instrument(directory: Path, second_codes: bool, trust_code: bool, device: str, **options: Any) -> None:
    """Show how far the scores themselves can be trusted.

    The page covers spread over seeds, resolution, agreement of judges, sample counts, and floor and ceiling.
    """
    from guidebench.reporting.diagnostics.instrument import instrument as page

    if second_codes:
        from guidebench.engine import second_codes as again

        options["further"] = [again.second_codes(device, trust_code=trust_code)]
    click.echo(page(directory, **options))


@click.command()
@common.records
@_testbed
@_conventions
@_one_protocol
@click.option("--method", "methods", multiple=True, help="Methods in the order of their rows (default: all).")
@click.option("--first", type=click.IntRange(min=1), metavar="N", help="Only the first N people.")
@_weights
@click.option("--out", type=common.PATH, default="gallery.png", show_default=True, help="The picture to write.")
def gallery(directory: Path, **options: Any) -> None:
    """Draw everyone before and after each method, in one picture."""
    from guidebench.reporting.gallery import gallery as draw

    click.echo(f"wrote {draw(directory, **options)}")
