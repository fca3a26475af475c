"""GUIDE towards other people: who is chosen, and that everything else is GUIDE's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from analytic_stage import PEOPLE, PROTOCOL, Stage

from guidebench.baselines.guide import Guide
from guidebench.baselines.targets import Anchor, RandomTarget
from guidebench.engine.unlearning import make_context
from guidebench.errors import BadInput, MethodError
from guidebench.noise import Noise
from guidebench.settings import with_settings


@pytest.fixture
def stage() -> Stage:
    return Stage()


def anchor(**fields: Any) -> Anchor:
    return Anchor(**{"noise": "constant", "steps": 2, "lr": 1e-2, **fields})


def test_a_random_target_is_an_ordinary_code_that_depends_on_the_run(stage: Stage) -> None:
    first, again = (RandomTarget().aim(stage.latents, stage.context) for _ in range(2))
    assert torch.equal(first, again) and first.shape == stage.latents.shape
    assert len({tuple(code.flatten().tolist()) for code in first}) == PEOPLE
    other = make_context(
        stage.bench.players, stage.bench.testbed.device, PROTOCOL, stage.request, seed=1, progress=stage.report
    )
    assert not torch.equal(RandomTarget().aim(stage.latents, other), first)


def test_the_anchor_is_the_candidate_most_like_the_person_who_is_not_the_same(stage: Stage) -> None:
    """By hand from the recogniser's view of all candidates; the same for every person."""
    method, context = anchor(candidates=64, false_accepts=0.05), stage.context
    codes = context.latents(64, "anchor/candidates")
    camera = context.source.rig.look_at(torch.zeros(1), context.cameras.pitch)

    def face(code: torch.Tensor) -> torch.Tensor:
        return context.recognizer(context.source.render(code[None], camera, noise=Noise.constant()))[0]

    with torch.no_grad():
        faces = torch.stack([face(code) for code in codes])
        pairs = sorted(float(faces[i] @ faces[j]) for i in range(64) for j in range(i))
        threshold = pairs[round((len(pairs) - 1) * 0.95)]
        chosen = method.aim(stage.latents, context)
        for person, found in zip(stage.latents, chosen, strict=True):
            likeness = [float(face(person) @ one) for one in faces]
            best = max(range(64), key=lambda place: likeness[place] if likeness[place] < threshold else -2)
            assert torch.equal(found, codes[best])


def test_somebody_who_passes_for_the_person_is_never_the_anchor(stage: Stage, monkeypatch) -> None:
    """The person is among the candidates: the one who is taken is another."""
    latents = type(stage.context).latents

    def with_the_person(self: Any, count: int, purpose: str, *index: int) -> torch.Tensor:
        return torch.cat([stage.latents[:1], latents(self, count - 1, purpose, *index)])

    monkeypatch.setattr(type(stage.context), "latents", with_the_person)
    (found,) = anchor().aim(stage.latents[:1], stage.context)
    assert not torch.equal(found, stage.latents[0])
    (own,) = anchor(false_accepts=0.0).aim(stage.latents[:1], stage.context)
    assert not torch.equal(own, stage.latents[0]), "its likeness to itself is 1"


def test_the_anchor_is_nearer_than_a_random_target(stage: Stage) -> None:
    faces = anchor().faces(stage.latents, stage.context)
    near, far = (
        anchor().faces(one.aim(stage.latents, stage.context), stage.context) for one in (anchor(), RandomTarget())
    )
    assert bool(((faces * near).sum(1) > (faces * far).sum(1)).all())


def test_candidates_who_all_pass_for_the_person_are_one_clear_line(stage: Stage) -> None:
    with pytest.raises(MethodError, match=r"16 candidates.*--set candidates=.*false_accepts = 1"):
        anchor(candidates=16, false_accepts=1.0).aim(stage.latents, stage.context)


@pytest.mark.parametrize("kind", [RandomTarget, Anchor], ids=lambda kind: kind.name)
def test_the_losses_are_guides_towards_that_code(stage: Stage, kind: type[RandomTarget]) -> None:
    method = kind(noise="constant", steps=1, lr=1e-2)
    stage.unlearn(method, people=1)
    (row,) = stage.reports
    latent = stage.latents[:1]
    guide = Guide(noise="constant")
    target = method.aim(latent, stage.context)
    found = guide.losses(stage.context.source, latent, target, guide.draw(stage.context, 1), stage.context)
    assert row["loss"] == pytest.approx(float(found.total), rel=1e-5)
    assert method.target(stage.request.forget[0], stage.context.source) is None


@pytest.mark.parametrize("kind", [RandomTarget, Anchor], ids=lambda kind: kind.name)
def test_settings_of_guides_target_are_refused_because_they_would_do_nothing(kind, says) -> None:
    with pytest.raises(BadInput, match=says(kind.name, "target_distance=10")):
        with_settings(kind(), {"target_distance": "10"})
    with pytest.raises(BadInput, match=says(kind.name, "target_kind=mean")):
        with_settings(kind(), {"target_kind": "mean"})
    with pytest.raises(BadInput, match="alpha_max"):
        with_settings(kind(), {"alpha_min": "20"})


def test_a_flat_generator_needs_no_camera(stage: Stage) -> None:
    source = stage.context.source
    source.rig = None
    assert anchor(candidates=8, false_accepts=0.1).aim(stage.latents, stage.context).shape == stage.latents.shape
