"""The page as one file: complete, closed to the outside, and deaf to what records say."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from page_records import HOSTILE

from guidebench.page import html


def data(**changes):
    board = {"name": "p", "testbed": HOSTILE, "caption": HOSTILE, **changes}
    return {"pictures": False, "records": False, "boards": [board]}


class Elements(HTMLParser):
    """Counts tags and gathers scripts and their attributes."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append([dict(attrs), ""])

    def handle_data(self, text):
        if self.scripts and self.tags[-1][0] == "script":
            self.scripts[-1][1] += text

    def handle_endtag(self, tag):
        self.tags.append((f"/{tag}", {}))


@pytest.mark.parametrize("label", [HOSTILE, "<!--<script>", "\u2028", "\ud800", "a\x00b", '"\\'])
def test_what_records_say_cannot_leave_the_data(label):
    text = html.html_of(data(label=label))
    plain = Elements(html.html_of(data(label="x")))
    page = Elements(text)
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    (embedded,) = [body for attributes, body in page.scripts if attributes.get("id") == "data"]
    assert json.loads(embedded)["boards"][0]["label"] == label
    assert "<" not in embedded
    text.encode()


def test_title_is_escaped():
    text = html.html_of(data())
    assert "&lt;/script&gt;" in re.search("<title>(.*?)</title>", text)[1]


def test_nothing_is_fetched_and_only_the_scripts_of_the_page_run():
    page = Elements(html.html_of(data()))
    loads = [(tag, attributes) for tag, attributes in page.tags if {"src", "srcset"} & attributes.keys()]
    assert loads == []
    links = [attributes["href"] for tag, attributes in page.tags if tag in ("link", "a")]
    assert all(link.startswith(("#", "data:")) for link in links)
    (policy,) = [attributes["content"] for _, attributes in page.tags if attributes.get("http-equiv")]
    ours = [body for attributes, body in page.scripts if attributes.get("type") != "application/json"]
    hashes = [base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() for body in ours]
    assert len(hashes) == len(html.LIBRARIES) + len(html.SCRIPTS)
    assert f"script-src {' '.join(f'{chr(39)}sha256-{one}{chr(39)}' for one in hashes)};" in policy
    assert "default-src 'none'" in policy and "sourceMappingURL" not in "".join(ours)


def test_every_library_comes_with_its_licence():
    text = html.html_of(data())
    for name, version, licence, file in html.LIBRARIES.values():
        assert f"{name} {version} ({licence})" in text
        assert "copyright" in (html._vendor() / file).read_text().lower()
