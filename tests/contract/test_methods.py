"""Every registered method, and every kind of answer that a method may give, keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from guidebench import chosen, registry
from guidebench.checks.finding import Finding
from guidebench.checks.method import check_method
from guidebench.commands import new
from guidebench.engine import trial
from guidebench.engine.bench import Bench
from guidebench.errors import BadInput, MethodError
from guidebench.metrics.identity import paired_cosine
from guidebench.protocol import Protocol
from guidebench.settings import field_names
from guidebench.testbeds.linear import LinearTestbed

HERE = Path(__file__).parent
GOOD = [f"{HERE / 'good_citizens.py'}:{name}" for name in ("Adapter", "Wrapper")]
ALL_CHECKS = (
    *("loads", "fields", "returns", "players", "judges", "progress", "copy"),
    *("interface", "renders", "hands over", "batches", "noise", "repeats", "reacts", "saves", "supports"),
)
PROTOCOL = Protocol(
    name="contract", version=1, title="contract", source="dev", identities=1, retain=2, views=3, samples=64
)


def bad(name: str) -> str:
    return f"{HERE / 'bad_citizens.py'}:{name}"


def wrong(findings: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.detail for finding in findings if not finding.ok}


@pytest.mark.parametrize("name", sorted({*registry.methods()} - {"oracle"}))  # which works on mini alone
def test_every_registered_method_keeps_the_contract(name: str) -> None:
    findings = check_method(name)
    assert wrong(findings) == {}
    assert tuple(finding.name for finding in findings) == ALL_CHECKS, "no check was left out"


@pytest.mark.parametrize("spec", GOOD, ids=["adapter", "wrapper"])
def test_adapters_and_wrappers_keep_the_contract(spec: str) -> None:
    findings = check_method(spec)
    assert wrong(findings) == {}
    assert tuple(finding.name for finding in findings) == ALL_CHECKS


@pytest.mark.parametrize("spec", GOOD, ids=["adapter", "wrapper"])
def test_adapters_and_wrappers_are_judged_like_any_method(spec: str) -> None:
    """Both move the forgotten face towards the average one, so its similarity to itself must fall clearly."""
    bench = Bench(LinearTestbed())
    outcome = trial.run_trial(bench, PROTOCOL, registry.load_method(spec), 0, 0, lambda step, scalars: None)
    sight = outcome.evidence.sights["plain"]
    assert sight.after.found[0, 0].all()
    assert paired_cosine(sight.before.vectors[0], sight.after.vectors[0, 0]).mean() < 0.9


@pytest.mark.parametrize("name", ["Obedient", "DrawsGlobally"])
def test_the_plainest_method_passes_and_may_draw_from_the_global_generator(name: str) -> None:
    assert wrong(check_method(bad(name))) == {}


@pytest.mark.parametrize(
    ("name", "check", "hint"),
    [
        ("Raises", "returns", "RuntimeError: out of luck"),
        ("ReturnsNone", "returns", "None"),
        ("ReturnsStateDict", "returns", "OrderedDict"),
        ("ReturnsSource", "copy", "context.source"),
        ("NanWeights", "renders", "finite"),
        ("MutatesSource", "players", "generator"),
        ("Diverges", "progress", "step 1"),
        ("IgnoresRequest", "reacts", "request.forget"),
        ("KeepsState", "repeats", "context.noise"),
        ("BatchDependent", "batches", "batch"),
        ("IgnoresNoise", "noise", "`noise`"),
        ("SingleCodes", "batches", "too many values to unpack"),
        ("NoRig", "interface", "rig"),
        ("NoAverage", "interface", "w_avg"),
        ("OnlyForOne", "reacts", "decoder"),
        ("WrongSize", "renders", "(1, 3, 16, 16)"),
        ("HookedByALambda", "hands over", "top level"),
        ("CannotBeSaved", "saves", "save()"),
        ("ListField", "fields", "layers"),
        ("OutOfBounds", "fields", "lr = 2.0"),
        ("WrongPreset", "fields", "'step'"),
        ("WrongPreset", "preset", "step"),
        ("NoDefault", "loads", "default"),
        ("NoDataclass", "loads", "dataclass"),
        ("ForgottenDecorator", "fields", "@dataclass(frozen=True)"),
    ],
)
def test_a_method_that_breaks_the_contract_gets_the_reason(name: str, check: str, hint: str) -> None:
    found = wrong(check_method(bad(name)))
    assert hint in found[check]
    assert "\n" not in found[check]


@pytest.mark.parametrize(
    "name",
    [
        "Raises",
        "ReturnsNone",
        "NanWeights",
        "MutatesSource",
        "Diverges",
        "WrongSize",
        "NoRig",
        "NoAverage",
        "SingleCodes",
    ],
)
def test_a_trial_of_a_method_that_breaks_the_contract_fails_and_the_next_one_is_unharmed(name: str) -> None:
    bench = Bench(LinearTestbed())
    with pytest.raises(MethodError):
        trial.run_trial(bench, PROTOCOL, registry.load_method(bad(name)), 0, 0, lambda step, scalars: None)
    outcome = trial.run_trial(bench, PROTOCOL, registry.load_method("nothing"), 0, 0, lambda step, scalars: None)
    sight = outcome.evidence.sights["plain"]
    assert paired_cosine(sight.before.vectors[0], sight.after.vectors[0, 0]).min() > 1 - 1e-6


def test_a_method_that_forgets_several_people_only_is_asked_for_several() -> None:
    findings = check_method(bad("OnlyTogether"))
    assert wrong(findings) == {} and findings[-1].detail == "simultaneous"


def test_a_method_that_needs_retained_people_is_given_some() -> None:
    findings = check_method(bad("NeedsRetained"))
    assert wrong(findings) == {}
    assert findings[-1].detail == "single, sequential, with 2 people named to keep"


def test_a_misspelt_method_is_one_finding_with_the_close_match() -> None:
    (finding,) = check_method("gide")
    assert not finding.ok and "'gide'" in finding.detail and "'guide'" in finding.detail


def test_the_method_that_new_writes_keeps_the_contract(tmp_path: Path) -> None:
    written = new.new_method("my-first_idea", tmp_path)
    assert written.path == tmp_path / "my_first_idea.py"
    assert written.attribute == "MyFirstIdea"
    findings = check_method(written.spec)
    assert wrong(findings) == {}
    assert registry.load_method(written.spec).name == "my-first_idea"


def test_new_never_overwrites_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("precious")
    with pytest.raises(BadInput, match=r"mine\.py.*exist"):
        new.new_method("mine", tmp_path)
    assert (tmp_path / "mine.py").read_text() == "precious"


@pytest.mark.parametrize("name", ["guide", "2fast", "a b", "../evil", "", "class", "a--b"])
def test_new_refuses_names_that_cannot_name_a_method(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        new.new_method(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_ladder_differs_only_in_its_flags() -> None:
    """Rows of the ablation table must agree in steps and weights, and in the learning rate where none was chosen."""
    flags = {"target_kind", "adjacency_loss", "global_loss"}
    rows = [registry.load_method(name) for name in ("mean-latent", "extrapolated", "extrapolated-adj", "guide")]
    for testbed in (None, *registry.testbeds()):
        differ = flags | ({"lr"} if testbed == "mini" else set())
        fields = []
        for row in rows:
            method = row if testbed is None else chosen.with_preset(row, testbed)[0]
            fields.append({n: getattr(method, n) for n in field_names(method) if n not in differ})
        assert all(other == fields[0] for other in fields)
    flagged = [tuple(getattr(row, flag) for flag in sorted(flags)) for row in rows]
    assert flagged == [
        (False, False, "mean"),
        (False, False, "extrapolated"),
        (True, False, "extrapolated"),
        (True, True, "extrapolated"),
    ]


def test_checking_leaves_gradients_on() -> None:
    check_method("nothing")
    assert torch.is_grad_enabled()
