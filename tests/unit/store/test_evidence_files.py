"""Evidence as files: what trials share lies once in a run folder, and older records stay readable."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from guidebench.evidence import Evidence, FrechetStatistics, Samples, Seen, Sight, Subject
from guidebench.store import folders
from guidebench.store.evidence_files import (
    UnreadableEvidence,
    load_evidence,
    load_faces_after,
    save_evidence,
    shared_files,
)

REQUESTS = 2
SUBJECTS = (Subject("anna", "forget", 0, 1), Subject("bert", "forget", 0, 2), Subject("carl", "retain", 0))


def faces(rng, *shape, found=True):
    mask = rng.random(shape) < 0.7 if found else np.zeros(shape, bool)
    return Seen(rng.normal(size=(*shape, 4)).astype(np.float32), mask)


def made_up(seed=0, *, real=True):
    rng = np.random.default_rng(seed)
    sight = Sight(
        before=faces(rng, 3, 3),
        after=faces(rng, REQUESTS, 3, 3, found=False),
        neighbours=faces(rng, REQUESTS, 2, 5),
    )
    source = Samples(np.random.default_rng(9).normal(size=(7, 3)).astype(np.float32))
    after = tuple(Samples(rng.normal(size=(7, 3)).astype(np.float32)) for _ in range(REQUESTS))
    statistics = FrechetStatistics(np.arange(3.0), np.eye(3), 40) if real else None
    return Evidence(SUBJECTS, {"judge": sight}, 1, source, after, statistics, {"judge": 0.47} if real else {})


def save(found, out, name="one"):
    folder = out / "records/p/m" / name
    folder.mkdir(parents=True)
    save_evidence(found, folder / "evidence.npz", out / "shared", aside=folders.unfinished_prefix())
    return folder / "evidence.npz"


def test_evidence_survives_its_file(tmp_path):
    found = made_up()
    back = load_evidence(save(found, tmp_path))
    assert back.subjects == SUBJECTS and back.frontal == 1
    for name in ("before", "after", "neighbours"):
        kept, given = getattr(back.sights["judge"], name), getattr(found.sights["judge"], name)
        assert np.array_equal(kept.vectors, given.vectors) and kept.vectors.dtype == np.float32
        assert np.array_equal(kept.found, given.found) and kept.found.dtype == bool
    assert back.sights["judge"].photo is None
    assert np.array_equal(back.source.features, found.source.features) and back.source.count == 7
    assert len(back.after) == REQUESTS and back.group == "anna+1"
    for kept, given in zip(back.after, found.after, strict=True):
        assert np.array_equal(kept.features, given.features) and kept.features.dtype == np.float32
    assert np.array_equal(back.real.covariance, found.real.covariance) and back.real.count == 40
    assert back.thresholds == {"judge": 0.47}


def test_evidence_without_real_images_and_neighbours_says_so(tmp_path):
    back = load_evidence(save(made_up(real=False), tmp_path))
    assert back.real is None and back.thresholds == {}


def test_what_trials_have_in_common_lies_once_beside_the_records(tmp_path):
    paths = [save(made_up(seed), tmp_path, str(seed)) for seed in range(3)]
    assert len(list((tmp_path / "shared").iterdir())) == 2  # the source's features, the statistics of real images
    assert [np.array_equal(load_evidence(path).source.features, made_up().source.features) for path in paths] == [
        True
    ] * 3


def test_a_run_folder_may_be_moved_copied_and_put_below_another(tmp_path):
    path = save(made_up(), tmp_path / "run")
    relative = path.relative_to(tmp_path)
    shutil.copytree(tmp_path / "run", tmp_path / "copy/run")
    shutil.move(tmp_path / "run", tmp_path / "elsewhere")
    for root in (tmp_path / "copy", tmp_path):
        place = root / relative if root.name == "copy" else tmp_path / "elsewhere" / relative.relative_to("run")
        assert load_evidence(place).real.count == 40


def test_a_relative_path_finds_what_is_shared(tmp_path, monkeypatch):
    path = save(made_up(), tmp_path)
    monkeypatch.chdir(path.parent)
    assert load_evidence("evidence.npz").source.count == 7


def test_a_missing_shared_file_is_one_clear_line(tmp_path):
    path = save(made_up(), tmp_path)
    shutil.rmtree(tmp_path / "shared")
    with pytest.raises(UnreadableEvidence, match=r"\.npz\b.*\bshared/") as caught:
        load_evidence(path)
    assert "\n" not in str(caught.value)
    assert len(load_faces_after(path)) == 2, "what needs no shared file is read without"


def test_of_every_forgotten_person_the_renders_after_the_last_request_are_found(tmp_path):
    found = made_up()
    anna, bert = load_faces_after(save(found, tmp_path))
    assert (anna.identity, bert.identity, anna.request) == ("anna", "bert", REQUESTS)
    for place, person in enumerate((anna, bert)):
        assert np.array_equal(person.faces["judge"].vectors, found.sights["judge"].after[-1, place].vectors)


@pytest.mark.parametrize("damage", ["truncated", "other"])
def test_a_damaged_shared_file_is_one_clear_line_and_the_next_trial_mends_it(tmp_path, damage):
    path = save(made_up(), tmp_path)
    for file in (tmp_path / "shared").iterdir():
        if damage == "truncated":
            file.write_bytes(file.read_bytes()[:100])
        else:
            np.savez(file, features=np.zeros((7, 3), np.float32))
    with pytest.raises(UnreadableEvidence, match="damaged") as caught:
        load_evidence(path)
    assert "\n" not in str(caught.value)
    save(made_up(1), tmp_path, "two")
    assert load_evidence(path).source.count == 7


def test_damaged_evidence_is_one_clear_line(tmp_path):
    path = save(made_up(), tmp_path)
    whole = path.read_bytes()
    for content in (b"", whole[:50], whole[: len(whole) // 2], b"\0" * 500, b"text", b"\x93NUMPY"):
        path.write_bytes(content)
        for read in (load_evidence, load_faces_after):
            with pytest.raises(UnreadableEvidence, match=r"^evidence\.npz .*is not a zip archive") as caught:
                read(path)
            assert "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(UnreadableEvidence, match=r"^evidence\.npz .*exist"):
        load_evidence(path)


def test_pickles_are_refused(tmp_path):
    path = save(made_up(), tmp_path)
    np.savez(path, identity=np.array([{}], dtype=object))
    with pytest.raises(UnreadableEvidence, match="damaged: it holds Python objects"):
        load_evidence(path)


def test_several_writers_of_the_same_shared_file_do_not_disturb_each_other(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda number: save(made_up(number), tmp_path, str(number)), range(16)))
    assert sorted(path.suffix for path in (tmp_path / "shared").iterdir()) == [".npz", ".npz"]
    assert all(load_evidence(path).source.count == 7 for path in paths)


def test_what_a_killed_writer_left_is_removed(tmp_path):
    code = f"""
