"""A pack is opened once with what will use it, when it is added."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from guidebench.assets import catalogue, contents

PACK = catalogue.named("arcface-buffalo_l")


@pytest.fixture
def pack(tmp_path, published_files) -> Path:
    published_files.write_arcface_pack(tmp_path / PACK.file, *PACK.members)
    return tmp_path / PACK.file


def test_a_pack_that_the_judge_can_use_has_no_problem(pack):
    assert contents.problem(PACK.id, pack) == ""


def test_a_pack_of_other_contents_is_named_in_one_line(pack):
    detector, recogniser = (pack / name for name in PACK.members)
    shutil.copy(detector, recogniser)
    assert str(recogniser) in contents.problem(PACK.id, pack)
    detector.write_bytes(b"weights that are none")
    assert str(detector) in contents.problem(PACK.id, pack)
    assert "\n" not in contents.problem(PACK.id, pack)


def test_what_cannot_be_checked_is_not_taken(monkeypatch, tmp_path):
    def use(path: Path) -> None:
        raise ImportError("no module named insightface")

    monkeypatch.setitem(contents.USES, PACK.id, use)
    assert "guidebench doctor" in contents.problem(PACK.id, tmp_path)
