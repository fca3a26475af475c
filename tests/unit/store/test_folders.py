"""Records are complete or absent, whatever happens while they are written."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from guidebench import files
from guidebench.chosen import ChosenMethod
from guidebench.errors import BadInput, StorageError
from guidebench.metric import Score
from guidebench.protocol import Protocol
from guidebench.store import folders, salts
from guidebench.store.folders import Store
from guidebench.store.record import Environment, Instrument, Outcome, Record, TrialSpec


def record(*, people="anna b/c", seed=0, **outcome):
    return Record(
        spec=TrialSpec(
            protocol=Protocol(name="p", version=1, title="P", source="celebahq", identities=2),
            method=ChosenMethod(
                spec="guide", name="guide", class_name="Guide", label="guide", fields={"lr": 0.1}, source_digest="s"
            ),
            testbed="linear",
            weights={},
            manifest="m",
            requests=((people,),),
            seed=seed,
        ),
        instrument=Instrument(testbed="linear", caption="", conventions="", features="", real="", judges=()),
        environment=Environment(device="cpu", versions={}, commit=None, created="now"),
        outcome=Outcome(**{"status": "measured", **outcome}),
    )


def write(out, item, folder):
    with Store(out).building(folder) as aside:
        folders.write_record(item, aside)


def test_a_folder_is_named_by_people_seed_and_key(tmp_path):
    spec = record(seed=4).spec
    path = Store(tmp_path).path(spec).relative_to(tmp_path)
    assert path.as_posix() == f"records/p/guide/anna_b_c-s4-{spec.key[:12]}"
    assert Store(tmp_path).path(spec, kind=folders.FAILURES).parts[-4] == "failures"


def test_long_names_are_cut_and_stay_different():
    names = {folders.slug("guide(" + "x" * 300 + str(place)) for place in range(3)}
    assert len(names) == 3 and max(map(len, names)) == 100


def test_no_two_people_share_a_folder_of_pictures():
    assert folders.person_folder("celebahq-0000") == "celebahq-0000"
    assert len({folders.person_folder(name) for name in ("a b", "a_b", "a/b", "a?b")}) == 4


def test_nothing_appears_if_the_writing_fails(tmp_path):
    target = tmp_path / "records" / "p" / "guide" / "one"
    with pytest.raises(RuntimeError), Store(tmp_path).building(target) as aside:
        (aside / "record.json").write_text("half")
        raise RuntimeError
    assert list((tmp_path / "records").rglob("*.json")) == []
    assert not any(target.parent.iterdir())


def test_what_a_killed_process_left_is_removed_but_not_what_a_living_one_builds(tmp_path):
    code = f"""
import os, signal
from guidebench.store.folders import Store
with Store({str(tmp_path)!r}).building(__import__('pathlib').Path({str(tmp_path / "records/p/m/one")!r})) as aside:
    (aside / 'record.json').write_text('half')
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert len(list(tmp_path.rglob("record.json"))) == 1
    with Store(tmp_path).building(tmp_path / "records/p/m/two") as aside:
        (aside / "record.json").write_text(record().to_json())
        Store(tmp_path).clean()
        assert aside.is_dir()
    assert [path.parent.name for path in tmp_path.rglob("record.json")] == ["two"]


def test_cleaning_bears_folders_that_others_remove_meanwhile(tmp_path, monkeypatch):
    left = tmp_path / "records/p/m/.building-elsewhere-1-x"
    left.mkdir(parents=True)
    os.utime(left, (0, 0))
    gone, scandir = tmp_path / "records/p/a", os.scandir
    gone.mkdir()

    def removed_just_now(folder):
        if str(folder) == str(gone):
            shutil.rmtree(gone)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", removed_just_now)
    Store(tmp_path).clean()
    assert not gone.exists() and not left.exists()


def test_what_was_left_in_the_index_and_beside_the_salt_is_removed(tmp_path):
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    name = folders.unfinished_prefix().replace(f"-{os.getpid()}-", f"-{int(ended.stdout)}-") + "x"
    (tmp_path / "index").mkdir()
    for folder in (tmp_path, tmp_path / "index"):
        (folder / name).write_text("half")
        (folder / "whole").write_text("whole")
    Store(tmp_path).clean()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["index", "whole", "whole"]


