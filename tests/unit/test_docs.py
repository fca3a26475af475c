"""The documentation says what the code does: every key, field, metric, command and example in it is checked."""

from __future__ import annotations

import dataclasses
import logging
import re
import shlex
import sys
from pathlib import Path

import click
import pytest

from guidebench.checks.method import check_method
from guidebench.checks.plugin import check_plugin
from guidebench.chosen import ChosenMethod
from guidebench.commands.main import main
from guidebench.metric import Score
from guidebench.metrics import METRICS
from guidebench.protocol import Protocol
from guidebench.store.record import Attempt, Cost, Environment, Instrument, Judge, Outcome, Record, TrialSpec

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [text for name, text in found if name == language]


def commands() -> list[str]:
    lines = [line for page in PAGES for block in blocks(page, "") for line in block.splitlines()]
    inner = [match for line in lines for match in re.findall(r"\$\(guidebench ([^)]+)\)", line)]
    outer = [re.sub(r"\$\([^)]+\)", "FILE", line) for line in lines]
    found = inner + [match[1] for line in outer if (match := re.search(r"(?:^|bin/)guidebench ([^#]+)", line))]
    return list(dict.fromkeys(text.strip() for text in found))


def test_every_protocol_key_is_explained():
    text = (ROOT / "docs/protocols.md").read_text()
    assert [field.name for field in dataclasses.fields(Protocol) if f"| `{field.name}` |" not in text] == []


def test_every_field_of_a_record_and_of_a_score_is_explained():
    text = (ROOT / "docs/records.md").read_text()
    kinds = (Record, TrialSpec, ChosenMethod, Instrument, Judge, Environment, Cost, Outcome, Attempt, Score)
    names = [field.name for kind in kinds for field in dataclasses.fields(kind)]
    assert [name for name in names if f"`{name}`" not in text] == []


def test_every_metric_is_explained():
    text = (ROOT / "docs/metrics.md").read_text()
    assert [name for name in METRICS if f"| `{name}` (" not in text] == []


def anchors(page: Path) -> set[str]:
    """What links may lead to in a page: its headings, as a code host and the site name them."""
    text = re.sub(r"(?ms)^```.*?^```$", "", page.read_text())
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"(?m)^#+ (.*)$", text)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page.read_text())
    assert [target for target, _ in links if not (page.parent / target).exists()] == []
    within = [(page.parent / target if target else page, anchor) for target, anchor in links if anchor]
    assert [(target.name, anchor) for target, anchor in within if anchor not in anchors(target)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_addresses_are_well_formed(page):
    """They are not visited here; the workflow that publishes the site looks for dead ones."""
    addresses = re.findall(r"\]\((https?:[^)]*)\)", page.read_text())
    assert [address for address in addresses if not re.fullmatch(r"https://[\w-]+(\.[\w-]+)+(/\S*)?", address)] == []


@pytest.mark.parametrize("command", commands(), ids=str)
def test_commands_are_understood(command):
    """Parsed with the real options, not run."""
    words = shlex.split(command)
    group: click.Command = main
    with click.Context(main) as context:
        while isinstance(group, click.Group):
            found = group.get_command(context, words[0])
            assert found is not None, f"no command {words[0]}"
            group, words = found, words[1:]
        group.make_context(group.name, words)


def test_commands_of_one_protocol_name_it():
    """The directory of the other examples holds several."""
    alone = [command for command in commands() if command.split()[0] in ("gallery", "orderings", "instrument")]
    assert alone and [command for command in alone if "--protocol" not in command] == []


@pytest.mark.parametrize("place", range(2))
def test_methods_of_the_tutorial_are_well_behaved(place, tmp_path):
    source = blocks(ROOT / "docs/methods.md", "python")[place]
    file = tmp_path / f"example_{place}.py"
    file.write_text(source)
    name = re.findall(r"^class (\w+)\(Unlearner\)", source, re.MULTILINE)[0]
    assert [finding for finding in check_method(f"{file}:{name}") if not finding.ok] == []


def test_the_method_of_the_readme_is_well_behaved(tmp_path):
    (source,) = [block for block in blocks(ROOT / "README.md", "python") if "(Unlearner)" in block]
    file = tmp_path / source.splitlines()[0].removeprefix("# ")
    file.write_text(source)
    assert [finding for finding in check_plugin(f"{file}:MyIdea") if not finding.ok] == []


def test_the_testbed_of_its_page_is_well_behaved(tmp_path):
    (source,) = blocks(ROOT / "docs/testbeds.md", "python")
    (tmp_path / "my_testbed.py").write_text(source)
    assert [finding for finding in check_plugin(f"{tmp_path / 'my_testbed.py'}:OneJudge") if not finding.ok] == []


def test_the_readme_is_short():
    """A newcomer reads all of it; the rest is one click away."""
    words = [word for word in (ROOT / "README.md").read_text().split() if re.search(r"\w", word)]
    assert len(words) <= 800


@pytest.mark.long
def test_the_tutorial_runs(tmp_path, monkeypatch):
    """Its Python blocks in their order, in one namespace; a block that begins with ``# name.py`` is that file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    logger = logging.getLogger("guidebench")
    level, modules = logger.level, set(sys.modules)
    namespace: dict[str, object] = {"__name__": "tutorial"}
    try:
        for number, block in enumerate(blocks(ROOT / "docs/tutorial.md", "python"), start=1):
            if file := re.match(r"# (\w+\.py)\n", block):
                (tmp_path / file[1]).write_text(block)
            else:
                exec(compile(block, f"docs/tutorial.md, block {number}", "exec"), namespace)
    finally:
        logger.setLevel(level)
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
                del sys.modules[name]
