"""What attacks found as files: they come back, never take each other's place, and damage is one clear line."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from guidebench.evidence import Attacked, Seen, Shown
from guidebench.store.arrays import UnreadableEvidence
from guidebench.store.attack_files import load_attacks, save_attack

LABEL = "mine(lr=0.1,space=w+)"


def shown(rng, *shape):
    return Shown(*(Seen(rng.normal(size=(*shape, 4)).astype(np.float32), rng.random(shape) < 0.7) for _ in range(2)))


def made_up(seed=0, **changes):
    rng = np.random.default_rng(seed)
    whole = Attacked(
        people=("anna", "bert"),
        at=rng.random((2, 3)),
        distance=rng.random((2, 3)),
        found={judge: shown(rng, 2, 3, 2) for judge in ("alpha", "beta")},
        original={judge: shown(rng, 2, 3, 2) for judge in ("alpha", "beta")},
        others=("carl",),
        other={judge: shown(rng, 1, 3, 2) for judge in ("alpha", "beta")},
        shows_anybody=True,
        curve=True,
    )
    return dataclasses.replace(whole, **changes)


def equal(first, second):
    assert (first.people, first.others) == (second.people, second.others)
    assert (first.shows_anybody, first.curve) == (second.shows_anybody, second.curve)
    assert np.array_equal(first.at, second.at) and np.array_equal(first.distance, second.distance)
    for kind in ("found", "original", "other"):
        ours, theirs = getattr(first, kind), getattr(second, kind)
        assert list(ours) == list(theirs)
        for judge in ours:
            for side in ("after", "before"):
                kept, given = getattr(ours[judge], side), getattr(theirs[judge], side)
                assert np.array_equal(kept.vectors, given.vectors) and np.array_equal(kept.found, given.found)
                assert kept.vectors.dtype == np.float32 and kept.found.dtype == bool
    return True


@pytest.mark.parametrize(
    "changes",
    [{}, {"original": {}}, {"others": (), "other": {}, "original": {}, "shows_anybody": False, "curve": False}],
)
def test_what_was_found_survives_its_file(tmp_path, changes):
    given = made_up(**changes)
    name = save_attack(LABEL, given, tmp_path)
    (back,) = load_attacks(tmp_path, [name]).items()
    assert back[0] == LABEL and equal(back[1], given)


def test_files_lie_in_a_folder_of_their_own_by_label_and_content(tmp_path):
    names = [save_attack(LABEL, made_up(seed), tmp_path) for seed in (0, 1, 0)]
    assert names[0] == names[2] != names[1], "the same content is the same file, another never takes its place"
    assert all(name.startswith("attacks/mine_lr_0.1_space_w+") and (tmp_path / name).is_file() for name in names)
    assert save_attack("other", made_up(), tmp_path) not in names
    assert len(list((tmp_path / "attacks").iterdir())) == 3


@pytest.mark.parametrize("label", ["a/../../b", "…", 300 * "x", "a b\nc"])
def test_any_label_makes_a_file_below_the_folder_and_comes_back(tmp_path, label):
    name = save_attack(label, made_up(), tmp_path)
    assert (tmp_path / name).parent == tmp_path / "attacks" and len(name) < 100
    assert list(load_attacks(tmp_path, [name])) == [label]


def test_no_names_are_no_attacks(tmp_path):
    assert load_attacks(tmp_path, []) == {}


def test_a_missing_or_damaged_file_is_one_clear_line(tmp_path):
    name = save_attack(LABEL, made_up(), tmp_path)
    whole = (tmp_path / name).read_bytes()
    for content in (b"", whole[: len(whole) // 2]):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableEvidence, match=r"^mine_lr.*\.npz .*zip archive") as refused:
            load_attacks(tmp_path, [name])
        assert "\n" not in str(refused.value)
    (tmp_path / name).unlink()
    with pytest.raises(UnreadableEvidence, match="does not exist"):
        load_attacks(tmp_path, [name])


def test_a_file_that_lacks_an_array_names_it(tmp_path):
    name = save_attack(LABEL, made_up(), tmp_path)
    with np.load(tmp_path / name) as arrays:
        rest = {key: arrays[key] for key in arrays if key != "distance"}
    np.savez(tmp_path / name, **rest)
    with pytest.raises(UnreadableEvidence, match="has no array distance"):
        load_attacks(tmp_path, [name])


def test_nothing_half_written_stays_if_writing_fails(tmp_path, monkeypatch):
    monkeypatch.setattr("numpy.savez", lambda stream, **arrays: stream.write(b"half") and 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_attack(LABEL, made_up(), tmp_path)
    assert not list((tmp_path / "attacks").glob("*.npz"))
