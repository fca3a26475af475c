"""The assets folder: what is found, added and fetched, and what every kind of trouble leaves behind.

A catalogue of small files stands in for the real one; downloads come from a server on the loopback interface.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from guidebench import assets, registry
from guidebench.assets import catalogue, placing
from guidebench.commands.main import main
from guidebench.errors import BadInput, MissingAsset

PICKLE = b"\x80\x04" + bytes(range(256)) * 4 + b"."
OTHER_PICKLE = b"\x80\x04" + bytes(300) + b"."
TORCH = b"\x80\x02" + b"weights" * 100_000  # several chunks
PAGE = b"\n<!DOCTYPE html><html>Google Drive cannot scan this file for viruses</html>"


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


def guidebench(*arguments: str):
    return CliRunner().invoke(main, [*map(str, arguments)])


def test_an_absent_asset_is_answered_with_its_file_the_folder_and_the_command(small, folder, one_line):
    with one_line(MissingAsset, "hand.pkl", str(folder), "a page", "`guidebench assets add hand.pkl`"):
        assets.find("hand")
    with one_line(MissingAsset, "whole.pth", str(folder), "`guidebench assets fetch whole`"):
        assets.digest("whole")
    assert assets.path_or_none("hand") is None


def test_an_unknown_asset_gets_the_closest_name(one_line):
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


def test_without_a_published_digest_the_first_file_counts(small, given, folder, one_line):
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


def test_a_damaged_lock_file_is_named(small, folder, one_line):
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


def test_verify_hashes_again(small, given, folder):
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


def test_the_catalogue_is_consistent():
    known = [asset.id for asset in catalogue.ASSETS]
    files = [asset.file for asset in catalogue.ASSETS]
    assert len(set(known)) == len(known) and len(set(files)) == len(files)
    for asset in catalogue.ASSETS:
        for known in (asset.sha256, asset.seen_sha256, asset.archive_sha256):
            assert len(known) in (0, 64) and set(known) <= set("0123456789abcdef"), asset.id
        assert not (asset.sha256 and asset.seen_sha256) and (asset.format == "onnx-pack" or not asset.archive_sha256)
        assert all(url.startswith("https://") for url in asset.urls), asset.id
        assert all(asset.id in catalogue.named(other).instead for other in asset.instead)
        assert bool(asset.members) == (asset.format == "onnx-pack")
        assert all((asset.role, asset.licence, asset.origin, asset.size, asset.testbeds)), asset.id


def test_the_page_shows_the_catalogue(root):
    """To renew the table: print(guidebench.assets.catalogue.markdown_table())"""
    assert catalogue.markdown_table() in (root / "docs/assets.md").read_text()


def test_every_testbed_can_be_asked_for(folder):
    assert all(isinstance(assets.missing(name), list) for name in registry.testbeds())


@pytest.mark.parametrize("asset", ["eg3d-ffhq", "goae", "curricularface", "eg3d-w-avg", "ffhq-real"])
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
