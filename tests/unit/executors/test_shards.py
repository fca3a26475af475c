"""Shards: disjoint, together complete, each with its share of every method, whatever is recorded."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

import guidebench
from guidebench.errors import BadInput
from guidebench.executors.shards import Shard, parse
from guidebench.store.folders import scan


@pytest.fixture
def planned(make_case):
    """Twelve trials of each of two methods."""
    return [make_case(number, label) for label in ("a", "b") for number in range(12)]


@pytest.mark.parametrize("of", [1, 3, 5, 24, 30])
def test_parts_are_disjoint_and_together_complete(planned, of):
    parts = [Shard(number, of).take(planned) for number in range(1, of + 1)]
    assert Counter(case for part in parts for case in part) == Counter(planned)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_every_part_has_its_share_of_each_method_and_keeps_the_order(planned):
    for number in range(1, 5):
        part = Shard(number, 4).take(planned)
        assert Counter(case.spec.method.label for case in part) == {"a": 3, "b": 3}
        assert part == sorted(part, key=planned.index)


def test_the_order_of_planning_plays_no_role(planned):
    there, back = (set(Shard(2, 5).take(cases)) for cases in (planned, planned[::-1]))
    assert there == back


@pytest.mark.parametrize("text", ["3/2", "0/2", "1/0", "1", "a/b", "-1/2", "1/2/3", "", None, 0.5])
def test_what_is_no_part_is_refused(text, says):
    with pytest.raises(BadInput, match=says("shard", str(text))):
        parse(text)


def test_parts_that_share_nothing_become_one_directory_of_results(tmp_path):
    """As on machines without a common file system: the same salt, and the directories copied together."""

    def run(out: Path, **options):
        options = {"identities": 2, "samples": 20, "salt": 7, "floors": "none", "out": out, **options}
        return guidebench.run("smoke", ["nothing", "mean-latent"], "linear", **options)

    parts = [run(tmp_path / f"part-{number}", shard=f"{number}/2") for number in (1, 2)]
    assert [part.measured for part in parts] == [2, 2]
    for number in (1, 2):
        shutil.copytree(tmp_path / f"part-{number}", tmp_path / "all", dirs_exist_ok=True)
    whole = run(tmp_path / "all")
    assert (whole.measured, whole.skipped) == (0, 4)
    alone = run(tmp_path / "alone")
    assert alone.keys == whole.keys == parts[0].keys | parts[1].keys
    scores = [{item.record.key: item.record.outcome.scores for item in scan(out)[0]} for out in (whole.out, alone.out)]
    assert scores[0] == scores[1]
