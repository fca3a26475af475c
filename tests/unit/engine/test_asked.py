"""What was asked becomes options, a protocol and methods, or one clear line."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import pytest
import torch

from guidebench import BadInput, protocol
from guidebench.attacks.perturb import Perturb
from guidebench.baselines.guide import Guide
from guidebench.engine import asked
from guidebench.engine.asked import (
    Options,
    check_workers,
    choose_attacks,
    choose_methods,
    options_of,
    resolve_protocol,
    with_floors,
)
from guidebench.testbeds.linear import LinearTestbed


def test_settings_apply_to_every_named_method_that_has_the_field():
    found = choose_methods(["guide", "nothing", Guide], {"steps": 3, "target_kind": "mean"}, "linear")
    assert [entrant.chosen.label for entrant in found] == ["guide(steps=3,target_kind=mean)", "nothing", "guide"]
    assert found[0].method.steps == 3 and found[2].method.steps == 30  # the preset's


def test_a_python_bool_is_a_setting_as_on_the_command_line():
    (found,) = choose_methods("guide", {"global_loss": False}, "linear")
    assert found.method.global_loss is False


def test_floors_have_no_label_of_their_own_if_they_are_given_with_settings():
    options = Options(testbed="linear")
    given = choose_methods("scramble", {"strength": 2}, "linear")
    assert [entrant.chosen.label for entrant in with_floors(given, "few", options)] == [
        "scramble(strength=2.0)",
        "nothing",
    ]


def test_options_become_paths_and_unknown_ones_are_refused(tmp_path):
    options = options_of(LinearTestbed, {"out": str(tmp_path), "metrics": ["a"], "photos": None})
    assert options == Options(testbed="linear", out=tmp_path, metrics=("a",), photos=None)
    assert options_of("linear", {"photos": "p"}).photos == Path("p")


@pytest.mark.parametrize("given", [None, 3, [3], object(), b"guide", [None]], ids=lambda given: type(given).__name__)
def test_what_is_no_method_is_refused(given, says):
    with pytest.raises(BadInput, match=says("is not a method")):
        choose_methods(given, {}, "linear")


def test_a_protocol_is_resolved_by_the_testbeds_overlay_and_overrides_win():
    options = Options(testbed="linear")
    assert resolve_protocol("smoke", options).samples == 100  # [on.linear] of protocols/smoke.toml
    assert resolve_protocol("smoke", options, samples=7, identities=None).samples == 7
    assert resolve_protocol(protocol.load("smoke"), options) == resolve_protocol("smoke", options)


def photographs(folder, **people):
    from guidebench import images

    for name, count in people.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            images.save(torch.zeros(3, 32, 32), folder / name / f"{number}.png")
    return folder


def test_own_photographs_are_the_source_and_limit_what_is_asked(tmp_path, caplog):
    """Three people: one is forgotten at a time, so two can be kept; the fewest photographs limit the probes."""
    options = Options(testbed="linear", photos=photographs(tmp_path, anna=1, bert=3, carl=3))
    with caplog.at_level(logging.WARNING, logger="guidebench"):
        found = resolve_protocol("smoke", options)
    assert (found.name, found.source, found.identities, found.retain, found.probe_photos) == (
        *("smoke-photos", "photos", 3),
        *(1, 0),
    )
    (record,) = caplog.records
    assert str(tmp_path / "anna") in record.getMessage()
    assert resolve_protocol("smoke", options, identities=2).identities == 2


def test_own_photographs_need_a_protocol_of_photographs_and_enough_people(tmp_path, says):
    options = Options(testbed="linear", photos=photographs(tmp_path, anna=1, bert=1))
    with pytest.raises(BadInput, match=says("photos", "random")):
        resolve_protocol("random", options)
    groups = dataclasses.replace(protocol.load("smoke").resolve("linear"), identities=3, forget=3)
    with pytest.raises(BadInput, match=says(str(tmp_path), "2 people", "3 per trial")):
        resolve_protocol(groups, options)


def test_a_checkpoints_row_is_called_after_its_files():
    for pattern, name in (
        ("ckpt/{identity}.pkl", "ckpt"),
        ("out/guide-v2/{identity}/last.pkl", "last"),
        ("a/my run/{identity}-s{seed}.pkl", "s"),
        ("{identity}", "checkpoint"),
    ):
        assert asked._name_of_files(pattern) == name


@pytest.mark.parametrize("given", [{"path": None}, {"loader": 3}, {"name": 3}], ids=str)
def test_a_checkpoint_is_named_by_texts_and_paths(given, says):
    texts = {"path": Path("x/{identity}.pkl"), "loader": "", "name": "mine"}
    assert asked.choose_checkpoint(**texts, testbed="linear").chosen.fields["path"] == "x/{identity}.pkl"
    with pytest.raises(BadInput, match=says(*map(str, given.values()), "is not text")):
        asked.choose_checkpoint(**texts | given, testbed="linear")


def test_a_checkpoint_that_is_too_large_to_be_read_is_not_hashed(tmp_path, says):
    with open(tmp_path / "huge.pt", "wb") as stream:
        stream.truncate(300 * 2**30)
    with pytest.raises(BadInput, match=says("huge.pt", "300.0 GiB", "8")):
        asked.choose_checkpoint(tmp_path / "huge.pt", "", None, "linear")
    (tmp_path / "mine.py").write_text("def load(path, generator): ...\n")
    loader = f"{tmp_path / 'mine.py'}:load"
    assert asked.choose_checkpoint(tmp_path / "huge.pt", loader, None, "linear").chosen.fields["loader"] == loader


def test_a_checkpoints_row_cannot_take_a_methods_name(says):
    for name, words in (("guide", ["'guide'", "another name"]), ("a b", ["'a b'"])):
        with pytest.raises(BadInput, match=says(*words)):
            asked.choose_checkpoint("x/{identity}.pkl", "", name, "linear")


@pytest.mark.parametrize("given", [3, [3], [None], [Perturb], [Perturb()], Perturb], ids=repr)
def test_attacks_are_names(given, says):
    with pytest.raises(BadInput, match=says("attacks = ", "path/to/file.py:CLASS")) as refused:
        options_of("linear", {"attacks": given})
    assert "\n" not in str(refused.value)


def test_a_protocols_attacks_come_first_and_each_once():
    asking = dataclasses.replace(protocol.load("smoke").resolve("linear"), attacks=("perturb", "wide-views"))
    other = dataclasses.replace(asking, name="other", attacks=())
    found = choose_attacks([asking, other], options_of("linear", {"attacks": ["reinvert", "perturb"]}))
    assert {name: [attack.name for attack in attacks] for name, attacks in found.items()} == {
        "smoke": ["perturb", "wide-views", "reinvert"],
        "other": ["reinvert", "perturb"],
    }
    (alone,) = choose_attacks([other], options_of("linear", {"attacks": "perturb"}))["other"]
    assert alone.name == "perturb"


def test_an_unknown_attack_of_a_protocol_is_named_with_the_closest(says):
    asking = dataclasses.replace(protocol.load("smoke").resolve("linear"), attacks=("pertub",))
    with pytest.raises(BadInput, match=says("'pertub'", "'perturb'")):
        choose_attacks([asking], options_of("linear", {}))


def test_a_machine_holds_only_so_many_workers(says):
    for workers in (None, 0, 1):
        check_workers(workers)
    for wrong in (-1, 10**6, "x"):
        with pytest.raises(BadInput, match=says("workers", str(wrong))):
            check_workers(wrong)
