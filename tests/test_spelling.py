"""How times and categories are written: one rule for files, requests and labels."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.casting import cast_column
from tidemill.features.columns import Reading, read_codes
from tidemill.spelling import categories, category, moments


def codes_of(column, known):
    """What a reducer has for the categories of a column."""
    reading = Reading.of({"name": "c", "kind": "one_hot"})
    return read_codes(reading.typed(column), known, 0.0).tolist()


TIMES = {
    "2024-01-01": "2024-01-01 00:00:00",
    "2024-01-01 10": "2024-01-01 10:00:00",
    "2024-01-01T10:00Z": "2024-01-01 10:00:00",
    "2024-01-01T10:00:00+0130": "2024-01-01 08:30:00",
    "2024-01-01 10:00:00.25 +01": "2024-01-01 09:00:00.250000",
    "2024-01-01T10:00:00,1234567z": "2024-01-01 10:00:00.123456",
    "2024-02-29t23:59:59-23:59": "2024-03-01 23:58:59",
}
NONE = [
    "2024-W01-1",
    "2024-001",
    "20240101",
    "2024-01-01T1000",
    "2024-01-01x10:00",
    "2024-01-01T10:00.5",
    "2024-01-01T10:00:00+99:99",
    "2024-01-01T10:00:00+24:00",
    "2024-01-01T10:00:00+23:60",
    "2024-01-01T24:00",
    "2024-01-01T10:00:60",
    "2024-02-30",
    "2024-13-01",
    "0000-01-01",
    "9999-12-31T23:59:59-23:00",
    "2024-01-01\n",
    "",
]


def read(*texts: str | None) -> list[str]:
    return [str(m) for m in moments(pa.array(texts, pa.string()), pa.timestamp("us"))]


def test_a_time_is_what_the_rule_says_whatever_stands_beside_it():
    """Alone, among others, and beside what is none: the same reading."""
    mixed = [*TIMES, *NONE, None]
    assert read(*mixed) == [*TIMES.values(), *["None"] * (len(NONE) + 1)]
    for text, moment in TIMES.items():
        assert read(text) == [moment]
    for text in NONE:
        assert read(text) == ["None"], text


@given(st.lists(st.sampled_from([*TIMES, *NONE]), min_size=1, max_size=6))
def test_neighbours_change_no_reading(texts):
    """What one cell says does not depend on which other cells came with it."""
    assert read(*texts) == [read(text)[0] for text in texts]


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.timestamp("s")])
def test_no_time_at_all(kind):
    """Nothing in, nothing out."""
    assert moments(pa.array([], pa.string()), kind).to_pylist() == []
    assert moments(pa.nulls(2, pa.string()), kind).to_pylist() == [None, None]


SPELLED = [("01", "01"), ("3.0", "3.0"), (3, "3"), (3.0, "3"), (-0.0, "0"), (0.5, "0.5")]
SPELLED += [
    (True, "true"),
    (False, "false"),
    (1e300, "1e+300"),
    (1e-7, "1e-07"),
    (2**53, str(2**53)),
]


@pytest.mark.parametrize(("value", "text"), SPELLED)
def test_a_category_has_one_text_wherever_it_comes_from(value, text):
    """JSON, Arrow of any width, dictionaries, frames and casts of files: the same text."""
    assert category(value) == text
    plain = pa.array([value, None])
    arrays = [plain, plain.dictionary_encode()]
    if isinstance(value, int) and abs(value) < 100 and not isinstance(value, bool):
        arrays += [pa.array([value, None], kind) for kind in (pa.int8(), pa.uint64(), pa.float32())]
    for array in arrays:
        assert categories(array).to_pylist() == [text, None]
        assert cast_column(array, pa.string()).values.to_pylist() == [text, None]
    assert codes_of(np.array([value, None], object), {text: 7.0, None: 1.0}) == [7.0, 1.0]


def test_a_whole_number_with_a_point_is_the_known_one():
    """As frames with gaps write it; what is known itself, and leading zeros, stay apart."""
    known = {"3": 1.0, "01": 2.0, "4.0": 3.0, "4": 4.0, "02134": 5.0}
    texts = ["3.0", "3.00", "3", "01", "1", "1.0", "4.0", "02134", "2134", "3.5", "+3.0", "03.0"]
    assert codes_of(np.array(texts, object), known) == [
        *(1.0, 1.0, 1.0, 2.0, 0.0, 0.0, 3.0, 5.0, 0.0, 0.0, 0.0, 0.0)
    ]
    chunked = pa.chunked_array([pa.array(texts).dictionary_encode()])
    assert codes_of(chunked, known)[:3] == [1.0] * 3


def test_a_number_is_the_category_that_has_a_point():
    """A frame with gaps wrote 7.0: the model knows 7, 7.0 and "7" by it; "07" and 8 are others."""
    known = {"7.0": 1.0, "1.0": 2.0}
    values = [7, 7.0, "7", "7.0", "7.00", "07", 8, "1"]
    expected = [1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 2.0]
    for column in (values, values * 20):
        assert codes_of(np.array(column, object), known) == expected * (len(column) // len(values))
    assert codes_of(np.array([7, 1, 8]), known) == [1.0, 2.0, 0.0]
    assert codes_of(pa.chunked_array([pa.array([7.0, 8.0])]), known) == [1.0, 0.0]
    both = known | {"7": 3.0}
    assert codes_of(np.array([7, "7.0", "7.00"], object), both) == [3.0, 1.0, 3.0]
