"""The `guidebench` command. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

import guidebench
from guidebench.errors import EXIT_BAD_INPUT, EXIT_FAILED_TRIALS, EXIT_INTERRUPTED, GuidebenchError

if TYPE_CHECKING:
    from guidebench.assets.catalogue import Asset
    from guidebench.engine.run import Options, Result
    from guidebench.photos.manifests import Manifest
    from guidebench.protocol import Protocol
    from guidebench.suites import Suite

_METHOD_HELP = "A registered method, or path/to/file.py:Class. Repeat for several."
_FORMATS = ("markdown", "latex", "csv", "json", "terminal")
_WEIGHTS = click.option("--weights", help="Only records of these weights: a version, or how a SHA-256 begins.")


@contextlib.contextmanager
def _one_clear_line() -> Iterator[None]:
    """Errors meant for the user end the command with one line and an exit code, not with a traceback."""
    try:
        yield
    except GuidebenchError as error:
        click.echo(f"guidebench: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        click.echo("guidebench: interrupted; what was measured is kept, the same command goes on from there", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        sys.exit(0)  # the reader of our output has seen enough
    except OSError as error:
        click.echo(f"guidebench: {error}", err=True)
        sys.exit(EXIT_BAD_INPUT)
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as error:
        if "GUIDEBENCH_DEBUG" in os.environ:
            raise
        text = " ".join(str(error).split())
        click.echo(
            f"guidebench: internal error: {type(error).__name__}: {text}; please report it with the traceback that "
            "GUIDEBENCH_DEBUG=1 shows",
            err=True,
        )
        sys.exit(EXIT_BAD_INPUT)


class _Commands(click.Group):
    """Wraps every command in `_one_clear_line`, and suggests a close match for an unknown one."""

    def invoke(self, ctx: click.Context) -> Any:
        with _one_clear_line():
            return super().invoke(ctx)

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """As click's, but a wrong option is answered in one line, too."""
        try:
            code = super().main(*args, standalone_mode=False, **extra)  # type: ignore[call-overload]
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(EXIT_BAD_INPUT)
        except click.ClickException as error:
            context = error.ctx if isinstance(error, click.UsageError) else None
            command = context.command_path if context else "guidebench"
            click.echo(f"guidebench: {error.format_message()} `{command} --help` shows what is allowed", err=True)
            sys.exit(EXIT_BAD_INPUT)
        except click.Abort:
            sys.exit(EXIT_INTERRUPTED)
        if standalone_mode:
            sys.exit(code if isinstance(code, int) else 0)
        return code

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from guidebench.errors import unknown_name

        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            error = unknown_name("command", args[0], self.commands, command="guidebench --help")
            click.echo(f"guidebench: {error}", err=True)
            sys.exit(EXIT_BAD_INPUT)
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(guidebench.__version__, prog_name="guidebench")
def main() -> None:
    """Run, judge and compare methods that make a face generator forget a person."""


@main.command("list")
@click.argument("kind", type=click.Choice(["methods", "protocols", "suites", "testbeds", "metrics"]), required=False)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def list_command(kind: str | None, as_json: bool) -> None:
    """List methods, protocols, suites, testbeds and metrics."""
    rooms = _rooms() if kind is None else {kind: _rooms()[kind]}
    if as_json:
        click.echo(json.dumps(rooms if kind is None else rooms[kind], indent=1, ensure_ascii=False))
        return
    for room, entries in rooms.items():
        click.echo(f"{room}:" if kind is None else "", nl=kind is None)
        width = max(map(len, entries), default=0)
        for name, summary in entries.items():
            click.echo(f"  {name:{width}}  {summary}")


def _rooms() -> dict[str, dict[str, str]]:
    from guidebench import protocol, registry, suites

    return {
        "methods": {name: entry.summary for name, entry in registry.methods().items()},
        "protocols": {name: str(protocol.load(name).base.get("summary", "")) for name in protocol.names()},
        "suites": {name: suites.load(name).summary for name in suites.names()},
        "testbeds": {name: entry.summary for name, entry in registry.testbeds().items()},
        "metrics": {name: entry.summary for name, entry in registry.metrics().items()},
    }


