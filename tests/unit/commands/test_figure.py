"""`guidebench figure`: a file and a caption, or one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from guidebench.commands.main import main
from guidebench.reporting.plots.draw import FIGURES

RECORDS = Path(__file__).parents[1] / "reporting" / "records"


def figure(*words):
    return CliRunner().invoke(main, ["figure", *map(str, words)])


def test_a_figure_is_written_and_its_caption_printed(tmp_path):
    done = figure("tradeoff", RECORDS, "--protocol", "ffhq", "--judge", "beta", "--out", tmp_path / "x.png")
    assert done.exit_code == 0, done.stderr
    first, _, caption = done.stdout.splitlines()
    assert first == f"wrote {tmp_path / 'x.png'}" and caption.startswith("mini · ffhq · beta · 3 people, 2 seeds. ")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_name_the_file_is_called_like_the_figure(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert figure("tradeoff", RECORDS, "--protocol", "ffhq").exit_code == 0
    assert (tmp_path / "tradeoff.pdf").read_bytes().startswith(b"%PDF")


def test_the_help_names_every_figure():
    assert [name for name in FIGURES if f"\n  {name} " not in figure("--help").stdout.replace("    ", "  ")] == []


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["tradeof", RECORDS], ["'tradeof'", "'tradeoff'"]),
        (["tradeoff", "absent"], ["absent"]),
        (["tradeoff", RECORDS], ["--protocol"]),
        (["tradeoff", RECORDS, "--protocol", "ffhq", "--out", "x.jpg"], ["x.jpg", ".pdf"]),
        (["tradeoff", RECORDS, "--protocol", "ffhq", "--out", "/proc/x/y.pdf"], ["/proc/x/y.pdf"]),
        (["tradeoff", RECORDS, "--protocol", "ffhq", "--judge", "gamma"], ["'gamma'", "alpha"]),
        (["losses", RECORDS, "--protocol", "ffhq"], ["reported losses"]),
        (["forgetting", RECORDS, "--protocol", "ffhq"], ["--every"]),
        (["heatmap", RECORDS, "--protocol", "ffhq"], ["evidence.npz"]),
        (["tsne", RECORDS, "--protocol", "ffhq"], ["evidence.npz"]),
        (["requests", RECORDS, "--protocol", "ffhq"], ["one request"]),
    ],
)
def test_what_cannot_be_drawn_is_one_clear_line(words, parts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = figure(*words)
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert [part for part in parts if part not in done.stderr] == []
    assert list(tmp_path.iterdir()) == []
