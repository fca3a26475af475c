"""Records that are left out are named in few clear lines."""

import json

from guidebench.store.finding import Corrupt
from guidebench.store.record import SCHEMA
from guidebench.store.unreadable import left_out, nothing_readable


def corrupt(folder, name, text):
    (folder / name).mkdir()
    (folder / name / "record.json").write_text(text)
    return Corrupt(folder / name, f"reason of {name}")


def test_each_damaged_record_has_a_line_and_all_older_ones_share_one(tmp_path):
    older = [corrupt(tmp_path, f"old{place}", json.dumps({"schema": 2})) for place in range(3)]
    damaged = [corrupt(tmp_path, "one", "{"), corrupt(tmp_path, "two", "[]")]
    first, second, last = left_out([*older, *damaged], tmp_path)
    assert first.startswith("one: reason of one; ") and second.startswith("two: reason of two; ")
    assert last.startswith("3 records") and "old0" in last and "guidebench run" in last
    assert left_out(damaged[:1])[0].startswith(str(tmp_path))
    assert first.endswith("run its trial again, which keeps this folder below replaced/")


def test_every_line_says_what_to_do(tmp_path):
    later = corrupt(tmp_path, "new", json.dumps({"schema": SCHEMA + 1}))
    linked = Corrupt(tmp_path / "link", "is a symbolic link", "put the folder in its place")
    first, second = left_out([later, linked], tmp_path)
    assert first == "new: reason of new; a later version of guidebench wrote it, and reads it"
    assert second == "link: is a symbolic link; put the folder in its place"


def test_where_nothing_can_be_read_the_cure_is_named(tmp_path):
    older = [corrupt(tmp_path, "old", json.dumps({"schema": 1}))]
    assert "1 record of an older schema" in nothing_readable(tmp_path, older)
    both = [*older, corrupt(tmp_path, "one", "{")]
    assert f"guidebench run --out {tmp_path}" in nothing_readable(tmp_path, both)
