"""What hand-written pages say about one thing: rows of their tables, paragraphs, and where to read on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from outside import relinked

DOCS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Section:
    """A part of a page below a heading of the second level."""

    page: str  # "metrics.md"
    title: str
    text: str

    @property
    def link(self) -> str:
        """From a page in docs/generated/*/."""
        slug = re.sub(r"[^\w\- ]", "", self.title.lower()).replace(" ", "-")
        return f"[{self.title}](../../{self.page}#{slug})"

    @property
    def paragraphs(self) -> list[str]:
        """Its blocks between empty lines."""
        return [block.strip("\n") for block in re.split(r"\n\s*\n", self.text) if block.strip()]

    def row(self, name: str) -> dict[str, str] | None:
        """The row of a table that begins with a name, by the heads of its columns."""
        for block in self.paragraphs:
            heads, *rows = [_cells(line) for line in block.splitlines() if line.startswith("|")] or [[]]
            for cells in rows[1:]:
                if re.match(rf".*`{re.escape(name)}`", cells[0]):
                    return dict(zip(heads, cells, strict=True))
        return None

    def about(self, name: str) -> list[str]:
        """The paragraphs for a name: those that are marked ``<!-- of … -->`` with it, and all that are unmarked."""
        found = []
        for block in self.paragraphs:
            mark = re.match(r"<!-- of (.*?) -->\n", block)
            if block.startswith("|") or (mark and name not in mark[1].split()):
                continue
            found.append(block.removeprefix(mark[0]) if mark else block)
        return found


def _cells(line: str) -> list[str]:
    return [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


@cache
def sections(page: str) -> tuple[Section, ...]:
    """The sections of a page of docs/, the text above the first heading as one called like the page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    first, *others = re.split(r"(?m)^## ", text)
    title, _, body = first.removeprefix("# ").partition("\n")
    parts = [part.partition("\n") for part in others]
    return (Section(page, title, body), *(Section(page, heading, rest) for heading, _, rest in parts))


def row(page: str, name: str) -> dict[str, str]:
    """The row of any table of a page that is about a name; raises LookupError if there is none."""
    for section in sections(page):
        if found := section.row(name):
            return found
    raise LookupError(f"docs/{page} has no row of `{name}`")


def section_of(page: str, name: str) -> Section:
    """The section whose table has a row about a name; raises LookupError if there is none."""
    for section in sections(page):
        if section.row(name):
            return section
    raise LookupError(f"docs/{page} has no row of `{name}`")


def mentions(page: str, name: str) -> list[Section]:
    """Sections that are about a name: one of their paragraphs or points begins with it, or their first one has it."""
    code = f"`{name}`"
    return [
        section
        for section in sections(page)[1:]
        if re.search(rf"(?m)^(- )?{code}", section.text) or code in section.paragraphs[0]
    ]


def moved(text: str, page: str, target: str) -> str:
    """A text of a page of docs/ as part of another page: its links lead from there to where they led."""
    return relinked(text.replace("](#", f"]({page}#"), f"docs/{page}", target)