def test_cleaning_passes_over_what_another_user_left(tmp_path, monkeypatch):
    left = tmp_path / "records/p/m/one/.building-elsewhere-1-x"
    left.parent.mkdir(parents=True)
    left.write_text("half")
    os.utime(left, (0, 0))

    def denied(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as theirs:
        theirs.setattr(folders.Path, "unlink", denied)
        Store(tmp_path).clean()
    assert left.exists()
    Store(tmp_path).clean()
    assert not left.exists()


@pytest.mark.parametrize("gone", [FileNotFoundError, FileExistsError])
def test_a_folder_that_others_remove_while_it_is_empty_is_made_again(tmp_path, gone):
    """Whoever ends a trial removes the folders above it that are empty then."""
    left, made = [gone, gone], []

    def make():
        if left:
            shutil.rmtree(tmp_path / "a")
            raise left.pop()
        made.append(True)
        return "made"

    assert folders.within(tmp_path / "a/b", make) == "made" and made and (tmp_path / "a/b").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        folders.within(tmp_path / "file", make)


def test_an_unfinished_folder_is_never_read(tmp_path, says):
    aside = tmp_path / "records/p/m/.building-1-x"
    aside.mkdir(parents=True)
    (aside / "record.json").write_text(record().to_json())
    with pytest.raises(
        BadInput,
        match=says("no records", str(tmp_path), f"`guidebench run --out {tmp_path} --protocol smoke --method guide`"),
    ):
        folders.scan(tmp_path)


def test_a_measured_trial_hides_its_failures_and_the_last_failure_counts(tmp_path):
    store = Store(tmp_path)
    failures = store.path(record().spec, kind=folders.FAILURES)
    for number, reason in ((1, "first"), (2, "second"), (10, "tenth")):
        write(tmp_path, record(status="failed", reason=reason), failures / str(number))
    (item,), _ = folders.scan(tmp_path)
    assert item.record.outcome.reason == "tenth"
    assert [entry.reason for entry in store.attempts(failures)][-1] == "tenth"
    write(tmp_path, record(), store.path(record().spec))
    (item,), _ = folders.scan(tmp_path)
    assert item.record.is_measured


def test_a_corrupt_record_is_named(tmp_path):
    good, bad = (Store(tmp_path).path(record(seed=seed).spec) for seed in (0, 1))
    write(tmp_path, record(), good)
    write(tmp_path, record(seed=1), bad)
    (bad / "record.json").write_text("{")
    stored, corrupt = folders.scan(tmp_path)
    assert [item.path for item in stored] == [good] and [item.path for item in corrupt] == [bad]


def test_an_existing_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "records/p/m/one"
    write(tmp_path, record(people="old"), target)
    write(tmp_path, record(people="new"), target)
    assert folders.read(target).spec.group == "new"
    assert [path.name for path in target.parent.iterdir()] == ["one"]


def test_a_directory_that_cannot_be_written_is_one_clear_line(tmp_path, says):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=says(str(tmp_path / "file"), "choose another place")):
        Store(tmp_path / "file")


def test_a_full_disk_is_one_clear_line(tmp_path):
    with pytest.raises(StorageError, match="space"), Store(tmp_path).building(tmp_path / "records/p/m/one"):
        raise OSError(28, "No space left on device")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, a device that is always full")
def test_a_really_full_device_is_recognised(tmp_path):
    with (
        pytest.raises(StorageError, match="space"),
        folders.storage_errors(tmp_path),
        open("/dev/full", "w") as s,
    ):
        s.write("x")
        s.flush()


def test_a_folder_inside_the_records_is_told_where_to_begin(tmp_path):
    inside = tmp_path / "out" / "records" / "p" / "guide" / "a-s0-key"
    inside.mkdir(parents=True)
    (inside / "record.json").write_text(record().to_json())
    for folder in list(inside.parents)[:3]:
        with pytest.raises(BadInput, match=rf"{re.escape(str(folder))}\b.* {re.escape(str(tmp_path))}/out\b(?!/)"):
            folders.scan(folder)


@pytest.mark.parametrize("changes", [{"value": "0.5"}, {"n": 1.5}])
def test_what_a_report_would_leave_out_is_not_measured_for_a_run(tmp_path, changes):
    """Else the same command would never measure it again."""
    score = Score(metric="fid_pre", judge=None, identity="x", role="samples", after_request=1, value=0.1, n=1)
    item = record(people="x", scores=(score,))
    folder = Store(tmp_path).path(item.spec)
    write(tmp_path, item, folder)
    assert Store(tmp_path).measured(folder) is not None
    data = json.loads((folder / "record.json").read_text())
    data["outcome"]["scores"][0] |= changes
    (folder / "record.json").write_text(json.dumps(data))
    assert Store(tmp_path).measured(folder) is None
    with pytest.raises(ValueError, match=next(iter(changes))):
        folders.read(folder)


@pytest.mark.parametrize("given", [None, 3])
def test_records_are_asked_for_by_a_path(given, says):
    with pytest.raises(BadInput, match=says(f"{given} is not a directory")):
        folders.scan(given)


def test_a_file_is_no_directory_of_records(tmp_path, says):
    (tmp_path / "record.json").write_text("{}")
    with pytest.raises(BadInput, match=says(str(tmp_path / "record.json"), "file", "records/")):
        folders.scan(tmp_path / "record.json")


KILLS = 40


def killed_while(write, moment):
    """Runs ``write(report)`` in a process that is killed in its work on something after ``moment`` reports.

    Returns what it has reported.
    """
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            write(lambda text: os.write(theirs, f"{text}\n".encode()))
        finally:
            os._exit(1)
    os.close(theirs)
    with os.fdopen(ours) as stream:
        said = [stream.readline() for _ in range(int(moment))]
        time.sleep(moment % 1 / 200)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return [line.strip() for line in [*said, *stream]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kills_at_any_moment_lose_nothing_and_leave_nothing_half_written(tmp_path, make_record, put_record):
    """Processes measure the next of 20 seeds, again and again as `--fresh` does, and report what they have recorded.

    Between two trials each replaces a file, too, and asks for the directory's salt.
    """
    finished, salt, moments = set(), salts.salt_for(tmp_path, None), random.Random(0)
    for first in range(KILLS):

        def write(report, first=first):
            for number in range(first, 10**6):
                put_record(tmp_path, make_record(seed=number % 20))
                report(number % 20)
                files.write_json([number] * 2000, tmp_path / "some.json")
                salts.salt_for(tmp_path, number)

        finished |= set(killed_while(write, moments.uniform(0, 3)))
        Store(tmp_path).clean()
        if finished:
            stored, corrupt = folders.scan(tmp_path)
            assert corrupt == [] and {str(item.record.spec.seed) for item in stored} >= finished
        if (tmp_path / "some.json").exists():
            assert (tmp_path / "some.json").read_text().endswith("]\n")
        assert salts.current(tmp_path) == salt and not list(tmp_path.rglob(".building-*"))
    assert len(finished) > 10
