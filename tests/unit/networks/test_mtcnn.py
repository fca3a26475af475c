"""The detector: its arithmetic by hand, its networks on drawn weights, and what its two conventions change."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from guidebench.errors import BadInput
from guidebench.networks import mtcnn
from guidebench.networks.mtcnn import CONVENTIONS, Mtcnn, Settings

ALL_PASS = (0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def maker(root: Path) -> ModuleType:
    """The script that made the golden file; it says how networks and picture are drawn."""
    path = root / "tests" / "goldens" / "networks" / "make_mtcnn.py"
    spec = importlib.util.spec_from_file_location("make_mtcnn", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def detector(maker: ModuleType, recipe: ModuleType, settings: Settings) -> Mtcnn:
    with torch.no_grad():
        return Mtcnn(*maker.networks(recipe), settings)


def boxes(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, dtype=np.float64)


def test_what_drawn_networks_find_is_what_they_found_when_the_photographs_were_matched(
    maker: ModuleType, recipe: ModuleType, root: Path
) -> None:
    """Outputs of order 1 and boxes of order 100 px, computed in float32: 1e-5 and 1e-3 leave room for another CPU."""
    with np.load(root / "tests" / "goldens" / "networks" / "mtcnn.npz") as stored:
        expected = dict(stored)
    measured = maker.measure(recipe)
    assert measured.keys() == expected.keys()
    for name, value in expected.items():
        atol = 1e-5 if "Net" in name else 1e-3
        np.testing.assert_allclose(measured[name], value, atol=atol, rtol=1e-5, err_msg=name)
    assert len(expected["published_boxes"]) == 3 and len(expected["corrected_boxes"]) == 9


def test_the_conventions_differ_in_softmax_thresholds_and_the_border_only() -> None:
    published, corrected = (dataclasses.asdict(CONVENTIONS[name]) for name in ("published", "corrected"))
    assert {key for key in published if published[key] != corrected[key]} == {
        "softmax_over",
        "thresholds",
        "clips_boxes",
    }
    assert (published["softmax_over"], published["thresholds"]) == ("width", (0.15, 0.25, 0.35))
    assert (corrected["softmax_over"], corrected["thresholds"]) == ("classes", (0.6, 0.7, 0.8))


def test_the_softmax_of_the_first_network_runs_over_classes_or_over_the_width(maker, recipe) -> None:
    """Face scores log 1, log 3 beside non-face scores 0, 0. Over classes: 1/(1+1), 3/(3+1). Over width: 1/4, 3/4."""
    scores = torch.tensor([[[[0.0, 0.0]], [[0.0, np.log(3)]]]])
    for convention, expected in (("corrected", [0.5, 0.75]), ("published", [0.25, 0.75])):
        found = detector(maker, recipe, CONVENTIONS[convention]).face_probability(scores)
        np.testing.assert_allclose(found[0, 0], expected, atol=1e-6)


def test_the_pyramid_begins_where_the_smallest_face_fills_a_window_and_ends_where_a_window_fills_the_image() -> None:
    """512 px, faces from 20 px: 0.6 · 0.707^k while 512 times that exceeds 12, ten levels. Faces from 40: two fewer."""
    scales = mtcnn.pyramid_scales(512, CONVENTIONS["published"])
    np.testing.assert_allclose(scales, 0.6 * 0.707 ** np.arange(10), rtol=1e-12)
    assert len(mtcnn.pyramid_scales(512, dataclasses.replace(CONVENTIONS["published"], min_face=40))) == 8
    assert mtcnn.pyramid_scales(20, CONVENTIONS["published"]) == []
    assert mtcnn.pyramid_scales(21, CONVENTIONS["published"]) == [0.6]


def test_an_output_of_the_first_network_is_a_window_of_twelve_pixels_every_two() -> None:
    """Row 3, column 5 at half scale: left (2·5 + 1) / 0.5 = 22, top (2·3 + 1) / 0.5 = 14, both 12 / 0.5 = 24 wide."""
    probability, offsets = np.zeros((6, 8)), np.arange(4 * 48.0).reshape(4, 6, 8)
    probability[3, 5], probability[0, 0] = 0.9, 0.5
    found = mtcnn.windows_above(probability, offsets, 0.5, 0.5)
    np.testing.assert_allclose(found, [[22, 14, 46, 38, 0.9, 29, 77, 125, 173]])


def test_offsets_move_each_edge_by_a_fraction_of_the_side() -> None:
    """10 px wide and 20 px high, last pixel included: 0.1 · 10 = 1, -0.2 · 20 = -4, 0.3 · 10 = 3, 0.4 · 20 = 8."""
    moved = mtcnn.move(boxes((5, 0, 14, 19, 0.9)), np.array([[0.1, -0.2, 0.3, 0.4]]))
    np.testing.assert_allclose(moved, [[6, -4, 17, 27, 0.9]])


def test_a_box_grows_to_a_square_about_its_centre() -> None:
    """10 px by 20 px: five more on the left and on the right."""
    np.testing.assert_allclose(mtcnn.square(boxes((30, 0, 39, 19, 0.9))), [[25, 0, 44, 19, 0.9]])


def test_of_overlapping_boxes_the_surest_stays() -> None:
    """10 px squares, the second shifted by 1 px (90 of 110 common, 0.82), the third by 5 (50 of 150, 0.33)."""
    rows = boxes((0, 0, 9, 9, 0.7), (1, 0, 10, 9, 0.9), (6, 0, 15, 9, 0.8))
    assert mtcnn.suppress(rows, 0.7).tolist() == [1, 2]
    assert mtcnn.suppress(rows, 0.3).tolist() == [1]
    assert mtcnn.suppress(rows, 0.9).tolist() == [1, 2, 0]


def test_a_suppressed_box_suppresses_no_other() -> None:
    """The middle of a chain falls to the first; the last overlaps only the middle and stays."""
    rows = boxes((0, 0, 9, 9, 0.9), (3, 0, 12, 9, 0.8), (6, 0, 15, 9, 0.7))
    assert mtcnn.suppress(rows, 0.5).tolist() == [0, 2]


def test_relative_to_the_smaller_box_one_inside_another_is_suppressed() -> None:
    """A 5 px square inside a 10 px square: a quarter of the union, all of the smaller."""
    rows = boxes((0, 0, 9, 9, 0.9), (2, 2, 6, 6, 0.8))
    assert mtcnn.suppress(rows, 0.7).tolist() == [0, 1]
    assert mtcnn.suppress(rows, 0.7, relative_to="smaller").tolist() == [0]


def test_an_overlap_of_exactly_the_limit_stays() -> None:
    """Half of each of two 10 px squares shifted by 5: 50 of 100 of the smaller."""
    assert mtcnn.suppress(boxes((0, 0, 9, 9, 0.9), (5, 0, 14, 9, 0.8)), 0.5, relative_to="smaller").tolist() == [0, 1]


def test_no_boxes_suppress_to_none() -> None:
    assert mtcnn.suppress(np.zeros((0, 5)), 0.5).tolist() == []


def test_beyond_the_border_a_cut_out_is_black() -> None:
    image = np.full((30, 40, 3), 200, dtype=np.uint8)
    window = np.asarray(mtcnn.cut(image, np.array([-6, 20, 17, 43, 0.9]), 24))  # 24 px: nothing is resized
    assert (window[:10, 6:] == 200).all()
    assert not window[10:].any() and not window[:, :6].any()


def test_a_cut_out_is_resized_with_the_filter_of_pillow() -> None:
    """Halved, Pillow's bilinear filter mixes four pixels by 1, 3, 3, 1 eighths: a step becomes 1/8 and 7/8 of it."""
    image = np.zeros((48, 48, 3), dtype=np.uint8)
    image[:, 24:] = 240
    window = np.asarray(mtcnn.cut(image, np.array([0, 0, 47, 47, 0.9]), 24))
    assert window[12, 10:14, 0].tolist() == [0, 30, 210, 240]


