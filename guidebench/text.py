"""Tables and quantities as plain text."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")
# What moves the cursor, breaks a line or turns the direction of writing, besides surrogates.
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_LONGEST_LINE = 4000  # characters of a message; nothing that a person reads is longer
_BRIEF_TEXT, _BRIEF_ITEMS = 60, 4  # characters of a text, and entries of a list, that `brief` shows
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
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def is_plain(text: str) -> bool:
    r"""Whether a terminal shows the text as it is, in one line.

    >>> is_plain("größer"), is_plain("a\nb"), is_plain("\x1b[2J")
    (True, False, False)
    """
    return _CONTROL.search(text) is None


def plain(text: str) -> str:
    r"""The text in one line, line breaks as spaces and what a terminal would act on escaped.

    >>> print(plain("two\nlines, \x1b[2J"))
    two lines, \x1b[2J
    """
    return text if is_plain(text) else _CONTROL.sub(_as_escape, " ".join(text.split()))


def one_line(text: str) -> str:
    r"""The text as one line that a terminal shows as it is: control characters are escaped, the middle of a long text
    is left out.

    >>> print(one_line("a\x1b[2J\nb"))
    a\x1b[2J\x0ab
    """
    if len(text) > _LONGEST_LINE:
        half = _LONGEST_LINE // 2
        text = f"{text[:half]} […] {text[-half:]}"
    return _CONTROL.sub(_as_escape, text)


def brief(value: Any) -> str:
    """A value that a file holds, as part of a message: like repr, but short and in printable characters.

    What a list holds is shown, what the lists in it hold is not, so that no value, however made, takes long. The value
    may be of any type; nothing of it is called.

    >>> brief([1, "two", [3, 4], None, 5]), brief("x" * 99)[-5:]
    ("[1, 'two', […], None, …]", "xxx'…")
    """
    if isinstance(value, Mapping | list | tuple | AbstractSet):
        start, end = "()" if isinstance(value, tuple) else "[]" if isinstance(value, list) else "{}"
        shown = [_entry(value, item) for item in itertools.islice(value, _BRIEF_ITEMS)]
        more = ["…"] if len(value) > _BRIEF_ITEMS else []
        lone = "," if isinstance(value, tuple) and len(value) == 1 else ""
        return f"{start}{', '.join([*shown, *more])}{lone}{end}"
    return _single(value)


def _entry(container: Any, item: Any) -> str:
    return f"{_single(item)}: {_single(container[item])}" if isinstance(container, Mapping) else _single(item)


def _single(value: Any) -> str:
    if isinstance(value, str | bytes):
        return f"{value[:_BRIEF_TEXT]!r}" + ("…" if len(value) > _BRIEF_TEXT else "")
    if isinstance(value, Mapping | list | tuple | AbstractSet):
        return "(…)" if isinstance(value, tuple) else "[…]" if isinstance(value, list) else "{…}"
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and value.bit_length() <= 256):
        return repr(value)
    kind = type(value).__name__
    return f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"


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
