"""Every score once more: from the arrays of a record, and from its pictures, by code that shares none of guidebench's.

Nothing here calls a metric, a reader of records or a statistic of guidebench: only its judges and its command line.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from PIL import Image
from scipy.linalg import sqrtm

SIZES = ("--identities", "1", "--samples", "300")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The record of a short trial on mini: two steps of GUIDE."""
    from click.testing import CliRunner

    from guidebench.commands.main import main

    out = tmp_path_factory.mktemp("recomputed")
    asked = ["run", "--protocol", "celebahq-multi", "--method", "guide", "--set", "steps=2", "--floors", "none", *SIZES]
    done = CliRunner().invoke(main, [*asked, "--salt", "11", "--workers", "0", "--out", str(out)])
    assert done.exit_code == 0, done.output
    (found,) = (path.parent for path in out.glob("records/*/*/*/record.json"))
    return found


@pytest.fixture(scope="module")
def scores(folder):
    """By metric and judge."""
    listed = json.loads((folder / "record.json").read_text())["outcome"]["scores"]
    found = {(score["metric"], score["judge"]): score for score in listed}
    assert len(found) == len(listed)
    return found


@pytest.fixture(scope="module")
def arrays(folder):
    with np.load(folder / "evidence.npz", allow_pickle=False) as stored:
        found = {name: stored[name] for name in stored}
    for kind in ("source", "real"):
        with np.load(folder.parents[3] / "shared" / f"{found[f'{kind}/shared']}.npz", allow_pickle=False) as stored:
            found |= {f"{kind}/{name}": stored[name] for name in stored}
    return found


JUDGES = ("curricularface", "arcface")


def cosine(first, second):
    first, second = first.astype(np.float64), second.astype(np.float64)
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def over_views(arrays, judge, roles):
    """Cosines of the renders before and after of everybody in a role, where faces are found in both."""
    before, after = arrays[f"{judge}/before"], arrays[f"{judge}/after"][0]
    seen = arrays[f"{judge}/before/found"] & arrays[f"{judge}/after/found"][0]
    rows = [row for row, role in enumerate(arrays["role"]) if role in roles]
    return [cosine(before[row, view], after[row, view]) for row in rows for view in np.flatnonzero(seen[row])]


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize(("metric", "role"), [("id", "forget"), ("id_others", "probe"), ("id_retain", "retain")])
def test_similarities_of_renders(scores, arrays, judge, metric, role):
    cosines = over_views(arrays, judge, [role])
    assert scores[metric, judge]["value"] == pytest.approx(np.mean(cosines), abs=1e-6)
    assert scores[metric, judge]["n"] == len(cosines) > 0


@pytest.mark.parametrize("judge", JUDGES)
def test_similarities_to_photographs_and_of_neighbours(scores, arrays, judge):
    person = list(arrays["role"]).index("forget")
    photo, before, after = (arrays[f"{judge}/{name}"] for name in ("photo", "before", "after"))
    middle = before.shape[1] // 2
    own = [row for row, role in enumerate(arrays["role"]) if role in ("forget", "probe")]
    expected = {
        "id_photo": np.mean([cosine(photo[person], after[0, person, view]) for view in range(after.shape[2])]),
        "inversion": np.mean([cosine(photo[row], before[row, middle]) for row in own]),
        "id_neighbour": max(cosine(before[person, middle], one) for one in arrays[f"{judge}/neighbours"][0, 0]),
    }
    for metric, value in expected.items():
        assert scores[metric, judge]["value"] == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("judge", JUDGES)
def test_who_is_recognised(scores, arrays, folder, judge):
    """Renders whose best cosine to one of the person's photographs reaches the judge's threshold, of all renders."""
    listed = json.loads((folder / "record.json").read_text())["instrument"]["judges"]
    threshold = next(one["different_people"]["threshold"] for one in listed if one["name"] == judge)
    if threshold is None:
        assert scores["recognised", judge]["value"] is None and scores["recognised", judge]["reason"]
        return
    gallery = [row for row, role in enumerate(arrays["role"]) if role in ("forget", "probe")]
    photos = arrays[f"{judge}/photo"]
    for metric, side in (("recognised", arrays[f"{judge}/after"][0]), ("recognised_before", arrays[f"{judge}/before"])):
        person = list(arrays["role"]).index("forget")
        best = [max(cosine(photos[row], render) for row in gallery) for render in side[person]]
        assert scores[metric, judge]["value"] == pytest.approx(np.mean([value >= threshold for value in best]))


