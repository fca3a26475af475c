"""The folders that guidebench keeps its files in, by environment variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from guidebench import places
from guidebench.errors import BadInput


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in (places.HOME, places.ASSETS):
        monkeypatch.delenv(name, raising=False)


def test_one_variable_gathers_everything(monkeypatch, tmp_path):
    monkeypatch.setenv(places.HOME, str(tmp_path))
    assert places.cache_folder() == tmp_path / "cache"
    assert places.manifests_folder() == tmp_path / "data"
    assert places.assets_folder() == tmp_path / "assets"


def test_without_it_the_users_folders_are_taken(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for empty in (None, ""):
        if empty is not None:
            monkeypatch.setenv(places.HOME, empty)
        assert places.cache_folder() == tmp_path / "cache" / "guidebench"
        assert places.manifests_folder() == tmp_path / "share" / "guidebench" / "data"
        assert places.assets_folder() == tmp_path / "share" / "guidebench" / "assets"


def test_assets_may_have_a_folder_of_their_own(monkeypatch, tmp_path):
    monkeypatch.setenv(places.HOME, str(tmp_path))
    monkeypatch.setenv(places.ASSETS, "~/weights")
    assert places.assets_folder() == Path.home() / "weights"
    assert places.cache_folder() == tmp_path / "cache"


def test_a_file_in_place_of_the_assets_folder_is_refused(monkeypatch, tmp_path):
    (tmp_path / "a.txt").touch()
    monkeypatch.setenv(places.ASSETS, str(tmp_path / "a.txt"))
    with pytest.raises(BadInput, match="GUIDEBENCH_ASSETS=.*a.txt"):
        places.assets_folder()
