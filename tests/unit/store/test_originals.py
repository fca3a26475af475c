"""Samples of the original generator, kept beside records for whoever measures the same next."""

import numpy as np
import pytest

from guidebench import protocol as protocols
from guidebench.store.originals import Originals

SMOKE = protocols.load("smoke").resolve("linear")
FACTS = {"testbed": "linear", "weights": {"generator": "a"}, "salt": 7}
FEATURES = np.arange(SMOKE.samples * 3, dtype=np.float32).reshape(SMOKE.samples, 3)


@pytest.fixture
def shared(tmp_path):
    Originals(tmp_path / "shared", FACTS).put(SMOKE, FEATURES)
    return tmp_path / "shared"


def test_what_is_kept_is_found_to_the_last_bit(shared):
    assert np.array_equal(Originals(shared, dict(reversed(FACTS.items()))).get(SMOKE), FEATURES)


@pytest.mark.parametrize("changed", [{"salt": 8}, {"weights": {"generator": "b"}}, {"device": "another"}])
def test_whatever_decides_the_samples_keeps_them_apart(shared, changed):
    assert Originals(shared, {**FACTS, **changed}).get(SMOKE) is None


def test_another_protocol_has_others(shared):
    assert Originals(shared, FACTS).get(protocols.load("celebahq").resolve("linear")) is None


def test_keeping_the_same_again_changes_no_file(shared):
    before = {path: path.stat().st_size for path in shared.rglob("*")}
    Originals(shared, FACTS).put(SMOKE, FEATURES)
    assert {path: path.stat().st_size for path in shared.rglob("*")} == before


@pytest.mark.parametrize("damage", ["pointer", "leads-out", "no-features", "cut", "gone", "shorter"])
def test_what_is_damaged_counts_as_absent(shared, damage, tmp_path):
    (pointer,), (features,) = (shared / "original").iterdir(), shared.glob("*.npz")
    if damage == "pointer":
        pointer.write_bytes(b"\xff\xfe")
    elif damage == "leads-out":
        features.rename(tmp_path / features.name)
        pointer.write_text(f"../{features.stem}")
    elif damage == "no-features":
        np.savez(features, others=FEATURES)
    elif damage == "cut":
        features.write_bytes(features.read_bytes()[:-100])
    elif damage == "gone":
        features.unlink()
    else:
        Originals(shared, FACTS).put(SMOKE, FEATURES[1:])
    assert Originals(shared, FACTS).get(SMOKE) is None


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path):
    (tmp_path / "shared").write_text("a file")
    originals = Originals(tmp_path / "shared", FACTS)
    originals.put(SMOKE, FEATURES)
    assert originals.get(SMOKE) is None