@main.command()
@click.argument("name")
@click.option("--testbed", default=None, help="Show a protocol or suite with this testbed's overlay.")
def show(name: str, testbed: str | None) -> None:
    """Show every number of a protocol, the rows of a suite, the fields of a method or metric, what a testbed holds."""
    from guidebench import protocol, registry, suites

    if name in suites.names() or (name.endswith(".toml") and suites.is_suite_file(name)):
        _show_suite(suites.load(name).resolve(testbed or registry.DEFAULT_TESTBED))
    elif name in protocol.names() or name.endswith(".toml"):
        _show_protocol(protocol.load(name).resolve(testbed or registry.DEFAULT_TESTBED), testbed)
    else:
        _show_plugin(name)


def _show_plugin(spec: str) -> None:
    """A method, testbed or metric: registered, or given as path/to/file.py:Name or module:Name."""
    from guidebench import protocol, registry, suites
    from guidebench.errors import unknown_name

    kind = registry.kind_of(spec)
    if kind is None:
        rooms = (protocol.names(), suites.names(), registry.methods(), registry.testbeds(), registry.metrics())
        what, known = "protocol, suite, method, testbed or metric", [name for room in rooms for name in room]
        raise unknown_name(what, spec, known, command="guidebench list")
    {registry.METHOD: _show_method, registry.TESTBED: _show_testbed, registry.METRIC: _show_metric}[kind](spec)


def _show_suite(suite: Suite) -> None:
    click.echo(f"# suite {suite.name} on testbed {suite.testbed}: {suite.title}")
    if suite.citation:
        click.echo(f"# {suite.citation}")
    for protocol in suite.protocols:
        trials = len(suite.rows) * protocol.identities * len(protocol.seeds)
        seeds = ", ".join(map(str, protocol.seeds))
        click.echo(f"# {protocol.name}: {protocol.identities} identities, seeds {seeds}, {trials} trials and floors")
    click.echo(f"metrics = {json.dumps(suite.metrics)}")
    if suite.against:
        click.echo(f"against = {json.dumps(suite.against, ensure_ascii=False)}")
    width = max(len(row.title) for row in suite.rows)
    for row in suite.rows:
        settings = "".join(f" --set {field}={value}" for field, value in row.settings.items())
        click.echo(f"  {row.title:{width}}  {row.method}{settings}")


def _show_protocol(resolved: Protocol, testbed: str | None) -> None:
    from guidebench import registry

    click.echo(f"# protocol {resolved.name} on testbed {testbed or registry.DEFAULT_TESTBED}")
    for key, value in resolved.as_data().items():
        click.echo(f"{key} = {json.dumps(value, ensure_ascii=False)}")
    click.echo(f"# digest {resolved.digest()}")


def _show_method(name: str) -> None:
    from guidebench import chosen, registry

    method = registry.load_method(name)
    click.echo(f"# method {method.name}: {method.summary}")
    if method.paper:
        click.echo(f"# {method.paper}")
    for field in chosen.field_names(method):
        low, high = method.bounds.get(field, (None, None))
        allowed = "" if low is None else f"  # {low:g} to {high:g}"
        click.echo(f"{field} = {json.dumps(getattr(method, field))}{allowed}")
    for testbed, preset in method.presets.items():
        click.echo(f"# on {testbed}: {', '.join(f'{key} = {value}' for key, value in preset.items())}")


def _show_testbed(name: str) -> None:
    from guidebench import registry

    kind = registry.testbed_class(name)
    click.echo(f"# testbed {kind.name}: {kind.summary}")
    if kind.caption:
        click.echo(f"# {kind.caption}")
    if kind.weights_version is not None:
        click.echo(f"weights_version = {kind.weights_version}")
    for source, people in kind().faces().sources().items():
        click.echo(f"people of {source} = {people}")


def _show_metric(name: str) -> None:
    from guidebench import registry

    metric = registry.load_metric(name)
    click.echo(f"# metric {metric.name}: {metric.summary}")
    for field in ("title", "latex", "direction", "unit", "judged", "independent"):
        click.echo(f"{field} = {json.dumps(getattr(metric, field), ensure_ascii=False)}")


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


