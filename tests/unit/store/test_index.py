"""An index changes nothing but how long reading takes: whatever happens to it, the records are what counts."""

import dataclasses
import os
import shutil
import stat
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from guidebench.store import finding, folders, index
from guidebench.store.folders import rewrite_record, scan
from guidebench.store.lazy import Scores
from guidebench.store.record import Record


@pytest.fixture(autouse=True)
def every_directory_has_an_index(monkeypatch, tmp_path_factory):
    """Also a small one, and one that was just written."""
    monkeypatch.setattr(index, "FROM", 1)
    monkeypatch.setattr(index, "SETTLED", -1e6)
    monkeypatch.setenv("GUIDEBENCH_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def out(tmp_path, make_record, put_record):
    """Five records of two methods, and a failure."""
    for person in ("anna", "bert", "carl"):
        missing = {"value": None, "reason": "no face"} if person == "carl" else {}
        put_record(tmp_path / "out", make_record(person, **missing))
        put_record(tmp_path / "out", make_record(person, label="other"))
    put_record(tmp_path / "out", make_record("dora", failed="it diverged"))
    return tmp_path / "out"


@pytest.fixture
def reads(monkeypatch):
    """The folders whose records are read."""
    found = []
    read = folders.read
    monkeypatch.setattr(folders, "read", lambda folder: found.append(Path(folder)) or read(folder))
    return found


def plainly(out, monkeypatch):
    """What a scan without an index finds."""
    with monkeypatch.context() as patch:
        patch.setattr(index, "FROM", 10**9)
        return scan(out)


def test_records_are_equal_with_and_without_an_index(out, reads, monkeypatch):
    (wanted, _), (first, _) = plainly(out, monkeypatch), scan(out)
    reads.clear()
    found, corrupt = scan(out)
    assert not reads and not corrupt
    assert found == first == wanted and wanted == found
    for ours, theirs in zip(found, wanted, strict=True):
        assert isinstance(ours.record.outcome.scores, Scores)
        assert ours.record.to_json() == theirs.record.to_json()
        assert ours.record.digest == theirs.record.digest and ours.record.key == theirs.record.key
        assert Record.from_json(ours.record.to_json()) == theirs.record
        assert ours.record.outcome.scores[-1:] == theirs.record.outcome.scores[-1:]


def test_equal_parts_are_one_object(out):
    scan(out)
    one, other, _ = [item.record for item in scan(out)[0] if item.record.spec.method.label == "other"]
    assert one.spec.protocol is other.spec.protocol and one.instrument is other.instrument


def test_a_small_directory_has_none(out, monkeypatch):
    plainly(out, monkeypatch)
    assert not (out / index.INDEX).exists()


def _rewritten(folder, make_record):
    record = folders.read(folder)
    scores = tuple(dataclasses.replace(score, value=0.75) for score in record.outcome.scores)
    rewrite_record(dataclasses.replace(record, outcome=dataclasses.replace(record.outcome, scores=scores)), folder)


def _removed(folder, make_record):
    shutil.rmtree(folder)


def _replaced_by_a_failure_to_read(folder, make_record):
    (folder / "record.json").write_text("{}")


def _of_another_size_and_the_same_time(folder, make_record):
    state = (folder / "record.json").stat()
    with open(folder / "record.json", "a") as stream:
        stream.write(" ")
    os.utime(folder / "record.json", ns=(state.st_atime_ns, state.st_mtime_ns))


def _of_the_same_size_and_time(folder, make_record):
    path = folder / "record.json"
    state, text = path.stat(), path.read_text()
    path.write_text(text.replace("0.25", "0.35"))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size


def _with_changed_evidence(folder, make_record):
    (folder / "progress.csv").write_text("request,step\n9,9\n")


def _with_evidence_of_its_own_gone(folder, make_record):
    (folder / "evidence.npz").unlink()


def _with_a_file_that_it_never_had(folder, make_record):
    (folder / "curve.json").write_text("{}")


def _moved(folder, make_record):
    folder.rename(folder.with_name("elsewhere"))


CHANGES = [
    _rewritten,
    _removed,
    _replaced_by_a_failure_to_read,
    _of_another_size_and_the_same_time,
    _of_the_same_size_and_time,
    _with_changed_evidence,
    _with_evidence_of_its_own_gone,
    _with_a_file_that_it_never_had,
    _moved,
]


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_is_seen(out, make_record, monkeypatch, change):
    before = scan(out)
    (folder, *_) = [item.path for item in before[0] if item.record.is_measured]
    change(folder, make_record)
    for _ in range(2):
        assert scan(out) == plainly(out, monkeypatch)


def test_what_is_added_is_seen_and_read_alone(out, make_record, put_record, reads, monkeypatch):
    scan(out)
    folder = put_record(out, make_record("emma"))
    reads.clear()
    assert len(scan(out)[0]) == 8 and reads == [folder]
    assert scan(out) == plainly(out, monkeypatch)


def test_a_failure_that_is_measured_later_is_gone(out, make_record, put_record):
    scan(out)
    put_record(out, make_record("dora"))
    assert all(item.record.is_measured for item in scan(out)[0])


def test_a_folder_is_listed_again_only_after_something_came_or_went(out, reads, monkeypatch):
    wanted = scan(out)
    scandir, listed = os.scandir, []
    monkeypatch.setattr(finding.os, "scandir", lambda folder: listed.append(folder) or scandir(folder))
    measured = sorted(item.folder for item in wanted[0] if item.record.is_measured)
    reads.clear()
    for new in ([], ["notes.txt"], []):
        listed.clear()
        for name in new:
            (Path(measured[0]) / name).write_text("not checked")
        assert scan(out) == wanted and not reads
        assert set(measured).intersection(listed) == ({measured[0]} if new else set())


def test_a_folder_that_changed_a_moment_before_it_was_listed_is_listed_again(out, monkeypatch):
    """On a file system of coarse times something else may come, and the folder shows the same time."""
    scan(out)
    folder = next(item.path for item in scan(out)[0] if item.record.is_measured)
    changed, held = finding._changed, {}
    monkeypatch.setattr(finding, "_changed", lambda path: held.setdefault(path, changed(path)))
    monkeypatch.setattr(index, "SETTLED", 5.0)
    (folder / "progress.csv").rename(out / "aside.csv")
    clock = SimpleNamespace(time_ns=time.time_ns, monotonic=time.monotonic)
    monkeypatch.setattr(index, "time", clock)
    get = index.Index.get

    def later(*arguments):  # its files are looked at a good while after its folder
        clock.time_ns = lambda: time.time_ns() + 10**10
        return get(*arguments)

    monkeypatch.setattr(index.Index, "get", later)
    scan(out)
    clock.time_ns = time.time_ns
    (out / "aside.csv").rename(folder / "progress.csv")
    (folder / "progress.csv").write_text("not what the trial wrote")
    assert [item.path for item in scan(out)[1]] == [folder]


def test_a_directory_may_be_the_current_one(out, reads, monkeypatch):
    monkeypatch.chdir(out)
    wanted = scan(".")
    reads.clear()
    assert scan(".") == wanted and not reads and len(wanted[0]) == 7


def test_a_file_whose_name_is_no_text_lies_beside_without_harm(out, reads):
    folder = next(item.path for item in scan(out)[0] if item.record.is_measured)
    with open(os.fsencode(folder) + b"/notes-\xe9.txt", "w"):
        pass
    scan(out)
    reads.clear()
    assert len(scan(out)[0]) == 7 and not reads


def test_what_was_written_a_moment_ago_is_read_again(out, reads, monkeypatch):
    """It may be written once more and show the same times."""
    monkeypatch.setattr(index, "SETTLED", 60.0)
    scan(out), scan(out)
    assert len(reads) == 14 and not (out / index.INDEX).exists()


def test_attacks_are_files_that_are_checked_too(out, reads):
    scan(out)
    folder = next(item.path for item in scan(out)[0] if item.record.is_measured)
    (folder / "attacks").mkdir()
    (folder / "attacks/one.npz").write_bytes(b"1")
    reads.clear()
    scan(out)
    assert reads == [folder]


# Damage ----------------------------------------------------------------------------------------------------------


def _cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def _emptied(path):
    path.write_bytes(b"")


def _one_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _of_another_version(path):
    stored = msgspec.msgpack.decode(path.read_bytes()[index._SUM :], type=index._Stored)
    stored.version = "99"
    path.unlink()
    index._write(path.name, msgspec.msgpack.encode(stored), [path.parent])


def _of_another_format(path):
    name, folder = path.name, path.parent
    path.unlink()
    index._write(name, msgspec.msgpack.encode(["99", {"a": 1}]), [folder])


def _a_pipe(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("damage", [_cut, _emptied, _one_bit, _of_another_version, _of_another_format, _a_pipe])
def test_a_damaged_index_counts_as_absent_and_is_written_again(out, reads, monkeypatch, damage):
    wanted, _ = scan(out)
    for path in (out / index.INDEX).iterdir():
        damage(path)
    reads.clear()
    assert scan(out)[0] == wanted and len(reads) == 7
    reads.clear()
    assert scan(out)[0] == wanted and not reads


def test_a_file_in_its_place_is_let_alone(out, reads):
    (out / index.INDEX).write_text("mine")
    scan(out)
    reads.clear()
    assert len(scan(out)[0]) == 7 and not reads, "it is in the cache"
    assert (out / index.INDEX).read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written_has_its_index_in_the_cache(out, reads):
    out.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        scan(out)
        reads.clear()
        assert len(scan(out)[0]) == 7 and not reads and not (out / index.INDEX).exists()
    finally:
        out.chmod(stat.S_IRWXU)


def test_nowhere_to_write_is_no_trouble(out, reads, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(index.files, "written_aside", full)
    assert len(scan(out)[0]) == len(scan(out)[0]) == 7 and len(reads) == 14


def test_a_folder_that_holds_several_runs_gets_no_file(out, reads, monkeypatch):
    scan(out.parent)
    assert {path.name for path in out.parent.iterdir()} == {"out"}
    reads.clear()
    assert scan(out.parent) == plainly(out.parent, monkeypatch)
    assert len(reads) == 7, "the plain scan alone"


def test_a_copied_index_counts_for_nothing(out, reads):
    """It may say anything: the times of the copied records are others."""
    scan(out)
    shutil.copytree(out, out.with_name("copy"), copy_function=shutil.copy2)
    reads.clear()
    assert len(scan(out.with_name("copy"))[0]) == 7 and len(reads) == 7


def test_several_writers_leave_a_whole_index(out, reads):
    found = []
    writers = [threading.Thread(target=lambda: found.append(scan(out))) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert all(one == found[0] for one in found)
    reads.clear()
    assert scan(out) == found[0] and not reads
    assert not [path for path in (out / index.INDEX).iterdir() if path.name.startswith(".")]


def test_a_writer_that_is_killed_leaves_what_was_there(out, make_record, put_record, monkeypatch):
    scan(out)
    before = {path.name: path.read_bytes() for path in (out / index.INDEX).iterdir()}
    put_record(out, make_record("emma"))

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(index.files.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            scan(out)
    assert {path.name: path.read_bytes() for path in (out / index.INDEX).iterdir()} == before
    assert scan(out) == plainly(out, monkeypatch)


def test_removed_records_leave_the_index_when_it_is_written_again(out, make_record, put_record):
    found, _ = scan(out)
    size = sum(path.stat().st_size for path in (out / index.INDEX).iterdir())
    for item in found[1:]:
        if item.record.is_measured:
            shutil.rmtree(item.path)
    put_record(out, make_record("emma")), put_record(out, make_record("emma", label="other"))
    scan(out)
    assert sum(path.stat().st_size for path in (out / index.INDEX).iterdir()) < size


def test_two_versions_in_turn_read_the_same_records_and_lose_none(out, reads, monkeypatch):
    wanted = scan(out)
    for version in (99, 1, 99):
        monkeypatch.setattr(index, "_version", lambda version=version: str(version))
        reads.clear()
        assert scan(out) == wanted and len(reads) == 7, "the other version's index counts as absent"
        reads.clear()
        assert scan(out) == wanted and not reads


def test_a_record_of_a_later_version_is_named_and_its_folder_stays(out, make_record, monkeypatch):
    found, _ = scan(out)
    path = found[0].path / "record.json"
    path.write_bytes(path.read_bytes().replace(b'"schema": 4', b'"schema": 5'))
    before = path.read_bytes()
    for _ in range(2):
        left, (item,) = scan(out)
        assert len(left) == 6 and item.path == path.parent and "schema 5" in item.reason
    assert path.read_bytes() == before
