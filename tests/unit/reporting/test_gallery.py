"""One picture of a run: everybody who was forgotten, under every method, from the lowest seed."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from guidebench.errors import BadInput
from guidebench.protocol import Protocol
from guidebench.reporting.figures import CELL
from guidebench.reporting.gallery import gallery
from guidebench.store import folders

FEWER_VIEWS = Protocol(
    name="celebahq-multi",
    version=1,
    title="CelebAHQ",
    source="celebahq",
    identities=3,
    probe_photos=4,
    views=7,
    samples=400,
)
COLOURS = {"photo": (200, 30, 30), "before": (30, 200, 30), "after": (30, 30, 200)}


@pytest.fixture
def draw(tmp_path, make_record, write_record):
    """Writes a record with a plain picture of everybody whom it forgot."""

    def draw(method, requests, *, after=COLOURS["after"], **changes):
        record = make_record(method, requests=requests, **changes)
        folder = write_record(tmp_path / "runs", record)
        for person in (person for people in requests for person in people):
            (folder / "pictures" / person).mkdir(parents=True)
            for name, colour in (COLOURS | {"after": after}).items():
                Image.new("RGB", (64, 64), colour).save(folder / "pictures" / person / f"{name}.png")
        folders.write_record(record, folder)
        return tmp_path / "runs"

    return draw


def _count(path, colour):
    return int((np.array(Image.open(path)) == colour).all(axis=2).sum() / (CELL - 2) ** 2)


def test_everybody_of_a_trial_is_drawn(draw, tmp_path):
    draw("guide", [["a", "b"], ["c"]])
    path = gallery(draw("mean-latent", [["a", "b"], ["c"]]), tmp_path / "g.png", protocol=None)
    assert [_count(path, colour) for colour in COLOURS.values()] == [3, 3, 6]


def test_the_lowest_seed_is_drawn_and_floors_only_if_they_are_named(draw, tmp_path):
    other = (9, 9, 9)
    draw("guide", [["a"]], seed=1, after=other)
    draw("nothing", [["a"]], after=other)
    runs = draw("guide", [["a"]])
    path = gallery(runs, tmp_path / "g.png", protocol=None)
    assert (_count(path, COLOURS["after"]), _count(path, other)) == (1, 0)
    path = gallery(runs, tmp_path / "g.png", protocol=None, methods=["guide", "nothing"])
    assert (_count(path, COLOURS["after"]), _count(path, other)) == (1, 1)


@pytest.mark.parametrize(
    ("mixed", "words"),
    [
        ({"protocol": FEWER_VIEWS}, ["views", "7", "11", "--protocol"]),
        ({"source_digest": "f" * 64}, ["'guide'", "versions of its code"]),
        ({"conventions": "published"}, ["--conventions"]),
        ({"testbed": "other"}, ["--testbed"]),
        ({"manifest": "e" * 64}, ["photo sets"]),
    ],
)
def test_what_was_not_measured_alike_is_not_drawn_in_one_picture(draw, tmp_path, says, mixed, words):
    draw("guide", [["a"]])
    with pytest.raises(BadInput, match=says(*words)):
        gallery(draw("guide", [["b"]], **mixed), tmp_path / "g.png", protocol=None)
    assert not (tmp_path / "g.png").exists()


def test_one_of_two_variants_of_a_protocol_is_drawn_by_its_digest(draw, tmp_path):
    other = FEWER_VIEWS
    draw("guide", [["a"], ["b"]])
    runs = draw("guide", [["c"]], protocol=other)
    path = gallery(runs, tmp_path / "g.png", protocol=f"celebahq-multi@{other.digest()[:12]}")
    assert _count(path, COLOURS["after"]) == 1


def test_what_is_left_out_for_want_of_pictures_is_named(draw, tmp_path, caplog):
    draw("guide", [["a"], ["b"]])
    runs = draw("mean-latent", [["a"]])
    for picture in runs.rglob("mean-latent/*/pictures/a/after.png"):
        picture.unlink()
    path = gallery(runs, tmp_path / "g.png", protocol=None)
    assert _count(path, COLOURS["after"]) == 2
    (message,) = (record.getMessage() for record in caplog.records)
    assert "mean-latent (1 of 1 trials)" in message and "guide (" not in message


def test_a_picture_that_the_trial_did_not_draw_is_not_shown_and_named(draw, tmp_path, caplog):
    draw("guide", [["a"], ["b"]])
    runs = draw("mean-latent", [["a"], ["b"]])
    (mine,) = runs.rglob("mean-latent/*/pictures/a/after.png")
    Image.new("RGB", (64, 64), (9, 9, 9)).save(mine)
    path = gallery(runs, tmp_path / "g.png", protocol=None)
    assert (_count(path, COLOURS["after"]), _count(path, (9, 9, 9))) == (3, 0)
    (message,) = (record.getMessage() for record in caplog.records)
    assert "mean-latent (1 of 1 trials)" in message and "missing or changed" in message


def test_one_of_two_versions_of_a_methods_code_is_drawn_by_its_name_in_tables(draw, tmp_path, says):
    other = (9, 9, 9)
    draw("guide", [["a"]], after=other)
    runs = draw("guide", [["a"]], source_digest="f" * 64)
    with pytest.raises(BadInput, match=says("'guide'", "versions of its code", "--method 'guide [code ffffff]'")):
        gallery(runs, tmp_path / "g.png", protocol=None)
    path = gallery(runs, tmp_path / "g.png", protocol=None, methods=["guide [code ffffff]"])
    assert (_count(path, COLOURS["after"]), _count(path, other)) == (1, 0)


def test_a_method_that_was_never_measured_is_refused(draw, tmp_path, says):
    with pytest.raises(BadInput, match=says("no pictures of mine", "guide")):
        gallery(draw("guide", [["a"]]), tmp_path / "g.png", protocol=None, methods=["guide", "mine"])


def test_records_without_pictures_are_answered_in_one_line(runs, tmp_path, says):
    with pytest.raises(BadInput, match=says(str(runs), "no pictures of mine", "guide, mean-latent, mine")):
        gallery(runs, tmp_path / "g.png", protocol="ffhq", methods=["mine"])
