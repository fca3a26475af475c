"""`guidebench attack`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from guidebench.commands import common
from guidebench.commands.run import settings_of
from guidebench.errors import EXIT_FAILED_TRIALS


@click.command()
@common.records
@common.attacks(required=True)
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Override a field of matching attacks.")
@click.option("--protocol", help="Only trials of this protocol.")
@click.option("--method", "methods", multiple=True, help="Only trials of this method. Repeat for several.")
@click.option("--photos", type=common.PATH, help="The photos that the trials were made with, if they were yours.")
@common.device
@click.option("--workers", type=click.IntRange(0), help="Processes (default: one per core, at most 8; on a GPU one).")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds that an attack may take.")
@click.option("--trust-code", is_flag=True, help="Run Python files that records name: of methods, of testbeds.")
def attack(directory: Path, settings: tuple[str, ...], **options: Any) -> None:
    """Attack kept generators: is the person forgotten, or hidden?

    DIRECTORY holds records of `guidebench run --keep-generators`. What is found joins their scores; attacks that were
    made before are skipped. Exit code 1 if one failed.
    """
    from guidebench.commands.progress import Progress
    from guidebench.engine.attack_records import attack_records

    done = attack_records(directory, settings=settings_of(settings), watch=Progress(), **options)
    click.echo(f"{done.attacked} generators attacked, {done.skipped} had been, in {done.seconds:.0f} s", err=True)
    if done.without:
        click.echo(f"{done.without} trials kept no generator and were left out (run --keep-generators)", err=True)
    if done.table:
        click.echo(done.table)
    if done.failed:
        sys.exit(EXIT_FAILED_TRIALS)
