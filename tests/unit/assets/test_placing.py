"""Files that the user adds or downloads: recognised, checked, unpacked, and never half there."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import re
import socket
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from guidebench import assets
from guidebench.assets import catalogue, placing
from guidebench.commands.main import main
from guidebench.errors import BadInput, MissingAsset

PICKLE = b"\x80\x04" + bytes(range(256)) * 4 + b"."
TORCH = b"\x80\x02" + b"weights" * 100_000  # several chunks
NUMPY = b"\x93NUMPY" + bytes(64)
PAGE = b"\n<!DOCTYPE html><html>Google Drive cannot scan this file for viruses</html>"
MEMBERS = ("detector.onnx", "recogniser.onnx")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def zipped(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


NESTED_PACK = zipped(
    **{
        "pack/detector.onnx": b"d",
        "pack/recogniser.onnx": b"r",
        "pack/README.md": b"",
        "__MACOSX/._detector.onnx": b"x",
    }
)


def flagged_as_utf8(archive: bytes) -> bytes:
    """The archive with the flag that its names are UTF-8, in both places that say so."""
    for start, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        parts = archive.split(start)
        archive = start.join([parts[0], *(part[: offset - 4] + b"\x00\x08" + part[offset - 2 :] for part in parts[1:])])
    return archive


def damaged(compression: int) -> bytes:
    """A pack whose contents, not whose table, are damaged."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name in MEMBERS:
            archive.writestr(name, bytes(range(256)) * 3)
    data = bytearray(stream.getvalue())
    data[60:160] = b"\xff" * 100
    return bytes(data)


def left_in(folder: Path) -> list[str]:
    """File names in the assets folder, the lock file left out."""
    return sorted(path.name for path in folder.iterdir() if path.name != assets.LOCK)


def guidebench(*arguments: str):
    return CliRunner().invoke(main, [*map(str, arguments)])


def test_adding_copies_and_prints_the_digest(small, given, folder):
    done = guidebench("assets", "add", given("hand.pkl", PICKLE), given("w.pth", TORCH))
    first, second = done.stdout.splitlines()
    assert done.exit_code == 0 and left_in(folder) == ["hand.pkl", "whole.pth"]
    assert sha256(PICKLE) in first and "recorded" in first
    assert sha256(TORCH) in second and "published" in second and "recorded" not in second


@pytest.mark.parametrize("name", ["hand (1).pkl", "hand(2).pkl"])
def test_a_browsers_second_copy_is_recognised(name, small, given):
    assert placing.add(given(name, PICKLE)).asset.id == "hand"


def test_a_file_of_another_name_is_recognised_by_its_digest(small, given):
    assert placing.add(given("model.bin", TORCH)).asset.id == "whole"


def test_a_file_that_nothing_identifies_needs_its_id(small, given, one_line):
    with one_line(BadInput, "model.bin", "`guidebench assets list`", "--as ID"):
        placing.add(given("model.bin", PICKLE))
    assert placing.add(given("model.bin", PICKLE), as_id="hand").asset.id == "hand"


def test_linking_keeps_one_copy_and_refuses_to_link_a_file_to_itself(small, given, folder, one_line):
    source = given("hand.pkl", PICKLE)
    placing.add(source, link=True)
    assert (folder / "hand.pkl").is_symlink() and assets.find("hand").read_bytes() == PICKLE
    with one_line(BadInput, "already"):
        placing.add(source, link=True)
    assert source.read_bytes() == PICKLE


def test_a_link_whose_file_is_gone_is_missing(small, given):
    source = given("hand.pkl", PICKLE)
    placing.add(source, link=True)
    source.unlink()
    assert assets.path_or_none("hand") is None


