"""What is packed, and what cannot be."""

from __future__ import annotations

import dataclasses
import shutil
import zipfile

import pytest
from tampering import METHOD, forge, trial, with_value

from guidebench.errors import BadInput
from guidebench.reporting.selection import Filter
from guidebench.store import folders
from guidebench.submissions.opening import opened
from guidebench.submissions.pack import pack


def names(file):
    return zipfile.ZipFile(file).namelist()


def test_a_file_holds_records_evidence_and_as_many_generators_and_pictures_as_asked(runs, tmp_path):
    done = pack([runs], tmp_path / "a.zip", METHOD, generators=1, pictures=2)
    assert (done.records, done.generators, done.pictures) == (6, 2, 4)
    found = names(tmp_path / "a.zip")
    for name, count in (("record.json", 6), ("evidence.npz", 6), ("delta.safetensors", 1), ("latents.npz", 2)):
        assert sum(path.endswith(f"/{name}") for path in found) == count
    assert sum(path.endswith("after.png") for path in found) == 4 and not any("sheet" in path for path in found)
    assert sum(path.startswith("shared/") for path in found) == 2
    assert done.submission.environment["guidebench"] and "device" in done.submission.environment
    assert (tmp_path / "a.zip").stat().st_size == done.size


def test_the_same_results_are_the_same_bytes(packed, runs, tmp_path):
    pack([shutil.copytree(runs, tmp_path / "moved")], tmp_path / "b.zip", METHOD)
    assert (tmp_path / "b.zip").read_bytes() == packed.read_bytes()


def test_directories_are_joined_and_failures_come_along(copy, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(copy, other)
    for method in ("mean-latent", "redirect"):
        shutil.rmtree(next((other if method == "redirect" else copy).glob(f"records/*/{method}")))
    moved = trial(copy, "redirect", "celebahq-0002")
    target = copy / "failures" / moved.relative_to(copy / "records") / "2"
    shutil.copytree(moved, target)
    shutil.rmtree(moved)
    forge(
        target,
        lambda record: dataclasses.replace(
            record,
            cost=None,
            outcome=dataclasses.replace(record.outcome, status="failed", reason="diverged", scores=()),
        ),
    )
    pack([copy, other], tmp_path / "a.zip", METHOD)
    with opened(tmp_path / "a.zip") as found:
        stored, corrupt = folders.scan(found.folder)
    assert (len(stored), corrupt) == (6, [])
    assert [item.record.outcome.reason for item in stored if not item.record.is_measured] == ["diverged"]


def test_records_that_contradict_each_other_are_refused(runs, copy, tmp_path):
    forge(trial(copy, "redirect", "celebahq-0000"), lambda record: with_value(record, "id_photo", 0.5))
    with pytest.raises(BadInput, match="differ"):
        pack([runs, copy], tmp_path / "a.zip", METHOD)
    assert pack([runs, runs], tmp_path / "a.zip", METHOD).records == 6


@pytest.mark.parametrize(
    ("submission", "options", "says"),
    [
        ({"link": ""}, {}, "--link"),
        ({}, {"source": "absent.py"}, "absent.py"),
        ({}, {"chosen": Filter(method="guide")}, "guide"),
        ({"form": "attack", "attacks": ("strip",)}, {}, "attacks there: none"),
        ({"form": "attack", "attacks": ("strip",), "evidence": False}, {}, "--without-evidence"),
    ],
)
def test_what_cannot_be_packed_is_one_line(runs, tmp_path, submission, options, says):
    with pytest.raises(BadInput, match=says):
        pack([runs], tmp_path / "a.zip", dataclasses.replace(METHOD, **submission), **options)
    assert not (tmp_path / "a.zip").exists()


def test_shared_evidence_that_is_gone_is_refused(copy, tmp_path):
    shutil.rmtree(copy / "shared")
    with pytest.raises(BadInput, match="--without-evidence"):
        pack([copy], tmp_path / "a.zip", METHOD)
    assert pack([copy], tmp_path / "a.zip", dataclasses.replace(METHOD, evidence=False)).records == 6


def test_a_picture_that_was_changed_is_refused(copy, tmp_path):
    (picture,) = trial(copy, "redirect", "celebahq-0000").glob("pictures/*/after.png")
    picture.write_bytes(b"")
    with pytest.raises(BadInput, match="after.png"):
        pack([copy], tmp_path / "a.zip", METHOD, pictures="all")
    assert pack([copy], tmp_path / "a.zip", METHOD, pictures=0).pictures == 0
