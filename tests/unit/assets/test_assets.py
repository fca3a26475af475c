"""The assets folder: what is found, added and fetched, and what every kind of trouble leaves behind.

A catalogue of small files stands in for the real one; downloads come from a server on the loopback interface.
"""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import pickle
import re
import socket
import subprocess
import sys
import threading
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from guidebench import assets, registry
from guidebench.assets import catalogue, placing
from guidebench.assets.catalogue import Asset
from guidebench.commands.main import main
from guidebench.errors import BadInput, GuidebenchError, MissingAsset

PICKLE = b"\x80\x04" + bytes(range(256)) * 4 + b"."
OTHER_PICKLE = b"\x80\x04" + bytes(300) + b"."
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


class Server:
    """What a loopback server answers, by path; remembers what it was asked for."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes, int]] = {}  # path -> status, body, bytes announced
        self.asked: list[str] = []
        self.url = ""

    def serve(self, path: str, body: bytes, *, status: int = 200, announced: int | None = None) -> None:
        self.answers[path] = (status, body, len(body) if announced is None else announced)


@pytest.fixture
def server():
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            state.asked.append(self.path)
            status, body, announced = state.answers.get(self.path, (404, b"", 0))
            self.send_response(status)
            self.send_header("Content-Length", str(announced))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        state.url = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        listening.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GUIDEBENCH_ASSETS", str(tmp_path / "assets"))
    monkeypatch.delenv("GUIDEBENCH_MIRROR", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "assets"


@pytest.fixture
def small(folder, server, monkeypatch):
    """By id: a file placed by hand, two fetched ones, and two packs of which one is enough."""

    def asset(name, file, form, **more):
        return Asset(name, file, "a role", "a licence", 1000, "a page", form, testbeds=("linear",), **more)

    def pack(name, other):
        urls = (f"{server.url}/gone.zip", f"{server.url}/{name}.zip")
        return asset(name, f"{name}-pack", "onnx-pack", urls=urls, instead=other, members=MEMBERS)

    small = (
        asset("hand", "hand.pkl", "pickle"),
        asset("whole", "whole.pth", "torch", urls=(f"{server.url}/whole.pth",), sha256=sha256(TORCH), also=("w.pth",)),
        asset("prefix", "prefix.pth", "torch", urls=(f"{server.url}/prefix.pth",), sha256=sha256(TORCH)[:8]),
        asset("extra", "extra.npy", "numpy", without="less is measured"),
        pack("one", "two"),
        pack("two", "one"),
    )
    monkeypatch.setattr(catalogue, "ASSETS", small)
    return {item.id: item for item in small}


@pytest.fixture
def given(tmp_path):
    """Writes a file that the user has."""

    def write(name: str, data: bytes) -> Path:
        path = tmp_path / "downloads" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return path

    return write


def left_in(folder: Path) -> list[str]:
    """File names in the assets folder, the lock file left out."""
    return sorted(path.name for path in folder.iterdir() if path.name != assets.LOCK)


def guidebench(*arguments: str):
    return CliRunner().invoke(main, [*map(str, arguments)])


@contextmanager
def one_line(kind: type[GuidebenchError], *words: str):
    with pytest.raises(kind) as caught:
        yield
    text = str(caught.value)
    assert "\n" not in text and all(word in text for word in words), text


# Finding


def test_an_absent_asset_is_answered_with_its_file_the_folder_and_the_command(small, folder):
    with one_line(MissingAsset, "hand.pkl", str(folder), "a page", "`guidebench assets add hand.pkl`"):
        assets.find("hand")
    with one_line(MissingAsset, "whole.pth", str(folder), "`guidebench assets fetch whole`"):
        assets.digest("whole")
    assert assets.path_or_none("hand") is None


def test_an_unknown_asset_gets_the_closest_name():
    with one_line(BadInput, "'curricularface'", "`guidebench assets list`"):
        assets.find("curricular")


def test_a_file_put_there_by_hand_is_found_and_its_digest_is_recorded(small, folder):
    folder.mkdir()
    (folder / "hand.pkl").write_bytes(PICKLE)
    assert assets.find("hand") == assets.path_or_none("hand") == folder / "hand.pkl"
    assert assets.digest("hand") == sha256(PICKLE)
    assert json.loads((folder / assets.LOCK).read_text())["hand"]["sha256"] == sha256(PICKLE)


def test_an_unchanged_file_is_hashed_once(small, given, monkeypatch):
    placing.add(given("hand.pkl", PICKLE))
    monkeypatch.setattr(assets, "digest_of", lambda path: pytest.fail(f"hashed {path} again"))
    assert assets.digest("hand") == sha256(PICKLE)


def test_without_a_published_digest_the_first_file_counts(small, given, folder):
    placing.add(given("hand.pkl", PICKLE))
    (folder / "hand.pkl").write_bytes(OTHER_PICKLE)
    with one_line(MissingAsset, "hand.pkl", sha256(PICKLE), sha256(OTHER_PICKLE)):
        assets.find("hand")
    with one_line(MissingAsset, "hand.pkl", sha256(OTHER_PICKLE)):
        assets.path_or_none("hand")
    placed = placing.add(given("hand.pkl", OTHER_PICKLE))  # meant: the user says so
    assert placed.replaced == sha256(PICKLE) and assets.digest("hand") == sha256(OTHER_PICKLE)


def test_a_folder_that_cannot_be_written_serves_all_the_same(small, folder, monkeypatch):
    folder.mkdir()
    (folder / "hand.pkl").write_bytes(PICKLE)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.replace", refuse)
    assert assets.digest("hand") == sha256(PICKLE)
    assert not (folder / assets.LOCK).exists()


def test_a_damaged_lock_file_is_named(small, folder):
    folder.mkdir()
    (folder / "hand.pkl").write_bytes(PICKLE)
    (folder / assets.LOCK).write_text("{")
    with one_line(BadInput, assets.LOCK, "`guidebench assets verify`"):
        assets.find("hand")


def test_the_folder_is_the_users_unless_a_variable_names_one(monkeypatch, tmp_path):
    monkeypatch.setenv("GUIDEBENCH_ASSETS", "~/weights")
    assert assets.folder() == Path.home() / "weights"
    monkeypatch.delenv("GUIDEBENCH_ASSETS")
    monkeypatch.setenv("GUIDEBENCH_HOME", str(tmp_path))
    assert assets.folder() == tmp_path / "assets"
    monkeypatch.delenv("GUIDEBENCH_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    assert assets.folder() == tmp_path / "share" / "guidebench" / "assets"


def test_a_file_in_place_of_the_folder_is_named(monkeypatch, tmp_path):
    (tmp_path / "a.txt").touch()
    monkeypatch.setenv("GUIDEBENCH_ASSETS", str(tmp_path / "a.txt"))
    for words in (["assets", "list"], ["assets", "fetch", "vgg16"], ["doctor", "--testbed", "eg3d-ffhq"]):
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 2 and result.stderr.count("\n") == 1, result.output
        assert f"GUIDEBENCH_ASSETS={tmp_path / 'a.txt'}" in result.stderr and "folder" in result.stderr


def test_what_a_testbed_misses_is_a_line_each_and_one_pack_is_enough(small, given):
    lines = assets.missing("linear")
    assert [line.split()[0] for line in lines] == ["hand.pkl", "whole.pth", "prefix.pth", "one-pack"]
    assert all("guidebench assets" in line for line in lines)
    placing.add(given("two-pack.zip", NESTED_PACK))
    assert [line.split()[0] for line in assets.missing("linear")] == ["hand.pkl", "whole.pth", "prefix.pth"]


def test_mini_misses_nothing():
    assert assets.missing("mini") == []


# Adding


def test_adding_copies_and_tells_the_digest(small, given, folder):
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


def test_a_file_that_nothing_tells_needs_its_id(small, given):
    with one_line(BadInput, "model.bin", "`guidebench assets list`", "--as ID"):
        placing.add(given("model.bin", PICKLE))
    assert placing.add(given("model.bin", PICKLE), as_id="hand").asset.id == "hand"


def test_linking_keeps_one_copy_and_refuses_to_link_a_file_to_itself(small, given, folder):
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
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_refused_and_a_good_one_stays(
    asset, data, complaint, small, given, folder
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


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(small, given, folder, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device")

    source = given("hand.pkl", PICKLE)
    monkeypatch.setattr("shutil.copyfile", full)
    with one_line(BadInput, "space", str(folder), "GUIDEBENCH_ASSETS"):
        placing.add(source)
    assert left_in(folder) == []


# Fetching


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


def test_a_wrong_download_is_removed_and_the_good_file_stays(small, server, given, folder):
    placing.add(given("whole.pth", TORCH))
    wrong = TORCH + b"!"
    server.serve("/whole.pth", wrong)
    with one_line(BadInput, sha256(wrong), sha256(TORCH), server.url):
        placing.fetch(small["whole"])
    assert left_in(folder) == ["whole.pth"] and assets.find("whole").read_bytes() == TORCH


def test_a_cut_connection_leaves_nothing_and_says_how_to_go_on(small, server, folder):
    server.serve("/whole.pth", TORCH[:400_000], announced=len(TORCH))
    with one_line(MissingAsset, "connection", "/whole.pth", "`guidebench assets fetch whole`"):
        placing.fetch(small["whole"])
    assert left_in(folder) == []
    server.serve("/whole.pth", TORCH)
    assert placing.fetch(small["whole"]).sha256 == sha256(TORCH)


@pytest.mark.parametrize("status", [403, 404, 500])
def test_an_error_of_the_server_is_told(status, small, server, folder):
    server.serve("/whole.pth", PAGE, status=status)
    with one_line(MissingAsset, f" {status}", "/whole.pth", "`guidebench assets add whole.pth`"):
        placing.fetch(small["whole"])
    assert left_in(folder) == []


def test_a_web_page_in_place_of_a_file_is_not_taken(small, server, folder):
    server.serve("/prefix.pth", PAGE)
    with one_line(BadInput, "web page", server.url):
        placing.fetch(small["prefix"])
    assert left_in(folder) == []


def test_no_network_is_told(small, folder, monkeypatch):
    with socket.socket() as closed:  # bound, never listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("GUIDEBENCH_MIRROR", f"http://127.0.0.1:{closed.getsockname()[1]}")
        with one_line(MissingAsset, "127.0.0.1", "offline"):
            placing.fetch(small["whole"])
    assert left_in(folder) == []


def test_a_disk_that_fills_up_while_downloading_leaves_nothing(small, server, folder, monkeypatch):
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


def test_a_mirror_must_be_an_address(small, monkeypatch):
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


# Commands


def test_verify_hashes_anew(small, given, folder):
    """A bit that flipped without a trace in size or time is found by `verify` only."""
    placing.add(given("hand.pkl", PICKLE))
    path = folder / "hand.pkl"
    seen = path.stat()
    path.write_bytes(PICKLE[:10] + b"?" + PICKLE[11:])
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert assets.inspect(small["hand"]).status == "present"
    done = guidebench("assets", "verify")
    assert done.exit_code == 2 and re.search(r"^wrong +hand\b.*[0-9a-f]{64}", done.stdout, re.MULTILINE)


def test_verify_answers_for_what_is_here_unless_more_is_named(small, given):
    placing.add(given("hand.pkl", PICKLE))
    assert guidebench("assets", "verify").exit_code == 0
    assert guidebench("assets", "verify", "whole").exit_code == 2
    assert guidebench("assets", "verify", "extra").exit_code == 2
    done = guidebench("assets", "verify", "--testbed", "linear")
    assert done.exit_code == 2 and re.search(r"^missing +whole\b", done.stdout, re.MULTILINE)


def test_verify_of_a_testbed_does_without_what_is_optional(small, given):
    for name, data in (
        ("hand.pkl", PICKLE),
        ("whole.pth", TORCH),
        ("prefix.pth", TORCH),
        ("two-pack.zip", NESTED_PACK),
    ):
        placing.add(given(name, data))
    assert guidebench("assets", "verify", "--testbed", "linear").exit_code == 0


def test_list_says_what_is_present_missing_and_wrong(small, given, folder):
    placing.add(given("hand.pkl", PICKLE))
    (folder / "whole.pth").write_bytes(PAGE)
    done = guidebench("assets", "list")
    assert done.exit_code == 0 and str(folder) in done.stdout
    for pattern in (
        r"^present +hand\b",
        r"^wrong +whole\b",
        r"^missing +prefix\b",
        "web page",
        r"guidebench assets fetch\b",
    ):
        assert re.search(pattern, done.stdout, re.MULTILINE), pattern
    found = json.loads(guidebench("assets", "list", "--testbed", "linear", "--json").stdout)
    assert [item["state"] for item in found] == ["present", "wrong", "missing", "missing", "missing", "missing"]
    assert found[0]["sha256"] == sha256(PICKLE) and found[0]["path"] == str(folder / "hand.pkl")


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--testbed", "eg3d"],
        ["verify", "curricular"],
        ["fetch", "nothing-like-it"],
        ["fetch", "goae", "--testbed", "mini"],
        ["add", "no/such/file.pkl"],
        ["add", "a", "b", "--as", "goae"],
        ["add"],
    ],
    ids=" ".join,
)
def test_wrong_input_is_answered_in_one_line(arguments, folder):
    done = guidebench("assets", *arguments)
    assert done.exit_code == 2 and done.stderr.count("\n") == 1 and done.stderr.startswith("guidebench: ")


def test_assets_commands_import_no_torch(folder):
    for arguments in (["assets", "--help"], ["doctor", "--help"], ["assets", "list"], ["assets", "verify"]):
        code = (
            "import sys, guidebench.commands.main\n"
            f"try: guidebench.commands.main.main({arguments!r})\n"
            "except SystemExit as done: assert not done.code, done.code\n"
            "print({'torch', 'requests', 'pooch'} & set(sys.modules), file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stderr.strip().splitlines()[-1] == "set()", arguments


# The catalogue


def test_the_catalogue_is_consistent():
    known = [asset.id for asset in catalogue.ASSETS]
    files = [asset.file for asset in catalogue.ASSETS]
    assert len(set(known)) == len(known) and len(set(files)) == len(files)
    for asset in catalogue.ASSETS:
        assert len(asset.sha256) in (0, 8, 64) and set(asset.sha256) <= set("0123456789abcdef"), asset.id
        assert all(url.startswith("https://") for url in asset.urls), asset.id
        assert not asset.instead or catalogue.named(asset.instead).instead == asset.id
        assert bool(asset.members) == (asset.format == "onnx-pack")
        assert all((asset.role, asset.licence, asset.origin, asset.size, asset.testbeds)), asset.id


def test_the_page_shows_the_catalogue(root):
    """To renew the table: print(guidebench.assets.catalogue.markdown_table())"""
    assert catalogue.markdown_table() in (root / "docs/assets.md").read_text()


def test_every_testbed_can_be_asked_for(folder):
    assert all(isinstance(assets.missing(name), list) for name in registry.testbeds())


@pytest.mark.parametrize("asset", ["eg3d-ffhq", "goae", "ir-se50", "curricularface", "eg3d-w-avg", "ffhq-real"])
def test_a_sound_file_of_another_network_is_refused_when_it_is_added(asset, tmp_path, monkeypatch):
    """Nobody published digests of these files, so they are opened with what will use them; the old file stays."""
    monkeypatch.setenv("GUIDEBENCH_ASSETS", str(tmp_path / "assets"))
    file = tmp_path / "given" / catalogue.named(asset).file
    file.parent.mkdir()
    if asset == "ffhq-real":
        with open(file, "wb") as stream:
            np.savez(stream, features=np.zeros((10, 64), np.float32))
    elif asset == "eg3d-ffhq":
        file.write_bytes(pickle.dumps({"G_ema": {"weight": 1.0}}, protocol=4))
    else:
        torch.save({"layer.weight": torch.zeros(3, 3)}, file)
    with pytest.raises(BadInput) as refused:
        placing.add(file)
    assert str(file) in str(refused.value) and "\n" not in str(refused.value)
    assert re.search(rf"\b{re.escape(asset)}\b", str(refused.value).replace(str(tmp_path), ""))
    assert not (tmp_path / "assets" / file.name).exists()
