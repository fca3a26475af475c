"""Where records lie and how they are replaced: copies, later versions, killed replacements, several processes."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import threading

import pytest

from guidebench.errors import BadInput, StorageError
from guidebench.metric import Score
from guidebench.store import folders
from guidebench.store.finding import ASIDE, RETIRED
from guidebench.store.folders import Store
from guidebench.store.record import SCHEMA
from guidebench.store.unreadable import left_out


def with_value(record, value):
    scores = tuple(dataclasses.replace(score, value=value) for score in record.outcome.scores)
    return dataclasses.replace(record, outcome=dataclasses.replace(record.outcome, scores=scores))


def value_of(folder):
    return folders.read(folder).outcome.scores[0].value


def of_a_later_version(folder):
    data = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps({**data, "schema": SCHEMA + 1, "news": True}))
    return (folder / "record.json").read_bytes()


@pytest.mark.parametrize("place", ["another key", "another label", "another protocol", "one level down"])
def test_a_record_that_was_copied_is_named_and_left_out(tmp_path, make_record, put_record, place):
    own = put_record(tmp_path, make_record("anna"))
    other = Store(tmp_path).path(make_record("bert").spec)
    copy = {
        "another key": other,
        "another label": own.parent.with_name("mean-latent") / own.name,
        "another protocol": own.parents[1].with_name("q") / "guide" / own.name,
        "one level down": own.parent / "copies" / own.name,
    }[place]
    shutil.copytree(own, copy)
    stored, corrupt = folders.scan(tmp_path)
    assert [item.path for item in stored] == [own]
    (line,) = left_out(corrupt, tmp_path)
    assert line.startswith(
        f"{copy.relative_to(tmp_path)}: it holds the record of p/guide/{own.name}, as if it had been"
    )
    assert line.endswith("delete it, or move it back to its place")
    assert Store(tmp_path).measured(copy) is None


def test_a_copied_failure_is_left_out_too(tmp_path, make_record, put_record):
    own = put_record(tmp_path, make_record("anna", failed="no"))
    shutil.copytree(own.parent, Store(tmp_path).path(make_record("bert").spec, kind=folders.FAILURES))
    assert [len(part) for part in folders.scan(tmp_path)] == [1, 1]


def test_a_failure_that_cannot_be_read_can_go(tmp_path, make_record, put_record):
    (put_record(tmp_path, make_record(failed="no")) / "progress.csv").write_text("another")
    ((item,), ()) = reversed(folders.scan(tmp_path))
    assert item.reason.startswith("progress.csv") and item.cure.startswith("delete the folder")


@pytest.mark.parametrize("harm", ["evidence", "cut off", "older"])
def test_what_was_not_as_it_was_written_is_kept_when_its_trial_is_measured_again(
    tmp_path, make_record, put_record, harm
):
    record = make_record()
    folder = put_record(tmp_path, record)
    if harm == "evidence":
        (folder / "evidence.npz").write_bytes(b"somebody else's")
    else:
        (folder / "record.json").write_text({"cut off": "{", "older": '{"schema": 3}'}[harm])
    content = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    for number in ("1", "2"):
        put_record(tmp_path, record)
        kept = tmp_path / folders.REPLACED / folder.relative_to(tmp_path / "records") / "1"
        assert {path.name: path.read_bytes() for path in kept.iterdir() if path.is_file()} == content
        assert value_of(folder) == 0.25 and [path.name for path in kept.parent.iterdir()] == ["1"], number
    assert [len(part) for part in folders.scan(tmp_path)] == [1, 0], "what was put aside is in no report"


def test_a_folder_without_a_record_makes_room(tmp_path, make_record, put_record):
    folder = Store(tmp_path).path(make_record().spec)
    folder.mkdir(parents=True)
    (folder / "evidence.npz").write_text("half")
    put_record(tmp_path, make_record())
    assert value_of(folder) == 0.25 and not (tmp_path / folders.REPLACED).exists()


def test_a_record_of_a_later_version_is_never_replaced(tmp_path, make_record, put_record, says):
    record = make_record()
    folder = put_record(tmp_path, record)
    content = of_a_later_version(folder)
    store = Store(tmp_path)
    with pytest.raises(BadInput, match=says(str(folder), f"schema {SCHEMA + 1}", "later version", "another --out")):
        store.check_places([make_record("bert").spec, record.spec])
    with pytest.raises(StorageError, match=says(str(folder), "later version", "left as it is")):
        put_record(tmp_path, record)
    assert (folder / "record.json").read_bytes() == content
    assert [path.name for path in folder.parent.iterdir()] == [folder.name], "nothing unfinished stays"
    store.check_places([make_record("bert").spec])


def test_a_record_of_a_later_version_is_not_to_be_deleted(tmp_path, make_record, put_record):
    of_a_later_version(put_record(tmp_path, make_record()))
    (line,) = left_out(folders.scan(tmp_path)[1], tmp_path)
    assert f"schema {SCHEMA + 1}" in line and line.endswith("a later version of guidebench wrote it, and reads it")


def test_a_protocols_folder_that_is_a_link_is_refused_before_a_run(tmp_path, make_record, put_record, says):
    folder = put_record(tmp_path / "out", make_record())
    shutil.move(folder.parents[1], tmp_path / "elsewhere")
    folder.parents[1].symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match=says(str(folder.parents[1]), "symbolic link", "the folder itself")):
        Store(tmp_path / "out").check_places([make_record().spec])


KILLED = """
import os, signal, sys
from pathlib import Path
from guidebench.store import folders
folder = Path(sys.argv[1])
record = folders.read(folder)
replace, calls = os.replace, []
def killed(source, target):
    if calls:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)  # the first of all meets the record that is there
    calls.append(target)