def _measuring(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every command that measures: fields of `guidebench.engine.run.Common`."""
    options = (
        click.option("--testbed", default="mini", show_default=True, help="See `guidebench list testbeds`."),
        click.option("--out", type=click.Path(path_type=Path, file_okay=False), default="runs", show_default=True),
        click.option("--identities", type=int, help="How many people to forget, one trial each."),
        click.option("--samples", type=int, help="Random samples for FID_pre and ΔFID_real."),
        click.option("--seeds", callback=_seeds, metavar="0,1,2", help="Repetitions of every trial."),
        click.option("--conventions", type=click.Choice(["corrected", "published"]), help="How things are measured."),
        click.option(
            "--floors",
            type=click.Choice(["few", "all", "none"]),
            default="few",
            show_default=True,
            help="Floor and ceiling rows: on 2 identities, on all, or not.",
        ),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
        click.option(
            "--workers", type=click.IntRange(1, 256), help="Processes on a CPU (default: one a core, at most 8)."
        ),
        click.option("--fresh", is_flag=True, help="Measure again what is recorded already."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@main.command()
@click.option("--protocol", required=True, help="A registered protocol, or a TOML file of your own.")
@click.option("--method", "methods", multiple=True, required=True, help=_METHOD_HELP)
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Override a field of matching methods.")
@click.option(
    "--photos", type=click.Path(path_type=Path), help="Photographs of your own: a folder that holds a folder a person."
)
@_measuring
@click.option("--keep-generators", is_flag=True, help="Keep every unlearned generator, for `guidebench render`.")
def run(**options: Any) -> None:
    """Run methods under a protocol and print the table. What is recorded is skipped."""
    from guidebench.engine import run

    chosen = run.Options(**options)
    result = run.run(chosen)
    run.say(result, chosen.out)
    click.echo(_table_of_run(result, chosen))
    if result.failed:
        sys.exit(EXIT_FAILED_TRIALS)


@main.command()
@click.option("--checkpoint", "path", required=True, metavar="PATTERN", help="Files, such as 'ckpt/{identity}.pkl'.")
@click.option("--protocol", required=True, help="A registered protocol, or a TOML file of your own.")
@click.option("--loader", default="", metavar="FILE.py:CLASS", help="Called with (path, original generator).")
@click.option("--name", help="What the row is called (default: after the files).")
@click.option(
    "--photos", type=click.Path(path_type=Path), help="Photographs of your own: a folder that holds a folder a person."
)
@_measuring
def evaluate(path: str, loader: str, name: str | None, **options: Any) -> None:
    """Score generators that other code unlearned, as a row of the same table, marked 'training not seen'.

    {identity} and {seed} in PATTERN stand for the name of the forgotten person and the repetition.
    """
    from guidebench.engine import run

    chosen = run.Options(**options)
    choices = run.with_floors([run.choose_checkpoint(path, loader, name)], chosen.floors)
    result = run.measure((run.resolve_protocol(chosen),), choices, chosen)
    run.say(result, chosen.out)
    click.echo(_table_of_run(result, chosen))
    if result.failed:
        sys.exit(EXIT_FAILED_TRIALS)


@main.command()
@click.argument("name")
@click.option("--method", "methods", multiple=True, help=f"A row beside the suite's. {_METHOD_HELP}")
@_measuring
@click.option("--format", "style", type=click.Choice(_FORMATS), default="terminal", show_default=True)
@click.option("--dry-run", is_flag=True, help="Only say what would run, how long it takes, and what is missing.")
@click.pass_context
def reproduce(context: click.Context, name: str, style: str, dry_run: bool, **options: Any) -> None:
    """Make a table of the paper: run what is missing of a suite and print it in the paper's layout.

    NAME is a suite (`guidebench list suites`), or a TOML file of your own.
    """
    from guidebench import suites
    from guidebench.engine import dry_run as forecasts
    from guidebench.engine import run

    chosen = run.Common(**options)
    suite = suites.load(name).resolve(chosen.testbed, **chosen.overrides)
    choices = run.with_floors(suites.with_own(suite.choices, chosen.methods), chosen.floors)
    if dry_run:
        found = forecasts.forecast(suite.protocols, choices, chosen)
        click.echo("\n".join(forecasts.lines_of(found, {label: title for title, label in suite.labels.items()})))
        return
    result = run.measure(suite.protocols, choices, chosen)
    run.say(result, chosen.out)
    click.echo(f"the same table again: {_same_command(context)}", err=True)
    click.echo(_table_of_suite(suite, result, chosen.out, style))
    if result.failed:
        sys.exit(EXIT_FAILED_TRIALS)


def _table_of_suite(suite: Suite, result: Result, out: Path, style: str) -> str:
    """The suite's own trials in its layout, whatever else is recorded beside them."""
    from guidebench.reporting import report

    return report.report(
        out,
        style,
        layout="paper",
        table=suite.table,
        against=suite.against_label,
        keys=result.keys,
        width=_terminal_width(),
    )


def _terminal_width() -> int:
    """Columns of the terminal; 120 where the output goes elsewhere."""
    return max(40, shutil.get_terminal_size((120, 24)).columns) if sys.stdout.isatty() else 120


def _same_command(context: click.Context) -> str:
    """What was typed, without what concerns this once only, as text for a shell."""
    words = ["guidebench", str(context.info_name), context.params["name"]]
    for option in context.command.params:
        given = context.get_parameter_source(option.name or "") is click.core.ParameterSource.COMMANDLINE
        if not isinstance(option, click.Option) or not given or option.name in ("fresh", "workers"):
            continue
        value = context.params[option.name or ""]
        values = value if option.multiple else [",".join(map(str, value)) if isinstance(value, tuple) else value]
        for each in values:
            words += [option.opts[0], str(each)]
    return shlex.join(words)


def _table_of_run(result: Result, options: Options) -> str:
    """The run's protocol with everything recorded of it; if older records do not fit, only what this run asked for."""
    from guidebench.errors import BadInput
    from guidebench.reporting import report

    (protocol,) = result.protocols
    digest = protocol.digest()
    try:
        return report.summary(options.out, digest, testbed=options.testbed, width=_terminal_width())
    except BadInput as error:
        table = report.summary(options.out, digest, testbed=options.testbed, keys=result.keys, width=_terminal_width())
        click.echo(f"guidebench: this table leaves out older records of {options.out}: {error}", err=True)
        return table


@main.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def status(directory: Path, as_json: bool) -> None:
    """Say what is recorded below a directory: measured, failed and unreadable trials."""
    from guidebench.reporting.status import status_lines, status_of

    found = status_of(directory)
    click.echo(json.dumps(found, indent=1) if as_json else "\n".join(status_lines(found)))


@main.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "style",
    type=click.Choice(_FORMATS),
    default="markdown",
    show_default=True,
)
@click.option(
    "--layout",
    metavar="NAME",
    default="auto",
    show_default=True,
    help="auto: the paper's columns; table-1 to table-4, or a suite's TOML file; full: every metric, interval and "
    "test; compare: two methods.",
)
@click.option("--against", metavar="METHOD", help="The row that others are compared with (default: mean-latent).")
@click.option("--testbed", help="Only records of this testbed.")
@click.option("--conventions", help="Only records of these conventions.")
@click.option("--protocol", help="Only records of this protocol.")
@click.option("--method", multiple=True, help="Only records of this method. Repeat for several.")
@_WEIGHTS
@click.option("--published/--no-published", default=None, help="Show published numbers beside, never merged.")
def report(directory: Path, style: str, **filters: Any) -> None:
    """Print tables from records: those of the paper, or everything that was measured."""
    from guidebench.reporting import report

    filters["method"] = filters["method"] or None
    click.echo(report.report(directory, style, width=_terminal_width(), **filters))


