"""The ArcFace judge on tiny ONNX files: found faces, batches, refused files, and no silent CPU instead of CUDA."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from guidebench.errors import BadInput, MissingAsset
from guidebench.images import to_arrays
from guidebench.networks import arcface
from guidebench.networks.alignment import crop_face
from guidebench.networks.irse import AlignedRecognizer


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory, published_files: ModuleType) -> Path:
    folder = tmp_path_factory.mktemp("packs") / "buffalo_l"
    published_files.write_arcface_pack(folder, "det_10g.onnx", "w600k_r50.onnx")
    return folder


@pytest.fixture(scope="module")
def judge(pack: Path) -> AlignedRecognizer:
    return arcface.load(pack / "det_10g.onnx", pack / "w600k_r50.onnx")


@pytest.fixture(scope="module")
def images(recipe: ModuleType) -> torch.Tensor:
    """Three pictures, the second black."""
    pictures = torch.from_numpy(recipe.recipe_image("arcface", (3, 3, 128, 128), "tests"))
    pictures[1] = -1
    return pictures


def test_a_face_is_found_where_the_detector_says_and_none_in_a_black_image(judge, images, published_files):
    lit, black = (judge.detector.detect(picture) for picture in to_arrays(images)[:2])
    assert len(lit) == 1 and len(black) == 0
    assert lit.points(0) == pytest.approx(published_files.face_in(128))
    assert lit.boxes[0, 4] == pytest.approx(0.9)


class LosesLargeFaces:
    """Finds a bright rectangle on black as long as it fills at most 0.4 of the picture's height, as SCRFD does."""

    def detect(self, picture):
        rows, columns = np.nonzero(picture.max(axis=2) > 200)
        top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
        if bottom - top > 0.4 * len(picture):
            return np.zeros((0, 5)), np.zeros((0, 5, 2), np.float32)
        box = [left, top, right, bottom, 0.8]
        return np.array([box]), np.array([[[left, top], [right, top], box[:2], [left, bottom], [right, bottom]]])


def test_a_face_that_fills_eg3ds_crop_is_found_where_it_is():
    """0.78 of the height and 0.58 of the width, as MTCNN's boxes in GUIDE's crops; without padding it is lost."""
    picture = np.zeros((512, 512, 3), np.uint8)
    picture[50:450, 100:400] = 255
    assert len(arcface.ScrfdDetector(LosesLargeFaces(), padding=0).detect(picture)) == 0
    found = arcface.ScrfdDetector(LosesLargeFaces()).detect(picture)
    assert found.boxes.tolist() == [[100, 50, 400, 450, 0.8]]
    assert found.points(0).tolist() == [[100, 50], [400, 50], [100, 50], [100, 450], [400, 450]]


def test_a_picture_that_is_not_square_is_padded_in_its_own_shape():
    picture = np.zeros((100, 300, 3), np.uint8)
    picture[60:90, 10:40, 0] = 255
    (box,) = arcface.ScrfdDetector(LosesLargeFaces()).detect(picture).boxes
    assert box.tolist() == [10, 60, 40, 90, 0.8]


def test_embeddings_are_unit_rows_of_the_crop_that_insightface_would_take(judge, images, published_files):
    """Aligned by the fit in the template; the network pools 8 x 8 pixels of (x - 127.5) / 127.5, channels R, G, B."""
    seen = judge.embed(images)
    vectors, found = seen.vectors, seen.found
    assert found.tolist() == [True, False, True] and not vectors[1].any()
    assert vectors[found].norm(dim=1).numpy() == pytest.approx(np.ones(2), abs=1e-6)
    crop = crop_face(to_arrays(images)[0], published_files.face_in(128), residual_in="template")
    pooled = ((crop.astype(np.float64) - 127.5) / 127.5).reshape(14, 8, 14, 8, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
    expected = pooled.ravel()[:512]
    assert vectors[0].numpy() == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)


def test_a_batch_gives_what_its_images_give_alone(judge, images, monkeypatch):
    together = judge.embed(images)
    monkeypatch.setattr(judge.network, "batch", 1)
    alone = judge.embed(images)
    assert torch.allclose(together.vectors, alone.vectors, atol=1e-6)


def test_a_session_on_the_cpu_is_refused_where_cuda_was_asked_for(pack, monkeypatch):
    """As onnxruntime behaves where its CPU package is installed over the GPU one: it says nothing."""
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(MissingAsset, match=r"\.onnx\b.* CPU .*cuda:0.*--no-deps onnxruntime-gpu`.*--device cpu"):
        arcface.load(pack / "det_10g.onnx", pack / "w600k_r50.onnx", device="cuda:0")
    model = arcface.read_model(pack / "w600k_r50.onnx", "ArcFaceONNX", device="cuda:0", strictly=False)
    assert not arcface.runs_on_cuda(model)


def test_on_a_cpu_nothing_but_the_cpu_is_asked_for(judge):
    for model in (judge.detector.model, judge.network.model):
        assert model.session.get_providers() == ["CPUExecutionProvider"]
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def test_other_files_get_one_line(pack, tmp_path):
    detector, recogniser = pack / "det_10g.onnx", pack / "w600k_r50.onnx"
    with pytest.raises(BadInput, match=r"w600k_r50\.onnx .*SCRFD\b.* ArcFaceONNX"):
        arcface.load(recogniser, recogniser)
    with pytest.raises(BadInput, match=r"det_10g\.onnx .*ArcFaceONNX\b.* SCRFD"):
        arcface.load(detector, detector)
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(recogniser.read_bytes()[:200])
    for path in (cut, tmp_path / "absent.onnx"):
        with pytest.raises(BadInput, match=rf"{path.name} .*read.* ONNX") as caught:
            arcface.load(detector, path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["graph", "attribute"])
@pytest.mark.parametrize("location", ["/dev/zero", "../../secret", "beside.bin"])
def test_numbers_in_other_files_are_refused_before_anything_opens_them(pack, tmp_path, place, location):
    import onnx

    model = onnx.load(str(pack / "w600k_r50.onnx"))
    outside = onnx.TensorProto(name="outside", data_type=onnx.TensorProto.FLOAT, dims=[1])
    outside.data_location = onnx.TensorProto.EXTERNAL
    outside.external_data.add(key="location", value=location)
    if place == "graph":
        model.graph.initializer.append(outside)
    else:
        model.graph.node.append(onnx.helper.make_node("Constant", [], ["constant"], value=outside))
    path = tmp_path / "pack.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(BadInput, match=r"pack\.onnx takes numbers from other files"):
        arcface.read_model(path, "ArcFaceONNX")
