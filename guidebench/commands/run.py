"""The commands that measure: `guidebench run`, `evaluate` and `reproduce`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from guidebench.commands import common
from guidebench.errors import EXIT_FAILED_TRIALS, BadInput

if TYPE_CHECKING:
    from guidebench.engine.run import Result

_THIS_ONCE = ("fresh", "executor", "workers", "shard", "slurm")  # options that do not decide what a table holds
_METHOD = "A registered method, or path/to/file.py:Class. Repeat for several."


def _seeds(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        found: list[int] = []
        for part in text.split(","):
            first, dash, last = part.partition("-")
            low, high = int(first), int(last) if dash else int(first)
            if not low <= high < low + 100_000:
                raise ValueError
            found += range(low, high + 1)
        return tuple(found)
    except ValueError:
        raise click.BadParameter(f"'{text}': give integers such as 0,1,2 or 0-2") from None


def _options(*options: Callable[..., Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Several options as one decorator, in this order in the help."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_protocol = click.option("--protocol", required=True, help="A registered protocol, or your own TOML file.")
_photos = click.option("--photos", type=common.PATH, help="Directory of your own photos, one sub-directory per person.")
_measuring = _options(  # of every command that measures
    click.option("--testbed", default="mini", show_default=True, help="See `guidebench list testbeds`."),
    common.out,
    click.option("--identities", type=int, help="How many people to forget, in all trials together."),
    click.option("--samples", type=int, help="Random samples for FID_pre and ΔFID_real."),
    click.option("--seeds", callback=_seeds, metavar="0,1,2", help="Repetitions of every trial."),
    click.option(
        "--conventions",
        type=click.Choice(["corrected", "published"]),
        help="Measure as defined, or as the released code does.",
    ),
    click.option(
        "--floors",
        type=click.Choice(["few", "all", "none"]),
        default="few",
        show_default=True,
        help="Measure floor and ceiling on 2 people (or groups), on all, or on none.",
    ),
    common.device,
    click.option(
        "--precision",
        type=click.Choice(["strict", "tf32"]),
        default="strict",
        show_default=True,
        help="Of float32 products on a GPU; tf32 as the released code ran.",
    ),
    click.option(
        "--executor",
        default="local",
        show_default=True,
        metavar="local|slurm|ray",
        help="Processes of this machine, or jobs of a cluster.",
    ),
    click.option(
        "--workers",
        type=click.IntRange(0),
        help="Processes (default: one per core, at most 8; one per GPU), or jobs at a time.",
    ),
    click.option("--shard", metavar="I/N", help="Run only part I of N, as another process runs the others."),
    click.option("--slurm", multiple=True, metavar="KEY=VALUE", help="Of each job, such as partition=gpu or time=60."),
    click.option(
        "--salt",
        metavar="N|new",
        help="What methods must not know depends on it (default: the directory's, drawn once).",
    ),
    click.option(
        "--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds that a method may take for a request."
    ),
    click.option("--fresh", is_flag=True, help="Measure recorded trials again."),
    common.metrics,
    common.attacks(required=False),
    click.option("--log", multiple=True, metavar="SERVICE", help="Log to tensorboard[:DIR] or wandb[:PROJECT], too."),
)


_leaving = _options(  # what trials leave besides scores
    click.option("--keep-generators", is_flag=True, help="Keep every unlearned generator, for `guidebench render`."),
    click.option("--every", type=click.IntRange(1), metavar="K", help="Judge every K steps of unlearning, too."),
)
_one_by_one = click.option(
    "--one-by-one",
    is_flag=True,
    help="Apply methods for one person once per person where a protocol asks for several.",
)


@click.command()
@_protocol
@click.option("--method", "methods", multiple=True, required=True, help=_METHOD)
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Override a field of matching methods.")
@_photos
@click.option("--forget", type=int, metavar="N", help="People per request; as many groups as the protocol has.")
@click.option("--requests", type=int, metavar="N", help="Requests per trial, one after another on one generator.")
@_one_by_one
@_measuring
@_leaving
def run(settings: tuple[str, ...], **options: Any) -> None:
    """Run methods under a protocol and print the table.

    Recorded trials are skipped: run the same command again to resume. Exit code 1 if a trial failed.
    """
    from guidebench.commands.progress import Progress
    from guidebench.engine import run as engine

    result = engine.run(**options, settings=settings_of(settings), watch=Progress())
    _finish(result, _table_of(result))


@click.command()
@click.option("--checkpoint", required=True, metavar="PATTERN", help="Files, such as 'ckpt/{identity}.pkl'.")
@_protocol
@click.option("--loader", default="", metavar="FILE.py:NAME", help="Called with (path, original generator).")
@click.option("--name", help="The name of the row (default: from the files).")
@_photos
@_measuring
def evaluate(**options: Any) -> None:
    """Score generators that other code has unlearned.

    They become a row of the same table, marked 'training not seen'. {identity} and {seed} in PATTERN are replaced by
    the name of the forgotten person and the repetition.
    """
    from guidebench.commands.progress import Progress
    from guidebench.engine import run as engine

    result = engine.evaluate(**options, watch=Progress())
    _finish(result, _table_of(result))


@click.command()
@click.argument("name")
@click.option("--method", "methods", multiple=True, help=f"One more row. {_METHOD}")
@_one_by_one
@_measuring
@_leaving
@click.option("--format", "style", type=common.FORMATS, default="terminal", show_default=True)
@click.option("--figure", type=common.PATH, metavar="FILE", help="Where a figure goes (default: OUT/figures/NAME.pdf).")
@click.option("--dry-run", is_flag=True, help="Only show what would run, how long it would take, and what is missing.")
@click.pass_context
def reproduce(
    context: click.Context, name: str, style: str, figure: Path | None, dry_run: bool, **options: Any
) -> None:
    """Reproduce one of the paper's tables or figures.

    Run the missing trials, then print the table in the paper's layout, and draw the figure if NAME has one. NAME is a
    suite (`guidebench list suites`), or your own TOML file.
    """
    from guidebench import suites
    from guidebench.commands.progress import Progress
    from guidebench.engine import dry_run as forecasts
    from guidebench.engine import run as engine
    from guidebench.reporting.plots.style import check_ending

    if dry_run:
        found, titles = forecasts.of_suite(name, **options)
        click.echo("\n".join(forecasts.lines_of(found, titles)))
        return
    suite = suites.load(name)
    if figure is not None:
        check_ending(figure)
        if suite.figure is None:
            raise BadInput(f"--figure {figure}: suite {suite.name} draws no figure; leave it out")
    result = engine.reproduce(name, **options, watch=Progress())
    table = result.table(style, width=common.table_width())
    click.echo(f"the same again: {_same_command(context)}", err=True)
    _tell(result)
    click.echo(table)
    if suite.figure is not None:
        figure = figure or result.out / "figures" / f"{suite.name}.pdf"
        says = result.figure(suite.figure, figure, device=options["device"])
        click.echo(f"wrote {figure}\n{says}", err=True)
    _exit(result)


def settings_of(texts: tuple[str, ...]) -> dict[str, str]:
    """FIELD=VALUE texts as a mapping; raises BadInput on anything else."""
    parsed = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name.strip():
            raise BadInput(f"--set {text}: write FIELD=VALUE, such as --set alpha_max=20")
        parsed[name.strip()] = value.strip()
    return parsed


def _table_of(result: Result) -> str:
    """Everything recorded of the run's protocol; if older records do not fit, only what this run asked for."""
    if not result.measured + result.skipped and len(result.failed) == sum(not event.folder for event in result.failed):
        return ""  # every worker died before it could record anything
    try:
        return result.brief(everything=True)
    except BadInput as error:
        table = result.brief()
        click.echo(f"guidebench: this table leaves out older records of {result.out}: {error}", err=True)
        return table