@main.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.argument("method")
@click.argument("against", default="mean-latent")
@click.option("--format", "style", type=click.Choice(_FORMATS), default="terminal", show_default=True)
@click.option("--testbed", help="Only records of this testbed.")
@click.option("--conventions", help="Only records of these conventions.")
@click.option("--protocol", help="Only records of this protocol.")
@_WEIGHTS
def compare(directory: Path, style: str, **options: Any) -> None:
    """Say whether METHOD is better than AGAINST (default: mean-latent), and how sure that is, from records alone."""
    from guidebench.reporting import report

    click.echo(report.report(directory, style, layout="compare", width=_terminal_width(), **options))


_SCORE_COLUMNS = (
    "testbed,protocol,conventions,label,identity,seed,metric,judge,value,reason,n,lost_before,lost_after,"
    "seconds_unlearn,seconds_total,numerics,weights_version,weights_digest,key"
)


@main.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--columns", default=_SCORE_COLUMNS, help="Comma-separated; `all` for every column of the records.")
def scores(directory: Path, columns: str) -> None:
    """Print every recorded score as CSV, one row a score: what `guidebench.records` gives in Python."""
    from guidebench.errors import BadInput

    frame = guidebench.records(directory)
    wanted = list(frame.columns) if columns == "all" else [name.strip() for name in columns.split(",")]
    for name in wanted:
        if name not in frame.columns:
            raise BadInput(f"records have no column '{name}'; they have: {', '.join(frame.columns)}")
    click.echo(frame[wanted].to_csv(index=False, float_format="%.6g"), nl=False)


