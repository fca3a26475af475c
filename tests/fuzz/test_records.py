"""Records: damaged files, and records of any content whose digest is right, read and reported."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from damage import EDITS, VALUES, acts_on_a_terminal, answers, cases, check_message, damaged, places_of, replaced
from hypothesis import given
from hypothesis import strategies as some

from guidebench import digest
from guidebench.errors import GuidebenchError
from guidebench.reporting import report
from guidebench.store import folders
from guidebench.store.folders import Store
from guidebench.store.possible import check_possible
from guidebench.store.record import Record
from guidebench.store.unreadable import left_out

FOLDER = Path(__file__).parents[1] / "unit/reporting/records/records/celebahq-multi/guide"
FOLDERS = sorted(FOLDER.iterdir())[:2]
TEXT = (FOLDERS[0] / "record.json").read_bytes()
DATA = json.loads(TEXT)
PLACES = places_of(DATA)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "out"


def read(out: Path, content: bytes) -> None:
    """The record in a directory of its own beside a sound one: it is reported, or left out for a reason."""
    shutil.rmtree(out, ignore_errors=True)
    sound = out / "records" / FOLDERS[1].relative_to(FOLDER.parents[1])
    sound.mkdir(parents=True)
    shutil.copyfile(FOLDERS[1] / "record.json", sound / "record.json")
    place = out / "records/celebahq-multi/guide/damaged"
    with answers(ValueError):
        record = Record.from_json(content)
        check_possible(record)
        place = Store(out).path(record.spec)
    place.mkdir(parents=True, exist_ok=True)
    (place / "record.json").write_bytes(content)
    with answers():
        _, corrupt = folders.scan(out)
        for line in left_out(corrupt, out):
            check_message(line)


def sealed(data: Any) -> bytes:
    """The text of a record with the key and the digest of what it says, as far as they can be computed."""
    if isinstance(data, dict):
        with contextlib.suppress(msgspec.MsgspecError, GuidebenchError, ValueError, TypeError):
            data = {**data, "key": msgspec.json.decode(json.dumps(data), type=Record).key}
        with contextlib.suppress(ValueError):  # half a character, or a number that is not finite
            data = {**data, "digest": digest.of_data({name: data[name] for name in data if name != "digest"})}
    return json.dumps(data).encode()


@cases(1000)
@given(edits=EDITS)
def test_damaged_files(out, edits):
    read(out, damaged(TEXT, edits))


@cases(900)
@given(place=some.sampled_from(PLACES), value=VALUES)
def test_values_of_any_kind(out, place, value):
    read(out, sealed(replaced(DATA, place, value)))


@cases(100)
@given(place=some.sampled_from(PLACES), value=VALUES)
def test_reports_of_values_of_any_kind(out, place, value):
    read(out, sealed(replaced(DATA, place, value)))
    with answers():
        text = report.report(out)
        assert not any(map(acts_on_a_terminal, text.replace("\n", "")))
