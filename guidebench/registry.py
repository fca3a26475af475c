"""The methods, attacks, metrics and testbeds that there are: those that ship, and what makes a plug-in one of them.

Anybody adds one without editing this file: a distribution registers it under an entry point, and
``path/to/file.py:Name`` or ``module:Name`` names one that is registered nowhere (`guidebench.plugins`).
"""

from __future__ import annotations

import dataclasses
import inspect
import logging
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from guidebench import plugins
from guidebench.digest import of_data
from guidebench.errors import BadInput, in_one_line
from guidebench.plugins import ALLOWED, NAME, Entry, Kind
from guidebench.plugins import is_direct as is_direct
from guidebench.plugins import is_file_spec as is_file_spec
from guidebench.settings import Settable

if TYPE_CHECKING:
    from guidebench.attack import Attack
    from guidebench.metric import Metric, TrialMetric
    from guidebench.testbed import Testbed
    from guidebench.unlearner import Unlearner

_log = logging.getLogger(__name__)

FLOORS = ("nothing", "scramble")
APART = (*FLOORS, "oracle")  # rows that are no competitors: floor, ceiling, and one that knows the truth
BLIND = (*FLOORS, "grey")  # methods that forget nobody, and so must not look at the request
CHECKPOINT = Entry("checkpoint", "guidebench.baselines.checkpoint:Checkpoint", "see `guidebench evaluate`")
DEFAULT_TESTBED = "mini"
_METHODS = (
    Entry("mean-latent", "guidebench.baselines.guide:MeanLatent", "the paper's baseline: pull towards w_avg"),
    Entry("extrapolated", "guidebench.baselines.guide:Extrapolated", "+ target extrapolated through w_avg (UFO)"),
    Entry("extrapolated-adj", "guidebench.baselines.guide:ExtrapolatedAdjacency", "+ adjacency loss"),
    Entry("guide", "guidebench.baselines.guide:Guide", "+ global loss: GUIDE as published"),
    Entry("sugar", "guidebench.baselines.sugar:Sugar", "learned targets and elastic weights, for many people (SUGAR)"),
    Entry("legato", "guidebench.baselines.legato:Legato", "GUIDE's losses; trains neural-ODE adapters, no weight"),
    Entry("ged", "guidebench.baselines.ged:Ged", "forgets where the gradient of retaining agrees"),
    Entry("anchor", "guidebench.baselines.targets:Anchor", "GUIDE's losses towards the most similar other person"),
    Entry("random-target", "guidebench.baselines.targets:RandomTarget", "GUIDE's losses towards a random person"),
    Entry(
        "gradient-ascent",
        "guidebench.baselines.gradient_ascent:GradientAscent",
        "raises the identity loss at the forgotten code, L2 to the start",
    ),
    Entry("redirect", "guidebench.baselines.redirect:Redirect", "trains nothing: answers w_u with w_t"),
    Entry("grey", "guidebench.baselines.grey:Grey", "forgets nobody: takes the colour out of every image"),
    Entry("oracle", "guidebench.baselines.oracle:Oracle", "mini only, knows the renderer: what perfect looks like"),
    Entry("nothing", "guidebench.baselines.nothing:Nothing", "floor: the generator as it is"),
    Entry("scramble", "guidebench.baselines.scramble:Scramble", "ceiling: a destroyed generator"),
)
_ATTACKS = (
    Entry("reinvert", "guidebench.attacks.reinvert:Reinvert", "searches W+ for a code that renders the photographs"),
    Entry("reinvert-w", "guidebench.attacks.reinvert:ReinvertW", "the same in W: one row for all style inputs"),
    Entry("reinvert-z", "guidebench.attacks.reinvert:ReinvertZ", "the same in Z: what the generator makes by itself"),
    Entry(
        "neighbourhood",
        "guidebench.attacks.neighbourhood:Neighbourhood",
        "searches within a radius of the forgotten code for the person",
    ),
    Entry(
        "wide-views",
        "guidebench.attacks.wide_views:WideViews",
        "renders the forgotten code from beyond the trained views",
    ),
    Entry("relearn", "guidebench.attacks.relearn:Relearn", "trains on photographs of the person; the curve over steps"),
    Entry(
        "resurgence",
        "guidebench.attacks.relearn:Resurgence",
        "trains on photographs of other people; the curve over steps",
    ),
    Entry("strip", "guidebench.attacks.strip:Strip", "renders with the weights alone, without rules or added layers"),
    Entry("perturb", "guidebench.attacks.perturb:Perturb", "rounds the weights to 8 and 6 bits, adds noise to them"),
    Entry(
        "interpolate",
        "guidebench.attacks.perturb:Interpolate",
        "averages the weights with the original's; the curve over the share",
    ),
)
_TESTBEDS = (
    Entry(
        "mini",
        "guidebench.testbeds.mini.testbed:MiniTestbed",
        "embedded: small networks trained on rendered 3-D faces",
    ),
    Entry(
        "mini-2d",
        "guidebench.testbeds.mini_2d.testbed:Mini2DTestbed",
        "embedded, 2-D: a small StyleGAN2 among mini's faces and judges",
    ),
    Entry(
        "linear",
        "guidebench.testbeds.linear:LinearTestbed",
        "analytic: identity is a direction, every metric is known",
    ),
    Entry(
        "eg3d-ffhq",
        "guidebench.testbeds.eg3d:EG3DTestbed",
        "the paper's: EG3D at 512 px, with weights of your own",
    ),
    Entry(
        "stylegan2-ffhq",
        "guidebench.testbeds.stylegan2:StyleGAN2Testbed",
        "2-D: StyleGAN2 at 1024 px with e4e or pSp, weights of your own",
    ),
    Entry(
        "eg3d-afhq",
        "guidebench.testbeds.eg3d_afhq:EG3DCatsTestbed",
        "cats: EG3D at 512 px, weights of your own; nobody recognises cats",
    ),
)


