"""Tables and quantities as plain text."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SURROGATE = re.compile("[\ud800-\udfff]")
_VERBATIM = re.compile(r"(`[^`]*`|https?://\S+)")  # code and addresses


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    r"""A table with pipes; its first ``left`` columns are left-aligned, the others right-aligned.

    Cells may hold Markdown, such as bold text. Only what would break the table or vanish is escaped: |, and
    outside of `code` and addresses, < and _.

    >>> print(markdown_table(["method", "ID"], [["mean_latent", "0.12"], ["`a_b`", "1|2"]]))
    | method | ID |
    |---|---:|
    | mean\_latent | 0.12 |
    | `a_b` | 1\|2 |
    """
    rule = "|---" * min(left, len(heads)) + "|---:" * (len(heads) - left) + "|"
    first, *others = ["| " + " | ".join(map(_escaped, row)) + " |" for row in (heads, *rows)]
    return "\n".join([first, rule, *others])


def aligned(rows: Sequence[Sequence[str]], gap: int = 2, *, left: int | None = None) -> list[str]:
    """Rows of equally many cells as lines of aligned columns, without spaces at the end.

    gap: spaces between columns. left: how many of the first columns are aligned left, the others right; None: all left.

    >>> aligned([["method", "n"], ["guide", "10"]], left=1)
    ['method   n', 'guide   10']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = len(widths) if left is None else left
    space = " " * gap
    return [
        space.join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def printable(text: str) -> str:
    r"""The text with what cannot be written as UTF-8 escaped: bytes of file names, and halves of characters.

    >>> print(printable(b"caf\xe9.png".decode("utf-8", "surrogateescape")))
    caf\xe9.png
    """
    return _SURROGATE.sub(_as_escape, text)


def _as_escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def in_words(seconds: float | None) -> str:
    """A duration to about two digits; None is unknown.

    >>> in_words(0.24), in_words(38.4), in_words(725.0), in_words(12240.0), in_words(None)
    ('0.2 s', '38 s', '12 min', '3.4 h', 'unknown')
    """
    if seconds is None:
        return "unknown"
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def bytes_in_words(size: float) -> str:
    """A number of bytes to three digits, in decimal units.

    >>> bytes_in_words(350_000_000), bytes_in_words(7_289), bytes_in_words(12)
    ('350 MB', '7.29 kB', '12 bytes')
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size} bytes"


def _escaped(cell: str) -> str:
    parts = _VERBATIM.split(cell.replace("|", r"\|"))  # what is verbatim has the odd places
    return "".join(
        part if place % 2 else part.replace("<", "&lt;").replace("_", r"\_") for place, part in enumerate(parts)
    )
