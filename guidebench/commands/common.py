"""What several commands share: options, and the width of a table."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


class _Path(click.Path):
    """Refuses "", which a shell makes of a variable that is not set and pathlib of the current directory."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click's."""
        if value == "":
            self.fail("the path is empty; give one", param, ctx)
        return super().convert(value, param, ctx)


PATH = _Path(path_type=Path)
FOLDER = _Path(path_type=Path, file_okay=False)
FILE = _Path(path_type=Path, dir_okay=False)
FORMATS = click.Choice(["markdown", "latex", "csv", "json", "terminal"])
PAGE_FORMATS = click.Choice([*FORMATS.choices, "html"])

as_json = click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
device = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
out = click.option("--out", type=FOLDER, default="runs", show_default=True, help="Where the records go.")
records = click.argument("directory", type=PATH)
metrics = click.option(
    "--metric", "metrics", multiple=True, metavar="FILE.py:NAME", help="One more metric. Repeat for several."
)


def attacks(*, required: bool) -> Callable[[Any], Any]:
    """Which attacks to make."""
    text = "A registered attack, or path/to/file.py:Class. Repeat for several."
    return click.option("--attack", "attacks", multiple=True, required=required, help=text)


def table_width() -> int:
    """Columns of the terminal; 120 where the output goes elsewhere."""
    return max(40, shutil.get_terminal_size((120, 24)).columns) if sys.stdout.isatty() else 120
