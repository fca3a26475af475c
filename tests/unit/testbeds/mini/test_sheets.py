"""The picture sheets and the model card: what they show, and that they are of the weights that ship."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import pytest
import torch
from PIL import Image

from guidebench import digest
from guidebench.errors import StorageError
from guidebench.images import from_uint8, to_uint8
from guidebench.noise import Noise
from guidebench.testbed import Players
from guidebench.testbeds.mini import WEIGHTS_VERSION, sheets
from guidebench.testbeds.mini.encoder import Encoder
from guidebench.testbeds.mini.features import PerceptualNetwork
from guidebench.testbeds.mini.generator import RIG, GeneratorConfig, MiniGenerator
from guidebench.testbeds.mini.recognizers import TrainingRecognizer
from guidebench.testbeds.mini.renderer import camera_labels, render
from guidebench.testbeds.mini.training import card as cards
from guidebench.testbeds.mini.training import data, measure
from guidebench.testbeds.mini.training.data import HELD_OUT
from guidebench.testbeds.mini.training.loop import seeded_build
from guidebench.testbeds.mini.training.presence import scrambled_images
from guidebench.testbeds.mini.weights_io import MANIFEST, SHIPPED

# --------------------------------------------------------------------------------------------------------------------
# Sheets
# --------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def players() -> Players:
    """Untrained networks that draw 16 x 16 pixels: what they draw is noise, but where it is on a sheet is not."""

    def build() -> torch.nn.ModuleList:
        generator = MiniGenerator(GeneratorConfig(resolution=16, coarse_resolution=8))
        encoder = Encoder(generator.num_ws, generator.w_dim)
        return torch.nn.ModuleList([generator, encoder, TrainingRecognizer(), PerceptualNetwork()])

    return Players(*seeded_build(0, "test", build).eval().requires_grad_(False), digests={})  # type: ignore[arg-type]


@torch.no_grad()
def shows(image: torch.Tensor, players: Players, ws: torch.Tensor, camera: torch.Tensor) -> bool:
    """Whether an image is the generator's of a code (1, num_ws, w_dim); batches round otherwise, by one grey level."""
    drawn = to_uint8(players.generator.render(ws, camera, noise=Noise.constant()))[0]
    return bool((image.int() - drawn.int()).abs().max() <= 1)


def test_generator_and_renderer_show_the_same_people_at_the_generators_resolution(players):
    rows = list(sheets.generator_rows(players))
    assert [tuple(row.shape) for row in rows] == [(8, 3, 16, 16)] * 8
    people = sheets.photographs("validation", 0, "in_domain", 1)
    wanted = render(people.identity, people.nuisance, people.cameras, resolution=16)
    assert torch.equal(rows[0][0], to_uint8(wanted)[0])
    assert shows(rows[1][0], players, sheets.codes(people, players.generator), people.cameras)
    assert not shows(rows[1][1], players, sheets.codes(people, players.generator), people.cameras)


def test_faces_turn_from_the_left_to_the_right(players):
    """Long hair, glasses, both, neither: four pairs of rows, the middle column from the front."""
    rows = list(sheets.yaw_rows(players))
    assert [len(row) for row in rows] == [9] * 8
    assert math.degrees(sheets.YAWS[0]) == pytest.approx(-43, abs=0.1) and sheets.YAWS[4] == 0
    everybody = sheets.photographs("validation", 0, "in_domain", 100)
    assert len(set(sheets._looks(everybody))) == 4


def test_interpolations_start_at_a_face_and_pass_the_average(players):
    rows = list(sheets.interpolation_rows(players))
    ws = sheets.codes(sheets.photographs("validation", 0, "in_domain", 12), players.generator)
    average, frontal = players.generator.w_avg.expand_as(ws[:1]), camera_labels(torch.zeros(1), torch.zeros(1))
    assert len(rows) == 8
    assert shows(rows[0][0], players, ws[:1], frontal) and not shows(rows[0][1], players, ws[:1], frontal)
    assert shows(rows[0][4], players, average, frontal)
    assert shows(rows[0][6], players, average - 0.5 * (ws[:1] - average), frontal)
    assert shows(rows[4][0], players, ws[4:5], frontal) and shows(rows[4][6], players, ws[5:6], frontal)


def test_inversions_are_below_their_photographs_shifted_ones_last(players):
    rows = list(sheets.inversion_rows(players))
    assert len(rows) == 8
    shifted = sheets.photographs("development", 1, "shifted", 1)
    photo = to_uint8(render(shifted.identity, shifted.nuisance, shifted.cameras, resolution=16))
    assert torch.equal(rows[4][:1], photo)
    assert shows(rows[5][0], players, players.inverter.invert(from_uint8(photo)), shifted.cameras)


def test_scrambling_leaves_the_generator_as_it_is(players):
    """24 ways to break it, on copies; no two of them draw alike."""
    before = digest.of_module(players.generator)
    images = scrambled_images(players.generator, 24, torch.Generator().manual_seed(0))
    assert images.shape == (24, 3, 16, 16) and len({image.numpy().tobytes() for image in images}) > 12
    assert digest.of_module(players.generator) == before


