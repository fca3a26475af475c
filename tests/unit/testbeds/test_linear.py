"""The analytic testbed against its closed forms, each derived in the test that uses it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from guidebench import chosen, registry
from guidebench.engine import trial
from guidebench.engine.bench import Bench
from guidebench.errors import BadInput
from guidebench.images import quantise
from guidebench.metrics.frechet import frechet_distance
from guidebench.noise import Noise
from guidebench.protocol import Protocol
from guidebench.seeds import stream
from guidebench.testbeds import linear
from guidebench.testbeds.linear import (
    ANATOMY,
    ANATOMY_VALUE,
    CODE_SCALE,
    FEATURE_SCALE,
    IDENTITY,
    NUISANCE,
    REAL_SHIFT,
    LinearTestbed,
)

CONSTANT = Noise.constant()
PROTOCOL = Protocol(
    name="linear", version=1, title="", source="dev", identities=1, retain=1, probe_photos=2, views=3, samples=400
)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(LinearTestbed())


def code(identity: torch.Tensor, nuisance: float = 0.0) -> torch.Tensor:
    """The latent code whose image shows this identity."""
    generator = linear.LinearGenerator()
    return generator.map(torch.cat([identity, torch.full((NUISANCE,), nuisance)])[None])


def run(bench: Bench, method: str) -> trial.Trial:
    preset, _ = chosen.with_preset(registry.load_method(method), "linear")
    return trial.run_trial(bench, PROTOCOL, preset, 0, 0, lambda step, scalars: None)


def similarity(outcome: trial.Trial, rows: slice, judge: str = "plain") -> float:
    sight = outcome.evidence.sights[judge]
    before, after = sight.before[rows], sight.after[0][rows]
    assert after.found.all()
    return float((before.vectors * after.vectors).sum(axis=-1).mean())


def fid_pre(outcome: trial.Trial) -> float:
    return frechet_distance(outcome.evidence.source.statistics, outcome.evidence.after[0].statistics)


def test_the_patterns_are_orthogonal_signs() -> None:
    """So the mean over the pixels of image times pattern reads one number of a face and nothing of the others."""
    patterns = linear.patterns()
    assert set(patterns.unique().tolist()) == {-1.0, 1.0}
    torch.testing.assert_close(patterns @ patterns.T / patterns.shape[1], torch.eye(len(patterns)))


def test_images_of_the_generator_keep_within_the_range_that_eight_bits_hold(bench: Bench) -> None:
    z = torch.randn(500, linear.CODE, generator=stream("test", "range"))
    images = bench.players.generator.render(bench.players.generator.map(z), noise=CONSTANT)
    assert float(images.abs().max()) < 1


def test_codes_are_about_as_long_as_the_papers_distance(bench: Bench) -> None:
    """‖w - w̄‖² = num_ws σ² ‖z‖² has the mean num_ws σ² z_dim = 30²; 2,000 draws know it to about 1 %."""
    generator = bench.players.generator
    codes = generator.map(torch.randn(2000, generator.z_dim, generator=stream("test", "length")))
    square = (codes - generator.w_avg).square().sum(dim=(1, 2)).mean()
    assert float(square) == pytest.approx(900, rel=0.04)


@pytest.mark.parametrize("judge", ["plain", "weighted"])
def test_the_cosine_of_two_people_is_the_closed_form(bench: Bench, judge: str) -> None:
    """cos = (c² + aᵀSSb) / √((c² + |Sa|²)(c² + |Sb|²)), S the judge's scalings, c its gain times the anatomy.

    Eight bits a pixel, averaged over 256 grey pixels, move a number of a face by about 4e-3: below 1e-2 in the cosine.
    """
    recognizer = bench.judges.recognizers[judge]
    spread, gain = {"plain": (0.0, 0.7), "weighted": (0.4, 0.5)}[judge]
    scalings = torch.linspace(1 - spread, 1 + spread, IDENTITY)
    for seed in range(5):
        a, b = torch.randn(2, IDENTITY, generator=stream("test", "pair", seed))
        images = torch.cat([bench.players.generator.render(code(x), noise=CONSTANT) for x in (a, b)])
        seen = recognizer.embed(images)
        c = gain * ANATOMY_VALUE
        up = c**2 + float((scalings * a) @ (scalings * b))
        down = math.sqrt((c**2 + float((scalings * a).square().sum())) * (c**2 + float((scalings * b).square().sum())))
        assert seen.found.all()
        assert float(seen.vectors[0] @ seen.vectors[1]) == pytest.approx(up / down, abs=1e-2)


def test_neither_nuisance_nor_camera_nor_noise_changes_an_identity(bench: Bench) -> None:
    generator, recognizer = bench.players.generator, bench.judges.recognizers["weighted"]
    assert generator.rig is not None
    identity = torch.randn(IDENTITY, generator=stream("test", "one person"))
    front = generator.render(code(identity), noise=CONSTANT)
    others = [
        generator.render(code(identity, nuisance=2.0), noise=CONSTANT),
        generator.render(code(identity), generator.rig.look_at(0.5, -0.2), noise=CONSTANT),
        generator.render(code(identity), noise=Noise.random(5)),
    ]
    for other in others:
        assert float((other - front).abs().max()) > 0.01, "the image did change"
        a, b = (recognizer.embed(image).vectors[0] for image in (front, other))
        assert float(a @ b) == pytest.approx(1, abs=1e-4)


def test_the_inverter_is_exact_up_to_eight_bits(bench: Bench) -> None:
    """Eight bits move a number of a face by 4e-3 (standard deviation), σ times that in a code; 5 of them in 240."""
    generator = bench.players.generator
    codes = generator.map(torch.randn(20, generator.z_dim, generator=stream("test", "inverter")))
    images = generator.render(codes, noise=CONSTANT)
    torch.testing.assert_close(bench.players.inverter.invert(images), codes, atol=1e-4, rtol=1e-4)
    inverted = bench.players.inverter.invert(quantise(images))
    assert float((inverted - codes).abs().max()) < 0.02 * CODE_SCALE


def test_photographs_of_a_person_share_the_identity_and_differ_otherwise(bench: Bench) -> None:
    faces, judge = bench.faces, bench.judges.recognizers["plain"]
    assert faces.sources()["ffhq"] >= 40 and faces.sources()["celebahq"] >= 40
    first, second = faces.people("celebahq", [0, 1], photos=6)
    mine, theirs = judge.embed(first.photos).vectors, judge.embed(second.photos).vectors
    assert float((mine @ mine.T).min()) > 0.999
    assert float((mine @ theirs.T).max()) < 0.95
    assert float((first.photos[0] - first.photos[1]).abs().max()) > 0.05


def test_photographs_have_the_nuisances_of_real_images(bench: Bench) -> None:
    """40 people with 8 photographs and 4 nuisances each: the mean of 1,280 normals is known to 0.03, δ is 0.5."""
    people = bench.faces.people("ffhq", range(40), photos=8)
    u = linear.Reader()(torch.cat([person.photos for person in people]))
    assert float(u[:, -NUISANCE:].mean()) == pytest.approx(REAL_SHIFT, abs=0.1)
    assert float(u[:, -NUISANCE:].std()) == pytest.approx(1, abs=0.1)


def test_people_are_the_same_for_any_company(bench: Bench) -> None:
    (alone,) = bench.faces.people("dev", [3], photos=2)
    among = bench.faces.people("dev", [5, 3], photos=4)[1]
    assert alone.identity == among.identity
    assert torch.equal(alone.photos, among.photos[:2])


@pytest.mark.parametrize(
    ("source", "indices", "photos", "hint"),
    [("ffqh", [0], 1, "'ffhq'"), ("dev", [20], 1, "0 to 19"), ("dev", [0], 9, "8 photographs")],
)
def test_asking_for_people_that_are_not_there_says_what_is(
    bench: Bench, source: str, indices: list[int], photos: int, hint: str
) -> None:
    with pytest.raises(BadInput, match=hint):
        bench.faces.people(source, indices, photos=photos)


def test_real_images_are_the_squared_shift_away_from_the_generator(bench: Bench) -> None:
    """Equal covariances: FID = |Δμ|² = λ² · 4 δ². 4,000 samples add about λ²(12 + ...)/n, some 0.1 of 9."""
    expected = FEATURE_SCALE**2 * NUISANCE * REAL_SHIFT**2
    source = linear.feature_statistics(0.0, 100)
    assert bench.judges.real is not None
    assert frechet_distance(source, bench.judges.real) == pytest.approx(expected)
    sampled = bench.samples(
        Protocol(**{**PROTOCOL.as_data(), "seeds": (0,), "samples": 4000}), bench.players.generator, "before"
    )
    assert frechet_distance(sampled.statistics, bench.judges.real) == pytest.approx(expected, rel=0.15)
    np.testing.assert_allclose(sampled.statistics.mean, source.mean, atol=0.2)


def test_fid_pre_of_a_shifted_backbone_is_the_squared_shift(bench: Bench) -> None:
    """The same samples, each with features moved by λs, so covariances agree and FID = λ²|s|²; 8 bits blur 1e-2."""
    shifted = linear.LinearGenerator().requires_grad_(False)
    shift = 0.5
    shifted.backbone.fine.bias[ANATOMY] += shift
    before = bench.source_samples(PROTOCOL)
    after = bench.samples(PROTOCOL, shifted, "after")
    assert frechet_distance(before.statistics, after.statistics) == pytest.approx(FEATURE_SCALE**2 * shift**2, abs=1e-2)


def test_id_after_a_known_change_of_the_backbone_is_the_closed_form(bench: Bench) -> None:
    """Turning every identity round gives (c² - |a|²)/(c² + |a|²) for the judge without scalings."""
    opposite = linear.LinearGenerator().requires_grad_(False)
    opposite.backbone.fine.weight[ANATOMY : ANATOMY + IDENTITY] *= -1
    a = torch.randn(IDENTITY, generator=stream("test", "opposite"))
    judge = bench.judges.recognizers["plain"]
    before, after = (judge.embed(g.render(code(a), noise=CONSTANT)) for g in (bench.players.generator, opposite))
    c2, a2 = (0.7 * ANATOMY_VALUE) ** 2, float(a @ a)
    assert float(before.vectors[0] @ after.vectors[0]) == pytest.approx((c2 - a2) / (c2 + a2), abs=1e-2)


def test_different_people_are_as_alike_as_the_testbed_says(bench: Bench) -> None:
    """40 people of a photo set have 780 pairs, whose mean cosine has a standard error of about 0.02."""
    people = bench.faces.people("ffhq", range(40), photos=1)
    for name, judge in bench.judges.recognizers.items():
        vectors = judge.embed(torch.cat([person.photos for person in people])).vectors
        cosines = (vectors @ vectors.T)[torch.triu_indices(40, 40, 1).unbind()]
        known = bench.judges.different_people[name]
        assert float(cosines.mean()) == pytest.approx(known.mean, abs=0.08)
        assert float(cosines.std()) == pytest.approx(known.std, rel=0.15)


def test_one_pair_of_strangers_in_a_thousand_exceeds_the_threshold(bench: Bench) -> None:
    """Of 20,000 pairs of unit vectors in general position: 20, give or take five."""
    draws = torch.randn(2, 20_000, IDENTITY, generator=stream("test", "strangers"))
    u = torch.cat([torch.full((2, 20_000, ANATOMY), ANATOMY_VALUE), draws], dim=2)
    for name, judge in bench.judges.recognizers.items():
        first, second = map(judge.vectors, u)
        known = bench.judges.different_people[name]
        assert 5 <= int(((first * second).sum(dim=1) >= known.threshold).sum()) <= 40
        low, high = known.threshold_interval
        assert known.mean < low < known.threshold < high < 1


def test_nothing_scores_one_and_a_distance_of_zero(bench: Bench) -> None:
    outcome = run(bench, "nothing")
    for judge in bench.judges.recognizers:
        assert similarity(outcome, slice(None), judge) == pytest.approx(1, abs=1e-6)
    assert fid_pre(outcome) == 0


def test_scramble_leaves_no_face_and_the_largest_distance(bench: Bench) -> None:
    outcome = run(bench, "scramble")
    for sight in outcome.evidence.sights.values():
        assert sight.before.found.all() and not sight.after.found.any()
    distances = {
        method: fid_pre(run(bench, method))
        for method in ("mean-latent", "extrapolated", "extrapolated-adj", "guide", "scramble")
    }
    assert max(distances, key=lambda method: distances[method]) == "scramble"


def test_guide_forgets_the_person_in_all_photographs_and_spares_others(bench: Bench) -> None:
    """Rows of the cast: the forgotten photograph, two probes of the same person, one retained person."""
    outcome = run(bench, "guide")
    assert similarity(outcome, slice(0, 1)) < 0
    assert similarity(outcome, slice(1, 3)) < 0.5
    assert similarity(outcome, slice(3, 4)) > 0.5


def test_the_extrapolated_target_forgets_more_than_the_mean_and_the_global_loss_costs_less_fid(
    bench: Bench,
) -> None:
    """The ladder's order in the paper: extrapolation lowers ID, the global loss lowers FID_pre."""
    rows = {name: run(bench, name) for name in ("mean-latent", "extrapolated", "extrapolated-adj", "guide")}
    forgotten = {name: similarity(row, slice(0, 1)) for name, row in rows.items()}
    distance = {name: fid_pre(row) for name, row in rows.items()}
    assert forgotten["extrapolated"] < forgotten["mean-latent"] < 0.9
    assert distance["guide"] < distance["extrapolated-adj"]


def test_no_judge_shares_weights_with_a_player_or_another_judge(bench: Bench) -> None:
    digests = list(bench.digests.values())
    assert len(set(digests)) == len(digests)
    assert not torch.equal(
        bench.players.recognizer.get_buffer("scaling"), bench.judges.recognizers["weighted"].get_buffer("scaling")
    )


def test_only_the_training_recogniser_gives_gradients(bench: Bench) -> None:
    image = bench.players.generator.render(code(torch.ones(IDENTITY)), noise=CONSTANT).requires_grad_()
    bench.players.recognizer(image)[0, 0].backward()
    assert image.grad is not None and float(image.grad.abs().sum()) > 0


def test_truncation_moves_the_first_rows_towards_the_average(bench: Bench) -> None:
    generator = bench.players.generator
    z = torch.randn(2, generator.z_dim, generator=stream("test", "psi"))
    full, half = generator.map(z), generator.map(z, psi=0.5, cutoff=1)
    torch.testing.assert_close(half[:, 0] - generator.w_avg, (full[:, 0] - generator.w_avg) / 2)
    assert torch.equal(half[:, 1:], full[:, 1:])