os.replace = killed
with folders.Store(sys.argv[2]).building(folder) as aside:
    folders.write_record(record, aside)
"""


def test_a_record_survives_a_kill_between_the_two_renames_that_replace_it(tmp_path, make_record, put_record):
    folder = put_record(tmp_path, make_record())
    command = [sys.executable, "-c", KILLED, str(folder), str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == -9
    assert not folder.exists() and any(RETIRED in path.name for path in folder.parent.iterdir())
    assert "measured again" in folders.scan(tmp_path)[1][0].reason
    Store(tmp_path).clean()
    assert value_of(folder) == 0.25 and (folder / "evidence.npz").is_file()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_record_goes_back_if_what_was_to_replace_it_cannot_be_put_there(
    tmp_path, make_record, put_record, monkeypatch
):
    folder = put_record(tmp_path, make_record())
    replace = os.replace

    def no_more(source, target):
        if target == folder and not folder.exists():
            raise OSError(5, "Input/output error")
        replace(source, target)

    monkeypatch.setattr(os, "replace", no_more)
    with pytest.raises(StorageError, match="Input/output error"):
        put_record(tmp_path, with_value(make_record(), 0.5))
    assert value_of(folder) == 0.25 and [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_folder_that_cannot_be_looked_into_is_kept_when_its_trial_is_measured_again(
    tmp_path, make_record, put_record, monkeypatch
):
    """Whatever lies in it: it may be a record that somebody else may read."""
    folder = put_record(tmp_path, make_record())
    (folder / "notes.txt").write_text("mine")
    listdir = os.listdir

    def denied(path):
        if str(path) == str(folder):
            raise PermissionError(13, "Permission denied", str(path))
        return listdir(path)

    with monkeypatch.context() as closed:
        closed.setattr(os, "listdir", denied)
        closed.setattr(Store, "measured", lambda store, folder: None)
        put_record(tmp_path, make_record())
    (kept,) = tmp_path.glob("replaced/*/*/*/1/notes.txt")
    assert kept.read_text() == "mine" and not (folder / "notes.txt").exists()


def test_a_record_that_was_being_replaced_at_a_power_cut_goes_back(tmp_path, make_record, put_record, monkeypatch):
    """The machine has another name since it was started again; a moment after the first rename nobody takes it away."""
    folder = put_record(tmp_path, make_record())
    folder.rename(folder.with_name(f"{ASIDE}another-host-1-x-0{RETIRED}{folder.name}"))
    Store(tmp_path).clean()
    assert not folder.exists()
    now = folders.clock_of(tmp_path)
    monkeypatch.setattr(folders, "clock_of", lambda root: now + 120)
    Store(tmp_path).clean()
    assert len(folders.scan(tmp_path)[0]) == 1 and folder.is_dir()


def test_a_record_that_makes_room_while_another_comes_leaves_nothing(tmp_path, make_record, put_record, monkeypatch):
    """Its place was empty when it was looked at, and is not when it would go back there."""
    folder = put_record(tmp_path, make_record())
    old = folder.with_name(f"{ASIDE}another-host-1-x-0{RETIRED}{folder.name}")
    shutil.copytree(folder, old)
    with monkeypatch.context() as before:
        before.setattr(folders.os.path, "lexists", lambda path: False)
        folders._clear(old)
    assert not old.exists() and len(folders.scan(tmp_path)[0]) == 1


def test_the_loser_of_a_race_for_one_place_does_not_fail(tmp_path, make_record, put_record):
    """Renames are slow on a file server: both see that nothing is there, and rename one after the other."""
    record = make_record()
    together = threading.Barrier(4)
    failures = []

    def write(value):
        try:
            with Store(tmp_path).building(Store(tmp_path).path(record.spec)) as aside:
                folders.write_record(with_value(record, value), aside)
                together.wait()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(0.1 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ((item,), corrupt), left = folders.scan(tmp_path), list(tmp_path.rglob(f"{ASIDE}*"))
    assert (failures, corrupt, left) == ([], [], []) and item.record.key == record.key


@pytest.mark.parametrize(("hours", "stays"), [(1, True), (25, False)])
def test_what_another_host_left_is_removed_when_nothing_was_written_to_it_for_a_day(
    tmp_path, make_record, put_record, hours, stays
):
    folder = put_record(tmp_path, make_record())
    leftover = folder.with_name(f"{ASIDE}another-host-1-x")
    (leftover / "pictures").mkdir(parents=True)
    old = folders.clock_of(tmp_path) - hours * 3600
    for path in (leftover / "pictures", leftover):
        os.utime(path, (old, old))
    Store(tmp_path).clean()
    assert leftover.exists() == stays and folder.exists()


def test_a_record_that_another_host_was_replacing_goes_back_too(tmp_path, make_record, put_record):
    folder = put_record(tmp_path, make_record())
    old = folders.clock_of(tmp_path) - 25 * 3600
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (old, old))
    folder.rename(folder.with_name(f"{ASIDE}another-host-1-x-0{RETIRED}{folder.name}"))
    Store(tmp_path).clean()
    assert value_of(folder) == 0.25


def test_what_a_killed_rescore_left_is_removed(tmp_path, make_record, put_record):
    folder = put_record(tmp_path, make_record())
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    leftover = folder / f"{ASIDE}{folders.this_host()}-{int(dead.stdout)}-x"
    leftover.write_text("half")
    Store(tmp_path).clean()
    assert not leftover.exists() and value_of(folder) == 0.25


def test_an_output_directory_that_is_gone_is_not_made_again(tmp_path, make_record, says):
    store = Store(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    record = make_record()
    with (
        pytest.raises(StorageError, match=says(str(tmp_path / "out"), "deleted or moved")),
        store.building(store.path(record.spec)) as aside,
    ):
        folders.write_record(record, aside)
    assert not (tmp_path / "out").exists()


def test_a_rewritten_record_keeps_what_is_said_of_its_files_and_has_another_digest(tmp_path, make_record, put_record):
    folder = put_record(tmp_path, make_record())
    before = folders.read(folder)
    folders.rewrite_record(with_value(before, 0.5), folder)
    after = folders.read(folder)
    assert after.files == before.files and after.digest != before.digest and value_of(folder) == 0.5
    more = Score(metric="id", judge="alpha", identity="anna", role="forget", after_request=1, value=0.1)
    outcome = dataclasses.replace(after.outcome, scores=(*after.outcome.scores, more))
    with pytest.raises(BadInput, match="twice"):
        folders.rewrite_record(dataclasses.replace(after, outcome=outcome), folder)
    assert folders.read(folder) == after
