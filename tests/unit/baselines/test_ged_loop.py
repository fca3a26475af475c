"""Four recorded steps of GED's released code, without its mask network, fed with the recorded draws.

The gradient filter is on in the first two. Tolerances are those that the README of the reference arrays recommends.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from released_loop import (
    Watch,
    context_of,
    identity_network,
    norms,
    perceptual_network,
    request_of,
    small_generator,
)
from torch import Tensor

from guidebench.baselines.ged import Ged, Retained, aligned
from guidebench.baselines.guide import Draws
from guidebench.networks.eg3d import TriPlaneGenerator
from guidebench.noise import Noise
from guidebench.unlearner import Context

pytestmark = [pytest.mark.reference, pytest.mark.long, pytest.mark.timeout(600)]
STEPS, NEAR, AWAY, FILTERED = 4, 1, 2, 2
THRESHOLD = 1e-8


@dataclass
class Notes:
    """What the method computed, one entry per step."""

    terms: list[Retained] = field(default_factory=list)
    retain: list[list[Tensor]] = field(default_factory=list)
    forget: list[list[Tensor]] = field(default_factory=list)


@dataclass(frozen=True)
class RecordedGed(Ged):
    """GED with the recorded draws, which notes its terms and gradients."""

    average: Any = field(default=None, compare=False)
    recorded: Sequence[Draws] = ()
    notes: Any = field(default=None, compare=False)

    def target_code(self, latent: Tensor, average: Tensor) -> Tensor:
        return super().target_code(latent, self.average)

    def draw(self, context: Context, step: int) -> Draws:
        return self.recorded[step - 1]

    def retained(self, *arguments: Any) -> Retained:
        found = super().retained(*arguments)
        values = {term.name: getattr(found, term.name).detach() for term in dataclasses.fields(found)}
        self.notes.terms.append(Retained(**values))
        return found

    def combined(self, forget: Sequence[Tensor], retain: Sequence[Tensor], filtered: bool) -> list[Tensor]:
        self.notes.forget.append(list(forget))
        self.notes.retain.append(list(retain))
        return super().combined(forget, retain, filtered)


@dataclass(frozen=True)
class Run:
    """Four steps of our method, and what was recorded of the released code's."""

    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]
    notes: Notes
    watch: Watch
    source: TriPlaneGenerator
    generator: TriPlaneGenerator
    names: list[str]  # of the trained tensors


@pytest.fixture(scope="module")
def run(reference: Path, recipe: ModuleType) -> Iterator[Run]:
    facts = json.loads((reference / "ged_loop.json").read_text())
    with np.load(reference / "ged_loop_io.npz") as stored:
        arrays = dict(stored)
    source = small_generator(facts, recipe).requires_grad_(False)
    notes = Notes()
    method = RecordedGed(
        steps=STEPS,
        filter_share=FILTERED / STEPS,
        noise="constant",
        average=torch.from_numpy(arrays["w_avg"]),
        recorded=recorded_draws(arrays, source),
        notes=notes,
    )
    generator = copy.deepcopy(source)
    with pytest.MonkeyPatch.context() as monkeypatch:
        watch = Watch(monkeypatch)
        context = context_of(source, identity_network(recipe), perceptual_network(recipe), watch.progress(generator))
        method.unlearn(generator, request_of(torch.from_numpy(arrays["w_u"][0])), context)
    names = [f"backbone.synthesis.{name}" for name, _ in generator.parts()["backbone"].named_parameters()]
    yield Run(arrays, facts, notes, watch, source, generator, names)


def recorded_draws(arrays: dict[str, np.ndarray], source: TriPlaneGenerator) -> list[Draws]:
    constant = (Noise.constant(), Noise.constant())
    condition = torch.from_numpy(arrays["conditioning_params"])
    found = []
    for z, alpha, camera in zip(arrays["z"], arrays["alpha"], arrays["camera_params"], strict=True):
        with torch.no_grad():
            codes = source.map(torch.from_numpy(z), condition=condition.expand(len(z), -1))
        found.append(
            Draws(
                camera=torch.from_numpy(camera),
                towards=codes[:NEAR],
                alpha=torch.from_numpy(alpha).float(),
                others=codes[NEAR:],
                render_noise=constant,
                feature_noise=constant,
            )
        )
    return found


def test_the_losses_are_the_recorded_ones(run: Run) -> None:
    for column, name in ((0, "retain"), (1, "forget")):
        found = [row[name] for row in run.watch.scalars]
        np.testing.assert_allclose(found, run.arrays["totals"][:, column], atol=1e-4, rtol=0, err_msg=name)
    retain, forget = (np.array([row[name] for row in run.watch.scalars]) for name in ("retain", "forget"))
    np.testing.assert_allclose([row["loss"] for row in run.watch.scalars], retain + forget, rtol=1e-6)


def test_every_term_of_the_forgetting_loss_is_the_recorded_one(run: Run) -> None:
    """In each step the retaining loss comes first."""
    wanted = np.concatenate([run.arrays["local"][:, None, :3], run.arrays["adj"][:, :, :3]], axis=1)
    for column, (name, tolerance) in enumerate((("mse", {"rtol": 1e-4}), ("lpips", {}), ("id", {}))):
        found = np.array(run.watch.rows[name][1::2])
        np.testing.assert_allclose(found, wanted[:, :, column], err_msg=name, **{"atol": 1e-4, "rtol": 0, **tolerance})
    assert run.watch.dtypes == {"torch.float32"}


