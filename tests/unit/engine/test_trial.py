"""One trial on the analytic testbed: common random numbers, role separation, noise conventions, guards."""

import dataclasses
import mmap

import pytest
import torch

from guidebench import chosen, registry, seeds, views
from guidebench import protocol as protocols
from guidebench.engine import peak_memory, trial
from guidebench.engine.bench import Bench, check_player_is_not_judge
from guidebench.engine.trial import run_trial
from guidebench.errors import BadInput, MethodError
from guidebench.metrics import score_all
from guidebench.noise import Noise, SlicedNoise
from guidebench.testbeds.linear import LinearTestbed
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


def test_the_sample_count_does_not_move_the_first_samples(bench):
    few, many = (dataclasses.replace(SMOKE, samples=count) for count in (37, 80))
    rows = []
    for protocol in (few, many):
        images = torch.cat(list(bench._sampled(protocol, bench.players.generator, "before")))
        rows.append(images)
    assert (rows[0] - rows[1][:37]).abs().max() < 1e-6  # the last batch is smaller, and sums may round differently


def test_batches_do_not_move_the_noise_of_the_published_conventions(bench, monkeypatch):
    published = dataclasses.replace(SMOKE, conventions="published", samples=20)
    whole = torch.cat(list(bench._sampled(published, bench.players.generator, "after")))
    monkeypatch.setattr(bench.testbed, "batch", 3)
    parts = torch.cat(list(bench._sampled(published, bench.players.generator, "after")))
    assert (whole - parts).abs().max() < 1e-5  # rounding of sums of other lengths


def test_parts_of_a_batch_get_the_noise_of_the_whole():
    """Two draws with rows of their own (three a code, then one), and between them one that the batch shares."""

    def draws(noise, count):
        return [noise.uniform((3 * count, 2)), noise.normal((1, 4)), noise.normal((count, 2))]

    whole = draws(Noise.random(seeds.stream("whole")), 5)
    sliced = SlicedNoise(Noise.random(seeds.stream("whole")), 5)
    parts = [draws(sliced.rows(start, count), count) for start, count in ((0, 2), (2, 2), (4, 1))]
    rows, shared, more = zip(*parts, strict=True)
    assert torch.equal(torch.cat(rows), whole[0]) and torch.equal(torch.cat(more), whole[2])
    assert all(torch.equal(each, whole[1]) for each in shared)
    assert SlicedNoise(Noise.constant(), 5).rows(2, 2).is_constant


def test_identities_and_seeds_do_not_move_evaluation_draws(bench):
    """The FID samples of two identities and two seeds are the same, and so is the statistic of the original."""
    first, second = (
        run_trial(bench, SMOKE, registry.load_method("nothing"), index, seed, quiet).evidence
        for index, seed in ((0, 0), (1, 5))
    )
    assert (first.after[0].features == second.after[0].features).all() and (
        first.source.features == second.after[0].features
    ).all()


def test_retained_people_are_others_and_do_not_depend_on_how_many_are_forgotten(bench):
    wide = dataclasses.replace(SMOKE, identities=9, retain=3)
    cast = bench.cast(wide, 2)
    retained = [subject.identity for subject in cast.subjects if subject.role == "retain"]
    assert retained == ["celebahq-0039", "celebahq-0038", "celebahq-0037"]
    last = bench.cast(wide, 38)
    assert [subject.identity for subject in last.subjects if subject.role == "retain"] == [
        "celebahq-0039",
        "celebahq-0037",
        "celebahq-0036",
    ]


def test_too_few_people_to_retain_is_said(bench, says):
    with pytest.raises(BadInput, match=says("smoke", "'celebahq'", "40")):
        bench.cast(dataclasses.replace(SMOKE, retain=40), 0)


def test_a_random_cast_has_no_photographs_and_no_photo_metrics(bench):
    protocol = protocols.load("random").resolve("linear", samples=40)
    found = scores(bench, protocol, "mean-latent")
    assert {metric for metric, _ in found} == {"id", "id_retain", "id_neighbour", *IMAGE_METRICS}


def test_the_context_holds_players_and_no_judge(bench):
    cast = bench.cast(SMOKE, 0)
    context = trial.make_context(bench, SMOKE, cast.requests[0], 0, lambda step: None)
    values = [getattr(context, field.name) for field in dataclasses.fields(Context)]
    judges = [*bench.judges.recognizers.values(), bench.judges.features, bench.judges.features.extractor]
    assert not any(value is judge for value in values for judge in judges)
    assert context.source is not bench.players.generator  # a copy: nothing that a method does reaches another trial


def test_a_judge_with_a_players_weights_is_refused(says):
    with pytest.raises(BadInput, match=says("judge plain", "player recognizer", "abc")):
        check_player_is_not_judge({"recognizer": "abc"}, {"other": "x", "plain": "abc"})


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
    assert outcome.stages[0].unlearned.trainable == sum(
        item.numel() for item in source.parts()["backbone"].parameters()
    )
    assert run_trial(bench, SMOKE, registry.load_method("nothing"), 0, 0, quiet).stages[0].unlearned.trainable == 0