import os, signal, numpy as np
from pathlib import Path
from guidebench.store import evidence_files
from guidebench.store import folders
np.savez = lambda stream, **arrays: (stream.write(b'half'), stream.flush(), os.kill(os.getpid(), signal.SIGKILL))
evidence_files.share({{'features': np.zeros((2, 2))}}, Path({str(tmp_path / "shared")!r}), folders.unfinished_prefix())
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert len(list((tmp_path / "shared").iterdir())) == 1
    folders.Store(tmp_path).clean()
    assert list((tmp_path / "shared").iterdir()) == []


def unit_rows(rng, *shape):
    vectors = rng.normal(size=(*shape, 128)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_fifty_people_one_after_another_take_less_than_20_mb(tmp_path):
    """The sizes of `celebahq-sequential-50x1` on mini: two judges, 5 views, 10 people to keep, 300 samples."""
    rng, requests, views, around = np.random.default_rng(0), 50, 5, 4
    subjects = [Subject(f"p{n}", "forget" if k == 0 else "probe", k, n + 1) for n in range(50) for k in range(2)]
    subjects += [Subject(f"k{n}", "retain", 0) for n in range(10)]
    asked = np.array([[subject.request <= request for subject in subjects] for request in range(1, requests + 1)])
    people = asked[:, :100:2]

    def half(vectors, found):
        return Seen(np.where(found[..., None], vectors, 0).astype(np.float16).astype(np.float32), found)

    def sight():
        every = (requests, len(subjects), views)
        return Sight(
            before=half(unit_rows(rng, *every[1:]), np.ones(every[1:], bool)),
            after=half(unit_rows(rng, *every), np.broadcast_to(asked[..., None], every).copy()),
            neighbours=half(
                unit_rows(rng, requests, 50, around), np.broadcast_to(people[..., None], (requests, 50, around)).copy()
            ),
        )

    def samples(count):
        return Samples(rng.normal(size=(count, 128)).astype(np.float32))

    found = Evidence(
        tuple(subjects),
        {"one": sight(), "two": sight()},
        2,
        samples(300),
        tuple(samples(300) for _ in range(requests)),
        None,
        public=tuple(samples(32) for _ in range(requests + 1)),
    )
    path = save(found, tmp_path)
    assert path.stat().st_size < 20e6
    back = load_evidence(path)
    for judge, given in found.sights.items():
        assert np.array_equal(back.sights[judge].after.vectors, given.after.vectors), "nothing is lost"
        assert back.sights[judge].after.vectors.dtype == np.float32


@pytest.mark.parametrize("named", ["../../private", "/tmp/private", "a" * 63, "A" * 64, "a" * 64 + "\n", ["a" * 64]])
def test_no_shared_file_lies_elsewhere(tmp_path, named):
    path = save(made_up(real=False), tmp_path / "runs")
    np.savez(tmp_path / "private.npz", features=np.zeros((2, 2)))
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **arrays | {"source/shared": np.array(named)})
    for read in (load_evidence, shared_files):
        with pytest.raises(UnreadableEvidence, match=r"evidence\.npz names .* not a digest"):
            read(path)