def methods() -> dict[str, Entry]:
    """All registered methods by name: those that ship, then those of installed distributions."""
    return METHOD.entries()


def attacks() -> dict[str, Entry]:
    """All registered attacks by name, as `methods`."""
    return ATTACK.entries()


def metrics() -> dict[str, Entry]:
    """All registered metrics by name, as `methods`."""
    return METRIC.entries()


def testbeds() -> dict[str, Entry]:
    """All registered testbeds by name, as `methods`."""
    return TESTBED.entries()


def load_method(spec: str) -> Unlearner:
    """A method by registered name, ``path/to/file.py:Class`` (class or instance) or ``module:Class``.

    Raises BadInput, in one line, if there is no such method, or if what is there is not one.
    """
    return METHOD.load(spec)


def load_attack(spec: str) -> Attack:
    """An attack by registered name, ``path/to/file.py:Class`` or ``module:Class``. Raises BadInput as `load_method`."""
    return ATTACK.load(spec)


def load_metric(spec: str) -> Metric:
    """A metric by registered name, ``path/to/file.py:NAME`` or ``module:NAME``. Raises BadInput as `load_method`."""
    return METRIC.load(spec)


def known_metrics() -> dict[str, Metric]:
    """Every registered metric, loaded, by name: what tables know the direction and the title of.

    A plug-in that cannot be loaded is logged and left out, because recorded values can be shown without it.
    """
    found: dict[str, Metric] = {}
    for name in METRIC.entries():
        try:
            found[name] = load_metric(name)
        except BadInput as error:
            _log.warning("%s", error)
    return found


def attack_metrics(made: Iterable[str] = ()) -> dict[str, Metric]:
    """The metrics of every registered attack with its own settings, and of others by their labels."""
    from guidebench.metrics.attacks import of_attack

    return {metric.name: metric for label in dict.fromkeys([*attacks(), *made]) for metric in of_attack(label)}