def test_neighbours_lie_at_growing_distances_in_directions_of_their_own(bench):
    """α_i = 15 i/k, so the last of them is as far as GUIDE's adjacency loss reaches."""
    cast = bench.cast(SMOKE, 0)
    (neighbours,) = cast.neighbours
    away = torch.linalg.vector_norm(neighbours - cast.latents[0], dim=(1, 2))
    expected = torch.arange(1, 9) * 15 / 8
    assert torch.allclose(away, expected, rtol=1e-4)  # float32 sums over 48 numbers
    assert not torch.equal(neighbours, bench.cast(SMOKE, 1).neighbours[0])
    none = bench.cast(dataclasses.replace(SMOKE, neighbours=0), 0)
    assert none.neighbours.shape == (1, 0, *cast.latents[0].shape)


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


def test_peak_memory_is_measured_or_says_why_not(bench):
    @dataclasses.dataclass(frozen=True)
    class Hungry(Unlearner):
        name = "hungry"
        mebibytes: int = 1

        def unlearn(self, generator, request, context):
            with mmap.mmap(-1, self.mebibytes * 2**20) as memory:  # the allocator may have as much to spare
                for page in range(0, len(memory), mmap.PAGESIZE):
                    memory[page] = 1
            return generator

    small, large = (run_trial(bench, SMOKE, Hungry(size), 0, 0, quiet).stages[0].unlearned.memory for size in (1, 200))
    if small.bytes is None:
        assert small.note and small.note not in (peak_memory.CPU, peak_memory.CUDA)
        pytest.skip(small.note)
    assert large.bytes - small.bytes > 100 * 2**20 and large.note == peak_memory.CPU
    again = run_trial(bench, SMOKE, Hungry(1), 0, 0, quiet).stages[0].unlearned.memory
    assert again.bytes < large.bytes - 100 * 2**20  # the peak is this trial's, not the process' so far


GROUPS = dataclasses.replace(SMOKE, identities=8, forget=2, requests=2, retain=2, retain_named=1, probe_photos=1)


def test_groups_are_disjoint_parts_of_the_fixed_order_and_nobody_of_them_is_kept(bench):
    """Two requests of two people each: the first trial forgets the first four people, the second the next four."""
    names = [f"celebahq-{place:04d}" for place in range(8)]
    assert [bench.group(GROUPS, index) for index in range(2)] == [
        ((names[0], names[1]), (names[2], names[3])),
        ((names[4], names[5]), (names[6], names[7])),
    ]
    cast = bench.cast(GROUPS, 1)
    assert [(subject.identity, subject.role, subject.photo, subject.request) for subject in cast.subjects] == [
        *[(name, role, photo, 1) for name in names[4:6] for role, photo in (("forget", 0), ("probe", 1))],
        *[(name, role, photo, 2) for name in names[6:8] for role, photo in (("forget", 0), ("probe", 1))],
        ("celebahq-0037", "named", 0, 0),
        ("celebahq-0039", "retain", 0, 0),
        ("celebahq-0038", "retain", 0, 0),
    ]
    assert cast.neighbours.shape[:2] == (4, 8)


def test_requests_name_their_people_and_those_to_keep_but_no_probe_and_nobody_unseen(bench):
    cast = bench.cast(GROUPS, 0)
    first, second = cast.requests
    assert [item.identity for item in first.forget] == ["celebahq-0000", "celebahq-0001"]
    assert [item.identity for item in second.forget] == ["celebahq-0002", "celebahq-0003"]
    assert [item.identity for item in first.retain] == [item.identity for item in second.retain] == ["celebahq-0037"]
    places = [0, 2, 4, 6]
    for place, item in zip(places, (*first.forget, *second.forget), strict=True):
        assert torch.equal(item.latent, cast.latents[place]) and torch.equal(item.image, cast.photos[place])


def test_sampled_groups_have_the_codes_of_the_single_people(bench):
    """Random: who is forgotten together does not change anybody's code."""
    random = protocols.load("random").resolve("linear", identities=4, samples=40)
    together = bench.cast(dataclasses.replace(random, forget=2, retain_named=1), 1)
    alone = [bench.cast(random, index) for index in (2, 3)]
    assert torch.equal(together.latents[:2], torch.cat([cast.latents[:1] for cast in alone]))
    assert [subject.role for subject in together.subjects] == [
        "forget",
        "forget",
        "named",
        "retain",
        "retain",
        "retain",
    ]
    assert torch.equal(together.latents[3:], alone[0].latents[1:])


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
    assert [stage.unlearned.progress for stage in found.stages] == [[{"step": 5, "loss": 1.0}]] * 2


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


def test_methods_of_a_group_see_streams_of_its_people(bench):
    first, second = bench.cast(GROUPS, 0).requests
    single = bench.cast(SMOKE, 0).requests[0]
    prefixes = [
        trial.make_context(bench, SMOKE, request, 3, lambda step: None).streams.prefix
        for request in (first, second, single)
    ]
    assert prefixes[0] == (SMOKE.name, SMOKE.version, "celebahq-0000", "celebahq-0001", 3)
    assert prefixes[2] == (SMOKE.name, SMOKE.version, "celebahq-0000", 3) and len(set(prefixes)) == 3
