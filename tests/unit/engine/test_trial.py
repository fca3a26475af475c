"""One trial on the analytic testbed: common random numbers, role separation, noise conventions, guards."""

import dataclasses

import numpy as np
import pytest
import torch

from guidebench import chosen, registry, views
from guidebench import protocol as protocols
from guidebench.engine.bench import Bench
from guidebench.engine.trial import run_trial
from guidebench.engine.unlearning import make_context
from guidebench.errors import BadInput, MethodError
from guidebench.metrics import score_all
from guidebench.noise import Noise
from guidebench.testbeds.linear import LinearGenerator, LinearTestbed
from guidebench.unlearner import Context, Unlearner

IMAGE_METRICS = ("fid_pre", "delta_fid_real", "kid_pre", "precision", "recall")
SMOKE = protocols.load("smoke").resolve("linear")


@pytest.fixture(scope="module")
def bench():
    return Bench(LinearTestbed())


def quiet(step, scalars):
    pass


def scores(bench, protocol, name, index=0, seed=0):
    method, _ = chosen.with_preset(registry.load_method(name), "linear")
    outcome = run_trial(bench, protocol, method, index, seed, quiet)
    return {(score.metric, score.judge): score for score in score_all(outcome.evidence)}


def test_nothing_measures_exactly_nothing_under_shared_noise(bench):
    found = scores(bench, SMOKE, "nothing")
    for metric in ("id", "id_others", "id_retain"):
        assert found[metric, "plain"].value >= 1 - 1e-4
    assert abs(found["fid_pre", None].value) <= 1e-3 and abs(found["delta_fid_real", None].value) <= 1e-3


def test_a_testbed_of_other_conventions_than_the_protocol_asks_for_is_refused(bench, says):
    with pytest.raises(BadInput, match=says("smoke", "published", "linear", "corrected")):
        scores(bench, dataclasses.replace(SMOKE, conventions="published"), "nothing")


def test_nothing_measures_the_noise_floor_under_the_published_conventions(bench):
    """Independent noise before and after moves the nuisances, which FID sees and recognisers do not."""
    published = dataclasses.replace(SMOKE, conventions="published")
    found = scores(Bench(LinearTestbed(conventions="published")), published, "nothing")
    assert found["fid_pre", None].value > 1e-3
    assert found["id", "plain"].value > 0.999


def test_identities_and_seeds_do_not_move_evaluation_draws(bench):
    """The FID samples of two identities and two seeds are the same, and so is the statistic of the original."""
    first, second = (
        run_trial(bench, SMOKE, registry.load_method("nothing"), index, seed, quiet).evidence
        for index, seed in ((0, 0), (1, 5))
    )
    assert (first.after[0].features == second.after[0].features).all() and (
        first.source.features == second.after[0].features
    ).all()


def test_a_random_cast_has_no_photographs_and_no_photo_metrics(bench):
    protocol = protocols.load("random").resolve("linear", samples=40)
    found = scores(bench, protocol, "mean-latent")
    shares = {"recognised", "recognised_retain"}  # of renders that pass as the person's before
    assert {metric for metric, _ in found} == {"id", "id_retain", "id_neighbour", *shares, *IMAGE_METRICS}


def test_the_context_holds_players_and_no_judge(bench):
    cast = bench.cast(SMOKE, 0)
    context = make_context(bench.players, bench.testbed.device, SMOKE, cast.requests[0], 0, lambda step: None)
    values = [getattr(context, field.name) for field in dataclasses.fields(Context)]
    judges = [*bench.judges.recognizers.values(), bench.judges.features, bench.judges.features.extractor]
    assert not any(value is judge for value in values for judge in judges)
    assert context.source is not bench.players.generator  # a copy: nothing that a method does reaches another trial


def test_global_draws_of_a_method_are_seeded_and_leave_the_outside_alone(bench):
    seen = []

    @dataclasses.dataclass(frozen=True)
    class Draws(Unlearner):
        name = "draws"

        def unlearn(self, generator, request, context):
            seen.append(torch.rand(3))
            return generator

    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    for seed in (0, 0, 1):
        run_trial(bench, SMOKE, Draws(), 0, seed, quiet)
    assert torch.equal(torch.rand(2), expected)
    assert torch.equal(seen[0], seen[1]) and not torch.equal(seen[0], seen[2])


def test_players_are_restored_after_a_method_changed_them(bench):
    @dataclasses.dataclass(frozen=True)
    class Vandal(Unlearner):
        name = "vandal"

        def unlearn(self, generator, request, context):
            with torch.no_grad():
                for parameter in context.source.parameters():
                    parameter.add_(1.0)
            return generator

    with pytest.raises(MethodError, match="context's source"):
        run_trial(bench, SMOKE, Vandal(), 0, 0, quiet)
    assert scores(bench, SMOKE, "nothing")["id", "plain"].value >= 1 - 1e-4


def test_changed_parameters_are_counted(bench):
    source = bench.players.generator
    method, _ = chosen.with_preset(registry.load_method("guide"), "linear")
    outcome = run_trial(bench, SMOKE, method, 0, 0, quiet)
    assert outcome.stages[0].unlearned.change.parameters == sum(
        item.numel() for item in source.parts()["backbone"].parameters()
    )
    assert (
        run_trial(bench, SMOKE, registry.load_method("nothing"), 0, 0, quiet).stages[0].unlearned.change.parameters == 0
    )


