"""guidebench: the benchmark harness for generative identity unlearning.

Importing this package loads no torch; heavy modules are imported where they are used.
"""

from __future__ import annotations

import importlib
import logging as _logging
from pathlib import Path as _Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

    from guidebench.engine.run import Result, evaluate, reproduce, run
    from guidebench.errors import BadInput, GuidebenchError
    from guidebench.metric import TrialMetric
    from guidebench.protocol import Protocol
    from guidebench.store.record import Record
    from guidebench.testbed import Generator, Testbed
    from guidebench.unlearner import Context, ForgetRequest, Unlearner

__version__ = "0.1.0"
__all__ = [
    "BadInput",
    "Context",
    "ForgetRequest",
    "Generator",
    "GuidebenchError",
    "Protocol",
    "Record",
    "Result",
    "Testbed",
    "TrialMetric",
    "Unlearner",
    "__version__",
    "evaluate",
    "records",
    "reproduce",
    "run",
]

# Imported when they are asked for, so that `import guidebench` stays light.
_LAZY = {
    "BadInput": "guidebench.errors",
    "Context": "guidebench.unlearner",
    "ForgetRequest": "guidebench.unlearner",
    "Generator": "guidebench.testbed",
    "GuidebenchError": "guidebench.errors",
    "Protocol": "guidebench.protocol",
    "Record": "guidebench.store.record",
    "Result": "guidebench.engine.run",
    "Testbed": "guidebench.testbed",
    "TrialMetric": "guidebench.metric",
    "Unlearner": "guidebench.unlearner",
    "evaluate": "guidebench.engine.run",
    "reproduce": "guidebench.engine.run",
    "run": "guidebench.engine.run",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'guidebench' has no attribute '{name}'")
    return getattr(importlib.import_module(_LAZY[name]), name)


_logging.getLogger(__name__).addHandler(_logging.NullHandler())  # silent until a program configures logging

# In a source checkout `baselines/`, `protocols/` and `reports/` are beside this folder, in a wheel inside it. Searching
# both makes `guidebench.baselines` importable either way, also when the checkout shadows an installed wheel.
_checkout = _Path(__file__).resolve().parent.parent
if not (_Path(__file__).parent / "baselines").is_dir() and (_checkout / "pyproject.toml").is_file():
    __path__.append(str(_checkout))


def records(directory: str | _Path) -> pandas.DataFrame:
    """All scores recorded under ``directory``, one row per score, as a pandas DataFrame.

    The columns are those of `guidebench.reporting.scores.COLUMNS`: what was measured (metric, judge, value or None with
    a reason, n) and for whom and how (protocol, method, testbed, identity, seed, conventions, record path).
    Records that cannot be read, or were changed, are left out; the warning that names them is shown once a program
    configures logging, as with ``logging.basicConfig()``. Raises `guidebench.errors.BadInput` if none is left.
    """
    from guidebench.reporting.scores import load

    return load(directory)