def trial_metrics(given: Iterable[str | TrialMetric]) -> tuple[TrialMetric, ...]:
    """Further metrics that every trial of a run is scored by. Those that ship are left out: they are scored anyway.

    given: as `load_metric` takes them, or objects; one that is given twice counts once. Raises BadInput as
    `load_metric`, if two share a name, and if one is a metric over several trials: no single trial has a score of it.
    """
    from guidebench.metric import Metric, TrialMetric
    from guidebench.metrics import METRICS

    found: dict[str, tuple[object, TrialMetric]] = {}
    for each in given:
        metric = load_metric(each) if isinstance(each, str) else each
        if not isinstance(metric, Metric):
            raise BadInput(f"{metric!r:.80} is not a metric; give path/to/file.py:METRIC or a TrialMetric")
        if not isinstance(metric, TrialMetric):
            raise BadInput(f"metric '{each}' compares several trials, so that no trial has a score of it; leave it out")
        if metric.name in METRICS and metric is not METRICS[metric.name]:
            raise BadInput(
                f"metric '{each}' is called '{metric.name}', which ships with guidebench; choose another name"
            )
        other, known = found.get(metric.name, (each, metric))
        if known is not metric:
            raise BadInput(f"metrics '{other}' and '{each}' are both called '{metric.name}'; rename one")
        if metric.name not in METRICS:
            found[metric.name] = (each, metric)
    return tuple(metric for _, metric in found.values())


def testbed_class(spec: str) -> type[Testbed]:
    """The class of a testbed by registered name, ``path/to/file.py:Class`` or ``module:Class``.

    Raises BadInput as `load_method`.
    """
    return TESTBED.load(spec)


def testbed_name(spec: str) -> str:
    """What a testbed is called in records, protocols' overlays and methods' presets.

    A name is returned as it is, whether or not such a testbed is registered here: it may be one that a record names.
    Raises BadInput as `testbed_class` for ``path/to/file.py:Class`` and ``module:Class``.
    """
    return testbed_class(spec).name if is_direct(spec) else spec


def kind_of(spec: str) -> Kind[Any] | None:
    """The kind of plug-in that a spec names: by its name, or by what is found where the spec says it is.

    None: no plug-in of any kind is registered under that name. What is found and is neither a metric nor a testbed
    should be a method. Raises BadInput if it cannot be imported.
    """
    if not is_direct(spec):
        return next((kind for kind in KINDS if kind.has(spec)), None)
    from guidebench.metric import Metric

    found = plugins.load_target(METHOD.entry(spec), "plug-in")
    if isinstance(found, Metric):
        return METRIC
    if inspect.isclass(found):
        from guidebench.testbed import Testbed

        if issubclass(found, Testbed):
            return TESTBED
    from guidebench.attack import Attack

    is_attack = isinstance(found, Attack) or (inspect.isclass(found) and issubclass(found, Attack))
    return ATTACK if is_attack else METHOD


def checked_method(target: Any, spec: str) -> Unlearner:
    """The method that a class or an object is; raises BadInput saying what it lacks."""
    return METHOD.checked(target, spec)


def spec_of(kind: type) -> str:
    """How the class of a plug-in is named so that it is found again: as registered, if it ships."""
    spec = plugins.spec_of(kind)
    return next((entry.name for entry in (*_METHODS, CHECKPOINT, *_ATTACKS, *_TESTBEDS) if entry.target == spec), spec)


def _check_method(target: Any, spec: str) -> Unlearner:
    from guidebench.unlearner import Unlearner

    found: Unlearner = _checked_dataclass(target, spec, Unlearner)
    return found


def _check_attack(target: Any, spec: str) -> Attack:
    from guidebench.attack import Attack, Knowledge

    found: Attack = _checked_dataclass(target, spec, Attack)
    if not isinstance(found.knows, Knowledge):
        raise BadInput(
            f"attack '{spec}': knows = {found.knows!r:.80} is not allowed; give a guidebench.attack.Knowledge"
        )
    return found


def _checked_dataclass(target: Any, spec: str, interface: type[Settable]) -> Any:
    """The object of an interface that a class or an object is; raises BadInput saying what it lacks."""
    kind = interface.plugin_kind
    if inspect.isclass(target) and issubclass(target, interface):
        if inspect.isabstract(target):
            missing = ", ".join(sorted(target.__abstractmethods__))  # type: ignore[attr-defined]
            raise BadInput(f"{kind} '{spec}' does not define {missing}; see `guidebench new {kind} NAME`")
        try:
            target = target()
        except TypeError as error:
            raise BadInput(f"{kind} '{spec}' needs a default for every field: {error}") from None
        except (Exception, SystemExit) as error:  # of its __post_init__
            raise BadInput(f"{kind} '{spec}' cannot be made: {in_one_line(error)}") from None
    if not isinstance(target, interface):
        where = f"{interface.__module__}.{interface.__qualname__}"
        raise BadInput(f"'{spec}' is not a {where} but {_what(target)}; derive from it")
    if not dataclasses.is_dataclass(target):
        raise BadInput(f"{kind} '{spec}' is not a dataclass; decorate its class with @dataclass(frozen=True)")
    _check_name(kind, target, spec)
    try:
        values = {item.name: getattr(target, item.name) for item in dataclasses.fields(target) if item.init}
        if of_data(msgspec.json.decode(msgspec.json.encode(values))) != of_data(values):
            raise TypeError("it would come back as something else")
    except (TypeError, ValueError) as error:
        raise BadInput(f"{kind} '{spec}' has a field that cannot be recorded: {error}; use numbers and texts") from None
    return target


