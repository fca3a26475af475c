"""`guidebench assets`: list, verify, add and fetch the pretrained files that some testbeds need."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from guidebench.commands import common
from guidebench.errors import EXIT_BAD_INPUT, BadInput

if TYPE_CHECKING:
    from guidebench.assets.catalogue import Asset


@click.group("assets")
def assets_group() -> None:
    """Get the pretrained files that some testbeds need."""


_testbed = click.option("--testbed", help="Only what this testbed needs or can use.")


@assets_group.command("list")
@_testbed
@common.as_json
def _list(testbed: str | None, as_json: bool) -> None:
    """Show each file's role, licence and source, and whether it is here."""
    from guidebench import assets
    from guidebench.assets import placing

    placing.sweep()
    states = [assets.inspect(asset) for asset in _assets((), testbed)]
    if as_json:
        click.echo(json.dumps([state.as_data() for state in states], indent=1, ensure_ascii=False))
        return
    click.echo("\n".join([f"folder: {assets.folder()}", *assets.summary(states)]))
    if any(state.status != "present" for state in states):
        click.echo(f"next: guidebench assets fetch{f' --testbed {testbed}' if testbed else ''}")


@assets_group.command("verify")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@_testbed
def _verify(ids: tuple[str, ...], testbed: str | None) -> None:
    """Hash files again and compare with the known digests.

    Takes the named files, those of a testbed, or all that you have. Exit code 2 if one is wrong or missing.
    """
    from guidebench import assets
    from guidebench.assets import placing

    placing.sweep()
    states = [assets.inspect(asset, rehash=True) for asset in _assets(ids, testbed)]
    for state in states:
        if ids or testbed or state.status != "missing":
            click.echo(state.line)
    missing = set(ids) | ({state.asset.id for state in assets.unmet(testbed)} if testbed else set())
    if any(state.status == "wrong" or (state.status == "missing" and state.asset.id in missing) for state in states):
        sys.exit(EXIT_BAD_INPUT)


@assets_group.command("add")
@click.argument("files", nargs=-1, required=True, type=common.PATH, metavar="FILE...")
@click.option("--as", "as_id", metavar="ID", help="Which file it is, if its name does not show it.")
@click.option("--link", is_flag=True, help="Link to the file instead of copying it.")
def _add(files: tuple[Path, ...], as_id: str | None, link: bool) -> None:
    """Check files that you have, and copy them to where testbeds look.

    An ArcFace pack may be a zip file or a folder.
    """
    from guidebench.assets import placing

    if as_id and len(files) > 1:
        raise BadInput(f"--as {as_id} names one file, {len(files)} are given; add them one by one")
    for file in files:
        click.echo(placing.add(file, as_id=as_id, link=link).line)


@assets_group.command("fetch")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@_testbed
def _fetch(ids: tuple[str, ...], testbed: str | None) -> None:
    """Download missing files, or show how to get them.

    Exit code 2 if a required file is still missing. Set GUIDEBENCH_MIRROR=http://host/folder to fetch everything from
    there.
    """
    from guidebench.assets import placing

    unsettled = 0
    chosen = _assets(ids, testbed)
    for settled, line in placing.fetch_all(chosen if ids else placing.enough_of(chosen), stream=sys.stderr):
        click.echo(line if settled else f"guidebench: {line}", err=not settled)
        unsettled += not settled
    if unsettled:
        sys.exit(EXIT_BAD_INPUT)


def _assets(ids: tuple[str, ...], testbed: str | None) -> list[Asset]:
    """The assets that a command is about: those named, those of a testbed, or all."""
    from guidebench import registry
    from guidebench.assets import catalogue

    if ids and testbed:
        raise BadInput("give names of assets or --testbed, not both")
    if ids:
        return [catalogue.named(asset_id) for asset_id in dict.fromkeys(ids)]
    if testbed is None:
        return list(catalogue.ASSETS)
    registry.TESTBED.entry(testbed)
    return catalogue.needed_by(registry.testbed_name(testbed))
