"""Curves: what methods report, what requests leave, and what attacks bring back."""

from __future__ import annotations

import numpy as np
import pytest

from guidebench.errors import BadInput
from guidebench.reporting.plots import style, trials
from guidebench.reporting.plots.curves import Curves, forgetting, losses, read_progress, relearning, requests
from guidebench.store.folders import StoredRecord


def test_curves_of_other_points_have_gaps():
    found = Curves.of([([1, 3], [10.0, 30.0]), ([1, 2], [11.0, 22.0])])
    assert found.at.tolist() == [1, 2, 3]
    assert np.nan_to_num(found.values, nan=-1).tolist() == [[10, -1, 30], [11, 22, -1]]


def test_steps_are_counted_on_over_requests(tmp_path):
    (tmp_path / "progress.csv").write_text("request,step,loss,local\n1,1,4.0,\n1,2,3.0,2.0\n2,1,5.0,1.0\n")
    found = read_progress(StoredRecord(None, str(tmp_path)))
    assert found == {"loss": ([1, 2, 3], [4, 3, 5]), "local": ([2, 3], [2, 1])}


@pytest.mark.parametrize("text", ["request,step,loss\n1,x,2\n", "step,loss\n1,2\n", "request,step,loss\n1,1,much\n"])
def test_progress_that_is_damaged_is_named(tmp_path, text, says):
    (tmp_path / "progress.csv").write_text(text)
    with pytest.raises(BadInput, match=says("progress.csv", "--fresh")):
        read_progress(StoredRecord(None, str(tmp_path)))


def test_every_loss_has_a_panel_and_one_that_is_zero_no_line(loaded):
    with style.house():
        figure, _ = losses(loaded)
    panels = {axes.get_title("left"): axes for axes in figure.axes}
    assert list(panels)[:4] == ["loss", "local", "adjacency", "global"]
    assert len(panels["loss"].lines) == 2 and len(panels["global"].lines) == 1  # mean-latent has none


def test_records_without_losses_are_refused(runs, says):
    with style.house(), pytest.raises(BadInput, match=says("reported losses", "context.progress")):
        losses(trials.load(runs, protocol="ffhq"))


def test_forgetting_goes_from_the_original_generator_to_the_scores_of_the_trial(loaded):
    with style.house():
        figure, says = forgetting(loaded)
    panels = {axes.get_title("left"): axes for axes in figure.axes}
    assert list(panels) == ["ID ↓", "ID$_{others}$ ↓", "ID$_{retain}$ ↑", "FID$_{pre}$ ↓"]
    assert "FID_pre of 40 samples" in says and "Without a curve" not in says
    for title, metric, start in (("ID ↓", "id", 1.0), ("FID$_{pre}$ ↓", "fid_pre", 0.0)):
        drawn = [line for line in panels[title].lines if len(line.get_xdata()) == 4]
        assert all(line.get_xdata().tolist() == [0, 10, 20, 30] and line.get_ydata()[0] == start for line in drawn)
        ends = sorted(line.get_ydata()[-1] for line in drawn)
        scored = [loaded.scores(one, metric, judged=metric == "id")["value"] for one in loaded.methods]
        wanted = sorted([*scored[0], *scored[1], scored[0].mean(), scored[1].mean()])
        assert np.allclose(ends, wanted)


def test_methods_without_a_curve_are_named_and_why(measured):
    (path,) = measured.glob("records/*/guide/celebahq-0000-*")
    (path / "curve.json").unlink()
    for path in measured.glob("records/*/mean-latent/*"):
        (path / "curve.json").unlink()
    with style.house():
        figure, says = forgetting(trials.load(measured))
    assert "Without a curve: mean-latent (not judged every few steps)" in says and "guide (not judged" in says
    assert len(figure.legends[0].get_texts()) == 1


def test_records_without_curves_are_refused(sequence, says):
    with style.house(), pytest.raises(BadInput, match=says(str(sequence), "mean-latent", "--every K")):
        forgetting(trials.load(sequence))


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
