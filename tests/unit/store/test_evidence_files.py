"""Evidence as files: what trials share lies once in a run folder, and older records stay readable."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from guidebench.commands import rescore
from guidebench.evidence import Evidence, FrechetStatistics, Samples, Sight, Subject
from guidebench.metrics import score_all
from guidebench.store import folders
from guidebench.store.evidence_files import UnreadableEvidence, load_evidence, load_faces_after, save_evidence

OLDER = Path(__file__).parent / "schema_1"  # `guidebench run` of version 0.1.0 at commit 2494ee57, pictures left out
SUBJECTS = (Subject("anna", "forget", 0), Subject("bert", "retain", 0))


def made_up(seed=0, *, real=True):
    rng = np.random.default_rng(seed)
    sight = Sight(
        before=rng.normal(size=(2, 3, 4)).astype(np.float32),
        before_found=np.ones((2, 3), bool),
        after=rng.normal(size=(2, 3, 4)).astype(np.float32),
        after_found=np.zeros((2, 3), bool),
        photo=None,
        photo_found=None,
        neighbours=rng.normal(size=(5, 4)).astype(np.float32),
        neighbours_found=np.array([True, True, False, True, True]),
    )
    source = Samples(np.random.default_rng(9).normal(size=(7, 3)).astype(np.float32))
    after = Samples(rng.normal(size=(7, 3)).astype(np.float32))
    statistics = FrechetStatistics(np.arange(3.0), np.eye(3), 40) if real else None
    return Evidence(SUBJECTS, {"judge": sight}, 1, source, after, statistics)


def save(found, out, name="one"):
    folder = out / "records/p/m" / name
    folder.mkdir(parents=True)
    save_evidence(found, folder / "evidence.npz", out / "shared", aside=folders.unfinished_prefix())
    return folder / "evidence.npz"


def test_evidence_survives_its_file(tmp_path):
    found = made_up()
    back = load_evidence(save(found, tmp_path))
    assert back.subjects == SUBJECTS and back.frontal == 1
    for name in ("before", "after", "after_found", "neighbours", "neighbours_found"):
        kept, given = getattr(back.sights["judge"], name), getattr(found.sights["judge"], name)
        assert np.array_equal(kept, given) and kept.dtype == given.dtype
    assert back.sights["judge"].photo is None
    assert np.array_equal(back.source.features, found.source.features) and back.source.count == 7
    assert np.array_equal(back.after.features, found.after.features) and back.after.features.dtype == np.float32
    assert np.array_equal(back.real.covariance, found.real.covariance) and back.real.count == 40


def test_evidence_without_real_images_and_neighbours_says_so(tmp_path):
    back = load_evidence(save(made_up(real=False), tmp_path))
    assert back.real is None


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
    assert load_faces_after(path)["judge"][0].shape == (3, 4), "what needs no shared file is read without"


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
    for content in (b"", whole[:50], whole[: len(whole) // 2], b"\0" * 500):
        path.write_bytes(content)
        for read in (load_evidence, load_faces_after):
            with pytest.raises(UnreadableEvidence, match=r"^evidence\.npz") as caught:
                read(path)
            assert "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(UnreadableEvidence, match=r"^evidence\.npz .*exist"):
        load_evidence(path)


def test_pickles_are_refused(tmp_path):
    path = save(made_up(), tmp_path)
    np.savez(path, identity=np.array([{}], dtype=object))
    with pytest.raises(UnreadableEvidence, match="damaged"):
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
evidence_files._share({{'features': np.zeros((2, 2))}}, Path({str(tmp_path / "shared")!r}), folders.unfinished_prefix())
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert len(list((tmp_path / "shared").iterdir())) == 1
    folders.Store(tmp_path).clean()
    assert list((tmp_path / "shared").iterdir()) == []


def test_evidence_of_statistics_only_is_not_written_as_if_it_were_whole(tmp_path):
    (folder, _) = sorted((OLDER / "records/schema-1/guide").iterdir())
    with pytest.raises(ValueError, match="features"):
        save_evidence(load_evidence(folder / "evidence.npz"), tmp_path / "e.npz", tmp_path, aside="x")
    assert list(tmp_path.iterdir()) == []


def test_older_evidence_gives_the_scores_that_were_recorded_and_reasons_for_the_rest():
    for folder in (OLDER / "records/schema-1/guide").iterdir():
        recorded = {(item["metric"], item["judge"]): item["value"] for item in folders.read(folder).scores}
        found = {(score.metric, score.judge): score for score in score_all(load_evidence(folder / "evidence.npz"))}
        assert {place: found[place].value for place in recorded} == pytest.approx(recorded, rel=1e-9)
        assert {metric for metric, _ in set(found) - set(recorded)} == {"kid_pre", "precision", "recall"}
        for metric in ("kid_pre", "precision", "recall"):
            assert found[metric, None].value is None and "schema 1" in found[metric, None].reason


def test_older_records_load_report_and_rescore(tmp_path, capsys):
    from guidebench.reporting import report, scores

    runs = Path(shutil.copytree(OLDER, tmp_path / "runs"))
    stored, corrupt = folders.scan(runs)
    assert len(stored) == 2 and corrupt == []
    record = stored[0].record
    assert (record.schema, record.peak_memory_bytes, record.protocol["neighbours"]) == (folders.SCHEMA, None, 0)
    loaded = scores.load(runs)
    assert loaded.peak_memory_bytes.isna().all()
    assert loaded[loaded.metric == "target_similarity"].value.notna().all()
    assert rescore.rescore_all(runs) == (2, 2)
    assert capsys.readouterr().err == ""
    written = json.loads((stored[0].path / "record.json").read_text())
    assert written["schema"] == folders.SCHEMA and written["key"] == record.key
    assert len(written["scores"]) == len(record.scores) + 3
    assert "guide" in report.report(runs, "csv", layout="full", published=False)
