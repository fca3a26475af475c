"""Of several processes on one directory, one at a time runs a trial, and nobody what another one recorded."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
import sys
import threading

import pytest

from guidebench.errors import StorageError
from guidebench.store import claims, folders
from guidebench.store.claims import CLAIMS, claimed, in_flight
from guidebench.store.folders import Store

HOLDS = """
import sys
from guidebench.store import claims, folders
from guidebench.store.folders import Store
from guidebench.store.record import Record
out, record = sys.argv[1:]
with claims.claimed(Store(out), Record.from_json(open(record).read()).spec) as mine:
    print(mine, flush=True)
    input()
"""


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "out")


@pytest.fixture
def elsewhere(tmp_path, store, make_record):
    """Another process that claims a trial until it is told to end, or killed."""
    started = []

    def start(record):
        (tmp_path / "record.json").write_text(record.to_json())
        command = [sys.executable, "-c", HOLDS, str(store.root), str(tmp_path / "record.json")]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process, process.stdout.readline().strip() == "True"

    yield start
    for process in started:
        process.kill()
        process.communicate()


def written(store):
    return sorted((store.root / CLAIMS).glob("*"))


def age(path, seconds):
    then = folders.clock_of(path.parent) - seconds
    os.utime(path, (then, then))


def test_one_of_several_has_a_trial_and_others_have_others(store, make_record):
    anna, bert = make_record("anna").spec, make_record("bert").spec
    with claimed(store, anna) as first, claimed(store, anna) as second, claimed(store, bert) as third:
        assert (first, second, third) == (True, False, True)
        assert in_flight(store, anna)
    assert not in_flight(store, anna) and not (store.root / CLAIMS).exists()


def test_two_rows_of_one_trial_are_two(store, make_record):
    with claimed(store, make_record().spec), claimed(store, make_record(label="twin").spec) as mine:
        assert mine


def test_a_method_that_raises_leaves_no_claim(store, make_record):
    with pytest.raises(RuntimeError), claimed(store, make_record().spec):
        raise RuntimeError
    assert not in_flight(store, make_record().spec)


def test_another_process_has_a_trial_until_it_ends(store, make_record, elsewhere):
    process, theirs = elsewhere(make_record())
    with claimed(store, make_record().spec) as mine:
        assert theirs and not mine and in_flight(store, make_record().spec)
    process.communicate("\n")
    with claimed(store, make_record().spec) as mine:
        assert mine


def test_the_claim_of_a_killed_process_is_void_at_once(store, make_record, elsewhere):
    process, _ = elsewhere(make_record())
    process.kill()
    process.wait()
    assert written(store) and not in_flight(store, make_record().spec)
    with claimed(store, make_record().spec) as mine:
        assert mine


@pytest.mark.parametrize(("seconds", "void"), [(claims.VOID - 60, False), (claims.VOID + 60, True)])
def test_a_claim_of_another_host_is_void_when_it_was_not_renewed(store, make_record, seconds, void):
    spec = make_record().spec
    with claimed(store, spec):
        (path,) = written(store)
        text = json.dumps({"host": "another", "pid": os.getpid(), "token": "x"})
    path.parent.mkdir()
    path.write_text(text)
    age(path, seconds)
    with claimed(store, spec) as mine:
        assert mine == void
    claims.clean(store)
    assert bool(written(store)) == (not void)


def test_a_claim_of_an_earlier_process_of_the_same_number_is_void(store, make_record):
    """As in containers, in which every run is process 1."""
    spec = make_record().spec
    with claimed(store, spec):
        (path,) = written(store)
        text = path.read_text().replace('"token": "', '"token": "0')
    path.parent.mkdir()
    path.write_text(text)
    with claimed(store, spec) as mine:
        assert mine


def test_a_claim_is_renewed_while_its_trial_runs(store, make_record, monkeypatch):
    monkeypatch.setattr(claims, "RENEWED", 0.01)
    renewed = threading.Event()
    utime = os.utime
    monkeypatch.setattr(os, "utime", lambda path: (utime(path), renewed.set()))
    with claimed(store, make_record().spec):
        (path,) = written(store)
        assert renewed.wait(30) and path.exists()


def test_a_half_written_claim_counts(store, make_record):
    spec = make_record().spec
    with claimed(store, spec):
        (path,) = written(store)
    path.parent.mkdir()
    path.write_text("")
    with claimed(store, spec) as mine:
        assert not mine


def test_a_claim_that_was_made_while_a_void_one_was_taken_away_stays(store, make_record, monkeypatch):
    """Two see a void claim; one takes it away and makes its own; the other must not take that one away."""
    spec = make_record().spec
    with claimed(store, spec):
        (path,) = written(store)
        judged, is_void = [], claims._is_void
        monkeypatch.setattr(claims, "_is_void", lambda path: not judged and not judged.append(1) or is_void(path))
        with claimed(store, spec) as second:
            assert not second
        assert path.exists() and in_flight(store, spec)


def test_of_many_that_find_a_void_claim_one_has_the_trial(store, make_record):
    spec = make_record().spec
    with claimed(store, spec):
        (path,) = written(store)
    for _ in range(50):
        path.parent.mkdir()
        path.write_text(json.dumps({"host": "another", "pid": 1, "token": "x"}))
        age(path, claims.VOID + 60)
        assert sorted(claimed_together(store, spec, 8)) == [False] * 7 + [True]
        assert not path.parent.exists()


def without_locks(*_):
    raise OSError(errno.ENOLCK, "No locks available")


def ignored_locks(*_):
    pass


@pytest.mark.parametrize("flock", [without_locks, ignored_locks])
def test_file_servers_without_locks(store, make_record, monkeypatch, flock):
    """A free trial is one process's. A void claim may be taken by several at once; one record stays."""
    monkeypatch.setattr(claims.fcntl, "flock", flock)
    record = make_record()
    spec, place = record.spec, store.path(record.spec)
    for _ in range(20):
        assert sorted(claimed_together(store, spec, 6)) == [False] * 5 + [True]
        assert not (store.root / CLAIMS).exists()
    with claimed(store, spec):
        (path,) = written(store)

    def write():
        with store.building(place) as folder:
            folders.write_record(record, folder)

    for _ in range(20):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"host": "another", "pid": 1, "token": "x"}))
        age(path, claims.VOID + 60)
        assert any(claimed_together(store, spec, 6, write))
        assert folders.read(place) == record and [item.name for item in place.parent.iterdir()] == [place.name]
        shutil.rmtree(store.root / "records")
        claims.clean(store)
        assert not in_flight(store, spec)


