"""guidebench: the benchmark harness for generative identity unlearning.

Importing this package loads no torch; heavy modules are imported where they are used.
"""

from __future__ import annotations

from pathlib import Path as _Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas

__version__ = "0.1.0"
__all__ = ["__version__", "records"]

# In a source checkout `baselines/`, `protocols/` and `reports/` lie beside this folder, in a wheel inside it. Searching
# both makes `guidebench.baselines` importable either way, also when the checkout shadows an installed wheel.
_checkout = _Path(__file__).resolve().parent.parent
if not (_Path(__file__).parent / "baselines").is_dir() and (_checkout / "pyproject.toml").is_file():
    __path__.append(str(_checkout))


def records(directory: str | _Path) -> pandas.DataFrame:
    """All scores recorded under ``directory``, one row per score, as a pandas DataFrame.

    The columns are those of `guidebench.reporting.scores.COLUMNS`: what was measured (metric, judge, value or None with
    a reason, n) and for whom and how (protocol, method, testbed, identity, seed, conventions, record path).
    Raises `guidebench.errors.BadInput` if the directory holds no record.
    """
    from guidebench.reporting.scores import load

    return load(directory)