def test_boxes_without_a_pixel_of_the_image_are_dropped() -> None:
    image = np.zeros((30, 40, 3), dtype=np.uint8)
    inside, over, outside, turned = (-5, -5, 0, 0, 0.9), (39, 29, 60, 60, 0.9), (40, 0, 50, 9, 0.9), (9, 9, 3, 3, 0.9)
    np.testing.assert_array_equal(mtcnn.within(boxes(inside, over, outside, turned), image), boxes(inside, over))


def test_clipped_boxes_end_with_the_image() -> None:
    image = np.zeros((30, 40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(mtcnn.clip(boxes((-4, 5, 45, 54, 0.9)), image), boxes((0, 5, 39, 29, 0.9)))


def test_under_published_offsets_apply_to_the_part_of_a_box_inside_the_image(maker, recipe) -> None:
    """Landmarks in the middle of a 50 px box that begins 10 px left of the image: its middle, or that of the rest."""
    image, box = np.zeros((60, 60, 3), dtype=np.uint8), boxes((-10, 0, 39, 49, 0.9))
    middles = []
    for clips in (False, True):
        settings = Settings("classes", ALL_PASS, clips_boxes=clips)
        machine = detector(maker, recipe, settings)
        with torch.no_grad():
            machine.onet.conv6_3.weight.zero_()
            machine.onet.conv6_3.bias.fill_(0.5)
            middles.append(machine._finish(image, box).points(0)[0].tolist())
    assert middles == [[15.0, 25.0], [20.0, 25.0]]


def test_each_stage_can_find_nothing(maker: ModuleType, recipe: ModuleType) -> None:
    """A probability never exceeds 1."""
    for thresholds in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)):
        settings = dataclasses.replace(CONVENTIONS["corrected"], thresholds=thresholds)
        found = detector(maker, recipe, settings).detect(maker.picture(recipe))
        assert (found.boxes.shape, found.landmarks.shape) == ((0, 5), (0, 10))


