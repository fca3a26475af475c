"""The documentation as a site: everything that is registered has its page, and each page says what the code does."""

from __future__ import annotations

import doctest
import importlib
import re
import sys
from types import ModuleType

import pytest
from click.testing import CliRunner

from guidebench import protocol, registry
from guidebench.commands.main import SECTIONS, main
from guidebench.metrics import METRICS
from guidebench.settings import field_names

EXTENSIONS = ("docstrings", "outside", "manual", "catalogue", "reference", "generated")  # of docs/_ext


@pytest.fixture(scope="module")
def extensions(root):
    """The modules of docs/_ext by name. They make Markdown; Sphinx is not needed for that."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root / "docs/_ext")
        yield {name: importlib.import_module(name) for name in EXTENSIONS}
        for name in EXTENSIONS:
            del sys.modules[name]


@pytest.fixture(scope="module")
def pages(extensions) -> dict[str, str]:
    return extensions["generated"].pages()


@pytest.fixture
def check_links(root) -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_links", root / "docs/check_links.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_everything_that_ships_has_a_page(pages):
    rooms = {"methods": registry.METHOD, "attacks": registry.ATTACK, "testbeds": registry.TESTBED}
    wanted = {f"{room}/{entry.name}.md" for room, kind in rooms.items() for entry in kind.ships()}
    wanted |= {f"protocols/{name}.md" for name in protocol.names()} | {f"metrics/{name}.md" for name in METRICS}
    assert wanted <= set(pages)


def test_every_page_has_a_title_and_is_in_the_contents(pages, root):
    """A page that no table of contents lists is a warning, and warnings fail the build."""
    assert [name for name, text in pages.items() if not re.search(r"(?m)^# \S", text)] == []
    indices = [text for name, text in pages.items() if name.endswith("index.md")]
    text = "\n".join([(root / "docs/index.md").read_text(), *indices])
    listed = {line for block in re.findall(r"```\{toctree\}(.*?)```", text, re.S) for line in block.split()}
    stems = {name.removesuffix(".md") for name in pages}
    assert {stem for stem in stems if f"generated/{stem}" not in listed and stem.split("/")[-1] not in listed} == set()
    hand_written = {path.stem for path in (root / "docs").glob("*.md")} - {"index"}
    assert hand_written - listed == set()


def test_a_method_shows_every_field_with_its_preset(pages):
    guide = registry.load_method("guide")
    rows = re.findall(r"(?m)^\| `(\w+)` \| .*$", pages["methods/guide.md"])
    assert rows == field_names(guide)
    assert f"| `{guide.presets['mini']['lr']}` |" in pages["methods/guide.md"]


def test_a_metric_has_the_paragraphs_about_it_and_no_others(pages):
    assert "**Neighbours.**" in pages["metrics/id_neighbour.md"]
    assert "**Neighbours.**" not in pages["metrics/id.md"]
    assert all("<!--" not in text for name, text in pages.items() if name.startswith("metrics/"))


def test_marks_in_the_text_name_metrics(root):
    marked = re.findall(r"<!-- of (.*?) -->", (root / "docs/metrics.md").read_text())
    assert marked and {name for names in marked for name in names.split()} <= set(METRICS)


def test_protocols_have_values_of_the_metrics_that_their_pages_list(extensions, root):
    """By the scores of the reference results, which hold all four protocols of the paper."""
    import pandas

    scores = pandas.read_csv(root / "reports/mini/scores.csv", usecols=["protocol", "metric", "value"]).dropna()
    found = {name: set(group["metric"]) & set(METRICS) for name, group in scores.groupby("protocol")}
    assert {"random", "ffhq", "celebahq", "celebahq-multi"} <= set(found)
    for name, metrics in found.items():
        asked = protocol.load(name).resolve("mini")
        assert {metric for metric in METRICS if extensions["catalogue"].measures(asked, metric)} == metrics, name


def test_every_command_has_its_help(pages):
    for section in SECTIONS.values():
        assert [name for name in section if f"### guidebench {name}\n" not in pages["commands.md"]] == []
    assert "--requests N" in pages["commands.md"]


def test_links_of_pages_from_elsewhere_lead_where_they_led(extensions):
    relinked = extensions["outside"].relinked
    card = "guidebench/testbeds/mini/MODEL_CARD.md", "generated/mini/model-card.md"
    assert relinked("![x](../../../docs/mini/yaw.jpg)", *card) == "![x](../../mini/yaw.jpg)"
    page = "[a](../guidebench/testbeds/mini/MODEL_CARD.md#scales) [b](trust.md) [c](https://example.org/x.md)"
    assert relinked(page, "docs/metrics.md", "metrics.md") == page.replace(
        "../guidebench/testbeds/mini/MODEL_CARD.md", "generated/mini/model-card.md"
    )


def test_pages_that_are_not_made_any_more_go(extensions, tmp_path):
    write = extensions["generated"].write
    write({"metrics/old.md": "x", "a.md": "y"}, tmp_path)
    stamp = (tmp_path / "a.md").stat().st_mtime_ns
    write({"a.md": "y"}, tmp_path)
    assert [path.name for path in tmp_path.rglob("*.md")] == ["a.md"]
    assert (tmp_path / "a.md").stat().st_mtime_ns == stamp  # so that Sphinx reads only what changed


def test_examples_in_the_extension_are_true(extensions):
    results = [doctest.testmod(module) for module in extensions.values()]
    assert sum(result.failed for result in results) == 0 and sum(result.attempted for result in results) > 2


def test_broken_links_of_a_site_are_found(check_links, tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "index.html").write_text('<h2 id="here">x</h2><a href="../a.html#there">x</a>')
    (tmp_path / "a.html").write_text(
        '<a href="inner/#here">x</a><a href="inner/#away">x</a><img src="no.png"><a href="http://example.org">x</a>'
    )
    wrong = check_links.broken(tmp_path)
    assert [line.split()[:2] for line in wrong] == [
        ["a.html:", "inner/#away"],
        ["a.html:", "no.png"],
        ["a.html:", "http://example.org"],
        ["inner/index.html:", "../a.html#there"],
    ]


def _steps(root) -> list[tuple[str, str]]:
    """The blocks of docs/ten-minutes.md in their order: language and text."""
    text = (root / "docs/ten-minutes.md").read_text()
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    "testbed", [pytest.param("linear", marks=pytest.mark.long), pytest.param("mini", marks=pytest.mark.slow)]
)
@pytest.mark.timeout(1800)
def test_ten_minutes_go_as_the_page_says(testbed, root, tmp_path, monkeypatch):
    """From top to bottom, as a newcomer does it: the page's file, its change, its commands.

    On `mini` as written; on `linear` each run gets that testbed, because a run on mini takes minutes.
    """
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "my_idea.py"
    printed = {}
    for language, block in _steps(root):
        if language == "python" and block.startswith("# my_idea.py\n"):
            file.write_text(block)
        elif language == "python":
            before, line, after = re.split(r"(?m)(^ +loss = .*\n)", file.read_text())
            file.write_text(before + block + after)
        for command in block.splitlines() if not language else ():
            words = command.split()[1:]
            done = CliRunner().invoke(main, [*words, "--testbed", testbed] if words[0] == "run" else words)
            assert done.exit_code == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            printed[command] = done.stdout
    assert (tmp_path / "gallery.png").is_file()
    assert "my-idea(lr=0.02)" in next(text for command, text in printed.items() if "--set lr=0.02" in command)
    assert re.search(r"my-idea \[code \w+\]", next(text for command, text in printed.items() if "--attack" in command))
    assert "ID worst" in list(printed.values())[-1]