@main.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--protocol", help="Which protocol, if the records hold several.")
@_WEIGHTS
def orderings(directory: Path, **chosen: str | None) -> None:
    """Print each ordering that GUIDE's paper claims with its paired difference, as found."""
    from guidebench.reporting.paper_claims import orderings as found

    click.echo(found(directory, **chosen))


@main.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--testbed", help="Only records of this testbed.")
@click.option("--conventions", help="Only records of these conventions.")
@click.option("--protocol", help="Which protocol, if the records hold several.")
@_WEIGHTS
def instrument(directory: Path, **options: Any) -> None:
    """Print what the readings themselves are worth: spread over seeds, resolution, judges, sample count, brackets."""
    from guidebench.reporting.diagnostics.instrument import instrument as page

    click.echo(page(directory, **options))


@main.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--protocol", help="Which protocol, if the records hold several.")
@click.option("--method", "methods", multiple=True, help="Methods in the order of their rows (default: all).")
@click.option("--first", type=click.IntRange(min=1), help="Only the first so many identities.")
@_WEIGHTS
@click.option("--out", type=click.Path(path_type=Path), default="gallery.png", show_default=True)
def gallery(directory: Path, **options: Any) -> None:
    """Draw every identity's photograph, before, and after each method in one picture."""
    from guidebench.reporting.gallery import gallery as draw

    click.echo(f"wrote {draw(directory, **options)}")


@main.command()
@click.argument("directory", type=click.Path(path_type=Path))
def rescore(directory: Path) -> None:
    """Compute all metrics anew from the evidence of every record below a directory."""
    from guidebench.commands.rescore import rescore_all

    changed, total = rescore_all(directory)
    click.echo(f"{total} records scored from their evidence, {changed} changed")


@main.command()
@click.argument("trial", type=click.Path(path_type=Path))
@click.option("--photo", type=click.Path(path_type=Path), help="A photograph to invert; default: the forgotten latent.")
@click.option("--yaw", "yaws", multiple=True, type=float, default=(0.0,), help="Degrees; repeat for several views.")
@click.option("--pitch", type=float, default=None, help="Radians as in the protocol (default: the protocol's).")
@click.option("--out", type=click.Path(path_type=Path), default="render.png", show_default=True)
@click.option("--device", default="auto", show_default=True)
def render(trial: Path, **options: Any) -> None:
    """Render somebody with the unlearned generator that a trial kept, beside the original's render."""
    from guidebench.commands.render import render_trial

    click.echo(f"wrote {render_trial(trial, **options)}")


@main.command()
@click.argument("method")
def check(method: str) -> None:
    """Say whether a method is well-behaved, in seconds, on the analytic testbed."""
    from guidebench.commands.check import check_method

    findings = check_method(method)
    for finding in findings:
        click.echo(
            f"{'ok  ' if finding.ok else 'FAIL'} {finding.name}" + (f": {finding.detail}" if finding.detail else "")
        )
    failed = sum(not finding.ok for finding in findings)
    click.echo(f"{len(findings) - failed} of {len(findings)} checks passed")
    if failed:
        sys.exit(EXIT_FAILED_TRIALS)


@main.group()
def new() -> None:
    """Write a file to start from."""