def test_every_term_of_the_retaining_loss_is_the_recorded_one(run: Run) -> None:
    """Columns of `orth`: the two distances, the triplet, what has no gradient, the colour."""
    terms = {
        name: np.array([getattr(step, name).double().numpy() for step in run.notes.terms])
        for name in ("perceptual", "mse", "identity", "triplet", "colour")
    }
    lpips, mse, identity = np.moveaxis(run.arrays["glob"], -1, 0)
    np.testing.assert_allclose(terms["perceptual"], lpips, atol=1e-4, rtol=0)
    np.testing.assert_allclose(terms["mse"], mse, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(terms["identity"], identity, atol=1e-4, rtol=0)
    _, _, triplet, without_gradient, colour = np.moveaxis(run.arrays["orth"], -1, 0)
    np.testing.assert_allclose(terms["triplet"], triplet, atol=2e-4, rtol=0)
    np.testing.assert_allclose(terms["colour"], colour, atol=2e-4, rtol=0)
    assert not without_gradient.any()


def test_both_gradients_and_what_the_filter_leaves_are_the_recorded_ones(run: Run) -> None:
    assert len(run.facts["steps"]) == FILTERED
    for step, recorded in enumerate(run.facts["steps"]):
        found = {
            "retain": dict(zip(run.names, run.notes.retain[step], strict=True)),
            "forget": dict(zip(run.names, run.notes.forget[step], strict=True)),
            "filtered": run.watch.gradients[step],
        }
        for kind, gradients in found.items():
            total = float(np.linalg.norm(list(recorded[kind].values())))
            assert set(gradients) == set(recorded[kind]) and len(gradients) == 94
            for name, norm in norms(gradients).items():
                wanted = pytest.approx(recorded[kind][name], rel=2e-2, abs=1e-3 * total)
                assert norm == wanted, (step, kind, name)
            prefix = f"{kind}{step + 1}."
            stored = {name.removeprefix(prefix): one for name, one in run.arrays.items() if name.startswith(prefix)}
            assert len(stored) == 7
            if kind == "filtered":  # elements beside the threshold may fall to either side
                continue
            for name, value in stored.items():
                difference = np.linalg.norm(gradients[name].numpy() - value)
                assert difference <= max(2e-2 * np.linalg.norm(value), 1e-3 * total), (step, kind, name)
        for name, share in recorded["kept_fraction"].items():
            kept = float((found["filtered"][name] != 0).double().mean())
            assert kept == pytest.approx(share, abs=2e-2), (step, name)
        for name, cosine in recorded["layer_cos"].items():
            own, other = found["forget"][name], found["retain"][name]
            threshold = run.facts["filter"]["layer_threshold"]
            if abs(cosine - threshold) > 0.05:
                assert bool(aligned(own, other, threshold).any()) == (cosine > threshold), (step, name)


def test_the_applied_gradient_is_the_recorded_one(run: Run) -> None:
    totals = run.arrays["grad_total_norm"]
    np.testing.assert_allclose(run.watch.rows["grad_total_norm"], totals, rtol=2e-3)
    for step, recorded in enumerate(run.facts["grad_norms"]):
        for name, norm in norms(run.watch.gradients[step]).items():
            assert norm == pytest.approx(recorded[name], rel=2e-2, abs=1e-3 * totals[step]), (step, name)


def test_the_weights_change_as_recorded_and_only_those_of_the_backbone(run: Run, recipe: ModuleType) -> None:
    before, after = run.source.state_dict(), run.generator.state_dict()
    assert {name for name in before if not torch.equal(before[name], after[name])} == set(run.names)
    for name, fact in run.facts["final"].items():
        np.testing.assert_allclose(recipe.digest(after[name].numpy())[:2], fact["final"][:2], atol=1e-5, err_msg=name)
        change = (after[name] - before[name]).double()
        rounding = 1e-2 * run.facts["lr"]
        assert float(change.square().mean().sqrt()) == pytest.approx(fact["delta_rms"], rel=0.02, abs=rounding), name
        assert float(change.abs().max()) == pytest.approx(fact["delta_max"], rel=0.02, abs=rounding), name


def test_the_forgotten_code_looks_as_recorded_afterwards(run: Run) -> None:
    code, camera = (torch.from_numpy(run.arrays[name]) for name in ("w_u", "camera_params_front"))
    with torch.no_grad():
        image = run.generator.render(code, camera, noise=Noise.constant())
    np.testing.assert_allclose(image[:, :, 1::4, 2::4], run.arrays["image_after_sub"], atol=1e-3, rtol=0)


def test_the_recorded_settings_are_our_defaults(run: Run) -> None:
    method, weights = Ged(), run.facts["lambdas"]
    assert weights == {
        "local": [method.local_mse, method.local_perceptual, method.local_identity],
        "adj": [method.adjacency_mse, method.adjacency_perceptual, method.adjacency_identity],
        "glob": method.retain_weight,
        "glob_mse": method.retain_mse,
        "glob_orth": method.separation,
    }
    assert (method.retain_perceptual, method.retain_identity) == (1, 1)
    assert run.facts["filter"]["epsilon"] == method.filter_threshold == THRESHOLD
    assert (run.facts["filter"]["layer_threshold"], run.facts["margin"]) == (method.layer_threshold, method.margin)
    assert (run.facts["lr"], run.facts["target_d"]) == (method.lr, method.target_distance)
    assert run.facts["alpha_range"] == [method.alpha_min, method.alpha_max]
    assert run.facts["batch"] == {"adj": method.adjacency_samples, "glob": method.retain_samples}
    assert round(method.filter_share * method.steps) == 401, "steps 0 to 400"
