"""`guidebench submit`: pack results for others, and check what others packed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from guidebench.commands import common
from guidebench.errors import EXIT_FAILED_TRIALS, BadInput
from guidebench.text import aligned, bytes_in_words, one_line


@click.group("submit")
def submit_group() -> None:
    """Pack results for a leaderboard, and verify what others packed."""


class _Some(click.ParamType):
    """A number, `all` or `none`."""

    name = "N|all|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, int) or value == "all":
            return value
        if value == "none":
            return 0
        return int(value) if str(value).isdecimal() else self.fail(f"{value!r} is not a number, all or none")


@submit_group.command()
@click.argument("directories", nargs=-1, required=True, type=common.PATH, metavar="DIRECTORY...")
@click.option("--out", required=True, type=common.PATH, metavar="FILE.zip", help="The file to write.")
@click.option("--name", required=True, help="What it is called on a leaderboard.")
@click.option("--authors", default="", help="Whose it is.")
@click.option("--link", default="", metavar="URL", help="The paper, or the code.")
@click.option(
    "--source", type=common.PATH, metavar="FILE.py", help="The code; files beside it that it imports join it."
)
@click.option("--tuning", default="", metavar="TEXT", help="How settings were found, in words.")
@click.option("--settings-tried", type=click.IntRange(1), help="How many settings were tried.")
@click.option("--tuned-on", default="", metavar="WHOM", help="On whom: a protocol, or people in words.")
@click.option("--attack", "attacks", multiple=True, metavar="LABEL", help="Submit an attack. Repeat for several.")
@click.option(
    "--against", type=common.PATH, metavar="METHOD.zip", help="The submission that the attack is made against."
)
@click.option("--testbed", help="Only records of this testbed.")
@click.option("--protocol", help="Only records of this protocol.")
@click.option("--method", "methods", multiple=True, help="Only records of this method. Repeat for several.")
@click.option("--weights", help="Only records of these weights, as in `guidebench report`.")
@click.option("--with-generators", "generators", type=_Some(), default=4, show_default=True, help="Per row.")
@click.option("--pictures", type=_Some(), default=4, show_default=True, help="Of how many trials per row.")
@click.option(
    "--without-evidence", is_flag=True, help="Records and pictures only: small, but scores cannot be checked."
)
def pack(directories: tuple[Path, ...], out: Path, without_evidence: bool, **options: Any) -> None:
    """Pack results with their evidence into one file.

    Each DIRECTORY holds records. Kept generators (run --keep-generators) come along so that others can render and judge
    them; which trials' is decided by their keys. Unpacked, the file is a results directory again.
    """
    from guidebench.reporting.selection import Filter
    from guidebench.submissions.manifest import Submission, Tuning
    from guidebench.submissions.pack import pack as packed

    if options["against"] and not options["attacks"]:
        raise BadInput("--against names what an attack is made against; give the attack with --attack LABEL")
    submission = Submission(
        form="attack" if options["attacks"] else "method",
        name=options["name"],
        authors=options["authors"],
        link=options["link"],
        tuning=Tuning(settings_tried=options["settings_tried"], tuned_on=options["tuned_on"], words=options["tuning"]),
        attacks=options["attacks"],
        evidence=not without_evidence,
    )
    done = packed(
        directories,
        out,
        submission,
        chosen=Filter(
            testbed=options["testbed"],
            protocol=options["protocol"],
            method=options["methods"] or None,
            weights=options["weights"],
        ),
        source=options["source"],
        generators=options["generators"],
        pictures=options["pictures"],
        against=options["against"],
    )
    click.echo(
        f"wrote {out}: {done.records} records, {done.generators} kept generators, pictures of {done.pictures} trials, "
        f"{bytes_in_words(done.size)}"
    )
    click.echo(f"next: guidebench submit verify {out}", err=True)


@submit_group.command()
@click.argument("file", type=common.PATH)
@click.option(
    "--sample", type=click.IntRange(0), default=3, show_default=True, help="Trials to render and judge again."
)
@click.option(
    "--against", type=common.PATH, metavar="METHOD.zip", help="The submission whose results an attack lowers."
)
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--photos", type=common.PATH, help="The photos that the trials were made with, if they do not ship.")
@click.option("--trust-code", is_flag=True, help="Run the included code, and Python files that records name.")
@common.device
def verify(file: Path, style: str, **options: Any) -> None:
    """Check what somebody submitted.

    Nothing in FILE is executed without --trust-code. One line per check: ok, differs, or not checked and why. Exit code
    1 if something differs.
    """
    from guidebench.submissions.verify import verify as verified

    found = verified(file, **options)
    if style == "json":
        click.echo(json.dumps(found.as_data(), indent=1, ensure_ascii=False))
    else:
        who = found.submission
        click.echo(one_line(f"{who.form} {who.name}{f', {who.authors}' if who.authors else ''}  {who.link}".rstrip()))
        rows = [(check.result, check.about, one_line(check.says)) for check in found.checks]
        click.echo("\n".join(aligned(rows)))
    if found.differing:
        sys.exit(EXIT_FAILED_TRIALS)