def test_faces_come_surest_first_with_landmarks_beside_their_boxes(maker: ModuleType, recipe: ModuleType) -> None:
    settings = dataclasses.replace(CONVENTIONS["corrected"], thresholds=maker.THRESHOLDS["corrected"])
    found = detector(maker, recipe, settings).detect(maker.picture(recipe))
    assert len(found) == len(found.landmarks) > 1
    assert (np.diff(found.boxes[:, 4]) <= 0).all()
    np.testing.assert_array_equal(found.points(1)[:, 0], found.landmarks[1, :5])
    np.testing.assert_array_equal(found.points(1)[:, 1], found.landmarks[1, 5:])


def test_raising_a_threshold_only_removes_faces_of_the_last_stage(maker: ModuleType, recipe: ModuleType) -> None:
    """Greedy suppression starts from the surest: those above a higher threshold are chosen the same way."""
    thresholds = maker.THRESHOLDS["corrected"]
    picture, scores = maker.picture(recipe), []
    for last in (thresholds[2], 0.5):
        settings = dataclasses.replace(CONVENTIONS["corrected"], thresholds=(*thresholds[:2], last))
        scores.append(detector(maker, recipe, settings).detect(picture).boxes[:, 4])
    np.testing.assert_allclose(scores[1], scores[0][scores[0] > 0.5], atol=1e-6)
    assert 0 < len(scores[1]) < len(scores[0])


@pytest.mark.parametrize("side", [1, 11, 20])
def test_an_image_smaller_than_the_smallest_face_has_none(maker: ModuleType, recipe: ModuleType, side: int) -> None:
    settings = Settings("classes", ALL_PASS, clips_boxes=False)
    assert len(detector(maker, recipe, settings).detect(np.full((side, 90, 3), 99, dtype=np.uint8))) == 0


@pytest.mark.parametrize(("shape", "kind"), [((64, 64), "uint8"), ((64, 64, 4), "uint8"), ((64, 64, 3), "float32")])
def test_grey_transparent_and_float_images_are_refused(maker, recipe, shape: tuple[int, ...], kind: str) -> None:
    with pytest.raises(ValueError, match=r"uint8 \(h, w, 3\).* " + kind):
        detector(maker, recipe, CONVENTIONS["corrected"]).detect(np.zeros(shape, dtype=kind))


def test_weights_are_read_from_three_files(maker: ModuleType, recipe: ModuleType, tmp_path: Path) -> None:
    """As published: object arrays without dimensions around a dict of arrays."""
    with torch.no_grad():
        networks = maker.networks(recipe)
    for network, name in zip(networks, ("pnet", "rnet", "onet"), strict=True):
        stored = {key: value.numpy() for key, value in network.state_dict().items()}
        np.save(tmp_path / f"{name}.npy", np.array(stored, dtype=object), allow_pickle=True)
    loaded = mtcnn.load(tmp_path, convention="corrected")
    assert loaded.settings == CONVENTIONS["corrected"]
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    expected = {
        f"{name}.{key}": value
        for name, network in zip(("pnet", "rnet", "onet"), networks, strict=True)
        for key, value in network.state_dict().items()
    }
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in loaded.state_dict().items())


def test_exchanged_files_are_one_line_with_the_keys(maker: ModuleType, recipe: ModuleType, tmp_path: Path) -> None:
    with torch.no_grad():
        stored = {key: value.numpy() for key, value in maker.networks(recipe)[1].state_dict().items()}
    np.save(tmp_path / "pnet.npy", np.array(stored, dtype=object), allow_pickle=True)
    with pytest.raises(BadInput, match=r"pnet\.npy .*\bPNet\b.* lacks conv4_1\.weight"):
        mtcnn.load(tmp_path, convention="published")


def test_an_absent_weight_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"pnet\.npy"):
        mtcnn.load(tmp_path, convention="published")