@pytest.mark.parametrize(
    ("asset", "data", "complaint"),
    [
        ("hand", b"", "empty"),
        ("hand", PAGE, "web page"),
        ("hand", PICKLE[:-1], "pickle file"),
        ("hand", NUMPY, "pickle file"),
        ("hand", zipped(a=b"a"), "zip archive"),
        ("prefix", b"version https://git-lfs.github.com/spec/v1\n", "git-lfs"),
        ("prefix", zipped(a=bytes(1000))[:-30], "zip archive"),
        ("whole", TORCH + b"x", sha256(TORCH)),
        ("prefix", TORCH + b"x", f"{sha256(TORCH)[:8]}…"),
        ("one", b"PK\x03\x04", "zip archive"),
        ("one", zipped(**{"detector.onnx": b"d"}), "recogniser.onnx"),
        ("one", zipped(**{"detector.onnx": b"d", "recogniser.onnx": b""}), "recogniser.onnx"),
        ("one", zipped(**{f"{name}/{member}": b"x" for name in "ab" for member in MEMBERS}), "several"),
        ("one", zipped(**dict.fromkeys(MEMBERS, PAGE)), "web page"),
        ("one", zipped(**dict.fromkeys(MEMBERS, bytes(1001))), "2 kB together"),
        ("one", zipped(**{**dict.fromkeys(MEMBERS, b"x"), **{f"{n}.onnx": b"x" for n in range(50)}}), "52 files"),
        ("one", NESTED_PACK.replace(b"recogniser.onnx", b"recogniser.\xff\xffnx"), "recogniser.onnx"),
        ("one", flagged_as_utf8(NESTED_PACK.replace(b"recogniser.onnx", b"recogniser.\xff\xffnx")), "zip archive"),
        *(
            ("one", damaged(kind), "zip archive")
            for kind in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
        ),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_refused_and_a_good_one_stays(
    asset, data, complaint, small, given, folder, one_line
):
    good = {"hand": PICKLE, "whole": TORCH, "prefix": TORCH, "one": NESTED_PACK}[asset]
    placing.add(given("good", good), as_id=asset)
    before, digest = left_in(folder), assets.digest(asset)
    with one_line(BadInput, complaint):
        placing.add(given("bad", data), as_id=asset)
    assert left_in(folder) == before and assets.digest(asset) == digest


def test_a_modern_torch_file_is_a_zip_archive(small, given):
    assert assets.format_problem(small["prefix"], given("m.pth", zipped(data=b"d"))) == ""


@pytest.mark.parametrize("source", ["one-pack.zip", "one-pack", "nested/one-pack"])
def test_a_pack_is_flattened_from_archive_or_folder(source, small, tmp_path, folder):
    path = tmp_path / source
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".zip":
        path.write_bytes(NESTED_PACK)
    else:
        (path / "inner").mkdir(parents=True)
        (path / "inner" / "detector.onnx").write_bytes(b"d")
        (path / "inner" / "recogniser.onnx").write_bytes(b"r")
    placing.add(path)
    found = assets.find("one")
    assert {item.name: item.read_bytes() for item in found.iterdir()} == {
        "detector.onnx": b"d",
        "recogniser.onnx": b"r",
    }
    assert left_in(folder) == ["one-pack"]


def test_the_digest_of_a_pack_covers_every_file(small, given, folder):
    first = placing.add(given("one-pack.zip", NESTED_PACK)).sha256
    (folder / "one-pack" / "detector.onnx").write_bytes(b"D")
    assert assets.inspect(small["one"]).status == "wrong"
    assert placing.add(given("one-pack.zip", NESTED_PACK)).sha256 == first
    assert assets.inspect(small["one"]).status == "present"


def test_no_member_of_an_archive_leaves_the_folder(small, given, folder):
    names = {f"../../{name}": b"x" for name in MEMBERS}
    placing.add(given("one-pack.zip", zipped(**names)))
    assert left_in(folder) == ["one-pack"] and left_in(folder.parent) == ["assets", "downloads"]


def test_a_full_disk_is_reported_in_one_line_and_leaves_nothing(small, given, folder, monkeypatch, one_line):
    def full(source, target):
        raise OSError(28, "No space left on device")

    source = given("hand.pkl", PICKLE)
    monkeypatch.setattr("shutil.copyfile", full)
    with one_line(BadInput, "space", str(folder), "GUIDEBENCH_ASSETS"):
        placing.add(source)
    assert left_in(folder) == []


def test_fetching_checks_the_digest_and_reports_it(small, server, folder):
    server.serve("/whole.pth", TORCH)
    placed = placing.fetch(small["whole"])
    assert assets.find("whole").read_bytes() == TORCH and sha256(TORCH) in placed.line
    assert "published" in placed.line and "recorded" not in placed.line
    assert (folder / "whole.pth").stat().st_mode & 0o777 == 0o644  # others may read it
    assert left_in(folder) == ["whole.pth"]


def test_a_known_prefix_is_enough_and_said_to_be_one(small, server):
    server.serve("/prefix.pth", TORCH)
    line = placing.fetch(small["prefix"]).line
    assert "published" in line and line.count(sha256(TORCH)[:8]) == 2  # in the whole digest, and alone


def test_a_digest_that_one_copy_has_recognises_a_file_and_another_file_only_warns(small, given, monkeypatch, caplog):
    known = dataclasses.replace(small["hand"], seen_sha256=sha256(PICKLE))
    monkeypatch.setattr(catalogue, "ASSETS", (known,))
    assert placing.add(given("model.bin", PICKLE)).asset.id == "hand" and not caplog.messages
    assert "public copy" in assets.inspect(known).line
    other = PICKLE[:-1] + b"x."
    assert placing.add(given("hand.pkl", other)).sha256 == sha256(other)
    (message,) = caplog.messages
    assert sha256(PICKLE) in message and sha256(other) in message
    assert assets.inspect(known).status == "present" and assets.doubt(assets.inspect(known)) == message


def test_a_fetched_archive_must_be_the_published_one_and_an_added_one_need_not(
    small, server, given, folder, monkeypatch, one_line
):
    other = zipped(**dict.fromkeys(MEMBERS, b"other"))
    known = dataclasses.replace(small["one"], archive_sha256=sha256(NESTED_PACK))
    monkeypatch.setattr(catalogue, "ASSETS", (known,))
    server.serve("/one.zip", other)
    with one_line(BadInput, sha256(other), sha256(NESTED_PACK), "`guidebench assets add FILE`"):
        placing.fetch(known)
    assert left_in(folder) == []
    assert placing.add(given("one-pack.zip", other)).asset.id == "one"
    server.serve("/one.zip", NESTED_PACK)
    assert placing.fetch(known).replaced is not None
    assert placing.add(given("archive", NESTED_PACK)).asset.id == "one"  # recognised by its digest


def test_a_wrong_download_is_removed_and_the_good_file_stays(small, server, given, folder, one_line):
    placing.add(given("whole.pth", TORCH))
    wrong = TORCH + b"!"
    server.serve("/whole.pth", wrong)
    with one_line(BadInput, sha256(wrong), sha256(TORCH), server.url):
        placing.fetch(small["whole"])
    assert left_in(folder) == ["whole.pth"] and assets.find("whole").read_bytes() == TORCH


def test_a_cut_connection_leaves_nothing_and_says_how_to_go_on(small, server, folder, one_line):
    server.serve("/whole.pth", TORCH[:400_000], announced=len(TORCH))
    with one_line(MissingAsset, "connection", "/whole.pth", "`guidebench assets fetch whole`"):
        placing.fetch(small["whole"])
    assert left_in(folder) == []
    server.serve("/whole.pth", TORCH)
    assert placing.fetch(small["whole"]).sha256 == sha256(TORCH)


@pytest.mark.parametrize("status", [403, 404, 500])
def test_an_error_of_the_server_is_reported(status, small, server, folder, one_line):
    server.serve("/whole.pth", PAGE, status=status)
    with one_line(MissingAsset, f" {status}", "/whole.pth", "`guidebench assets add whole.pth`"):
        placing.fetch(small["whole"])
    assert left_in(folder) == []


def test_a_web_page_in_place_of_a_file_is_not_taken(small, server, folder, one_line):
    server.serve("/prefix.pth", PAGE)
    with one_line(BadInput, "web page", server.url):
        placing.fetch(small["prefix"])
    assert left_in(folder) == []


def test_no_network_is_reported(small, folder, monkeypatch, one_line):
    with socket.socket() as closed:  # bound, never listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("GUIDEBENCH_MIRROR", f"http://127.0.0.1:{closed.getsockname()[1]}")
        with one_line(MissingAsset, "127.0.0.1", "offline"):
            placing.fetch(small["whole"])
    assert left_in(folder) == []


def test_a_disk_that_fills_up_while_downloading_leaves_nothing(small, server, folder, monkeypatch, one_line):
    """/dev/full refuses every write as a full disk does; it stands in for pooch's temporary file."""

    @contextmanager
    def full(path):
        yield "/dev/full"

    server.serve("/whole.pth", TORCH)
    monkeypatch.setattr("pooch.core.temporary_file", full)
    with one_line(BadInput, "space", str(folder)):
        placing.fetch(small["whole"])
    assert left_in(folder) == []


def test_the_second_address_is_tried_and_a_pack_is_unpacked(small, server, folder):
    server.serve("/one.zip", NESTED_PACK)
    placing.fetch(small["one"])
    assert server.asked == ["/gone.zip", "/one.zip"]
    assert left_in(folder / "one-pack") == sorted(MEMBERS) and left_in(folder) == ["one-pack"]


def test_a_mirror_serves_every_file_even_those_without_an_address(small, server, monkeypatch):
    monkeypatch.setenv("GUIDEBENCH_MIRROR", f"{server.url}/mirror/")
    bodies = {
        "hand.pkl": PICKLE,
        "whole.pth": TORCH,
        "prefix.pth": TORCH,
        "extra.npy": NUMPY,
        "one-pack.zip": NESTED_PACK,
    }
    for name, body in bodies.items():
        server.serve(f"/mirror/{name}", body)
    done = guidebench("assets", "fetch", "--testbed", "linear")
    assert done.exit_code == 0, done.output
    assert assets.missing("linear") == [] and server.asked == [f"/mirror/{name}" for name in bodies]


def test_a_mirror_must_be_an_address(small, monkeypatch, one_line):
    monkeypatch.setenv("GUIDEBENCH_MIRROR", "/data/mirror")
    with one_line(BadInput, "GUIDEBENCH_MIRROR=/data/mirror", "http://host/folder"):
        placing.fetch(small["whole"])


def test_fetch_downloads_what_it_can_and_instructs_for_the_rest(small, server, folder):
    """Exit code 2 for what is still needed: here the file by hand. The optional one is no reason."""
    server.serve("/whole.pth", TORCH)
    server.serve("/prefix.pth", TORCH)
    server.serve("/one.zip", NESTED_PACK)
    done = guidebench("assets", "fetch", "--testbed", "linear")
    assert done.exit_code == 2 and left_in(folder) == ["one-pack", "prefix.pth", "whole.pth"]
    assert done.stderr.count("\n") == 1 and "a licence" in done.stderr and "assets add hand.pkl" in done.stderr
    assert "optional" in done.stdout and "less is measured" in done.stdout
    asked = len(server.asked)
    again = guidebench("assets", "fetch", "whole", "one")
    assert again.exit_code == 0 and len(server.asked) == asked, again.output


def test_a_pack_that_is_named_is_fetched_even_if_the_other_is_here(small, server, given, folder):
    placing.add(given("one-pack.zip", NESTED_PACK))
    server.serve("/two.zip", NESTED_PACK)
    assert placing.enough_of(list(small.values())) == [asset for name, asset in small.items() if name != "two"]
    assert guidebench("assets", "fetch", "one", "two").exit_code == 0
    assert left_in(folder) == ["one-pack", "two-pack"]
    assert placing.enough_of(list(small.values())) == list(small.values())


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()], ids=["terminal", "plain"])
def test_progress_is_a_live_line_on_a_terminal_and_silent_for_quick_downloads_elsewhere(
    stream, small, server, monkeypatch
):
    monkeypatch.setattr(placing, "_LIVE_SECONDS", 0.0)
    server.serve("/whole.pth", TORCH)
    placing.fetch(small["whole"], stream=stream)
    if stream.isatty():
        assert re.search(r"\bwhole\b.* 262 kB .*700 kB", stream.getvalue())
        assert stream.getvalue().endswith("\r\x1b[2K")  # the line is taken away
    else:
        assert stream.getvalue() == ""