def test_a_lock_that_never_seems_to_be_there_stops_nobody(store, make_record, monkeypatch):
    """As on file systems that number a file anew each time they are asked."""
    monkeypatch.setattr(claims, "_is_still_at", lambda path, handle: False)
    for _ in range(2):
        with claimed(store, make_record().spec) as mine:
            assert mine


def test_what_another_host_has_removed_is_gone_also_where_nfs_calls_it_stale(store, make_record, monkeypatch):
    """The folder of claims vanishes while a claim is made, and while its lock is looked at."""
    calls = []

    def stale(real):
        def call(*given, **options):
            calls.append(real)
            if len(calls) < 3:
                raise OSError(errno.ESTALE, "Stale file handle")
            return real(*given, **options)

        return call

    monkeypatch.setattr(claims.os, "open", stale(os.open))
    with claimed(store, make_record().spec) as mine:
        assert mine
    calls.clear()
    monkeypatch.setattr(claims.os.path, "samestat", stale(os.path.samestat))
    with claimed(store, make_record().spec) as mine:
        assert mine
    assert len(calls) >= 3 and not written(store)
    calls.clear()
    monkeypatch.setattr(claims.os, "listdir", stale(os.listdir))
    claims.clean(store)
    assert len(calls) == 1


def test_a_claim_that_does_not_fit_on_the_disk_is_none(store, make_record, monkeypatch):
    """The same command goes on at once when there is room, and does not wait until the claim is void."""
    spec = make_record().spec

    class Full(io.StringIO):
        def write(self, text):
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(claims.os, "fdopen", lambda handle, mode: os.close(handle) or Full())
        with pytest.raises(StorageError, match="no space left"), claimed(store, spec):
            pass
    assert not in_flight(store, spec)
    with claimed(store, spec) as mine:
        assert mine


def test_cleaning_passes_over_claims_that_are_not_ours_to_take(store, make_record, monkeypatch):
    path = claims._path(store, make_record().spec)
    path.parent.mkdir()
    path.write_text(json.dumps({"host": "another", "pid": 1, "token": "x"}))
    age(path, claims.VOID + 60)

    def denied(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(claims, "_alone", denied)
    claims.clean(store)
    assert path.exists()


def claimed_together(store, spec, count, run=lambda: None):
    """Who of as many threads has a trial that all of them claim at once. run: what those do that have it."""
    together, ended, have = threading.Barrier(count), threading.Barrier(count), []

    def take():
        together.wait()
        with claimed(store, spec) as mine:
            have.append(mine)
            if mine:
                run()
            ended.wait()

    threads = [threading.Thread(target=take) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return have


def test_what_was_recorded_since_the_run_was_planned_is_not_repeated(store, make_record, put_record):
    record = make_record()
    with claimed(store, record.spec) as mine:
        assert mine
    folder = put_record(store.root, record)
    with claimed(store, record.spec) as mine:
        assert not mine
    with claimed(store, record.spec, replaces=folders.read(folder).digest) as mine:
        assert mine, "a run that measures again what is recorded"
    with claimed(store, record.spec, replaces="of what lay there when that run was planned") as mine:
        assert not mine


def test_a_directory_that_is_gone_is_one_clear_line(store, make_record, says):
    store.root.rmdir()
    with pytest.raises(StorageError, match=says(str(store.root), "deleted")), claimed(store, make_record().spec):
        pass
