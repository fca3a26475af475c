"""Layouts by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from guidebench.errors import BadInput
from guidebench.reporting import choice
from guidebench.store.folders import StoredRecord


def test_auto_is_table_2_for_the_multi_image_protocol_alone(make_record, says):
    multi, single = (StoredRecord(make_record(protocol=name), Path("path")) for name in ("celebahq-multi", "ffhq"))
    assert choice.resolve("auto", [multi]).name == "table-2"
    assert choice.resolve("paper", [multi, single]).name == "table-1"
    assert choice.resolve("auto", [single]).name == "table-1"
    with pytest.raises(BadInput, match=says("table-2", "celebahq-multi", "ffhq", "`guidebench reproduce table-2`")):
        choice.resolve("table-2", [single])
    with pytest.raises(BadInput, match=says("layout 'tabel-2'", "'table-2'")):
        choice.resolve("tabel-2", [single])