@new.command("method")
@click.argument("name")
@click.option("--folder", type=click.Path(path_type=Path), default=".", show_default=True, help="Where to write it.")
def new_method(name: str, folder: Path) -> None:
    """Write a working, commented method that passes `guidebench check`."""
    from guidebench.commands import new

    written = new.new_method(name, folder)
    click.echo(f"wrote {written.path}; now: guidebench check {written.spec}")


@main.command("align")
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IN...")
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option("--detector", type=click.Choice(["mtcnn", "insightface"]), default="mtcnn", show_default=True)
def align_command(inputs: tuple[Path, ...], out: Path, detector: Literal["mtcnn", "insightface"]) -> None:
    """Cut the largest face out of photographs as EG3D does, 512 x 512. IN: files, or folders with all that is below.

    Exit code 2 if a photograph shows no face or cannot be read; the others are written all the same.
    """
    from guidebench.photos import align

    failed = 0
    for fine, line in align.align_all(inputs, out, align.load_detector(detector)):
        click.echo(line if fine else f"guidebench: {line}", err=not fine)
        failed += not fine
    if failed:
        sys.exit(EXIT_BAD_INPUT)


@main.group("data")
def data_group() -> None:
    """Find the photographs of FFHQ and CelebA-HQ that everybody measures on; describe real photographs."""


@data_group.group("scan")
def data_scan() -> None:
    """Find and hash the photographs of a photo set that the frozen rule picks."""


_ROOT = click.argument("root", type=click.Path(path_type=Path))


@data_scan.command("ffhq")
@_ROOT
def data_scan_ffhq(root: Path) -> None:
    """ROOT holds FFHQ's images, or EG3D's crops of them: 00000.png to 69999.png, in folders of a thousand or not."""
    from guidebench.photos import manifests

    _say_manifest(manifests.scan("ffhq", root, manifests.ffhq_people()))


@data_scan.command("celebahq")
@_ROOT
@click.option("--identities", required=True, type=click.Path(path_type=Path), help="CelebA's identity_CelebA.txt.")
@click.option(
    "--mapping",
    required=True,
    type=click.Path(path_type=Path),
    help="CelebA-HQ's image_list.txt or CelebAMask-HQ's CelebA-HQ-to-CelebA-mapping.txt.",
)
def data_scan_celebahq(root: Path, identities: Path, mapping: Path) -> None:
    """ROOT holds CelebA-HQ's images, or EG3D's crops of them: 0.jpg to 29999.jpg, or 00000.png to 29999.png."""
    from guidebench.photos import manifests

    _say_manifest(manifests.scan("celebahq", root, manifests.celebahq_people(identities, mapping)))


def _say_manifest(manifest: Manifest) -> None:
    from guidebench.photos import manifests

    path = manifests.write(manifest)
    click.echo(f"wrote {path}: {manifest.lines[0]}; digest {manifest.digest}")
    if hint := manifest.hint:
        click.echo(f"guidebench: {hint}", err=True)


