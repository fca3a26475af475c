"""Curves: what methods report, what requests leave, and what attacks bring back."""

from __future__ import annotations

import numpy as np
import pytest

from guidebench.errors import BadInput
from guidebench.reporting.plots import style, trials
from guidebench.reporting.plots.curves import Curves, losses, read_progress, relearning, requests
from guidebench.store.folders import StoredRecord


def test_curves_of_other_points_have_gaps():
    found = Curves.of([([1, 3], [10.0, 30.0]), ([1, 2], [11.0, 22.0])])
    assert found.at.tolist() == [1, 2, 3]
    assert np.nan_to_num(found.values, nan=-1).tolist() == [[10, -1, 30], [11, 22, -1]]


def test_steps_are_counted_on_over_requests(tmp_path):
    (tmp_path / "progress.csv").write_text("request,step,loss,local\n1,1,4.0,\n1,2,3.0,2.0\n2,1,5.0,1.0\n")
    found = read_progress(StoredRecord(None, tmp_path))
    assert found == {"loss": ([1, 2, 3], [4, 3, 5]), "local": ([2, 3], [2, 1])}


@pytest.mark.parametrize("text", ["request,step,loss\n1,x,2\n", "step,loss\n1,2\n", "request,step,loss\n1,1,much\n"])
def test_progress_that_is_damaged_is_named(tmp_path, text, says):
    (tmp_path / "progress.csv").write_text(text)
    with pytest.raises(BadInput, match=says("progress.csv", "--fresh")):
        read_progress(StoredRecord(None, tmp_path))


def test_every_loss_has_a_panel_and_one_that_is_zero_no_line(loaded):
    with style.house():
        figure, _ = losses(loaded)
    panels = {axes.get_title("left"): axes for axes in figure.axes}
    assert list(panels)[:4] == ["loss", "local", "adjacency", "global"]
    assert len(panels["loss"].lines) == 2 and len(panels["global"].lines) == 1  # mean-latent has none


def test_records_without_losses_are_refused(runs, says):
    with style.house(), pytest.raises(BadInput, match=says("reported losses", "context.report")):
        losses(trials.load(runs, protocol="ffhq"))


def test_scores_are_drawn_after_each_request(sequence):
    with style.house():
        figure, _ = requests(trials.load(sequence))
    panels = {axes.get_title("left"): axes for axes in figure.axes}
    assert {"ID ↓", "ID$_{retain}$ ↑", "FID$_{pre}$ ↓"} <= set(panels)
    mean = panels["FID$_{pre}$ ↓"].lines[-1]
    assert mean.get_xdata().tolist() == [1, 2] and (np.diff(mean.get_ydata()) > 0).all()


def test_one_request_gives_no_curve(loaded, says):
    with style.house(), pytest.raises(BadInput, match=says("one request each", "celebahq-sequential")):
        requests(loaded)


def test_attacks_start_from_the_id_of_the_trial(loaded):
    with style.house():
        figure, _ = relearning(loaded)
    (axes,) = (axes for axes in figure.axes if axes.get_visible())
    assert axes.get_title("left") == "relearn" and axes.get_xlabel() == "steps"
    starts = sorted(line.get_ydata()[0] for line in axes.lines if len(line.get_ydata()) > 2)
    for variant in loaded.methods:
        for value in loaded.scores(variant, "id")["value"]:
            assert np.isclose(starts, value).any()


def test_records_without_attacks_are_refused(sequence, says):
    with style.house(), pytest.raises(BadInput, match=says(str(sequence), "guidebench attack", "relearn")):
        relearning(trials.load(sequence))
