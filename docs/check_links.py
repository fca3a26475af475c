"""Checks the links of a built site: `python docs/check_links.py SITE`.

Every relative link must lead to a file of the site, and to a place in it if it names one. Addresses elsewhere are not
visited; they must be https and well-formed.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LINKS = {"a": "href", "link": "href", "img": "src", "script": "src", "source": "src", "iframe": "src"}


class _Page(HTMLParser):
    """The links of a page, and the places that links may lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attrs if value}
        self.places |= {found[name] for name in ("id", "name") if name in found}
        if _LINKS.get(tag) in found:
            self.links.append(found[_LINKS[tag]])


def broken(site: Path) -> list[str]:
    """Every broken link of a site, as one line each: the page, the link, and what is wrong with it."""
    pages = {path.resolve(): _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    return [
        f"{path.relative_to(site.resolve())}: {link} {wrong}"
        for path, page in pages.items()
        for link in page.links
        if (wrong := _wrong(link, path, pages))
    ]


def _wrong(link: str, page: Path, pages: dict[Path, _Page]) -> str:
    try:
        parts = urlsplit(link)
    except ValueError as error:
        return f"is not an address: {error}"
    if parts.scheme in ("data", "mailto"):
        return ""
    if parts.scheme or parts.netloc:
        good = parts.scheme == "https" and "." in parts.netloc and not any(map(str.isspace, link))
        return "" if good else "is not a well-formed https address"
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    target = target / "index.html" if target.is_dir() else target
    if not target.is_file():
        return "leads to no file"
    place = unquote(parts.fragment)
    if place and target in pages and place not in pages[target].places:
        return f"leads to no place of {target.name}"
    return ""


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    wrong = broken(folder)
    print("\n".join(wrong) or f"{len(list(folder.rglob('*.html')))} pages, every link leads somewhere", file=sys.stderr)
    sys.exit(1 if wrong else 0)
