"""The table of scores, built column by column: the same with an index and without, row by row."""

import shutil

import pandas as pd
import pytest

import guidebench
from guidebench.reporting import across, report, scores, status
from guidebench.store import index


@pytest.fixture
def indexed(monkeypatch, tmp_path):
    """Every directory has an index, also a small one that was just written."""
    monkeypatch.setenv("GUIDEBENCH_HOME", str(tmp_path / "home"))

    def turn(on):
        monkeypatch.setattr(index, "FROM", 1 if on else 10**9)
        monkeypatch.setattr(index, "SETTLED", -1e6)

    return turn


def plain(frame):
    """Without categories."""
    texts = {name: "object" for name in frame.columns if isinstance(frame[name].dtype, pd.CategoricalDtype)}
    return frame.astype(texts).convert_dtypes()


def test_the_table_of_scores_is_the_same_with_an_index(runs, indexed):
    indexed(False)
    wanted = guidebench.records(runs)
    indexed(True)
    for _ in range(2):
        found = guidebench.records(runs)
        pd.testing.assert_frame_equal(plain(found), plain(wanted), check_dtype=False)
        assert list(found.columns) == list(scores.COLUMNS)
        assert isinstance(found["label"].dtype, pd.CategoricalDtype) and found["value"].dtype == "Float64"


@pytest.mark.parametrize("layout", ["auto", "short", "full"])
def test_reports_and_counts_are_the_same_with_an_index(runs, indexed, layout):
    indexed(False)
    options = {"layout": layout, "protocol": "celebahq-multi"}
    wanted = report.report(runs, "json", **options), status.status_of(runs)
    indexed(True)
    for _ in range(2):
        assert (report.report(runs, "json", **options), status.status_of(runs)) == wanted


def test_scores_over_several_trials_are_computed_once_and_again_when_evidence_goes(runs, indexed, monkeypatch):
    indexed(True)
    wanted = guidebench.records(runs)
    loaded = []
    read = across._faces_after
    monkeypatch.setattr(across, "_faces_after", lambda trials: loaded.append(trials) or read(trials))
    pd.testing.assert_frame_equal(guidebench.records(runs), wanted)
    assert not loaded
    (runs / index.INDEX / "across").write_bytes(b"damaged")
    pd.testing.assert_frame_equal(guidebench.records(runs), wanted)
    assert loaded
    loaded.clear()
    next(runs.glob("records/*/guide/*/evidence.npz")).unlink()
    found = guidebench.records(runs)
    gone = found[(found["metric"] == "target_similarity") & found["value"].isna()]
    assert len(loaded) == 1 and gone["reason"].astype(str).str.contains("evidence cannot be read").any()


@pytest.mark.parametrize("saved_every", [index._SAVED_EVERY, -1.0])
def test_scores_of_trials_that_are_not_there_any_more_are_not_kept(runs, indexed, monkeypatch, saved_every):
    """Each trial that goes changes what the rest are compared with."""
    indexed(True)
    monkeypatch.setattr(index, "_SAVED_EVERY", saved_every)
    sizes = []
    for folder in [None, *sorted(runs.glob("records/*/guide/*"))[:3]]:
        if folder is not None:
            shutil.rmtree(folder)
        guidebench.records(runs)
        sizes.append(len(index.Computed(runs, 0)._found))
    assert 0 < sizes[-1] and max(sizes) == sizes[0]


def test_only_some_metrics_and_columns(runs):
    records = scores.read(runs).records
    found = scores.from_records(records, {}, only=["id"], columns=["metric", "value", "label"])
    assert list(found.columns) == ["metric", "value", "label"] and set(found["metric"].dropna()) == {"id"}
    every = scores.from_records(records, {})
    assert found["value"].dropna().tolist() == every[every["metric"] == "id"]["value"].dropna().tolist()
