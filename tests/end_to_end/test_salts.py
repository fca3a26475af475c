"""What the salt of a run decides, and what it does not."""

from __future__ import annotations

import guidebench
from guidebench.store import folders


def test_a_salt_repeats_every_digit_and_another_one_judges_the_same_generator_by_other_codes(tmp_path):
    """Who is forgotten, and what the method draws, do not depend on it: ID stays, people to keep and samples do not."""

    def values(out, salt):
        found = guidebench.run("smoke", "guide", "linear", out=out, salt=salt, identities=1, floors="none").scores
        found = found[(found["label"] == "guide") & found["value"].notna()]
        return {
            (row.metric, row.judge if row.judge in ("plain", "weighted") else None): row.value
            for row in found.itertuples()
        }

    first, again, other = (values(tmp_path / str(place), salt) for place, salt in enumerate((3, 3, 4)))
    assert first == again
    for metric, moves in (("id", False), ("id_others", False), ("id_retain", True), ("fid_pre", True)):
        judge = None if metric == "fid_pre" else "plain"
        assert (first[metric, judge] != other[metric, judge]) == moves, metric


def test_a_directory_keeps_its_salt_for_everything_that_is_added(tmp_path):
    guidebench.run("smoke", "mean-latent", "linear", out=tmp_path, salt=9, identities=1, floors="none")
    guidebench.run("smoke", "guide", "linear", out=tmp_path, identities=1, floors="none")
    assert {item.record.spec.salt for item in folders.scan(tmp_path)[0]} == {9}
    beside = guidebench.run("smoke", "guide", "linear", out=tmp_path, salt="new", identities=1, floors="none")
    assert beside.measured > 0 and {item.record.spec.salt for item in folders.scan(tmp_path)[0]} == {9, 0}