def test_the_command_shows_progress_on_stderr_and_the_library_shows_none(small, server, monkeypatch, capsys):
    monkeypatch.setattr(placing, "_PLAIN_SECONDS", 0.0)
    server.serve("/whole.pth", TORCH)
    server.serve("/prefix.pth", TORCH)
    assert "fetching whole: 262 kB of 700 kB" in guidebench("assets", "fetch", "whole").stderr
    placing.fetch(small["prefix"])
    assert capsys.readouterr() == ("", "")


def test_one_failure_does_not_stop_the_next_download(small, server, folder):
    server.serve("/prefix.pth", TORCH)
    done = guidebench("assets", "fetch", "whole", "prefix")
    assert done.exit_code == 2 and left_in(folder) == ["prefix.pth"]
    assert done.stderr.count("guidebench: ") == 1 and "Traceback" not in done.output


def test_leftovers_of_a_killed_process_are_removed_after_a_day(small, server, folder):
    server.serve("/whole.pth", TORCH)
    for name, age in (("old", 25 * 3600), ("new", 60)):
        path = folder / f"{placing._ASIDE}{name}"
        path.mkdir(parents=True)
        os.utime(path, (path.stat().st_atime - age, path.stat().st_mtime - age))
    placing.fetch(small["whole"])
    assert left_in(folder) == [f"{placing._ASIDE}new", "whole.pth"]