def test_a_sheet_is_a_picture_of_its_rows(tmp_path):
    rows = [torch.full((2, 3, 8, 8), 10, dtype=torch.uint8), torch.full((1, 3, 8, 8), 90, dtype=torch.uint8)]
    sheets.save_sheet(rows, tmp_path / "sheet.jpg")
    with Image.open(tmp_path / "sheet.jpg") as picture:
        assert picture.mode == "RGB" and picture.size == (16, 16)
        reds = [picture.getpixel(place)[0] for place in ((15, 0), (0, 15), (15, 15))]
    assert reds == pytest.approx(
        [10, 90, 255], abs=2
    )  # one grey level is what JPEG rounds by; the edges are between blocks


@pytest.mark.parametrize("command", [sheets, cards], ids=["sheets", "card"])
def test_weights_that_are_not_there_are_named_in_one_line(tmp_path, capsys, command):
    with pytest.raises(SystemExit) as ended:
        command.main(["--out", str(tmp_path / "out"), "--weights", str(tmp_path)])
    told = capsys.readouterr().err
    assert ended.value.code == 2 and told.startswith("guidebench: ") and str(tmp_path / "manifest.json") in told
    assert told.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path, players, says):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=says(str(tmp_path / "file"), "choose another place")):
        sheets.write_sheets(players, tmp_path / "file")


# --------------------------------------------------------------------------------------------------------------------
# Measurements
# --------------------------------------------------------------------------------------------------------------------


def vectors_with_cosines(ab: float, ac: float, bc: float) -> torch.Tensor:
    """Three unit rows with these cosines: a Cholesky factor of their Gram matrix."""
    return torch.linalg.cholesky(torch.tensor([[1.0, ab, ac], [ab, 1.0, bc], [ac, bc, 1.0]]))


def test_rank_agreement_by_hand():
    """Orders ab > ac > bc and ab > bc > ac: rank differences 0, 1, 1, so 1 - 6 (0 + 1 + 1) / (3 (9 - 1)) = 0.5."""
    people = torch.tensor([0, 1, 2])
    first, second = vectors_with_cosines(0.9, 0.5, 0.3), vectors_with_cosines(0.6, 0.1, 0.4)
    assert measure.rank_agreement(first, second, people)["different"] == pytest.approx(0.5)
    assert measure.rank_agreement(first, first, people)["all"] == pytest.approx(1)


def test_rank_agreement_distinguishes_pairs_of_one_person_from_others():
    """Photographs 0, 1 show one person, 2, 3 another: two pairs of one person, four of different people."""
    rng = torch.Generator().manual_seed(0)
    first, second = (torch.nn.functional.normalize(torch.randn(4, 8, generator=rng), dim=1) for _ in range(2))
    found = measure.rank_agreement(first, second, torch.tensor([0, 0, 1, 1]))
    cosines = [vectors @ vectors.T for vectors in (first, second)]
    agree = (cosines[0][0, 1] > cosines[0][2, 3]) == (cosines[1][0, 1] > cosines[1][2, 3])
    assert found["same"] == pytest.approx(1 if agree else -1)


class Grey(torch.nn.Module):
    """A generator that draws mid-grey, whatever it is asked for."""

    w_avg = torch.zeros(1)
    rig = RIG

    def map(self, z):
        return z[:, None]

    def render(self, ws, cameras, *, noise):
        return torch.zeros(len(ws), 3, 96, 96)


def test_psnr_is_given_by_how_far_a_view_is_turned():
    """White is 0.5 of the peak away from grey, 20 log10 2 = 6.02 dB; no view is between 0.25 and 0.5."""
    images = torch.full((3, 3, 96, 96), 255, dtype=torch.uint8)
    images[2] = 191  # 0.249 of the peak away: 12.08 dB
    yaw = torch.tensor([0.1, -0.2, -0.6])
    held_out = {"yaw": yaw, "z": torch.zeros(3, 64), "cameras": torch.zeros(3, 25), "images": images}
    found = measure._views(Grey(), held_out)  # type: ignore[arg-type]
    assert list(found) == ["up to 0.25", "beyond 0.5"]
    assert found["up to 0.25"] == {"psnr_db": pytest.approx(6.02, abs=0.01), "n": 2}
    assert found["beyond 0.5"]["psnr_db"] == pytest.approx(12.08, abs=0.01)


# --------------------------------------------------------------------------------------------------------------------
# The card
# --------------------------------------------------------------------------------------------------------------------


