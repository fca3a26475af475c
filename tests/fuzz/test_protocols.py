"""Protocol files: text that nobody meant, damaged ones, and values of any kind under any key."""

from __future__ import annotations

import dataclasses
import json
from importlib import resources

import pytest
from damage import EDITS, TEXT, VALUES, answers, cases, damaged
from hypothesis import given
from hypothesis import strategies as some

from guidebench import protocol
from guidebench.protocol import Protocol

KEYS = some.sampled_from([field.name for field in dataclasses.fields(Protocol)]) | TEXT
TABLES = some.dictionaries(KEYS, VALUES, max_size=6)
OVERLAYS = some.dictionaries(some.sampled_from(["mini", "linear", "liner"]) | TEXT, TABLES, max_size=2)
SHIPPED = [(resources.files("guidebench.protocols") / f"{name}.toml").read_bytes() for name in protocol.names()]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "mine.toml"


def as_toml(value) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {as_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return '""' if value is None else json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")


def load(path, content: bytes) -> None:
    path.write_bytes(content)
    with answers():
        protocol.load(str(path)).resolve("linear")


@cases(1200)
@given(base=TABLES, overlays=OVERLAYS)
def test_values_of_any_kind(path, base, overlays):
    table = {"source": "celebahq", "identities": 2, **base, "on": overlays}
    lines = [f"{json.dumps(key)} = {as_toml(value)}" for key, value in table.items()]
    load(path, "\n".join(lines).encode())


@cases(1200)
@given(text=some.sampled_from(SHIPPED), edits=EDITS)
def test_damaged_files(path, text, edits):
    load(path, damaged(text, edits))


@cases(600)
@given(content=some.binary(max_size=60) | TEXT.map(lambda text: text.encode(errors="surrogatepass")))
def test_what_is_no_protocol(path, content):
    load(path, content)
