"""Pages of the site that are written elsewhere in the repository: results, the model card, the changelog."""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACK = "reports/mini/results.zip"  # of records; `docs/build-site.sh` makes the page of results from it
RESULTS = {"mini": "reports/mini", "mini-2d": "reports/mini_2d"}  # where a testbed's reference results are
_TO_RESULTS = """
```{raw} html
<p><a href="../../results/index.html">Browse these results</a> on one page.</p>
```
"""
_LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)\s#]+)((?:#[^)\s]*)?\))")


def places() -> dict[str, str]:
    """Where each file is shown: path in the repository -> path in docs/."""
    results = {
        f"{folder}/{path.name}": f"generated/{room}/{'index.md' if path.stem == 'README' else path.name}"
        for room, folder in RESULTS.items()
        for path in sorted((ROOT / folder).glob("*.md"))
    }
    return {
        **results,
        "guidebench/testbeds/mini/MODEL_CARD.md": "generated/mini/model-card.md",
        "guidebench/testbeds/mini_2d/MODEL_CARD.md": "generated/mini-2d/model-card.md",
        "tests/goldens/networks/README.md": "generated/goldens.md",
        "CHANGELOG.md": "generated/changelog.md",
    }


def pages() -> dict[str, str]:
    """The pages, by path in docs/generated/."""
    texts = {
        target.removeprefix("generated/"): relinked(_titled(ROOT / path), path, target)
        for path, target in places().items()
    }
    if (ROOT / PACK).is_file():
        texts["mini/index.md"] = texts["mini/index.md"].replace("\n", _TO_RESULTS, 1)
    for room in RESULTS:
        tables = [Path(page).stem for page in sorted(texts) if re.match(rf"{room}/(?!index|model-card)", page)]
        texts[f"{room}/index.md"] += "\n```{toctree}\n:hidden:\n\n" + "\n".join(tables) + "\n```\n"
    return texts


def _titled(path: Path) -> str:
    """A file's text; a table without a heading of its own gets its name as one."""
    text = path.read_text(encoding="utf-8")
    if re.search(r"(?m)^# ", text):
        return text
    title = path.stem.replace("-", " ").capitalize()
    results = re.match("# (.*)", (path.parent / "README.md").read_text(encoding="utf-8"))
    assert results
    return f"# {title}\n\nFrom [{results[1]}](README.md).\n\n{re.sub(r'(?m)^###', '##', text)}"


def relinked(text: str, path: str, target: str) -> str:
    """A text whose relative links lead where they should from its place in the site.

    path: of the file in the repository. target: of its page in docs/. Links to pages lead to pages, others to files.
    """
    known, page = places(), ROOT / "docs" / target

    def lead(found: re.Match[str]) -> str:
        aim = Path(os.path.normpath(ROOT / path)).parent.joinpath(found[2])
        aim = Path(os.path.normpath(aim))
        if not aim.exists() or not aim.is_relative_to(ROOT):
            return found[0]
        shown = known.get(str(aim.relative_to(ROOT)))
        return found[1] + os.path.relpath(ROOT / "docs" / shown if shown else aim, page.parent) + found[3]

    return _LINK.sub(lead, text)
