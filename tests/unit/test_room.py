"""Where memory runs out, fewer rows pass at once: nothing is left out, and what was found is remembered and said."""

import pytest
import torch

from guidebench import room
from guidebench.errors import MethodError


@pytest.fixture(autouse=True)
def fresh():
    room.forget()
    yield
    room.forget()


def holding(most, asked):
    """Gives back the rows it is asked for; memory holds ``most``."""

    def make(rows):
        asked.append(len(rows))
        if len(rows) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return list(rows)

    return make


@pytest.mark.parametrize("count", [1, 5, 16, 17])
@pytest.mark.parametrize("most", [1, 2, 3, 16])
def test_every_row_is_made_once_and_in_order(count, most):
    parts = room.in_parts("rows", count, holding(most, []))
    assert [row for part in parts for row in part] == list(range(count))
    assert max(map(len, parts)) <= most


def test_no_more_rows_pass_at_once_than_are_asked_for_whatever_memory_holds():
    asked = []
    assert room.in_parts("rows", 5, holding(16, asked), most=2) == [[0, 1], [2, 3], [4]]
    room.in_parts("rows", 5, holding(1, asked), most=2)
    assert asked == [2, 2, 1, 2, *[1] * 5]


def test_no_rows_are_nothing():
    assert room.in_parts("rows", 0, holding(1, [])) == []


def test_what_memory_holds_is_found_once_and_said_once(caplog):
    asked = []
    for _ in range(2):
        room.in_parts("rows", 16, holding(5, asked))
    assert asked == [16, 8, *[4] * 4, *[4] * 4]
    said = [record.message for record in caplog.records]
    assert [text.rpartition("with ")[2] for text in said] == ["rows 8 at a time", "rows 4 at a time"]
    assert room.in_words() == "rows 4 at a time" and room.held() == {"rows": 4}


def test_rows_of_another_kind_are_not_held_back():
    room.in_parts("rows", 16, holding(5, []))
    asked = []
    room.in_parts("others", 16, holding(16, asked))
    assert asked == [16]


def test_not_even_one_row_is_one_line_with_what_to_do(says):
    with pytest.raises(MethodError, match=says("does not hold rows", "not even one", "--device")) as error:
        room.in_parts("rows", 4, holding(0, []))
    assert "\n" not in str(error.value)


def test_another_error_is_not_held_for_lack_of_memory():
    def make(rows):
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        room.in_parts("rows", 4, make)
    assert room.held() == {}


def test_a_single_part_is_handed_on_as_it_is():
    part = torch.zeros(2, 3, 4, 4).to(memory_format=torch.channels_last)
    assert room.joined([part]) is part
    assert torch.equal(room.joined([part[:1], part[1:]]), part)
