"""A page in headless Chromium, opened from disk; skipped with a reason where there is no browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page_records import fill

from guidebench.page.boards import Source
from guidebench.page.bundle import write_page

BROWSER = os.environ.get("GUIDEBENCH_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
def index(tmp_path_factory) -> str:
    """The address of a page on disk."""
    folder = tmp_path_factory.mktemp("browser")
    return write_page([Source(fill(folder / "runs"), "Ann & <b>Co</b>")], folder / "page").as_uri()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    if BROWSER is None or not Path(BROWSER).exists():
        pytest.skip("no Chromium; `apt-get install chromium`, or name it in GUIDEBENCH_CHROMIUM")
    api = pytest.importorskip("playwright.sync_api", reason="no playwright; it is among the dev dependencies")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])  # root may test, too
        yield browser
        browser.close()


@pytest.fixture
def show(chromium, index) -> Iterator[Any]:
    """Opens the page at a link; at the end nothing may have been complained about, or asked for elsewhere."""
    complaints, asked, contexts = [], [], []

    def opened(link: str = "", *, width: int = 1280, height: int = 900, dark: bool = False) -> Any:
        scheme = "dark" if dark else "light"
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(index + link)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
    own = index.rsplit("/", 1)[0]
    assert [url for url in asked if not url.startswith((own, "data:"))] == []
