"""Unlearned person by rendered person: cells are the scores of records, the worst person is first."""

from __future__ import annotations

import numpy as np
import pytest

from guidebench.reporting.plots import style
from guidebench.reporting.plots.heatmap import heatmap, matrices


def test_cells_are_what_metrics_score(loaded):
    for variant, matrix in matrices(loaded).items():
        values = {name: loaded.scores(variant, name).set_index("identity")["value"] for name in ("id", "id_others")}
        own, probes = matrix.columns[:2]
        for row, person in enumerate(matrix.people):
            if person in values["id"].dropna():
                assert matrix.harm[row, 0] == pytest.approx(values["id"][person])
                assert matrix.harm[row, own : own + probes].mean() == pytest.approx(values["id_others"][person])


def test_columns_are_the_same_for_all_methods(loaded):
    found = matrices(loaded)
    assert {matrix.columns for matrix in found.values()} == {(1, 4, 0, 3)}
    assert {len(matrix.people) for matrix in found.values()} == {3}


def test_the_worst_person_is_first_and_everybody_is_like_themselves(loaded):
    for matrix in matrices(loaded).values():
        seen = matrix.harm[np.isfinite(matrix.harm[:, 0]), 0]
        assert (np.diff(seen) <= 0).all()
        assert np.allclose(np.diag(matrix.collapse)[: len(seen)], 1) and np.allclose(
            matrix.collapse, matrix.collapse.T, equal_nan=True
        )


def test_methods_that_left_no_face_are_named_instead_of_drawn(loaded):
    with style.house():
        figure, caption = heatmap(loaded)
    titles = [axes.get_title("left") for axes in figure.axes if axes.get_title("left")]
    assert titles == ["nothing", "mean-latent", "guide"] and "Not one face was found after scramble" in caption
