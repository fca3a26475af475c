"""`guidebench check` of a testbed: builds its players, judges and faces, and looks at what each of them gives.

The checks look at the interfaces of `guidebench.testbed` only, see docs/testbeds.md. They need what a run needs: a
testbed whose files are missing gets one finding and is not examined further.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import torch
from torch import Tensor, nn

from guidebench import registry, seeds
from guidebench.checks.finding import Finding, guarded
from guidebench.errors import GuidebenchError, in_one_line
from guidebench.noise import Noise
from guidebench.protocol import Protocol
from guidebench.testbed import Faces, Generator, Judges, Players, Recognizer, Testbed

TOLERANCE = 1e-4  # images are in about [-1, 1] and vectors have unit length; rounding of float32 stays below
BRIGHTEST = 4.0  # a generator's images may leave [-1, 1], but not by this much
UNTOUCHED = 0.999  # least ID of a generator that nothing was done to
_PEOPLE, _PHOTOS, _CODES = 2, 1, 3
_INTERFACE = ("z_dim", "num_ws", "w_dim", "resolution", "w_avg", "rig")
_PLAYERS = ("generator", "inverter", "recognizer", "perceptual")


class _Built:
    """A testbed with its groups, built once, and what they are tried on."""

    def __init__(self, testbed: Testbed) -> None:
        self.testbed = testbed

    @cached_property
    def players(self) -> Players:
        return self.testbed.players()

    @cached_property
    def judges(self) -> Judges:
        return self.testbed.judges()

    @cached_property
    def faces(self) -> Faces:
        return self.testbed.faces()

    @cached_property
    def source(self) -> str:
        """The first photo set."""
        return next(iter(self.faces.sources()))

    @cached_property
    def photos(self) -> Tensor:
        """(_PEOPLE, 3, r, r): a photograph of each of the first people."""
        people = self.faces.people(self.source, range(_PEOPLE), photos=_PHOTOS)
        return torch.cat([person.photos[:1] for person in people]).to(self.testbed.device)

    @cached_property
    def codes(self) -> Tensor:
        """(_CODES, num_ws, w_dim): random latent codes."""
        generator = self.players.generator
        z = seeds.normals(range(_CODES), generator.z_dim, "check", "codes").to(self.testbed.device)
        with torch.no_grad():
            return generator.map(z)

    @torch.no_grad()
    def render(self, codes: Tensor) -> Tensor:
        """Frontal renders under constant noise."""
        generator = self.players.generator
        cameras = None if generator.rig is None else generator.rig.look_at(torch.zeros(len(codes)), 0.0)
        return generator.render(codes, None if cameras is None else cameras.to(codes.device), noise=Noise.constant())


def check_testbed(spec: str) -> list[Finding]:
    """Checks a testbed by name, ``path/to/file.py:Class`` or ``module:Class``, on the CPU; stops where it must."""
    return list(_findings(spec))


def _findings(spec: str) -> Iterator[Finding]:
    try:
        kind = registry.testbed_class(spec)
        testbed = kind()
        missing = list(testbed.missing())
    except Exception as error:  # a constructor may be anybody's
        yield Finding("loads", False, str(error) if isinstance(error, GuidebenchError) else in_one_line(error))
        return
    yield Finding("loads", True, f"{kind.__name__}, called '{kind.name}'")
    yield Finding("files", not missing, "; ".join(missing) or "nothing is missing")
    if missing:
        return
    yield from _looks(_Built(testbed))


def _looks(built: _Built) -> Iterator[Finding]:
    """What is found by using a testbed."""

    def look(name: str, good: str, complain: Callable[[_Built], str | None]) -> Finding:
        return guarded(name, good, lambda: complain(built))

    for name, good, complain in (
        ("players", "generator, inverter, recogniser and perceptual distance, frozen", _players),
        ("judges", "recognisers and a feature extractor, frozen", _judges),
        ("faces", "people with photographs of the generator's size", _faces),
    ):
        group = look(name, good, complain)
        yield group
        if not group.ok:
            return  # what follows would fail for the same reason
    yield look("manifest", "the photo sets have digests that stay", _manifest)
    yield look("renders", "finite images of the right shape and range", _renders)
    yield look("batches", "one code renders the same alone and among others", _batches)
    yield look("noise", "constant noise repeats", _noise)
    yield look("inverts", "a latent code of the generator's shape", _inverts)
    yield look("trains", "the training recogniser and the perceptual distance have gradients", _trains)
    yield look("sees", "unit vectors, and which faces were found", _sees)
    yield look("features", "as many numbers per image as declared", _features)
    yield look("apart", "no judge shares its weights with a player", _apart)
    yield look("again", "built a second time, it renders the same and has the same digests", _again)
    yield look("trial", "the floor `nothing` is measured, and leaves everybody as they are", _trial)


def _unfrozen(parts: dict[str, nn.Module]) -> str | None:
    for name, part in parts.items():
        if any(module.training for module in part.modules()):
            return f"{name} is in training mode; call .eval()"
        if any(parameter.requires_grad for parameter in part.parameters()):
            return f"{name} has parameters that require gradients; call .requires_grad_(False)"
    return None


def _players(built: _Built) -> str | None:
    players = built.players
    if not isinstance(players, Players):
        return f"players() must return guidebench.testbed.Players, it returned a {type(players).__name__}"
    without = [name for name in _PLAYERS if not players.digests.get(name)]
    if without:
        return f"digests lack {', '.join(without)}; give the SHA-256 of each player's weights"
    generator = players.generator
    lacking = [
        name for name in ("z_dim", "num_ws", "w_dim", "resolution", "w_avg", "rig") if not hasattr(generator, name)
    ]
    if lacking:
        return f"the generator has no {', '.join(lacking)}; see guidebench.testbed.Generator"
    if "backbone" not in generator.parts():
        return 'parts() must name at least "backbone", which methods train'
    if tuple(generator.w_avg.shape) != (generator.w_dim,):
        return f"w_avg has shape {tuple(generator.w_avg.shape)}, not ({generator.w_dim},)"
    return _unfrozen({name: getattr(players, name) for name in _PLAYERS})


def _judges(built: _Built) -> str | None:
    judges = built.judges
    if not isinstance(judges, Judges):
        return f"judges() must return guidebench.testbed.Judges, it returned a {type(judges).__name__}"
    if not judges.recognizers:
        return "there is no recogniser; identity needs at least one judge"
    without = [name for name in (*judges.recognizers, "features") if not judges.digests.get(name)]
    if without:
        return f"digests lack {', '.join(without)}; give the SHA-256 of each judge's weights"
    strange = sorted({*judges.different_people, *judges.descriptions} - set(judges.recognizers))
    if strange:
        return f"different_people or descriptions name {', '.join(strange)}, which is not a recogniser"
    if judges.real is not None and judges.real.mean.shape != (judges.features.dim,):
        return f"statistics of real images have {judges.real.mean.size} numbers, features {judges.features.dim}"
    return _unfrozen({**judges.recognizers, "features": judges.features.extractor})


def _faces(built: _Built) -> str | None:
    sources = built.faces.sources()
    if not sources or min(sources.values()) < _PEOPLE:
        return f"sources() is {dict(sources)}; offer a photo set of at least {_PEOPLE} people"
    people = built.faces.people(built.source, range(_PEOPLE), photos=_PHOTOS)
    side = built.players.generator.resolution
    for person in people:
        if person.photos.dtype != torch.float32 or tuple(person.photos.shape) != (_PHOTOS, 3, side, side):
            kind = f"{tuple(person.photos.shape)} {person.photos.dtype}"
            return f"photos of {person.identity} are {kind}, not ({_PHOTOS}, 3, {side}, {side}) torch.float32"
        if not float(person.photos.abs().max()) <= 1:
            return f"photos of {person.identity} leave [-1, 1]"
    if len({person.identity for person in people}) < len(people):
        return f"two people are called {people[0].identity}; give everybody a name of their own"
    last = built.faces.people(built.source, [1], photos=_PHOTOS)[0]
    if last.identity != people[1].identity or not torch.equal(last.photos, people[1].photos):
        return "a person asked for alone is another than among others; keep a fixed order"
    return None


def _manifest(built: _Built) -> str | None:
    for source in built.faces.sources():
        first, again = built.faces.manifest(source), built.testbed.faces().manifest(source)
        if not first or first != again:
            return f"manifest('{source}') is {first!r}, then {again!r}; give a digest of what defines the photo set"
    return None


def _renders(built: _Built) -> str | None:
    generator, side = built.players.generator, built.players.generator.resolution
    if tuple(built.codes.shape) != (_CODES, generator.num_ws, generator.w_dim):
        wanted = f"({_CODES}, {generator.num_ws}, {generator.w_dim})"
        return f"map() gives {tuple(built.codes.shape)}, not {wanted}"
    rendered = built.render(built.codes)
    if rendered.dtype != torch.float32 or tuple(rendered.shape) != (_CODES, 3, side, side):
        kind = f"{tuple(rendered.shape)} {rendered.dtype}"
        return f"images are {kind}, not ({_CODES}, 3, {side}, {side}) torch.float32"
    if not bool(torch.isfinite(rendered).all()):
        return "an image is not finite"
    if not float(rendered.abs().max()) <= BRIGHTEST:
        return f"images reach {float(rendered.abs().max()):.3g}; they should be in about [-1, 1]"
    if torch.equal(rendered[0], rendered[1]):
        return "two random codes render the same image"
    return None


def _batches(built: _Built) -> str | None:
    alone = torch.cat([built.render(code[None]) for code in built.codes])
    worst = float((built.render(built.codes) - alone).abs().max())
    if worst <= TOLERANCE:
        return None
    return f"a code renders differently among others (by {worst:.2g}); no row of a batch may see another"


def _noise(built: _Built) -> str | None:
    if not torch.equal(built.render(built.codes), built.render(built.codes)):
        return "two renders under constant noise differ; draw only from the `noise` that render() is given"
    generator: Generator = built.players.generator
    if generator.features_are_deterministic:
        with torch.no_grad():
            first, second = (
                generator.synthesize(built.codes, noise=Noise.random(seeds.derive("check", run))) for run in range(2)
            )
        if not torch.equal(first, second):
            return "features_are_deterministic is True, but synthesize() draws noise"
    return None


@torch.no_grad()
def _inverts(built: _Built) -> str | None:
    generator, codes = built.players.generator, built.players.inverter.invert(built.photos)
    wanted = (_PEOPLE, generator.num_ws, generator.w_dim)
    if tuple(codes.shape) != wanted or not bool(torch.isfinite(codes).all()):
        return f"invert() gives {tuple(codes.shape)}, not {wanted} finite numbers"
    if not torch.equal(codes, built.players.inverter.invert(built.photos)):
        return "the same photographs invert to other codes; draw only from `rng`"
    return None


def _trains(built: _Built) -> str | None:
    photos = built.photos.clone().requires_grad_(True)
    vectors = built.players.recognizer(photos)
    if complaint := _not_unit(vectors.detach()):
        return f"the training recogniser's forward() gives {complaint}"
    distance = built.players.perceptual(photos, photos.detach().flip(0))
    if tuple(distance.shape) != (_PEOPLE,) or not bool((distance >= 0).all()):
        return f"the perceptual distance is {distance.tolist()}; give one number, 0 or more, per pair"
    same = built.players.perceptual(photos.detach(), photos.detach())
    if not bool((same.abs() <= TOLERANCE).all()):
        return f"the perceptual distance of an image and itself is {float(same.max()):.3g}, not 0"
    for name, value in (("recogniser", vectors[:, 0].sum()), ("perceptual distance", distance.sum())):
        (gradient,) = torch.autograd.grad(value, photos, retain_graph=True)
        if not bool(torch.isfinite(gradient).all()):
            return f"the {name} has a gradient that is not finite"
    return None


def _not_unit(vectors: Tensor) -> str | None:
    """What is wrong with rows that should have unit length (n, d), or None."""
    if vectors.ndim != 2 or len(vectors) != _PEOPLE:
        return f"{tuple(vectors.shape)}, not ({_PEOPLE}, d)"
    worst = float((vectors.norm(dim=1) - 1).abs().max())
    return None if worst <= TOLERANCE else f"rows whose length is off 1 by {worst:.2g}; normalise them"


@torch.no_grad()
def _sees(built: _Built) -> str | None:
    for name, judge in built.judges.recognizers.items():
        if complaint := _sees_wrongly(judge, built.photos):
            return f"judge {name} {complaint}"
    return None


def _sees_wrongly(judge: Recognizer, photos: Tensor) -> str | None:
    seen = judge.embed(photos)
    if seen.found.dtype != torch.bool or tuple(seen.found.shape) != (_PEOPLE,):
        return f"gives found as {tuple(seen.found.shape)} {seen.found.dtype}, not ({_PEOPLE},) torch.bool"
    if seen.vectors.dtype != torch.float32 or tuple(seen.vectors.shape[:-1]) != (_PEOPLE,):
        return f"gives vectors as {tuple(seen.vectors.shape)} {seen.vectors.dtype}, not ({_PEOPLE}, d) torch.float32"
    if not bool(seen.found.any()):
        return "finds no face in the testbed's own photographs"
    lengths = seen.vectors[seen.found].norm(dim=1)
    if not bool(((lengths - 1).abs() <= TOLERANCE).all()):
        return "gives vectors that do not have unit length; normalise them"
    alone = torch.cat([judge.embed(photo[None]).vectors for photo in photos])
    if float((alone - seen.vectors)[seen.found].abs().max()) > 10 * TOLERANCE:
        return "sees a face differently among others; no row of a batch may see another"
    judge.embed(torch.zeros_like(photos))  # grey images, as a destroyed generator may render them
    return None


def _features(built: _Built) -> str | None:
    source = built.judges.features
    found = source.features(built.photos)
    if found.shape != (_PEOPLE, source.dim):
        return f"features have shape {found.shape}, dim declares {source.dim}"
    return None


def _apart(built: _Built) -> str | None:
    from guidebench.engine.bench import check_player_is_not_judge

    try:
        check_player_is_not_judge(built.players.digests, built.judges.digests)
    except GuidebenchError as error:
        return str(error)
    return None


def _again(built: _Built) -> str | None:
    other = _Built(type(built.testbed)())
    if dict(other.players.digests) != dict(built.players.digests):
        return "the digests of the players change from one build to the next; digest the weights"
    if dict(other.judges.digests) != dict(built.judges.digests):
        return "the digests of the judges change from one build to the next; digest the weights"
    if not torch.equal(other.render(built.codes), built.render(built.codes)):
        return "a second build renders other images; seed what is made, load the rest"
    return None


def _trial(built: _Built) -> str | None:
    """A trial of the method that does nothing, on the first photo set: everybody must be themselves afterwards."""
    from guidebench.engine.bench import Bench
    from guidebench.engine.trial import run_trial
    from guidebench.metrics import score_all

    protocol = Protocol(
        name="check-testbed", version=1, title="check", source=built.source, identities=1, retain=1, views=3, samples=2
    )
    method = registry.load_method("nothing")
    trial = run_trial(Bench(type(built.testbed)()), protocol, method, 0, 0, lambda step, scalars: None)
    scores = [score for score in score_all(trial.evidence) if score.metric == "id"]
    if all(score.value is None for score in scores):
        return f"ID has no value: {scores[0].reason}" if scores else "ID has no value"
    low = [score for score in scores if score.value is not None and score.value < UNTOUCHED]
    if low:
        return f"ID of an untouched generator is {low[0].value:.3f} by judge {low[0].judge}; it should be 1"
    return None
