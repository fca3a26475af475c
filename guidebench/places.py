"""Where guidebench keeps its own files: one computation of the folders, for everybody.

GUIDEBENCH_HOME gathers everything below one folder; without it the operating system's folders for caches and for a
user's data are taken. None of the folders need exist.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from guidebench.errors import BadInput

HOME, ASSETS = "GUIDEBENCH_HOME", "GUIDEBENCH_ASSETS"


def cache_folder() -> Path:
    """What can be made again, such as rendered photographs: $GUIDEBENCH_HOME/cache, else the user's cache folder."""
    home = _home()
    return home / "cache" if home else platformdirs.user_cache_path("guidebench")


def manifests_folder() -> Path:
    """Manifests of photo sets: $GUIDEBENCH_HOME/data, else below the user's data folder."""
    return _data() / "data"


def assets_folder() -> Path:
    """Pretrained files: $GUIDEBENCH_ASSETS, else $GUIDEBENCH_HOME/assets, else below the user's data folder.

    Raises BadInput if $GUIDEBENCH_ASSETS names a file.
    """
    own = os.environ.get(ASSETS)
    if not own:
        return _data() / "assets"
    path = Path(own).expanduser()
    if path.is_file():
        raise BadInput(f"{ASSETS}={own} is a file; name the folder that holds the assets")
    return path


def _home() -> Path | None:
    home = os.environ.get(HOME)
    return Path(home).expanduser() if home else None


def _data() -> Path:
    return _home() or platformdirs.user_data_path("guidebench")
