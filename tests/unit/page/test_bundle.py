"""The folder of the page: what it holds, and what it leaves alone."""

from __future__ import annotations

import json
import re

import pytest
from page_records import HOSTILE, fill, save_with_pictures

from guidebench.errors import BadInput
from guidebench.page.boards import Source
from guidebench.page.bundle import write_page
from guidebench.reporting.selection import Filter
from guidebench.store.folders import scan


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("page") / "runs")


def embedded(index):
    return json.loads(re.search('id="data">(.*?)</script>', index.read_text(), re.S)[1])


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()
    }


def test_a_page_holds_everything_that_it_names(runs, tmp_path, caplog):
    out = tmp_path / "page"
    data = embedded(write_page([Source(runs)], out))
    named, shared = set(), []
    for trial in (trial for board in data["boards"] for row in board["rows"] for trial in row["trials"]):
        assert (out / trial["path"]).is_file()
        for faces in trial.get("pictures", {}).values():
            assert len(faces["before"]) == len(faces["after"]) == 3
            named |= {faces["photo"], *faces["before"], *faces["after"]}
            shared += faces["before"]
    assert named == {path.name for path in (out / "pictures").iterdir()}
    assert len(set(shared)) == 9 < len(shared)  # what methods share is there once
    assert HOSTILE in {row["label"] for board in data["boards"] for row in board["rows"]}
    assert "missing or changed" in caplog.text
    assert len(scan(out)[0]) == len(scan(runs)[0])  # the page is a results directory, too


def test_a_page_is_brought_up_to_date_and_other_files_stay(runs, tmp_path):
    out = tmp_path / "page"
    guide = Filter(method=["guide"], protocol="celebahq-multi")
    write_page([Source(runs)], out, chosen=guide)
    (out / "CNAME").write_text("example.org")
    before = files(out)
    assert "pictures" in {name.split("/")[0] for name in before}
    write_page([Source(runs)], out, chosen=guide)
    after = files(out)
    assert {name for name in before if before[name] != after[name]} <= {"index.html"}
    write_page([Source(runs)], out, chosen=Filter(method=["mine"], protocol="ffhq"))
    left = {name.split("/")[0] for name in files(out)}
    assert left == {"CNAME", "index.html", "records"}
    assert len(list((out / "records").rglob("record.json"))) == 3


def test_records_without_pictures_make_a_page(tmp_path, make_record, write_record):
    write_record(tmp_path / "runs", make_record("guide", "a"))
    data = embedded(write_page([Source(tmp_path / "runs")], tmp_path / "page"))
    assert data["pictures"] and "pictures" not in data["boards"][0]["rows"][0]["trials"][0]
    assert not (tmp_path / "page/pictures").exists()


def test_submissions_of_several_people_are_one_table(tmp_path, make_record):
    save_with_pictures(tmp_path / "ann", make_record("guide", "a"))
    save_with_pictures(tmp_path / "bob", make_record("mine", "a"))
    sources = [Source(tmp_path / "ann", "Ann"), Source(tmp_path / "bob", "Bob & <b>Co</b>")]
    (board,) = embedded(write_page(sources, tmp_path / "page"))["boards"]
    by = {row["label"]: [one["name"] for one in row["by"]] for row in board["rows"]}
    assert by == {"guide": ["Ann"], "mine": ["Bob & <b>Co</b>"]}


def test_a_folder_that_is_not_a_page_is_left_alone(runs, tmp_path, says):
    own = tmp_path / "own"
    own.mkdir()
    (own / "index.html").write_text("<html>mine</html>")
    with pytest.raises(BadInput, match=says(str(own), "--out")):
        write_page([Source(runs)], own)
    assert [path.name for path in own.iterdir()] == ["index.html"]
    with pytest.raises(BadInput, match=says("is a file")):
        write_page([Source(runs)], own / "index.html")
    with pytest.raises(BadInput, match=says(str(runs), "--out")):
        write_page([Source(runs)], runs)


@pytest.mark.parametrize("content", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"PNG", b""])
def test_a_file_that_is_no_picture_is_a_picture_that_is_missing(tmp_path, make_record, content, monkeypatch, caplog):
    stored = save_with_pictures(tmp_path / "runs", make_record("guide", "a"))
    monkeypatch.setattr("guidebench.page.pictures.check_contents", lambda *given: None)  # as its author may record it
    for path in (tmp_path / "runs").rglob("pictures/*/*.png"):
        path.write_bytes(content)
    data = embedded(write_page([Source(tmp_path / "runs")], tmp_path / "page"))
    assert stored and "pictures" not in data["boards"][0]["rows"][0]["trials"][0]
    assert "missing or changed" in caplog.text


def test_what_an_interrupted_call_leaves_is_a_page(runs, tmp_path, monkeypatch):
    def stopped(*given, **named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("guidebench.page.bundle.data_of", stopped)
        write_page([Source(runs)], tmp_path / "page", chosen=Filter(method=["guide"], protocol="ffhq"))
    write_page([Source(runs)], tmp_path / "page", chosen=Filter(method=["guide"], protocol="ffhq"))