def test_leftovers_of_a_process_that_is_gone_are_removed_at_once(small, folder):
    """By every command that looks at the folder; what another machine left is told by its age alone."""
    mine = placing._aside_prefix()
    for name in (f"{mine}{2**30}-killed", f"{mine}{os.getpid()}-busy", f"{placing._ASIDE}elsewhere-{2**30}-x"):
        (folder / name).mkdir(parents=True)
    assert guidebench("assets", "list").exit_code == 0
    assert left_in(folder) == sorted([f"{mine}{os.getpid()}-busy", f"{placing._ASIDE}elsewhere-{2**30}-x"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_and_not_waited_for(small, tmp_path, folder, one_line):
    os.mkfifo(tmp_path / "hand.pkl")
    for options in ({}, {"as_id": "hand"}, {"link": True}):
        with one_line(BadInput, "hand.pkl is a pipe"):
            placing.add(tmp_path / "hand.pkl", **options)
    folder.mkdir()
    os.mkfifo(folder / "hand.pkl")
    assert "is a pipe" in assets.inspect(small["hand"]).line


def test_what_is_no_file_of_a_pack_is_passed_over(small, tmp_path, folder):
    pack = tmp_path / "one-pack"
    for name in (*MEMBERS, "\x1b[2Jx.onnx", "-x.onnx"):
        (pack / name).parent.mkdir(exist_ok=True)
        (pack / name).write_bytes(b"x")
    (pack / "folder.onnx").mkdir()
    placing.add(pack)
    assert left_in(folder / "one-pack") == sorted(MEMBERS)


def test_a_folder_that_holds_far_more_than_the_pack_is_not_copied(small, tmp_path, folder, one_line):
    pack = tmp_path / "one-pack"
    pack.mkdir()
    for name in MEMBERS:
        (pack / name).write_bytes(bytes(1001))
    with one_line(BadInput, "2 kB together", "at most 50 files of 2 kB"):
        placing.add(pack)
    assert left_in(folder) == []
