"""Reports as text: Markdown, LaTeX, CSV, JSON and aligned plain text. Their content is decided in `layout`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from guidebench.reporting.formats.compact import as_compact_text
from guidebench.reporting.formats.csv_format import as_csv
from guidebench.reporting.formats.json_format import as_json
from guidebench.reporting.formats.latex import as_latex
from guidebench.reporting.formats.markdown import as_markdown
from guidebench.reporting.formats.terminal import WIDTH, as_text
from guidebench.reporting.model import Report

__all__ = ["FORMATS", "WIDTH", "render"]

_OF_FILES: Mapping[str, Callable[[Report], str]] = {
    "markdown": as_markdown,
    "latex": as_latex,
    "csv": as_csv,
    "json": as_json,
}
FORMATS = (*_OF_FILES, "terminal")


def render(report: Report, format: str, width: int = WIDTH) -> str:
    """A report in one of `FORMATS`. width: columns of the terminal, for reports that are not compact."""
    if format in _OF_FILES:
        return _OF_FILES[format](report)
    return as_compact_text(report) if report.is_compact else as_text(report, width)