@data_group.command("show")
@click.argument("source", type=click.Choice(["ffhq", "celebahq"]))
@click.option("--files", is_flag=True, help="Only the paths, one a line.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def data_show(source: str, files: bool, as_json: bool) -> None:
    """Print a manifest: its people, files and digests."""
    from guidebench.photos import manifests

    manifest = manifests.read(source)
    if as_json:
        click.echo(json.dumps(manifest.as_data(), indent=1))
    elif files:
        click.echo("\n".join(str(manifest.path(photo)) for person in manifest.people for photo in person.photos))
    else:
        click.echo("\n".join(manifest.lines))


@data_group.command("statistics")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--count", type=click.IntRange(2), help="How many photographs (default: all).")
@click.option("--features", type=click.Path(path_type=Path), help="A matrix of features (n, 2048) instead: FILE.npy.")
@click.option("--title", help="Which photographs these are, for footnotes (default: the folder's or file's name).")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write this file, and install nothing.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def data_statistics(folder: Path | None, features: Path | None, out: Path | None, **options: Any) -> None:
    """Compute the statistics of real photographs that ΔFID_real needs, and install them as asset ffhq-real."""
    from guidebench.photos import measuring

    click.echo(measuring.make(folder, features, out=out, **options))


@main.group("assets")
def assets_group() -> None:
    """List, check, add and fetch the pretrained files that some testbeds need."""


_TESTBED_OF_ASSETS = click.option("--testbed", help="Only what this testbed needs or can use.")


@assets_group.command("list")
@_TESTBED_OF_ASSETS
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def assets_list(testbed: str | None, as_json: bool) -> None:
    """Say of every file what it is, its licence, where it comes from, and whether it is here."""
    from guidebench import assets

    states = [assets.inspect(asset) for asset in _assets((), testbed)]
    if as_json:
        click.echo(json.dumps([state.as_data() for state in states], indent=1, ensure_ascii=False))
        return
    click.echo("\n".join([f"folder: {assets.folder()}", *assets.summary(states)]))
    if any(state.status != "present" for state in states):
        click.echo(f"next: guidebench assets fetch{f' --testbed {testbed}' if testbed else ''}")


@assets_group.command("verify")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@_TESTBED_OF_ASSETS
def assets_verify(ids: tuple[str, ...], testbed: str | None) -> None:
    """Hash files anew: those named, those of a testbed, or all that are here. Exit code 2: one is wrong or missing."""
    from guidebench import assets

    states = [assets.inspect(asset, anew=True) for asset in _assets(ids, testbed)]
    for state in states:
        if ids or testbed or state.status != "missing":
            click.echo(state.line)
    missing = set(ids) | ({state.asset.id for state in assets.unmet(testbed)} if testbed else set())
    if any(state.status == "wrong" or (state.status == "missing" and state.asset.id in missing) for state in states):
        sys.exit(EXIT_BAD_INPUT)


@assets_group.command("add")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--as", "as_id", metavar="ID", help="Which file it is, where its name does not tell.")
@click.option("--link", is_flag=True, help="Link to the file instead of copying it.")
def assets_add(files: tuple[Path, ...], as_id: str | None, link: bool) -> None:
    """Check files that you have and copy them to where testbeds look. An ArcFace pack may be a zip or a folder."""
    from guidebench.assets import placing
    from guidebench.errors import BadInput

    if as_id and len(files) > 1:
        raise BadInput(f"--as {as_id} names one file, {len(files)} are given; add them one by one")
    for file in files:
        click.echo(placing.add(file, as_id=as_id, link=link).line)


@assets_group.command("fetch")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@_TESTBED_OF_ASSETS
def assets_fetch(ids: tuple[str, ...], testbed: str | None) -> None:
    """Download what is absent, and say how to get what cannot be downloaded. Exit code 2 if something needed remains.

    GUIDEBENCH_MIRROR=http://host/folder fetches everything from there instead.
    """
    from guidebench.assets import placing

    unsettled = 0
    chosen = _assets(ids, testbed)
    for settled, line in placing.fetch_all(chosen if ids else placing.enough_of(chosen)):
        click.echo(line if settled else f"guidebench: {line}", err=not settled)
        unsettled += not settled
    if unsettled:
        sys.exit(EXIT_BAD_INPUT)


def _assets(ids: tuple[str, ...], testbed: str | None) -> list[Asset]:
    """The assets that a command is about: those named, those of a testbed, or all."""
    from guidebench import registry
    from guidebench.assets import catalogue
    from guidebench.errors import BadInput

    if ids and testbed:
        raise BadInput("give names of assets or --testbed, not both")
    if ids:
        return [catalogue.named(asset_id) for asset_id in dict.fromkeys(ids)]
    if testbed is None:
        return list(catalogue.ASSETS)
    registry.TESTBED.entry(testbed)
    return catalogue.needed_by(registry.testbed_name(testbed))


@main.command()
@click.option("--testbed", default="mini", show_default=True, help="What you want to run on.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default="runs", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def doctor(testbed: str, device: str, out: Path, as_json: bool) -> None:
    """Say whether this machine can run a testbed, and the next command. Exit code 2 if it cannot."""
    from guidebench.commands import doctor as doctor_

    findings = doctor_.examine(testbed, device=device, out=out)
    able, command = doctor_.can_run(findings), doctor_.next_command(findings, testbed)
    if as_json:
        found = {"can_run": able, "next": command, "findings": [dataclasses.asdict(item) for item in findings]}
        click.echo(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        click.echo("\n".join([*(finding.line for finding in findings), f"next: {command}"]))
    if not able:
        sys.exit(EXIT_BAD_INPUT)
