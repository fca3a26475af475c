"""Every figure by its name, from records to a file."""

from __future__ import annotations

import inspect
import re

import pytest

from guidebench.errors import BadInput
from guidebench.reporting.plots.draw import FIGURES, draw

FROM_RECORDS = [name for name, kind in FIGURES.items() if not kind.renders]


@pytest.mark.parametrize("name", FIGURES)
def test_every_name_leads_to_a_function(name):
    assert len(inspect.signature(FIGURES[name].load()).parameters) == 1


@pytest.mark.parametrize("name", FROM_RECORDS)
def test_a_figure_says_where_its_numbers_are_from(name, measured_once, sequence, tmp_path):
    source = sequence if name == "requests" else measured_once
    caption = draw(name, source, tmp_path / "x.svg")
    assert caption.startswith("linear · celebahq-") and caption.count("\n") == 0
    assert "say nothing about methods" in caption  # what the testbed's tables must say
    text = (tmp_path / "x.svg").read_text()
    assert re.search(r"linear · celebahq-[\w-]+ · plain", text) and "Analytic testbed" in text


def test_an_unknown_figure_gets_the_closest_name(tmp_path, says):
    with pytest.raises(BadInput, match=says("'tradeof'", "'tradeoff'")):
        draw("tradeof", tmp_path, tmp_path / "x.pdf")


def test_the_file_is_looked_at_before_the_records(tmp_path, says):
    with pytest.raises(BadInput, match=says("x.doc")):
        draw("tradeoff", tmp_path / "absent", tmp_path / "x.doc")