def _check_metric(target: Any, spec: str) -> Metric:
    from guidebench.metric import CrossMetric, Direction, TrialMetric

    if not isinstance(target, (TrialMetric, CrossMetric)):
        raise BadInput(
            f"'{spec}' is not a guidebench.metric.TrialMetric or CrossMetric but {_what(target)}; "
            "`guidebench new metric NAME` writes one to start from"
        )
    _check_name("metric", target, spec)
    for field in ("title", "latex", "unit", "summary"):
        _check_text("metric", target, field, spec)
    if target.direction not in get_args(Direction):
        allowed = ", ".join(get_args(Direction))
        raise BadInput(f"metric '{spec}': direction = {target.direction!r} is not allowed; give one of {allowed}")
    if type(target.judged) is not bool:
        raise BadInput(f"metric '{spec}': judged = {target.judged!r} is not allowed; give True or False")
    if not callable(target.compute):
        raise BadInput(f"metric '{spec}': compute is {_what(target.compute)}; give a function of the evidence")
    return target


def _check_testbed(target: Any, spec: str) -> type[Testbed]:
    from guidebench.testbed import Testbed

    if not (inspect.isclass(target) and issubclass(target, Testbed)):
        raise BadInput(f"'{spec}' is not a class of guidebench.testbed.Testbed but {_what(target)}; derive from it")
    if inspect.isabstract(target):
        missing = ", ".join(sorted(target.__abstractmethods__))
        raise BadInput(f"testbed '{spec}' does not define {missing}; docs/testbeds.md shows how")
    _check_name("testbed", target, spec)
    _check_text("testbed", target, "summary", spec)
    _check_text("testbed", target, "caption", spec, empty=True)
    return target


def _check_name(kind: str, target: Any, spec: str) -> None:
    name = getattr(target, "name", None)
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise BadInput(f"{kind} '{spec}' has the name {name!r}; set `name = \"my-{kind}\"` in it: {ALLOWED}")


def _check_text(kind: str, target: Any, field: str, spec: str, *, empty: bool = False) -> None:
    text = getattr(target, field, None)
    if not isinstance(text, str) or "\n" in text or not (text or empty):
        raise BadInput(f"{kind} '{spec}': {field} = {text!r} is not allowed; give one line of text")


def _what(target: Any) -> str:
    """What somebody gave instead, for messages: the class Foo, a function, an int."""
    if inspect.isclass(target):
        return f"the class {target.__name__}"
    kind = type(target).__name__
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


def _metrics_that_ship() -> Sequence[Entry]:
    from guidebench.metrics import METRICS

    return [Entry(name, f"guidebench.metrics:METRICS.{name}", metric.summary) for name, metric in METRICS.items()]


METHOD: Kind[Unlearner] = Kind(
    name="method",
    group="guidebench.methods",
    ships=lambda: _METHODS,
    check=_check_method,
    unlisted=(CHECKPOINT,),
)
ATTACK: Kind[Attack] = Kind(name="attack", group="guidebench.attacks", ships=lambda: _ATTACKS, check=_check_attack)
METRIC: Kind[Metric] = Kind(name="metric", group="guidebench.metrics", ships=_metrics_that_ship, check=_check_metric)
TESTBED: Kind[type[Testbed]] = Kind(
    name="testbed", group="guidebench.testbeds", ships=lambda: _TESTBEDS, check=_check_testbed
)
KINDS: tuple[Kind[Any], ...] = (METHOD, ATTACK, METRIC, TESTBED)
