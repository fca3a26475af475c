"""Commands that repair an installation, as errors and `guidebench doctor` name them; docs/dependencies.md says why."""

from __future__ import annotations

import shlex
import sys

PIP = f"{shlex.quote(sys.executable)} -m pip"
REPAIR_PACKAGES = f"{PIP} install -c constraints.txt ."  # in the clone
REPAIR_ONNXRUNTIME = f"{PIP} install --force-reinstall --no-deps onnxruntime-gpu"
REPAIR_LIBRARIES = "apt-get install -y --no-install-recommends libgl1 libglib2.0-0"