def _finish(result: Result, table: str) -> None:
    """What the run did goes to stderr, the table to stdout; the exit code says whether a trial failed."""
    _tell(result)
    if table:
        click.echo(table)
    _exit(result)


def _tell(result: Result) -> None:
    parts = [f"{result.measured} measured"]
    if result.skipped:
        parts.append(f"{result.skipped} already recorded")
    if result.failed:
        parts.append(f"{len(result.failed)} failed (run the same command to retry)")
    click.echo(f"{', '.join(parts)} in {result.seconds:.0f} s; records and pictures: {result.out}/records/", err=True)


def _exit(result: Result) -> None:
    if result.failed:
        sys.exit(EXIT_FAILED_TRIALS)


def _same_command(context: click.Context) -> str:
    """What was typed, without what concerns this once only, as text for a shell."""
    words = ["guidebench", str(context.info_name), context.params["name"]]
    for option in context.command.params:
        given = context.get_parameter_source(option.name or "") is click.core.ParameterSource.COMMANDLINE
        if not isinstance(option, click.Option) or not given or option.name in _THIS_ONCE:
            continue
        value = context.params[option.name or ""]
        values = value if option.multiple else [",".join(map(str, value)) if isinstance(value, tuple) else value]
        for each in values:
            words += [option.opts[0], str(each)]
    return shlex.join(words)