def test_neighbours_are_rendered_from_the_front_after_unlearning(bench):
    """Under `nothing` the evidence is what the original shows of them; without neighbours there is no score."""
    outcome = run_trial(bench, SMOKE, registry.load_method("nothing"), 0, 0, quiet)
    generator, sight = bench.players.generator, outcome.evidence.sights["plain"]
    camera = views.protocol_cameras(SMOKE, generator)[1:2].expand(8, -1)
    images = generator.render(outcome.cast.neighbours[0], camera, noise=Noise.constant())
    expected = bench.judges.recognizers["plain"].embed(images)
    around = sight.neighbours[0, 0]
    assert torch.allclose(torch.from_numpy(around.vectors), expected.vectors, atol=1e-5)  # another batch size
    assert (around.found == expected.found.numpy()).all()
    without = scores(bench, dataclasses.replace(SMOKE, neighbours=0), "nothing")
    assert not any(metric == "id_neighbour" for metric, _ in without)


GROUPS = dataclasses.replace(SMOKE, identities=8, forget=2, requests=2, retain=2, retain_named=1, probe_photos=1)


@dataclasses.dataclass(frozen=True)
class Moves(Unlearner):
    """Adds to the backbone as much as there are people in a request, and remembers what it was given."""

    name = "moves"
    supports = frozenset({"single", "simultaneous", "sequential"})

    def unlearn(self, generator, request, context):
        with torch.no_grad():
            for parameter in generator.parts()["backbone"].parameters():
                parameter.add_(0.01 * len(request.forget))
        context.progress(5, loss=float(len(request.retain)))
        return generator


def test_each_request_continues_the_generator_of_the_one_before(bench):
    found = run_trial(bench, GROUPS, Moves(), 0, 0, quiet)
    original = dict(bench.players.generator.named_parameters())
    for stage, total in zip(found.stages, (0.02, 0.04), strict=True):
        moved = dict(stage.unlearned.generator.named_parameters())
        shifts = {
            float((moved[name] - original[name]).max())
            for name in original
            if not torch.equal(moved[name], original[name])
        }
        assert shifts and all(shift == pytest.approx(total, rel=1e-3) for shift in shifts)
    assert [stage.unlearned.progress for stage in found.stages] == [
        [{"request": request, "step": 5, "loss": 1.0}] for request in (1, 2)
    ]


def test_a_group_is_scored_after_each_request_person_by_person(bench):
    found = {
        (score.metric, score.identity, score.role, score.after_request)
        for score in score_all(run_trial(bench, GROUPS, Moves(), 0, 0, quiet).evidence)
        if score.judge in (None, "plain") and score.value is not None
    }
    people = [f"celebahq-{place:04d}" for place in range(4)]
    for metric, role in (("id", "forget"), ("id_others", "probe"), ("id_neighbour", "forget")):
        after = {(name, request) for kind, name, _, request in found if kind == metric}
        assert after == {(name, request) for request in (1, 2) for name in people[: 2 * request]}
        assert {own for kind, _, own, _ in found if kind == metric} == {role}
    for metric, role in (("id_retain", "retain"), ("id_named", "named"), ("kid_pre", "samples")):
        assert {place for place in found if place[0] == metric} == {
            (metric, "celebahq-0000+3", role, request) for request in (1, 2)
        }


def test_people_of_later_requests_are_not_rendered_and_embeddings_of_several_requests_are_rounded(bench):
    """What nobody looks at is no face; float16 holds the rest, so that files are as exact as what was scored."""
    found = run_trial(bench, GROUPS, Moves(), 0, 0, quiet).evidence
    later = [place for place, subject in enumerate(found.subjects) if subject.request == 2]
    for sight in found.sights.values():
        assert not sight.after.found[0, later].any() and sight.after.found[1, later].all()
        assert not sight.neighbours.found[0, 2:].any() and sight.neighbours.found[:, :2].all()
        assert np.array_equal(sight.after.vectors, sight.after.vectors.astype(np.float16).astype(np.float32))
    single = run_trial(bench, SMOKE, Moves(), 0, 0, quiet).evidence.sights["plain"].after.vectors
    assert not np.array_equal(single, single.astype(np.float16).astype(np.float32))


class Greedy(LinearGenerator):
    """Writes to the codes that it is given."""

    def synthesize(self, ws, *, noise):
        ws += 0.5
        return super().synthesize(ws, noise=noise)


@dataclasses.dataclass(frozen=True)
class Meddles(Unlearner):
    """Returns a generator that writes to codes; its target writes to what it is shown."""

    name = "meddles"

    def unlearn(self, generator, request, context):
        greedy = Greedy().eval().requires_grad_(False)
        greedy.load_state_dict(generator.state_dict())
        return greedy

    def target(self, item, source):
        with torch.no_grad():
            item.latent.mul_(2)
            for parameter in source.parameters():
                parameter.mul_(2)
        return item.latent


def test_nothing_that_is_remembered_can_be_written_to_by_a_method(bench):
    """Neither the people's codes, by a generator that it returned, nor the original, by its target()."""
    scene = bench.scene(SMOKE, 0)
    codes, around = scene.cast.latents.clone(), scene.cast.neighbours.clone()
    weights = {name: value.clone() for name, value in bench.players.generator.state_dict().items()}
    run_trial(bench, SMOKE, Meddles(), 0, 0, lambda step, scalars: None)
    assert bench.scene(SMOKE, 0) is scene
    assert torch.equal(scene.cast.latents, codes) and torch.equal(scene.cast.neighbours, around)
    assert all(torch.equal(value, weights[name]) for name, value in bench.players.generator.state_dict().items())


def test_nothing_leaves_everybody_recognised_and_scramble_nobody(bench):
    """The judges' thresholds reach the metrics; on photographs the floor is what was recognised before."""
    nothing, scramble = (scores(bench, SMOKE, method) for method in ("nothing", "scramble"))
    for judge in bench.judges.recognizers:
        for who in ("recognised", "recognised_others", "recognised_retain"):
            assert nothing[who, judge].value == nothing[f"{who}_before", judge].value > 0.9
            assert scramble[who, judge].value == 0.0
