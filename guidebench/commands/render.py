"""`guidebench render`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from guidebench.commands import common


@click.command()
@click.argument("trial", type=common.PATH)
@click.option("--photo", type=common.PATH, help="A photo to invert (default: the forgotten latent).")
@click.option("--person", help="Whom of several people whom the trial forgot (default: the first).")
@click.option("--yaw", "yaws", multiple=True, type=float, default=(0.0,), help="Degrees. Repeat for several views.")
@click.option("--pitch", type=float, help="Radians (default: the protocol's).")
@click.option("--out", type=common.PATH, default="render.png", show_default=True, help="The picture to write.")
@click.option("--trust-code", is_flag=True, help="Run Python files that the record names: its method's, its testbed's.")
@common.device
def render(trial: Path, **options: Any) -> None:
    """Render a person with an unlearned generator that was kept.

    The picture also shows the original generator's renders. TRIAL is a directory below OUT/records/ that
    `guidebench run --keep-generators` wrote. A record of a method or testbed in a Python file names that file: look
    whose it is before you trust it.
    """
    from guidebench.engine.kept_generators import render_trial

    click.echo(f"wrote {render_trial(trial, **options)}")