def measured() -> dict:
    """What `measure` returns, all numbers invented."""
    pairs = dict.fromkeys(("eer", "same_mean", "different_mean", "different_std"), 0.125)
    names, sets = ("recognizer", "curricularface", "arcface"), ("renders", "renders_both_styles", "generator_images")
    inverted = {name: {"mean": 0.9, "std": 0.1, "true_latent_mean": 0.95} for name in names}
    return {
        "generator_vs_renderer": {"psnr_db": 28.0, "face_psnr_db": 27.0, "l1": 0.02, "gradient_error": 0.5},
        "views": {"up to 0.25": {"psnr_db": 31.5, "n": 260.0}, "beyond 0.5": {"psnr_db": 24.5, "n": 28.0}},
        "verification": {name: dict.fromkeys(sets, pairs) for name in names},
        "agreement": dict.fromkeys(sets, {"same": 0.531, "different": 0.642, "all": 0.753}),
        "inversion": {"in_domain": inverted, "shifted": inverted},
        "presence": {judge: {"photographs_missed": 0.0, "refused: white noise": 1.0} for judge in names[1:]},
        "edits": {name: {"grey": 0.875, "zoom 0.85": 0.9375} for name in names},
        "beyond_the_average": {name: {"mirrored": -0.04, "extrapolated": -0.03, "strangers": 0.0} for name in names},
        "accepted": dict.fromkeys(names[1:], 0.9375),
        "fid_generator_vs_renderer": 0.8,
        "fid_floor": {"300": {"generator": 3.25, "gaussian": 2.75}, "1000": {"generator": 1.5, "gaussian": 0.75}},
        "perceptual": {"mean": 0.64, "std": 0.16, "pairs": 1000.0},
        "local_loss": {"features": 0.4, "perceptual": 0.8, "identity": 0.1},
        "latents": {"mean_norm": 60.0, "std_norm": 5.0},
        "cpu_seconds": {"image": 0.02, "guide_like_step": 0.2},
        "device": "cpu (invented)",
    }


@pytest.fixture(scope="module")
def card() -> str:
    return cards.card(measured(), json.loads((SHIPPED / MANIFEST).read_text()))


def test_the_card_is_made_from_weights_and_rendered_people_alone(tmp_path, monkeypatch, card):
    """With two held-out people of each set, and invented measurements."""
    few = {name: replace(one, people=one.people[:2]) for name, one in HELD_OUT.items()}
    monkeypatch.setattr(data, "HELD_OUT", few)

    def measure_nothing(settings, weights):
        counts = {name: len(data.load_held_out(settings, name)["images"]) for name in measure.HELD_OUT_SETS}
        assert counts == {"validation": 2, "development": 20, "calibration": 10} and weights == SHIPPED
        return measured()

    monkeypatch.setattr(cards, "measure", measure_nothing)
    cards.main(["--out", str(tmp_path / "card.md")])
    wanted = cards.card(measured(), json.loads((SHIPPED / MANIFEST).read_text()))
    assert (tmp_path / "card.md").read_text() == wanted != card


def test_the_card_names_its_version_and_the_commands_that_make_it(card):
    assert re.match(rf"# .*`mini`.* version {WEIGHTS_VERSION}\n", card)
    assert f"`{cards.COMMAND}`" in card and "cpu (invented)" in card
    assert "python -m guidebench.testbeds.mini.sheets --out docs/mini" in card


def test_the_card_says_views_and_how_far_the_judges_agree(card):
    assert "| up to 0.25 | 31.50 dB | 260 |" in card and "| beyond 0.5 | 24.50 dB | 28 |" in card
    assert "| generator images | 0.531 | 0.642 | 0.753 |" in card


def test_the_card_says_what_judges_overlook_and_what_version_2_did(card):
    before = cards.VERSION_2
    grey = [f"0.88 ({before['edits'][name]['grey']:.2f})" for name in cards.RECOGNISERS]
    assert f"| grey | {' | '.join(grey)} |" in card
    mirrored = [f"-0.04 ({before['beyond'][name]['mirrored']:.2f})" for name in cards.RECOGNISERS]
    assert f"| as far beyond the average | {' | '.join(mirrored)} |" in card


def test_the_card_says_thresholds_floors_and_shares(card):
    known = json.loads((SHIPPED / MANIFEST).read_text())["different_people"]["arcface"]
    low, high = known["threshold_interval"]
    assert f"| {known['pairs']:,} | {known['threshold']:.3f} | {low:.3f} to {high:.3f} | 93.75 % |" in card
    assert "| 1,000 | 1.50 | 0.75 |" in card
    assert "| perceptual | 1 | 0.800 | 62 % |" in card


def test_the_card_links_every_sheet(card):
    for name in sheets.SHEETS:
        assert f"[{name}](../../../docs/mini/{name}.jpg)" in card
    assert all(name in card for name in HELD_OUT)


def test_the_committed_sheets_and_card_are_these(root, card):
    sizes = [(root / "docs" / "mini" / f"{name}.jpg").stat().st_size for name in sheets.SHEETS]
    assert max(sizes) < 500_000 and sum(sizes) < 1_500_000
    committed = (SHIPPED.parent / "MODEL_CARD.md").read_text()
    assert committed.partition("## Data")[0] == card.partition("## Data")[0]
    assert committed.partition("## Files")[2] == card.partition("## Files")[2]