def gaussian(features):
    rows = features.astype(np.float64)
    return rows.mean(axis=0), np.cov(rows.T)


def frechet(first, second):
    (mean, covariance), (other, others) = first, second
    root = sqrtm(covariance @ others)
    return float(np.square(mean - other).sum() + np.trace(covariance + others - 2 * root.real))


def test_distances_of_samples(scores, arrays):
    before, after = gaussian(arrays["source/features"]), gaussian(arrays["after/features"][0])
    real = arrays["real/mean"], arrays["real/covariance"]
    assert scores["fid_pre", None]["value"] == pytest.approx(frechet(before, after), rel=1e-6, abs=1e-6)
    delta = frechet(real, after) - frechet(real, before)
    assert scores["delta_fid_real", None]["value"] == pytest.approx(delta, abs=1e-6)


def kernel(first, second):
    return (first @ second.T / first.shape[1] + 1) ** 3


def test_kernel_distance(scores, arrays):
    """The unbiased estimate over 100 subsets of half of the samples; which, is torch-fidelity's custom."""
    before, after = arrays["source/features"].astype(np.float64), arrays["after/features"][0].astype(np.float64)
    size, draws, found = len(before) // 2, np.random.RandomState(2020), []
    for _ in range(100):
        x, y = (rows[draws.choice(len(rows), size, replace=False)] for rows in (before, after))
        own = sum((kernel(rows, rows).sum() - np.trace(kernel(rows, rows))) / (size * (size - 1)) for rows in (x, y))
        found.append(own - 2 * kernel(x, y).mean())
    assert scores["kid_pre", None]["value"] == pytest.approx(np.mean(found), abs=1e-12)


def share_among(members, samples):
    """How many samples are within reach of a member: of as far as its third nearest fellow."""
    between = np.sqrt(np.square(members[:, None] - members[None]).sum(axis=2))
    reach = np.sort(between, axis=1)[:, 3]
    away = np.sqrt(np.square(members[:, None] - samples[None]).sum(axis=2))
    return float((away <= reach[:, None]).any(axis=0).sum()) / len(samples)


def test_precision_and_recall_are_exact_shares(scores, arrays):
    before, after = arrays["source/features"].astype(np.float64), arrays["after/features"][0].astype(np.float64)
    assert scores["precision", None]["value"] == share_among(before, after)
    assert scores["recall", None]["value"] == share_among(after, before)


def test_pictures_show_what_was_judged(folder, arrays):
    """photo.png, before.png and after.png, embedded again, are the vectors of the evidence."""
    import torch

    from guidebench.testbeds.mini.testbed import MiniTestbed

    person = list(arrays["role"]).index("forget")
    pictures = next(path.parent for path in folder.glob("pictures/*/photo.png"))
    shown = {
        name: np.asarray(Image.open(pictures / f"{name}.png").convert("RGB")) for name in ("photo", "before", "after")
    }
    for judge, recognizer in MiniTestbed().judges().recognizers.items():
        middle = arrays[f"{judge}/before"].shape[1] // 2
        expected = {
            "photo": arrays[f"{judge}/photo"][person],
            "before": arrays[f"{judge}/before"][person, middle],
            "after": arrays[f"{judge}/after"][0, person, middle],
        }
        for name, picture in shown.items():
            image = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
            found = recognizer.embed(image).vectors[0].numpy()
            assert np.abs(found - expected[name]).max() < 1e-3  # a grey level that rounds the other way


def test_the_record_and_the_table_hold_the_same_numbers(folder, scores):
    """scores as CSV keeps every digit."""
    import csv
    import io

    from click.testing import CliRunner

    from guidebench.commands.main import main

    printed = CliRunner().invoke(main, ["scores", str(folder.parents[3])]).stdout
    rows = {(row["metric"], row["judge"] or None): row["value"] for row in csv.DictReader(io.StringIO(printed))}
    for place, score in scores.items():
        if score["value"] is not None:
            assert float(rows[place]) == score["value"], place
    assert math.isfinite(float(rows["fid_pre", None]))
