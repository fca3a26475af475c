"""The page as one file of HTML: data, style, scripts and libraries inside, nothing fetched from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import jinja2
from markupsafe import Markup

import guidebench

GENERATOR = "guidebench page"  # in the head of every page: by it a folder is known as one of ours
SCRIPTS = (
    "dom.js",
    "state.js",
    "table.js",
    "points.js",
    "person.js",
    "page.js",
)  # ours, in the order in which they run
LIBRARIES = {  # file: name, version, licence, where it is kept
    "d3-7.9.2.min.js": ("D3", "7.9.2", "ISC", "d3.LICENSE.txt"),
    "plot-0.6.17.min.js": ("Observable Plot", "0.6.17", "ISC", "plot.LICENSE.txt"),
    "table-core-8.21.3.min.js": ("TanStack Table", "8.21.3", "MIT", "table-core.LICENSE.txt"),
}


def html_of(data: Mapping[str, Any]) -> str:
    """The page of what `guidebench.page.data.data_of` gave.

    Everything that comes from records is data: the scripts write it as text, never as markup. A policy in the head
    allows these scripts only, and pictures beside the page.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("guidebench.page", "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    scripts = [*(_library(name) for name in LIBRARIES), *(_text(_assets() / name) for name in SCRIPTS)]
    return environment.get_template("page.html").render(
        generator=GENERATOR,
        version=guidebench.__version__,
        title=_title(data),
        hashes=" ".join(f"'sha256-{_sha256(script)}'" for script in scripts),
        style=Markup(_text(_assets() / "page.css")),
        scripts=[Markup(script) for script in scripts],
        libraries=[
            {"name": name, "version": version, "licence": licence, "text": _text(_vendor() / file)}
            for name, version, licence, file in LIBRARIES.values()
        ],
        data=Markup(as_script(data)),
    )


def as_script(data: Any) -> str:
    """JSON that can stand inside a script element: no character of it begins a tag or ends a line of JavaScript.

    >>> as_script({"label": "</script>"})
    '{"label":"\\\\u003c/script>"}'
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in ("<", "\u2028", "\u2029"):
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "backslashreplace").decode()  # halves of characters


def _title(data: Mapping[str, Any]) -> str:
    testbeds = dict.fromkeys(board["testbed"] for board in data["boards"])
    return f"guidebench: {', '.join(testbeds)}"


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _assets() -> Traversable:
    return resources.files("guidebench.page") / "assets"


def _vendor() -> Traversable:
    return resources.files("guidebench.page") / "vendor"


def _text(file: Traversable) -> str:
    return file.read_text(encoding="utf-8")


def _library(name: str) -> str:
    """A library without the comment that names its source map: a browser would look for it."""
    lines = _text(_vendor() / name).splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("//# sourceMappingURL"))
