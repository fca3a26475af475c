"""Sphinx extension: writes the generated pages to docs/generated/ before a build, and leads links to them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import catalogue
import outside
import reference

if TYPE_CHECKING:
    from sphinx.application import Sphinx

FOLDER = "generated"  # in docs/, ignored by git
_NAMED_IN_TABLES = {"metrics": "metrics", "attacks": "attacks"}  # page: whose names begin the rows of its tables


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", lambda app: write(pages(), Path(app.srcdir) / FOLDER))
    app.connect("source-read", _link)
    return {"parallel_read_safe": True}


def pages() -> dict[str, str]:
    """Every generated page as Markdown, by its path in docs/generated/."""
    return {**catalogue.pages(), **reference.pages(), **outside.pages()}


def write(texts: dict[str, str], folder: Path) -> None:
    """Writes pages that changed, and removes those that are not made any more."""
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if str(path.relative_to(folder)) not in texts:
            path.unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def _link(app: Sphinx, docname: str, source: list[str]) -> None:
    """Links of hand-written pages: to files that are pages of the site, and from names in tables to their pages."""
    if docname.startswith(f"{FOLDER}/"):
        return
    source[0] = outside.relinked(source[0], f"docs/{docname}.md", f"{docname}.md")
    if room := _NAMED_IN_TABLES.get(docname):
        names = "|".join(catalogue.names(room))
        source[0] = re.sub(rf"(?m)^\| `({names})`", rf"| [`\1`]({FOLDER}/{room}/\1.md)", source[0])
